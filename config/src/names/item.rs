//! Who an item is, and what tells of its delivery.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Reads a decimal that is written in the one canonical way: no sign, no leading zero.
pub(super) fn canonical<N: FromStr>(text: &str) -> Option<N> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}

/// Who an item is within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemId {
    /// The index that the submitter gave, counted from 0.
    Index(u32),
    /// An item without an index, as plain `nats pub` sends it: where and when the items stream
    /// stored it. Written `n<sequence>-<nanoseconds>`.
    Stored {
        /// Sequence in the items stream.
        sequence: u64,
        /// The server's time of storing, nanoseconds since 1970.
        timestamp: i64,
    },
}

impl ItemId {
    /// Reads an index as the `Jetiter-Index` header and the cache keys write it.
    pub fn index(text: &str) -> Option<ItemId> {
        canonical(text).map(ItemId::Index)
    }

    /// Reads either form.
    pub fn parse(text: &str) -> Option<ItemId> {
        let Some(stored) = text.strip_prefix('n') else {
            return ItemId::index(text);
        };
        let (sequence, timestamp) = stored.split_once('-')?;
        Some(ItemId::Stored { sequence: canonical(sequence)?, timestamp: canonical(timestamp)? })
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemId::Index(index) => write!(f, "{index}"),
            ItemId::Stored { sequence, timestamp } => write!(f, "n{sequence}-{timestamp}"),
        }
    }
}

impl Serialize for ItemId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ItemId::Index(index) => serializer.serialize_u32(*index),
            ItemId::Stored { .. } => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for ItemId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Index(u32),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Index(index) => Ok(ItemId::Index(index)),
            Either::Text(text) => ItemId::parse(&text)
                .ok_or_else(|| serde::de::Error::custom(format!("{text} is no item id"))),
        }
    }
}

/// What the subject of an acknowledgement tells of a delivered message (ADR-15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How often the message was delivered, this time included.
    pub delivered: u64,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its sequence among the consumer's deliveries.
    pub consumer_sequence: u64,
    /// When the server stored it, nanoseconds since 1970.
    pub timestamp: i64,
}

impl Delivery {
    /// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<cseq>.<time>.<pending>`, or the newer
    /// form with domain and account hash in front of the stream. Read here because async-nats
    /// copies its whole context to do it, once a message.
    pub fn parse(reply: &str) -> Option<Delivery> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let before = if rest.bytes().filter(|b| *b == b'.').count() >= 8 { 4 } else { 2 };
        let mut tokens = rest.split('.').skip(before);
        Some(Delivery {
            delivered: canonical(tokens.next()?)?,
            sequence: canonical(tokens.next()?)?,
            consumer_sequence: canonical(tokens.next()?)?,
            timestamp: canonical(tokens.next()?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_acknowledgement_are_read() {
        let wanted =
            Delivery { delivered: 3, sequence: 100, consumer_sequence: 7, timestamp: 1790 };
        for reply in [
            "$JS.ACK.jetiter-items.worker-default.3.100.7.1790.42",
            "$JS.ACK._.szMpdrwD.jetiter-items.worker-default.3.100.7.1790.42",
            "$JS.ACK.hub.szMpdrwD.jetiter-items.worker-default.3.100.7.1790.42.rand",
        ] {
            assert_eq!(Delivery::parse(reply), Some(wanted), "{reply}");
        }
        assert_eq!(Delivery::parse("$JS.ACK.a.b.x.100.7.1790.42"), None);
        assert_eq!(Delivery::parse("$JS.ACK.a.b.3.100.7.-1790.42"), None, "no key could hold it");
        assert_eq!(Delivery::parse("_INBOX.a.b"), None);
    }

    #[test]
    fn item_ids_are_numbers_or_text() {
        let index = serde_json::to_string(&ItemId::Index(7)).unwrap();
        let stored = serde_json::to_string(&ItemId::Stored { sequence: 1, timestamp: 2 }).unwrap();
        assert_eq!((index.as_str(), stored.as_str()), ("7", "\"n1-2\""));
        assert_eq!(
            serde_json::from_str::<ItemId>(&stored).unwrap(),
            ItemId::parse("n1-2").unwrap()
        );
    }
}
