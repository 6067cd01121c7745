//! The tally: what the cache's log says goes in, decisions come out. No clock, no IO, no bytes:
//! the same log gives the same decisions, whoever reads it.

use std::collections::{BTreeSet, HashMap, HashSet};

use jetiter_config::names::{ItemId, Span};
use jetiter_config::wire::{Seal, State};
use roaring::RoaringBitmap;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Logged<'a> {
    /// Its sequence.
    pub(crate) seq: u64,
    /// When the server stored it, milliseconds since 1970.
    pub(crate) at: u64,
    /// Whose it is.
    pub(crate) group: &'a str,
    /// What it says.
    pub(crate) event: Event,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// An item came to its outcome.
    Outcome {
        /// Who the item is.
        id: ItemId,
        /// Whether it is an error.
        failed: bool,
    },
    /// Several items came to their outcomes.
    Outcomes {
        /// Which ones.
        span: Span,
        /// The indexes of those that are errors.
        failed: Vec<u32>,
    },
    /// "This group has N items."
    Sealed(Seal),
    /// The group ends although items are missing.
    Ended(State),
    /// A counted begin, a done mark, or something that nobody of ours wrote: it decides nothing,
    /// but it lies in the log.
    Other,
}

/// A group is decided. Everything here follows from the log up to the cut.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) group: String,
    pub(crate) state: State,
    pub(crate) seal: Option<Seal>,
    /// The sequence of the entry that decided: what came later is not in the list.
    pub(crate) cut: u64,
    /// The sequence of the group's first entry.
    pub(crate) first: u64,
    /// How many outcomes the list holds.
    pub(crate) counted: u64,
    /// How many entries with outcomes lie at or below the cut, those out of range included.
    pub(crate) entries: u64,
    /// When the first entry was stored, milliseconds since 1970.
    pub(crate) started: u64,
    /// When the deciding one was.
    pub(crate) finished: u64,
}

/// Whether the list holds this item: not when its index is at or over the total.
pub(crate) fn in_range(seal: Option<&Seal>, id: ItemId) -> bool {
    match (id, seal) {
        (ItemId::Index(index), Some(seal)) => index < seal.total,
        // An item without an index can't be out of range.
        _ => true,
    }
}

/// A group that has entries in the log.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// The sequence of its first entry.
    pub(crate) first: u64,
    /// The sequence of its last one.
    pub(crate) last: u64,
    /// How many entries it has.
    pub(crate) entries: u64,
    /// When the last one was stored, milliseconds since 1970.
    pub(crate) last_at: u64,
    /// When the first one was.
    pub(crate) started: u64,
    indexes: RoaringBitmap,
    stored: HashSet<(u64, i64)>,
    /// How many of its outcomes are errors.
    pub(crate) failed: u64,
    /// The first seal that was logged.
    pub(crate) seal: Option<Seal>,
    counted: u64,
    /// How many entries with outcomes it has.
    outcomes: u64,
    decided: bool,
}

impl Live {
    /// How many outcomes count.
    pub(crate) fn counted(&self) -> u64 {
        self.counted
    }

    /// Sealed, or ended, and on its way to a result.
    pub(crate) fn is_decided(&self) -> bool {
        self.decided
    }

    fn is_complete(&self) -> bool {
        // "At least": items without an index may be more than the total says.
        self.seal.as_ref().is_some_and(|seal| self.counted >= u64::from(seal.total))
    }

    /// Adds to the set; a second outcome of one item changes nothing.
    fn insert(&mut self, id: ItemId, failed: bool) {
        let new = match id {
            ItemId::Index(index) => self.indexes.insert(index),
            ItemId::Stored { sequence, timestamp } => self.stored.insert((sequence, timestamp)),
        };
        if new {
            self.failed += u64::from(failed);
            self.counted += u64::from(in_range(self.seal.as_ref(), id));
        }
    }

    /// As [`insert`](Self::insert), for a span at once.
    fn insert_span(&mut self, span: Span, failed: &[u32]) {
        let new = failed.iter().filter(|index| !self.indexes.contains(**index)).count();
        self.failed += new as u64;
        self.indexes.insert_range(span.indexes());
        self.counted = self.in_range();
    }

    fn in_range(&self) -> u64 {
        let below = match &self.seal {
            Some(seal) => seal.total.checked_sub(1).map_or(0, |last| self.indexes.rank(last)),
            None => self.indexes.len(),
        };
        below + self.stored.len() as u64
    }

    /// The first seal counts; the indexes over its total stop counting.
    fn seal(&mut self, seal: Seal) {
        if self.seal.is_some() {
            return;
        }
        self.seal = Some(seal);
        self.counted = self.in_range();
    }
}

/// The groups that have entries in the log.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    groups: HashMap<String, Live>,
    /// The sequence of each group's first entry: the floor is asked for with every entry.
    firsts: BTreeSet<u64>,
}

impl Tally {
    /// Takes in the next entry; a group's verdict comes once, with the entry that decides it.
    pub(crate) fn take(&mut self, logged: Logged<'_>) -> Option<Verdict> {
        if !self.groups.contains_key(logged.group) {
            let new = Live { first: logged.seq, started: logged.at, ..Live::default() };
            self.groups.insert(logged.group.to_owned(), new);
            self.firsts.insert(logged.seq);
        }
        let live = self.groups.get_mut(logged.group)?;
        live.last = logged.seq;
        live.last_at = logged.at;
        live.entries += 1;
        if live.decided {
            return None;
        }
        let state = match logged.event {
            Event::Outcome { id, failed } => {
                live.outcomes += 1;
                live.insert(id, failed);
                live.is_complete().then_some(State::Complete)
            }
            Event::Outcomes { span, failed } => {
                live.outcomes += 1;
                live.insert_span(span, &failed);
                live.is_complete().then_some(State::Complete)
            }
            Event::Sealed(seal) => {
                live.seal(seal);
                live.is_complete().then_some(State::Complete)
            }
            Event::Ended(state) => Some(state),
            Event::Other => None,
        }?;
        live.decided = true;
        Some(Verdict {
            group: logged.group.to_owned(),
            state,
            seal: live.seal.clone(),
            cut: logged.seq,
            first: live.first,
            counted: live.counted,
            entries: live.outcomes,
            started: live.started,
            finished: logged.at,
        })
    }

    /// Drops a group whose entries are removed, or about to be.
    pub(crate) fn forget(&mut self, group: &str) -> Option<Live> {
        let live = self.groups.remove(group)?;
        self.firsts.remove(&live.first);
        Some(live)
    }

    /// One group.
    pub(crate) fn get(&self, group: &str) -> Option<&Live> {
        self.groups.get(group)
    }

    /// All groups.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Live)> {
        self.groups.iter().map(|(group, live)| (group.as_str(), live))
    }

    /// The first sequence that a group here still needs; everything before it is dead.
    pub(crate) fn floor(&self) -> Option<u64> {
        self.firsts.first().copied()
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
