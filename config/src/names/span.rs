//! Several arguments in one message.

use std::fmt;
use std::ops::Range;

use super::item::canonical;

/// A run of indexes: what one chunk holds. Written `<first>-<count>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    first: u32,
    count: u32,
}

impl Span {
    /// The most indexes of one span.
    pub const MAX_COUNT: u32 = 65_536;

    /// The span of so many indexes from `first` on; `None` when it is empty, too long, or ends
    /// beyond the last index.
    pub fn new(first: u32, count: u32) -> Option<Span> {
        let sound = (1..=Span::MAX_COUNT).contains(&count) && first.checked_add(count).is_some();
        sound.then_some(Span { first, count })
    }

    /// Reads a span as the `Jetiter-Index` header and the cache keys write it.
    pub fn parse(text: &str) -> Option<Span> {
        let (first, count) = text.split_once('-')?;
        Span::new(canonical(first)?, canonical(count)?)
    }

    /// Its first index.
    pub fn first(self) -> u32 {
        self.first
    }

    /// How many indexes it has: one at least.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Its indexes.
    pub fn indexes(self) -> Range<u32> {
        self.first..self.first + self.count
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_in_one_way() {
        for text in ["0-1", "3000-1000", "0-65536", "4294967294-1", "4294901759-65536"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        let beyond = ["4294967295-1", "4294901760-65536", "4294967296-1", "0-65537"];
        let written = ["", "-", "1", "1-", "-1", "01-1", "1-01", "+1-1", "1-+1", "1--1", "1-1-1"];
        for text in beyond.iter().chain(&written).chain(&["n1-2", "0-0", " 1-1", "1 -1", "a-b"]) {
            assert_eq!(Span::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_span_holds_its_indexes() {
        let span = Span::new(7, 3).unwrap();
        assert_eq!(span.indexes().collect::<Vec<_>>(), [7, 8, 9]);
    }
}
