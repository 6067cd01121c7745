//! The pages that name tests name such as exist.

use std::collections::{HashMap, HashSet};

use super::program::root;

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

fn tests() -> HashSet<String> {
    let list = std::process::Command::new(std::env::current_exe().unwrap()).arg("--list").output();
    let list = String::from_utf8(list.unwrap().stdout).unwrap();
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// The words in backquotes that name a test.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
    let is_test = move |word: &&str| word.contains("::") && word.chars().all(plain);
    text.split('`').skip(1).step_by(2).filter(is_test)
}

fn cells(row: &str) -> Vec<&str> {
    let row = row.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|'));
    row.unwrap_or_default().split('|').map(str::trim).collect()
}

#[test]
fn every_rule_names_tests_that_exist() {
    let (text, tests) = (page("conformance.md"), tests());
    let missing: Vec<_> = named(&text).filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/conformance.md names no such test: {missing:?}");

    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).map(cells).collect();
    let is_short = |row: &&Vec<&str>| row.len() == 2 && row[1].starts_with('`');
    let short: HashMap<_, _> = rows.iter().filter(is_short).map(|row| (row[0], row[1])).collect();
    assert_eq!(short.len(), 7);
    let rules: Vec<_> = rows.iter().filter(|row| row[0].parse::<u32>().is_ok()).collect();
    for (at, rule) in rules.iter().enumerate() {
        assert_eq!(rule[0], (at + 1).to_string(), "rules are counted from 1 without a gap");
        let others: Vec<_> = rule[3..].iter().filter(|cell| !cell.is_empty()).collect();
        assert!(named(rule[2]).count() + others.len() > 0, "rule {} has no test", rule[0]);
        for cell in others {
            assert!(short.contains_key(*cell), "rule {}: {cell:?} is no short name", rule[0]);
        }
    }
    assert!(rules.len() > 30, "{}", rules.len());
}

#[test]
fn what_bad_input_gets_is_shown_by_tests_that_exist() {
    let (text, tests) = (page("protocol.md"), tests());
    let (_, table) = text.split_once("## What bad input gets").unwrap();
    let missing: Vec<_> = named(table).filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/protocol.md names no such test: {missing:?}");
    assert!(named(table).count() > 15);
    // What the pages for other clients promise by name.
    for name in ["nats-cli.md", "languages.md"] {
        for test in named(&page(name)) {
            assert!(tests.contains(test), "docs/{name} names no such test: {test}");
        }
    }
}
