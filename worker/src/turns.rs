//! Who is next: the lanes in turn, and first come, first served inside a lane. Pure: no clock, no
//! tasks.

use std::collections::VecDeque;

use jetiter_config::names::Lane;

/// A line for each lane.
pub(crate) struct Lines<T> {
    lines: [VecDeque<T>; Lane::COUNT],
    /// The lane whose turn it is.
    turn: usize,
    waiting: usize,
}

/// What is to be done with the first of a line.
enum May {
    Go,
    /// Nobody goes before it does.
    Wait,
    /// It does not want to any more.
    Gone,
}

impl<T> Default for Lines<T> {
    fn default() -> Lines<T> {
        Lines { lines: Default::default(), turn: 0, waiting: 0 }
    }
}

impl<T> Lines<T> {
    /// Stands in its lane's line.
    pub(crate) fn push(&mut self, lane: Lane, who: T) {
        self.lines[lane.place()].push_back(who);
        self.waiting += 1;
    }

    /// The next one.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.pop_that(|_| May::Go)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    fn pop_that(&mut self, may: impl Fn(&T) -> May) -> Option<T> {
        if self.waiting == 0 {
            return None;
        }
        for lane in (0..Lane::COUNT).map(|ahead| (self.turn + ahead) % Lane::COUNT) {
            while let Some(first) = self.lines[lane].front() {
                let may = may(first);
                if let May::Wait = may {
                    self.turn = lane;
                    return None;
                }
                self.waiting -= 1;
                let first = self.lines[lane].pop_front();
                if let May::Go = may {
                    self.turn = (lane + 1) % Lane::COUNT;
                    return first;
                }
            }
        }
        None
    }
}

/// Places to be had, and whoever waits for them.
pub(crate) struct Turns<T> {
    free: usize,
    lines: Lines<(usize, T)>,
}

impl<T> Turns<T> {
    pub(crate) fn new(free: usize) -> Turns<T> {
        Turns { free, lines: Lines::default() }
    }

    /// Stands in its lane's line for so many places.
    pub(crate) fn wait(&mut self, lane: Lane, places: usize, who: T) {
        self.lines.push(lane, (places, who));
    }

    /// Takes so many places, if they are free and nobody waits.
    pub(crate) fn take(&mut self, places: usize) -> bool {
        let free = self.waiting() == 0 && places <= self.free;
        if free {
            self.free -= places;
        }
        free
    }

    /// So many places are free again.
    pub(crate) fn put_back(&mut self, places: usize) {
        self.free += places;
    }

    /// The next one, and how many places it has now. Those for which `gone` holds are passed
    /// over. Whoever needs more places than are free keeps its turn until they are, or it would
    /// never come.
    pub(crate) fn next(&mut self, gone: impl Fn(&T) -> bool) -> Option<(usize, T)> {
        let free = self.free;
        let next = self.lines.pop_that(|(places, who)| match gone(who) {
            true => May::Gone,
            false if *places > free => May::Wait,
            false => May::Go,
        })?;
        self.free -= next.0;
        Some(next)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lines.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(place: usize) -> Lane {
        Lane::all().nth(place).unwrap()
    }

    fn with(free: usize, waiting: &[(usize, usize, &'static str)]) -> Turns<&'static str> {
        let mut turns = Turns::new(free);
        for (place, places, who) in waiting {
            turns.wait(lane(*place), *places, *who);
        }
        turns
    }

    /// Serves everyone, each giving its places back at once.
    fn served(mut turns: Turns<&'static str>) -> Vec<&'static str> {
        let mut served = Vec::new();
        while let Some((places, who)) = turns.next(|_| false) {
            turns.put_back(places);
            served.push(who);
        }
        assert_eq!(turns.waiting(), 0);
        served
    }

    #[test]
    fn lanes_are_served_in_turn() {
        let giant = [(9, 1, "g1"), (9, 1, "g2"), (9, 1, "g3"), (9, 1, "g4")];
        let small = [(3, 1, "s1"), (3, 1, "s2"), (5, 1, "t1")];
        let turns = with(1, &[&giant[..], &small].concat());
        assert_eq!(served(turns), ["s1", "t1", "g1", "s2", "g2", "g3", "g4"]);
    }

    #[test]
    fn who_comes_later_waits_for_one_turn() {
        let mut turns = with(1, &[(9, 1, "g1"), (9, 1, "g2"), (9, 1, "g3")]);
        assert_eq!(turns.next(|_| false), Some((1, "g1")));
        turns.wait(lane(0), 1, "s1");
        assert_eq!(turns.next(|_| false), None);
        turns.put_back(1);
        assert_eq!(turns.next(|_| false), Some((1, "s1")));
    }

    #[test]
    fn who_needs_all_places_is_not_passed_over() {
        let mut turns = with(2, &[(1, 1, "a"), (2, 2, "all"), (1, 1, "b")]);
        assert_eq!(turns.next(|_| false), Some((1, "a")));
        assert_eq!(turns.next(|_| false), None);
        turns.wait(lane(4), 1, "c");
        assert_eq!(turns.next(|_| false), None);
        turns.put_back(1);
        assert_eq!(turns.next(|_| false), Some((2, "all")));
        turns.put_back(2);
        assert_eq!(served(turns), ["c", "b"]);
    }

    #[test]
    fn who_has_gone_takes_no_place() {
        let mut turns = with(1, &[(2, 9, "gone"), (2, 1, "a"), (3, 1, "gone")]);
        assert_eq!(turns.next(|who| *who == "gone"), Some((1, "a")));
        turns.put_back(1);
        assert_eq!(turns.next(|who| *who == "gone"), None);
        assert_eq!(turns.waiting(), 0);
    }
}
