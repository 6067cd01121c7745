//! Errors that name key, value, source and mend, and never a secret.

use figment::Figment;
use figment::error::{Error as FigmentError, Kind};

use super::explain::{Explained, explain, one};
use super::sources;
use crate::error::Error;

/// `key problem, got value (from origin)`, for a dotted key of which no part has a dot.
pub(super) fn problem(figment: &Figment, key: &str, problem: impl Into<String>) -> Error {
    problem_at(figment, &key.split('.').collect::<Vec<_>>(), problem)
}

/// The same, for any key.
pub(super) fn problem_at(figment: &Figment, path: &[&str], problem: impl Into<String>) -> Error {
    let known = one(figment, path);
    let value = if known.value.is_empty() { "nothing".to_owned() } else { known.value };
    Error::Setting { key: known.key, problem: problem.into(), value, origin: spoken(&known.source) }
}

/// What figment says, without the values that it quotes: they may be secrets.
pub(super) fn unreadable(figment: &Figment, error: FigmentError) -> Error {
    if error.path.is_empty() {
        return Error::Figment { reason: whole(figment, &error) };
    }
    let mut path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    if let Kind::UnknownField(_, known) = &error.kind {
        return unknown(figment, &path, known);
    }
    // The number at the end of a path is a place in a list.
    path.pop_if(|part| part.parse::<usize>().is_ok());
    problem_at(figment, &path, rule(&error.kind))
}

/// An error that belongs to no key: a file or a variable that can't be read.
fn whole(figment: &Figment, error: &FigmentError) -> String {
    let text = error.kind.to_string();
    // The TOML reader quotes the faulty line between bars; it may hold a password.
    let lines = text.lines().filter(|line| !line.contains('|')).map(str::trim);
    let said = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ");
    match error.metadata.as_ref().or_else(|| figment.metadata().next()) {
        Some(metadata) if metadata.name != sources::LAYER => match &metadata.source {
            Some(source) => format!("{source}: {said}"),
            None => said,
        },
        _ => said,
    }
}

fn unknown(figment: &Figment, path: &[&str], known: &[&str]) -> Error {
    let Explained { key, value, source: origin } = one(figment, path);
    let letters = |key: &str| key.replace(['.', '_', '-'], "");
    let all = explain(&Figment::new());
    let meant = all.iter().find(|known| letters(&known.key) == letters(&key));
    let mend = match meant {
        Some(meant) if origin.starts_with("environment") => {
            format!("did you mean {}?", sources::variable_of(&meant.key))
        }
        Some(meant) => format!("did you mean {}?", meant.key),
        // [functions.image.resize] is a key `resize` of the function `image`.
        None if path.first() == Some(&"functions") && value.ends_with(" keys") => {
            format!("a name with dots stands in quotes: [functions.{:?}]", path[1..].join("."))
        }
        None => format!("known here are {}", known.join(", ")),
    };
    Error::UnknownSetting { key, origin: spoken(&origin), mend }
}

fn spoken(origin: &str) -> String {
    origin.replacen("environment ", "environment variable ", 1)
}

/// The rule in words, from figment's kinds.
fn rule(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(_, wanted) | Kind::InvalidValue(_, wanted) => {
            format!("must be {}", words(wanted))
        }
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        Kind::MissingField(name) => format!("needs the key {name}"),
        Kind::Message(said) => format!("is not valid: {said}"),
        other => format!("is not valid: {other}"),
    }
}

fn words(wanted: &str) -> &str {
    match wanted {
        "usize" | "u64" | "u32" => "a whole number of 0 or more",
        "i64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a duration" => "a time with its unit, such as 30s",
        "path string" | "a string" => "text in quotes",
        "a map" => "a section",
        wanted if wanted.starts_with("struct ") => "a section",
        wanted => wanted,
    }
}
