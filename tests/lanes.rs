//! Small groups beside giant ones, and what holds for every lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jetiter::{FOREVER, Functions, GroupId, Options};
use tokio::sync::Semaphore;

use crate::crash::in_hand;
use crate::harness::{Engine, eventually, lane_of, within};
use crate::plain::Plain;

/// Calls of `step`: how many have begun, and how many may end.
#[derive(Clone)]
struct Steps {
    begun: Arc<AtomicUsize>,
    through: Arc<Semaphore>,
}

impl Steps {
    fn of(through: usize) -> Steps {
        Steps { begun: Arc::default(), through: Arc::new(Semaphore::new(through)) }
    }

    fn functions(&self) -> Functions {
        let steps = self.clone();
        Functions::new().function("step", move |n: u32| {
            let Steps { begun, through } = steps.clone();
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                through.acquire().await.unwrap().forget();
                n
            }
        })
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    async fn until_begun(&self, times: usize) {
        eventually("so many have begun", async || self.begun() >= times).await;
    }
}

async fn submit(engine: &Engine, group: &GroupId, items: u32) {
    let options = Options::new().group(group.clone());
    within(engine.client.async_iter("step", 0..items, &options)).await.unwrap();
}

async fn is_right(engine: &Engine, group: &GroupId, items: usize) {
    let list: Option<Vec<u32>> = within(engine.client.result(group, FOREVER)).await.unwrap();
    let mut list = list.unwrap();
    list.sort();
    assert!(list.into_iter().eq(0..items as u32), "{group}");
}

/// An id that the server puts into this lane.
fn id_in(lane: u32, name: &str) -> GroupId {
    let mut ids = (0..).map(|n| format!("{name}{n}"));
    ids.find(|id| lane_of(id) == lane).unwrap().parse().unwrap()
}

/// The giant's id hashes to lane 3. Says how many items the one slot had begun when the three of
/// the small group had their outcomes.
async fn begun_until_a_small_group_is_done(lane: u32) -> usize {
    let engine = Engine::with(|settings| settings.worker.concurrency = 1).await;
    let (giant, small) = (id_in(3, "giant"), id_in(lane, "small"));
    submit(&engine, &giant, 4_000).await;
    // Its first thousand items are over after these: only the mass is left.
    let steps = Steps::of(2_100);
    engine.worker(steps.functions()).await;
    steps.until_begun(2_101).await;
    submit(&engine, &small, 3).await;
    let outcomes = format!("-cache.item.{small}.");
    let is_done = async || {
        let keys = engine.cache_keys().await;
        keys.iter().filter(|key| key.contains(&outcomes)).count() == 3
    };
    while !is_done().await {
        let begun = steps.begun();
        assert!(begun < 3_999, "only behind the giant");
        steps.through.add_permits(1);
        steps.until_begun(begun + 1).await;
    }
    let begun = steps.begun();
    engine.collator().await;
    steps.through.add_permits(4_000);
    is_right(&engine, &small, 3).await;
    is_right(&engine, &giant, 4_000).await;
    engine.is_clean().await;
    begun - 2_101
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_group_passes_a_giant() {
    let steps = begun_until_a_small_group_is_done(5).await;
    assert!(steps <= 100, "{steps}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_group_passes_a_giant_also_when_both_hash_to_one_lane() {
    let steps = begun_until_a_small_group_is_done(3).await;
    assert!(steps <= 100, "{steps}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_no_more_of_a_slow_function_than_it_can_begin_soon() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 2).await;
    let group = id_in(0, "g");
    submit(&engine, &group, 900).await;
    let (first, second) = (Steps::of(0), Steps::of(900));
    engine.worker(first.functions()).await;
    first.until_begun(2).await;
    eventually("two wait behind them", async || in_hand(&engine).await == 4).await;
    // All others are there for whoever comes later.
    engine.worker(second.functions()).await;
    second.until_begun(896).await;
    assert_eq!(first.begun(), 2);
    first.through.add_permits(4);
    engine.collator().await;
    is_right(&engine, &group, 900).await;
    engine.is_clean().await;
}

/// One item in each lane, as a plain client can publish them.
async fn one_in_each_lane(plain: &Plain) {
    for lane in 0..8 {
        let group = id_in(lane, "g");
        let headers = [("Jetiter-Index", "0")];
        plain.item(group.as_str(), "step", &headers, "0").await;
        plain.seal(group.as_str(), &[], "1").await;
    }
    for lane in [8, 9] {
        let subject = format!("{}.work.default.{lane}.long{lane}.step", plain.ns);
        plain.stored(&subject, &[("Jetiter-Index", "0")], "0").await;
        plain.seal(&format!("long{lane}"), &[], "1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_back_the_items_of_all_lanes() {
    let engine = Engine::with(|settings| {
        settings.assets.ack_wait = Duration::from_secs(600);
        settings.worker.concurrency = 5;
    })
    .await;
    let plain = Plain::of(&engine).await;
    one_in_each_lane(&plain).await;
    let (first, second) = (Steps::of(0), Steps::of(10));
    let worker = engine.worker(first.functions()).await;
    first.until_begun(5).await;
    eventually("each lane's is in hand", async || in_hand(&engine).await == 10).await;
    tokio::join!(worker.stop(), async {
        engine.worker(second.functions()).await;
        second.until_begun(5).await;
        first.through.add_permits(5);
    });
    engine.collator().await;
    for group in ["long8", "long9"] {
        assert_eq!(plain.list(group).await, [0]);
    }
    engine.is_clean().await;
    assert_eq!([first.begun(), second.begun()], [5, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_group_is_removed_from_all_lanes() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    engine.collator().await;
    let group = id_in(2, "g");
    submit(&engine, &group, 1_500).await;
    let subject = format!("{}.work.default.9.{group}.step", plain.ns);
    plain.stored(&subject, &[("Jetiter-Index", "100000")], "0").await;
    let items = engine.broker.namespace.items_stream();
    let lanes = engine.subjects(&items, &format!("{}.work.>", plain.ns)).await;
    let place = |lane: u32| format!("{}.work.default.{lane}.{group}.step", plain.ns);
    assert!([2, 8, 9].into_iter().all(|lane| lanes.contains(&place(lane))), "{lanes:?}");
    plain.stored(&format!("{}.cancel.{group}", plain.ns), &[], "").await;
    eventually("it has ended", async || plain.object(group.as_str()).await.is_some()).await;
    assert_eq!(plain.metadata(group.as_str()).await["state"], "cancelled");
    engine.is_clean().await;
}
