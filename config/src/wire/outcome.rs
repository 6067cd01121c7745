//! An outcome: the value or the error, who ran it, and its report.

use std::fmt::{self, Write};

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

use super::headers::{CONTENT_TYPE, RUN, STATUS, header, once_headers, set_header};
use crate::encoding::Encoding;
use crate::names::ItemId;

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
        ItemError { kind, message: cut(message.to_string(), ItemError::MAX_MESSAGE) }
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

/// A text for people, cut where it is longer than so many bytes.
pub fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
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

    /// Written at once: grown piece by piece it would be moved again and again.
    fn to_text(&self) -> String {
        let mut text = String::with_capacity(32 + self.worker.len());
        // Text takes whatever is written to it.
        write!(text, "{self}").ok();
        text
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.attempts, self.started, self.took, self.worker)
    }
}

/// The headers of an outcome. The first one stored wins: the server refuses every later one.
pub fn outcome_headers(encoding: Encoding, run: &Run, failed: bool) -> HeaderMap {
    let mut headers = once_headers();
    set_header(&mut headers, RUN, run.to_text());
    if encoding != Encoding::Json {
        set_header(&mut headers, CONTENT_TYPE, encoding.content_type());
    }
    if failed {
        set_header(&mut headers, STATUS, "error");
    }
    headers
}

/// Whether an outcome's headers say that it is an error.
pub fn is_failed(headers: Option<&HeaderMap>) -> bool {
    header(headers, STATUS) == Some("error")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_round_trips() {
        let run = Run { attempts: 2, started: 3, took: 4, worker: "a b".into() };
        assert_eq!(Run::parse(&run.to_string()), Some(run));
        assert_eq!(Run::parse("x"), None);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let error = ItemError::new(ErrorKind::Failed, "ü".repeat(ItemError::MAX_MESSAGE));
        assert!(error.message.len() <= ItemError::MAX_MESSAGE + '…'.len_utf8());
    }
}
