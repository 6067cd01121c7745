use futures_util::FutureExt;
use jetiter::{FOREVER, GroupId, Options, Settings, math};
use serde_json::json;
use tokio::time::Duration;

use super::{fetch, result, values};
use crate::collators::until_works;
use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;
use crate::processes::Process;

const ITEMS: u32 = 500;

fn small(settings: &mut Settings) {
    settings.assets.lease = Duration::from_secs(1);
    // A list of some chunks, and records of more than two windows of them.
    settings.collator.chunk = 1024;
}

/// A collator that dies at these points and works, and one that stands by and is held there.
async fn doomed_and_standby(engine: &Engine, points: &str) -> (Process, Process) {
    let doomed = engine.process_until(&["collator"], points);
    until_works(engine, &None).await;
    let standby = engine.collator_process();
    eventually("it stands by", async || standby.log().contains("stands by")).await;
    standby.stop().await;
    (doomed, standby)
}

/// What is there of the group `g`.
async fn found(engine: &Engine) -> Vec<&'static str> {
    let ns = &engine.broker.namespace;
    let mut subjects = engine.cache_keys().await;
    subjects.extend(engine.subjects(&ns.items_stream(), ">").await);
    subjects.extend(engine.subjects(&ns.results_stream(), ">").await);
    let name = |name: &str| ns.object_subject(name);
    let known = [
        ("items", format!("{ns}.work.")),
        ("control", format!("{ns}.seal.g")),
        ("control", format!("{ns}.cancel.g")),
        ("outcomes", format!("$KV.{ns}-cache.item.g.")),
        ("done", format!("$KV.{ns}-cache.mark.g.done")),
        ("chunks", ns.chunk_subject("g.")),
        ("records", name("g.records")),
        ("list", name("g") + "\0"),
    ];
    let subjects: Vec<String> = subjects.into_iter().map(|subject| subject + "\0").collect();
    let there = |prefix: &String| subjects.iter().any(|subject| subject.starts_with(prefix));
    known.iter().filter(|(_, prefix)| there(prefix)).map(|(what, _)| *what).collect()
}

/// What lies there when the collator is dead: the sign that it died where it should.
#[track_caller]
fn check(found: &[&str], has: &[&str], lacks: &[&str]) {
    assert!(has.iter().all(|what| found.contains(what)), "{found:?} has {has:?}");
    assert!(!lacks.iter().any(|what| found.contains(what)), "{found:?} lacks {lacks:?}");
}

/// The group `g` is finished: exactly one result, each value once, cut where its last entry lay.
async fn is_right(engine: &Engine, items: u32) {
    let group: GroupId = "g".parse().unwrap();
    let fetched = fetch::<u32>(engine, &group).await;
    // The log holds nothing but one outcome an item and the seal, in whatever order.
    assert_eq!(fetched.summary.cut, u64::from(items) + 1);
    assert_eq!((fetched.summary.ok, fetched.summary.failed), (u64::from(items), 0));
    assert_eq!(values(fetched), (0..items).collect::<Vec<_>>());
    let plain = Plain::of(engine).await;
    plain.until_taken_in(engine).await;
    engine.is_clean().await;
    assert_eq!(found(engine).await, ["chunks", "records", "list"]);
}

async fn submit(engine: &Engine, items: u32) {
    let arguments = (0..items).map(|index| f64::from(index) + 0.5);
    let options = Options::new().group("g".parse().unwrap());
    within(engine.client.async_iter("math.floor", arguments, &options)).await.unwrap();
}

/// The working collator dies at these points; the one that stands by takes over and finishes.
async fn succeeded(change: fn(&mut Settings), points: &str, has: &[&str], lacks: &[&str]) {
    let engine = Engine::with(change).await;
    let (doomed, standby) = doomed_and_standby(&engine, points).await;
    engine.worker(math::functions()).await;
    let client = engine.client.clone();
    let waiting = tokio::spawn(async move {
        let group = "g".parse().unwrap();
        client.fetch::<u32>(&group, FOREVER).await
    });
    submit(&engine, ITEMS).await;
    assert!(!doomed.ended().await.success());
    check(&found(&engine).await, has, lacks);
    let committed = result(&engine, "g").await;
    standby.wake();
    let waited = within(waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(values(waited), (0..ITEMS).collect::<Vec<_>>());
    is_right(&engine, ITEMS).await;
    if has.contains(&"list") {
        // What is committed stays, message by message.
        assert!(result(&engine, "g").await.starts_with(&committed));
    }
    standby.term().await;
}

macro_rules! deaths {
    ($($name:ident: $points:literal, has $has:expr, lacks $lacks:expr;)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            succeeded(small, $points, &$has, &$lacks).await;
        }
    )* };
}

deaths! {
    killed_between_the_seals_mark_and_its_ack:
        "collator.marked=return(kill)", has ["control"], lacks [];
    killed_between_the_decision_and_the_first_chunk:
        "collator.decided=return(kill)", has ["outcomes"], lacks ["chunks"];
    killed_between_two_chunks:
        "collator.chunk=40*off->return(kill)", has ["outcomes", "chunks"], lacks ["list"];
    killed_between_the_last_chunk_and_the_commit:
        "collator.uploaded=return(kill)", has ["outcomes", "chunks"], lacks ["list"];
    killed_between_the_commit_and_the_records:
        "collator.committed=return(kill)", has ["outcomes", "list"], lacks ["records"];
    killed_between_the_records_and_the_done_mark:
        "collator.recorded=return(kill)", has ["outcomes", "list", "records"], lacks ["done"];
    killed_between_the_done_mark_and_the_notice:
        "collator.marked_done=return(kill)", has ["outcomes", "records", "done"], lacks [];
    killed_before_the_purge:
        "collator.purging=return(kill)", has ["outcomes", "records", "done"], lacks [];
    killed_after_the_purge:
        "collator.purged=return(kill)", has ["list", "records"], lacks ["outcomes"];
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_two_chunks_of_a_group_that_is_read_again() {
    let change = |settings: &mut Settings| {
        small(settings);
        settings.collator.buffer = 1;
    };
    let points = "collator.chunk=40*off->return(kill)";
    succeeded(change, points, &["outcomes", "chunks"], &["list"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_that_die_each_at_another_step_of_one_group() {
    let engine = Engine::with(small).await;
    engine.worker(math::functions()).await;
    submit(&engine, ITEMS).await;
    for (points, has, lacks) in [
        ("collator.chunk=40*off->return(kill)", "chunks", "list"),
        ("collator.uploaded=return(kill)", "chunks", "list"),
        ("collator.committed=return(kill)", "list", "records"),
        ("collator.recorded=return(kill)", "records", "done"),
    ] {
        let doomed = engine.process_until(&["collator"], points);
        assert!(!doomed.ended().await.success());
        check(&found(&engine).await, &["outcomes", has], &[lacks]);
    }
    let _collator = engine.collator_process();
    is_right(&engine, ITEMS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_end_of_a_cancelled_group_and_the_removal_of_its_items() {
    let engine = Engine::with(small).await;
    let plain = Plain::of(&engine).await;
    let (doomed, standby) = doomed_and_standby(&engine, "collator.ended=return(kill)").await;
    plain.stored(&plain.key("item.g.0"), &[], "7").await;
    plain.items("g", 1..100).await;
    let mut events = plain.events("g").await;
    plain.stored(&format!("{}.cancel.g", plain.ns), &[], "").await;
    assert!(!doomed.ended().await.success());
    check(&found(&engine).await, &["items", "control", "outcomes"], &[]);
    standby.wake();
    assert_eq!(plain.list("g").await, [7]);
    events.expect("done", &["cancelled"]).await;
    plain.until_taken_in(&engine).await;
    engine.is_clean().await;
    let metadata = plain.metadata("g").await;
    assert_eq!((&*metadata["state"], &*metadata["cut"]), ("cancelled", "2"));
    assert_eq!(plain.records("g").await[0]["index"], json!(0));
    let more = events.next().now_or_never();
    assert_eq!(more, None, "the cancel that comes again is no news");
    assert_eq!(found(&engine).await, ["chunks", "records", "list"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_knows_a_part_of_the_group_finishes_its_result() {
    let engine = Engine::with(small).await;
    engine.worker(math::functions()).await;
    let doomed = engine.process_until(&["collator"], "collator.committed=return(kill)");
    submit(&engine, ITEMS).await;
    assert!(!doomed.ended().await.success());
    check(&found(&engine).await, &["list"], &["records"]);
    // As in the middle of a replay: it looks for a result before it has read everything.
    let cache = engine.broker.namespace.cache_stream();
    let one = format!("$KV.{}-cache.item.g.7", engine.settings.namespace);
    assert_eq!(engine.broker.purge(&cache, Some(&one), None).await.unwrap(), 1);
    let _collator = engine.collator_process();
    is_right(&engine, ITEMS).await;
}
