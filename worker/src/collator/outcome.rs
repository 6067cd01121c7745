//! One stored outcome on its way into the list: checked, never decoded into a value.

use async_nats::Message;
use bytes::Bytes;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::ItemId;
use jetiter_config::wire::{self, ErrorKind, ItemError, Record, Run};

/// An outcome as it stands in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: ItemId,
    pub(crate) failed: bool,
    encoding: Result<Encoding, String>,
    run: Run,
    payload: Bytes,
}

impl Stored {
    /// Takes what the list and the record need, and lets go of the read buffer behind it.
    pub(crate) fn of(id: ItemId, message: &Message) -> Stored {
        let headers = message.headers.as_ref();
        let encoding = Encoding::from_content_type(wire::header(headers, wire::CONTENT_TYPE));
        Stored {
            id,
            failed: wire::is_failed(headers),
            encoding: encoding.map_err(|error| error.to_string()),
            // A foreign outcome may lack it; its record says so with zeros.
            run: wire::header(headers, wire::RUN).and_then(Run::parse).unwrap_or_default(),
            payload: Bytes::copy_from_slice(&message.payload),
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Stored>() + self.payload.len() + self.run.worker.len()
    }

    /// What the list holds for it: its value, in the list's encoding, or why there is none.
    pub(crate) fn value(&self, list: Encoding) -> Result<Bytes, ItemError> {
        let own = self.encoding.clone().map_err(|reason| unusable("outcome", reason))?;
        if self.failed {
            let read = own.decode::<ItemError>(&self.payload);
            return Err(read.unwrap_or_else(|error| unusable("error", error)));
        }
        // Foreign bytes must not break the list for everybody else.
        own.check(&self.payload).map_err(|error| unusable("value", error))?;
        if own == list {
            return Ok(self.payload.clone());
        }
        let written = own.transcode(&self.payload, list);
        written.map(Bytes::from).map_err(|error| unusable("value", error))
    }

    /// Its report.
    pub(crate) fn record(&self, error: Option<ItemError>) -> Record {
        Record {
            index: self.id,
            ok: error.is_none(),
            error,
            attempts: self.run.attempts,
            started_ms: self.run.started,
            duration_ms: self.run.took as f64 / 1000.0,
            worker: self.run.worker.clone(),
        }
    }
}

fn unusable(what: &str, reason: impl std::fmt::Display) -> ItemError {
    ItemError::new(ErrorKind::BadValue, format!("the stored {what} can't be read: {reason}"))
}
