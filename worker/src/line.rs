//! Who may store next while the cache is full: the oldest items first. In any other order the
//! room that a finished group frees goes to bits of many others, and none of those can finish.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// How many of the oldest may try at once.
const AT_ONCE: usize = 16;

/// The items whose outcomes were refused, by their position in the items stream.
#[derive(Default)]
pub(crate) struct Line {
    waiting: Mutex<BTreeSet<u64>>,
    moved: Notify,
}

/// An outcome on its way into the cache; dropped, it gives up its place in the line.
pub(crate) struct Place<'a> {
    line: &'a Line,
    position: u64,
}

impl Line {
    /// Takes an outcome that is to be stored. Nobody is in the line while storing works.
    pub(crate) fn place(&self, position: u64) -> Place<'_> {
        Place { line: self, position }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        // A panic while the lock was held leaves the set whole: every change to it is one step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits until this outcome may try.
    pub(crate) async fn turn(&self) {
        loop {
            let moved = self.line.moved.notified();
            if self.is_first() {
                return;
            }
            moved.await;
        }
    }

    /// After a refusal: waits for a while, or until another one was stored.
    pub(crate) async fn refused(&self, pause: Duration) {
        self.line.waiting().insert(self.position);
        timeout(pause, self.line.moved.notified()).await.ok();
    }

    fn is_first(&self) -> bool {
        let mut waiting = self.line.waiting();
        if waiting.is_empty() {
            return true;
        }
        waiting.insert(self.position);
        waiting.range(..self.position).take(AT_ONCE).count() < AT_ONCE
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.line.waiting().remove(&self.position) {
            self.line.moved.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn the_oldest_go_first() {
        let line = Line::default();
        let places: Vec<_> = (0..100).map(|position| line.place(position)).collect();
        places[99].turn().await;
        for place in &places {
            place.refused(Duration::ZERO).await;
        }
        let first = |place: &Place<'_>| place.turn().now_or_never().is_some();
        let allowed = places.iter().filter(|place| first(place)).count();
        assert_eq!(allowed, AT_ONCE);
        assert!(first(&places[0]) && !first(&places[AT_ONCE]));
        let mut places = places.into_iter();
        drop(places.next());
        assert!(first(&places.as_slice()[AT_ONCE - 1]), "one was stored, the next may try");
        drop(places);
        assert!(line.waiting().is_empty());
    }

    #[tokio::test]
    async fn one_that_comes_later_stands_behind() {
        let line = Line::default();
        let old: Vec<_> = (0..AT_ONCE as u64).map(|position| line.place(position)).collect();
        for place in &old {
            place.refused(Duration::ZERO).await;
        }
        let late = line.place(1_000);
        let turn = async {
            late.turn().await;
        };
        let stored = async {
            tokio::task::yield_now().await;
            drop(old);
        };
        tokio::join!(turn, stored);
    }
}
