use jetiter::Settings;

const README: &str = include_str!("../README.md");

/// Every setting stands in the README's table, with its default, and no other one does.
#[test]
fn the_settings_table_is_true() {
    let table = README.split("settings -->").nth(1).unwrap();
    let rows: Vec<(&str, &str)> = table.lines().filter_map(row).collect();
    let figment = figment::Figment::new();
    let all = jetiter_config::settings::explain(&figment);
    for setting in &all {
        let row = rows.iter().find(|(key, _)| *key == setting.key);
        let (_, default) = row.unwrap_or_else(|| panic!("{} is not in the table", setting.key));
        let known = ["", "none", "_INBOX"].contains(default) && setting.value.is_empty();
        assert!(known || same(default, &setting.value), "{}: {default}", setting.key);
    }
    assert_eq!(rows.len(), all.len());
    Settings::load(&figment).unwrap();
}

/// A row's key and default.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let key = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
    Some((key, cells.get(cells.len() - 2)?.trim_matches('`')))
}

/// The same value, though lists, sizes and times may be written in another way.
fn same(shown: &str, value: &str) -> bool {
    let plain = |text: &str| text.replace(['"', '[', ']', ' '], "").replace(".0", "");
    plain(shown) == plain(value)
}
