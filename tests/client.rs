use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jetiter::{Context, FOREVER, Functions, GroupId, ItemId, Options, Queue, State, Status};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::harness::{Engine, eventually, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_looks_once_at_zero_and_else_at_every_event() {
    let engine = Engine::bare().await;
    let broker = &engine.broker;
    let asked = format!("$JS.API.STREAM.MSG.GET.{}", broker.namespace.results_stream());
    let mut looks = broker.client.subscribe(asked).await.unwrap();
    let id = GroupId::random();
    assert_eq!(engine.client.result::<u8>(&id, Duration::ZERO).await.unwrap(), None);
    within(looks.next()).await.unwrap();

    let (short, began) = (Duration::from_millis(50), Instant::now());
    assert_eq!(engine.client.result::<u8>(&id, short).await.unwrap(), None);
    assert!(began.elapsed() >= short && began.elapsed() < Duration::from_secs(5));
    // One at once, one at the end: none of them comes from the first wait.
    within(looks.next()).await.unwrap();
    within(looks.next()).await.unwrap();

    let client = engine.client.clone();
    let waiter = tokio::spawn({
        let id = id.clone();
        async move { client.result::<u8>(&id, FOREVER).await }
    });
    within(looks.next()).await.unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        broker.tell(id.as_str(), "done", &()).await;
        within(looks.next()).await.unwrap();
    }
    // Without the events twenty looks take more than a minute.
    assert!(began.elapsed() < Duration::from_secs(10));
    waiter.abort();
}

fn reports() -> Functions {
    Functions::new().try_function("t.report", |fail: bool, context: Context| match fail {
        true => Err("asked to"),
        false => Ok((context.item.attempt, context.item.timeout)),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn options_reach_the_item_and_the_result_and_serve_again() {
    let mut engine =
        Engine::with(|s| s.assets.queues = vec!["default".into(), "side".into()]).await;
    engine.settings.worker.queue = "side".to_owned();
    engine.worker(reports()).await;
    engine.collator().await;
    let timeout = Duration::from_millis(7654);
    let options = Options::new()
        .queue("side".parse::<Queue>().unwrap())
        .label("nightly – Zürich")
        .timeout(timeout)
        .retries(2)
        .cached(Duration::from_secs(90));
    let before = format!("{options:?}");
    let first = engine.client.async_iter("t.report", [false, true], &options).await.unwrap();
    let second = engine.client.async_iter("t.report", [false, true], &options).await.unwrap();
    assert_ne!(first, second, "run twice is two groups");
    assert_eq!(format!("{options:?}"), before);
    for id in [first, second] {
        let fetched = within(engine.client.fetch::<(u32, Duration)>(&id, FOREVER)).await;
        let fetched = fetched.unwrap().unwrap();
        let summary = &fetched.summary;
        assert_eq!(summary.label.as_deref(), Some("nightly – Zürich"));
        assert_eq!(summary.function.as_ref().unwrap().as_str(), "t.report");
        assert_eq!((summary.keep_ms, summary.state), (Some(90_000), State::Complete));
        assert_eq!((summary.total, summary.ok, summary.failed), (Some(2), 1, 1));
        let mut records = fetched.records.clone();
        records.sort_by_key(|record| record.index);
        assert_eq!(records[1].index, ItemId::Index(1));
        assert_eq!((records[0].attempts, records[1].attempts), (1, 3));
        assert!(!records[0].worker.is_empty() && records[0].started_ms > 0);
        assert_eq!(fetched.into_ordered()[0].1, Ok((1, timeout)));
    }
    let nobody = Options::new().queue("nobody".parse().unwrap());
    let error = engine.client.async_iter("t.report", [false], &nobody).await.unwrap_err();
    assert!(error.to_string().contains("init --queue nobody"), "{error}");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_missing_and_list_tell_where_groups_stand() {
    let engine = Engine::bare().await;
    let client = &engine.client;
    let id = GroupId::random();
    assert!(client.status(&id).await.unwrap().is_none());
    assert_eq!(client.missing(&id).await.unwrap(), [0u32; 0]);
    let gate = Arc::new(Semaphore::new(1));
    let functions = Functions::new().state(gate.clone()).function(
        "t.gated",
        async |x: u32, context: Context| {
            let gate = context.state::<Arc<Semaphore>>().unwrap();
            gate.acquire().await.unwrap().forget();
            x
        },
    );
    engine.worker(functions).await;
    engine.collator().await;
    let mut progress = client.progress(&id).await.unwrap();
    let options = Options::new().group(id.clone());
    client.async_iter("t.gated", 0..3, &options).await.unwrap();
    let told = within(progress.next()).await.unwrap();
    assert_eq!((told.done, told.failed), (1, 0));
    eventually("one of three is done", async || {
        let status = client.status(&id).await.unwrap();
        matches!(status, Some(Status::Running { total: Some(3), done: 1, waiting: 2 }))
    })
    .await;
    let missing = client.missing(&id).await.unwrap();
    assert_eq!(missing.len(), 2);
    let listed = client.list().await.unwrap();
    assert!(listed.len() == 1 && listed[0].group == id.as_str() && listed[0].result.is_none());

    gate.add_permits(2);
    within(client.read(&id, FOREVER)).await.unwrap();
    let Some(Status::Finished(summary)) = client.status(&id).await.unwrap() else {
        panic!("it is finished");
    };
    assert_eq!(summary.len(), 3);
    let listed = client.list().await.unwrap();
    assert!(listed.len() == 1 && listed[0].result.as_ref() == Some(&summary));
    assert!(client.missing(&id).await.unwrap().is_empty());
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_is_gone_and_its_id_is_free() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let id: GroupId = "my-own_Id-7".parse().unwrap();
    assert!(!client.delete(&id).await.unwrap());
    let options = Options::new().group(id.clone());
    for last in [3u32, 5] {
        assert_eq!(client.async_iter("math.floor", 0..last, &options).await.unwrap(), id);
        let list = within(client.result::<u32>(&id, FOREVER)).await.unwrap().unwrap();
        assert_eq!(list.len(), last as usize);
        let error = client.async_iter("math.floor", [1], &options).await.unwrap_err();
        assert!(error.to_string().contains("my-own_Id-7 has a result already"), "{error}");
        assert!(client.delete(&id).await.unwrap());
        assert_eq!(client.result::<u32>(&id, Duration::ZERO).await.unwrap(), None);
        assert!(client.read_records(&id, Duration::ZERO).await.unwrap().is_none());
        assert!(client.list().await.unwrap().is_empty());
        engine.is_clean().await;
    }
    for bad in ["", "a.b", "*", ">", "a b", &"x".repeat(65)] {
        assert!(bad.parse::<GroupId>().is_err(), "{bad:?}");
    }
}
