//! What travels: headers, outcomes, marks, records and summaries. Each type stands with both
//! directions of its wire form.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::encoding::Encoding;
use crate::error::Error;
use crate::names::{Function, ItemId};

/// The version of the protocol that this crate speaks.
pub const PROTOCOL: u32 = 1;

/// An item's index, canonical decimal, counted from 0.
pub const INDEX: &str = "Jetiter-Index";
/// How a payload is encoded; on a seal, how the list shall be.
pub const CONTENT_TYPE: &str = "Content-Type";
/// How long one attempt of the item may take, milliseconds.
pub const TIMEOUT: &str = "Jetiter-Timeout";
/// How often the item is tried again after its function returned an error.
pub const RETRIES: &str = "Jetiter-Retries";
/// On an outcome: `<attempt> <started ms since 1970> <took µs> <worker>`.
pub const RUN: &str = "Jetiter-Run";
/// On an outcome that is an error: `error`.
pub const STATUS: &str = "Jetiter-Status";
/// On a seal: how long the result is kept, milliseconds. For ever when absent.
pub const KEEP: &str = "Jetiter-Keep";
/// On a seal: the function, for the result's metadata.
pub const FUNCTION: &str = "Jetiter-Function";
/// On a seal: a label for people, for the result's metadata.
pub const LABEL: &str = "Jetiter-Label";
/// Makes the server refuse a message whose subject holds one already.
pub const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
/// The server drops a second message with the same id within the duplicate window.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// How long the server keeps a message, whole seconds with an `s`.
pub const TTL: &str = "Nats-TTL";
/// `sub` replaces all earlier messages of the subject.
pub const ROLLUP: &str = "Nats-Rollup";

/// The most bytes that the headers of an item or an outcome take.
pub const MAX_HEADERS: usize = 1024;

/// The largest argument or value, in bytes, where a server takes messages of so many.
pub fn max_value(max_payload: usize) -> usize {
    max_payload.saturating_sub(MAX_HEADERS)
}

/// A header's value as text, when there is one.
pub fn header<'a>(headers: Option<&'a HeaderMap>, name: &'static str) -> Option<&'a str> {
    headers?.get(name).map(|value| value.as_str())
}

/// A header that holds milliseconds.
pub fn header_millis(
    headers: Option<&HeaderMap>,
    name: &'static str,
) -> Result<Option<Duration>, Error> {
    let Some(text) = header(headers, name) else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        Ok(millis) if millis > 0 => Ok(Some(Duration::from_millis(millis))),
        _ => Err(malformed(name, text, "milliseconds, a whole number above 0")),
    }
}

/// A header that holds a count.
pub fn header_count(headers: Option<&HeaderMap>, name: &'static str) -> Result<Option<u32>, Error> {
    let Some(text) = header(headers, name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| malformed(name, text, "a whole number"))
}

/// A whole number of seconds as the server's TTL header wants it; at least one.
pub fn ttl(keep: Duration) -> String {
    format!("{}s", keep.as_millis().div_ceil(1000).max(1))
}

fn malformed(what: &str, found: &str, wanted: &str) -> Error {
    Error::Encoding { what: what.to_owned(), reason: format!("{found:?} is not {wanted}") }
}

/// Why an item has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// No worker of the queue serves a function of this name.
    UnknownFunction,
    /// The argument is malformed, or not of the type that the function takes.
    BadArgument,
    /// A header of the item is malformed.
    BadHeader,
    /// The function returned an error.
    Failed,
    /// The function panicked.
    Panicked,
    /// The function took longer than it may.
    TimedOut,
    /// The value is larger than the server takes.
    TooLarge,
    /// The value can't be written in the item's encoding, or in the list's.
    BadValue,
    /// The workers that began the item died, each time.
    Lost,
    /// The item's index is at or over the total that the group was sealed with.
    OutOfRange,
}

impl ErrorKind {
    /// Another try can help against what the function met, not against what it was given.
    pub fn is_worth_retrying(self) -> bool {
        matches!(self, ErrorKind::Failed | ErrorKind::Panicked | ErrorKind::TimedOut)
    }
}

/// What stands in an outcome in place of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ItemError {
    /// Why there is no value.
    pub kind: ErrorKind,
    /// What a person needs to know of it.
    pub message: String,
}

impl ItemError {
    /// The longest message that is kept, in bytes: an outcome must fit where a value did.
    pub const MAX_MESSAGE: usize = 8 * 1024;

    /// An error of this kind. A message that is too long is cut.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> ItemError {
        let mut message = message.to_string();
        if message.len() > ItemError::MAX_MESSAGE {
            let cut = (0..=ItemError::MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(cut.unwrap_or(0));
            message.push('…');
        }
        ItemError { kind, message }
    }

    /// The error of a value that no message can carry.
    pub fn too_large(bytes: usize, limit: usize) -> ItemError {
        let message = format!(
            "the value has {bytes} bytes and the server takes {limit}: \
             return a reference to it instead"
        );
        ItemError::new(ErrorKind::TooLarge, message)
    }
}

/// Who ran an item and how it went; the `Jetiter-Run` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// How often the item was handed to a worker, this time included.
    pub attempts: u32,
    /// When it began by the worker's clock, milliseconds since 1970.
    pub started: u64,
    /// How long it took, microseconds.
    pub took: u64,
    /// The worker's name.
    pub worker: String,
}

impl Run {
    /// Reads the header. A foreign outcome may lack it or hold anything: that is no error.
    pub fn parse(text: &str) -> Option<Run> {
        let mut parts = text.splitn(4, ' ');
        Some(Run {
            attempts: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
            took: parts.next()?.parse().ok()?,
            worker: parts.next()?.to_owned(),
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.attempts, self.started, self.took, self.worker)
    }
}

/// The headers of a write-once key: refused when the key is there already.
pub fn once_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED_LAST, "0");
    headers
}

/// The headers of an outcome. The first one stored wins: the server refuses every later one.
pub fn outcome_headers(encoding: Encoding, run: &Run, failed: bool) -> HeaderMap {
    let mut headers = once_headers();
    headers.insert(RUN, run.to_string());
    if encoding != Encoding::Json {
        headers.insert(CONTENT_TYPE, encoding.content_type());
    }
    if failed {
        headers.insert(STATUS, "error");
    }
    headers
}

/// Whether an outcome's headers say that it is an error.
pub fn is_failed(headers: Option<&HeaderMap>) -> bool {
    header(headers, STATUS) == Some("error")
}

/// What a seal says; the payload of the seal mark, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// How many items the group has.
    pub total: u32,
    /// How the list is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// How long the result is kept, milliseconds; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
    /// The function, as the submitter names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// A label for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Seal {
    /// The longest label, in bytes.
    pub const MAX_LABEL: usize = 256;
    /// From here on, a hundred years, a result is kept for ever: the server's clock tells less
    /// than three hundred, and a TTL that it refuses would keep the group from ending.
    pub const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// A seal of so many items, with nothing else said.
    pub fn of(total: u32) -> Seal {
        Seal { total, encoding: Encoding::Json, keep_ms: None, function: None, label: None }
    }

    /// Refuses a label that a header can't carry.
    pub fn check_label(label: &str) -> Result<(), Error> {
        // A header loses the space around its value on its way.
        let sound = label.len() <= Seal::MAX_LABEL
            && !label.contains(['\r', '\n', '\0'])
            && label.trim() == label;
        if sound {
            Ok(())
        } else {
            let rule = "one line of at most 256 bytes without space around it";
            Err(malformed("the label", label, rule))
        }
    }

    /// Reads a seal message.
    pub fn from_message(headers: Option<&HeaderMap>, payload: &[u8]) -> Result<Seal, Error> {
        let text = std::str::from_utf8(payload).unwrap_or("no text").trim();
        let total = text
            .parse()
            .map_err(|_| malformed("the total", text, "a whole number from 0 to 4294967295"))?;
        let label = header(headers, LABEL).map(str::to_owned);
        if label.as_ref().is_some_and(|label| label.len() > Seal::MAX_LABEL) {
            return Err(malformed(LABEL, "a longer text", "at most 256 bytes"));
        }
        Ok(Seal {
            total,
            encoding: Encoding::from_content_type(header(headers, CONTENT_TYPE))?,
            keep_ms: header_millis(headers, KEEP)?
                .filter(|keep| *keep < Seal::FOR_EVER)
                .map(|keep| keep.as_millis() as u64),
            function: header(headers, FUNCTION).map(str::parse).transpose()?,
            label,
        })
    }

    /// The headers and the payload of the seal message.
    pub fn to_message(&self) -> (HeaderMap, Vec<u8>) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.encoding.content_type());
        if let Some(keep) = self.keep_ms {
            headers.insert(KEEP, keep.to_string());
        }
        if let Some(function) = &self.function {
            headers.insert(FUNCTION, function.as_str());
        }
        if let Some(label) = &self.label {
            headers.insert(LABEL, label.as_str());
        }
        (headers, self.total.to_string().into_bytes())
    }
}

/// How a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Every item has an outcome.
    Complete,
    /// Somebody cancelled it.
    Cancelled,
    /// It was never sealed, and nothing happened for a long time.
    Abandoned,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Complete => "complete",
            State::Cancelled => "cancelled",
            State::Abandoned => "abandoned",
        })
    }
}

/// The payload of an end mark, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How the group ended; never [`State::Complete`].
    pub state: State,
}

/// One item's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Who the item is.
    pub index: ItemId,
    /// Whether the list holds its value.
    pub ok: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ItemError>,
    /// How often it was handed to a worker.
    pub attempts: u32,
    /// When its last attempt began by the worker's clock, milliseconds since 1970.
    pub started_ms: u64,
    /// How long that took, milliseconds.
    pub duration_ms: f64,
    /// The worker's name.
    pub worker: String,
}

/// What a result is, without its values: the object's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The group.
    pub group: String,
    /// How it ended.
    pub state: State,
    /// How the list is written.
    pub encoding: Encoding,
    /// How many items it was sealed with, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// How many values the list holds.
    pub ok: u64,
    /// How many errors.
    pub failed: u64,
    /// How many outcomes the list leaves out: their index is at or over the total.
    pub extra: u64,
    /// The function, if the submitter named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// The label, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How long the result is kept after its end, milliseconds; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
    /// When its first entry was stored in the cache by the server's clock, milliseconds since 1970.
    pub started_ms: u64,
    /// When its last one was.
    pub finished_ms: u64,
    /// The sequence in the cache's log that decided the group.
    pub cut: u64,
    /// When that log was created: a sequence says nothing about another log.
    pub log: String,
    /// Where the records are: `<nuid> <chunks> <bytes> <digest>`.
    pub records: String,
}

impl Summary {
    /// How many items the list has.
    pub fn len(&self) -> u64 {
        self.ok + self.failed
    }

    /// Whether the list has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As the metadata of an object: readable in `nats object info`.
    pub fn to_metadata(&self) -> HashMap<String, String> {
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) else {
            return HashMap::new();
        };
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        fields.into_iter().map(|(name, value)| (name, text(value))).collect()
    }

    /// Reads the metadata of an object; `None` when this is no result of ours.
    pub fn from_metadata(metadata: &HashMap<String, String>) -> Option<Summary> {
        const TEXTS: [&str; 7] =
            ["group", "state", "encoding", "function", "label", "log", "records"];
        let field = |(name, text): (&String, &String)| {
            let value = match TEXTS.contains(&name.as_str()) {
                true => serde_json::Value::String(text.clone()),
                false => serde_json::from_str(text).ok()?,
            };
            Some((name.clone(), value))
        };
        let fields = metadata.iter().filter_map(field).collect();
        serde_json::from_value(serde_json::Value::Object(fields)).ok()
    }
}

/// How far a live group is; the payload of progress events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How many items it was sealed with, if it was.
    pub total: Option<u32>,
    /// How many outcomes count.
    pub done: u64,
    /// How many of them are errors.
    pub failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            group: "12".into(),
            state: State::Complete,
            encoding: Encoding::Cbor,
            total: Some(3),
            ok: 2,
            failed: 1,
            extra: 0,
            function: Some("math.floor".parse().unwrap()),
            label: Some("7".into()),
            keep_ms: None,
            started_ms: 1,
            finished_ms: 2,
            cut: 9,
            log: "2026-01-01T00:00:00Z".into(),
            records: "12.abc 1 10 SHA-256=x".into(),
        }
    }

    #[test]
    fn a_summary_round_trips_through_metadata() {
        let whole = summary();
        assert_eq!(Summary::from_metadata(&whole.to_metadata()), Some(whole));
        let bare = Summary { total: None, function: None, label: None, ..summary() };
        assert_eq!(Summary::from_metadata(&bare.to_metadata()), Some(bare));
        assert_eq!(Summary::from_metadata(&HashMap::new()), None);
    }

    #[test]
    fn a_run_round_trips() {
        let run = Run { attempts: 2, started: 3, took: 4, worker: "a b".into() };
        assert_eq!(Run::parse(&run.to_string()), Some(run));
        assert_eq!(Run::parse("x"), None);
    }

    #[test]
    fn a_seal_round_trips() {
        let seal = Seal {
            total: 5,
            encoding: Encoding::Cbor,
            keep_ms: Some(1500),
            function: Some("math.floor".parse().unwrap()),
            label: Some("my run".into()),
        };
        let (headers, payload) = seal.to_message();
        assert_eq!(Seal::from_message(Some(&headers), &payload).unwrap(), seal);
        assert_eq!(Seal::from_message(None, b"100").unwrap(), Seal::of(100));
        let mut headers = HeaderMap::new();
        headers.insert(KEEP, u64::MAX.to_string());
        let kept = Seal::from_message(Some(&headers), b"100").unwrap();
        assert_eq!(kept, Seal::of(100), "longer than a server can count is for ever");
    }

    #[test]
    fn a_malformed_seal_is_named() {
        for bad in ["", "-1", "1.5", "4294967296", "[1]", "ten"] {
            let error = Seal::from_message(None, bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("total") && error.contains(bad), "{error}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(KEEP, "soon");
        let error = Seal::from_message(Some(&headers), b"1").unwrap_err().to_string();
        assert!(error.contains(KEEP) && error.contains("soon"), "{error}");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let error = ItemError::new(ErrorKind::Failed, "ü".repeat(ItemError::MAX_MESSAGE));
        assert!(error.message.len() <= ItemError::MAX_MESSAGE + '…'.len_utf8());
    }

    #[test]
    fn a_ttl_is_whole_seconds() {
        assert_eq!(ttl(Duration::from_millis(1)), "1s");
        assert_eq!(ttl(Duration::from_millis(1500)), "2s");
    }
}
