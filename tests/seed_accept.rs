//! A1 to A25 in docs/django-q.md.

use std::time::Duration;

use jetiter::{ErrorKind, FOREVER, Functions, Iter, Options, Status, math};
use serde_json::{Value, json};

use crate::harness::{Engine, eventually, within};
use crate::seed::{engine_of, fetch, ordered};

#[tokio::test(flavor = "multi_thread")]
async fn a1_a2_ten_arguments_are_ten_items_and_no_result_until_they_have_run() {
    let engine = Engine::bare().await;
    let client = &engine.client;
    let id = client.async_iter("math.floor", 0..10, &Options::new()).await.unwrap();
    let wait = Duration::from_millis(10);
    assert!(client.result::<u8>(&id, wait).await.unwrap().is_none());
    assert!(client.fetch::<u8>(&id, wait).await.unwrap().is_none());
    let status = client.status(&id).await.unwrap();
    assert!(matches!(status, Some(Status::Running { total: Some(10), done: 0, waiting: 10 })));
    engine.worker(math::functions()).await;
    engine.collator().await;
    assert_eq!(fetch(client, &id).await.list.len(), 10);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_an_unknown_function_is_an_error_and_the_worker_goes_on() {
    let engine = Engine::start().await;
    let failed = ordered(&engine.client, "math.nothing", [1, 2], &Options::new()).await;
    assert_eq!(failed, vec![Err(ErrorKind::UnknownFunction); 2]);
    let values = ordered(&engine.client, "math.floor", [1.5], &Options::new()).await;
    assert_eq!(values, [Ok(json!(1))]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a5_a6_a10_values_errors_and_counts_are_told_apart() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let arguments = [json!(4), json!(-1), json!("x"), json!(9)];
    let id = client.async_iter("math.sqrt", arguments, &Options::new()).await.unwrap();
    let fetched = fetch(client, &id).await;
    assert_eq!((fetched.summary.ok, fetched.summary.failed), (2, 2));
    let list: Vec<Option<f64>> = client.result(&id, Duration::ZERO).await.unwrap().unwrap();
    let fetched_list: Vec<_> = fetched.list.iter().map(|v| v.as_ref()?.as_f64()).collect();
    assert_eq!(list, fetched_list);
    assert_eq!(list.iter().flatten().count(), 2);
    let kinds: Vec<_> =
        fetched.into_ordered().into_iter().map(|(_, o)| o.map_err(|e| e.kind)).collect();
    let (failed, bad) = (Err(ErrorKind::Failed), Err(ErrorKind::BadArgument));
    assert_eq!(kinds, [Ok(json!(2.0)), failed, bad, Ok(json!(3.0))]);
    // The result store has them, the cache no longer.
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_a_deleted_group_is_unknown_again() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let id = client.async_iter("math.floor", [1], &Options::new()).await.unwrap();
    fetch(client, &id).await;
    engine.is_clean().await;
    assert!(client.delete(&id).await.unwrap());
    assert!(client.status(&id).await.unwrap().is_none());
    assert!(client.result::<u8>(&id, Duration::ZERO).await.unwrap().is_none());
    assert!(!client.delete(&id).await.unwrap());
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_cached_says_how_long_the_result_is_kept() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let cached = |keep| Options::new().cached(keep);
    let brief = client.async_iter("math.floor", [1], &cached(Duration::from_secs(2))).await;
    let brief = brief.unwrap();
    fetch(client, &brief).await;
    let kept = client.async_iter("math.floor", [1], &Options::new()).await.unwrap();
    fetch(client, &kept).await;
    let shortest = format!("{:?}", cached(Duration::ZERO));
    assert_eq!(shortest, format!("{:?}", cached(Duration::from_secs(1))));
    eventually("list and records expire", async || {
        let list = client.read(&brief, Duration::ZERO).await.unwrap();
        list.is_none() && client.read_records(&brief, Duration::ZERO).await.unwrap().is_none()
    })
    .await;
    assert!(client.read(&kept, Duration::ZERO).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a16_every_kind_of_iterable_and_every_falsy_value() {
    let engine = engine_of(Functions::new().function("t.same", |x: Value| x)).await;
    let (client, plain) = (&engine.client, Options::new());
    let list = ordered(client, "t.same", vec![1, 2], &plain).await;
    assert_eq!(list, [Ok(json!(1)), Ok(json!(2))]);
    let tuples = ordered(client, "t.same", [(1, "a"), (2, "b")], &plain).await;
    assert_eq!(tuples, [Ok(json!([1, "a"])), Ok(json!([2, "b"]))]);
    let one = ordered(client, "t.same", [(1,)], &plain).await;
    assert_eq!(one, [Ok(json!([1]))]);
    let set = std::collections::BTreeSet::from(["b", "a"]);
    assert_eq!(ordered(client, "t.same", &set, &plain).await, [Ok(json!("a")), Ok(json!("b"))]);
    let falsy = [json!([]), json!(null), json!(0), json!(false), json!(""), json!({})];
    let values = ordered(client, "t.same", &falsy, &plain).await;
    assert_eq!(values, falsy.map(Ok));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_a12_what_is_appended_after_a_run_counts_from_the_next_one() {
    let engine = Engine::start().await;
    let mut iter = Iter::new(&engine.client, "math.floor");
    assert!(iter.group().is_none() && iter.is_empty());
    assert!(iter.result::<u8>(FOREVER).await.is_err(), "nothing was run");
    for n in 1..=4 {
        assert_eq!(iter.append(n), n);
    }
    let first = iter.run().await.unwrap();
    assert_eq!(iter.group(), Some(&first));
    assert_eq!(within(iter.result::<u8>(FOREVER)).await.unwrap().unwrap().len(), 4);
    assert_eq!((iter.append(5), iter.len()), (5, 5));
    let before = iter.fetch::<u8>(FOREVER).await.unwrap().unwrap();
    assert_eq!((before.list.len(), before.summary.group), (4, first.to_string()));
    let second = iter.run().await.unwrap();
    assert_eq!(within(iter.result::<u8>(FOREVER)).await.unwrap().unwrap().len(), 5);
    assert_ne!(first, second);
    assert_eq!(fetch(&engine.client, &first).await.list.len(), 4);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_a_group_outlives_every_ttl() {
    let engine = Engine::with(|s| s.assets.duplicate_window = Duration::from_secs(1)).await;
    let (broker, ns) = (&engine.broker, &engine.broker.namespace);
    engine.worker(math::functions()).await;
    let id = engine.client.async_iter("math.floor", [1, 2], &Options::new()).await.unwrap();
    let mark = format!("$KV.{}.mark.other.done", ns.cache_bucket());
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-TTL", "2s");
    broker.store(mark.clone(), headers, "{}".into()).await.unwrap();
    eventually("a TTL of two seconds passes", async || {
        engine.cache_keys().await.iter().all(|key| *key != mark)
    })
    .await;
    for stream in [ns.cache_stream(), ns.items_stream()] {
        let mut stream = broker.jetstream.get_stream(stream).await.unwrap();
        assert_eq!(stream.info().await.unwrap().config.max_age, Duration::ZERO);
    }
    engine.collator().await;
    assert_eq!(fetch(&engine.client, &id).await.list.len(), 2);
    engine.is_clean().await;
}
