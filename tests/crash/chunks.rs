use std::time::Duration;

use jetiter::{Chunk, ErrorKind, GroupId, Options};
use serde_json::Value;

use super::{Runs, fetch, lines, values};
use crate::harness::{Engine, eventually, within};

async fn submit<A: serde::Serialize>(
    engine: &Engine,
    function: &str,
    arguments: Vec<A>,
    chunk: u32,
) -> GroupId {
    let options = Options::new().chunk(Chunk::of(chunk));
    within(engine.client.async_iter(function, arguments, &options)).await.unwrap()
}

fn one_at_a_time(settings: &mut jetiter::Settings) {
    settings.assets.ack_wait = Duration::from_secs(1);
    settings.worker.concurrency = 1;
    settings.worker.begins = 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_the_middle_of_a_chunk_costs_no_second_run_of_what_is_stored() {
    let engine = Engine::with(one_at_a_time).await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    // The sixth one waits for as many lines as only a second run of it makes.
    let mut arguments = runs.until(10, 0);
    arguments[5].2 = 7;
    let group = submit(&engine, "test.await_lines", arguments, 10).await;
    let first = engine.worker_process();
    runs.has_lines(6).await;
    let missing = async || engine.client.missing(&group).await.unwrap();
    eventually("a part is stored", async || missing().await == [5, 6, 7, 8, 9]).await;
    first.kill().await;
    let _second = engine.worker_process();
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(10));
    engine.is_clean().await;
    assert_eq!(runs.counts(10), [1, 1, 1, 1, 1, 2, 1, 1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_put_of_a_chunk_and_its_ack_costs_no_second_run() {
    let engine = Engine::with(one_at_a_time).await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    // Two chunks, or the group would be complete, and nothing left that could be found.
    let group = submit(&engine, "test.append", runs.arguments(20), 10).await;
    let dies = engine.process_until(&["worker", "--test-functions"], "worker.stored=return(kill)");
    assert!(!dies.ended().await.success());
    // One chunk, or on a slow machine a part of it.
    let missing = async || engine.client.missing(&group).await.unwrap();
    let is_done = async || {
        let found = engine.client.result::<Value>(&group, Duration::ZERO).await;
        found.unwrap().is_some()
    };
    // Nothing is missing where the other chunk was stored in the same moment.
    let known = async || !missing().await.is_empty() || is_done().await;
    eventually("it is known what is missing", known).await;
    let missing = missing().await;
    let stored: Vec<u32> = (0..20).filter(|index| !missing.contains(index)).collect();
    assert!(!stored.is_empty());
    let _second = engine.worker_process();
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(20));
    engine.is_clean().await;
    let counts = runs.counts(20);
    assert!(stored.iter().all(|index| counts[*index as usize] == 1), "{stored:?} {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_in_the_middle_of_a_chunk_hands_back_the_rest() {
    let engine = Engine::with(|settings| {
        one_at_a_time(settings);
        settings.assets.ack_wait = Duration::from_secs(600);
    })
    .await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let mut arguments = runs.until(10, 0);
    arguments[5].2 = 7;
    let group = submit(&engine, "test.await_lines", arguments, 10).await;
    let first = engine.worker_process();
    runs.has_lines(6).await;
    // What runs may end: somebody adds the line that it waits for, once the worker knows of its stop.
    let (ended, ()) = tokio::join!(first.term(), async {
        let pulls = async || super::workers::pulls(&engine).await;
        eventually("it pulls no more", async || pulls().await == 0).await;
        runs.add("one more");
    });
    assert!(ended.success());
    assert_eq!(engine.client.missing(&group).await.unwrap(), [6, 7, 8, 9]);
    let _second = engine.worker_process();
    assert_eq!(values(fetch::<String>(&engine, &group).await), lines(10));
    engine.is_clean().await;
    assert_eq!(runs.counts(10), [1; 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_argument_ends_alone_as_lost() {
    let engine = Engine::with(one_at_a_time).await;
    let runs = Runs::new();
    let _collator = engine.collator_process();
    let mut arguments = runs.arguments(30);
    arguments[11].1 = "poison".to_owned();
    let group = submit(&engine, "test.poison", arguments, 10).await;
    let workers = async {
        loop {
            assert!(!engine.worker_process().ended().await.success());
        }
    };
    let fetched = tokio::select! {
        fetched = fetch::<Value>(&engine, &group) => fetched,
        () = workers => unreachable!(),
    };
    assert_eq!((fetched.summary.ok, fetched.summary.failed), (29, 1));
    for (index, (_, value)) in fetched.into_ordered().into_iter().enumerate() {
        match index {
            11 => assert_eq!(value.unwrap_err().kind, ErrorKind::Lost),
            _ => assert_eq!(value.unwrap(), index.to_string()),
        }
    }
    // Two in the chunk, one counted beside others, one alone.
    assert_eq!(runs.lines().iter().filter(|line| *line == "poison").count(), 4);
}
