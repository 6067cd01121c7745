//! The room in a worker's hand, shared among the lanes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetiter_config::names::Lane;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ahead::Ahead;

type Waiting = Box<dyn Fn() -> bool + Send + Sync>;

/// Which lane may take how many items, and who is to be told when that changes.
pub(crate) struct Shares {
    ahead: Mutex<Ahead>,
    more: [Notify; Lane::COUNT],
    /// Whether items in hand wait, to run or to be written.
    waiting: Waiting,
}

/// The room that one item takes; dropped, it is free.
pub(crate) struct Share {
    shares: Arc<Shares>,
    /// The item's lane.
    pub(crate) lane: Lane,
}

impl Shares {
    pub(crate) fn new(slots: usize, prefetch: usize, waiting: Waiting) -> Arc<Shares> {
        let ahead = Mutex::new(Ahead::new(slots, prefetch, Instant::now()));
        Arc::new(Shares { ahead, more: Default::default(), waiting })
    }

    /// How many items of a lane can be taken, when so many are asked for already.
    pub(crate) fn room(&self, lane: Lane, asked: usize) -> usize {
        let mut ahead = self.ahead();
        ahead.asked(lane, asked);
        ahead.room(lane)
    }

    /// Waits until a lane may have more room.
    pub(crate) async fn more(&self, lane: Lane) {
        self.more[lane.place()].notified().await;
    }

    /// Makes every lane look again how much room it has.
    pub(crate) fn look_again(&self) {
        self.more.iter().for_each(Notify::notify_one);
    }

    /// An item came.
    pub(crate) fn take(self: &Arc<Self>, lane: Lane) -> Share {
        self.ahead().took(lane);
        Share { shares: self.clone(), lane }
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        // A panic while the lock was held leaves it whole: nothing here panics half-way.
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Shares { more, waiting, .. } = &*self.shares;
        let tell = |ahead: &Ahead, lane: Lane| {
            if ahead.is_short(lane) {
                more[lane.place()].notify_one();
            }
        };
        let mut ahead = self.shares.ahead();
        match ahead.ended(self.lane, Instant::now(), waiting) {
            true => Lane::all().for_each(|lane| tell(&ahead, lane)),
            false => tell(&ahead, self.lane),
        }
    }
}
