//! Runs the items that are ready, one after another, and hands their outcomes on to be written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jetiter_config::call::Outcome;
use jetiter_config::crash_point;
use jetiter_config::names::Entry;
use jetiter_config::wire::{self, Ran};
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::executor::Executor;
use crate::hand::Held;
use crate::line::Ready;
use crate::slots::Slot;
use crate::writer::{Then, Write, Written};

/// For so long outcomes wait for those behind them, to be written together.
const TOGETHER: Duration = Duration::from_millis(1);

impl Executor {
    /// Takes an item that can just run.
    pub(crate) fn line_up(self: &Arc<Self>, ready: Ready, running: &TaskTracker) {
        if self.line.push(ready) {
            Runner::start(self.clone(), running.clone());
        }
    }

    /// Counts a failure that is tried again, or stores the outcome.
    async fn finish(&self, ready: Ready, outcome: Outcome, ran: Ran) {
        let Held { item, origin, .. } = &*ready.grip.held;
        let retry = self.counted_failure(item, origin.lane, &outcome, ready.retries, None).await;
        match retry {
            Some(attempt) => self.retry_later(&ready.grip.held, attempt).await,
            None => self.settle(&ready.grip.held, outcome, ran).await,
        }
    }

    fn write_of(&self, ready: Ready, value: Bytes, ran: Ran) -> Write {
        let Held { item, origin, .. } = &*ready.grip.held;
        let ns = &self.broker.namespace;
        Write {
            lane: origin.lane,
            subject: ns.entry_subject(item.group.as_str(), Entry::Outcome(item.id)).into(),
            headers: wire::outcome_headers(item.encoding, &self.run_of(ran), false),
            payload: value.clone(),
            then: Then::Acknowledge(Written { ready, value, ran }),
        }
    }
}

/// Takes items from the line until it is empty.
struct Runner {
    executor: Arc<Executor>,
    running: TaskTracker,
    /// Kept from one item to the next, unless somebody waits for it.
    slot: Option<Slot>,
    /// When the writer was last woken.
    told: Instant,
    /// Something was woken and may not have run yet.
    woken: bool,
    /// It counts among the line's runners: not while it waits, and not when the line is empty.
    counts: bool,
}

/// A panic of the engine's own, or of something that it drops, costs the item, which comes again, and not the
/// worker. A runtime that ends drops its runners too, and there no other one can begin.
impl Drop for Runner {
    fn drop(&mut self) {
        if self.counts && std::thread::panicking() && self.executor.line.waits() {
            Runner::start(self.executor.clone(), self.running.clone());
        }
    }
}

impl Runner {
    fn start(executor: Arc<Executor>, running: TaskTracker) {
        let tracker = running.clone();
        let told = Instant::now();
        let runner = Runner { executor, running, slot: None, told, woken: false, counts: true };
        tracker.spawn(runner.run());
    }

    async fn run(mut self) {
        while let Some(ready) = self.executor.line.next() {
            self.let_others().await;
            // Behind that: a stop may have been heard meanwhile.
            let Some(slot) = self.take_slot(&ready).await else {
                self.spawn(async move |executor| executor.hand_back(&ready.grip.held).await);
                continue;
            };
            self.run_item(ready, slot).await;
        }
        self.counts = false;
        self.executor.writer.wake();
    }

    /// A function that holds its thread also holds what this task has just woken: woken things lie
    /// beside the thread until its next turn. So a turn of its own; only what quick ones have handed
    /// on may wait a little.
    async fn let_others(&mut self) {
        if self.woken || self.told.elapsed() > TOGETHER {
            self.executor.writer.wake();
            yield_now().await;
            (self.woken, self.told) = (false, Instant::now());
        }
    }

    async fn take_slot(&mut self, ready: &Ready) -> Option<Slot> {
        let executor = self.executor.clone();
        if executor.slots.waiting() > 0 || executor.stopping.is_cancelled() {
            // Whoever gets it is woken.
            self.woken |= self.slot.take().is_some();
        }
        match self.slot.take().or_else(|| executor.slot_at_once(1)) {
            Some(slot) => Some(slot),
            None => self.wait(executor.slot(ready.grip.held.origin.lane, 1)).await,
        }
    }

    /// Waits, while another runner takes the next items.
    async fn wait<T>(&mut self, until: impl Future<Output = T>) -> T {
        // It may be long: what has ended shall not wait for it.
        self.executor.writer.wake();
        self.woken = true;
        self.counts = false;
        if self.executor.line.waits() {
            Runner::start(self.executor.clone(), self.running.clone());
        }
        let output = until.await;
        self.executor.line.goes_on();
        self.counts = true;
        output
    }

    async fn run_item(&mut self, ready: Ready, slot: Slot) {
        let held = &ready.grip.held;
        let started = Instant::now();
        held.begin(slot.places(), started);
        crash_point("worker.begun");
        let outcome = match self.executor.functions.run_at_once(&held.item) {
            Ok(outcome) => outcome,
            Err(call) => self.wait(call).await,
        };
        if held.end() {
            // Given up in the meantime: somebody else runs in its slots.
            return slot.forget();
        }
        self.slot = Some(slot);
        crash_point("worker.ran");
        let ran = self.executor.ran(&held.item, started);
        match outcome {
            // A value goes its way to the cache without a task of its own.
            Ok(value) if value.len() <= self.executor.largest() && self.executor.room.is_free() => {
                let write = self.executor.write_of(ready, value.into(), ran);
                self.executor.writer.push(write);
            }
            // Whatever else an item came to takes more than one step.
            outcome => self.spawn(async move |executor| executor.finish(ready, outcome, ran).await),
        }
    }

    fn spawn<F>(&mut self, task: impl FnOnce(Arc<Executor>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.woken = true;
        self.running.spawn(task(self.executor.clone()));
    }
}
