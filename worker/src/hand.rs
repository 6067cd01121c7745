//! The items in a worker's hand: from their arrival until they are acknowledged or handed back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Subject;
use jetiter_config::broker::Broker;
use jetiter_config::call::Item;
use jetiter_config::names::Lane;
use slab::Slab;
use tokio::time::Instant;

/// The server hands an item to somebody else after `ack_wait` of silence; this breaks it.
const IN_PROGRESS: &[u8] = b"+WPI";

/// All items in hand.
pub(crate) struct Hand {
    held: Mutex<Slab<Arc<Held>>>,
}

/// Where an item came from; whoever is before it in that line is served before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Its lane in the queue.
    pub(crate) lane: Lane,
    /// Its sequence in the items stream.
    pub(crate) position: u64,
}

/// One item in hand.
pub(crate) struct Held {
    /// What to run.
    pub(crate) item: Item,
    /// Where its acknowledgement goes.
    pub(crate) reply: Subject,
    /// Where it came from.
    pub(crate) origin: Origin,
    arrived: Instant,
    began: Mutex<Option<Instant>>,
    slots: AtomicUsize,
}

/// Keeps the item in the table; dropping it takes it out.
pub(crate) struct Grip {
    hand: Arc<Hand>,
    key: usize,
    /// The item.
    pub(crate) held: Arc<Held>,
}

impl Hand {
    /// An empty hand.
    pub(crate) fn new() -> Hand {
        Hand { held: Mutex::default() }
    }

    /// Takes an item in hand.
    pub(crate) fn take(self: &Arc<Self>, item: Item, reply: Subject, origin: Origin) -> Grip {
        let held = Arc::new(Held {
            item,
            reply,
            origin,
            arrived: Instant::now(),
            began: Mutex::default(),
            slots: AtomicUsize::new(0),
        });
        let key = self.table().insert(held.clone());
        Grip { hand: self.clone(), key, held }
    }

    /// How many items are in hand.
    pub(crate) fn len(&self) -> usize {
        self.table().len()
    }

    /// Tells the server that every item held for longer than `after` is alive.
    pub(crate) async fn keep_alive(&self, broker: &Broker, after: Duration) {
        let old: Vec<Subject> = {
            let table = self.table();
            let old =
                table.iter().map(|(_, held)| held).filter(|held| held.arrived.elapsed() >= after);
            old.map(|held| held.reply.clone()).collect()
        };
        for reply in old {
            // Lost, it costs a second run elsewhere, and the write-once outcome stands anyway.
            broker.client.publish(reply, IN_PROGRESS.into()).await.ok();
        }
    }

    /// The items whose function should have been stopped by its time-out and was not: it holds
    /// its thread without ever waiting. Each is named once. Those for which `keeps_time` holds end in time
    /// by themselves, and may wait for their turn before it begins.
    pub(crate) fn stuck(
        &self,
        grace: Duration,
        keeps_time: impl Fn(&Item) -> bool,
    ) -> Vec<Arc<Held>> {
        let table = self.table();
        let stuck = |held: &&Arc<Held>| {
            let mut began = locked(&held.began);
            let over = |since: Instant| since.elapsed() > held.item.timeout.saturating_add(grace);
            began.is_some_and(over) && !keeps_time(&held.item) && began.take().is_some()
        };
        table.iter().map(|(_, held)| held).filter(stuck).cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, Slab<Arc<Held>>> {
        locked(&self.held)
    }
}

impl Held {
    /// The function begins, in so many slots.
    pub(crate) fn begin(&self, slots: usize, now: Instant) {
        self.slots.store(slots, Ordering::Relaxed);
        *locked(&self.began) = Some(now);
    }

    /// The function has ended; says whether that comes too late, since it was named as stuck.
    pub(crate) fn end(&self) -> bool {
        locked(&self.began).take().is_none()
    }

    /// In how many slots it runs.
    pub(crate) fn slots(&self) -> usize {
        self.slots.load(Ordering::Relaxed)
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        self.hand.table().remove(self.key);
    }
}

/// A panic while the lock was held leaves the table whole: every change to it is one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
