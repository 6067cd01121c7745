//! Writes entries into the cache, many at once, and acknowledges the items whose outcome is stored.
//! One task for all of them: an item costs it no channel, no timer and no wake-up of its own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{HeaderMap, Message, Subject, SubscribeError, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use jetiter_config::broker::{Refusal, Stored};
use jetiter_config::crash_point;
use jetiter_config::names::Lane;
use jetiter_config::wire::Ran;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, interval, timeout};
use tokio_util::task::TaskTracker;

use crate::executor::Executor;
use crate::line::Ready;
use crate::turns::Lines;
use crate::window::Window;

/// How often answers that did not come are looked for. Also what a function keeps back that holds its
/// thread behind quick ones is written then.
const LOOK: Duration = Duration::from_millis(250);

/// What is to be written.
#[derive(Default)]
pub(crate) struct Writer {
    outbox: Mutex<Vec<Write>>,
    moved: Notify,
    waiting: AtomicUsize,
}

/// An entry on its way into the cache.
pub(crate) struct Write {
    pub(crate) lane: Lane,
    pub(crate) subject: Subject,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
    pub(crate) then: Then,
}

/// What its answer is for.
pub(crate) enum Then {
    /// Stored, its item is acknowledged: no put, no ack.
    Acknowledge(Written),
    /// Somebody waits for it.
    Tell(oneshot::Sender<Result<(), Refusal>>),
}

/// An item whose value is on its way.
pub(crate) struct Written {
    pub(crate) ready: Ready,
    pub(crate) value: Bytes,
    pub(crate) ran: Ran,
}

impl Writer {
    /// Takes an entry; it is written when the task is woken, with what came besides.
    pub(crate) fn push(&self, write: Write) {
        self.outbox().push(write);
    }

    /// Has written what was pushed.
    pub(crate) fn wake(&self) {
        self.moved.notify_one();
    }

    /// Writes an entry and waits for the server's word.
    pub(crate) async fn store(
        &self,
        lane: Lane,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Refusal> {
        let (tell, told) = oneshot::channel();
        self.push(Write {
            lane,
            subject: subject.into(),
            headers,
            payload,
            then: Then::Tell(tell),
        });
        self.wake();
        told.await.unwrap_or_else(|_| Err(Refusal::Later("the worker ends".to_owned())))
    }

    /// How many entries wait for others to be stored.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What was pushed and is not yet taken.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Vec<Write> {
        std::mem::take(&mut *self.outbox())
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.outbox().is_empty()
    }

    fn outbox(&self) -> MutexGuard<'_, Vec<Write>> {
        // A panic while the lock was held leaves it whole: nothing here panics half-way.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that writes.
pub(crate) struct Writing {
    executor: Arc<Executor>,
    running: TaskTracker,
    inbox: String,
    answers: Subscriber,
    /// What is being taken in: kept for its memory.
    came: Vec<Write>,
    lines: Lines<Write>,
    window: Window,
    /// With so many under way it is time to look for answers.
    enough: usize,
    /// By their numbers, from `first` on.
    under_way: VecDeque<Option<UnderWay>>,
    first: u64,
    count: usize,
    patience: Duration,
}

struct UnderWay {
    since: Instant,
    then: Then,
}

impl Writing {
    /// Subscribes to the answers.
    pub(crate) async fn open(
        executor: &Arc<Executor>,
        running: &TaskTracker,
    ) -> Result<Writing, jetiter_config::Error> {
        let client = &executor.broker.client;
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await;
        let refused = |error: SubscribeError| jetiter_config::Error::Api {
            what: "listening for the answers to writes".to_owned(),
            reason: error.to_string(),
        };
        Ok(Writing {
            answers: answers.map_err(refused)?,
            executor: executor.clone(),
            running: running.clone(),
            inbox,
            came: Vec::new(),
            lines: Lines::default(),
            window: Window::new(executor.settings.in_flight),
            enough: 0,
            under_way: VecDeque::new(),
            first: 0,
            count: 0,
            patience: executor.broker.patience(),
        })
    }

    /// Writes for ever.
    pub(crate) async fn run(mut self) {
        let mut look = interval(LOOK);
        let executor = self.executor.clone();
        loop {
            // While a runner is at it, it wakes this task soon: until then answers may wait, and
            // acknowledgements go out with the next writes.
            let soon = self.count < self.enough && executor.line.is_busy();
            tokio::select! {
                biased;
                Some(answer) = self.answers.next(), if !soon => self.answered(&answer).await,
                () = executor.writer.moved.notified() => {}
                _ = look.tick() => self.give_up().await,
            }
            while let Some(Some(answer)) = self.answers.next().now_or_never() {
                self.answered(&answer).await;
            }
            self.send().await;
        }
    }

    /// Sends what waited, then what has come, as far as the window goes.
    async fn send(&mut self) {
        let now = Instant::now();
        let mut came = std::mem::take(&mut self.came);
        // Exchanged, not taken: grown anew each time it would be moved again and again.
        std::mem::swap(&mut came, &mut *self.executor.writer.outbox());
        came.iter().for_each(|write| self.window.came(write.lane, now));
        let window = self.window.size(now);
        self.enough = if self.window.is_wide(now) { window / 4 * 3 } else { 0 };
        for write in came.drain(..) {
            match self.lines.is_empty() && self.count < window {
                true => self.publish(write, now).await,
                false => self.lines.push(write.lane, write),
            }
        }
        self.came = came;
        while self.count < window
            && let Some(write) = self.lines.pop()
        {
            self.publish(write, now).await;
        }
        self.executor.writer.waiting.store(self.lines.len(), Ordering::Relaxed);
    }

    async fn publish(&mut self, write: Write, since: Instant) {
        let Write { subject, headers, payload, then, .. } = write;
        let number = self.first + self.under_way.len() as u64;
        self.under_way.push_back(Some(UnderWay { since, then }));
        self.count += 1;
        let reply = format!("{}.{number}", self.inbox);
        let client = &self.executor.broker.client;
        let sent = client.publish_with_reply_and_headers(subject, reply, headers, payload);
        // While the connection is away its queue fills, and then sending waits as well.
        let refusal = match timeout(self.patience, sent).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => Refusal::of(&error),
            Err(_) => Refusal::unanswered(),
        };
        self.ended(number, Err(refusal)).await;
    }

    async fn answered(&mut self, answer: &Message) {
        let number = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        if let Some(number) = number {
            self.ended(number, Stored::read(answer).map(drop)).await;
        }
    }

    async fn ended(&mut self, number: u64, word: Result<(), Refusal>) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let slot = at.and_then(|at| self.under_way.get_mut(at));
        let Some(UnderWay { then, .. }) = slot.and_then(Option::take) else {
            return;
        };
        self.count -= 1;
        while let Some(None) = self.under_way.front() {
            self.under_way.pop_front();
            self.first += 1;
        }
        match (then, word) {
            (Then::Acknowledge(written), Ok(()) | Err(Refusal::Already)) => {
                crash_point("worker.stored");
                self.executor.ack(&written.ready.grip.held).await;
            }
            (Then::Acknowledge(written), Err(_)) => {
                let executor = self.executor.clone();
                self.running.spawn(async move { executor.write_again(written).await });
            }
            (Then::Tell(tell), word) => {
                // Nobody waits for it where the worker stops.
                tell.send(word).ok();
            }
        }
    }

    /// Gives up what was sent so long ago that no answer will come.
    async fn give_up(&mut self) {
        let late = |one: &UnderWay| one.since.elapsed() >= self.patience;
        let all = self.under_way.iter().enumerate();
        let late = all.filter(|(_, one)| one.as_ref().is_some_and(late));
        let late: Vec<u64> = late.map(|(at, _)| self.first + at as u64).collect();
        for number in late {
            self.ended(number, Err(Refusal::unanswered())).await;
        }
    }
}
