//! Publishes the items of a group, many in flight, then the seal.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jetiter_config::broker::{self, Broker, Publishing, Refusal};
use jetiter_config::crash_point;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Entry, Function, GroupId, Mark, Queue, Span};
use jetiter_config::settings;
use jetiter_config::wire::{self, Seal};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::buffer::{Buffer, Filled};
use crate::error::Error;
use crate::options::Options;
use crate::small::Head;
use crate::wait;

/// Whoever waits for longer than this is told why.
const SLOW: Duration = Duration::from_secs(5);
/// A chunk that is not full goes when the iterable pauses for so long: the first of a few arguments
/// shall not wait for the last.
const PAUSE: Duration = Duration::from_millis(50);

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

/// A message under way.
struct Sent {
    span: Span,
    payload: Bytes,
    publishing: Result<Publishing, Refusal>,
}

impl Sent {
    /// The server's word.
    async fn answer(&mut self) -> Result<broker::Stored, Refusal> {
        match &mut self.publishing {
            Ok(publishing) => publishing.await,
            Err(refusal) => Err(refusal.clone()),
        }
    }
}

impl Submission<'_> {
    /// Publishes every argument, then the total. Memory holds the window, never the iterable.
    pub(crate) async fn run<A: Serialize>(
        &self,
        arguments: impl Stream<Item = A>,
    ) -> Result<u32, Error> {
        let mut arguments = pin!(arguments);
        let limit = wire::max_value(self.broker.client.max_payload());
        let mut buffer = Buffer::new(self.options.written_as(), self.options.chunks(), limit);
        let head = match &self.options.group {
            None => self.head(arguments.as_mut(), &mut buffer).await?,
            // Its seal may be another one, which is looked at when the items are stored.
            Some(_) => Head::default(),
        };
        if head.is_all {
            let total = buffer.next();
            self.submit_whole(head.messages, total).await?;
            return Ok(total);
        }
        let mut in_flight = VecDeque::new();
        let mut bytes = 0usize;
        for filled in head.messages {
            bytes += self.send(Some(filled), &mut in_flight).await;
        }
        loop {
            // Without the window a fast iterable would fill the memory of client and server.
            let room = in_flight.len() < self.window.window && bytes < self.window.window_bytes;
            let argument = tokio::select! {
                biased;
                stored = first(&mut in_flight), if !in_flight.is_empty() => {
                    bytes -= self.settle(stored, &mut in_flight).await?;
                    continue;
                }
                argument = arguments.next(), if room || in_flight.is_empty() => argument,
                // In a block of its own: its clock is only looked at when there is no argument.
                () = async { sleep(PAUSE).await }, if room && !buffer.is_empty() => {
                    bytes += self.send(buffer.take(), &mut in_flight).await;
                    continue;
                }
            };
            let Some(argument) = argument else { break };
            let filled = self.add(&mut buffer, &argument)?;
            bytes += self.send(filled, &mut in_flight).await;
            if buffer.is_full() {
                bytes += self.send(buffer.take(), &mut in_flight).await;
            }
        }
        self.send(buffer.take(), &mut in_flight).await;
        while !in_flight.is_empty() {
            let stored = first(&mut in_flight).await;
            self.settle(stored, &mut in_flight).await?;
        }
        let total = buffer.next();
        // Every item is stored: only now is the total true.
        crash_point("client.sealing");
        self.seal(total).await?;
        crash_point("client.sealed");
        Ok(total)
    }

    pub(crate) fn add<A: Serialize>(
        &self,
        buffer: &mut Buffer,
        argument: &A,
    ) -> Result<Option<Filled>, Error> {
        let index = buffer.next();
        if index == u32::MAX {
            return Err(Error::TooManyItems);
        }
        buffer.add(argument).map_err(|reason| Error::Argument {
            group: self.group.to_string(),
            index: u64::from(index),
            reason,
        })
    }

    /// Sends a message; how many bytes it has.
    async fn send(&self, filled: Option<Filled>, in_flight: &mut VecDeque<Sent>) -> usize {
        let Some(Filled { span, payload }) = filled else {
            return 0;
        };
        let bytes = payload.len();
        let (subject, headers) = (self.item_subject(span), self.item_headers(span));
        let publishing = self.broker.publish(subject, headers, payload.clone()).await;
        in_flight.push_back(Sent { span, payload, publishing });
        bytes
    }

    /// Takes the server's word on the first message under way; how many bytes it had. What was
    /// refused is sent until it is stored.
    async fn settle(
        &self,
        stored: Result<broker::Stored, Refusal>,
        in_flight: &mut VecDeque<Sent>,
    ) -> Result<usize, Error> {
        let Some(Sent { span, payload, .. }) = in_flight.pop_front() else {
            return Ok(0);
        };
        match stored {
            Ok(stored) if stored.duplicate => {
                let group = self.group.to_string();
                let index = u64::from(span.first());
                return Err(Error::TakenForDuplicate { group, index });
            }
            Ok(_) => {}
            Err(refusal) => {
                let again = || (self.item_subject(span), self.item_headers(span), payload.clone());
                self.store(Some(span.first()), Some(refusal), again).await?;
            }
        }
        crash_point("client.stored");
        Ok(payload.len())
    }

    pub(crate) fn item_subject(&self, span: Span) -> String {
        let (queue, group, function) = (&self.queue, &self.group, &self.function);
        self.broker.namespace.item_subject(queue, group, function, span.first())
    }

    pub(crate) fn item_headers(&self, span: Span) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // One argument alone is an item as ever.
        let index = match span.count() {
            1 => span.first().to_string(),
            _ => span.to_string(),
        };
        let mut set = |name, value: String| wire::set_header(&mut headers, name, value);
        set(wire::MESSAGE_ID, format!("{}.{index}", self.nonce));
        set(wire::INDEX, index);
        if self.options.written_as() != Encoding::Json {
            set(wire::CONTENT_TYPE, self.options.written_as().content_type().to_owned());
        }
        if let Some(timeout) = self.options.timeout {
            set(wire::TIMEOUT, timeout.as_millis().max(1).to_string());
        }
        if self.options.retries > 0 {
            set(wire::RETRIES, self.options.retries.to_string());
        }
        headers
    }

    pub(crate) async fn seal(&self, total: u32) -> Result<(), Error> {
        self.check_first_seal(total).await?;
        self.store(None, None, || self.seal_message(total)).await
    }

    pub(crate) fn seal_message(&self, total: u32) -> (String, HeaderMap, Bytes) {
        let seal = Seal {
            total,
            encoding: self.options.written_as(),
            keep_ms: self.options.cached.map(|keep| keep.as_millis() as u64),
            function: Some(self.function.clone()),
            label: self.options.label.clone(),
        };
        let (mut headers, payload) = seal.to_message();
        let id = format!("{}.seal.{total}.{}", self.group, self.nonce);
        headers.insert(wire::MESSAGE_ID, id);
        if let Some(subject) = &self.options.notify {
            headers.insert(wire::NOTIFY, subject.as_str());
        }
        (self.broker.namespace.seal_subject(&self.group), headers, payload.into())
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
    pub(crate) async fn store(
        &self,
        index: Option<u32>,
        mut refused: Option<Refusal>,
        message: impl Fn() -> (String, HeaderMap, Bytes),
    ) -> Result<(), Error> {
        let began = Instant::now();
        let mut pause = Duration::ZERO;
        loop {
            let refusal = match refused.take() {
                Some(refusal) => refusal,
                None => {
                    let (subject, headers, payload) = message();
                    match self.broker.store(subject, headers, payload).await {
                        Ok(_) => return Ok(()),
                        Err(refusal) => refusal,
                    }
                }
            };
            let reason = match &refusal {
                Refusal::NoStream => format!("{refusal}: `jetiter init` makes it"),
                Refusal::Full(reason) => format!(
                    "the items stream is full ({reason}): start workers, or raise \
                     assets.items_max_bytes (jetiter init)"
                ),
                _ => refusal.to_string(),
            };
            let hopeless = matches!(refusal, Refusal::TooLarge(_));
            if hopeless || began.elapsed() > self.window.patience {
                let what = index.map_or("the seal".to_owned(), |index| format!("item {index}"));
                return Err(Error::NotStored { what, waited: began.elapsed(), reason });
            }
            if began.elapsed() > SLOW && !self.told.swap(true, Ordering::Relaxed) {
                let (group, patience) = (&self.group, self.window.patience);
                tracing::warn!(%group, index, reason, ?patience, "not stored yet, trying on");
            }
            tracing::debug!(index, reason, "not stored yet, trying again");
            // The first time at once: behind one that had to wait the others find room.
            sleep(pause).await;
            pause = (pause * 2).clamp(Duration::from_millis(50), Duration::from_secs(1));
        }
    }
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

/// The server's word on the first message under way: they are answered in their order.
async fn first(in_flight: &mut VecDeque<Sent>) -> Result<broker::Stored, Refusal> {
    match in_flight.front_mut() {
        Some(sent) => sent.answer().await,
        None => std::future::pending().await,
    }
}
