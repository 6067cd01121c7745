//! Two ends of one group that race: the log decides, and the list is what lies at or below it.

use std::time::Duration;

use jetiter::{FOREVER, GroupId, Options, Settings, math};

use crate::fences::{standing_at, standing_with};
use crate::harness::{Engine, eventually, within};
use crate::log::{Log, Verdict};
use crate::plain::Plain;

async fn start(change: impl FnOnce(&mut Settings)) -> (Engine, Plain, Log) {
    let engine = Engine::with(change).await;
    let (plain, log) = (Plain::of(&engine).await, Log::of(&engine).await);
    engine.worker(math::functions()).await;
    engine.collator().await;
    (engine, plain, log)
}

/// No item waits or is in hand, and then nothing is left.
async fn is_clean(engine: &Engine) {
    let items = engine.broker.namespace.items_stream();
    eventually("all items are done", async || engine.subjects(&items, ">").await.is_empty()).await;
    engine.is_clean().await;
}

/// How many of these groups ended so.
fn ended(verdicts: &[Verdict], state: &str) -> usize {
    verdicts.iter().filter(|verdict| verdict.state == state).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_races_completion_leaves_what_the_log_says() {
    let (engine, plain, mut log) = start(|_| {}).await;
    for round in 0..100 {
        let group = format!("g{round}");
        let cancel = async || {
            plain.stored(&format!("{}.cancel.{group}", plain.ns), &[], "").await;
        };
        // After the first items, after some, after all, beside the seal, after it, after the end.
        let first = round % 14;
        plain.items(&group, 0..first.min(10)).await;
        match first {
            0..=10 => {
                cancel().await;
                plain.items(&group, first..10).await;
                plain.seal(&group, &[], "10").await;
            }
            11 => {
                tokio::join!(plain.seal(&group, &[], "10"), cancel());
            }
            12 => {
                plain.seal(&group, &[], "10").await;
                cancel().await;
            }
            _ => {
                plain.seal(&group, &[], "10").await;
                plain.bytes(&group).await;
                cancel().await;
            }
        }
    }
    let mut verdicts = Vec::new();
    for round in 0..100 {
        verdicts.push(log.agrees(&plain, &format!("g{round}")).await);
    }
    assert_eq!(ended(&verdicts, "complete") + ended(&verdicts, "cancelled"), 100);
    assert!(ended(&verdicts, "cancelled") > 0 && ended(&verdicts, "complete") > 0);
    is_clean(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandonment_that_races_a_late_seal_leaves_what_the_log_says() {
    let (engine, plain, mut log) =
        start(|settings| settings.collator.abandon_after = Duration::from_millis(1)).await;
    // A group is asked about first, and abandoned a look later: seals come before, between and
    // after.
    let rounds = 0..60;
    for round in rounds.clone() {
        plain.items(&format!("g{round}"), 0..3).await;
    }
    let mut pace = tokio::time::interval(Duration::from_millis(60));
    for round in rounds.clone() {
        pace.tick().await;
        plain.seal(&format!("g{round}"), &[], "3").await;
    }
    let mut verdicts = Vec::new();
    for round in rounds {
        verdicts.push(log.agrees(&plain, &format!("g{round}")).await);
    }
    assert_eq!(ended(&verdicts, "complete") + ended(&verdicts, "abandoned"), 60);
    assert!(ended(&verdicts, "abandoned") > 0 && ended(&verdicts, "complete") > 0);
    // Whichever it was, all three values had come.
    assert!(verdicts.iter().all(|verdict| verdict.list.len() == 3));
    is_clean(&engine).await;
}

async fn serves(engine: &Engine, group: &str) {
    let group: GroupId = group.parse().unwrap();
    let options = Options::new().group(group.clone());
    engine.client.async_iter("math.floor", [7.5], &options).await.unwrap();
    let list = within(engine.client.fetch::<i64>(&group, FOREVER)).await.unwrap().unwrap();
    assert_eq!((list.list, list.records.len()), (vec![Some(7)], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_deleted_between_its_commit_and_its_records_is_gone() {
    let (engine, plain, collator) = standing_at("collator.committed", |_| {}).await;
    engine.worker(math::functions()).await;
    assert!(engine.client.delete(&"g".parse().unwrap()).await.unwrap());
    collator.wake();
    serves(&engine, "other").await;
    engine.is_clean().await;
    assert_eq!(plain.object("g").await, None);
    let results = format!("{}-results", plain.ns);
    let left = engine.subjects(&format!("OBJ_{results}"), &format!("$O.{results}.M.>")).await;
    assert_eq!(left.len(), 2, "the other's list and records, and nothing of the deleted one");
    serves(&engine, "g").await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_removed_before_the_commit_are_a_damaged_result_that_can_be_made_again() {
    // An only chunk would come with the commit.
    let small = |settings: &mut Settings| settings.collator.chunk = 1 << 10;
    let (engine, plain, collator) = standing_with(400, "collator.uploaded", small).await;
    engine.worker(math::functions()).await;
    let results = engine.broker.namespace.results_stream();
    engine.broker.purge(&results, None, None).await.unwrap();
    collator.wake();
    serves(&engine, "other").await;
    let group: GroupId = "g".parse().unwrap();
    let error = within(engine.client.result::<i64>(&group, FOREVER)).await.unwrap_err();
    assert!(error.to_string().contains("bytes"), "{error}");
    assert!(engine.client.delete(&group).await.unwrap());
    assert_eq!(plain.object("g").await, None);
    serves(&engine, "g").await;
    engine.is_clean().await;
}
