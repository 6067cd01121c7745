//! A long-lived pull: one subscription, requests sized to what the caller can take.
//!
//! async-nats's own stream asks for a fixed batch, and its messages age against `ack_wait` in a
//! buffer that nobody can see. Here a message that arrives is in the caller's hand.

use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt};
use jetiter_config::broker::Broker;
use tokio::time::{Instant, timeout_at};

/// How often the server says that a waiting pull is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence of this length means that the server has forgotten our pulls.
const SILENCE: Duration = Duration::from_millis(2500);
/// How long one pull waits on the server: so long an orderly stop waits for the end of the last
/// one. The server wants at least two heartbeats.
const EXPIRES: Duration = Duration::from_secs(2);

/// The least that one pull may bring in bytes. The server cuts a connection whose unread messages
/// pass 64 MiB, and a worker has two pulls open for each of its lanes.
const MAX_BYTES: usize = 1 << 20;

/// What a pull brought.
pub(crate) enum Pulled {
    /// A message of the stream.
    Message(Message),
    /// Nothing yet: ask again.
    Nothing,
    /// Not even a heartbeat: the server has forgotten our pulls or is gone. Asking again helps
    /// where another server takes the consumer over.
    Silent,
    /// The consumer is gone: open another pull.
    Lost(String),
}

/// An open pull on one consumer.
pub(crate) struct Pull {
    broker: Broker,
    /// The consumer, as a person is told of it.
    name: String,
    subject: String,
    inbox: String,
    messages: Subscriber,
    outstanding: usize,
    /// The server's word that was met on the way to a message.
    said: Option<Message>,
    /// When the server last gave a sign. Kept here, since whoever waits for the next message may
    /// turn to something else at any time: measured from each call, silence would never be long.
    heard: Instant,
    connects: u64,
}

impl Pull {
    /// Subscribes; nothing is asked for yet.
    pub(crate) async fn open(
        broker: &Broker,
        stream: &str,
        consumer: &str,
    ) -> Result<Pull, async_nats::SubscribeError> {
        let inbox = broker.client.new_inbox();
        Ok(Pull {
            name: format!("the consumer {consumer} of the stream {stream}"),
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            messages: broker.client.subscribe(inbox.clone()).await?,
            connects: connects(broker),
            broker: broker.clone(),
            inbox,
            outstanding: 0,
            said: None,
            heard: Instant::now(),
        })
    }

    /// How many messages are asked for and have not come.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The next message, while the caller can take `room` messages from now on. May be dropped
    /// at any await: nothing that arrived is lost.
    pub(crate) async fn next(&mut self, room: usize) -> Pulled {
        if self.connects != connects(&self.broker) {
            // The server behind a new connection knows nothing of our pulls.
            self.connects = connects(&self.broker);
            self.outstanding = 0;
        }
        // Half empty is time to ask again: the next messages travel while these are worked on.
        if room > 0 && self.outstanding <= room / 2 {
            let more = room - self.outstanding;
            if self.outstanding == 0 {
                self.heard = Instant::now();
            }
            self.outstanding = room;
            if let Err(error) = self.ask(more).await {
                self.outstanding = 0;
                return Pulled::Lost(error.to_string());
            }
        }
        let next = match self.said.take() {
            Some(said) => Ok(Some(said)),
            None => timeout_at(self.heard + SILENCE, self.messages.next()).await,
        };
        self.heard = Instant::now();
        match next {
            Ok(Some(message)) => self.sort(message).await,
            Ok(None) => Pulled::Lost("the connection is closed".to_owned()),
            // Who asked for nothing is told nothing.
            Err(_) if std::mem::take(&mut self.outstanding) == 0 => Pulled::Nothing,
            Err(_) => Pulled::Silent,
        }
    }

    /// A message that has come already: in full flow there is one, and to wait for it as for the
    /// first one would cost more than it.
    pub(crate) fn ready(&mut self) -> Option<Message> {
        if self.said.is_some() {
            return None;
        }
        let message = self.messages.next().now_or_never()??;
        if message.status.is_some_and(|status| status != StatusCode::OK) {
            self.said = Some(message);
            return None;
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        Some(message)
    }

    /// Asks for nothing more and returns what still comes until the server has ended our pulls.
    /// To unsubscribe would be quicker and lose items: the client library forgets a subscription
    /// before the server does, and what comes in between would wait for `ack_wait`.
    pub(crate) async fn close(mut self) -> Vec<Message> {
        let mut left = Vec::new();
        let end = Instant::now() + EXPIRES + SILENCE;
        while self.outstanding > 0 && self.connects == connects(&self.broker) {
            let Ok(Some(message)) = timeout_at(end, self.messages.next()).await else {
                break;
            };
            if let Pulled::Message(message) = self.sort(message).await {
                left.push(message);
            }
        }
        left
    }

    async fn ask(&self, batch: usize) -> Result<(), async_nats::PublishError> {
        // The largest message must fit, or the pull would never bring it.
        let max_bytes = MAX_BYTES.max(2 * self.broker.client.max_payload());
        let request = format!(
            "{{\"batch\":{batch},\"max_bytes\":{max_bytes},\"expires\":{},\"idle_heartbeat\":{}}}",
            EXPIRES.as_nanos(),
            HEARTBEAT.as_nanos()
        );
        let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
        self.broker.client.publish_with_reply(subject, inbox, request.into()).await
    }

    /// Tells a message of the stream from the server's word about our pulls.
    async fn sort(&mut self, message: Message) -> Pulled {
        let Some(status) = message.status.filter(|status| *status != StatusCode::OK) else {
            self.outstanding = self.outstanding.saturating_sub(1);
            return Pulled::Message(message);
        };
        let description = message.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => Pulled::Nothing,
            StatusCode::NO_RESPONDERS => {
                self.outstanding = 0;
                Pulled::Lost(format!("nobody answers for {}", self.name))
            }
            _ if description == "Consumer Deleted" || description.contains("push based") => {
                Pulled::Lost(description.to_owned())
            }
            _ => {
                let left = message.headers.as_ref().and_then(|h| h.get("Nats-Pending-Messages"));
                let left = left.and_then(|count| count.as_str().parse::<usize>().ok());
                // Without a count (a leader changed, a server stops) all our pulls are void.
                self.outstanding = left.map_or(0, |left| self.outstanding.saturating_sub(left));
                if left.is_none() {
                    tracing::debug!(%status, description, "a pull ended early");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Pulled::Nothing
            }
        }
    }
}

fn connects(broker: &Broker) -> u64 {
    broker.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
}
