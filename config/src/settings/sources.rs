//! Where values come from: the layers under [`Settings::load`](super::Settings::load), and the
//! only place that reads the environment.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use serde::Serialize;

use super::Settings;

/// The file that is read when no other is named.
const FILE: &str = "jetiter.toml";
const PREFIX: &str = "JETITER_";
/// The tooling's name for `up.nats_server`.
const NATS_SERVER: &str = "JETITER_NATS_SERVER";
/// Variables under this prefix belong to the test harness.
const TEST_PREFIX: &str = "JETITER_TEST_";
/// The name that marks a [`Layer`] in figment's metadata.
pub(super) const LAYER: &str = "jetiter layer";

/// Values that know where they came from, in the words of `explain`.
#[derive(Clone)]
pub(crate) struct Layer {
    metadata: Metadata,
    values: Result<Dict, Error>,
}

impl Layer {
    /// `origin` gets the keys of a value, outermost first.
    pub(crate) fn new<F>(values: Result<Dict, Error>, origin: F) -> Layer
    where
        F: Fn(&[&str]) -> String + Clone + Send + Sync + 'static,
    {
        let metadata =
            Metadata::named(LAYER).interpolater(move |_: &Profile, k: &[&str]| origin(k));
        Layer { metadata, values }
    }

    fn one(key: &str, value: Value, origin: String) -> Layer {
        let values = nest(key, value).into_dict().unwrap_or_default();
        Layer::new(Ok(values), move |_| origin.clone())
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()?))
    }
}

/// One more layer above all others: what the command line says.
///
/// `values` is a struct or map with the keys of [`Settings`]; what is `None` is left out. A value
/// is explained by the last part of its key: `worker.retry_delay` comes from `flag --retry-delay`.
pub fn flags(values: impl Serialize) -> impl Provider {
    let values = match Value::serialize(values).map(without_empty) {
        Ok(Some(Value::Dict(_, values))) => Ok(values),
        Ok(None) => Ok(Dict::new()),
        Ok(Some(_)) => Err("flags must be a struct or a map".into()),
        Err(error) => Err(error),
    };
    Layer::new(values, |keys| {
        format!("flag --{}", keys.last().copied().unwrap_or_default().replace('_', "-"))
    })
}

fn without_empty(value: Value) -> Option<Value> {
    match value {
        Value::Empty(..) => None,
        Value::Dict(tag, dict) => {
            let kept = dict.into_iter().filter_map(|(key, v)| Some((key, without_empty(v)?)));
            Some(Value::Dict(tag, kept.collect()))
        }
        other => Some(other),
    }
}

/// The file, `NATS_URL` and the `JETITER_` variables, each above the one before.
pub(super) fn layers(file: Option<&Path>) -> Figment {
    let base = match file {
        Some(path) => Figment::from(Toml::file_exact(path)),
        // Figment's `file` would also look in every directory above.
        None if Path::new(FILE).is_file() => Figment::from(Toml::file_exact(FILE)),
        None => Figment::new(),
    };
    variables().into_iter().fold(base, Figment::merge)
}

/// The layers of the environment, least first.
fn variables() -> Vec<Layer> {
    let defaults = Value::serialize(Settings::default()).unwrap_or(Value::from(Dict::new()));
    let all = environment();
    let url = all.iter().filter(|(name, _)| name == "NATS_URL");
    let url = url.map(|(_, value)| one_variable("server", "NATS_URL".into(), value, None));
    let ours = all.iter().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| name.starts_with(PREFIX))?;
        if name.starts_with(TEST_PREFIX) {
            return None;
        }
        let key = key_of(name);
        let default = defaults.find_ref(&key);
        Some(one_variable(&key, format!("environment {name}"), value, default))
    });
    url.chain(ours).collect()
}

/// `JETITER_WORKER__RETRY_DELAY` is `worker.retry_delay`. A name with an empty part can't be
/// nested: it stays one key, which is then refused as unknown.
fn key_of(name: &str) -> String {
    if name == NATS_SERVER {
        return "up.nats_server".to_owned();
    }
    let key = name[PREFIX.len()..].to_ascii_lowercase();
    let dotted = key.replace("__", ".");
    match dotted.split('.').any(str::is_empty) {
        true if key.is_empty() => PREFIX.to_ascii_lowercase(),
        true => key.replace('.', "_"),
        false => dotted,
    }
}

/// The variable that sets a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// A value is parsed only if the default says that the key is no text: a password of digits, or
/// "true", or "[x]", must stay what it is.
fn one_variable(key: &str, origin: String, value: &OsStr, default: Option<&Value>) -> Layer {
    let Some(text) = value.to_str() else {
        let problem = format!("the value of {origin} is not UTF-8");
        return Layer::new(Err(problem.into()), |_| String::new());
    };
    let value = match default {
        Some(Value::Array(..)) => list(text),
        Some(Value::Num(..) | Value::Bool(..)) => scalar(text.trim()),
        _ => Value::from(text),
    };
    Layer::one(key, value, origin)
}

/// A number or a truth value; anything else stays text, for the type to accept or refuse.
fn scalar(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return Value::from(whole);
    }
    if let Ok(number) = text.parse::<f64>() {
        return Value::from(number);
    }
    text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from)
}

/// `a,b` or `[a, "b"]`: the items as text.
fn list(text: &str) -> Value {
    let inner = text.trim();
    let inner = inner.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(inner);
    let items = inner.split(',').map(|item| item.trim().trim_matches(['"', '\'']));
    Value::from(items.filter(|item| !item.is_empty()).collect::<Vec<_>>())
}

/// All variables that are set, by name. An empty one counts as not set, which is what container
/// tools mean by it.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment() -> Vec<(OsString, OsString)> {
    let mut all: Vec<_> = std::env::vars_os().filter(|(_, value)| !value.is_empty()).collect();
    all.sort();
    all
}

/// The directory of the nats CLI: `$XDG_CONFIG_HOME/nats`, or `~/.config/nats`.
pub(crate) fn nats_directory() -> Option<PathBuf> {
    let base = variable("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")));
    base.map(|base| base.join("nats"))
}

/// Where programs are looked for, when they are named without a path.
pub fn program_path() -> Option<OsString> {
    variable("PATH").map(PathBuf::into_os_string)
}

/// The user's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME")
}

fn variable(name: &str) -> Option<PathBuf> {
    environment().into_iter().find(|(known, _)| known == name).map(|(_, value)| value.into())
}
