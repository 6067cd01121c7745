use std::time::Duration;

use futures_util::TryStreamExt;

use super::{Runs, fetch, lines, result, submit, values};
use crate::duplicates::log_end;
use crate::harness::{Engine, eventually};
use crate::plain::Plain;
use crate::processes::Process;

/// One at a time: which item dies, and which ran before, is exact.
async fn one_at_a_time() -> Engine {
    Engine::with(|settings| settings.worker.concurrency = 1).await
}

fn doomed(engine: &Engine, points: &str) -> Process {
    engine.process_until(&["worker", "--test-functions"], points)
}

/// A worker dies alone at the first of 20 items; another one comes. How often each was run.
async fn runs_when_it_dies_at(point: &str) -> Vec<usize> {
    let engine = one_at_a_time().await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let dead = doomed(&engine, &format!("{point}=return(kill)"));
    let group = submit(&engine, "test.append", runs.arguments(20)).await;
    assert!(!dead.ended().await.success());
    let _worker = engine.worker_process();
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(20));
    engine.is_clean().await;
    let mut counts = runs.counts(20);
    counts.sort();
    counts
}

/// How many items are in the hands of the workers.
pub async fn in_hand(engine: &Engine) -> usize {
    let items = engine.broker.namespace.items_stream();
    let stream = engine.broker.jetstream.get_stream(items).await.unwrap();
    let consumers: Vec<_> = stream.consumers().try_collect().await.unwrap();
    let workers = consumers.iter().filter(|consumer| consumer.name.starts_with("worker-"));
    workers.map(|consumer| consumer.num_ack_pending).sum()
}

/// How many pulls wait for items.
pub(super) async fn pulls(engine: &Engine) -> usize {
    let items = engine.broker.namespace.items_stream();
    let stream = engine.broker.jetstream.get_stream(items).await.unwrap();
    let consumers: Vec<_> = stream.consumers().try_collect().await.unwrap();
    let workers = consumers.iter().filter(|consumer| consumer.name.starts_with("worker-"));
    workers.map(|consumer| consumer.num_waiting).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_before_it_begins_runs_nothing() {
    assert_eq!(runs_when_it_dies_at("worker.taken").await, [1; 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_as_it_begins_runs_nothing() {
    assert_eq!(runs_when_it_dies_at("worker.begun").await, [1; 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_run_and_the_put_costs_one_second_run() {
    let mut once_more = [1; 20];
    once_more[19] = 2;
    assert_eq!(runs_when_it_dies_at("worker.ran").await, once_more);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_put_and_the_ack_costs_no_second_run() {
    let engine = one_at_a_time().await;
    let (runs, plain) = (Runs::new(), Plain::of(&engine).await);
    let _collator = engine.collator_process();
    let dead = doomed(&engine, "worker.stored=5*off->return(kill)");
    for (index, argument) in runs.arguments(20).iter().enumerate() {
        let headers = [("Jetiter-Index", &*index.to_string())];
        plain.item("g", "test.append", &headers, serde_json::to_vec(argument).unwrap()).await;
    }
    assert!(!dead.ended().await.success());
    // The group is not sealed, so all that was stored is still there.
    let stored = engine.cache_keys().await;
    let is_stored = |index: &usize| stored.iter().any(|key| key.ends_with(&format!(".{index}")));
    let stored: Vec<usize> = (0..20).filter(is_stored).collect();
    assert!(stored.len() >= 6, "{stored:?}");
    let _worker = engine.worker_process();
    eventually("all are stored", async || engine.cache_keys().await.len() >= 20).await;
    eventually("all are acknowledged", async || in_hand(&engine).await == 0).await;
    plain.seal("g", &[], "20").await;
    assert_eq!(values(fetch::<String>(&engine, &"g".parse().unwrap()).await), lines(20));
    engine.is_clean().await;
    let counts = runs.counts(20);
    // What ran beside the fatal put is not stored and runs again; no other does.
    assert!(stored.iter().all(|index| counts[*index] == 1), "{stored:?}: {counts:?}");
    assert!(counts.iter().all(|count| [1, 2].contains(count)), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_after_a_counted_begin_runs_nothing() {
    let engine = Engine::with(|s| s.assets.ack_wait = Duration::from_secs(1)).await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let group = submit(&engine, "test.append", runs.arguments(1)).await;
    // From the third delivery on begins are counted.
    for point in ["worker.taken", "worker.taken", "worker.counted"] {
        let dead = doomed(&engine, &format!("{point}=return(kill)"));
        assert!(!dead.ended().await.success());
    }
    assert_eq!(engine.cache_keys().await.len(), 2, "a seal and a counted begin");
    let _worker = engine.worker_process();
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(1));
    engine.is_clean().await;
    assert_eq!(runs.counts(1), [1]);
}

/// Its only item says that it runs, and waits for a second run to say so too.
async fn killed_while_it_runs(function: &str) {
    let engine = one_at_a_time().await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let worker = engine.worker_process();
    let group = submit(&engine, function, runs.until(1, 2)).await;
    runs.has_lines(1).await;
    worker.kill().await;
    let _worker = engine.worker_process();
    let fetched = fetch::<String>(&engine, &group).await;
    assert_eq!(fetched.records[0].attempts, 2);
    assert_eq!(values(fetched), lines(1));
    engine.is_clean().await;
    assert_eq!(runs.counts(1), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_a_function_waits() {
    killed_while_it_runs("test.await_lines").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_a_function_blocks() {
    killed_while_it_runs("test.block_lines").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_with_others_in_hand_costs_one_second_run() {
    let engine = one_at_a_time().await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let group = submit(&engine, "test.await_lines", runs.until(500, 2)).await;
    let worker = engine.worker_process();
    runs.has_lines(1).await;
    eventually("one waits behind it", async || in_hand(&engine).await == 2).await;
    worker.kill().await;
    let _worker = engine.worker_process();
    let fetched = fetch::<String>(&engine, &group).await;
    assert_eq!(fetched.records.iter().filter(|record| record.attempts == 2).count(), 2);
    assert_eq!(values(fetched), lines(500));
    engine.is_clean().await;
    assert_eq!(runs.lines().len(), 501);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_sleeps_past_its_groups_end_changes_nothing() {
    let engine = one_at_a_time().await;
    let plain = Plain::of(&engine).await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let sleeper = doomed(&engine, "worker.ran=1*return(stop)");
    let group = submit(&engine, "test.append", runs.arguments(20)).await;
    sleeper.is_stopped().await;
    let _worker = engine.worker_process();
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(20));
    engine.is_clean().await;
    let before = result(&engine, group.as_str()).await;
    let end = log_end(&plain).await;
    sleeper.wake();
    // It stores what it had in hand: too late.
    runs.has_lines(20 + 1).await;
    eventually("it comes late", async || log_end(&plain).await > end).await;
    engine.is_clean().await;
    assert_eq!(result(&engine, group.as_str()).await, before);
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(20));
    assert!(sleeper.term().await.success());
}
