use std::time::Duration;

use jetiter::math;

use super::in_hand;
use super::{Runs, fetch, lines, submit, values};
use crate::collators::until_works;
use crate::harness::{Engine, eventually};

/// Longer than any test's patience: what waits for it fails.
const FOR_EVER: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_leaves_nothing_to_wait_for() {
    let engine = Engine::with(|settings| {
        settings.assets.ack_wait = FOR_EVER;
        settings.worker.concurrency = 2;
    })
    .await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let group = submit(&engine, "test.await_lines", runs.until(500, 3)).await;
    let first = engine.worker_process();
    // Two run, and wait for a third to begin: not in this process.
    runs.has_lines(2).await;
    eventually("two wait behind them", async || in_hand(&engine).await == 4).await;
    // The second one gets what the first one hands back, and lets it end.
    let (ended, _second) = tokio::join!(first.term(), async { engine.worker_process() });
    assert!(ended.success());
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(500));
    engine.is_clean().await;
    assert_eq!(runs.counts(500), [1; 500]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_in_full_flow_leaves_nothing_to_wait_for() {
    let engine = Engine::with(|settings| settings.assets.ack_wait = FOR_EVER).await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let group = submit(&engine, "test.append", runs.arguments(3_000)).await;
    for ran in [1, 500, 1_500] {
        let worker = engine.worker_process();
        runs.has_lines(ran).await;
        assert!(worker.term().await.success());
    }
    let _worker = engine.worker_process();
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(3_000));
    engine.is_clean().await;
    assert_eq!(runs.counts(3_000), [1; 3_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_told_to_stop_hands_its_lease_over_at_once() {
    let engine = Engine::with(|settings| settings.assets.lease = FOR_EVER).await;
    engine.worker(math::functions()).await;
    let first = engine.collator_process();
    let one = until_works(&engine, &None).await;
    let second = engine.collator_process();
    eventually("it stands by", async || second.log().contains("stands by")).await;
    assert!(first.term().await.success());
    until_works(&engine, &one).await;
    let group = submit(&engine, "math.floor", vec![1.5]).await;
    assert_eq!(values(fetch::<f64>(&engine, &group).await), [1.0]);
    engine.is_clean().await;
}
