//! Room in the cache for outcomes. A cache with a limit keeps a part of it free for marks: a group
//! whose seal does not fit could never end, and the cache never empty. While room is short the
//! oldest items store first: in any other order the room that a finished group frees goes to bits
//! of many others, and none of those can finish.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jetiter_config::broker::StreamInfo;
use jetiter_config::names::Lane;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How many of the oldest may store at once after a refusal, while others wait.
const AT_ONCE: usize = 16;
/// Filled beyond this part (a fourth) of what outcomes may fill, the cache takes in one group after another.
/// Side by side they would fill it with a part of each, and none could finish.
const SIDE_BY_SIDE: u64 = 4;
/// Room for what is in hand when that is noticed.
const MARGIN: u64 = 16 << 20;
/// Between two looks a worker takes at most this part of the room: others see the same room.
const SHARE: u64 = 4;

/// What a worker knows of the room in the cache.
pub(crate) struct Room {
    /// The share of the cache's limit that outcomes may fill.
    soft_limit: f64,
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Default)]
struct State {
    /// The cache's limit in bytes, if it has one.
    limit: Option<u64>,
    /// Bytes below the soft limit at the last look.
    free: u64,
    /// Whether the groups that came first go first.
    in_order: bool,
    /// The lane of the one that does.
    first: Option<Lane>,
    /// Bytes that were stored, or may be, since then.
    taken: u64,
    /// How many items may still be pulled before the next look.
    items: usize,
    /// The outcomes that wait, by their items' position in the stream.
    waiting: BTreeSet<u64>,
    /// How many more than `AT_ONCE` may store at once: one for each that waited and was stored. In
    /// full flow some always wait, and without it the first refusal would slow the worker for good.
    more: usize,
    /// Since when some wait and none was stored.
    stuck: Option<Instant>,
}

/// An outcome on its way into the cache; dropped, it gives up its place.
pub(crate) struct Place<'a> {
    room: &'a Room,
    position: u64,
    bytes: u64,
}

impl Room {
    pub(crate) fn new(soft_limit: f64, cache: &StreamInfo) -> Room {
        let room = Room { soft_limit, state: Mutex::default(), moved: Notify::new() };
        room.look(cache, 0);
        room
    }

    /// Takes in what the server says of the cache; `in_hand` items will need room already.
    pub(crate) fn look(&self, cache: &StreamInfo, in_hand: usize) {
        let mut state = self.state();
        state.limit = u64::try_from(cache.config.max_bytes).ok();
        let soft = state.limit.map_or(u64::MAX, |max| (max as f64 * self.soft_limit) as u64);
        state.free = soft.saturating_sub(cache.state.bytes);
        state.in_order = cache.state.bytes.saturating_add(MARGIN) > soft / SIDE_BY_SIDE;
        state.taken = 0;
        // An empty cache tells nothing of the outcomes to come: begin slowly.
        let outcome = match cache.state.messages {
            0..16 => 16 << 10,
            messages => (cache.state.bytes / messages).max(256),
        };
        let fit = usize::try_from(state.free / outcome / SHARE).unwrap_or(usize::MAX);
        // One at a time goes on in the smallest cache, whatever the estimate says.
        let least = usize::from(in_hand == 0 && state.free > 0);
        state.items = fit.saturating_sub(in_hand).max(least);
        self.moved.notify_waiters();
    }

    /// How many items may still be pulled before the next look.
    pub(crate) fn items(&self) -> usize {
        self.state().items
    }

    /// How many of them from one lane: all are pulled at once, unless one goes first.
    pub(crate) fn items_of(&self, lane: Lane) -> usize {
        let state = self.state();
        match state.first {
            Some(first) if first == lane => state.items,
            Some(_) => 0,
            None => state.items.div_ceil(Lane::COUNT),
        }
    }

    /// This lane goes first, or none does.
    pub(crate) fn goes_first(&self, lane: Option<Lane>) {
        self.state().first = lane;
    }

    /// Whether the cache is so full that the groups that came first must go first.
    pub(crate) fn in_order(&self) -> bool {
        self.state().in_order
    }

    /// An item was pulled.
    pub(crate) fn pulled(&self) {
        let mut state = self.state();
        if state.limit.is_some() {
            state.items = state.items.saturating_sub(1);
        }
    }

    /// The most bytes that one outcome may have: one that only just fits would have to wait until
    /// the cache is empty.
    pub(crate) fn largest(&self) -> usize {
        let half = self.state().limit.map(|limit| limit / 2);
        half.and_then(|half| usize::try_from(half).ok()).unwrap_or(usize::MAX)
    }

    /// For how long outcomes have waited and none was stored.
    pub(crate) fn stuck_for(&self) -> Duration {
        self.state().stuck.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether an outcome needs no place: there is room for whatever comes, and nothing waits.
    pub(crate) fn is_free(&self) -> bool {
        let state = self.state();
        state.limit.is_none() && state.waiting.is_empty()
    }

    /// Takes an outcome that is to be stored.
    pub(crate) fn place(&self, position: u64, bytes: usize) -> Place<'_> {
        Place { room: self, position, bytes: bytes as u64 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves it whole: no change here is in two steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether so many bytes may be stored now.
    fn fits(&self, bytes: u64) -> bool {
        self.limit.is_none()
            // The first one after a look may be larger than a share, or it could never be stored.
            || (self.taken == 0 && bytes <= self.free)
            || self.taken + bytes <= self.free / SHARE
    }

    fn refuse(&mut self, position: u64) {
        self.wait(position);
        self.more = 0;
    }

    fn wait(&mut self, position: u64) {
        self.waiting.insert(position);
        self.stuck.get_or_insert_with(Instant::now);
    }
}

impl Place<'_> {
    /// Waits until this outcome may be stored.
    pub(crate) async fn turn(&self) {
        loop {
            let moved = self.room.moved.notified();
            if self.may() {
                return;
            }
            moved.await;
        }
    }

    /// The server refused it: waits for a while, or until another one was stored.
    pub(crate) async fn refused(&self, pause: Duration) {
        self.room.state().refuse(self.position);
        timeout(pause, self.room.moved.notified()).await.ok();
    }

    fn may(&self) -> bool {
        let mut state = self.room.state();
        if !state.fits(self.bytes) {
            state.refuse(self.position);
            return false;
        }
        if !state.waiting.is_empty() {
            state.wait(self.position);
            let at_once = AT_ONCE + state.more;
            if state.waiting.range(..self.position).take(at_once).count() == at_once {
                return false;
            }
        }
        state.taken += self.bytes;
        true
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.room.state();
        if state.waiting.remove(&self.position) {
            state.more += 1;
            state.stuck = (!state.waiting.is_empty()).then(Instant::now);
            self.room.moved.notify_waiters();
        }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
