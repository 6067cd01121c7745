//! One stored outcome on its way into the list: checked, never decoded into a value.

use std::borrow::Cow;

use async_nats::Message;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::ItemId;
use jetiter_config::wire::{self, ErrorKind, ItemError, Record, Run};

/// An outcome as it stands in the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stored<'a> {
    /// Who the item is.
    pub(crate) id: ItemId,
    /// Whether it is an error.
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
    pub(crate) fn of(id: ItemId, message: &'a Message) -> Stored<'a> {
        let headers = message.headers.as_ref();
        Stored {
            id,
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

    /// What the list holds for it: its value, in the list's encoding, or why there is none.
    pub(crate) fn value(&self, list: Encoding) -> Result<Cow<'a, [u8]>, ItemError> {
        let own = self.encoding()?;
        if self.failed {
            let read = own.decode::<ItemError>(self.payload);
            return Err(read.unwrap_or_else(|error| unusable("error", error)));
        }
        // Foreign bytes must not break the list for everybody else.
        own.check(self.payload).map_err(|error| unusable("value", error))?;
        if own == list {
            return Ok(Cow::Borrowed(self.payload));
        }
        let written = own.transcode(self.payload, list);
        written.map(Cow::Owned).map_err(|error| unusable("value", error))
    }

    /// Its report.
    pub(crate) fn record(&self, error: Option<ItemError>) -> Record {
        // A foreign outcome may lack it; its record says so with zeros.
        let run = Run::parse(self.run).unwrap_or_default();
        Record {
            index: self.id,
            ok: error.is_none(),
            error,
            attempts: run.attempts,
            started_ms: run.started,
            duration_ms: run.took as f64 / 1000.0,
            worker: run.worker,
        }
    }
}

fn unusable(what: &str, reason: impl std::fmt::Display) -> ItemError {
    ItemError::new(ErrorKind::BadValue, format!("the stored {what} can't be read: {reason}"))
}
