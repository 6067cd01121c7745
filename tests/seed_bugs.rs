//! B1 to B29 in docs/django-q.md.

use std::future::pending;
use std::time::Duration;

use jetiter::{Context, ErrorKind, FOREVER, Functions, GroupId, Options, State, Status, math};
use serde_json::{Value, json};

use crate::harness::{Engine, eventually, within};
use crate::seed::{fetch, publish, seal, values};

#[tokio::test(flavor = "multi_thread")]
async fn b1_two_workers_and_two_collators_make_one_list() {
    let engine = Engine::start().await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    let (mut groups, options) = (Vec::new(), Options::new());
    for _ in 0..10 {
        let submitted = engine.client.async_iter("math.floor", 0..200, &options);
        groups.push(submitted.await.unwrap());
    }
    for id in groups {
        let wanted = (0..200).map(|n| Ok(json!(n)));
        assert!(values(fetch(&engine.client, &id).await).into_iter().eq(wanted));
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_b3_items_delivered_again_count_once_failed_ones_too() {
    let engine = Engine::start().await;
    let id = GroupId::random();
    for (index, argument) in [(0, -4), (1, 9), (0, -4), (0, -4), (1, 9)] {
        publish(&engine, "math.sqrt", &id, index, json!(argument)).await;
    }
    // Four copies more than the seal needs are done before it comes.
    seal(&engine, &id, "3").await;
    eventually("sealed, and two of three", async || {
        let status = engine.client.status(&id).await.unwrap();
        matches!(status, Some(Status::Running { total: Some(3), done: 2, waiting: 0 }))
    })
    .await;
    publish(&engine, "math.sqrt", &id, 2, json!(16)).await;
    let found = values(fetch(&engine.client, &id).await);
    assert_eq!(found, [Err(ErrorKind::Failed), Ok(json!(3.0)), Ok(json!(4.0))]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_late_duplicate_changes_nothing_and_leaves_nothing() {
    let engine = Engine::start().await;
    let id = engine.client.async_iter("math.floor", [1, 2], &Options::new()).await.unwrap();
    let before = within(engine.client.read(&id, FOREVER)).await.unwrap().unwrap();
    engine.is_clean().await;
    publish(&engine, "math.floor", &id, 0, json!(7)).await;
    let items = engine.broker.namespace.items_stream();
    eventually("the late one has run", async || engine.subjects(&items, ">").await.is_empty())
        .await;
    engine.is_clean().await;
    let after = engine.client.read(&id, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((after.summary, after.bytes), (before.summary, before.bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn b5_success_is_a_count_and_not_the_last_items_flag() {
    let engine = Engine::start().await;
    for arguments in [[-1, 4, 9], [4, 9, -1]] {
        let id = engine.client.async_iter("math.sqrt", arguments, &Options::new()).await.unwrap();
        let summary = fetch(&engine.client, &id).await.summary;
        assert_eq!((summary.state, summary.ok, summary.failed), (State::Complete, 2, 1));
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_an_error_and_a_value_of_the_same_text_differ() {
    let engine = Engine::bare().await;
    let functions = Functions::new().try_function("t.text", |fail: bool| match fail {
        true => Err("it failed"),
        false => Ok("it failed"),
    });
    engine.worker(functions).await;
    engine.collator().await;
    let id = engine.client.async_iter("t.text", [false, true], &Options::new()).await.unwrap();
    let fetched = fetch(&engine.client, &id).await;
    let ordered = fetched.into_ordered();
    assert_eq!(ordered[0].1, Ok(json!("it failed")));
    assert_eq!(ordered[1].1.as_ref().unwrap_err().message, "it failed");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_a_full_cache_refuses_and_evicts_nothing() {
    let engine = Engine::with(|s| s.assets.cache_max_bytes = 64 << 10).await;
    let (broker, ns) = (&engine.broker, &engine.broker.namespace);
    let mut stored = 0;
    loop {
        let subject = format!("$KV.{}.item.full.{stored}", ns.cache_bucket());
        let headers = async_nats::HeaderMap::new();
        match broker.store(subject, headers, vec![b'1'; 1000].into()).await {
            Ok(_) => stored += 1,
            Err(_) => break,
        }
    }
    assert!(stored > 50);
    assert_eq!(engine.cache_keys().await.len(), stored);
    broker.purge(&ns.cache_stream(), None, None).await.unwrap();
    // Together these need some times what the cache holds.
    engine.collator().await;
    engine.worker(math::functions()).await;
    for _ in 0..8 {
        let id = engine.client.async_iter("math.floor", 0..150, &Options::new()).await.unwrap();
        assert_eq!(fetch(&engine.client, &id).await.summary.ok, 150);
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b8_a_value_that_cannot_be_stored_is_an_error_of_its_item() {
    let engine = Engine::bare().await;
    let functions = Functions::new()
        .function("t.large", |bytes: usize| "x".repeat(bytes))
        .function("t.keys", |_: Value| std::collections::BTreeMap::from([((1, 2), 3)]));
    engine.worker(functions).await;
    engine.collator().await;
    let id = engine.client.async_iter("t.large", [1, 2 << 20], &Options::new()).await.unwrap();
    let found = values(fetch(&engine.client, &id).await);
    assert_eq!(found, [Ok(json!("x")), Err(ErrorKind::TooLarge)]);
    // JSON has no such keys.
    let id = GroupId::random();
    publish(&engine, "t.keys", &id, 0, json!(1)).await;
    seal(&engine, &id, "1").await;
    assert_eq!(values(fetch(&engine.client, &id).await), [Err(ErrorKind::BadValue)]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b10_b11_an_item_whose_worker_died_is_run_by_another() {
    let engine = Engine::bare().await;
    engine.collator().await;
    let functions = Functions::new().function("t.once", async |x: u8, context: Context| {
        if context.item.attempt == 1 && x == 0 {
            pending::<()>().await;
        }
        context.item.attempt
    });
    let dies = engine.worker(functions.clone()).await;
    let id = engine.client.async_iter("t.once", [0, 1], &Options::new()).await.unwrap();
    eventually("the other item is done", async || engine.cache_keys().await.len() == 2).await;
    dies.abort().await;
    engine.worker(functions).await;
    assert_eq!(values(fetch(&engine.client, &id).await), [Ok(json!(2)), Ok(json!(1))]);
    engine.is_clean().await;
}
