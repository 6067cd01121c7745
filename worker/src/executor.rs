//! What happens to a message: its items run, their outcomes are stored, then it is acknowledged.

use std::sync::Arc;

use jetiter_config::broker::Broker;
use jetiter_config::call::Item;
use jetiter_config::crash_point;
use jetiter_config::names::{Entry, Lane};
use jetiter_config::settings;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrival::{Arrival, Kind};
use crate::functions::Functions;
use crate::hand::{Hand, Origin};
use crate::line::{Line, Ready};
use crate::room::Room;
use crate::shares::{Share, Shares};
use crate::slots::{Slot, Slots};
use crate::writer::Writer;

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
    /// The items that are ready to run.
    pub(crate) line: Arc<Line>,
    /// One a running function.
    pub(crate) slots: Arc<Slots>,
    pub(crate) concurrency: usize,
    /// What is to be written into the cache.
    pub(crate) writer: Arc<Writer>,
    /// Room in the cache.
    pub(crate) room: Room,
    /// Begin nothing more.
    pub(crate) stopping: CancellationToken,
    /// The server knows that nothing more is pulled.
    pub(crate) closed: CancellationToken,
}

/// What a message came to.
pub(crate) enum End {
    /// All its outcomes are stored.
    Stored,
    /// Something of it has not run, and this worker stops.
    HandBack,
}

impl Executor {
    /// Takes a message in hand and sees to it that it ends: its outcomes are stored, or it is handed
    /// back. Whatever still needs this worker counts among `running`.
    pub(crate) fn take(
        self: &Arc<Self>,
        message: async_nats::Message,
        share: Share,
        running: &TaskTracker,
    ) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let executor = self.clone();
        let Some(arrival) = self.read(&message) else {
            // Its subject names no group that an outcome could be stored under, so it would come
            // again for ever. Only a publisher that breaks the protocol gets here.
            tracing::warn!(subject = %message.subject, "an item on a malformed subject is dropped");
            running.spawn(async move { executor.answer(&reply, b"+TERM malformed subject").await });
            return;
        };
        let Arrival { item, kind, retries, delivered, position } = arrival;
        let grip = self.hand.take(item, reply, Origin { lane: share.lane, position });
        crash_point("worker.taken");
        let ready = Ready { grip, retries, _share: share, _counted: running.token() };
        match kind {
            Kind::Item if delivered == 1 => self.line_up(ready, running),
            kind => {
                let more = running.clone();
                running.spawn(async move { executor.execute(ready, kind, delivered, &more).await });
            }
        }
    }

    /// A message that is more than an item to be run.
    async fn execute(
        self: &Arc<Self>,
        ready: Ready,
        kind: Kind,
        delivered: u64,
        running: &TaskTracker,
    ) {
        let held = &ready.grip.held;
        if let Kind::Chunk(given) = kind {
            return match Box::pin(self.run_chunk(held, given)).await {
                End::Stored => self.ack(held).await,
                End::HandBack => self.hand_back(held).await,
            };
        }
        if delivered > 1 && self.is_in_cache(&held.item, Entry::Outcome(held.item.id)).await {
            // Somebody stored its outcome and died before the ack: running it again would be
            // work for nothing.
            return self.ack(held).await;
        }
        match kind {
            Kind::Faulty(fault) => {
                self.settle(held, Err(fault), self.ran(&held.item, Instant::now())).await;
            }
            _ if delivered >= SUSPECT => self.run_suspect_item(&ready).await,
            _ => self.line_up(ready, running),
        }
    }

    /// Saves work and decides nothing: on replicas this read may be stale.
    pub(crate) async fn is_in_cache(&self, item: &Item, entry: Entry) -> bool {
        let ns = &self.broker.namespace;
        let subject = ns.entry_subject(item.group.as_str(), entry);
        let stream = self.broker.jetstream.get_stream_no_info(ns.cache_stream()).await;
        let Ok(stream) = stream else { return false };
        stream.direct_get_last_for_subject(subject).await.is_ok()
    }

    /// So many slots, if they are free, nobody waits and the worker does not stop.
    pub(crate) fn slot_at_once(&self, places: usize) -> Option<Slot> {
        match self.stopping.is_cancelled() {
            true => None,
            false => self.slots.try_take(places),
        }
    }

    /// Waits for so many slots; `None` when the worker stops first.
    pub(crate) async fn slot(&self, lane: Lane, places: usize) -> Option<Slot> {
        if let Some(slot) = self.slot_at_once(places) {
            return Some(slot);
        }
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            slot = self.slots.take(lane, places) => Some(slot),
        }
    }
}
