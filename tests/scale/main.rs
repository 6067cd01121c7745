//! Many groups at once, mixed in the log as they come: all end, and the cache is emptied. A binary
//! of its own, since it leaves no room beside it: run by itself, one test after the other.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, unreachable_pub)]

#[allow(dead_code)]
#[path = "../harness.rs"]
mod harness;
#[allow(dead_code)]
#[path = "../processes.rs"]
mod processes;

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jetiter::{FOREVER, GroupId, State};
use jetiter_config::wire;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::harness::{Engine, eventually, within};

/// How many publishes are under way.
const WINDOW: usize = 500;

/// Publishes items of `math.floor`, each as (group, index), many in flight.
async fn publish(engine: &Engine, items: impl Iterator<Item = (String, u32)>) {
    let publish = async |(group, index): (String, u32)| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(wire::INDEX, index.to_string());
        let subject = format!("{}.item.default.{group}.math.floor", engine.settings.namespace);
        let argument = format!("{index}.5").into();
        engine.broker.store(subject, headers, argument).await.map_err(|error| format!("{error:?}"))
    };
    let stored = stream::iter(items).map(publish).buffer_unordered(WINDOW);
    stored.try_collect::<Vec<u64>>().await.unwrap();
}

async fn seal(engine: &Engine, groups: impl Iterator<Item = String>, total: u32) {
    let seal = async |group: String| {
        let subject = format!("{}.seal.{group}", engine.settings.namespace);
        let headers = async_nats::HeaderMap::new();
        let total = total.to_string().into();
        engine.broker.store(subject, headers, total).await.map_err(|error| format!("{error:?}"))
    };
    let stored = stream::iter(groups).map(seal).buffer_unordered(WINDOW);
    stored.try_collect::<Vec<u64>>().await.unwrap();
}

/// How many groups have a result.
async fn finished(engine: &Engine) -> u32 {
    let ns = &engine.broker.namespace;
    let objects = format!("$O.{}.M.>", ns.results_bucket());
    // A list and its records each.
    engine.subjects(&ns.results_stream(), &objects).await.len() as u32 / 2
}

/// Waits until every group has a result, telling when each quarter of them has, and reads some.
async fn are_whole(engine: &Engine, groups: u32, items: u32) {
    for quarter in 1..=4 {
        let began = Instant::now();
        let wanted = groups / 4 * quarter;
        let enough = async || {
            // The answer names every object: asked all the time it would be most of the load.
            sleep(Duration::from_millis(500)).await;
            finished(engine).await >= wanted
        };
        eventually("a quarter more has a result", enough).await;
        println!("{wanted} of {groups} groups have a result, after {:.1?} more", began.elapsed());
    }
    for group in (0..groups).step_by(97) {
        let group: GroupId = format!("g{group}").parse().unwrap();
        let list = within(engine.client.result::<u32>(&group, FOREVER)).await.unwrap().unwrap();
        let seen: HashSet<u32> = list.into_iter().collect();
        assert_eq!(seen, (0..items).collect());
    }
    engine.is_clean().await;
}

/// Every group gets its first item, then every group its second one, and so on; the seals come
/// last, so that all groups live at once.
async fn mixed(groups: u32, items: u32) {
    let _alone = ALONE.lock().await;
    let engine = Engine::bare().await;
    let _worker = engine.worker_process();
    let _collator = engine.collator_process();
    let name = |group| format!("g{group}");
    let all = (0..items).flat_map(|index| (0..groups).map(move |group| (name(group), index)));
    publish(&engine, all).await;
    seal(&engine, (0..groups).map(name), items).await;
    are_whole(&engine, groups, items).await;
}

/// One at a time, however many threads there are.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_mixed_groups_of_two_hundred() {
    mixed(1_000, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_groups_live_at_once() {
    mixed(10_000, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seals_that_waited_for_a_collator_are_not_overtaken_by_abandonment() {
    let _alone = ALONE.lock().await;
    let engine =
        Engine::with(|settings| settings.collator.abandon_after = Duration::from_secs(1)).await;
    let _worker = engine.worker_process();
    let (groups, name) = (5_000, |group| format!("g{group}"));
    publish(&engine, (0..groups).map(|group| (name(group), 0))).await;
    seal(&engine, (0..groups).map(name), 1).await;
    let cache = engine.broker.namespace.cache_stream();
    let stored = async || engine.broker.stream_info(&cache, None).await.unwrap().state.messages;
    eventually("all outcomes are stored", async || stored().await == u64::from(groups)).await;
    let last = engine.broker.stream_info(&cache, None).await.unwrap();
    let silent = async || {
        let now = engine.broker.stream_info(&cache, None).await.unwrap().ts;
        seconds(&now) > seconds(&last.ts) + 1
    };
    eventually("all have been silent for too long", silent).await;
    let _collator = engine.collator_process();
    are_whole(&engine, groups, 1).await;
    for group in (0..groups).step_by(7) {
        let group: GroupId = name(group).parse().unwrap();
        let raw = engine.client.read(&group, Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(raw.summary.state, State::Complete, "{group}");
    }
}

/// A time as the server tells it, in seconds since 1970.
fn seconds(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_second()
}
