//! Places that are given to the lanes in turn: a semaphore that no lane can fill.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetiter_config::names::Lane;
use tokio::sync::oneshot;

use crate::turns::Turns;

/// Places, for functions that run or for writes under way.
pub(crate) struct Slots {
    turns: Mutex<Turns<oneshot::Sender<Slot>>>,
}

/// One place or several; dropped, they are free again.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    places: usize,
}

/// Somebody waits; gone, it may have held up others.
struct Waits<'a>(&'a Arc<Slots>);

impl Slots {
    pub(crate) fn new(places: usize) -> Arc<Slots> {
        Arc::new(Slots { turns: Mutex::new(Turns::new(places)) })
    }

    /// Waits until it is this lane's turn and so many places are free. May be dropped at any time.
    pub(crate) async fn take(self: &Arc<Self>, lane: Lane, places: usize) -> Slot {
        if let Some(slot) = self.try_take(places) {
            return slot;
        }
        let (sender, slot) = oneshot::channel();
        self.turns().wait(lane, places, sender);
        self.serve();
        let waits = Waits(self);
        let slot = slot.await;
        std::mem::forget(waits);
        // The line keeps every sender until it is served.
        slot.unwrap_or_else(|_| Slot { slots: self.clone(), places: 0 })
    }

    /// Takes so many places if they are free and nobody waits.
    pub(crate) fn try_take(self: &Arc<Self>, places: usize) -> Option<Slot> {
        self.turns().take(places).then(|| Slot { slots: self.clone(), places })
    }

    /// Puts places back that were forgotten.
    pub(crate) fn put_back(self: &Arc<Self>, places: usize) {
        self.turns().put_back(places);
        self.serve();
    }

    /// How many wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.turns().waiting()
    }

    fn serve(self: &Arc<Self>) {
        loop {
            let next = self.turns().next(oneshot::Sender::is_closed);
            let Some((places, who)) = next else { return };
            // Who has gone in this moment drops it, and so gives it back.
            who.send(Slot { slots: self.clone(), places }).ok();
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns<oneshot::Sender<Slot>>> {
        // A panic while the lock was held leaves it whole: nothing here panics half-way.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// How many places it has.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// Somebody else has put its places back.
    pub(crate) fn forget(mut self) {
        self.places = 0;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.places > 0 {
            self.slots.put_back(self.places);
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.serve();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn lane() -> Lane {
        Lane::LAST
    }

    #[tokio::test]
    async fn a_place_is_given_on_when_it_is_dropped() {
        let slots = Slots::new(1);
        let first = slots.take(lane(), 1).await;
        let mut second = Box::pin(slots.take(lane(), 1));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(slots.waiting(), 1);
        drop(first);
        assert_eq!(second.await.places(), 1);
        assert_eq!(slots.take(lane(), 1).now_or_never().map(|slot| slot.places()), Some(1));
    }

    #[tokio::test]
    async fn who_stops_waiting_for_all_places_holds_nobody_up() {
        let slots = Slots::new(2);
        let first = slots.take(lane(), 1).await;
        let mut all = Box::pin(slots.take(lane(), 2));
        assert!(all.as_mut().now_or_never().is_none());
        let mut other = Box::pin(slots.take(Lane::all().next().unwrap(), 1));
        assert!(other.as_mut().now_or_never().is_none());
        drop(all);
        assert_eq!(other.now_or_never().map(|slot| slot.places()), Some(1));
        drop(first);
        assert_eq!(slots.take(lane(), 2).now_or_never().map(|slot| slot.places()), Some(2));
    }

    #[tokio::test]
    async fn a_place_that_nobody_fetches_is_free() {
        let slots = Slots::new(1);
        let first = slots.take(lane(), 1).await;
        let mut second = Box::pin(slots.take(lane(), 1));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second);
        assert!(slots.take(lane(), 1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn forgotten_places_are_put_back_once() {
        let slots = Slots::new(1);
        let slot = slots.take(lane(), 1).await;
        slots.put_back(1);
        slot.forget();
        let held = slots.take(lane(), 1).await;
        assert!(slots.take(lane(), 1).now_or_never().is_none());
        drop(held);
    }
}
