//! Publishes the items of a group, many in flight, then the seal.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use jetiter_config::broker::{Broker, Refusal};
use jetiter_config::crash_point;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Entry, Function, GroupId, Mark, Queue};
use jetiter_config::settings;
use jetiter_config::wire::{self, Seal};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::options::Options;
use crate::wait;

/// Whoever waits for longer than this is told why.
const SLOW: Duration = Duration::from_secs(5);

/// One group on its way to the broker.
pub(crate) struct Submission<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) window: &'a settings::Submit,
    pub(crate) group: GroupId,
    pub(crate) queue: Queue,
    pub(crate) function: Function,
    pub(crate) options: &'a Options,
    /// Makes this run's message ids its own: the same item published again later is stored
    /// again, also within the duplicate window.
    pub(crate) nonce: String,
    /// The log was told why nothing goes on; once is enough.
    pub(crate) told: AtomicBool,
}

/// An item that the server has stored.
struct Sent {
    bytes: usize,
}

impl Submission<'_> {
    /// Publishes every argument, then the total. Memory holds the window, never the iterable.
    pub(crate) async fn run<A: Serialize>(
        &self,
        arguments: impl Stream<Item = A>,
    ) -> Result<u32, Error> {
        let mut arguments = pin!(arguments);
        let mut in_flight = FuturesUnordered::new();
        let (mut total, mut bytes) = (0u32, 0usize);
        loop {
            // Without the window a fast iterable would fill the memory of client and server.
            let room = in_flight.len() < self.window.window && bytes < self.window.window_bytes;
            let argument = tokio::select! {
                // First, and also while a slow iterable is waited for: what is in flight is only
                // published when it is polled.
                biased;
                Some(sent) = in_flight.next() => {
                    let sent: Sent = sent?;
                    bytes -= sent.bytes;
                    crash_point("client.stored");
                    continue;
                }
                argument = arguments.next(), if room || in_flight.is_empty() => argument,
            };
            let Some(argument) = argument else { break };
            let index = total;
            total = total.checked_add(1).ok_or(Error::TooManyItems)?;
            let payload = self.encode(index, &argument)?;
            bytes += payload.len();
            in_flight.push(self.item(index, payload));
        }
        while let Some(sent) = in_flight.next().await {
            sent?;
        }
        // Every item is stored: only now is the total true.
        crash_point("client.sealing");
        self.seal(total).await?;
        crash_point("client.sealed");
        Ok(total)
    }

    fn encode<A: Serialize>(&self, index: u32, argument: &A) -> Result<Bytes, Error> {
        let wrong = |reason: String| Error::Argument {
            group: self.group.to_string(),
            index: u64::from(index),
            reason,
        };
        let bytes = self.options.written_as().encode(argument);
        let bytes = bytes.map_err(|error| wrong(error.to_string()))?;
        let limit = wire::max_value(self.broker.client.max_payload());
        check_size(bytes.len(), limit).map_err(wrong)?;
        Ok(bytes.into())
    }

    async fn item(&self, index: u32, payload: Bytes) -> Result<Sent, Error> {
        let ns = &self.broker.namespace;
        let bytes = payload.len();
        let message = || {
            let subject = ns.item_subject(&self.queue, &self.group, &self.function, index);
            (subject, self.item_headers(index), payload.clone())
        };
        if let Stored::Duplicate { first_try: true } = self.store(Some(index), message).await? {
            let group = self.group.to_string();
            return Err(Error::TakenForDuplicate { group, index: u64::from(index) });
        }
        Ok(Sent { bytes })
    }

    fn item_headers(&self, index: u32) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(wire::INDEX, index.to_string());
        headers.insert(wire::MESSAGE_ID, format!("{}.{index}", self.nonce));
        if self.options.written_as() != Encoding::Json {
            headers.insert(wire::CONTENT_TYPE, self.options.written_as().content_type());
        }
        if let Some(timeout) = self.options.timeout {
            headers.insert(wire::TIMEOUT, timeout.as_millis().max(1).to_string());
        }
        if self.options.retries > 0 {
            headers.insert(wire::RETRIES, self.options.retries.to_string());
        }
        headers
    }

    async fn seal(&self, total: u32) -> Result<(), Error> {
        self.check_first_seal(total).await?;
        let seal = Seal {
            total,
            encoding: self.options.written_as(),
            keep_ms: self.options.cached.map(|keep| keep.as_millis() as u64),
            function: Some(self.function.clone()),
            label: self.options.label.clone(),
        };
        let message = || {
            let (mut headers, payload) = seal.to_message();
            let id = format!("{}.seal.{total}.{}", self.group, self.nonce);
            headers.insert(wire::MESSAGE_ID, id);
            (self.broker.namespace.seal_subject(&self.group), headers, payload.into())
        };
        self.store(None, message).await.map(drop)
    }

    /// A caller's own id may have been sealed by an earlier run.
    async fn check_first_seal(&self, total: u32) -> Result<(), Error> {
        if self.options.group.is_none() {
            return Ok(());
        }
        let ns = &self.broker.namespace;
        let subject = ns.entry_subject(self.group.as_str(), Entry::Mark(Mark::Seal));
        let cache = ns.cache_stream();
        let ask = || self.broker.last_message(&cache, &subject);
        let what = "the group's seal".to_owned();
        let found = wait::for_answer(what, self.window.patience, ask).await?;
        let first = found.and_then(|mark| serde_json::from_slice::<Seal>(&mark.payload()).ok());
        match first {
            Some(first) if first.total != total => Err(Error::SealedTwice {
                group: self.group.to_string(),
                first: first.total,
                second: u64::from(total),
            }),
            _ => Ok(()),
        }
    }

    /// Publishes until it is stored. Full, without a leader, disconnected: it may work later,
    /// and the message id makes the second copy of a first one that did arrive harmless.
    async fn store(
        &self,
        index: Option<u32>,
        message: impl Fn() -> (String, HeaderMap, Bytes),
    ) -> Result<Stored, Error> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(50);
        let mut first_try = true;
        loop {
            let (subject, headers, payload) = message();
            let sent = self.broker.publish(subject, headers, payload).await;
            let error = match sent {
                Ok(waiting) => match waiting.await {
                    Ok(ack) if ack.duplicate => return Ok(Stored::Duplicate { first_try }),
                    Ok(_) => return Ok(Stored::New),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let reason = match error.kind() {
                PublishErrorKind::StreamNotFound => {
                    format!("no stream takes it ({error}): `jetiter init` makes it")
                }
                _ if is_full(&error) => format!(
                    "the items stream is full ({error}): start workers, or raise \
                     assets.items_max_bytes (jetiter init)"
                ),
                _ => error.to_string(),
            };
            let hopeless = matches!(Refusal::of(error), Refusal::TooLarge(_));
            if hopeless || began.elapsed() > self.window.patience {
                let what = index.map_or("the seal".to_owned(), |index| format!("item {index}"));
                return Err(Error::NotStored { what, waited: began.elapsed(), reason });
            }
            if began.elapsed() > SLOW && !self.told.swap(true, Ordering::Relaxed) {
                let (group, patience) = (&self.group, self.window.patience);
                tracing::warn!(%group, index, reason, ?patience, "not stored yet, trying on");
            }
            tracing::debug!(index, reason, "not stored yet, trying again");
            first_try = false;
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

/// Whether the stream's limit, or the server's, is reached.
fn is_full(error: &PublishError) -> bool {
    let source = std::error::Error::source(error);
    source.and_then(|source| source.downcast_ref::<jetstream::Error>()).is_some_and(|error| {
        [ErrorCode::STREAM_STORE_FAILED, ErrorCode::INSUFFICIENT_RESOURCES]
            .contains(&error.error_code())
    })
}

/// Refuses an argument that no message can carry.
pub(crate) fn check_size(bytes: usize, limit: usize) -> Result<(), String> {
    match bytes > limit {
        true => Err(format!(
            "it has {bytes} bytes and the server takes {limit}: send a reference to it instead"
        )),
        false => Ok(()),
    }
}

enum Stored {
    New,
    Duplicate { first_try: bool },
}
