//! What of the collator reads foreign bytes.

use async_nats::Message;
use bytes::Bytes;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::ItemId;
use jetiter_config::wire::{ItemError, Record};

use super::outcome::{Of, Stored, record};
use super::upload::Uploaded;

/// What a list holds for a message in the cache, and its record.
pub fn outcome(
    id: ItemId,
    message: &Message,
    list: Encoding,
) -> (Result<Bytes, ItemError>, Record) {
    let stored = Stored::read(Of::Item(id), message);
    let value = stored.value(list).map(|value| Bytes::copy_from_slice(&value));
    let record = record(id, stored.run(), value.as_ref().err().cloned());
    (value, record)
}

/// Where a result's records are, read and written again.
pub fn uploaded(text: &str) -> Option<String> {
    Uploaded::from_text(text).map(|uploaded| uploaded.to_text())
}
