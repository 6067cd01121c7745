//! Follows the cache's log: every entry once, in order, from the first one on.

use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jetiter_config::broker::{Broker, StreamInfo};
use jetiter_config::names::Delivery;
use tokio::time::sleep;

use crate::pull::{Pull, Pulled};

/// How many entries may be on their way.
const WINDOW: usize = 4096;

/// How long between two tries to open the log.
const REOPEN: Duration = Duration::from_millis(500);

/// A pull consumer on a stream from some sequence on, without acknowledgements.
pub(crate) async fn read_from(
    broker: &Broker,
    stream: &str,
    filter: String,
    first: u64,
) -> Result<Pull, String> {
    let config = pull::Config {
        filter_subject: filter,
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: first.max(1) },
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: Duration::from_secs(30),
        ..pull::Config::default()
    };
    let handle = broker.jetstream.get_stream_no_info(stream).await;
    let handle = handle.map_err(|error| error.to_string())?;
    let consumer = handle.create_consumer(config).await.map_err(|error| error.to_string())?;
    let name = &consumer.cached_info().name;
    Pull::open(broker, stream, name).await.map_err(|error| error.to_string())
}

/// What the log brought.
pub(crate) enum Followed {
    /// The next entry.
    Entry(Entry),
    /// Nothing yet.
    Nothing,
    /// This is another log than before: all that was learnt from the old one is void.
    Another,
}

/// One entry of the log.
pub(crate) struct Entry {
    /// Its sequence.
    pub(crate) seq: u64,
    /// When the server stored it, milliseconds since 1970.
    pub(crate) at: u64,
    /// Subject, headers and payload.
    pub(crate) message: Message,
}

/// Reads the position of a delivered message: its sequence among the consumer's deliveries, and
/// the entry.
pub(crate) fn position(message: Message) -> Option<(u64, Entry)> {
    let delivery = Delivery::parse(message.reply.as_deref()?)?;
    let at = u64::try_from(delivery.timestamp / 1_000_000).ok()?;
    Some((delivery.consumer_sequence, Entry { seq: delivery.sequence, at, message }))
}

/// Where in which log.
pub(crate) struct Follower {
    broker: Broker,
    pull: Option<Pull>,
    /// The opening under way. Kept here, since whoever waits for the next entry may turn to
    /// something else at any time: begun anew each time, on a slow line it would never end.
    opening: Option<BoxFuture<'static, Result<Opened, String>>>,
    /// When the log was created; empty before the first look.
    log: String,
    /// The sequence of the last entry seen.
    seen: u64,
    /// When the server stored that one, milliseconds since 1970.
    seen_at: u64,
    /// The last sequence of the log when it was opened: up to here it is a replay.
    replay_to: u64,
    delivered: u64,
}

impl Follower {
    pub(crate) fn new(broker: &Broker) -> Follower {
        Follower {
            broker: broker.clone(),
            pull: None,
            opening: None,
            log: String::new(),
            seen: 0,
            seen_at: 0,
            replay_to: 0,
            delivered: 0,
        }
    }

    /// When the log was created.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// The sequence of the last entry seen.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether an entry stood in the log before this follower came.
    pub(crate) fn is_replay(&self, seq: u64) -> bool {
        seq <= self.replay_to
    }

    /// Whether the stream is still the log that was followed so far: a restored or re-created
    /// one has another time of creation, or ends before what was seen.
    pub(crate) fn is_same(&self, created: &str, last: u64) -> bool {
        is_same(&self.log, self.seen, created, last)
    }

    /// The next entry. May be dropped at any await.
    pub(crate) async fn next(&mut self) -> Followed {
        let Some(pull) = &mut self.pull else {
            return self.open().await;
        };
        match pull.next(WINDOW).await {
            Pulled::Nothing => Followed::Nothing,
            Pulled::Message(message) => self.accept(message),
            Pulled::Lost(reason) => self.lost(&reason),
            // On one server, which may be frozen or gone: the next one may be on another.
            Pulled::Silent => self.lost("no sign of its reader"),
        }
    }

    /// The next entry, if it has come already.
    pub(crate) fn ready(&mut self) -> Option<Followed> {
        let message = self.pull.as_mut()?.ready()?;
        Some(self.accept(message))
    }

    /// Looks at the stream anew and goes on behind what was seen.
    pub(crate) fn reopen(&mut self) {
        self.pull = None;
    }

    fn lost(&mut self, reason: &str) -> Followed {
        tracing::warn!(reason, "the cache's log is out of reach");
        self.pull = None;
        Followed::Nothing
    }

    fn accept(&mut self, message: Message) -> Followed {
        match position(message) {
            Some((delivery, entry)) if delivery == self.delivered + 1 => {
                self.delivered = delivery;
                (self.seen, self.seen_at) = (entry.seq, entry.at);
                Followed::Entry(entry)
            }
            _ => {
                // One was lost on the way: order is all, so begin again behind the last one.
                self.pull = None;
                Followed::Nothing
            }
        }
    }

    async fn open(&mut self) -> Followed {
        let (seen, at) = (self.seen, self.seen_at);
        let opening = self
            .opening
            .get_or_insert_with(|| open(self.broker.clone(), self.log.clone(), seen, at).boxed());
        let opened = opening.await;
        self.opening = None;
        match opened {
            Ok(opened) => self.go_on(opened),
            Err(reason) => {
                tracing::warn!(reason, "the cache's log can't be followed, trying again");
                Followed::Nothing
            }
        }
    }

    fn go_on(&mut self, opened: Opened) -> Followed {
        let first_look = self.log.is_empty();
        if !opened.same {
            self.seen = 0;
            self.replay_to = opened.info.state.last_seq;
        }
        self.log = opened.info.created;
        self.delivered = 0;
        self.pull = Some(opened.pull);
        if opened.same || first_look { Followed::Nothing } else { Followed::Another }
    }
}

/// A log that was looked at, and a pull on it.
struct Opened {
    info: StreamInfo,
    /// It is the one that was followed so far, and the pull goes on behind what was seen.
    same: bool,
    pull: Pull,
}

async fn open(broker: Broker, log: String, seen: u64, at: u64) -> Result<Opened, String> {
    let opened = try_open(&broker, &log, seen, at).await;
    if opened.is_err() {
        sleep(REOPEN).await;
    }
    opened
}

async fn try_open(broker: &Broker, log: &str, seen: u64, at: u64) -> Result<Opened, String> {
    let stream = broker.namespace.cache_stream();
    let info = broker.stream_info(&stream, None).await;
    let info = info.map_err(|error| error.to_string())?;
    let mut same = is_same(log, seen, &info.created, info.state.last_seq);
    if same && seen > 0 {
        // A server's files put back from a copy keep the time of creation, and the log may have
        // grown past what was seen by now: then another entry stands there.
        let stored = broker.stored_at(&stream, seen).await.map_err(|error| error.to_string())?;
        let millis = |time: String| Some(time.parse::<jiff::Timestamp>().ok()?.as_millisecond());
        same = stored.and_then(millis).is_none_or(|stored| u64::try_from(stored) == Ok(at));
    }
    let filter = broker.namespace.cache_filter();
    let first = if same { seen + 1 } else { 1 };
    let pull = read_from(broker, &stream, filter, first).await?;
    Ok(Opened { info, same, pull })
}

fn is_same(log: &str, seen: u64, created: &str, last: u64) -> bool {
    log == created && last >= seen
}
