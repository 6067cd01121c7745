//! A1 to A25 in docs/django-q.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jetiter::{Context, ErrorKind, FOREVER, Functions, Iter, Options, Status, math};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::harness::{Engine, eventually, within};
use crate::seed::{engine_of, fetch, ordered};

#[tokio::test(flavor = "multi_thread")]
async fn a14_one_list_is_the_next_groups_iterable() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let first = client.async_iter("math.sqrt", [4, 9], &Options::new()).await.unwrap();
    let list: Vec<f64> = within(client.result(&first, FOREVER)).await.unwrap().unwrap();
    let mut second = ordered(client, "math.floor", list, &Options::new()).await;
    second.sort_by_key(|value| value.as_ref().unwrap().as_i64());
    assert_eq!(second, [Ok(json!(2)), Ok(json!(3))]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_options_set_later_count_for_the_next_run() {
    let engine = Engine::start().await;
    let mut iter = Iter::new(&engine.client, "math.floor").options(Options::new().label("one"));
    iter.append(1);
    let first = iter.run().await.unwrap();
    let mut iter = iter.options(Options::new().label("two"));
    let second = iter.run().await.unwrap();
    for (id, label) in [(first, "one"), (second, "two")] {
        assert_eq!(fetch(&engine.client, &id).await.summary.label.as_deref(), Some(label));
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_wrong_arguments_fail_and_a_function_without_a_value_does_not() {
    let functions = Functions::new()
        .function("t.quiet", |_: u8| ())
        .function("t.pair", |(a, b): (i64, i64)| a + b);
    let engine = engine_of(functions).await;
    let (client, plain) = (&engine.client, Options::new());
    assert_eq!(ordered(client, "t.quiet", [1], &plain).await, [Ok(json!(null))]);
    let many = ordered(client, "t.pair", [vec![1, 2], vec![1, 2, 3], vec![1]], &plain).await;
    let bad = || Err(ErrorKind::BadArgument);
    assert_eq!(many, [Ok(json!(3)), bad(), bad()]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a19_a_time_out_ends_one_item_and_may_be_longer_than_the_workers() {
    let mut engine = Engine::bare().await;
    engine.settings.worker.timeout = Duration::from_millis(200);
    let gate = Arc::new(Semaphore::new(0));
    let functions = Functions::new().state(gate.clone()).function(
        "t.gated",
        async |_: u8, context: Context| {
            let gate = context.state::<Arc<Semaphore>>().unwrap();
            gate.acquire().await.unwrap().forget();
        },
    );
    engine.worker(functions).await;
    engine.collator().await;
    let client = &engine.client;
    let long = Options::new().timeout(Duration::from_secs(600));
    let long = client.async_iter("t.gated", [1], &long).await.unwrap();
    let short = Options::new().timeout(Duration::from_millis(20));
    assert_eq!(ordered(client, "t.gated", [1], &short).await, [Err(ErrorKind::TimedOut)]);
    let workers = ordered(client, "t.gated", [1], &Options::new()).await;
    assert_eq!(workers, [Err(ErrorKind::TimedOut)]);
    gate.add_permits(1);
    assert_eq!(fetch(client, &long).await.summary.ok, 1);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a20_workers_that_come_and_go_lose_nothing() {
    let engine = Engine::bare().await;
    engine.collator().await;
    let ran = Arc::new(AtomicU32::new(0));
    let functions = Functions::new().state(ran.clone()).function(
        "t.count",
        async |x: u32, context: Context| {
            tokio::task::yield_now().await;
            context.state::<Arc<AtomicU32>>().unwrap().fetch_add(1, Ordering::Relaxed);
            x
        },
    );
    let id = engine.client.async_iter("t.count", 0..2000, &Options::new()).await.unwrap();
    let mut worker = engine.worker(functions.clone()).await;
    for some in [1, 500, 1000] {
        eventually("some have run", async || ran.load(Ordering::Relaxed) >= some).await;
        worker.stop().await;
        worker = engine.worker(functions.clone()).await;
    }
    assert_eq!(fetch(&engine.client, &id).await.summary.ok, 2000);
    assert_eq!(ran.load(Ordering::Relaxed), 2000, "handed back, not run twice");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a21_another_namespace_neither_runs_nor_reads_it() {
    let (mine, other) = (Engine::bare().await, Engine::start().await);
    let id = mine.client.async_iter("math.floor", [1], &Options::new()).await.unwrap();
    ordered(&other.client, "math.floor", [1], &Options::new()).await;
    assert!(other.client.status(&id).await.unwrap().is_none());
    let status = mine.client.status(&id).await.unwrap();
    assert!(matches!(status, Some(Status::Running { waiting: 1, done: 0, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a22_a23_attempts_are_counted_limited_and_always_acknowledged() {
    let functions = Functions::new().try_function("t.fail", |_: u8| Err::<(), _>("no"));
    let engine = engine_of(functions).await;
    let options = Options::new().retries(2);
    let id = engine.client.async_iter("t.fail", [1], &options).await.unwrap();
    let fetched = fetch(&engine.client, &id).await;
    assert_eq!((fetched.records[0].attempts, fetched.summary.failed), (3, 1));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a22_the_first_outcome_stays_whoever_writes_later() {
    let engine = Engine::bare().await;
    let (broker, ns) = (&engine.broker, &engine.broker.namespace);
    let options = Options::new();
    let id = engine.client.async_iter("math.floor", [1.5], &options).await.unwrap();
    engine.worker(math::functions()).await;
    eventually("the outcome is there", async || engine.cache_keys().await.len() == 1).await;
    let cache = broker.jetstream.get_key_value(ns.cache_bucket()).await.unwrap();
    let key = format!("item.{id}.0");
    cache.put(&key, "7".into()).await.unwrap_err();
    cache.delete(&key).await.unwrap_err();
    cache.purge(&key).await.unwrap_err();
    engine.collator().await;
    assert_eq!(fetch(&engine.client, &id).await.list, [Some(json!(1))]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a25_hundreds_of_items_one_list_and_an_empty_cache() {
    let engine = Engine::start().await;
    let values = ordered(&engine.client, "math.floor", 0..700, &Options::new()).await;
    assert!(values.into_iter().eq((0..700).map(|n| Ok(json!(n)))));
    engine.is_clean().await;
}
