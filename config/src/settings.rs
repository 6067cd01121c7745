//! The settings: what they are, where they come from, and what is wrong with them.
//!
//! Layers, each above the one before: the defaults, a context of the nats CLI if one is named,
//! `jetiter.toml`, `NATS_URL`, `JETITER_*`, [`flags`]. A `JETITER_` name has `__` where a key has
//! a dot: `JETITER_WORKER__CONCURRENCY=8` is `worker.concurrency`.

mod address;
mod command;
mod command_rules;
#[cfg(test)]
mod command_tests;
mod explain;
mod refuse;
mod size;
pub(crate) mod sources;
#[cfg(test)]
mod tests;
mod validate;
mod values;

use std::fmt;
use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

use figment::providers::Serialized;
use figment::value::Value;
use figment::{Figment, Provider};
use secrecy::SecretString;
use serde::Serializer;

pub use address::redact_url;
pub(crate) use address::{Addresses, parse as parse_addresses};
pub use command::{Command, Input, Line, Mode, Output};
pub use explain::{Explained, explain};
pub use sources::{flags, program_path};
pub use values::{Assets, Collator, LogFormat, Settings, Storage, Submit, Up, Worker};

use crate::context;
use crate::error::Error;

/// What stands where a secret would.
const HIDDEN: &str = "[hidden]";
/// The keys whose values are never shown.
const SECRETS: [&str; 2] = ["password", "token"];
/// The keys that log in: a context's login counts only if none of them is given.
const LOGIN: [&str; 5] = ["credentials", "nkey", "user", "password", "token"];

impl Settings {
    /// What was said about the settings, without flags: `jetiter.toml` in the current directory or
    /// the given file, `NATS_URL`, `JETITER_*`. The defaults and a named context come below it when
    /// it is loaded or explained, so whatever is merged into it wins over both.
    pub fn figment(file: Option<&Path>) -> Figment {
        sources::layers(file)
    }

    /// The settings, checked. A named context's values are in them, so `context` is `None` then.
    pub fn load(figment: &Figment) -> Result<Settings, Error> {
        let resolved = resolve(figment)?;
        let mut settings: Settings =
            resolved.extract().map_err(|error| refuse::unreadable(&resolved, error))?;
        validate::check(&settings, &resolved)?;
        settings.context = None;
        Ok(settings)
    }

    /// These settings with a named context's values in place of what has its default.
    pub(crate) fn with_context(&self) -> Result<Settings, Error> {
        let Some(name) = &self.context else {
            return Ok(self.clone());
        };
        let login = self.credentials.is_some()
            || self.nkey.is_some()
            || self.user.is_some()
            || self.token.is_some();
        let given = |key: &str| match key {
            "server" => self.server != Settings::default().server,
            "tls_cert" | "tls_key" => self.tls_cert.is_some(),
            "tls_ca" => self.tls_ca.is_some(),
            "tls_first" => self.tls_first,
            "inbox_prefix" => self.inbox_prefix.is_some(),
            _ => login,
        };
        let layer = Figment::from(context::layer(name, given)?);
        let from: Settings = layer.extract().map_err(|error| refuse::unreadable(&layer, error))?;
        Ok(self.filled(from))
    }

    /// `from` holds only what is missing here.
    fn filled(&self, from: Settings) -> Settings {
        let server = if from.server == Settings::default().server {
            self.server.clone()
        } else {
            from.server
        };
        let own = self.clone();
        Settings {
            server,
            context: None,
            credentials: own.credentials.or(from.credentials),
            nkey: own.nkey.or(from.nkey),
            user: own.user.or(from.user),
            password: own.password.or(from.password),
            token: own.token.or(from.token),
            tls_ca: own.tls_ca.or(from.tls_ca),
            tls_cert: own.tls_cert.or(from.tls_cert),
            tls_key: own.tls_key.or(from.tls_key),
            tls_first: own.tls_first || from.tls_first,
            inbox_prefix: own.inbox_prefix.or(from.inbox_prefix),
            ..own
        }
    }
}

impl Worker {
    /// How many items run at once, with `0` spelled out as four times the processors.
    pub fn slots(&self) -> usize {
        let processors = available_parallelism().map_or(1, NonZero::get);
        if self.concurrency == 0 { 4 * processors } else { self.concurrency }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        write!(f, "Settings {shown}")
    }
}

/// What was said, above a named context, above the defaults.
fn resolve(figment: &Figment) -> Result<Figment, Error> {
    let name = figment.find_value("context").ok().and_then(Value::into_string);
    let above_defaults = match name {
        Some(name) => figment.clone().join(context::layer(&name, |key| given(figment, key))?),
        None => figment.clone(),
    };
    Ok(above_defaults.join(defaults()))
}

/// Logins and certificates count as a whole: a context must not add its half to one given here.
fn given(figment: &Figment, key: &str) -> bool {
    match key {
        "tls_cert" | "tls_key" => figment.contains("tls_cert") || figment.contains("tls_key"),
        key if LOGIN.contains(&key) => {
            let server = figment.find_value("server").ok().and_then(Value::into_string);
            LOGIN.iter().any(|login| figment.contains(login))
                || server.is_some_and(|server| server.contains('@'))
        }
        key => figment.contains(key),
    }
}

fn defaults() -> impl Provider {
    Serialized::defaults(Settings::default())
}

fn hidden<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_some(HIDDEN),
        None => serializer.serialize_none(),
    }
}

fn redacted<S: Serializer>(server: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&redact_url(server))
}
