use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream;
use jetiter::{Client, FOREVER, Functions, GroupId, Options, Status};
use tokio::sync::mpsc;

use crate::harness::{Engine, eventually, within};

/// Counts how far it was read.
fn counted(total: usize, read: &Arc<AtomicUsize>) -> impl Iterator<Item = String> + use<> {
    let read = read.clone();
    (0..total).map(move |index| {
        read.fetch_add(1, Ordering::SeqCst);
        format!("{index:01000}")
    })
}

async fn waiting(engine: &Engine) -> usize {
    let items = engine.broker.namespace.items_stream();
    engine.subjects(&items, ">").await.len().min(1) * {
        let info = engine.broker.stream_info(&items, None).await.unwrap();
        info.state.messages as usize
    }
}

/// A full items stream: the iterable is read up to the window and no further.
/// Whether no other item of a kilobyte fits into the items stream.
async fn is_full(engine: &Engine) -> bool {
    let items = engine.broker.namespace.items_stream();
    let info = engine.broker.stream_info(&items, None).await.unwrap();
    info.state.bytes + 1_200 > 64 << 10
}

async fn reads_no_further(window: usize, window_bytes: usize, wanted: usize) {
    let mut engine = Engine::with(|s| s.assets.items_max_bytes = 64 << 10).await;
    engine.settings.submit.window = window;
    engine.settings.submit.window_bytes = window_bytes;
    let client = Client::new(engine.broker.clone(), &engine.settings).await.unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let arguments = counted(500, &read);
    let submitted =
        tokio::spawn(
            async move { client.async_iter("text.len", arguments, &Options::new()).await },
        );
    eventually("the stream is full and more has been read", async || {
        let ahead = read.load(Ordering::SeqCst);
        let stored = waiting(&engine).await;
        // Read first: what was stored since makes the window look smaller, never larger.
        let in_window = ahead.saturating_sub(stored);
        assert!(in_window <= wanted, "{ahead} read, {stored} stored");
        stored > 10 && in_window > 0 && is_full(&engine).await
    })
    .await;
    assert!(!submitted.is_finished() && read.load(Ordering::SeqCst) < 500);
    engine.worker(Functions::new().function("text.len", |text: String| text.len())).await;
    engine.collator().await;
    let id = within(submitted).await.unwrap().unwrap();
    let list: Vec<usize> = within(engine.client.result(&id, FOREVER)).await.unwrap().unwrap();
    assert_eq!(list, [1000; 500]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_iterable_is_not_read_past_the_window() {
    reads_no_further(10, 1 << 20, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_iterable_is_not_read_past_the_windows_bytes() {
    // 1003 bytes each in CBOR: the fifth goes over 4500.
    reads_no_further(1000, 4500, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_stream_is_worked_while_it_comes() {
    let engine = Engine::start().await;
    let (send, receive) = mpsc::unbounded_channel::<f64>();
    let arguments = stream::unfold(receive, async |mut receive| {
        let next = receive.recv().await;
        next.map(|argument| (argument, receive))
    });
    let id = GroupId::random();
    let options = Options::new().group(id.clone());
    let client = engine.client.clone();
    let submitted =
        tokio::spawn(async move { client.async_stream("math.floor", arguments, &options).await });
    for count in 1..=3 {
        send.send(f64::from(count) + 0.5).unwrap();
        // Nothing more comes until this one is done.
        eventually("what came is worked", async || {
            let status = engine.client.status(&id).await.unwrap();
            matches!(status, Some(Status::Running { done, .. }) if done == count as u64)
        })
        .await;
    }
    assert!(!submitted.is_finished());
    drop(send);
    within(submitted).await.unwrap().unwrap();
    let mut list: Vec<i64> = within(engine.client.result(&id, FOREVER)).await.unwrap().unwrap();
    list.sort();
    assert_eq!(list, [1, 2, 3]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_items_from_a_generator() {
    let engine = Engine::start().await;
    let generator = std::iter::successors(Some(0u32), |n| n.checked_add(1)).take(20_000);
    let id = engine.client.async_iter("math.floor", generator, &Options::new()).await.unwrap();
    let mut list: Vec<u32> = within(engine.client.result(&id, FOREVER)).await.unwrap().unwrap();
    list.sort();
    assert!(list.into_iter().eq(0..20_000));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_total_is_refused_and_the_first_counts() {
    let engine = Engine::bare().await;
    engine.collator().await;
    let (client, id) = (&engine.client, GroupId::random());
    let options = Options::new().group(id.clone());
    client.async_iter("math.floor", 0..2, &options).await.unwrap();
    eventually("it is sealed", async || !engine.cache_keys().await.is_empty()).await;
    let error = client.async_iter("math.floor", 0..3, &options).await.unwrap_err();
    assert!(error.to_string().contains("sealed with 2 items already, 3 came"), "{error}");
    engine.worker(jetiter::math::functions()).await;
    let mut list: Vec<u32> = within(client.result(&id, FOREVER)).await.unwrap().unwrap();
    list.sort();
    assert_eq!(list, [0, 1]);
    eventually("the item too many is worked off", async || waiting(&engine).await == 0).await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing_behind() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let label = |bytes: usize| Options::new().label("x".repeat(bytes));
    for function in ["", "math.", ".floor", "math.*", "math.>", "ma th", &"f".repeat(129)] {
        let error = client.async_iter(function, [1], &Options::new()).await.unwrap_err();
        assert!(error.to_string().contains("can't be a function name"), "{error}");
    }
    let error = client.async_iter("math.floor", [1], &label(257)).await.unwrap_err();
    assert!(error.to_string().contains("256"), "{error}");
    assert_eq!(waiting(&engine).await, 0);
    let id = client.async_iter("math.floor", [1], &label(256)).await.unwrap();
    let raw = within(client.read(&id, FOREVER)).await.unwrap().unwrap();
    assert_eq!(raw.summary.label.map(|label| label.len()), Some(256));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_too_large_is_named_and_the_group_can_be_taken_up() {
    let engine = Engine::start().await;
    let (client, id) = (&engine.client, GroupId::random());
    let options = Options::new().group(id.clone());
    let large = [String::new(), "x".repeat(2 << 20), String::new()];
    let error = client.async_iter("math.floor", large, &options).await.unwrap_err().to_string();
    assert!(error.contains("item 1 ") && error.contains("send a reference"), "{error}");
    assert!(error.contains("is not sealed"), "{error}");
    client.async_iter("math.floor", [1.5, 2.5, 3.5], &options).await.unwrap();
    let raw = within(client.read(&id, FOREVER)).await.unwrap().unwrap();
    assert_eq!(raw.summary.len(), 3);
    eventually("every copy is worked off", async || waiting(&engine).await == 0).await;
    engine.is_clean().await;
}
