//! The engine as a user runs it: a client in this process, workers and a collator in their own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jetiter_client::{Client, FOREVER, Raw};
use jetiter_config::broker::ApiError;
use jetiter_config::names::GroupId;
use serde::de::IgnoredAny;
use tokio::time::{Instant, sleep};

use super::machine::peak_memory;
use super::options::Work;
use super::stage::{Place, Process, QUEUE, Stage};
use crate::cli::Failure;

/// With so few entries left in the cache it is asked whose they are.
const FEW: u64 = 1000;
/// How long a server that is busy with a purge may say nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
/// How often the cache is looked at until a group is gone from it.
const LOOK: Duration = Duration::from_millis(2);

/// A namespace with workers and a collator.
pub(super) struct Engine {
    pub(super) place: Place,
    pub(super) client: Client,
    /// What the server's clock is ahead of ours, in milliseconds.
    ahead: f64,
    /// Whether its workers are as a user starts them.
    stock: bool,
    workers: Vec<Process>,
    pub(super) collator: Process,
}

/// What one group took, each in its own time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    /// From the call to the list in hand.
    pub(super) whole: Duration,
    /// From the call until every item and the seal are stored.
    pub(super) submit: Duration,
    /// From the first entry in the cache to the last outcome, by the server's clock.
    pub(super) execute: Duration,
    /// From the last outcome to the list in hand.
    pub(super) collate: Duration,
    /// From the list in hand until the cache holds no outcome of the group.
    pub(super) purge: Duration,
    /// The most memory that this process ever held when everything was submitted, in bytes.
    pub(super) submitter_bytes: u64,
}

impl Engine {
    /// In a namespace of its own.
    pub(super) async fn start(
        stage: &Stage,
        work: &Work,
        workers: u32,
        concurrency: Option<usize>,
    ) -> Result<Engine, Failure> {
        let place = stage.namespace().await?;
        place.make().await?;
        let collator = stage.process(&place, &["collator".to_owned()])?;
        let client = Client::new(place.broker.clone(), &place.settings).await?;
        let ahead = ahead(&place).await?;
        let stock = work.is_stock();
        let mut engine = Engine { place, client, ahead, stock, workers: Vec::new(), collator };
        for _ in 0..workers {
            engine.add_worker(stage, concurrency)?;
        }
        Ok(engine)
    }

    pub(super) fn add_worker(
        &mut self,
        stage: &Stage,
        concurrency: Option<usize>,
    ) -> Result<(), Failure> {
        let mut arguments = ["worker", "--queue", QUEUE].map(str::to_owned).to_vec();
        if !self.stock {
            arguments.push("--test-functions".to_owned());
        }
        if let Some(slots) = concurrency {
            arguments.push(format!("--concurrency={slots}"));
        }
        self.workers.push(stage.process(&self.place, &arguments)?);
        Ok(())
    }

    /// Whatever they had in hand waits until the server gives it to others.
    pub(super) fn stop_workers(&mut self) {
        self.workers.clear();
    }

    /// Publishes a group; its id.
    pub(super) async fn submit(&self, work: &Work, items: u32) -> Result<GroupId, Failure> {
        let arguments = (0..items).map(|index| work.argument(index));
        Ok(self.client.async_iter(work.function(), arguments, &work.to_submit()).await?)
    }

    /// Waits for a group's list.
    pub(super) async fn list(&self, group: &GroupId) -> Result<Raw, Failure> {
        let read = self.client.read(group, FOREVER).await?;
        read.ok_or_else(|| Failure::new(format!("the group {group} ended without a list")))
    }

    /// One group from the call to its last trace in the cache; its result is removed.
    pub(super) async fn map(&self, work: &Work, items: u32) -> Result<Phases, Failure> {
        let began = Instant::now();
        let group = self.submit(work, items).await?;
        let submit = began.elapsed();
        let submitter_bytes = peak_memory("self");
        let raw = self.list(&group).await?;
        let whole = began.elapsed();
        let read_at = now_ms() + self.ahead;
        let in_hand = Instant::now();
        self.purged(&group).await?;
        let purge = in_hand.elapsed();
        check(&raw, items)?;
        let summary = raw.summary;
        let execute = summary.finished_ms.saturating_sub(summary.started_ms);
        self.client.delete(&group).await?;
        Ok(Phases {
            whole,
            submit,
            execute: Duration::from_millis(execute),
            collate: millis(read_at - summary.finished_ms as f64),
            purge,
            submitter_bytes,
        })
    }

    /// Waits until the cache holds no outcome of the group. The mark of its end goes by itself,
    /// some seconds later.
    async fn purged(&self, group: &GroupId) -> Result<(), Failure> {
        let broker = &self.place.broker;
        let cache = broker.namespace.cache_stream();
        let outcomes = broker.namespace.outcomes_filter(group.as_str());
        let held = async || {
            let held = broker.stream_info(&cache, None).await?.state.messages;
            // The answer names every key: asked about many it would be a load of its own.
            if held >= FEW {
                return Ok(held);
            }
            let info = broker.stream_info(&cache, Some(&outcomes)).await?;
            Ok(info.state.subjects.len() as u64)
        };
        let began = Instant::now();
        loop {
            match held().await {
                Ok(0) => return Ok(()),
                // A stream that removes millions answers nobody meanwhile.
                Err::<_, ApiError>(error) if !error.may_pass() || began.elapsed() > PATIENCE => {
                    return Err(error.into());
                }
                _ => sleep(LOOK).await,
            }
        }
    }

    /// Ends its processes and removes its streams.
    pub(super) async fn end(self) {
        for process in self.workers.into_iter().chain([self.collator]) {
            process.end().await;
        }
        self.place.remove().await;
    }
}

/// Every item has its value in the list.
pub(super) fn check(raw: &Raw, items: u32) -> Result<(), Failure> {
    let list: Vec<IgnoredAny> = raw.summary.encoding.decode(&raw.bytes)?;
    let (ok, long) = (raw.summary.ok, list.len());
    match ok == u64::from(items) && long == items as usize {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "of {items} items {ok} have a value and the list has {long}: the engine is broken"
        ))),
    }
}

async fn ahead(place: &Place) -> Result<f64, Failure> {
    let cache = place.broker.namespace.cache_stream();
    let before = now_ms();
    let info = place.broker.stream_info(&cache, None).await?;
    let middle = (before + now_ms()) / 2.0;
    let server = info.ts.parse::<jiff::Timestamp>()?;
    Ok(server.as_nanosecond() as f64 / 1e6 - middle)
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

fn millis(millis: f64) -> Duration {
    Duration::from_secs_f64(millis.max(0.0) / 1e3)
}
