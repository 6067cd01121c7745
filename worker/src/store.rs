//! Outcomes on their way into the cache, and the word that the server waits for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use jetiter_config::broker::Refusal;
use jetiter_config::call::{Item, Outcome};
use jetiter_config::crash_point;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Entry, Lane};
use jetiter_config::wire::{self, ErrorKind, ItemError, Ran, Run};
use tokio::time::{Instant, sleep};

use crate::executor::Executor;
use crate::functions::timed_out;
use crate::hand::{Held, Origin};
use crate::writer::Written;

impl Executor {
    /// Stores the outcome, then acknowledges the item: no put, no ack.
    pub(crate) async fn settle(&self, held: &Held, outcome: Outcome, ran: Ran) {
        self.keep(held.origin, &held.item, outcome, ran).await;
        self.ack(held).await;
    }

    /// Stores a value that was refused the first time.
    pub(crate) async fn write_again(&self, written: Written) {
        let Written { ready, value, ran } = written;
        self.settle(&ready.grip.held, Ok(value.into()), ran).await;
    }

    /// Stores one item's outcome.
    pub(crate) async fn keep(&self, origin: Origin, item: &Item, outcome: Outcome, ran: Ran) {
        let run = self.run_of(ran);
        let error = match self.fitting(outcome) {
            Err(error) => error,
            Ok(value) => {
                let (bytes, entry) = (value.len(), Entry::Outcome(item.id));
                let headers = || wire::outcome_headers(item.encoding, &run, false);
                let put = self.put(origin, item, entry, headers, value.into()).await;
                let Err(reason) = put else { return };
                let message = format!("the value has {bytes} bytes: {reason}");
                ItemError::new(ErrorKind::TooLarge, message)
            }
        };
        Box::pin(self.keep_error(origin, item, &error, &run)).await;
    }

    async fn keep_error(&self, origin: Origin, item: &Item, error: &ItemError, run: &Run) {
        let put = || {
            let headers = || wire::outcome_headers(item.encoding, run, true);
            let payload = error_bytes(item.encoding, error);
            self.put(origin, item, Entry::Outcome(item.id), headers, payload.into())
        };
        while let Err(reason) = put().await {
            tracing::warn!(group = %item.group, item = %item.id, reason, "an error is not stored");
            sleep(pause()).await;
        }
    }

    /// The largest payload of an entry.
    pub(crate) fn largest(&self) -> usize {
        wire::max_value(self.broker.client.max_payload()).min(self.room.largest())
    }

    /// A value that is too large for an entry is an error.
    pub(crate) fn fitting(&self, outcome: Outcome) -> Outcome {
        let limit = self.largest();
        outcome.and_then(|value| match value.len() > limit {
            true => Err(ItemError::too_large(value.len(), limit)),
            false => Ok(value),
        })
    }

    /// Puts an entry until it is there, or until the server says that it is too large.
    pub(crate) async fn put(
        &self,
        origin: Origin,
        item: &Item,
        entry: Entry,
        headers: impl Fn() -> HeaderMap,
        payload: Bytes,
    ) -> Result<(), String> {
        let place = self.room.place(origin.position, payload.len());
        loop {
            place.turn().await;
            match self.store_once(item, origin.lane, entry, headers(), payload.clone()).await {
                Ok(()) | Err(Refusal::Already) => {
                    crash_point("worker.stored");
                    return Ok(());
                }
                Err(Refusal::TooLarge(reason)) => return Err(reason),
                // Stays in hand until it is stored: run once is run enough.
                Err(refusal) => {
                    self.not_stored(item, &refusal);
                    place.refused(pause()).await;
                }
            }
        }
    }

    pub(crate) async fn store_once(
        &self,
        item: &Item,
        lane: Lane,
        entry: Entry,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Refusal> {
        let subject = self.broker.namespace.entry_subject(item.group.as_str(), entry);
        self.writer.store(lane, subject, headers, payload).await
    }

    /// The first refusal is worth a warning; a thousand others behind it say the same, and how long
    /// it goes on is told by whoever looks at the cache.
    pub(crate) fn not_stored(&self, item: &Item, refusal: &Refusal) {
        let (group, item) = (&item.group, item.id);
        match self.room.stuck_for().is_zero() {
            true => tracing::warn!(%group, %item, ?refusal, "not stored yet, trying again"),
            false => tracing::debug!(%group, %item, ?refusal, "not stored yet, trying again"),
        }
    }

    pub(crate) fn ran(&self, item: &Item, started: Instant) -> Ran {
        let took = started.elapsed();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ran {
            attempts: item.attempt,
            started: now.saturating_sub(took).as_millis() as u64,
            took: took.as_micros() as u64,
        }
    }

    pub(crate) fn run_of(&self, ran: Ran) -> Run {
        let Ran { attempts, started, took } = ran;
        Run { attempts, started, took, worker: self.name.clone() }
    }

    pub(crate) async fn ack(&self, held: &Held) {
        self.answer(&held.reply, b"+ACK").await;
    }

    /// Not begun, and this worker stops: somebody else can have it at once.
    pub(crate) async fn hand_back(&self, held: &Held) {
        // Sooner, the server would send it to the pull that is being closed, and nobody has it
        // until `ack_wait` is over.
        self.closed.cancelled().await;
        self.answer(&held.reply, b"-NAK").await;
    }

    pub(crate) async fn retry_later(&self, held: &Held, attempt: u32) {
        let delay = self.retry_delay(attempt);
        let word = format!("-NAK {{\"delay\":{}}}", delay.as_nanos());
        self.answer_with(&held.reply, word.into()).await;
    }

    /// Exponential, with jitter so that a thousand items that failed together do not come back
    /// together.
    pub(crate) fn retry_delay(&self, attempt: u32) -> Duration {
        let factor = 2u32.saturating_pow(attempt.saturating_sub(1));
        let delay = self.settings.retry_delay.saturating_mul(factor);
        delay.min(self.settings.retry_delay_max).mul_f64(rand::random_range(0.5..1.0))
    }

    pub(crate) async fn answer(&self, reply: &Subject, word: &'static [u8]) {
        self.answer_with(reply, Bytes::from_static(word)).await;
    }

    async fn answer_with(&self, reply: &Subject, word: Bytes) {
        // A lost answer means a second delivery, which finds the outcome stored.
        if let Err(error) = self.broker.client.publish(reply.clone(), word).await {
            tracing::debug!(%error, "an acknowledgement was not sent");
        }
    }

    /// Ends the item of a function that holds its thread past its time-out.
    pub(crate) async fn give_up(&self, held: &Held) {
        tell_stuck(&held.item);
        let outcome = Err(timed_out(held.item.timeout));
        // Its thread is lost, its slots are not.
        self.slots.put_back(held.slots());
        self.settle(held, outcome, self.ran(&held.item, Instant::now())).await;
    }
}

pub(crate) fn tell_stuck(item: &Item) {
    tracing::error!(function = %item.function, group = %item.group,
        "a function holds its thread past its time-out; serve it with `blocking`");
}

pub(crate) fn is_worth_retrying(outcome: &Outcome) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind.is_worth_retrying())
}

pub(crate) fn pause() -> Duration {
    Duration::from_millis(rand::random_range(250..750))
}

fn error_bytes(encoding: Encoding, error: &ItemError) -> Vec<u8> {
    // Two texts: neither encoding can refuse them.
    encoding.encode(error).unwrap_or_default()
}
