//! Lanes: the lines inside a queue, served in turn, so that a small group need not wait behind a
//! giant one.

use std::fmt;

/// One of a queue's lanes, a token of every stored item's subject. A hash of the group chooses
/// among the first eight; the two long ones take what a group has beyond its first items, so that
/// a small group never shares a lane with the mass of a large one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(u8);

impl Lane {
    /// How many lanes a queue has.
    pub const COUNT: usize = 10;
    /// How many of them the server chooses among, by a hash of the group.
    pub const HASHED: usize = 8;
    /// The one whose consumer is made last: where it is there, the queue is.
    pub const LAST: Lane = Lane(Lane::COUNT as u8 - 1);
    /// The long lanes, with the index from which on a group's items go there.
    pub const LONG: [(Lane, u32); 2] = [(Lane(8), 1_000), (Lane(9), 100_000)];

    /// All lanes of a queue.
    pub fn all() -> impl DoubleEndedIterator<Item = Lane> {
        (0..Lane::COUNT as u8).map(Lane)
    }

    /// The long lane in which a group's item with this index belongs; `None` where the server
    /// chooses.
    pub fn long(index: u32) -> Option<Lane> {
        let mut lanes = Lane::LONG.into_iter().rev();
        lanes.find(|(_, from)| index >= *from).map(|(lane, _)| lane)
    }

    /// What is in it, for people.
    pub fn told(self) -> String {
        match Lane::LONG.iter().find(|(lane, _)| *lane == self) {
            None => format!("groups that hash to lane {self}"),
            Some((_, from)) => format!("lane {self}: from index {from} of a group on"),
        }
    }

    /// The lane with this token.
    pub fn parse(token: &str) -> Option<Lane> {
        Lane::all().find(|lane| lane.to_string() == token)
    }

    /// Its place among all lanes.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_goes_to_a_longer_lane_as_it_grows() {
        let lane = |index| Lane::long(index).map(Lane::place);
        assert_eq!([0, 999].map(lane), [None; 2]);
        assert_eq!([1_000, 99_999].map(lane), [Some(8); 2]);
        assert_eq!([100_000, u32::MAX].map(lane), [Some(9); 2]);
    }

    #[test]
    fn the_long_lanes_stand_behind_the_others() {
        let all: Vec<usize> = Lane::all().map(Lane::place).collect();
        assert_eq!(all, (0..Lane::COUNT).collect::<Vec<_>>());
        assert_eq!(Lane::LONG.map(|(lane, _)| lane.place()), [Lane::HASHED, Lane::HASHED + 1]);
    }
}
