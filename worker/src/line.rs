//! The items that are ready to run, and how many runners there are for them. A runner takes one
//! after another: a task for each item would cost more than a quick function does. There are as many
//! as threads; one that has to wait is replaced.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::hand::Grip;
use crate::shares::Share;
use crate::turns::Lines;

/// An item that is ready to run.
pub(crate) struct Ready {
    pub(crate) grip: Grip,
    pub(crate) retries: u32,
    /// The room that it takes in the hand.
    pub(crate) _share: Share,
    /// The worker waits for it when it stops.
    pub(crate) _counted: TaskTrackerToken,
}

/// A line for each lane, and whoever serves them.
pub(crate) struct Line {
    state: Mutex<State>,
    threads: usize,
}

#[derive(Default)]
struct State {
    lines: Lines<Ready>,
    /// Those that do not wait.
    runners: usize,
}

impl Line {
    /// For a runtime with so many threads.
    pub(crate) fn new(threads: usize) -> Line {
        Line { state: Mutex::default(), threads }
    }

    /// Takes an item; says whether it needs one more runner.
    #[must_use]
    pub(crate) fn push(&self, ready: Ready) -> bool {
        let mut state = self.state();
        state.lines.push(ready.grip.held.origin.lane, ready);
        state.one_more(self.threads)
    }

    /// The next item for a runner; without one the runner ends.
    pub(crate) fn next(&self) -> Option<Ready> {
        let mut state = self.state();
        let next = state.lines.pop();
        state.runners -= usize::from(next.is_none());
        next
    }

    /// Takes out all that wait.
    pub(crate) fn drain(&self) -> Vec<Ready> {
        let mut state = self.state();
        std::iter::from_fn(|| state.lines.pop()).collect()
    }

    /// A runner begins to wait, or is gone; says whether another one is needed.
    #[must_use]
    pub(crate) fn waits(&self) -> bool {
        let mut state = self.state();
        state.runners -= 1;
        !state.lines.is_empty() && state.one_more(self.threads)
    }

    /// A runner waits no more.
    pub(crate) fn goes_on(&self) {
        self.state().runners += 1;
    }

    /// Whether a runner is at it that has more behind it.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state();
        state.runners > 0 && !state.lines.is_empty()
    }

    /// How many items wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().lines.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves it whole: nothing here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn one_more(&mut self, threads: usize) -> bool {
        let more = self.runners < threads;
        self.runners += usize::from(more);
        more
    }
}
