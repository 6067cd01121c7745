//! Lines that swallow: both ends believe in the connection, and nothing arrives. Then they are cut,
//! or open again, or stay as they are for ever.

use std::time::Duration;

use jetiter::{Client, FOREVER, GroupId};
use tokio::task::JoinHandle;

use crate::groups::{is_clean_again, is_list, is_mapped, is_right, submit};
use crate::harness::{Engine, eventually, within};
use crate::nodes::Nodes;
use crate::processes::Process;
use crate::proxy::{Line, Proxy};

async fn with_proxy(lease: Duration) -> (Nodes, Engine, Proxy, Engine) {
    let nodes = Nodes::one().await;
    let engine = nodes.engine(|settings| settings.assets.lease = lease).await;
    let proxy = Proxy::to(nodes.address(0)).await;
    let behind = proxy.engine(&engine);
    (nodes, engine, proxy, behind)
}

impl Proxy {
    /// Cuts all connections; this one's end is waited for, since a moment might be missed.
    async fn cut(&self, process: &Process) {
        self.set(Line::Cut);
        process.says("disconnected from NATS").await;
    }
}

/// A client with a connection of its own waits for a group.
async fn waits(engine: &Engine, group: &GroupId) -> JoinHandle<u64> {
    let client = Client::new(engine.connect().await, &engine.settings).await.unwrap();
    let group = group.clone();
    tokio::spawn(async move { client.read(&group, FOREVER).await.unwrap().unwrap().summary.ok })
}

/// Waits until the process and the client have connected and wait.
async fn until_wait(nodes: &Nodes, engine: &Engine, group: &GroupId) {
    let subject = engine.broker.namespace.event_subject(group.as_str(), "done");
    nodes.until_heard(&subject, 2).await;
}

async fn are_stored(engine: &Engine, outcomes: u64) {
    let cache = engine.broker.namespace.cache_stream();
    eventually("so many outcomes are stored", async || {
        engine.broker.stream_info(&cache, None).await.unwrap().state.last_seq >= outcomes
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_line_swallows_is_succeeded_and_works_again() {
    let (_nodes, engine, proxy, behind) = with_proxy(Duration::from_secs(2)).await;
    let _collator = engine.collator_process();
    let held = behind.worker_process();
    is_mapped(&engine, 1).await;
    held.stop().await;
    let group = submit(&engine, 10_000).await;
    held.wake();
    are_stored(&engine, 500).await;
    proxy.set(Line::Swallow);
    assert!(engine.client.read(&group, Duration::ZERO).await.unwrap().is_none());
    let second = engine.worker_process();
    is_right(&engine, &group, 10_000).await;
    proxy.cut(&held).await;
    proxy.set(Line::Open);
    second.kill().await;
    is_mapped(&engine, 100).await;
    is_clean_again(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_whose_line_swallows_is_succeeded_and_takes_over_again() {
    let (_nodes, engine, proxy, behind) = with_proxy(Duration::from_secs(1)).await;
    let _worker = engine.worker_process();
    let first = behind.collator_process();
    first.says("this collator works").await;
    let second = engine.collator_process();
    second.says("this one stands by").await;
    proxy.set(Line::Swallow);
    let group = submit(&engine, 500).await;
    is_right(&engine, &group, 500).await;
    assert!(second.log().contains("this collator works"));
    proxy.cut(&first).await;
    proxy.set(Line::Open);
    first.says("this one stands by").await;
    second.kill().await;
    is_mapped(&engine, 500).await;
    is_clean_again(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_whose_line_swallows_get_their_result_afterwards() {
    let (nodes, engine, proxy, behind) = with_proxy(Duration::from_secs(2)).await;
    let _collator = engine.collator_process();
    for then in [Line::Cut, Line::Open] {
        let group = submit(&engine, 1_000).await;
        let printing = behind.process(&["result", group.as_str(), "--wait", "forever"]);
        let waiting = waits(&behind, &group).await;
        until_wait(&nodes, &engine, &group).await;
        proxy.set(Line::Swallow);
        let worker = engine.worker_process();
        is_right(&engine, &group, 1_000).await;
        worker.kill().await;
        assert!(!waiting.is_finished());
        if then == Line::Cut {
            proxy.cut(&printing).await;
        }
        proxy.set(Line::Open);
        is_list(&printing.printed().await, 1_000);
        assert_eq!(within(waiting).await.unwrap(), 1_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_ends_is_given_up_by_all() {
    let (nodes, engine, proxy, behind) = with_proxy(Duration::from_secs(2)).await;
    let worker = behind.worker_process();
    let collator = behind.collator_process();
    is_mapped(&engine, 100).await;
    worker.stop().await;
    let group = submit(&engine, 10_000).await;
    let printing = behind.process(&["result", group.as_str(), "--wait", "forever"]);
    let waiting = waits(&behind, &group).await;
    until_wait(&nodes, &engine, &group).await;
    worker.wake();
    are_stored(&engine, 1_000).await;
    proxy.set(Line::Lost);
    assert!(engine.client.read(&group, Duration::ZERO).await.unwrap().is_none());
    for process in [&worker, &collator] {
        process.says("disconnected from NATS").await;
    }
    is_list(&printing.printed().await, 10_000);
    assert_eq!(within(waiting).await.unwrap(), 10_000);
    is_right(&engine, &group, 10_000).await;
    is_clean_again(&engine).await;
}
