//! How many items a worker holds ahead of its functions, and each lane's share of them. Pure: the
//! clock is passed in.

use std::time::Duration;

use jetiter_config::names::Lane;
use tokio::time::Instant;

/// Work for so long is held ahead: enough to bridge the way to the server. More would wait here
/// while another worker has nothing to do.
const AHEAD: Duration = Duration::from_millis(75);
/// The same while nothing that is held waits: what is ahead is on the way, and the way is long.
const FAR_AHEAD: Duration = Duration::from_secs(1);
/// Over so long the rate is measured.
const WINDOW: Duration = Duration::from_millis(50);

/// What is held and what is asked for, lane by lane.
pub(crate) struct Ahead {
    slots: usize,
    most: usize,
    /// How many items are held besides those that run.
    ahead: usize,
    held: [usize; Lane::COUNT],
    asked: [usize; Lane::COUNT],
    /// How many lanes have items here, and how many items those have that are held or asked for.
    busy: usize,
    load: usize,
    /// Ended since the rate was last measured.
    ended: usize,
    since: Instant,
}

impl Ahead {
    /// Holds at most `most` items besides those that run in so many slots. Begins small: a function
    /// may take minutes.
    pub(crate) fn new(slots: usize, most: usize, now: Instant) -> Ahead {
        let [held, asked] = [[0; Lane::COUNT]; 2];
        Ahead {
            slots,
            most,
            ahead: slots.min(most),
            held,
            asked,
            busy: 0,
            load: 0,
            ended: 0,
            since: now,
        }
    }

    /// An item of this lane came.
    pub(crate) fn took(&mut self, lane: Lane) {
        let held = &mut self.held[lane.place()];
        *held += 1;
        self.load += 1;
        if *held == 1 {
            self.busy += 1;
            self.load += self.asked[lane.place()];
        }
    }

    /// So many items of this lane are asked for and have not come.
    pub(crate) fn asked(&mut self, lane: Lane, items: usize) {
        let before = std::mem::replace(&mut self.asked[lane.place()], items);
        if self.held[lane.place()] > 0 {
            self.load = self.load + items - before;
        }
    }

    /// An item of this lane is done with. Says whether others than its own lane may have more
    /// room now.
    pub(crate) fn ended(
        &mut self,
        lane: Lane,
        now: Instant,
        waiting: impl FnOnce() -> bool,
    ) -> bool {
        let held = &mut self.held[lane.place()];
        *held -= 1;
        self.load -= 1;
        let was_last = *held == 0;
        if was_last {
            self.busy -= 1;
            self.load -= self.asked[lane.place()];
        }
        self.ended += 1;
        self.measure(now, waiting) || was_last || self.is_slow()
    }

    fn measure(&mut self, now: Instant, waiting: impl FnOnce() -> bool) -> bool {
        let passed = now.duration_since(self.since);
        // A whole hand has gone by: no need to wait for the window's end.
        let whole_hand = self.ended >= self.slots + self.ahead && !passed.is_zero();
        if passed < WINDOW && !whole_hand {
            return false;
        }
        let time = if waiting() { AHEAD } else { FAR_AHEAD };
        let wanted = self.ended as f64 * time.as_secs_f64() / passed.as_secs_f64();
        let ahead = (wanted as usize).min(2 * self.ahead).clamp(1, self.most);
        (self.ended, self.since) = (0, now);
        std::mem::replace(&mut self.ahead, ahead) != ahead
    }

    /// How many items of this lane can be taken from now on, those asked for included.
    pub(crate) fn room(&self, lane: Lane) -> usize {
        let held = self.held[lane.place()];
        let hold = self.slots + self.ahead;
        if held > 0 {
            // A fair share, or whatever the others leave.
            let others = self.load - held - self.asked[lane.place()];
            return hold.div_ceil(self.busy).max(hold.saturating_sub(others)).saturating_sub(held);
        }
        if self.is_slow() {
            // What comes would only wait here, and maybe a worker somewhere does not.
            return usize::from(self.held.iter().sum::<usize>() < hold);
        }
        // Kept open for a group that comes while others fill the hand.
        self.ahead / Lane::COUNT
    }

    /// Whether this lane should be asked for more: less than half of what it has room for is on
    /// its way.
    pub(crate) fn is_short(&self, lane: Lane) -> bool {
        let room = self.room(lane);
        room > 0 && self.asked[lane.place()] <= room / 2
    }

    /// So few items a second that the way to the server does not count.
    fn is_slow(&self) -> bool {
        self.ahead < Lane::COUNT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: usize = 8;

    fn lane(place: usize) -> Lane {
        Lane::all().nth(place).unwrap()
    }

    fn ahead() -> (Ahead, Instant) {
        let now = Instant::now();
        (Ahead::new(SLOTS, 1000, now), now)
    }

    /// Takes what there is room for, and ends it at once, so many items a second.
    fn work(ahead: &mut Ahead, now: &mut Instant, rate: u32, items: usize, waiting: bool) {
        for _ in 0..items {
            while ahead.room(lane(9)) > 0 {
                ahead.took(lane(9));
            }
            *now += Duration::from_secs(1) / rate;
            ahead.ended(lane(9), *now, || waiting);
        }
    }

    fn held(ahead: &Ahead) -> usize {
        ahead.held.iter().sum()
    }

    #[test]
    fn a_quick_function_is_given_work_for_some_milliseconds() {
        let (mut ahead, mut now) = ahead();
        assert_eq!(ahead.ahead, SLOTS);
        work(&mut ahead, &mut now, 4_000, 2_000, true);
        assert_eq!(ahead.ahead, 300);
        work(&mut ahead, &mut now, 100_000, 10_000, true);
        assert_eq!(ahead.ahead, 1000);
    }

    #[test]
    fn of_a_slow_function_one_more_is_held_than_runs() {
        let (mut ahead, mut now) = ahead();
        work(&mut ahead, &mut now, 4_000, 2_000, true);
        work(&mut ahead, &mut now, 4, 400, true);
        assert_eq!((ahead.ahead, held(&ahead)), (1, SLOTS));
        assert_eq!(ahead.room(lane(9)), 1);
    }

    #[test]
    fn on_a_long_way_to_the_server_more_is_on_its_way() {
        let (mut ahead, mut now) = ahead();
        work(&mut ahead, &mut now, 200, 400, false);
        assert_eq!(ahead.ahead, 200);
    }

    #[test]
    fn no_lane_fills_the_hand() {
        let (mut ahead, mut now) = ahead();
        work(&mut ahead, &mut now, 4_000, 2_000, true);
        while ahead.room(lane(9)) > 0 {
            ahead.took(lane(9));
        }
        assert_eq!(held(&ahead), SLOTS + 300);
        assert_eq!(ahead.room(lane(3)), 30);
        ahead.took(lane(3));
        assert_eq!(ahead.room(lane(3)), (SLOTS + 300) / 2 - 1);
        assert_eq!(ahead.room(lane(9)), 0);
    }

    #[test]
    fn what_other_lanes_do_not_use_is_not_kept_for_them() {
        let (mut ahead, _) = ahead();
        for place in 0..4 {
            ahead.took(lane(place));
            ahead.asked(lane(place), 1);
        }
        while ahead.room(lane(9)) > 0 {
            ahead.took(lane(9));
        }
        assert_eq!(ahead.held[9], 2 * SLOTS - 8);
    }

    #[test]
    fn idle_lanes_take_no_slow_item_that_could_run_elsewhere() {
        let (mut ahead, mut now) = ahead();
        work(&mut ahead, &mut now, 4, 100, true);
        while ahead.room(lane(9)) > 0 {
            ahead.took(lane(9));
        }
        assert_eq!(ahead.room(lane(3)), 0);
        assert!(ahead.ended(lane(9), now, || true));
        assert!(ahead.is_short(lane(3)));
    }
}
