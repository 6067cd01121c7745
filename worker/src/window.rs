//! How many writes may be under way. Pure: the clock is passed in.

use std::time::Duration;

use jetiter_config::names::Lane;
use tokio::time::Instant;

/// With so many under way a write that comes now is stored soon.
const NARROW: usize = 64;
/// A lane without a write for so long was idle: somebody waits for what comes in it now.
const IDLE: Duration = Duration::from_millis(50);
/// For so long after that the window stays narrow.
const CONSIDERATE: Duration = Duration::from_secs(1);

/// Wide where one group has the worker for itself, or all lanes are full: many writes at once are
/// cheap. Narrow while small groups come and go beside a giant: each write under way is one that
/// theirs wait behind.
pub(crate) struct Window {
    wide: usize,
    /// When each lane last had a write.
    last: [Option<Instant>; Lane::COUNT],
    narrow_until: Option<Instant>,
}

impl Window {
    pub(crate) fn new(wide: usize) -> Window {
        Window { wide, last: Default::default(), narrow_until: None }
    }

    /// A write of this lane came.
    pub(crate) fn came(&mut self, lane: Lane, now: Instant) {
        let recent = |last: &Option<Instant>| last.is_some_and(|at| now.duration_since(at) < IDLE);
        if !recent(&self.last[lane.place()]) && self.last.iter().any(recent) {
            self.narrow_until = Some(now + CONSIDERATE);
        }
        self.last[lane.place()] = Some(now);
    }

    pub(crate) fn is_wide(&self, now: Instant) -> bool {
        self.narrow_until.is_none_or(|until| now >= until)
    }

    /// How many may be under way.
    pub(crate) fn size(&self, now: Instant) -> usize {
        if self.is_wide(now) { self.wide } else { self.wide.min(NARROW) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(place: usize) -> Lane {
        Lane::all().nth(place).unwrap()
    }

    /// Writes come in these lanes, a millisecond apart; the window's size after each second of them.
    fn sizes(seconds: usize, lanes: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
        let (mut window, mut now) = (Window::new(1000), Instant::now());
        let mut sizes = Vec::new();
        for milli in 0..seconds * 1000 {
            lanes(milli).into_iter().for_each(|place| window.came(lane(place), now));
            now += Duration::from_millis(1);
            if (milli + 1) % 1000 == 0 {
                sizes.push(window.size(now));
            }
        }
        sizes
    }

    #[test]
    fn a_group_alone_has_the_whole_window() {
        assert_eq!(sizes(2, |_| vec![9]), [1000, 1000]);
    }

    #[test]
    fn small_groups_beside_a_giant_make_it_narrow_and_it_widens_again_behind_them() {
        let small = |milli: usize| (1500..2500).contains(&milli) && milli.is_multiple_of(200);
        let lanes = |milli| if small(milli) { vec![9, 3] } else { vec![9] };
        assert_eq!(sizes(5, lanes), [1000, NARROW, NARROW, 1000, 1000]);
    }

    #[test]
    fn lanes_that_are_always_full_wait_for_nobody() {
        assert_eq!(sizes(3, |_| vec![0, 1, 2, 9])[1..], [1000, 1000]);
    }

    #[test]
    fn small_groups_alone_have_the_whole_window() {
        let lanes = |milli: usize| if milli.is_multiple_of(200) { vec![3] } else { vec![] };
        assert_eq!(sizes(2, lanes), [1000, 1000]);
    }

    #[test]
    fn a_window_that_is_set_narrower_stays_so() {
        let mut window = Window::new(8);
        let now = Instant::now();
        window.came(lane(9), now);
        window.came(lane(3), now);
        assert_eq!(window.size(now), 8);
    }
}
