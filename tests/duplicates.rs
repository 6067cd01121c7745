//! The same item, the same group, the same id again: at every point of a group's life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jetiter::{ClientError, Encoding, FOREVER, Functions, GroupId, Options, math};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;

async fn start() -> (Engine, Plain) {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    (engine, plain)
}

/// With a function `count` that returns its argument and counts its runs.
async fn counting() -> (Engine, Plain, Arc<AtomicU32>) {
    let engine = Engine::bare().await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let count = move |argument: i64| {
        counted.fetch_add(1, Ordering::SeqCst);
        argument
    };
    engine.worker(Functions::new().function("count", count)).await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    (engine, plain, runs)
}

async fn until_run(runs: &AtomicU32, times: u32) {
    eventually("it was run", async || runs.load(Ordering::SeqCst) == times).await;
}

/// What must stay as it is once a group is finished.
async fn result(plain: &Plain, group: &str) -> (Vec<u8>, String, Vec<u8>) {
    let list = plain.bytes(group).await;
    let records = plain.bytes(&format!("{group}.records")).await;
    (list, plain.metadata(group).await["cut"].clone(), records)
}

/// The sequence of the last entry that the cache's log ever took.
pub async fn log_end(plain: &Plain) -> u64 {
    let subject = format!("$JS.API.STREAM.INFO.KV_{}-cache", plain.ns);
    let answer = plain.client.request(subject, "".into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    answer["state"]["last_seq"].as_u64().unwrap()
}

/// Waits until the log has taken so many entries behind an earlier end.
async fn until_logged(plain: &Plain, end: u64, entries: u64) {
    eventually("the log goes on", async || log_end(plain).await >= end + entries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_id_is_stored_once() {
    let (engine, plain, runs) = counting().await;
    let headers = [("Jetiter-Index", "0"), ("Nats-Msg-Id", "nonce.0")];
    let first = plain.item("g", "count", &headers, "7").await;
    let second = plain.item("g", "count", &headers, "7").await;
    assert_eq!((&first["duplicate"], &second["duplicate"]), (&json!(null), &json!(true)));
    plain.seal("g", &[], "1").await;
    assert_eq!(plain.numbers("g").await, [7]);
    engine.is_clean().await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_runs_twice_counts_once() {
    let (engine, plain, runs) = counting().await;
    let index = ("Jetiter-Index", "0");
    plain.item("g", "count", &[index, ("Nats-Msg-Id", "first.0")], "7").await;
    plain.item("g", "count", &[index, ("Nats-Msg-Id", "second.0")], "8").await;
    plain.item("g", "count", &[index], "9").await;
    plain.seal("g", &[], "2").await;
    until_run(&runs, 3).await;
    eventually("all three are acknowledged", async || {
        engine.subjects(&format!("{}-items", plain.ns), ">").await.is_empty()
    })
    .await;
    assert_eq!(plain.object("g").await, None);
    plain.item("g", "count", &[("Jetiter-Index", "1")], "1").await;
    let list = plain.list("g").await;
    assert_eq!(list.len(), 2);
    assert!([json!(7), json!(8), json!(9)].contains(&list[0]), "{list:?}");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_after_the_end_changes_nothing() {
    let (engine, plain, runs) = counting().await;
    plain.item("g", "count", &[("Jetiter-Index", "0")], "7").await;
    plain.seal("g", &[], "1").await;
    let before = result(&plain, "g").await;
    engine.is_clean().await;
    for (run, argument) in (2..5).zip(["8", "9", "10"]) {
        let end = log_end(&plain).await;
        plain.item("g", "count", &[("Jetiter-Index", "0")], argument).await;
        until_run(&runs, run).await;
        until_logged(&plain, end, 1).await;
        engine.is_clean().await;
        assert_eq!(result(&plain, "g").await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_writer_changes_nothing() {
    let (engine, plain) = start().await;
    plain.items("g", 0..2).await;
    plain.seal("g", &[], "2").await;
    let before = result(&plain, "g").await;
    engine.is_clean().await;
    for key in ["item.g.0", "item.g.5", "item.g.n9-9", "try.g.0.1", "mark.g.done"] {
        plain.stored(&plain.key(key), &[], "{}").await;
        engine.is_clean().await;
    }
    assert_eq!(result(&plain, "g").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_id_used_again_is_a_conflict_and_the_first_result_stays() {
    let (engine, plain) = start().await;
    plain.items("g", 0..2).await;
    plain.seal("g", &[], "2").await;
    let before = result(&plain, "g").await;
    engine.is_clean().await;
    let mut events = plain.events("g").await;
    plain.items("g", 10..13).await;
    plain.seal("g", &[], "3").await;
    events.expect("conflict", &["2 items"]).await;
    // The same total again: a client that did not see its seal acknowledged does this.
    plain.items("g", 0..2).await;
    plain.seal("g", &[], "2").await;
    plain.until_taken_in(&engine).await;
    plain.stored(&format!("{}.cancel.g", plain.ns), &[], "").await;
    plain.until_taken_in(&engine).await;
    engine.is_clean().await;
    assert_eq!(result(&plain, "g").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_refuses_an_id_that_has_a_result() {
    let (engine, plain) = start().await;
    let group: GroupId = "mine".parse().unwrap();
    let options = Options::new().group(group.clone());
    let submit = async || engine.client.async_iter("math.floor", [1.5], &options).await;
    assert_eq!(submit().await.unwrap(), group);
    within(engine.client.result::<f64>(&group, FOREVER)).await.unwrap();
    let before = result(&plain, "mine").await;
    let error = submit().await.unwrap_err();
    assert!(matches!(error, ClientError::GroupExists { .. }), "{error}");
    engine.is_clean().await;
    assert_eq!(result(&plain, "mine").await, before);

    assert!(engine.client.delete(&group).await.unwrap());
    submit().await.unwrap();
    let list = within(engine.client.result::<i64>(&group, FOREVER)).await.unwrap();
    assert_eq!(list, Some(vec![1]));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_broke_off_is_taken_up() {
    let (engine, plain) = start().await;
    for (group, encoding) in [("json", Encoding::Json), ("cbor", Encoding::Cbor)] {
        plain.items(group, [0, 2, 3]).await;
        plain.until_kept(&format!("item.{group}.2")).await;
        let options = Options::new().group(group.parse().unwrap()).encoding(encoding);
        let arguments = (0..6).map(|index| f64::from(index) + 0.5);
        let id = engine.client.async_iter("math.floor", arguments, &options).await.unwrap();
        let fetched = within(engine.client.fetch::<i64>(&id, FOREVER)).await.unwrap();
        let ordered = fetched.unwrap().into_ordered();
        let values: Vec<i64> = ordered.into_iter().map(|(_, value)| value.unwrap()).collect();
        assert_eq!(values, [0, 1, 2, 3, 4, 5]);
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_total_for_a_sealed_group_is_refused_by_the_client() {
    let (engine, plain) = start().await;
    plain.seal("g", &[], "3").await;
    plain.until_kept("mark.g.seal").await;
    let options = Options::new().group("g".parse().unwrap());
    let error = engine.client.async_iter("math.floor", [0.5, 1.5], &options).await.unwrap_err();
    let (first, second) = match error {
        ClientError::SealedTwice { first, second, .. } => (first, second),
        other => panic!("{other}"),
    };
    assert_eq!((first, second), (3, 2));
    plain.items("g", 2..3).await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_items_are_named_and_may_come_later() {
    let short = |settings: &mut jetiter::Settings| {
        settings.collator.short_after = Duration::from_millis(100);
    };
    let engine = Engine::with(short).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    let mut events = plain.events("g").await;
    plain.items("g", [0, 2]).await;
    plain.seal("g", &[], "5").await;
    events.expect("short", &["3 of its 5"]).await;
    let missing = engine.client.missing(&"g".parse().unwrap()).await.unwrap();
    assert_eq!(missing, [1, 3, 4]);
    plain.items("g", missing).await;
    events.expect("done", &[]).await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2, 3, 4]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_never_sealed_it_ends_with_what_it_has() {
    let abandon = |settings: &mut jetiter::Settings| {
        settings.collator.abandon_after = Duration::from_millis(100);
    };
    let engine = Engine::with(abandon).await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    // This one has an item that waits for a worker: it is not silent.
    plain.stored(&plain.key("item.waits.0"), &[], "0").await;
    plain.items("waits", [1]).await;
    plain.stored(&plain.key("item.silent.0"), &[], "5").await;
    plain.stored(&plain.key("item.silent.3"), &[], "8").await;
    assert_eq!(plain.list("silent").await, [5, 8]);
    let metadata = plain.metadata("silent").await;
    assert_eq!((&*metadata["state"], metadata.get("total")), ("abandoned", None));
    assert_eq!(plain.object("waits").await, None);
    plain.seal("waits", &[], "2").await;
    plain.until_kept("mark.waits.seal").await;
    engine.worker(math::functions()).await;
    assert_eq!(plain.numbers("waits").await, [0, 1]);
    assert_eq!(plain.metadata("waits").await["state"], "complete");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_in_hand_when_its_group_is_cancelled_comes_too_late() {
    let engine = Engine::bare().await;
    let gate = Arc::new(Semaphore::new(0));
    let (inside, begun) = (gate.clone(), Arc::new(AtomicU32::new(0)));
    let counted = begun.clone();
    let wait = move |argument: i64| {
        let (gate, begun) = (inside.clone(), counted.clone());
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            argument
        }
    };
    engine.worker(Functions::new().function("wait", wait)).await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    for index in ["0", "1"] {
        plain.item("g", "wait", &[("Jetiter-Index", index)], index).await;
    }
    plain.seal("g", &[], "2").await;
    until_run(&begun, 2).await;
    plain.stored(&format!("{}.cancel.g", plain.ns), &[], "").await;
    assert_eq!(plain.list("g").await, [0; 0]);
    let before = result(&plain, "g").await;
    engine.is_clean().await;
    let end = log_end(&plain).await;
    gate.add_permits(2);
    until_logged(&plain, end, 2).await;
    engine.is_clean().await;
    assert_eq!(result(&plain, "g").await, before);
}
