//! An item that came again and again: its begins are counted in the cache, since its workers died of it
//! or of a neighbour.

use bytes::Bytes;
use jetiter_config::broker::Refusal;
use jetiter_config::call::{Item, Outcome};
use jetiter_config::crash_point;
use jetiter_config::names::{Entry, Lane};
use jetiter_config::wire::{self, ErrorKind, ItemError};
use tokio::time::{Instant, sleep};

use crate::executor::Executor;
use crate::line::Ready;
use crate::slots::Slot;
use crate::store::{is_worth_retrying, pause};

/// What speaks against an item.
pub(crate) enum Suspicion {
    /// It came again because it failed and was counted each time; this is its next number.
    OnlyFailed(u32),
    /// It came again and again.
    Suspect,
}

/// Leave to run an item.
pub(crate) struct Turn {
    pub(crate) slot: Slot,
    /// The number of this begin, if it was counted.
    pub(crate) begin: Option<u32>,
    /// Nothing else runs in this process.
    pub(crate) alone: bool,
}

/// Why an item may not run.
pub(crate) enum NoTurn {
    /// The worker stops.
    Stopping,
    /// It was begun as often as it may be.
    Lost(ItemError),
}

impl Executor {
    /// Runs a suspect when its turn comes.
    pub(crate) async fn run_suspect_item(&self, ready: &Ready) {
        let (held, retries) = (&ready.grip.held, ready.retries);
        let (item, lane) = (&held.item, held.origin.lane);
        let suspicion = match self.has_only_failed(item, retries).await {
            true => Suspicion::OnlyFailed(item.attempt),
            false => Suspicion::Suspect,
        };
        let Turn { slot, begin, alone } = match self.turn(item, lane, retries, suspicion).await {
            Ok(turn) => turn,
            Err(NoTurn::Stopping) => return self.hand_back(held).await,
            Err(NoTurn::Lost(error)) => {
                return self.settle(held, Err(error), self.ran(item, Instant::now())).await;
            }
        };
        // A function that holds its thread also holds what this task has just woken. So a turn of its
        // own.
        tokio::task::yield_now().await;
        let started = Instant::now();
        held.begin(slot.places(), started);
        crash_point("worker.begun");
        let outcome = self.functions.run(item).await;
        if held.end() {
            // Given up in the meantime: somebody else runs in its slots.
            slot.forget();
            return;
        }
        crash_point("worker.ran");
        let ran = self.ran(item, started);
        // A suspect is done when its outcome is stored: the next one may end this process.
        let _alone = alone.then_some(slot);
        match self.counted_failure(item, lane, &outcome, retries, begin).await {
            Some(attempt) => self.retry_later(held, attempt).await,
            None => self.settle(held, outcome, ran).await,
        }
    }

    /// Writes the first free `try` mark from `n` on and returns its number; `None` when all up to
    /// the limit are taken.
    async fn count_begin(&self, item: &Item, lane: Lane, mut n: u32, limit: u32) -> Option<u32> {
        while n <= limit {
            let entry = Entry::Try(item.id, n);
            match self.store_once(item, lane, entry, wire::once_headers(), Bytes::new()).await {
                Ok(()) => {
                    crash_point("worker.counted");
                    return Some(n);
                }
                Err(Refusal::Already) => n += 1,
                Err(refusal) => {
                    self.not_stored(item, &refusal);
                    sleep(pause()).await;
                }
            }
        }
        None
    }

    /// Waits until the item may run. A suspect came again and again, so its begins are counted in
    /// the cache. The first counted one is beside others: most suspects only waited in a dead
    /// worker's hand. One that was begun and came again may be what kills workers: it runs alone, so
    /// that it takes no neighbour with it.
    pub(crate) async fn turn(
        &self,
        item: &Item,
        lane: Lane,
        retries: u32,
        suspicion: Suspicion,
    ) -> Result<Turn, NoTurn> {
        let slot = self.slot(lane, 1).await.ok_or(NoTurn::Stopping)?;
        let limit = retries.saturating_add(self.settings.begins).saturating_add(1);
        let begin = match suspicion {
            Suspicion::OnlyFailed(next) => self.count_begin(item, lane, next, limit).await,
            Suspicion::Suspect => self.count_begin(item, lane, 1, 1).await,
        };
        if begin.is_some() {
            return Ok(Turn { slot, begin, alone: false });
        }
        drop(slot);
        let slot = self.slot(lane, self.concurrency).await.ok_or(NoTurn::Stopping)?;
        // Only now, when nothing else runs here: a neighbour's death must not count as its.
        match self.count_begin(item, lane, 2, limit).await {
            None => Err(NoTurn::Lost(lost(limit))),
            begin => Ok(Turn { slot, begin, alone: true }),
        }
    }

    /// Counts an attempt that failed and is to be made again, and returns its number; `None` when
    /// the outcome stands.
    pub(crate) async fn counted_failure(
        &self,
        item: &Item,
        lane: Lane,
        outcome: &Outcome,
        retries: u32,
        begin: Option<u32>,
    ) -> Option<u32> {
        if retries == 0 || !is_worth_retrying(outcome) {
            return None;
        }
        let attempt = match begin {
            Some(attempt) => Some(attempt),
            None => self.count_begin(item, lane, 1, retries).await,
        };
        attempt.filter(|attempt| *attempt <= retries)
    }

    /// Whether every attempt before this one ended, and was counted for its retry: an item that
    /// fails as it should is no suspect. A stale answer only makes it one.
    async fn has_only_failed(&self, item: &Item, retries: u32) -> bool {
        retries > 0 && self.is_in_cache(item, Entry::Try(item.id, item.attempt - 1)).await
    }
}

fn lost(begins: u32) -> ItemError {
    let message = format!("its workers died or it failed: begun {begins} times, never ended");
    ItemError::new(ErrorKind::Lost, message)
}
