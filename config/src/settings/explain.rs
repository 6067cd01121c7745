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
        // Extracting keeps each value's tag, which `one` looks up.
        collect(&resolved, "", &values, &mut all);
    }
    all.sort_by_key(|one| (one.key.contains('.'), one.key.clone()));
    all
}

fn collect(figment: &Figment, section: &str, values: &Dict, all: &mut Vec<Explained>) {
    for (name, value) in values {
        let key = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match value {
            Value::Dict(_, inner) => collect(figment, &key, inner, all),
            _ => all.push(one(figment, key)),
        }
    }
}

/// What is known of one key; the value is empty if there is none.
pub(super) fn one(figment: &Figment, key: String) -> Explained {
    let value = figment.find_value(&key).ok();
    let value = value.map(|value| text(&key, &value)).unwrap_or_default();
    let source = figment.find_metadata(&key).map_or_else(|| "default".into(), |m| origin(m, &key));
    Explained { key, value, source }
}

fn text(key: &str, value: &Value) -> String {
    match value {
        Value::Empty(..) => String::new(),
        _ if SECRETS.contains(&key) => HIDDEN.to_owned(),
        Value::String(_, text) if key == "server" => redact_url(text),
        Value::String(_, text) => text.clone(),
        Value::Char(_, c) => c.to_string(),
        Value::Bool(_, b) => b.to_string(),
        Value::Num(_, number) => {
            let whole = number.to_i128().map(|n| n.to_string());
            let whole = whole.or_else(|| number.to_u128().map(|n| n.to_string()));
            whole.or_else(|| number.to_f64().map(|n| n.to_string())).unwrap_or_default()
        }
        Value::Array(_, items) => {
            items.iter().map(|item| text("", item)).collect::<Vec<_>>().join(",")
        }
        Value::Dict(_, inner) => format!("a section with {} keys", inner.len()),
    }
}

fn origin(metadata: &Metadata, key: &str) -> String {
    let keys: Vec<&str> = key.split('.').collect();
    match &metadata.source {
        Some(file @ Source::File(_)) => format!("file {file}"),
        _ if metadata.name == sources::LAYER => {
            metadata.interpolate(&figment::Profile::Default, &keys)
        }
        Some(Source::Code(_)) => "default".to_owned(),
        _ => metadata.name.to_string(),
    }
}
