use figment::Jail;
use secrecy::ExposeSecret;

use super::command::KEYS;
use super::*;

#[allow(clippy::result_large_err, reason = "the closure returns figment's error")]
/// Loads and explains this file, alone.
fn read(toml: &str) -> (Result<Settings, Error>, Vec<Explained>) {
    let mut read = None;
    Jail::expect_with(|jail| {
        jail.clear_env();
        jail.create_file("jetiter.toml", toml)?;
        let figment = Settings::figment(None);
        read = Some((Settings::load(&figment), explain(&figment)));
        Ok(())
    });
    read.unwrap()
}

#[track_caller]
fn refused(toml: &str, wanted: &str) {
    let text = read(toml).0.unwrap_err().to_string();
    assert!(text.starts_with(wanted), "{text}");
    assert!(text.contains("from file jetiter.toml"), "{text}");
}

#[test]
fn a_command_has_a_name_with_dots_and_the_usual_defaults() {
    let (settings, _) = read("[functions.\"image.resize\"]\ncommand = ['python3', 'resize.py']");
    let settings = settings.unwrap();
    let command = &settings.functions["image.resize"];
    assert_eq!(command.command, Line::Words(vec!["python3".to_owned(), "resize.py".to_owned()]));
    assert_eq!((command.mode, command.shell, command.slots), (Mode::Lines, false, 0));
    assert_eq!((command.input, command.output, &command.cwd), (None, None, &None));
    assert_eq!(command.output_max_bytes, 8 << 20);
}

#[test]
fn every_key_of_a_command_is_read() {
    let toml = "[functions.x]\ncommand = 'wc -c'\nshell = true\nmode = 'once'\ninput = 'words'\n\
                output = 'json'\ncwd = '/tmp'\nslots = 3\noutput_max_bytes = '1KiB'\n\
                env = { KEY = 'value' }";
    let settings = read(toml).0.unwrap();
    let command = &settings.functions["x"];
    assert_eq!((command.mode, command.slots, command.shell), (Mode::Once, 3, true));
    assert_eq!((command.input, command.output), (Some(Input::Words), Some(Output::Json)));
    assert_eq!((command.output_max_bytes, command.env["KEY"].expose_secret()), (1024, "value"));
}

#[test]
fn what_is_wrong_with_a_command_is_refused_by_name() {
    let image = |rest: &str| format!("[functions.\"image.resize\"]\n{rest}");
    refused(
        &image("comand = ['x']"),
        "there is no setting functions.\"image.resize\".comand (from file jetiter.toml): known \
         here are command, shell, mode",
    );
    refused(&image("slots = 1"), "functions.\"image.resize\" needs the key command");
    refused(
        "[functions.image.resize]\ncommand = ['x']",
        "there is no setting functions.image.resize (from file jetiter.toml): a name with dots \
         stands in quotes: [functions.\"image.resize\"]",
    );
    refused(
        &image("command = ['x']\nslots = 'many'"),
        "functions.\"image.resize\".slots must be a whole number of 0 or more, got many",
    );
    refused(
        &image("command = 'x y'"),
        "functions.\"image.resize\".command must be a list, the program first; one text needs \
         shell = true, got x y",
    );
    refused(
        &image("command = 7"),
        "functions.\"image.resize\".command must be a list of texts, the program first, or with \
         shell = true one text, got 7",
    );
    refused(
        &image("command = ['sleep', 1]"),
        "functions.\"image.resize\".command must be text in quotes, got sleep,1",
    );
    refused(&image("command = []"), "functions.\"image.resize\".command must name a program");
    refused(
        &image("command = ['x']\nshell = true"),
        "functions.\"image.resize\".command must be one text, since shell is true, got x",
    );
    refused(
        &image("command = ['x']\noutput = 'json'"),
        "functions.\"image.resize\".output needs mode = \"once\" beside it, got json",
    );
    refused(
        &image("command = ['x']\nmode = 'twice'"),
        "functions.\"image.resize\".mode must be one of lines, once, got twice",
    );
    refused("[functions.\"a b\"]\ncommand = ['x']", "functions.a b is no function's name");
    refused(
        "[functions.1]\ncommand = ['x']\nslots = 'many'",
        "functions.1.slots must be a whole number",
    );
}

#[test]
fn values_of_variables_are_never_shown() {
    for value in ["'s9876'", "9876", "['s9876']", "{ a = 's9876' }", "\"s9876\\u0000\""] {
        let (settings, shown) =
            read(&format!("[functions.\"a.b\"]\ncommand = ['x']\nenv = {{ API_KEY = {value} }}"));
        let text = match settings {
            Ok(settings) => format!("{settings:?} {}", serde_json::to_string(&settings).unwrap()),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(text.contains("API_KEY") && !text.contains("9876"), "{text}");
        let key = |one: &&Explained| one.key.starts_with("functions.\"a.b\".env.API_KEY");
        let one = shown.iter().find(key).unwrap();
        let (shown, source) = (one.value.as_str(), one.source.as_str());
        assert_eq!((shown, source), ("[hidden]", "file jetiter.toml"));
    }
}

/// The page for people lists every key, and no other.
#[test]
fn the_page_of_commands_lists_every_key() {
    let page = include_str!("../../../docs/commands.md");
    let table = page.split("keys -->").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut rows: Vec<&str> = rows.collect();
    let mut keys = KEYS.to_vec();
    rows.sort_unstable();
    keys.sort_unstable();
    assert_eq!(rows, keys);
    let unknown = read("[functions.x]\ncommand = ['x']\nnone = 1").0.unwrap_err().to_string();
    assert!(unknown.ends_with(&KEYS.join(", ")), "{unknown}");
}
