//! Chunks: many arguments in one message, and everything else stays per argument.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jetiter::{Chunk, Client, ErrorKind, FOREVER, Fetched, Functions, GroupId, Options, Status};
use jetiter_config::encoding::Encoding;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{Engine, eventually, within};

fn by(count: u32) -> Options {
    Options::new().chunk(Chunk::of(count))
}

async fn submit<A: Serialize>(
    engine: &Engine,
    function: &str,
    arguments: impl IntoIterator<Item = A>,
    options: &Options,
) -> GroupId {
    within(engine.client.async_iter(function, arguments, options)).await.unwrap()
}

async fn fetch(client: &Client, group: &GroupId) -> Fetched<Value> {
    within(client.fetch(group, FOREVER)).await.unwrap().unwrap()
}

/// What became of each argument, in their order: the value, or the error's kind.
fn outcomes(fetched: Fetched<Value>) -> Vec<Result<Value, ErrorKind>> {
    let ordered = fetched.into_ordered();
    assert!(ordered.iter().zip(0..).all(|((id, _), index)| id.to_string() == index.to_string()));
    ordered.into_iter().map(|(_, value)| value.map_err(|error| error.kind)).collect()
}

fn numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<Result<Value, ErrorKind>> {
    numbers.into_iter().map(|number| Ok(json!(number))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_records_are_per_argument_in_both_encodings() {
    let engine = Engine::bare().await;
    engine.worker(Functions::new().function("double", |n: u64| 2 * n)).await;
    engine.collator().await;
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let group = submit(&engine, "double", 0..2_500u64, &by(1_000).encoding(encoding)).await;
        let fetched = fetch(&engine.client, &group).await;
        assert_eq!((fetched.summary.ok, fetched.summary.failed), (2_500, 0));
        assert!(fetched.records.iter().all(|record| record.ok && record.attempts == 1));
        let now = fetched.summary.finished_ms;
        assert!(fetched.records.iter().all(|r| r.started_ms <= now && r.started_ms + 60_000 > now));
        assert_eq!(outcomes(fetched), numbers((0..2_500).map(|n| 2 * n)));
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_is_one_message_and_one_entry() {
    let engine = Engine::bare().await;
    let ns = engine.broker.namespace.clone();
    let group = submit(&engine, "double", 0..2_001u64, &by(1_000)).await;
    let items = engine.subjects(&ns.items_stream(), &ns.waiting_filter(group.as_str())).await;
    assert_eq!(items.len(), 2, "from the 1,000th argument on they go to a long lane");
    let info = engine.broker.stream_info(&ns.items_stream(), None).await.unwrap();
    assert_eq!(info.state.messages, 4, "three chunks and the seal");
    engine.worker(Functions::new().function("double", |n: u64| 2 * n)).await;
    let keys = || async { engine.cache_keys().await.into_iter().collect::<BTreeSet<_>>() };
    let key = |item: &str| format!("$KV.{ns}-cache.item.{group}.{item}");
    let wanted: BTreeSet<_> = ["0-1000", "1000-1000", "2000"].map(key).into();
    eventually("one entry a chunk", async || keys().await == wanted).await;
    let status = engine.client.status(&group).await.unwrap();
    assert!(matches!(status, Some(Status::Running { done: 2_001, total: Some(2_001), .. })));
    assert_eq!(engine.client.missing(&group).await.unwrap(), [0u32; 0]);
    engine.collator().await;
    assert_eq!(fetch(&engine.client, &group).await.summary.ok, 2_001);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_argument_leaves_its_neighbours_alone() {
    #[derive(serde::Deserialize)]
    enum Do {
        Return,
        Fail,
        Panic,
        Hang,
        Large,
    }
    let engine = Engine::bare().await;
    let run = async |what: Do| match what {
        Do::Return => Ok("x".to_owned()),
        Do::Fail => Err("no".to_owned()),
        Do::Panic => panic!("no"),
        Do::Hang => std::future::pending().await,
        Do::Large => Ok("x".repeat(2 << 20)),
    };
    engine.worker(Functions::new().try_function("run", run)).await;
    engine.collator().await;
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let arguments = ["Return", "Fail", "Panic", "Return", "Hang", "Large", "Other", "Return"];
        let options = by(8).encoding(encoding).timeout(Duration::from_millis(300));
        let group = submit(&engine, "run", arguments, &options).await;
        let x = || Ok(json!("x"));
        let fetched = fetch(&engine.client, &group).await;
        assert_eq!((fetched.summary.ok, fetched.summary.failed), (3, 5));
        assert_eq!(
            outcomes(fetched),
            [
                x(),
                Err(ErrorKind::Failed),
                Err(ErrorKind::Panicked),
                x(),
                Err(ErrorKind::TimedOut),
                Err(ErrorKind::TooLarge),
                Err(ErrorKind::BadArgument),
                x(),
            ],
            "{encoding}"
        );
    }
    let group = submit(&engine, "unknown", 0..3, &by(3)).await;
    let fetched = fetch(&engine.client, &group).await;
    assert_eq!(outcomes(fetched), vec![Err(ErrorKind::UnknownFunction); 3]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_is_tried_again_alone() {
    let engine = Engine::bare().await;
    let runs = tempfile::NamedTempFile::new().unwrap();
    let _worker = engine.worker_process();
    engine.collator().await;
    let arguments: Vec<u32> = vec![0, 2, 0, 9, 1];
    let group = submit(&engine, "test.fail_times", &arguments, &by(5).retries(2)).await;
    let fetched = fetch(&engine.client, &group).await;
    let mut attempts: Vec<_> =
        fetched.records.iter().map(|record| (record.index.to_string(), record.attempts)).collect();
    attempts.sort();
    let attempts: Vec<_> = attempts.into_iter().map(|(_, attempts)| attempts).collect();
    assert_eq!(attempts, [1, 3, 1, 3, 2]);
    let wanted = [Ok(json!(1)), Ok(json!(3)), Ok(json!(1)), Err(ErrorKind::Failed), Ok(json!(2))];
    assert_eq!(outcomes(fetched), wanted);
    drop(runs);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_wait_run_beside_each_other() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 4).await;
    engine.collator().await;
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(4));
    let meet = move |n: u64| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            n
        }
    };
    // Each waits until four of them run at once.
    engine.worker(Functions::new().function("meet", meet)).await;
    let group = submit(&engine, "meet", 0..8u64, &by(8)).await;
    assert_eq!(outcomes(fetch(&engine.client, &group).await), numbers(0..8));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_there_are_slots() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static RUNNING: AtomicU32 = AtomicU32::new(0);
    let engine = Engine::with(|settings| settings.worker.concurrency = 3).await;
    engine.collator().await;
    let count = async |_: u64| {
        let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        running
    };
    engine.worker(Functions::new().function("count", count)).await;
    let group = submit(&engine, "count", 0..60u64, &by(20)).await;
    let most = fetch(&engine.client, &group)
        .await
        .list
        .into_iter()
        .max_by_key(|n| n.as_ref().and_then(Value::as_u64));
    assert_eq!(most, Some(Some(json!(3))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_argument_ends_alone() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 2).await;
    let worker = engine.worker_process();
    engine.collator().await;
    let arguments = [1u64, 30_000, 2, 3];
    let options = by(4).timeout(Duration::from_millis(300));
    let group = submit(&engine, "test.spin_ms", arguments, &options).await;
    let wanted = [Ok(json!(1)), Err(ErrorKind::TimedOut), Ok(json!(2)), Ok(json!(3))];
    assert_eq!(outcomes(fetch(&engine.client, &group).await), wanted);
    engine.is_clean().await;
    worker.says("holds its thread").await;
    worker.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_chunks_are_stored_in_parts() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 1).await;
    let end = CancellationToken::new();
    let wait = {
        let end = end.clone();
        move |n: u64| {
            let end = end.clone();
            async move {
                if n == 60 {
                    end.cancelled().await;
                }
                n
            }
        }
    };
    engine.worker(Functions::new().function("wait", wait)).await;
    engine.collator().await;
    let group = submit(&engine, "wait", 0..100u64, &by(100)).await;
    let parts = || async { engine.client.missing(&group).await.unwrap() };
    // The last of them still runs: what has ended is there already.
    eventually("a part", async || parts().await == (60..100).collect::<Vec<_>>()).await;
    end.cancel();
    assert_eq!(outcomes(fetch(&engine.client, &group).await), numbers(0..100));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_are_stored_in_parts_that_fit() {
    let engine = Engine::bare().await;
    let bytes = |bytes: usize| "x".repeat(bytes);
    engine.worker(Functions::new().function("bytes", bytes)).await;
    engine.collator().await;
    let sizes: Vec<usize> = (0..40).map(|n| (n % 4) * 340_000).collect();
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let group = submit(&engine, "bytes", sizes.clone(), &by(40).encoding(encoding)).await;
        let fetched = fetch(&engine.client, &group).await;
        assert_eq!(fetched.summary.failed, 0, "{encoding}");
        let found: Vec<_> = outcomes(fetched)
            .into_iter()
            .map(|value| value.unwrap().as_str().unwrap().len())
            .collect();
        assert_eq!(found, sizes);
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_iterable_sends_what_it_has() {
    let engine = Engine::bare().await;
    let functions = Functions::new().function("double", |n: u64| 2 * n);
    engine.worker(functions).await;
    engine.collator().await;
    let group: GroupId = "slow".parse().unwrap();
    let (more, rest) = tokio::sync::oneshot::channel::<()>();
    let first = stream::iter(0..5u64);
    // The rest comes when the first ones have their outcomes.
    let second = stream::once(async { rest.await.unwrap() }).flat_map(|()| stream::iter(5..9u64));
    let options = by(1_000).group(group.clone());
    let submitted = engine.client.async_stream("double", first.chain(second), &options);
    let watched = async {
        let done = async || {
            let status = engine.client.status(&group).await.unwrap();
            matches!(status, Some(Status::Running { done: 5, .. }))
        };
        eventually("the first ones are done", done).await;
        more.send(()).unwrap();
    };
    let (submitted, ()) = within(async { tokio::join!(submitted, watched) }).await;
    submitted.unwrap();
    assert_eq!(outcomes(fetch(&engine.client, &group).await), numbers((0..9).map(|n| 2 * n)));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_chunks_grow_with_their_group() {
    let engine = Engine::bare().await;
    let auto = Options::new().chunk(Chunk::auto());
    let ns = &engine.broker.namespace;
    submit(&engine, "double", 0..100u64, &auto).await;
    let messages =
        async || engine.broker.stream_info(&ns.items_stream(), None).await.unwrap().state.messages;
    assert_eq!(messages().await, 101, "one argument a message, and the seal");
    let group = submit(&engine, "double", 0..100_000u64, &auto).await;
    assert!(messages().await < 101 + 1_000);
    engine.worker(Functions::new().function("double", |n: u64| 2 * n)).await;
    engine.collator().await;
    let mut progress = engine.client.progress(&group).await.unwrap();
    let fetched = fetch(&engine.client, &group).await;
    let told = within(progress.next()).await.unwrap();
    assert!(told.done > 1_000 && told.failed == 0, "{told:?}");
    assert_eq!(outcomes(fetched), numbers((0..100_000).map(|n| 2 * n)));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_fits_no_message_is_named() {
    let engine = Engine::bare().await;
    let mut arguments = vec!["x".to_owned(); 10];
    arguments[7] = "x".repeat(2 << 20);
    let error = engine.client.async_iter("double", arguments, &by(5)).await.unwrap_err();
    assert!(error.to_string().contains("item 7"), "{error}");
}

#[tokio::test]
async fn inline_a_chunk_changes_nothing() {
    let functions = Functions::new().function("double", |n: u64| 2 * n);
    let client = Client::sync(functions).unwrap();
    let group = client.async_iter("double", 0..5u64, &by(3)).await.unwrap();
    assert_eq!(outcomes(fetch(&client, &group).await), numbers((0..5).map(|n| 2 * n)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_a_group_in_the_middle_of_its_chunks() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 1).await;
    let wait = async |n: u64| match n {
        5 => std::future::pending().await,
        n => n,
    };
    let worker = engine.worker(Functions::new().function("wait", wait)).await;
    let group = submit(&engine, "wait", 0..10u64, &by(10).timeout(Duration::from_secs(600))).await;
    let missing = async || engine.client.missing(&group).await.unwrap();
    eventually("a part is stored", async || missing().await == [5, 6, 7, 8, 9]).await;
    engine.collator().await;
    let ns = &engine.broker.namespace;
    engine.broker.client.publish(ns.cancel_subject(&group), "".into()).await.unwrap();
    let fetched = fetch(&engine.client, &group).await;
    assert_eq!(fetched.summary.state.to_string(), "cancelled");
    assert_eq!(outcomes(fetched), numbers(0..5));
    worker.abort().await;
}
