//! One stored entry on its way into the list: checked, never decoded into a value.

use std::borrow::Cow;

use async_nats::Message;
use bytes::Bytes;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{ItemId, Span};
use jetiter_config::wire::{self, ErrorKind, ItemError, Outcomes, Record, Run};

/// Whose outcome an entry holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Of {
    Item(ItemId),
    Items(Span),
}

/// An entry with an outcome, or with several, as it stands in the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stored<'a> {
    /// Whose it is.
    pub(crate) of: Of,
    /// Whether it is an error, or holds one.
    pub(crate) failed: bool,
    /// The `Content-Type`, if there is one.
    pub(crate) content_type: Option<&'a str>,
    /// Who ran it and how it went; empty when nobody says.
    pub(crate) run: &'a str,
    /// The value or the error.
    pub(crate) payload: &'a [u8],
}

impl<'a> Stored<'a> {
    /// What the list and the record need of a message.
    pub(crate) fn read(of: Of, message: &'a Message) -> Stored<'a> {
        let headers = message.headers.as_ref();
        Stored {
            of,
            failed: wire::is_failed(headers),
            content_type: wire::header(headers, wire::CONTENT_TYPE),
            run: wire::header(headers, wire::RUN).unwrap_or_default(),
            payload: &message.payload,
        }
    }

    /// How it is written, where that can be told.
    pub(crate) fn encoding(&self) -> Result<Encoding, ItemError> {
        let encoding = Encoding::from_content_type(self.content_type);
        encoding.map_err(|error| unusable("outcome", error))
    }

    /// What the list holds for an item's outcome: its value, in the list's encoding, or why there
    /// is none.
    pub(crate) fn value(&self, list: Encoding) -> Result<Cow<'a, [u8]>, ItemError> {
        let own = self.encoding()?;
        if self.failed {
            let read = own.decode::<ItemError>(self.payload);
            return Err(read.unwrap_or_else(|error| unusable("error", error)));
        }
        // Foreign bytes must not break the list for everybody else.
        own.check(self.payload).map_err(|error| unusable("value", error))?;
        in_encoding(self.payload, own, list)
    }

    /// The outcomes of several items, and how they are written.
    pub(crate) fn values(&self, span: Span) -> Result<(Encoding, Outcomes), ItemError> {
        let own = self.encoding()?;
        let payload = Bytes::copy_from_slice(self.payload);
        let outcomes = Outcomes::read(own, &payload, span.count());
        outcomes.map(|read| (own, read)).map_err(|error| unusable("outcomes", error))
    }

    /// Who ran it and how it went. A foreign outcome may lack it; its record says so with zeros.
    pub(crate) fn run(&self) -> Run {
        Run::parse(self.run).unwrap_or_default()
    }
}

/// A well-formed value in the list's encoding.
pub(crate) fn in_encoding(
    value: &[u8],
    own: Encoding,
    list: Encoding,
) -> Result<Cow<'_, [u8]>, ItemError> {
    if own == list {
        return Ok(Cow::Borrowed(value));
    }
    let written = own.transcode(value, list);
    written.map(Cow::Owned).map_err(|error| unusable("value", error))
}

/// An item's report.
pub(crate) fn record(index: ItemId, run: Run, error: Option<ItemError>) -> Record {
    Record {
        index,
        ok: error.is_none(),
        error,
        attempts: run.attempts,
        started_ms: run.started,
        duration_ms: run.took as f64 / 1000.0,
        worker: run.worker,
    }
}

fn unusable(what: &str, reason: impl std::fmt::Display) -> ItemError {
    ItemError::new(ErrorKind::BadValue, format!("the stored {what} can't be read: {reason}"))
}
