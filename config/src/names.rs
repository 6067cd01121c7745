//! Every subject, key and asset name, built and taken apart in one place.
//!
//! JetStream stores a published literal `*` or `>` like any other token, so what comes from
//! outside is checked here on both sides: no token type can hold a wildcard, a dot or a space.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest queue, group or namespace token, in bytes.
pub const MAX_TOKEN: usize = 64;
/// The longest function name, in bytes.
pub const MAX_FUNCTION: usize = 128;

const TOKEN_RULE: &str = "use 1 to 64 letters, digits, '_' or '-'";
const FUNCTION_RULE: &str =
    "use tokens of letters, digits, '_' or '-', joined by dots, 128 bytes in all";

fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_function(text: &str) -> bool {
    text.len() <= MAX_FUNCTION && text.split('.').all(is_token)
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                if $check(text) {
                    return Ok($name(text.to_owned()));
                }
                Err(Error::Name { what: $what, value: text.to_owned(), reason: $rule })
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// The id of a group: one token, a UUID in simple form unless the caller brings one.
    GroupId, "group id", is_token, TOKEN_RULE
);
checked_name!(
    /// A named line of items that a pool of workers serves: one token.
    Queue, "queue", is_token, TOKEN_RULE
);
checked_name!(
    /// The dotted name of what runs, for example `math.floor`.
    Function, "function name", is_function, FUNCTION_RULE
);
checked_name!(
    /// Prefixes every subject and asset, so that several engines share one account.
    Namespace, "namespace", is_token, TOKEN_RULE
);

impl GroupId {
    /// A new id that nobody can guess.
    pub fn random() -> GroupId {
        GroupId(uuid::Uuid::new_v4().simple().to_string())
    }
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

/// Reads a decimal that is written in the one canonical way: no sign, no leading zero.
fn canonical<N: FromStr>(text: &str) -> Option<N> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
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

/// The three marks of a group in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// "This group has N items."
    Seal,
    /// The group ends although items are missing: cancelled or abandoned.
    End,
    /// The result is committed. Goes by itself after a short time.
    Done,
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Mark::Seal => "seal",
            Mark::End => "end",
            Mark::Done => "done",
        }
    }
}

/// What one key of the cache holds. The group is the second token of every key, so that one
/// filter covers all keys of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An item's outcome: `item.<group>.<id>`.
    Outcome(ItemId),
    /// The n-th counted begin of an item: `try.<group>.<id>.<n>`.
    Try(ItemId, u32),
    /// A mark of the group: `mark.<group>.<mark>`.
    Mark(Mark),
}

/// What the items stream hands to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work<'a> {
    /// The queue's token.
    pub queue: &'a str,
    /// The group's token.
    pub group: &'a str,
    /// The function's dotted name.
    pub function: &'a str,
}

/// What the items stream hands to the collator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// `<ns>.seal.<group>`
    Seal(&'a str),
    /// `<ns>.cancel.<group>`
    Cancel(&'a str),
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
            delivered: tokens.next()?.parse().ok()?,
            sequence: tokens.next()?.parse().ok()?,
            consumer_sequence: tokens.next()?.parse().ok()?,
            timestamp: tokens.next()?.parse().ok()?,
        })
    }
}

/// The durable consumer of seals and cancels.
pub const COLLATOR_CONSUMER: &str = "collator";
/// The key of the collator's lease in the lease bucket.
pub const LEASE_KEY: &str = "collator";

impl Namespace {
    /// The stream of items, seals and cancels.
    pub fn items_stream(&self) -> String {
        format!("{self}-items")
    }

    /// The key-value bucket of outcomes and marks.
    pub fn cache_bucket(&self) -> String {
        format!("{self}-cache")
    }

    /// The stream under the cache bucket.
    pub fn cache_stream(&self) -> String {
        format!("KV_{self}-cache")
    }

    /// The object store of results.
    pub fn results_bucket(&self) -> String {
        format!("{self}-results")
    }

    /// The stream under the object store.
    pub fn results_stream(&self) -> String {
        format!("OBJ_{self}-results")
    }

    /// The stream under the lease bucket.
    pub fn lease_stream(&self) -> String {
        format!("KV_{self}-lease")
    }

    /// The durable consumer of a queue's workers.
    pub fn worker_consumer(&self, queue: &Queue) -> String {
        format!("worker-{queue}")
    }

    /// What the items stream takes: items, seals, cancels.
    pub fn submit_subjects(&self) -> Vec<String> {
        vec![format!("{self}.item.*.*.>"), format!("{self}.seal.*"), format!("{self}.cancel.*")]
    }

    /// How items are stored: a lane token, a hash of the group, stands behind the queue, so
    /// that more lanes never change a client. Source and destination of the transform.
    pub fn lane_transform(&self) -> (String, String) {
        let source = format!("{self}.item.*.*.>");
        (source, format!("{self}.work.$1.{{{{partition(1,2)}}}}.$2.>"))
    }

    /// Where a client publishes an item.
    pub fn item_subject(&self, queue: &Queue, group: &GroupId, function: &Function) -> String {
        format!("{self}.item.{queue}.{group}.{function}")
    }

    /// Where a client says how many items a group has.
    pub fn seal_subject(&self, group: &GroupId) -> String {
        format!("{self}.seal.{group}")
    }

    /// Where a client cancels a group.
    pub fn cancel_subject(&self, group: &GroupId) -> String {
        format!("{self}.cancel.{group}")
    }

    /// What a queue's consumer is handed.
    pub fn work_filter(&self, queue: &Queue) -> String {
        format!("{self}.work.{queue}.>")
    }

    /// All items of a group that wait or are in hand.
    pub fn waiting_filter(&self, group: &str) -> String {
        format!("{self}.work.*.*.{group}.>")
    }

    /// What the collator's durable consumer is handed.
    pub fn control_filters(&self) -> Vec<String> {
        vec![format!("{self}.seal.*"), format!("{self}.cancel.*")]
    }

    /// Takes a stored item's subject apart: `<ns>.work.<queue>.<lane>.<group>.<function>`.
    pub fn parse_work<'a>(&self, subject: &'a str) -> Option<Work<'a>> {
        let rest = subject.strip_prefix(self.as_str())?.strip_prefix(".work.")?;
        let mut tokens = rest.splitn(4, '.');
        let (queue, _lane) = (tokens.next()?, tokens.next()?);
        let (group, function) = (tokens.next()?, tokens.next()?);
        let sound = is_token(queue) && is_token(group) && is_function(function);
        sound.then_some(Work { queue, group, function })
    }

    /// Takes a seal's or cancel's subject apart.
    pub fn parse_control<'a>(&self, subject: &'a str) -> Option<Control<'a>> {
        let rest = subject.strip_prefix(self.as_str())?;
        let (group, control): (_, fn(&'a str) -> Control<'a>) = match rest.strip_prefix(".seal.") {
            Some(group) => (group, Control::Seal),
            None => (rest.strip_prefix(".cancel.")?, Control::Cancel),
        };
        is_token(group).then(|| control(group))
    }

    /// The subject of a cache key.
    pub fn entry_subject(&self, group: &str, entry: Entry) -> String {
        match entry {
            Entry::Outcome(id) => format!("$KV.{self}-cache.item.{group}.{id}"),
            Entry::Try(id, n) => format!("$KV.{self}-cache.try.{group}.{id}.{n}"),
            Entry::Mark(mark) => format!("$KV.{self}-cache.mark.{group}.{}", mark.as_str()),
        }
    }

    /// What the cache's stream takes.
    pub fn cache_filter(&self) -> String {
        format!("$KV.{self}-cache.>")
    }

    /// All keys of a group: outcomes, begins and marks.
    pub fn group_filter(&self, group: &str) -> String {
        format!("$KV.{self}-cache.*.{group}.>")
    }

    /// The outcomes of a group.
    pub fn outcomes_filter(&self, group: &str) -> String {
        format!("$KV.{self}-cache.item.{group}.>")
    }

    /// Takes a cache key's subject apart into the group and the entry.
    pub fn parse_entry<'a>(&self, subject: &'a str) -> Option<(&'a str, Entry)> {
        let rest = subject.strip_prefix("$KV.")?.strip_prefix(self.as_str())?;
        let (kind, rest) = rest.strip_prefix("-cache.")?.split_once('.')?;
        let (group, rest) = rest.split_once('.')?;
        let entry = match kind {
            "item" => Entry::Outcome(ItemId::parse(rest)?),
            "try" => {
                let (id, n) = rest.split_once('.')?;
                Entry::Try(ItemId::parse(id)?, canonical(n)?)
            }
            "mark" => Entry::Mark(match rest {
                "seal" => Mark::Seal,
                "end" => Mark::End,
                "done" => Mark::Done,
                _ => return None,
            }),
            _ => return None,
        };
        is_token(group).then_some((group, entry))
    }

    /// The subject of the collator's lease.
    pub fn lease_subject(&self) -> String {
        format!("$KV.{self}-lease.{LEASE_KEY}")
    }

    /// What the results' stream takes: chunks and metadata.
    pub fn results_subjects(&self) -> Vec<String> {
        vec![format!("$O.{self}-results.C.>"), format!("$O.{self}-results.M.>")]
    }

    /// Where an object's metadata stands. Publishing the list's is the commit.
    pub fn object_subject(&self, object: &str) -> String {
        format!("$O.{self}-results.M.{}", URL_SAFE.encode(object))
    }

    /// Where the chunks of one upload stand; `nuid` is `<group>.<unique>`, so that every chunk
    /// tells whose it is.
    pub fn chunk_subject(&self, nuid: &str) -> String {
        format!("$O.{self}-results.C.{nuid}")
    }

    /// All chunks that any collator ever wrote for a group.
    pub fn chunks_filter(&self, group: &str) -> String {
        format!("$O.{self}-results.C.{group}.>")
    }

    /// Where events about a group are told, over core NATS.
    pub fn event_subject(&self, group: &str, kind: &str) -> String {
        format!("{self}.event.{group}.{kind}")
    }
}

/// The name of the object that holds a group's records.
pub fn records_object(group: &str) -> String {
    format!("{group}.records")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns() -> Namespace {
        "jetiter".parse().unwrap()
    }

    #[test]
    fn a_token_holds_no_wildcard_dot_or_space() {
        for bad in ["", "a.b", "*", ">", "a b", "a\n", "ü", &"x".repeat(65)] {
            assert!(bad.parse::<GroupId>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(64).parse::<GroupId>().is_ok());
        for bad in ["", ".", "a.", ".a", "a..b", "a.*", "math.>"] {
            assert!(bad.parse::<Function>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_error_names_the_value_and_the_rule() {
        let error = "a.b".parse::<GroupId>().unwrap_err().to_string();
        assert!(error.contains("a.b") && error.contains("letters"), "{error}");
    }

    #[test]
    fn entries_round_trip() {
        let stored = ItemId::Stored { sequence: 12, timestamp: 1_700_000_000_000_000_001 };
        for entry in [
            Entry::Outcome(ItemId::Index(0)),
            Entry::Outcome(ItemId::Index(u32::MAX)),
            Entry::Outcome(stored),
            Entry::Try(stored, 3),
            Entry::Mark(Mark::Seal),
            Entry::Mark(Mark::End),
            Entry::Mark(Mark::Done),
        ] {
            let subject = ns().entry_subject("g1", entry);
            assert_eq!(ns().parse_entry(&subject), Some(("g1", entry)), "{subject}");
        }
    }

    #[test]
    fn only_canonical_keys_are_entries() {
        for bad in ["item.g.01", "item.g.+1", "item.g.-1", "item.g.4294967296", "item.g", "item.g."]
        {
            assert_eq!(ns().parse_entry(&format!("$KV.jetiter-cache.{bad}")), None, "{bad}");
        }
        assert_eq!(ns().parse_entry("$KV.jetiter2-cache.item.g.1"), None);
        assert_eq!(ns().parse_entry("$KV.jetiter-cache.item.g*.1"), None);
    }

    #[test]
    fn work_is_read_behind_the_lane() {
        let work = ns().parse_work("jetiter.work.default.0.g1.math.floor");
        assert_eq!(work, Some(Work { queue: "default", group: "g1", function: "math.floor" }));
        assert_eq!(ns().parse_work("jetiter.work.default.0.g*.math.floor"), None);
        assert_eq!(ns().parse_work("jetiter.work.default.0.g1"), None);
    }

    #[test]
    fn controls_are_told_apart() {
        assert_eq!(ns().parse_control("jetiter.seal.g1"), Some(Control::Seal("g1")));
        assert_eq!(ns().parse_control("jetiter.cancel.g1"), Some(Control::Cancel("g1")));
        assert_eq!(ns().parse_control("jetiter.seal.*"), None);
    }

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
