//! Many publishes at once. Their acknowledgements all come to one inbox: a publish costs no request
//! of its own, no channel and no timer.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::{
    Client, HeaderMap, Message, PublishError, PublishErrorKind, StatusCode, Subject, Subscriber,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use tokio::time::{Instant, interval, timeout};

use crate::burst::{self, Outgoing};

/// How often acknowledgements that did not come are looked for.
const LOOK: Duration = Duration::from_millis(250);

/// The server's word on a stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// It is not stored anew: its message id was known.
    pub duplicate: bool,
}

/// Why the server did not store a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The subject holds a message already, and that one stays.
    #[error("there is one already")]
    Already,
    /// The message is larger than the server or the stream takes.
    #[error("{0}")]
    TooLarge(String),
    /// The stream takes no bursts; nothing is stored.
    #[error("the stream takes no bursts: `jetiter init` brings it up to date")]
    NoBursts,
    /// Nothing listens on the subject.
    #[error("no stream takes it")]
    NoStream,
    /// A limit of the stream or of the server is reached, or so it says: it may work later.
    #[error("{0}")]
    Full(String),
    /// No leader, another write under way, no answer: it may work later.
    #[error("{0}")]
    Later(String),
}

impl Stored {
    /// Reads the server's answer to a publish.
    pub fn read(message: &Message) -> Result<Stored, Refusal> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            seq: u64,
            #[serde(default)]
            duplicate: bool,
            error: Option<async_nats::jetstream::Error>,
        }
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(Refusal::NoStream);
        }
        match serde_json::from_slice(&message.payload) {
            Ok(Answer { seq, duplicate, error: None }) => Ok(Stored { sequence: seq, duplicate }),
            Ok(Answer { error: Some(error), .. }) => Err(Refusal::from(&error)),
            Err(error) => {
                Err(Refusal::Later(format!("the server's answer can't be read: {error}")))
            }
        }
    }
}

impl Refusal {
    /// The message was not even sent.
    pub fn of(error: &PublishError) -> Refusal {
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Refusal::TooLarge(error.to_string()),
            _ => Refusal::Later(error.to_string()),
        }
    }

    /// The server said nothing in time.
    pub fn unanswered() -> Refusal {
        Refusal::Later("no acknowledgement in time".to_owned())
    }
}

/// Publishes over one connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    client: Client,
    inbox: String,
    patience: Duration,
    waiting: Arc<Waiting>,
}

/// Publishes whose acknowledgement has not been taken.
#[derive(Debug, Default)]
struct Waiting(Mutex<Numbered>);

/// Publishes in the order of their numbers. They end in about that order, so a line of them does
/// with no look-up what a map would do.
#[derive(Debug, Default)]
struct Numbered {
    first: u64,
    publishes: VecDeque<Publish>,
}

#[derive(Debug)]
enum Publish {
    Unanswered {
        since: Instant,
        waker: Option<Waker>,
    },
    Answered(Result<Stored, Refusal>),
    /// Nobody waits for it any more.
    Dropped,
}

impl Publisher {
    /// Subscribes to the acknowledgements, for as long as this lives.
    pub(crate) async fn open(client: &Client, patience: Duration) -> Result<Publisher, Refusal> {
        let inbox = client.new_inbox();
        let later = |error: &dyn fmt::Display| Refusal::Later(error.to_string());
        let answers = client.subscribe(format!("{inbox}.>")).await.map_err(|e| later(&e))?;
        let waiting = Arc::new(Waiting::default());
        tokio::spawn(listen(answers, inbox.clone(), Arc::downgrade(&waiting), patience));
        Ok(Publisher { client: client.clone(), inbox, patience, waiting })
    }

    /// Sends a message; the future ends with the server's word.
    pub(crate) async fn publish(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Publishing, Refusal> {
        let publishing = self.begin();
        let reply = format!("{}.{}", self.inbox, publishing.number);
        self.send(Outgoing { subject, headers, payload }, reply).await?;
        Ok(publishing)
    }

    pub(crate) fn begin(&self) -> Publishing {
        self.waiting.begin()
    }

    pub(crate) fn inbox(&self) -> &str {
        &self.inbox
    }

    pub(crate) async fn send(&self, message: Outgoing, reply: String) -> Result<(), Refusal> {
        let Outgoing { subject, headers, payload } = message;
        let sent = self.client.publish_with_reply_and_headers(subject, reply, headers, payload);
        // Apart from whoever publishes: thousands of those wait for their acknowledgement at once.
        let mut sent = Box::pin(sent);
        let sent = match sent.as_mut().now_or_never() {
            Some(sent) => Ok(sent),
            // While the connection is away its queue fills, and then sending waits as well.
            None => timeout(self.patience, sent).await,
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Refusal::of(&error)),
            Err(_) => Err(Refusal::unanswered()),
        }
    }
}

/// A publish under way. Dropped, it goes on unheard.
#[derive(Debug)]
pub struct Publishing {
    number: u64,
    waiting: Arc<Waiting>,
}

impl Publishing {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Future for Publishing {
    type Output = Result<Stored, Refusal>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut numbered = self.waiting.numbered();
        match numbered.get(self.number) {
            Some(Publish::Answered(answer)) => Poll::Ready(answer.clone()),
            Some(Publish::Unanswered { waker, .. }) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            // Only dropping takes it out.
            Some(Publish::Dropped) | None => Poll::Ready(Err(Refusal::unanswered())),
        }
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.waiting.numbered().remove(self.number);
    }
}

impl Waiting {
    fn begin(self: &Arc<Self>) -> Publishing {
        let mut numbered = self.numbered();
        let number = numbered.first + numbered.publishes.len() as u64;
        let publish = Publish::Unanswered { since: Instant::now(), waker: None };
        numbered.publishes.push_back(publish);
        Publishing { number, waiting: self.clone() }
    }

    fn answer(&self, number: u64, answer: Result<Stored, Refusal>) {
        let waker = match self.numbered().get(number) {
            Some(publish) => publish.answer(answer),
            None => None,
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Gives up what was sent so long ago that no answer will come.
    fn give_up(&self, patience: Duration) {
        let late = |publish: &Publish| match publish {
            Publish::Unanswered { since, .. } => since.elapsed() >= patience,
            Publish::Answered(_) | Publish::Dropped => false,
        };
        let mut numbered = self.numbered();
        let late = numbered.publishes.iter_mut().filter(|publish| late(publish));
        let wakers: Vec<_> =
            late.filter_map(|late| late.answer(Err(Refusal::unanswered()))).collect();
        drop(numbered);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A panic while the lock was held leaves the table whole: every change to it is one step.
    fn numbered(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbered {
    fn get(&mut self, number: u64) -> Option<&mut Publish> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.publishes.get_mut(at)
    }

    fn remove(&mut self, number: u64) {
        if let Some(publish) = self.get(number) {
            *publish = Publish::Dropped;
        }
        while let Some(Publish::Dropped) = self.publishes.front() {
            self.publishes.pop_front();
            self.first += 1;
        }
    }
}

impl Publish {
    /// Takes the server's word; whom to wake.
    fn answer(&mut self, answer: Result<Stored, Refusal>) -> Option<Waker> {
        match self {
            Publish::Unanswered { waker, .. } => {
                let waker = waker.take();
                *self = Publish::Answered(answer);
                waker
            }
            Publish::Answered(_) | Publish::Dropped => None,
        }
    }
}

async fn listen(
    mut answers: Subscriber,
    inbox: String,
    waiting: Weak<Waiting>,
    patience: Duration,
) {
    let mut look = interval(LOOK);
    loop {
        let answer = tokio::select! {
            answer = answers.next() => answer,
            _ = look.tick() => match waiting.upgrade() {
                Some(waiting) => {
                    waiting.give_up(patience);
                    continue;
                }
                None => return,
            },
        };
        let (Some(message), Some(waiting)) = (answer, waiting.upgrade()) else {
            return;
        };
        let behind = message.subject.get(inbox.len() + 1..).unwrap_or_default();
        let (number, word) = match behind.split_once('.') {
            None => (behind, Some(Stored::read(&message))),
            Some((id, tokens)) => {
                (id.rsplit('-').next().unwrap_or_default(), burst::read(tokens, &message))
            }
        };
        if let (Ok(number), Some(word)) = (number.parse(), word) {
            waiting.answer(number, word);
        }
    }
}

impl From<&async_nats::jetstream::Error> for Refusal {
    fn from(error: &async_nats::jetstream::Error) -> Refusal {
        let text = error.to_string();
        match error.error_code() {
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Refusal::Already,
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Refusal::TooLarge(text),
            // 10077 says "full" and also "written already".
            ErrorCode::STREAM_STORE_FAILED | ErrorCode::INSUFFICIENT_RESOURCES => {
                Refusal::Full(text)
            }
            // 10164 says that another write is under way that may still fail: only 10071 is certain, so
            // ask again.
            _ => Refusal::Later(text),
        }
    }
}
