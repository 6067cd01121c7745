//! Every key with its value and where that came from, in text that hides secrets.

use figment::value::{Dict, Value};
use figment::{Figment, Metadata, Source};

use super::address::redact_url;
use super::{HIDDEN, SECRETS, resolve, sources};

/// One key of the settings, as `jetiter config` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The dotted key, for example `worker.prefetch`.
    pub key: String,
    /// The value as text; empty when there is none, `[hidden]` when it is a secret.
    pub value: String,
    /// `default`, `file jetiter.toml`, `environment JETITER_X`, `NATS_URL`, `flag --x` or
    /// `context name`.
    pub source: String,
}

/// Every key with its value and its source, top-level keys first. It shows what was said, valid
/// or not; only a file that can't be read leaves nothing to show.
pub fn explain(figment: &Figment) -> Vec<Explained> {
    let resolved = resolve(figment).unwrap_or_else(|_| figment.clone().join(super::defaults()));
    let mut all = Vec::new();
    if let Ok(values) = resolved.extract::<Dict>() {
        // Extracting keeps each value's tag, which tells where it came from.
        collect(&resolved, &[], &values, &mut all);
    }
    all.sort_by_key(|one| (one.key.contains('.'), one.key.clone()));
    all
}

fn collect(figment: &Figment, section: &[&str], values: &Dict, all: &mut Vec<Explained>) {
    for (name, value) in values {
        let path = [section, &[name]].concat();
        match value {
            Value::Dict(_, inner) => collect(figment, &path, inner, all),
            _ => all.push(explained(figment, &path, Some(value))),
        }
    }
}

/// What is known of one key; the value is empty if there is none.
pub(super) fn one(figment: &Figment, path: &[&str]) -> Explained {
    // Not by one dotted key: the name of a function has dots in it.
    let value = path.split_first().and_then(|(first, rest)| {
        let value = figment.find_value(first).ok()?;
        rest.iter().try_fold(value, |value, part| value.into_dict()?.remove(*part))
    });
    explained(figment, path, value.as_ref())
}

fn explained(figment: &Figment, path: &[&str], value: Option<&Value>) -> Explained {
    let metadata = value.and_then(|value| figment.get_metadata(value.tag()));
    Explained {
        key: key(path),
        value: value.map(|value| text(path, value)).unwrap_or_default(),
        source: metadata.map_or_else(|| "default".into(), |metadata| origin(metadata, path)),
    }
}

/// The dotted key, as TOML writes it.
pub(super) fn key(path: &[&str]) -> String {
    let part = |part: &&str| match part.contains('.') {
        true => format!("{part:?}"),
        false => (*part).to_owned(),
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}

fn is_secret(path: &[&str]) -> bool {
    match path {
        [key] => SECRETS.contains(key),
        ["functions", _, "env", ..] => true,
        _ => false,
    }
}

fn text(path: &[&str], value: &Value) -> String {
    match value {
        Value::Empty(..) => String::new(),
        _ if is_secret(path) => HIDDEN.to_owned(),
        Value::String(_, text) if path == ["server"] => redact_url(text),
        Value::String(_, text) => text.clone(),
        Value::Char(_, c) => c.to_string(),
        Value::Bool(_, b) => b.to_string(),
        Value::Num(_, number) => {
            let whole = number.to_i128().map(|n| n.to_string());
            let whole = whole.or_else(|| number.to_u128().map(|n| n.to_string()));
            whole.or_else(|| number.to_f64().map(|n| n.to_string())).unwrap_or_default()
        }
        Value::Array(_, items) => {
            items.iter().map(|item| text(&[], item)).collect::<Vec<_>>().join(",")
        }
        Value::Dict(_, inner) => format!("a section with {} keys", inner.len()),
    }
}

fn origin(metadata: &Metadata, path: &[&str]) -> String {
    match &metadata.source {
        Some(file @ Source::File(_)) => format!("file {file}"),
        _ if metadata.name == sources::LAYER => {
            metadata.interpolate(&figment::Profile::Default, path)
        }
        Some(Source::Code(_)) => "default".to_owned(),
        _ => metadata.name.to_string(),
    }
}
