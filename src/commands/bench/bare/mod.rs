//! The bare loop: publish, pull, write once, acknowledge, follow the log; no engine. It is the
//! limit that the engine is measured against, so it must be as quick as it can be written with the
//! client library: the protocol's own messages, many in flight everywhere, one connection and one
//! task a process. It skips whatever makes a loop survive a fault.

mod pipeline;
mod reader;
pub(crate) mod role;

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use jetiter_config::encoding::Encoding;
use jetiter_config::names::GroupId;
use jetiter_config::wire;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::Instant;

use self::pipeline::Pipeline;
use super::options::Work;
use super::stage::{Pipes, Place, Process, QUEUE, Stage};
use crate::cli::Failure;

/// The consumer that all bare workers share.
const CONSUMER: &str = "bare";
/// Publishes on their way.
const WINDOW: usize = 1024;

/// A namespace with the engine's streams, bare workers and a follower.
pub(super) struct Bare {
    pub(super) place: Place,
    follower: Asked,
    _workers: Vec<(Process, Asked)>,
    _follower: Process,
}

/// What one round took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// From the first publish until the follower has seen every outcome.
    pub(super) whole: Duration,
    /// From the first publish to the last acknowledgement.
    pub(super) submit: Duration,
}

impl Bare {
    pub(super) async fn start(
        stage: &Stage,
        work: &Work,
        workers: u32,
        concurrency: usize,
    ) -> Result<Bare, Failure> {
        let place = stage.namespace().await?;
        make(&place).await?;
        let (process, pipes) = stage.asked(&place, &["bench-role", "follow"].map(str::to_owned))?;
        let follower = Asked::ready(pipes).await?;
        let mut running = Vec::new();
        for _ in 0..workers {
            let mut arguments = ["bench-role", "work"].map(str::to_owned).to_vec();
            arguments.extend(work.flags());
            arguments.push(format!("--concurrency={concurrency}"));
            let (process, pipes) = stage.asked(&place, &arguments)?;
            running.push((process, Asked::ready(pipes).await?));
        }
        Ok(Bare { place, follower, _workers: running, _follower: process })
    }

    /// Publishes the items, waits until the follower has seen as many outcomes, and empties the
    /// log.
    pub(super) async fn round(&mut self, work: &Work, items: u32) -> Result<Round, Failure> {
        let began = Instant::now();
        let seen = self.follower.ask(items);
        let (submit, seen) = tokio::join!(publish(&self.place, work, items), seen);
        let whole = began.elapsed();
        let submit = submit? - began;
        seen?;
        let broker = &self.place.broker;
        broker.purge(&broker.namespace.cache_stream(), None, None).await?;
        Ok(Round { whole, submit })
    }
}

/// The engine's streams, and one consumer for all workers.
async fn make(place: &Place) -> Result<(), Failure> {
    let topology = place.topology();
    let jetstream = &place.broker.jetstream;
    for stream in topology.streams() {
        jetstream.create_stream(stream).await?;
    }
    let items = jetstream.get_stream_no_info(place.broker.namespace.items_stream()).await?;
    let consumer = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        filter_subject: format!("{}.work.>", place.broker.namespace),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: place.settings.assets.max_ack_pending,
        ..pull::Config::default()
    };
    items.create_consumer(consumer).await?;
    Ok(())
}

/// Publishes every item; when the last one is acknowledged.
async fn publish(place: &Place, work: &Work, items: u32) -> Result<Instant, Failure> {
    let broker = &place.broker;
    let (group, nonce) = (GroupId::random(), GroupId::random());
    let function = work.function().parse()?;
    let subject = broker.namespace.item_subject(&QUEUE.parse()?, &group, &function, 0);
    let subject = async_nats::Subject::from(subject);
    let mut pipeline = Pipeline::open(&broker.client, WINDOW).await?;
    for index in 0..items {
        while pipeline.is_full() {
            pipeline.next().await?;
        }
        let mut headers = HeaderMap::new();
        headers.insert(wire::INDEX, index.to_string());
        headers.insert(wire::MESSAGE_ID, format!("{nonce}.{index}"));
        headers.insert(wire::CONTENT_TYPE, Encoding::Cbor.content_type());
        let payload = Encoding::Cbor.encode(&work.argument(index))?;
        pipeline.send(subject.clone(), headers, payload.into(), ()).await?;
    }
    while pipeline.in_flight() > 0 {
        pipeline.next().await?;
    }
    Ok(Instant::now())
}

/// A process of ours that answers each line with a line.
struct Asked {
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Asked {
    async fn ready(pipes: Pipes) -> Result<Asked, Failure> {
        let answers = BufReader::new(pipes.answers).lines();
        let mut asked = Asked { questions: pipes.questions, answers };
        asked.answer().await.map(|()| asked)
    }

    async fn ask(&mut self, number: u32) -> Result<(), Failure> {
        self.questions.write_all(format!("{number}\n").as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<(), Failure> {
        match self.answers.next_line().await? {
            Some(_) => Ok(()),
            None => Err(Failure::new("a process of the bare loop has ended")),
        }
    }
}
