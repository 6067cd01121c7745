//! Contexts of the nats CLI: `nats/context/<name>.json` under the user's configuration directory,
//! and `nats/context.txt` with the name of the selected one.

use std::fs;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};
use serde::Deserialize;

use crate::error::Error;
use crate::settings::sources::{Layer, home, nats_directory};

/// The fields that matter here; the nats CLI knows more, and writes unused ones as empty text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    url: Option<String>,
    token: Option<String>,
    user: Option<String>,
    password: Option<String>,
    creds: Option<String>,
    nkey: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    ca: Option<String>,
    inbox_prefix: Option<String>,
    tls_first: Option<bool>,
    nsc: Option<String>,
    user_jwt: Option<String>,
    jetstream_domain: Option<String>,
    jetstream_api_prefix: Option<String>,
}

/// The values of a context, without those that are `given` by someone else. An empty name stands
/// for the context that the nats CLI has selected.
pub(crate) fn layer(name: &str, given: impl Fn(&str) -> bool) -> Result<Layer, Error> {
    let directory = nats_directory().ok_or_else(|| Error::Context {
        name: name.to_owned(),
        reason: "neither XDG_CONFIG_HOME nor HOME is set, so nobody knows where it is".to_owned(),
    })?;
    let name = if name.is_empty() { selected(&directory)? } else { name.to_owned() };
    let context = Context::read(&directory, &name)
        .and_then(Context::supported)
        .map_err(|reason| Error::Context { name: name.clone(), reason })?;
    let mut values = context.values();
    values.retain(|key, _| !given(key));
    Ok(Layer::new(Ok(values), move |_| format!("context {name}")))
}

fn selected(directory: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(directory.join("context.txt")).unwrap_or_default();
    match text.trim() {
        "" => {
            let reason = format!("none is selected: name one; {}", known(directory));
            Err(Error::Context { name: String::new(), reason })
        }
        name => Ok(name.to_owned()),
    }
}

/// The names of all contexts, as the end of a sentence.
fn known(directory: &Path) -> String {
    let entries = fs::read_dir(directory.join("context")).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    let mut names: Vec<_> =
        files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    match names.is_empty() {
        true => format!("there is none in {}", directory.join("context").display()),
        false => format!("known are {}", names.join(", ")),
    }
}

impl Context {
    fn read(directory: &Path, name: &str) -> Result<Context, String> {
        // A name is one file's name and never a way to another directory.
        if name.contains("..") || name.contains(['/', '\\']) {
            return Err(format!("that is no name of a context; {}", known(directory)));
        }
        let path = directory.join("context").join(format!("{name}.json"));
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("it does not exist; {}", known(directory)),
            _ => format!("{} can't be read: {error}", path.display()),
        })?;
        Context::parse(&text).map_err(|place| format!("{} is malformed at {place}", path.display()))
    }

    /// Reads a file's text; an error is the place of the fault, since the reader's message may
    /// quote a secret.
    fn parse(text: &str) -> Result<Context, String> {
        serde_json::from_str(text)
            .map_err(|error| format!("line {} column {}", error.line(), error.column()))
    }

    /// Refuses what would be left out in silence, or would run a program.
    fn supported(self) -> Result<Context, String> {
        let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        if set(&self.nsc) {
            return Err("its nsc look-up would run a program: name a creds file instead".into());
        }
        if set(&self.user_jwt) {
            return Err("user_jwt is not supported: name a creds file instead".into());
        }
        if set(&self.jetstream_domain) || set(&self.jetstream_api_prefix) {
            return Err("JetStream domains and API prefixes are not supported: name a server of \
                        the domain itself, and a context without them"
                .into());
        }
        let files = [&self.creds, &self.nkey, &self.cert, &self.key, &self.ca];
        let others = [&self.token, &self.password];
        let looked_up = |text: &&Option<String>| {
            let schemes = ["nsc://", "op://", "env://", "file://"];
            text.as_deref().is_some_and(|text| schemes.iter().any(|s| text.starts_with(s)))
        };
        match files.iter().chain(&others).any(looked_up) {
            true => Err("it looks a value up elsewhere: write the value or a plain path".into()),
            false => Ok(self),
        }
    }

    /// The values under their names in the settings.
    fn values(self) -> Dict {
        let texts = [
            ("server", self.url),
            ("token", self.token),
            ("user", self.user),
            ("password", self.password),
            ("inbox_prefix", self.inbox_prefix),
            ("credentials", self.creds.map(from_home)),
            ("nkey", self.nkey.map(from_home)),
            ("tls_cert", self.cert.map(from_home)),
            ("tls_key", self.key.map(from_home)),
            ("tls_ca", self.ca.map(from_home)),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text?)));
        let mut values: Dict = texts
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| (key.to_owned(), Value::from(text)))
            .collect();
        if self.tls_first == Some(true) {
            values.insert("tls_first".to_owned(), Value::from(true));
        }
        values
    }
}

/// What a context's text comes to in the settings.
#[cfg(feature = "fuzzing")]
pub(crate) fn values(text: &str) -> Result<Dict, String> {
    Context::parse(text).and_then(Context::supported).map(Context::values)
}

/// `~/x` in the home directory, as the nats CLI reads it.
fn from_home(path: String) -> String {
    let below = path.strip_prefix("~/").map(PathBuf::from);
    match below.zip(home()) {
        Some((below, home)) => home.join(below).to_string_lossy().into_owned(),
        None => path,
    }
}

#[cfg(test)]
mod tests;
