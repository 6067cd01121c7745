//! The items of one chunk in hand: which wait, which run, which have ended. Knows no NATS.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jetiter_config::call::{Item, Outcome};
use jetiter_config::names::{ItemId, Lane, Span};
use jetiter_config::wire::Ran;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::functions::timed_out;
use crate::hand::Held;
use crate::slots;

/// So many bytes of values that are not stored are worth storing.
pub(crate) const PART: usize = 256 << 10;
/// With so many more a driver waits until they are taken.
const MOST: usize = 16 * PART;

/// A chunk in hand.
pub(crate) struct Chunk {
    /// What all items of it share, with the whole list as its argument.
    item: Item,
    pub(crate) span: Span,
    pub(crate) lane: Lane,
    parts: Vec<Range<usize>>,
    /// One moment by both clocks: an item's begin is told by the distance from it.
    epoch: (Instant, u64),
    state: Mutex<State>,
    /// Something ended.
    pub(crate) moved: Notify,
    /// What had ended was taken.
    taken: Notify,
    /// The driver got a slot back.
    returned: Notify,
}

#[derive(Default)]
struct State {
    /// The offsets of those to begin.
    waiting: VecDeque<u32>,
    /// Which driver is the one that counts: one that is stuck in a function was replaced.
    driver: u32,
    driving: bool,
    /// The driver's slot.
    slot: Option<slots::Slot>,
    /// What the driver runs on its own thread.
    current: Option<(u32, Instant)>,
    /// What waits within its function, in a task and a slot of its own.
    running: HashMap<u32, (Instant, slots::Slot)>,
    /// How often those were tried before that are tried again here.
    tried: HashMap<u32, u32>,
    ended: Vec<Ended>,
    bytes: usize,
}

/// Where the driver's slot is.
pub(crate) enum Slot {
    Here,
    /// Items of this chunk run in it.
    InUse,
    Nowhere,
}

/// An item that has run.
pub(crate) struct Ended {
    pub(crate) offset: u32,
    pub(crate) outcome: Outcome,
    pub(crate) ran: Ran,
}

impl Chunk {
    /// The items at these offsets wait.
    pub(crate) fn new(
        held: &Held,
        span: Span,
        parts: Vec<Range<usize>>,
        waiting: VecDeque<u32>,
    ) -> Chunk {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = (Instant::now(), now.as_millis() as u64);
        let state = Mutex::new(State { waiting, ..State::default() });
        Chunk {
            item: held.item.clone(),
            span,
            lane: held.origin.lane,
            parts,
            epoch,
            state,
            moved: Notify::new(),
            taken: Notify::new(),
            returned: Notify::new(),
        }
    }

    /// The item at an offset.
    pub(crate) fn item(&self, offset: u32) -> Item {
        let mut item = self.item.clone();
        self.turn_into(&mut item, offset);
        item
    }

    /// Makes one item of this chunk another one.
    pub(crate) fn turn_into(&self, item: &mut Item, offset: u32) {
        item.id = ItemId::Index(self.span.first() + offset);
        item.argument = self.item.argument.slice(self.parts[offset as usize].clone());
        item.attempt = self.state().attempts(offset, self.item.attempt);
    }

    /// How an item ran that began then and ends now.
    pub(crate) fn ran(&self, attempts: u32, began: Instant, now: Instant) -> Ran {
        let (start, at) = self.epoch;
        let started = at + began.saturating_duration_since(start).as_millis() as u64;
        let took = now.saturating_duration_since(began).as_micros() as u64;
        Ran { attempts, started, took }
    }

    /// A new driver, if one is needed.
    pub(crate) fn driver(&self) -> Option<u32> {
        let mut state = self.state();
        if state.driving || state.waiting.is_empty() {
            return None;
        }
        state.driving = true;
        Some(state.driver)
    }

    /// Whether the driver has a slot to begin an item in.
    pub(crate) fn slot(&self) -> Slot {
        let state = self.state();
        match state.slot {
            Some(_) => Slot::Here,
            None if state.running.is_empty() => Slot::Nowhere,
            None => Slot::InUse,
        }
    }

    /// Waits until one of those that run has ended, and its slot is the driver's.
    pub(crate) async fn returned(&self) {
        self.returned.notified().await;
    }

    /// Gives the driver a slot; who was replaced needs none.
    pub(crate) fn give(&self, driver: u32, slot: slots::Slot) {
        let mut state = self.state();
        if state.driver == driver {
            state.slot = Some(slot);
        }
    }

    /// The next item that the driver is to begin; `None` is the driver's end.
    pub(crate) fn begin(&self, driver: u32, now: Instant) -> Option<u32> {
        let mut state = self.state();
        if state.driver != driver {
            return None;
        }
        let Some(offset) = state.waiting.pop_front() else {
            self.end_driver(state);
            return None;
        };
        state.current = Some((offset, now));
        Some(offset)
    }

    /// The driver begins nothing more.
    pub(crate) fn leave(&self, driver: u32) {
        let state = self.state();
        if state.driver == driver {
            self.end_driver(state);
        }
    }

    fn end_driver(&self, mut state: MutexGuard<'_, State>) {
        state.driving = false;
        state.slot = None;
        drop(state);
        self.moved.notify_one();
    }

    /// What the driver ran has ended: how many bytes wait to be stored now. `None` when that comes
    /// too late, since it was given up.
    pub(crate) fn end_current(&self, driver: u32, outcome: Outcome, now: Instant) -> Option<usize> {
        let mut state = self.state();
        if state.driver != driver {
            return None;
        }
        let (offset, began) = state.current.take()?;
        self.push(&mut state, offset, outcome, began, now);
        Some(state.bytes)
    }

    /// What the driver ran waits, in the driver's slot. False when it was given up.
    pub(crate) fn set_aside(&self, driver: u32) -> bool {
        let mut state = self.state();
        if state.driver != driver {
            return false;
        }
        if let (Some((offset, began)), Some(slot)) = (state.current.take(), state.slot.take()) {
            state.running.insert(offset, (began, slot));
        }
        true
    }

    /// What was set aside has ended.
    pub(crate) fn end(&self, offset: u32, outcome: Outcome) {
        let mut state = self.state();
        // Else it was given up.
        if let Some((began, slot)) = state.running.remove(&offset) {
            self.push(&mut state, offset, outcome, began, Instant::now());
            self.release(&mut state, slot);
        }
        drop(state);
        self.moved.notify_one();
    }

    /// Ends what should have been stopped by its time-out so long ago, and was not: it holds its
    /// thread. Returns how many these were.
    pub(crate) fn give_up(&self, grace: Duration) -> usize {
        let limit = self.item.timeout.saturating_add(grace);
        let now = Instant::now();
        let is_over = |began: Instant| now.saturating_duration_since(began) > limit;
        let mut state = self.state();
        let mut stuck = Vec::new();
        if let Some(current) = state.current.take_if(|(_, began)| is_over(*began)) {
            stuck.push(current);
            // The rest goes on in another task, in the same slot.
            state.driver += 1;
            state.driving = false;
        }
        // Its thread is lost, its slot is not.
        let aside: Vec<_> = state.running.extract_if(|_, (began, _)| is_over(*began)).collect();
        for (offset, (began, slot)) in aside {
            stuck.push((offset, began));
            self.release(&mut state, slot);
        }
        for (offset, began) in &stuck {
            self.push(&mut state, *offset, Err(timed_out(self.item.timeout)), *began, now);
        }
        stuck.len()
    }

    /// A slot is free: the driver goes first, so that chunks are worked off one after another.
    fn release(&self, state: &mut State, slot: slots::Slot) {
        if state.driving && state.slot.is_none() {
            state.slot = Some(slot);
            self.returned.notify_one();
        }
    }

    fn push(&self, state: &mut State, offset: u32, outcome: Outcome, began: Instant, now: Instant) {
        let ran = self.ran(state.attempts(offset, self.item.attempt), began, now);
        state.bytes += outcome.as_ref().map_or(0, Vec::len);
        state.ended.push(Ended { offset, outcome, ran });
    }

    /// Takes what has ended since the last time.
    pub(crate) fn take_ended(&self) -> Vec<Ended> {
        let mut state = self.state();
        if mem::take(&mut state.bytes) > MOST {
            self.taken.notify_one();
        }
        mem::take(&mut state.ended)
    }

    /// Waits while more has ended than the cache takes.
    pub(crate) async fn room(&self) {
        while self.state().bytes > MOST {
            self.taken.notified().await;
        }
    }

    /// An item that failed waits again.
    pub(crate) fn again(&self, offset: u32) {
        let mut state = self.state();
        *state.tried.entry(offset).or_default() += 1;
        state.waiting.push_back(offset);
    }

    /// Takes the next item that waits.
    pub(crate) fn pop(&self) -> Option<u32> {
        self.state().waiting.pop_front()
    }

    /// Whether some item has not begun.
    pub(crate) fn waits(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Whether nothing runs, and all that has ended was taken.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        !state.driving && state.running.is_empty() && state.ended.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change of it panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn attempts(&self, offset: u32, delivered: u32) -> u32 {
        // Mostly nothing was tried again, and then there is nothing to look for.
        let again = if self.tried.is_empty() { None } else { self.tried.get(&offset) };
        delivered.saturating_add(again.copied().unwrap_or(0))
    }
}
