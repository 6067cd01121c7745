//! One item, from its message to its acknowledgement.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jetiter_config::broker::{Broker, Refusal};
use jetiter_config::call::{Item, Outcome};
use jetiter_config::crash_point;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Delivery, Entry, ItemId, Lane, Span};
use jetiter_config::settings;
use jetiter_config::wire::{self, ErrorKind, ItemError, Ran, Run};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::chunk_run::Given;
use crate::functions::{Functions, timed_out};
use crate::hand::{Grip, Hand, Held, Origin};
use crate::room::Room;
use crate::shares::{Share, Shares};
use crate::slots::{Slot, Slots};

/// From this delivery on begins are counted: the first two may be a stopping worker's naks or
/// one unlucky neighbour.
pub(crate) const SUSPECT: u64 = 3;

/// What every item of a worker needs.
pub(crate) struct Executor {
    pub(crate) broker: Broker,
    pub(crate) functions: Functions,
    pub(crate) settings: settings::Worker,
    /// The worker's name in records.
    pub(crate) name: String,
    pub(crate) hand: Arc<Hand>,
    /// How many items of each lane can be held.
    pub(crate) shares: Arc<Shares>,
    /// One a running function.
    pub(crate) slots: Arc<Slots>,
    pub(crate) concurrency: usize,
    /// One an outcome whose put is not acknowledged.
    pub(crate) puts: Arc<Slots>,
    /// Room in the cache.
    pub(crate) room: Room,
    /// Begin nothing more.
    pub(crate) stopping: CancellationToken,
    /// The server knows that nothing more is pulled.
    pub(crate) closed: CancellationToken,
}

/// An item's message, read.
struct Arrival {
    item: Item,
    /// Whose arguments the item's argument is a list of, when it is a chunk.
    span: Option<Span>,
    retries: u32,
    delivered: u64,
    position: u64,
    /// What is wrong with the message: it gets an error outcome unrun.
    fault: Option<ItemError>,
}

/// How well an item is known.
pub(crate) enum Suspicion {
    /// Nothing speaks against it.
    None,
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

/// What a message came to.
pub(crate) enum End {
    /// All its outcomes are stored.
    Stored,
    /// Something of it has not run, and this worker stops.
    HandBack,
}

impl Executor {
    /// Brings one message to its end: its outcome is stored, or it is handed back.
    pub(crate) async fn execute(self: &Arc<Self>, message: async_nats::Message, share: Share) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let Some(arrival) = self.read(&message) else {
            // Its subject names no group that an outcome could be stored under, so it would come
            // again for ever. Only a publisher that breaks the protocol gets here.
            tracing::warn!(subject = %message.subject, "an item on a malformed subject is dropped");
            self.answer(&reply, "+TERM malformed subject").await;
            return;
        };
        let origin = Origin { lane: share.lane, position: arrival.position };
        let grip = self.hand.take(arrival.item.clone(), reply, origin);
        // A thousand wait here at once: what is not needed any more goes, and what is seldom needed
        // has memory of its own.
        drop(message);
        crash_point("worker.taken");
        let (retries, delivered) = (arrival.retries, arrival.delivered);
        if let Some(span) = arrival.span {
            let given = Given { span, retries, delivered, fault: arrival.fault };
            return match Box::pin(self.run_chunk(&grip.held, given)).await {
                End::Stored => self.ack(&grip.held).await,
                End::HandBack => self.hand_back(&grip.held).await,
            };
        }
        if delivered > 1 && Box::pin(self.is_stored(&arrival.item)).await {
            // Somebody stored its outcome and died before the ack: running it again would be
            // work for nothing.
            return self.ack(&grip.held).await;
        }
        if let Some(fault) = arrival.fault {
            return self.settle(&grip.held, Err(fault), Instant::now()).await;
        }
        self.run(&grip, retries, delivered >= SUSPECT).await;
    }

    fn read(&self, message: &async_nats::Message) -> Option<Arrival> {
        let delivery = Delivery::parse(message.reply.as_deref()?)?;
        let work = self.broker.namespace.parse_work(&message.subject)?;
        let headers = message.headers.as_ref();
        let (sequence, timestamp) = (delivery.sequence, delivery.timestamp);
        let stored = ItemId::Stored { sequence, timestamp };
        let mut fault = None;
        let mut sound = |error: String| fault = Some(ItemError::new(ErrorKind::BadHeader, error));
        let index = wire::header(headers, wire::INDEX);
        let span = index.and_then(Span::parse);
        let id = match (index, span) {
            (None, _) => stored,
            (_, Some(span)) => ItemId::Index(span.first()),
            (Some(text), None) => ItemId::index(text).unwrap_or_else(|| {
                let wanted = "a plain number from 0 on, or <first>-<count> for a chunk";
                sound(format!("{} is {text:?}: use {wanted}", wire::INDEX));
                stored
            }),
        };
        let encoding = Encoding::from_content_type(wire::header(headers, wire::CONTENT_TYPE));
        let encoding = encoding.map_err(|e| sound(e.to_string())).unwrap_or_default();
        let timeout = wire::header_millis(headers, wire::TIMEOUT);
        let timeout = timeout.map_err(|e| sound(e.to_string())).unwrap_or_default();
        let retries = wire::header_count(headers, wire::RETRIES);
        let retries = retries.map_err(|e| sound(e.to_string())).unwrap_or_default();
        let item = Item {
            group: work.group.parse().ok()?,
            id,
            function: work.function.parse().ok()?,
            argument: message.payload.clone(),
            encoding,
            attempt: u32::try_from(delivery.delivered).unwrap_or(u32::MAX),
            timeout: timeout.unwrap_or(self.settings.timeout),
        };
        Some(Arrival {
            item,
            span,
            retries: retries.unwrap_or(0),
            delivered: delivery.delivered,
            position: sequence,
            fault,
        })
    }

    /// Saves work and decides nothing: on replicas this read may be stale.
    async fn is_stored(&self, item: &Item) -> bool {
        self.is_in_cache(item, Entry::Outcome(item.id)).await
    }

    pub(crate) async fn is_in_cache(&self, item: &Item, entry: Entry) -> bool {
        let ns = &self.broker.namespace;
        let subject = ns.entry_subject(item.group.as_str(), entry);
        let stream = self.broker.jetstream.get_stream_no_info(ns.cache_stream()).await;
        let Ok(stream) = stream else { return false };
        stream.direct_get_last_for_subject(subject).await.is_ok()
    }

    /// Waits for so many slots; `None` when the worker stops first.
    pub(crate) async fn slot(&self, lane: Lane, places: usize) -> Option<Slot> {
        if self.stopping.is_cancelled() {
            return None;
        }
        if let Some(slot) = self.slots.try_take(places) {
            return Some(slot);
        }
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            slot = self.slots.take(lane, places) => Some(slot),
        }
    }

    /// Writes the first free `try` mark from `n` on and returns its number; `None` when all up to
    /// the limit are taken.
    async fn count_begin(&self, item: &Item, lane: Lane, mut n: u32, limit: u32) -> Option<u32> {
        while n <= limit {
            let entry = Entry::Try(item.id, n);
            match self.store_once(item, lane, entry, Bytes::new(), wire::once_headers()).await {
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
        match suspicion {
            Suspicion::None => Ok(Turn { slot, begin: None, alone: false }),
            suspicion => Box::pin(self.counted_turn(slot, item, lane, retries, suspicion)).await,
        }
    }

    async fn counted_turn(
        &self,
        slot: Slot,
        item: &Item,
        lane: Lane,
        retries: u32,
        suspicion: Suspicion,
    ) -> Result<Turn, NoTurn> {
        let limit = retries.saturating_add(self.settings.begins).saturating_add(1);
        let begin = match suspicion {
            Suspicion::OnlyFailed(next) => self.count_begin(item, lane, next, limit).await,
            Suspicion::None | Suspicion::Suspect => self.count_begin(item, lane, 1, 1).await,
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

    /// Runs the item when its turn comes.
    async fn run(&self, grip: &Grip, retries: u32, suspect: bool) {
        let (item, lane) = (&grip.held.item, grip.held.origin.lane);
        let suspicion = match suspect {
            false => Suspicion::None,
            true if Box::pin(self.has_only_failed(item, retries)).await => {
                Suspicion::OnlyFailed(item.attempt)
            }
            true => Suspicion::Suspect,
        };
        let Turn { slot, begin, alone } = match self.turn(item, lane, retries, suspicion).await {
            Ok(turn) => turn,
            Err(NoTurn::Stopping) => return self.hand_back(&grip.held).await,
            Err(NoTurn::Lost(error)) => {
                return self.settle(&grip.held, Err(error), Instant::now()).await;
            }
        };
        // A function that holds its thread also holds what this task has just woken, and that may be
        // the connection: woken things lie beside the thread until its next turn. So a turn of its own.
        tokio::task::yield_now().await;
        let started = Instant::now();
        grip.held.begin(slot.places());
        crash_point("worker.begun");
        let outcome = self.functions.run(item).await;
        if grip.held.end() {
            // Given up in the meantime: somebody else runs in its slots.
            slot.forget();
            return;
        }
        crash_point("worker.ran");
        // A suspect is done when its outcome is stored: the next one may end this process.
        let _alone = alone.then_some(slot);
        match self.counted_failure(item, lane, &outcome, retries, begin).await {
            Some(attempt) => self.retry_later(&grip.held, attempt).await,
            None => self.settle(&grip.held, outcome, started).await,
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

    /// Stores the outcome, then acknowledges the item: no put, no ack.
    async fn settle(&self, held: &Held, outcome: Outcome, started: Instant) {
        let ran = self.ran(&held.item, started);
        self.keep(held.origin, &held.item, outcome, ran).await;
        self.ack(held).await;
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
        headers: impl Fn() -> async_nats::HeaderMap,
        payload: Bytes,
    ) -> Result<(), String> {
        let place = self.room.place(origin.position, payload.len());
        loop {
            place.turn().await;
            match self.store_once(item, origin.lane, entry, payload.clone(), headers()).await {
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

    async fn store_once(
        &self,
        item: &Item,
        lane: Lane,
        entry: Entry,
        payload: Bytes,
        headers: async_nats::HeaderMap,
    ) -> Result<(), Refusal> {
        let subject = self.broker.namespace.entry_subject(item.group.as_str(), entry);
        let _place = self.puts.take(lane, 1).await;
        self.broker.store(subject, headers, payload).await.map(drop)
    }

    /// The first refusal is worth a warning; a thousand others behind it say the same, and how long
    /// it goes on is told by whoever looks at the cache.
    fn not_stored(&self, item: &Item, refusal: &Refusal) {
        let (group, item) = (&item.group, item.id);
        match self.room.stuck_for().is_zero() {
            true => tracing::warn!(%group, %item, ?refusal, "not stored yet, trying again"),
            false => tracing::debug!(%group, %item, ?refusal, "not stored yet, trying again"),
        }
    }

    fn ran(&self, item: &Item, started: Instant) -> Ran {
        let took = started.elapsed();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ran {
            attempts: item.attempt,
            started: now.saturating_sub(took).as_millis() as u64,
            took: took.as_micros() as u64,
        }
    }

    fn run_of(&self, ran: Ran) -> Run {
        let Ran { attempts, started, took } = ran;
        Run { attempts, started, took, worker: self.name.clone() }
    }

    async fn ack(&self, held: &Held) {
        self.answer(&held.reply, "+ACK").await;
    }

    /// Not begun, and this worker stops: somebody else can have it at once.
    async fn hand_back(&self, held: &Held) {
        // Sooner, the server would send it to the pull that is being closed, and nobody has it
        // until `ack_wait` is over.
        self.closed.cancelled().await;
        self.answer(&held.reply, "-NAK").await;
    }

    async fn retry_later(&self, held: &Held, attempt: u32) {
        let delay = self.retry_delay(attempt);
        self.answer(&held.reply, &format!("-NAK {{\"delay\":{}}}", delay.as_nanos())).await;
    }

    /// Exponential, with jitter so that a thousand items that failed together do not come back
    /// together.
    pub(crate) fn retry_delay(&self, attempt: u32) -> Duration {
        let factor = 2u32.saturating_pow(attempt.saturating_sub(1));
        let delay = self.settings.retry_delay.saturating_mul(factor);
        delay.min(self.settings.retry_delay_max).mul_f64(rand::random_range(0.5..1.0))
    }

    async fn answer(&self, reply: &async_nats::Subject, word: &str) {
        let word = Bytes::copy_from_slice(word.as_bytes());
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
        self.settle(held, outcome, Instant::now()).await;
    }
}

pub(crate) fn tell_stuck(item: &Item) {
    tracing::error!(function = %item.function, group = %item.group,
        "a function holds its thread past its time-out; serve it with `blocking`");
}

pub(crate) fn is_worth_retrying(outcome: &Outcome) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind.is_worth_retrying())
}

fn pause() -> Duration {
    Duration::from_millis(rand::random_range(250..750))
}

fn lost(begins: u32) -> ItemError {
    let message = format!("its workers died or it failed: begun {begins} times, never ended");
    ItemError::new(ErrorKind::Lost, message)
}

fn error_bytes(encoding: Encoding, error: &ItemError) -> Vec<u8> {
    // Two texts: neither encoding can refuse them.
    encoding.encode(error).unwrap_or_default()
}
