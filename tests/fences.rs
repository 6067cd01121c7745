//! What keeps anything from being lost, doubled or waited for, where no other test shows it: a
//! process stands still between two lines, and something else comes first.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;
use jetiter::{FOREVER, Functions, GroupId, Options, Settings, Topology, math};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::harness::{Engine, eventually, lane_of, within};
use crate::plain::Plain;
use crate::processes::Process;

/// A collator that stops itself at a point of its way, with a group `g` of three in its hands.
pub async fn standing_at(
    point: &str,
    change: impl FnOnce(&mut Settings),
) -> (Engine, Plain, Process) {
    standing_with(3, point, change).await
}

/// The same with a group of so many.
pub async fn standing_with(
    items: u32,
    point: &str,
    change: impl FnOnce(&mut Settings),
) -> (Engine, Plain, Process) {
    let engine = Engine::with(change).await;
    let plain = Plain::of(&engine).await;
    let collator = engine.process_until(&["collator"], &format!("{point}=1*return(stop)"));
    let worker = engine.worker(math::functions()).await;
    plain.items("g", 0..items).await;
    plain.seal("g", &[], items.to_string()).await;
    collator.is_stopped().await;
    worker.stop().await;
    (engine, plain, collator)
}

/// What the metadata of an object says, as it is stored.
async fn stored(plain: &Plain, engine: &Engine, object: &str) -> Option<(u64, String)> {
    let found = engine.broker.object_info(object).await.unwrap();
    assert_eq!(plain.ns, engine.settings.namespace);
    found.map(|(seq, info)| (seq, info.nuid))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_stored_keeps_its_item_and_is_not_run_again() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let count = move |n: u32| {
        counted.fetch_add(1, Ordering::SeqCst);
        n
    };
    let functions = Functions::new().function("count", count);
    let worker = engine.worker(functions.clone()).await;
    // It has seen the cache, and pulls.
    plain.item("first", "count", &[("Jetiter-Index", "0")], "7").await;
    plain.until_kept("item.first.0").await;
    let jetstream = &engine.broker.jetstream;
    jetstream.delete_stream(engine.broker.namespace.cache_stream()).await.unwrap();
    // The worker's refused write is seen here.
    let mut writes = plain.client.subscribe(plain.key("item.g.0")).await.unwrap();
    plain.client.flush().await.unwrap();
    plain.item("g", "count", &[("Jetiter-Index", "0")], "7").await;
    for _ in 0..2 {
        within(writes.next()).await.unwrap();
    }
    let items = engine.subjects(&format!("{}-items", plain.ns), ">").await;
    assert!(items.iter().any(|item| item.contains(".g.")), "{items:?}");
    worker.abort().await;
    Topology::of(&engine.broker, &engine.settings).ensure(&engine.broker).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2, "one each");
    engine.worker(functions).await;
    engine.collator().await;
    plain.seal("g", &[], "1").await;
    assert_eq!(plain.list("g").await, [7]);
    assert!(runs.load(Ordering::SeqCst) <= 3, "once more, if the first worker died with it");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_that_sleeps_before_its_commit_overwrites_nothing() {
    // So long that the sleeper does not learn of the other one before it commits.
    let change = |settings: &mut Settings| settings.assets.lease = Duration::from_secs(600);
    let (engine, plain, sleeper) = standing_at("collator.uploaded", change).await;
    let mut events = plain.events("g").await;
    engine.broker.purge(&engine.broker.namespace.lease_stream(), None, None).await.unwrap();
    engine.collator().await;
    events.expect("done", &["\"total\":3"]).await;
    let list = plain.bytes("g").await;
    let before = stored(&plain, &engine, "g").await;
    let cache = engine.broker.namespace.cache_stream();
    let asked = format!("$JS.API.STREAM.MSG.GET.{cache}");
    let mut claims = engine.broker.client.subscribe(asked).await.unwrap();
    engine.broker.client.flush().await.unwrap();
    sleeper.wake();
    // Before it commits it asks whether the entry that decided is still there.
    within(claims.next()).await.unwrap();
    assert_eq!(stored(&plain, &engine, "g").await, before);
    assert_eq!(plain.bytes("g").await, list);
    assert_eq!(plain.records("g").await.len(), 3);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_somebody_else_must_finish_has_all_its_chunks() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    engine.worker(math::functions()).await;
    let doomed = engine.process_until(&["collator"], "collator.committed=return(kill)");
    plain.items("g", 0..3).await;
    plain.seal("g", &[], "3").await;
    doomed.ended().await;
    let before = stored(&plain, &engine, "g").await;
    assert_eq!(plain.object("g.records").await, None);
    engine.collator().await;
    assert_eq!(plain.records("g").await.len(), 3);
    assert_eq!(plain.numbers("g").await, [0, 1, 2]);
    assert_eq!(stored(&plain, &engine, "g").await, before);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_never_shorter_than_what_was_counted() {
    // Nothing is kept in memory, and the seal says another thing than the draft took for granted: the
    // outcomes are read again, and one is gone by then.
    let change = |settings: &mut Settings| {
        settings.collator.buffer = 1;
        settings.collator.short_after = Duration::from_secs(1);
        settings.assets.lease = Duration::from_secs(60);
    };
    let engine = Engine::with(change).await;
    let plain = Plain::of(&engine).await;
    let collator = engine.process_until(&["collator"], "collator.decided=1*return(stop)");
    let worker = engine.worker(math::functions()).await;
    plain.items("g", 0..3).await;
    for index in 0..3 {
        plain.until_kept(&format!("item.g.{index}")).await;
    }
    plain.seal("g", &[("Jetiter-Keep", "600000")], "3").await;
    collator.is_stopped().await;
    worker.stop().await;
    let mut events = plain.events("g").await;
    let (cache, gone) = (engine.broker.namespace.cache_stream(), plain.key("item.g.1"));
    engine.broker.purge(&cache, Some(&gone), None).await.unwrap();
    collator.wake();
    events.expect("short", &["1 of its 3"]).await;
    assert_eq!(plain.object("g").await, None);
    engine.worker(math::functions()).await;
    plain.items("g", 1..2).await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_nobody_tells_of_is_found_all_the_same() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    engine.worker(math::functions()).await;
    let group: GroupId = "g".parse().unwrap();
    let mut reading = pin!(engine.client.result::<i64>(&group, FOREVER));
    // It waits: it has looked, and there was nothing.
    timeout(Duration::from_millis(200), &mut reading).await.unwrap_err();
    let doomed = engine.process_until(&["collator"], "collator.committed=return(kill)");
    plain.items("g", 0..1).await;
    plain.seal("g", &[], "1").await;
    doomed.ended().await;
    assert_eq!(within(reading).await.unwrap(), Some(vec![0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_handed_back_in_order_is_no_suspect() {
    let engine = Engine::with(|settings| settings.worker.begins = 0).await;
    let plain = Plain::of(&engine).await;
    engine.collator().await;
    plain.items("g", 0..1).await;
    plain.seal("g", &[], "1").await;
    // Handed out and back six times, as by workers that stop.
    let items = engine.broker.namespace.items_stream();
    let jetstream = &engine.broker.jetstream;
    let consumer = format!("worker-default-{}", lane_of("g"));
    let consumer: PullConsumer = jetstream.get_consumer_from_stream(consumer, items).await.unwrap();
    let mut deliveries = consumer.messages().await.unwrap();
    for delivered in 1..=6 {
        let item = within(deliveries.next()).await.unwrap().unwrap();
        assert_eq!(item.info().unwrap().delivered, delivered);
        item.ack_with(AckKind::Nak(None)).await.unwrap();
    }
    drop(deliveries);
    engine.worker(math::functions()).await;
    assert_eq!(plain.list("g").await, [0]);
    assert!(plain.records("g").await[0]["attempts"].as_u64() >= Some(7));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_done_mark_that_is_lost_or_forged_costs_a_question() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    engine.worker(math::functions()).await;
    // Dies before the mark; the outcomes and the seal are still there.
    let doomed = engine.process_until(&["collator"], "collator.recorded=return(kill)");
    plain.items("g", 0..2).await;
    plain.seal("g", &[], "2").await;
    doomed.ended().await;
    let before = (stored(&plain, &engine, "g").await, plain.bytes("g").await);
    let forged = json!({ "group": "g", "state": "complete", "total": 9 }).to_string();
    plain.stored(&plain.key("mark.g.done"), &[], forged).await;
    let mut events = plain.events("g").await;
    engine.collator().await;
    events.expect("done", &["\"total\":2"]).await;
    engine.is_clean().await;
    assert_eq!((stored(&plain, &engine, "g").await, plain.bytes("g").await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_logged_twice_counts_once() {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    plain.seal("g", &[], "3").await;
    plain.items("g", 0..2).await;
    for key in ["mark.g.seal", "item.g.0", "item.g.1"] {
        plain.until_kept(key).await;
    }
    // Write-once ends where somebody purges.
    let (cache, gone) = (engine.broker.namespace.cache_stream(), plain.key("item.g.1"));
    engine.broker.purge(&cache, Some(&gone), None).await.unwrap();
    plain.items("g", 1..2).await;
    plain.until_kept("item.g.1").await;
    plain.items("other", 0..1).await;
    plain.seal("other", &[], "1").await;
    assert_eq!(plain.numbers("other").await, [0]);
    assert_eq!(plain.object("g").await, None, "one of three is missing");
    plain.items("g", 2..3).await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lives_keeps_its_entries_while_others_are_cleaned() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    engine.worker(math::functions()).await;
    let collator = engine.collator().await;
    let of = |group: &str| {
        let name = format!(".{group}.");
        let engine = &engine;
        async move || {
            let keys = engine.cache_keys().await;
            keys.into_iter().filter(|key| key.contains(&name)).count()
        }
    };
    // Between, among and behind those of the living.
    for round in 0..4 {
        plain.items("lives", [round]).await;
        plain.until_kept(&format!("item.lives.{round}")).await;
        let group = format!("dies{round}");
        plain.items(&group, 0..5).await;
        plain.seal(&group, &[], "5").await;
        assert_eq!(plain.numbers(&group).await, [0, 1, 2, 3, 4]);
        eventually("its keys are gone", async || of(&group)().await == 0).await;
        assert_eq!(of("lives")().await, round as usize + 1);
    }
    collator.abort().await;
    engine.collator().await;
    plain.seal("lives", &[], "4").await;
    assert_eq!(plain.numbers("lives").await, [0, 1, 2, 3]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_kills_its_worker_takes_no_neighbour_along() {
    let engine = Engine::with(|settings| {
        settings.assets.ack_wait = Duration::from_millis(500);
        settings.worker.concurrency = 4;
        settings.worker.begins = 2;
    })
    .await;
    let plain = Plain::of(&engine).await;
    engine.collator().await;
    for index in ["1", "2", "3"] {
        // So slow that whatever runs beside the deadly one dies with it.
        plain.item("g", "test.sleep_ms", &[("Jetiter-Index", index)], "200").await;
    }
    // Last, so that the others have begun when it does.
    plain.item("g", "test.abort", &[("Jetiter-Index", "0")], "0").await;
    plain.seal("g", &[], "4").await;
    for _ in 0..5 {
        assert!(!engine.worker_process().ended().await.success());
    }
    let _worker = engine.worker_process();
    for record in plain.records("g").await {
        let lost = record["index"] == 0;
        assert_eq!(record["error"]["kind"], if lost { json!("lost") } else { json!(null) });
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seals_find_room_in_a_cache_that_outcomes_have_filled() {
    const LIMIT: u64 = 64 << 10;
    let change = |settings: &mut Settings| settings.assets.cache_max_bytes = LIMIT as i64;
    let engine = Engine::with(change).await;
    // One behind the other: the oldest can always be finished.
    let mut groups = Vec::new();
    for _ in 0..8 {
        let submitted = engine.client.async_iter("math.floor", 0..150, &Options::new()).await;
        groups.push(submitted.unwrap());
    }
    engine.worker(math::functions()).await;
    let cache = engine.broker.namespace.cache_stream();
    let mut before = 0;
    eventually("no more outcomes fit", async || {
        sleep(Duration::from_millis(300)).await;
        let bytes = engine.broker.stream_info(&cache, None).await.unwrap().state.bytes;
        std::mem::replace(&mut before, bytes) == bytes && bytes > LIMIT * 8 / 10
    })
    .await;
    engine.collator().await;
    for group in groups {
        let list = within(engine.client.result::<u32>(&group, FOREVER)).await.unwrap().unwrap();
        assert_eq!(list.len(), 150);
    }
    engine.is_clean().await;
}
