//! B1 to B29 in docs/django-q.md.

use std::time::Duration;

use futures_util::StreamExt;
use jetiter::{
    Client, Context, ErrorKind, FOREVER, Functions, GroupId, Iter, Options, State, Status, math,
};
use serde_json::json;

use crate::harness::{Engine, eventually};
use crate::seed::{control, fetch, publish, seal, values};

#[tokio::test(flavor = "multi_thread")]
async fn b12_a_submission_that_broke_off_is_taken_up_with_the_same_id() {
    let engine = Engine::start().await;
    let (client, id) = (&engine.client, GroupId::random());
    let options = Options::new().group(id.clone());
    let breaks_off = futures_util::stream::iter(0..50).chain(futures_util::stream::pending());
    let submission = client.async_stream("math.floor", breaks_off, &options);
    tokio::select! {
        _ = submission => panic!("it never ends"),
        () = eventually("half of it is done", async || engine.cache_keys().await.len() == 50) => {}
    }
    assert_eq!(client.result::<u8>(&id, Duration::ZERO).await.unwrap(), None);
    client.async_iter("math.floor", 0..100, &options).await.unwrap();
    let wanted = (0..100).map(|n| Ok(json!(n)));
    assert!(values(fetch(client, &id).await).into_iter().eq(wanted));
    let items = engine.broker.namespace.items_stream();
    eventually("second copies go", async || engine.subjects(&items, ">").await.is_empty()).await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_the_cache_is_written_once_an_item() {
    let engine = Engine::start().await;
    let id = engine.client.async_iter("math.floor", 0..1000, &Options::new()).await.unwrap();
    fetch(&engine.client, &id).await;
    engine.is_clean().await;
    let cache = engine.broker.namespace.cache_stream();
    let info = engine.broker.stream_info(&cache, None).await.unwrap();
    // The outcomes, the seal, the done mark.
    assert_eq!(info.state.last_seq, 1002);
}

#[tokio::test(flavor = "multi_thread")]
async fn b21_b22_nothing_is_none_and_never_an_exception() {
    let engine = Engine::bare().await;
    let (client, id) = (&engine.client, GroupId::random());
    assert!(!client.delete(&id).await.unwrap());
    assert!(client.status(&id).await.unwrap().is_none());
    let id = client.async_iter("math.floor", [1], &Options::new()).await.unwrap();
    let status = client.status(&id).await.unwrap();
    assert!(matches!(status, Some(Status::Running { done: 0, waiting: 1, .. })));
    assert!(!client.delete(&id).await.unwrap(), "only a result can be deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn b23_more_items_than_the_seal_says_complete_all_the_same() {
    let engine = Engine::bare().await;
    let id = GroupId::random();
    for index in [7, 0, 9, 1] {
        publish(&engine, "math.floor", &id, index, json!(index)).await;
    }
    engine.worker(math::functions()).await;
    eventually("four outcomes", async || engine.cache_keys().await.len() == 4).await;
    seal(&engine, &id, "2").await;
    engine.collator().await;
    let fetched = fetch(&engine.client, &id).await;
    assert_eq!((fetched.summary.ok, fetched.summary.extra), (2, 2));
    assert_eq!(values(fetched), [Ok(json!(0)), Ok(json!(1))]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b24_b25_arguments_stay_the_callers_and_each_item_has_its_own_name() {
    let engine = Engine::start().await;
    let arguments = vec![3, 3, 3];
    let options = Options::new().label("same");
    let id = engine.client.async_iter("math.floor", &arguments, &options).await.unwrap();
    let mut iter = Iter::new(&engine.client, "math.floor").options(options);
    iter.extend(arguments.iter().copied());
    iter.append(4);
    assert_eq!((arguments.len(), iter.len()), (3, 4));
    let mut ids: Vec<_> =
        fetch(&engine.client, &id).await.records.iter().map(|r| r.index).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b26_a_running_group_can_be_cancelled() {
    let engine = Engine::bare().await;
    engine.collator().await;
    let id = engine.client.async_iter("math.floor", 0..10, &Options::new()).await.unwrap();
    let subject = engine.broker.namespace.cancel_subject(&id);
    control(&engine, subject, "").await;
    let fetched = fetch(&engine.client, &id).await;
    assert_eq!((fetched.summary.state, fetched.list.len()), (State::Cancelled, 0));
    let items = engine.broker.namespace.items_stream();
    eventually("its items go", async || engine.subjects(&items, ">").await.is_empty()).await;
    engine.is_clean().await;
}

/// A function that maps another one and waits for its list.
fn nested(client: Client, queue: &'static str) -> Functions {
    let inner = Functions::new().function("t.inner", |x: u32| x + 1);
    inner.state(client).try_function("t.outer", async move |x: u32, context: Context| {
        let client = context.state::<Client>().unwrap();
        let options = Options::new().queue(queue.parse().unwrap());
        let id = client.async_iter("t.inner", 0..x, &options).await.unwrap();
        let list: Option<Vec<u32>> = client.result(&id, FOREVER).await.unwrap();
        list.map(|list| list.into_iter().sum::<u32>()).ok_or("not finished")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn b27_a_nested_map_has_a_queue_of_its_own_and_else_ends_by_its_time_out() {
    let mut engine =
        Engine::with(|s| s.assets.queues = vec!["default".into(), "side".into()]).await;
    engine.settings.worker.concurrency = 1;
    engine.collator().await;
    engine.worker(nested(engine.client.clone(), "side")).await;
    engine.settings.worker.queue = "side".to_owned();
    engine.worker(nested(engine.client.clone(), "side")).await;
    let client = &engine.client;
    let id = client.async_iter("t.outer", [3, 4], &Options::new()).await.unwrap();
    assert_eq!(values(fetch(client, &id).await), [Ok(json!(6)), Ok(json!(10))]);
    // One slot, and what it waits for stands behind it in the same queue.
    let options = Options::new().queue("side".parse().unwrap()).timeout(Duration::from_millis(300));
    let id = client.async_iter("t.outer", [3], &options).await.unwrap();
    assert_eq!(values(fetch(client, &id).await), [Err(ErrorKind::TimedOut)]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b28_arguments_are_data_from_any_language_and_never_code() {
    let engine = Engine::start().await;
    let id = GroupId::random();
    let pickle = "cos\nsystem\n(S'true'\ntR.";
    for (index, payload) in
        [json!(2.5), json!(pickle), json!({"__reduce__": 1})].into_iter().enumerate()
    {
        publish(&engine, "math.floor", &id, index as u32, payload).await;
    }
    seal(&engine, &id, "3").await;
    let bad = || Err(ErrorKind::BadArgument);
    assert_eq!(values(fetch(&engine.client, &id).await), [Ok(json!(2)), bad(), bad()]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b29_groups_of_one_label_have_results_of_their_own() {
    let engine = Engine::start().await;
    let options = Options::new().label("nightly");
    let mut lists = Vec::new();
    for last in [1, 2] {
        let id = engine.client.async_iter("math.floor", 0..last, &options).await.unwrap();
        lists.push(fetch(&engine.client, &id).await.list.len());
    }
    assert_eq!(lists, [1, 2]);
    engine.is_clean().await;
}
