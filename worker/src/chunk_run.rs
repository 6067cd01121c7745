//! Runs the items of a chunk, each with its own time-out, retries and outcome. A driver runs them
//! one after another; what has to wait within its function does so in a task of its own, beside the
//! others as far as there are slots. The chunk's own task stores what has ended meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, poll};
use jetiter_config::call::Outcome;
use jetiter_config::crash_point;
use jetiter_config::names::Span;
use jetiter_config::wire::{ErrorKind, ItemError};
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::chunk::{Chunk, Ended, PART, Slot};
use crate::executor::{End, Executor, SUSPECT};
use crate::functions::Found;
use crate::hand::Held;
use crate::store::{is_worth_retrying, tell_stuck};
use crate::worker::STUCK_GRACE;

/// How long a driver runs before it lets others have its thread.
const TURN: Duration = Duration::from_millis(1);
/// How often a chunk whose slots are all in use looks for a free one.
const LOOK: Duration = Duration::from_millis(50);
/// How often what has ended is stored while the rest of the chunk runs.
const STORE: Duration = Duration::from_millis(250);

/// A chunk's message, read.
pub(crate) struct Given {
    pub(crate) span: Span,
    pub(crate) retries: u32,
    pub(crate) delivered: u64,
    /// What is wrong with the message.
    pub(crate) fault: Option<ItemError>,
}

impl Executor {
    /// Brings the items of a chunk to their ends: those that have none yet.
    pub(crate) async fn run_chunk(self: &Arc<Self>, held: &Held, given: Given) -> End {
        let Given { span, retries, delivered, fault } = given;
        let waiting: VecDeque<u32> = match delivered {
            0 | 1 => (0..span.count()).collect(),
            _ => self.missing(&held.item, span).await,
        };
        if waiting.is_empty() {
            return End::Stored;
        }
        let Some(slot) = self.slot(held.origin.lane, 1).await else {
            return End::HandBack;
        };
        let ready = match fault {
            Some(fault) => Err(fault),
            None => self.ready(held, span),
        };
        let (found, parts) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                drop(slot);
                return self.refuse_chunk(held, span, waiting, error).await;
            }
        };
        let chunk = Arc::new(Chunk::new(held, span, parts, waiting));
        if delivered >= SUSPECT {
            drop(slot);
            return self.run_suspects(held, &chunk, &found, retries).await;
        }
        chunk.give(0, slot);
        Keeper { executor: self, held, chunk, found, retries }.run().await
    }

    /// The function, and where each argument stands.
    fn ready(&self, held: &Held, span: Span) -> Result<(Found, Vec<Range<usize>>), ItemError> {
        let found = self.functions.find(&held.item.function)?;
        let count = span.count() as usize;
        let parts = held.item.encoding.list_parts(&held.item.argument, count);
        let parts = parts.map_err(|error| {
            let reason = error.reason();
            let message = format!("a chunk of {count} arguments is a list of them: {reason}");
            ItemError::new(ErrorKind::BadArgument, message)
        })?;
        Ok((found, parts))
    }

    /// None of them can run.
    async fn refuse_chunk(
        &self,
        held: &Held,
        span: Span,
        waiting: VecDeque<u32>,
        error: ItemError,
    ) -> End {
        let parts = vec![0..0; span.count() as usize];
        let chunk = Chunk::new(held, span, parts, VecDeque::new());
        let now = Instant::now();
        let ran = chunk.ran(held.item.attempt, now, now);
        let refused = |offset| Ended { offset, outcome: Err(error.clone()), ran };
        self.store_ended(held, &chunk, waiting.into_iter().map(refused).collect()).await;
        End::Stored
    }

    /// Begins one item after another, until none waits or the worker stops.
    async fn drive(self: Arc<Self>, chunk: Arc<Chunk>, found: Found, driver: u32) {
        loop {
            if !self.has_slot(&chunk, driver).await {
                return chunk.leave(driver);
            }
            // A function that holds its thread also holds what this task has just woken: woken
            // things lie beside the thread until its next turn. So a turn of its own.
            yield_now().await;
            if !self.drive_on(&chunk, &found, driver).await {
                return;
            }
        }
    }

    /// Waits until the driver has a slot: a free one, or one of those that its own items run in. It
    /// only queues for one if it has none, or all chunks in hand would be begun and none finished.
    /// False when the worker stops.
    async fn has_slot(&self, chunk: &Chunk, driver: u32) -> bool {
        while !self.stopping.is_cancelled() {
            let slot = match chunk.slot() {
                Slot::Here => return true,
                Slot::Nowhere => self.slot(chunk.lane, 1).await,
                Slot::InUse => self.slots.try_take(1),
            };
            match slot {
                Some(slot) => chunk.give(driver, slot),
                None => tokio::select! {
                    () = chunk.returned() => {}
                    () = self.stopping.cancelled() => {}
                    () = sleep(LOOK) => {}
                },
            }
        }
        false
    }

    /// Runs items until one has to wait, and returns true then: it keeps the slot.
    async fn drive_on(&self, chunk: &Arc<Chunk>, found: &Found, driver: u32) -> bool {
        let mut turn = Instant::now();
        let mut now = turn;
        let mut item = None;
        while let Some(offset) = chunk.begin(driver, now) {
            let item = item.get_or_insert_with(|| chunk.item(offset));
            chunk.turn_into(item, offset);
            crash_point("worker.begun");
            let outcome = match found.at_once(item) {
                Some(outcome) => outcome,
                None => {
                    let mut call = found.call(item.clone());
                    match poll!(&mut call) {
                        Poll::Ready(outcome) => outcome,
                        Poll::Pending => {
                            return chunk.set_aside(driver) && wait_aside(chunk, offset, call);
                        }
                    }
                }
            };
            now = Instant::now();
            let Some(bytes) = chunk.end_current(driver, outcome, now) else {
                return false;
            };
            if bytes >= PART {
                chunk.moved.notify_one();
            }
            if bytes >= PART || now.duration_since(turn) >= TURN {
                if self.stopping.is_cancelled() {
                    chunk.leave(driver);
                    return false;
                }
                yield_now().await;
                chunk.room().await;
                turn = Instant::now();
                now = turn;
            }
        }
        false
    }
}

/// A task for a call that waits.
fn wait_aside(
    chunk: &Arc<Chunk>,
    offset: u32,
    call: impl Future<Output = Outcome> + Send + 'static,
) -> bool {
    let chunk = chunk.clone();
    tokio::spawn(async move { chunk.end(offset, call.await) });
    true
}

/// The chunk's own task: it keeps what has ended, and has items tried again that failed.
struct Keeper<'a> {
    executor: &'a Arc<Executor>,
    held: &'a Held,
    chunk: Arc<Chunk>,
    found: Found,
    retries: u32,
}

impl Keeper<'_> {
    async fn run(self) -> End {
        let Keeper { executor, held, chunk, found, retries } = &self;
        let mut tick = interval(STORE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        // What ended and is not stored, what failed and is being counted, what is tried again when.
        let mut ended: Vec<Ended> = Vec::new();
        let mut failed = FuturesUnordered::new();
        let mut later: BTreeMap<(Instant, u32), ()> = BTreeMap::new();
        let mut due = false;
        let mut stopping = false;
        loop {
            if !stopping && let Some(driver) = chunk.driver() {
                tokio::spawn(Arc::clone(executor).drive(chunk.clone(), found.clone(), driver));
            }
            for one in chunk.take_ended() {
                match *retries > 0 && is_worth_retrying(&one.outcome) {
                    true => failed.push(self.count(one)),
                    false => ended.push(one),
                }
            }
            let bytes: usize =
                ended.iter().map(|one| one.outcome.as_ref().map_or(0, Vec::len)).sum();
            let idle = chunk.is_idle() && failed.is_empty() && (stopping || !chunk.waits());
            if !ended.is_empty() && (idle || due || bytes >= PART) {
                executor.store_ended(held, chunk, std::mem::take(&mut ended)).await;
                due = false;
                continue;
            }
            due = false;
            if idle && (stopping || later.is_empty()) {
                let all = !chunk.waits() && later.is_empty();
                return if all { End::Stored } else { End::HandBack };
            }
            let first = later.first_key_value().map(|((at, _), ())| *at);
            tokio::select! {
                () = chunk.moved.notified() => {}
                Some((one, again)) = failed.next() => match again {
                    Some(attempt) => {
                        let at = Instant::now() + executor.retry_delay(attempt);
                        later.insert((at, one.offset), ());
                    }
                    None => ended.push(one),
                },
                () = sleep_until(first.unwrap_or_else(Instant::now)), if first.is_some() => {
                    if let Some(((_, offset), ())) = later.pop_first() {
                        chunk.again(offset);
                    }
                }
                _ = tick.tick() => {
                    due = true;
                    if !executor.functions.keeps_time(&held.item.function) {
                        for _ in 0..chunk.give_up(STUCK_GRACE) {
                            tell_stuck(&held.item);
                        }
                    }
                }
                () = executor.stopping.cancelled(), if !stopping => stopping = true,
            }
        }
    }

    async fn count(&self, ended: Ended) -> (Ended, Option<u32>) {
        let item = self.chunk.item(ended.offset);
        let counted = self
            .executor
            .counted_failure(&item, self.chunk.lane, &ended.outcome, self.retries, None)
            .await;
        (ended, counted)
    }
}
