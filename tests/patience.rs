//! No wait is without end: what goes on for too long is an error that names it.

use jetiter::{FOREVER, Functions, Options, Settings, Topology};

use crate::harness::{Engine, eventually, within};
use crate::nodes::Nodes;
use crate::processes::Process;

/// A worker, or a collator, that has little patience.
fn hasty(engine: &Engine, part: &str) -> Process {
    let patience = [("JETITER_WORKER__PATIENCE", "1s"), ("JETITER_COLLATOR__PATIENCE", "1s")];
    engine.process_with(&[part], &patience)
}

/// It ends by itself, with the exit code of a failure and a text that says why.
async fn gives_up(process: Process, why: &str) {
    let says = async || process.log().contains("gave up after");
    eventually("it gives up", says).await;
    assert!(process.log().contains(why), "{}", process.log());
    assert_eq!(process.ended().await.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_each_part_ends() {
    let mut nodes = Nodes::one().await;
    let settings = Settings { server: nodes.urls(), ..Settings::default() };
    let engine = Engine::on(settings).await;
    let parts = ["worker", "collator", "collator"].map(|part| hasty(&engine, part));
    for (part, ready) in parts.iter().zip(["working", "collat", "collat"]) {
        eventually("it works", async || part.log().contains(ready)).await;
    }
    nodes.kill(0);
    for part in parts {
        gives_up(part, "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_queue_a_worker_ends() {
    let engine = Engine::bare().await;
    let worker = hasty(&engine, "worker");
    eventually("it works", async || worker.log().contains("working")).await;
    let items = engine.broker.namespace.items_stream();
    let stream = engine.broker.jetstream.get_stream(items).await.unwrap();
    stream.delete_consumer("worker-default-0").await.unwrap();
    gives_up(worker, "worker-default-0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_cache_that_stays_full_a_worker_ends() {
    let engine = Engine::with(|settings| settings.assets.cache_max_bytes = 20_000).await;
    let options = Options::new();
    // Two of them have no room, and without the second the group can't end.
    let group = engine.client.async_iter("test.bytes", [9_500, 9_500], &options);
    within(group).await.unwrap();
    let patience = [("JETITER_WORKER__PATIENCE", "1s")];
    let worker = engine.process_with(&["worker", "--test-functions"], &patience);
    gives_up(worker, "raise assets.cache_max_bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_results_a_collator_ends_and_the_next_one_goes_on() {
    let engine = Engine::with(|settings| settings.assets.results_max_bytes = 300).await;
    let collator = hasty(&engine, "collator");
    engine.worker(jetiter::math::functions()).await;
    let options = Options::new();
    let group = engine.client.async_iter("math.floor", [1.5, 2.5], &options);
    let group = within(group).await.unwrap();
    gives_up(collator, &format!("collating the group {group}")).await;
    let mut settings = engine.settings.clone();
    settings.assets.results_max_bytes = -1;
    Topology::of(&engine.broker, &settings).ensure(&engine.broker).await.unwrap();
    let _next = engine.collator_process();
    let list: Vec<u32> = within(engine.client.result(&group, FOREVER)).await.unwrap().unwrap();
    assert_eq!(list.len(), 2);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_cache_can_never_hold_is_an_error() {
    let engine = Engine::with(|settings| settings.assets.cache_max_bytes = 20_000).await;
    engine.collator().await;
    let large = Functions::new().function("large", |bytes: usize| "x".repeat(bytes));
    engine.worker(large).await;
    let options = Options::new();
    let group = engine.client.async_iter("large", [100, 15_000, 9_000], &options);
    let group = within(group).await.unwrap();
    let fetched = within(engine.client.fetch::<String>(&group, FOREVER)).await.unwrap().unwrap();
    let ordered: Vec<_> = fetched.into_ordered().into_iter().map(|(_, value)| value).collect();
    assert_eq!(ordered[0], Ok("x".repeat(100)));
    let error = ordered[1].as_ref().unwrap_err();
    assert_eq!(error.kind, jetiter::ErrorKind::TooLarge);
    assert_eq!(ordered[2].as_ref().map(String::len), Ok(9_000));
    engine.is_clean().await;
}
