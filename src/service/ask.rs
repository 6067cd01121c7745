//! What the endpoints are asked, as JSON. Times are written as on the command line.

use std::time::Duration;

use jetiter_client::{Chunk, Options};
use jetiter_config::encoding::Encoding;
use jetiter_config::names::GroupId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::Fault;
use crate::cli::wait;
use crate::commands;

/// The longest wait for a group: whoever asked has given up by then.
const LONGEST: Duration = Duration::from_secs(60);

/// Maps a function over a list of arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Map {
    pub(super) function: String,
    pub(super) arguments: Vec<Box<RawValue>>,
    queue: Option<String>,
    label: Option<String>,
    timeout: Option<String>,
    #[serde(default)]
    retries: u32,
    chunk: Option<Value>,
    cached: Option<String>,
    group: Option<String>,
    pub(super) notify: Option<String>,
    wait: Option<String>,
}

/// Asks about a group as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Now {
    group: String,
}

/// Asks for a group's end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    group: String,
    wait: Option<String>,
}

/// Asks for nothing in particular.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl Map {
    pub(super) fn options(&self) -> Result<Options, Fault> {
        let mut options = Options::new().encoding(Encoding::Json).retries(self.retries);
        if let Some(group) = &self.group {
            options = options.group(group.parse()?);
        }
        if let Some(queue) = &self.queue {
            options = options.queue(queue.parse()?);
        }
        if let Some(label) = &self.label {
            options = options.label(label);
        }
        if let Some(timeout) = &self.timeout {
            options = options.timeout(time("timeout", timeout)?);
        }
        if let Some(chunk) = &self.chunk {
            options = options.chunk(read_chunk(chunk)?);
        }
        if let Some(keep) = &self.cached {
            options = options.cached(time("cached", keep)?);
        }
        if let Some(subject) = &self.notify {
            options = options.notify(subject);
        }
        Ok(options)
    }

    pub(super) fn wait(&self) -> Result<Duration, Fault> {
        read_wait(self.wait.as_deref())
    }
}

impl Now {
    pub(super) fn group(&self) -> Result<GroupId, Fault> {
        Ok(self.group.parse()?)
    }
}

impl Group {
    pub(super) fn group(&self) -> Result<GroupId, Fault> {
        Ok(self.group.parse()?)
    }

    pub(super) fn wait(&self) -> Result<Duration, Fault> {
        read_wait(self.wait.as_deref())
    }
}

/// Reads a request; an empty one is an object without fields.
pub(super) fn read<T: DeserializeOwned>(name: &str, payload: &[u8]) -> Result<T, Fault> {
    let payload = if payload.is_empty() { b"{}" } else { payload };
    serde_json::from_slice(payload)
        .map_err(|error| Fault::bad(format!("the request is not what {name} takes: {error}")))
}

fn time(name: &str, text: &str) -> Result<Duration, Fault> {
    humantime::parse_duration(text).map_err(|error| {
        let mend = "write a number with its unit, such as 30s";
        Fault::bad(format!("{name} is {text:?}: {error}: {mend}"))
    })
}

fn read_wait(text: Option<&str>) -> Result<Duration, Fault> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let bad = |reason: String| Fault::bad(format!("wait is {text:?}: {reason}"));
    match wait::parse(text).map_err(bad)? {
        wait if wait <= LONGEST => Ok(wait),
        _ => Err(bad(format!("it is at most {}: ask again", wait::shown(LONGEST)))),
    }
}

fn read_chunk(value: &Value) -> Result<Chunk, Fault> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let chunk = commands::map::chunk(&text);
    chunk.map_err(|reason| Fault::bad(format!("chunk is {text}: {reason}")))
}
