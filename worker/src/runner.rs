//! Runs the items that are ready, one after another, and hands their outcomes on to be written.

use std::sync::Arc;
use std::time::Duration;

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
const TOGETHER: Duration = Duration::from_micros(200);

impl Executor {
    /// Takes an item that has come for the first time.
    pub(crate) fn line_up(self: &Arc<Self>, ready: Ready, running: &TaskTracker) {
        if self.line.push(ready) {
            self.add_runner(running);
        }
    }

    fn add_runner(self: &Arc<Self>, running: &TaskTracker) {
        running.spawn(self.clone().run_line(running.clone()));
    }

    /// Waits, while another runner takes the next items.
    async fn wait<T>(self: &Arc<Self>, running: &TaskTracker, until: impl Future<Output = T>) -> T {
        // It may be long: what has ended shall not wait for it.
        self.writer.wake();
        if self.line.waits() {
            self.add_runner(running);
        }
        let output = until.await;
        self.line.goes_on();
        output
    }

    /// One runner: it keeps its slot from one item to the next unless somebody waits for it.
    async fn run_line(self: Arc<Self>, running: TaskTracker) {
        let mut kept = None;
        let mut told = Instant::now();
        while let Some(ready) = self.line.next() {
            let held = &ready.grip.held;
            if self.ends.is_heard(&held.item.group)
                && self.wait(&running, self.ends.is_over(&held.item.group)).await
            {
                // Cancelled: it is never run, and nobody need have it again.
                self.ack(held).await;
                continue;
            }
            let Some(slot) = self.slot_of_runner(kept.take(), &ready, &running).await else {
                let executor = self.clone();
                running.spawn(async move { executor.hand_back(&ready.grip.held).await });
                continue;
            };
            let now = Instant::now();
            if now.duration_since(told) > TOGETHER {
                // A function that holds its thread also holds what this task has just woken: woken
                // things lie beside the thread until its next turn. So a turn of its own.
                self.writer.wake();
                yield_now().await;
                told = Instant::now();
            }
            kept = self.run_next(ready, slot, &running).await;
        }
        self.writer.wake();
    }

    async fn slot_of_runner(
        self: &Arc<Self>,
        kept: Option<Slot>,
        ready: &Ready,
        running: &TaskTracker,
    ) -> Option<Slot> {
        let free = self.slots.waiting() == 0 && !self.stopping.is_cancelled();
        match kept.filter(|_| free).or_else(|| self.slot_at_once(1)) {
            Some(slot) => Some(slot),
            None => self.wait(running, self.slot(ready.grip.held.origin.lane, 1)).await,
        }
    }

    /// Runs one item; its slot, unless that is somebody else's now.
    async fn run_next(
        self: &Arc<Self>,
        ready: Ready,
        slot: Slot,
        running: &TaskTracker,
    ) -> Option<Slot> {
        let held = &ready.grip.held;
        let started = Instant::now();
        held.begin(slot.places(), started);
        crash_point("worker.begun");
        let outcome = match self.functions.run_at_once(&held.item) {
            Ok(outcome) => outcome,
            Err(call) => self.wait(running, call).await,
        };
        if held.end() {
            // Given up in the meantime: somebody else runs in its slots.
            slot.forget();
            return None;
        }
        crash_point("worker.ran");
        self.ended(ready, outcome, started, running);
        Some(slot)
    }

    /// A value goes its way to the cache without a task of its own; whatever else an item came to
    /// takes more than one step.
    fn ended(
        self: &Arc<Self>,
        ready: Ready,
        outcome: Outcome,
        started: Instant,
        running: &TaskTracker,
    ) {
        let held = &ready.grip.held;
        let ran = self.ran(&held.item, started);
        match outcome {
            Ok(value) if value.len() <= self.largest() && self.room.is_free() => {
                self.writer.push(self.write_of(ready, value.into(), ran));
            }
            outcome => {
                let executor = self.clone();
                running.spawn(async move { executor.finish(ready, outcome, ran).await });
            }
        }
    }

    fn write_of(&self, ready: Ready, value: bytes::Bytes, ran: Ran) -> Write {
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

    /// Counts a failure that is tried again, or stores the outcome.
    async fn finish(&self, ready: Ready, outcome: Outcome, ran: Ran) {
        let Held { item, origin, .. } = &*ready.grip.held;
        let retry = self.counted_failure(item, origin.lane, &outcome, ready.retries, None).await;
        match retry {
            Some(attempt) => self.retry_later(&ready.grip.held, attempt).await,
            None => self.settle(&ready.grip.held, outcome, ran).await,
        }
    }
}
