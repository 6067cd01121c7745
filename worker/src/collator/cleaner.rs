//! Which purge comes next. A filtered purge looks at every message between a group's first and
//! last key while the stream stands still: nothing for a group that lies together, quadratic
//! for groups that are mixed. So the dead are removed below a floor, without a filter.

/// A group whose entries are of no use any more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dead {
    pub(crate) group: String,
    /// The sequence of its first entry.
    pub(crate) first: u64,
    /// The sequence of its last one.
    pub(crate) last: u64,
    /// How many it has.
    pub(crate) entries: u64,
}

/// A purge to make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Purge {
    /// Everything below this sequence.
    Floor(u64),
    /// The entries of one group.
    Group(Dead),
}

/// The dead, and when they go.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    dead: Vec<Dead>,
    /// The cache has little room left: every dead entry is worth a purge.
    pressed: bool,
}

/// As many dead entries among the living make a dear purge worth its price.
const DEAD_WEIGHT: u64 = 100_000;

impl Dead {
    /// Most of what lies between its first and last entry is its own.
    fn is_together(&self) -> bool {
        self.last - self.first < 2 * self.entries + 64
    }
}

impl Cleaner {
    /// Takes in a dead group.
    pub(crate) fn bury(&mut self, dead: Dead) {
        self.dead.push(dead);
    }

    /// How full the cache is, if it has a limit.
    pub(crate) fn is_pressed(&mut self, bytes: u64, limit: i64) {
        self.pressed = u64::try_from(limit).is_ok_and(|limit| limit > 0 && bytes >= limit / 2);
    }

    /// The next purge. `floor` is the first entry that a live group needs, `seen` the last one
    /// that was followed: what lies behind it is nobody's to remove yet. `dear` says whether a
    /// purge that makes others wait may be made now.
    pub(crate) fn next(&mut self, floor: Option<u64>, seen: u64, dear: bool) -> Option<Purge> {
        let floor = floor.unwrap_or(seen + 1).min(seen + 1);
        let before = self.dead.len();
        self.dead.retain(|dead| dead.last >= floor);
        if self.dead.len() < before {
            return Some(Purge::Floor(floor));
        }
        if let Some(together) = self.dead.iter().position(Dead::is_together) {
            return Some(Purge::Group(self.dead.swap_remove(together)));
        }
        let weight: u64 = self.dead.iter().map(|dead| dead.entries).sum();
        if !dear || (weight < DEAD_WEIGHT && !self.pressed) {
            return None;
        }
        let heaviest = (0..self.dead.len()).max_by_key(|&i| self.dead[i].entries)?;
        Some(Purge::Group(self.dead.swap_remove(heaviest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(group: &str, first: u64, last: u64, entries: u64) -> Dead {
        Dead { group: group.to_owned(), first, last, entries }
    }

    #[test]
    fn nothing_alive_frees_everything_seen() {
        let mut cleaner = Cleaner::default();
        assert_eq!(cleaner.next(None, 100, true), None);
        cleaner.bury(dead("a", 1, 90, 3));
        assert_eq!(cleaner.next(None, 100, false), Some(Purge::Floor(101)));
        assert_eq!(cleaner.next(None, 100, false), None);
    }

    #[test]
    fn the_floor_stops_at_the_living() {
        let mut cleaner = Cleaner::default();
        cleaner.bury(dead("a", 1, 40, 2));
        cleaner.bury(dead("b", 2, 500, 3));
        assert_eq!(cleaner.next(Some(41), 600, false), Some(Purge::Floor(41)));
        assert_eq!(cleaner.next(Some(41), 600, false), None, "mixed with the living: it waits");
        assert_eq!(cleaner.next(Some(501), 600, false), Some(Purge::Floor(501)));
    }

    #[test]
    fn a_group_that_lies_together_goes_at_once() {
        let mut cleaner = Cleaner::default();
        let together = dead("a", 50, 149, 100);
        cleaner.bury(together.clone());
        assert_eq!(cleaner.next(Some(1), 600, false), Some(Purge::Group(together)));
    }

    #[test]
    fn dead_weight_goes_when_there_is_time() {
        let mut cleaner = Cleaner::default();
        let heavy = dead("b", 2, 900_000, 90_000);
        cleaner.bury(dead("a", 2, 900_000, 20_000));
        cleaner.bury(heavy.clone());
        assert_eq!(cleaner.next(Some(1), 1_000_000, false), None);
        assert_eq!(cleaner.next(Some(1), 1_000_000, true), Some(Purge::Group(heavy)));
        assert_eq!(cleaner.next(Some(1), 1_000_000, true), None, "light enough now");
    }

    #[test]
    fn a_cache_that_fills_up_is_cleaned_whatever_it_costs() {
        let mut cleaner = Cleaner::default();
        cleaner.bury(dead("a", 2, 9_000, 20));
        cleaner.is_pressed(1_000, -1);
        assert_eq!(cleaner.next(Some(1), 10_000, true), None, "no limit");
        cleaner.is_pressed(499, 1_000);
        assert_eq!(cleaner.next(Some(1), 10_000, true), None);
        cleaner.is_pressed(500, 1_000);
        assert_eq!(cleaner.next(Some(1), 10_000, false), None);
        assert!(cleaner.next(Some(1), 10_000, true).is_some());
    }

    #[test]
    fn what_was_not_seen_is_not_removed() {
        let mut cleaner = Cleaner::default();
        cleaner.bury(dead("a", 1, 10, 2));
        assert_eq!(cleaner.next(Some(700), 20, false), Some(Purge::Floor(21)));
    }
}
