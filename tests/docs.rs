use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every `file::function` in the Rust sources below a directory.
fn functions_below(dir: &Path, found: &mut HashSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            functions_below(&path, found);
        }
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|ext| ext == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                &rest[..end.unwrap_or(rest.len())]
            });
            found.extend(names.map(|name| format!("{file}::{name}")));
        }
    }
}

/// The words in backquotes that name a test: lower case, one `::`.
fn named(text: &str) -> Vec<&str> {
    let is_test = |word: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
        word.matches("::").count() == 1 && word.chars().all(plain)
    };
    text.split('`').skip(1).step_by(2).filter(is_test).collect()
}

#[test]
fn the_page_for_people_from_django_q_names_tests_that_exist() {
    let mut found = HashSet::new();
    for dir in ["tests", "client/src", "config/src", "worker/src"] {
        functions_below(&root().join(dir), &mut found);
    }
    let text = std::fs::read_to_string(root().join("docs/django-q.md")).unwrap();
    let named = named(&text);
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<_> = named.into_iter().filter(|name| !found.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/django-q.md names no such test: {missing:?}");
}

#[test]
fn the_page_for_people_from_django_q_has_a_row_for_every_id() {
    let text = std::fs::read_to_string(root().join("docs/django-q.md")).unwrap();
    let ids = (1..=25).map(|n| format!("A{n}")).chain((1..=29).map(|n| format!("B{n}")));
    for id in ids {
        let rows = text.lines().filter(|line| line.starts_with(&format!("| {id} |")));
        assert_eq!(rows.count(), 1, "{id}");
    }
}

/// Every test of this binary, and of the one for scale, by its whole name.
fn tests() -> HashSet<String> {
    let list = std::process::Command::new(std::env::current_exe().unwrap()).arg("--list").output();
    let list = String::from_utf8(list.unwrap().stdout).unwrap();
    let mut tests: HashSet<String> =
        list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
    let mut scale = HashSet::new();
    functions_below(&root().join("tests/scale"), &mut scale);
    tests.extend(scale.into_iter().map(|name| name.replace("main::", "scale::")));
    tests
}

#[test]
fn the_page_of_faults_names_tests_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let is_test = |word: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
        word.contains("::")
            && !word.ends_with("::")
            && !word.starts_with("file::")
            && word.chars().all(plain)
    };
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 100, "{named:?}");
    let tests = tests();
    let missing: Vec<_> = named.into_iter().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/faults.md names no such test: {missing:?}");
}

#[test]
fn the_page_of_faults_has_a_row_for_every_fault() {
    let text = std::fs::read_to_string(root().join("docs/faults.md")).unwrap();
    for fault in 1..=25 {
        let rows = text.lines().filter(|line| line.starts_with(&format!("| {fault} |")));
        assert_eq!(rows.count(), 1, "{fault}");
    }
}
