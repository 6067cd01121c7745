//! The keys of the cache.

use super::item::{ItemId, canonical};
use super::span::Span;
use super::token::{Namespace, is_token};

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
    /// The outcomes of several items: `item.<group>.<first>-<count>`.
    Outcomes(Span),
    /// The n-th counted begin of an item: `try.<group>.<id>.<n>`.
    Try(ItemId, u32),
    /// A mark of the group: `mark.<group>.<mark>`.
    Mark(Mark),
}

impl Namespace {
    /// The subject of a cache key.
    pub fn entry_subject(&self, group: &str, entry: Entry) -> String {
        match entry {
            Entry::Outcome(id) => format!("$KV.{self}-cache.item.{group}.{id}"),
            Entry::Outcomes(span) => format!("$KV.{self}-cache.item.{group}.{span}"),
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
            "item" => match ItemId::parse(rest) {
                Some(id) => Entry::Outcome(id),
                None => Entry::Outcomes(Span::parse(rest)?),
            },
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns() -> Namespace {
        "jetiter".parse().unwrap()
    }

    #[test]
    fn entries_round_trip() {
        let stored = ItemId::Stored { sequence: 12, timestamp: 1_700_000_000_000_000_001 };
        for entry in [
            Entry::Outcome(ItemId::Index(0)),
            Entry::Outcome(ItemId::Index(u32::MAX)),
            Entry::Outcome(stored),
            Entry::Outcomes(Span::new(3000, 1000).unwrap()),
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
        for bad in [
            "item.g.01",
            "item.g.+1",
            "item.g.-1",
            "item.g.4294967296",
            "item.g",
            "item.g.",
            "item.g.0-0",
            "item.g.1-01",
            "try.g.0-2.1",
        ] {
            assert_eq!(ns().parse_entry(&format!("$KV.jetiter-cache.{bad}")), None, "{bad}");
        }
        assert_eq!(ns().parse_entry("$KV.jetiter2-cache.item.g.1"), None);
        assert_eq!(ns().parse_entry("$KV.jetiter-cache.item.g*.1"), None);
    }
}
