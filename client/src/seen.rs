//! Which outcomes of a group have been told, and where its list ends. The same rules as the
//! collator's tally has: what is told from the cache's log is what the list will hold.

use std::collections::HashSet;

use jetiter_config::names::ItemId;
use roaring::RoaringBitmap;

/// The outcomes of one group that were told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    indexes: RoaringBitmap,
    stored: HashSet<(u64, i64)>,
    total: Option<u32>,
    ended: bool,
}

impl Seen {
    /// Takes in an outcome; whether it is to be told: once, and not when it is known to be out of
    /// range.
    pub(crate) fn is_new(&mut self, id: ItemId) -> bool {
        match id {
            ItemId::Index(index) => {
                self.total.is_none_or(|total| index < total) && self.indexes.insert(index)
            }
            ItemId::Stored { sequence, timestamp } => self.stored.insert((sequence, timestamp)),
        }
    }

    /// The first seal counts.
    pub(crate) fn seal(&mut self, total: u32) {
        self.total.get_or_insert(total);
    }

    /// The list holds nothing that comes behind this.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the log can bring nothing more that is in the list.
    pub(crate) fn is_over(&self) -> bool {
        let complete = |total| self.counted(Some(total)) >= u64::from(total);
        self.ended || self.total.is_some_and(complete)
    }

    /// How many outcomes of a list with this total were told.
    pub(crate) fn counted(&self, total: Option<u32>) -> u64 {
        let below = match total {
            Some(total) => total.checked_sub(1).map_or(0, |last| self.indexes.rank(last)),
            None => self.indexes.len(),
        };
        below + self.stored.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_told_once_and_none_out_of_range() {
        let mut seen = Seen::default();
        assert!(seen.is_new(ItemId::Index(0)) && !seen.is_new(ItemId::Index(0)));
        assert!(seen.is_new(ItemId::Index(9)), "nobody can tell yet");
        seen.seal(2);
        seen.seal(100);
        assert!(!seen.is_new(ItemId::Index(2)));
        assert!(!seen.is_over());
        assert!(seen.is_new(ItemId::Index(1)));
        assert!(seen.is_over());
        assert_eq!((seen.counted(Some(2)), seen.counted(None)), (2, 3));
    }

    #[test]
    fn items_without_an_index_count_and_an_end_ends() {
        let mut seen = Seen::default();
        seen.seal(1);
        let stored = ItemId::Stored { sequence: 1, timestamp: 2 };
        assert!(seen.is_new(stored) && !seen.is_new(stored) && seen.is_over());
        let mut seen = Seen::default();
        assert!(!seen.is_over());
        seen.end();
        assert!(seen.is_over());
    }
}
