//! An engine in use, and what must be true of it when somebody has meddled with its streams.

use std::time::Duration;

use futures_util::future::join_all;
use jetiter::{Client, ClientError, FOREVER, GroupId, Options, Settings, Topology};
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;
use crate::processes::Process;

const ITEMS: u32 = 30;

/// An engine in use: somebody submits one group after the other.
pub struct Busy {
    pub engine: Engine,
    pub plain: Plain,
    pub worker: Process,
    pub collator: Process,
    /// Groups that were finished before anything was touched.
    before: Vec<GroupId>,
    stop: CancellationToken,
    submitting: JoinHandle<Vec<GroupId>>,
}

fn options(group: &GroupId) -> Options {
    Options::new().group(group.clone())
}

pub async fn submit(client: &Client, group: &GroupId) -> Result<GroupId, ClientError> {
    let arguments = (0..ITEMS).map(|index| f64::from(index) + 0.5);
    client.async_iter("math.floor", arguments, &options(group)).await
}

pub async fn is_right(client: &Client, group: &GroupId) {
    let fetched = within(client.fetch::<u32>(group, FOREVER)).await.unwrap().unwrap();
    let ordered = fetched.into_ordered().into_iter();
    let values: Vec<u32> = ordered.map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, (0..ITEMS).collect::<Vec<_>>(), "{group}");
}

/// Whether the group has its list and its records; what is missing is published again, what is
/// damaged is deleted first.
async fn is_whole(client: &Client, group: &GroupId) -> bool {
    let list = client.read(group, Duration::ZERO).await;
    let records = client.read_records(group, Duration::from_secs(1)).await;
    match (list, records) {
        (Ok(Some(_)), Ok(Some(_))) => return true,
        (Ok(None), _) => {}
        _ => assert!(client.delete(group).await.unwrap()),
    }
    match submit(client, group).await {
        Ok(_) | Err(ClientError::GroupExists { .. }) => {}
        Err(error) => panic!("{group}: {error}"),
    }
    // Short again if its dead keys were purged meanwhile: those had kept the new ones out.
    client.read(group, Duration::from_secs(5)).await.is_ok_and(|list| list.is_some())
}

impl Busy {
    pub async fn start() -> Busy {
        let engine = Engine::with(|settings: &mut Settings| {
            settings.collator.short_after = Duration::from_secs(1);
            settings.assets.ack_wait = Duration::from_secs(1);
        })
        .await;
        let plain = Plain::of(&engine).await;
        let (worker, collator) = (engine.worker_process(), engine.collator_process());
        let mut before = Vec::new();
        for _ in 0..3 {
            let group = GroupId::random();
            submit(&engine.client, &group).await.unwrap();
            is_right(&engine.client, &group).await;
            before.push(group);
        }
        let (client, stop) = (engine.client.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let submitting = tokio::spawn(async move {
            let mut groups = Vec::new();
            // No faster than they are worked.
            let mut pace = interval(Duration::from_millis(50));
            while !stopped.is_cancelled() {
                pace.tick().await;
                // A stream that is away is waited for.
                let arguments = (0..ITEMS).map(|index| f64::from(index) + 0.5);
                let group = client.async_iter("math.floor", arguments, &Options::new()).await;
                groups.push(group.unwrap());
            }
            groups
        });
        let busy = Busy { engine, plain, worker, collator, before, stop, submitting };
        busy.until_busy().await;
        busy
    }

    /// Waits until items and outcomes lie in the streams.
    pub async fn until_busy(&self) {
        eventually("it is in use", async || self.engine.cache_keys().await.len() > 10).await;
    }

    pub async fn delete(&self, stream: &str) {
        self.engine.broker.jetstream.delete_stream(stream).await.unwrap();
    }

    pub async fn purge(&self, stream: &str) {
        self.engine.broker.purge(stream, None, None).await.unwrap();
    }

    /// What `jetiter init` does.
    pub async fn init(&self) {
        let Engine { broker, settings, .. } = &self.engine;
        Topology::of(broker, settings).ensure(broker).await.unwrap();
    }

    /// Waits until a group that was submitted now is finished, and stops submitting.
    pub async fn goes_on(self) -> Mended {
        let group = GroupId::random();
        within(submit(&self.engine.client, &group)).await.unwrap();
        is_right(&self.engine.client, &group).await;
        self.stop.cancel();
        let groups = within(self.submitting).await.unwrap();
        let Busy { engine, plain, worker, collator, before, .. } = self;
        Mended { engine, plain, _processes: [worker, collator], before, groups }
    }
}

/// The streams are there again; some groups may lack what was removed.
pub struct Mended {
    pub engine: Engine,
    pub plain: Plain,
    _processes: [Process; 2],
    pub before: Vec<GroupId>,
    pub groups: Vec<GroupId>,
}

impl Mended {
    /// What was finished before is as it was.
    pub async fn old_results_stay(self) -> Mended {
        for group in &self.before {
            is_right(&self.engine.client, group).await;
        }
        self
    }

    /// Every group can be brought to its end by publishing it again, and then nothing is left of
    /// it but its result.
    pub async fn all_can_be_mended(self) -> Mended {
        let client = &self.engine.client;
        let mended = self.groups.iter().map(|group| async move {
            eventually("it can be mended", async || is_whole(client, group).await).await;
            is_right(client, group).await;
        });
        join_all(mended).await;
        let items = format!("{}-items", self.plain.ns);
        let items = async || self.engine.subjects(&items, ">").await.is_empty();
        eventually("no item is left", items).await;
        let keys = async || self.engine.cache_keys().await.is_empty();
        eventually("no key is left", keys).await;
        self
    }

    /// No chunk is left that belongs to no object.
    pub async fn ends_clean(self) {
        self.engine.is_clean().await;
    }
}
