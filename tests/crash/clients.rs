use std::io::Write;
use std::time::Duration;

use jetiter::{FOREVER, GroupId, State};
use serde_json::Value;

use super::{Runs, fetch, lines, result, values};
use crate::harness::{Engine, within};

const ITEMS: u32 = 20;

/// The command `jetiter map` of one group, and its arguments in a file.
struct Map {
    runs: Runs,
    from: tempfile::NamedTempFile,
}

impl Map {
    fn new() -> Map {
        let runs = Runs::new();
        let mut from = tempfile::NamedTempFile::new().unwrap();
        for argument in runs.arguments(ITEMS) {
            writeln!(from, "{}", serde_json::to_string(&argument).unwrap()).unwrap();
        }
        Map { runs, from }
    }

    /// Runs it until it ends by itself or dies at these points; whether it says that all is well.
    async fn run(&self, engine: &Engine, points: &str) -> bool {
        let from = self.from.path().to_str().unwrap();
        let arguments = ["map", "test.append", "--from", from, "--group", "mine", "--detach"];
        // Few in flight: it dies when a few are stored, not all.
        let environment = [("FAILPOINTS", points), ("JETITER_SUBMIT__WINDOW", "4")];
        within(engine.process_with(&arguments, &environment).ended()).await.success()
    }
}

fn group() -> GroupId {
    "mine".parse().unwrap()
}

/// How many items wait for a worker.
async fn waiting(engine: &Engine) -> usize {
    let items = engine.broker.namespace.items_stream();
    let info = engine.broker.stream_info(&items, None).await.unwrap();
    info.state.messages as usize
}

/// A submission that dies and is made again with the same id. How often each item was run.
async fn taken_up(points: &str) -> (usize, Vec<usize>) {
    let engine = Engine::bare().await;
    let map = Map::new();
    assert!(!map.run(&engine, points).await);
    let stored = waiting(&engine).await;
    assert!(map.run(&engine, "").await);
    let _collator = engine.collator_process();
    let _worker = engine.worker_process();
    assert_eq!(values(fetch::<String>(&engine, &group()).await), lines(ITEMS));
    engine.is_clean().await;
    (stored, map.runs.counts(ITEMS))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_while_it_publishes_is_taken_up() {
    let (stored, counts) = taken_up("client.stored=5*off->return(kill)").await;
    assert!((6..=10).contains(&stored), "{stored}");
    // Those that were stored twice are handed out twice: the outcome is written once.
    let once_more = (0..ITEMS as usize).map(|index| 1 + usize::from(index < stored));
    assert_eq!(counts, once_more.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_before_the_seal_is_taken_up() {
    let (stored, counts) = taken_up("client.sealing=return(kill)").await;
    assert_eq!((stored, counts), (20, vec![2; 20]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_after_the_seal_is_not_needed_any_more() {
    let engine = Engine::bare().await;
    let map = Map::new();
    let _collator = engine.collator_process();
    let _worker = engine.worker_process();
    assert!(!map.run(&engine, "client.sealed=return(kill)").await);
    assert_eq!(values(fetch::<String>(&engine, &group()).await), lines(ITEMS));
    engine.is_clean().await;
    let before = result(&engine, "mine").await;
    // Its user sees a submission that broke off, and makes it again.
    assert!(!map.run(&engine, "").await, "it is refused");
    engine.is_clean().await;
    assert_eq!(result(&engine, "mine").await, before);
    assert_eq!(map.runs.counts(ITEMS), [1; 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_while_it_publishes_and_never_taken_up_is_abandoned() {
    let engine = Engine::with(|settings| {
        settings.collator.abandon_after = Duration::from_secs(1);
    })
    .await;
    let map = Map::new();
    assert!(!map.run(&engine, "client.stored=5*off->return(kill)").await);
    let stored = waiting(&engine).await as u32;
    let _collator = engine.collator_process();
    let _worker = engine.worker_process();
    let fetched = within(engine.client.fetch::<Value>(&group(), FOREVER)).await.unwrap().unwrap();
    assert_eq!((fetched.summary.state, fetched.summary.total), (State::Abandoned, None));
    assert_eq!(values(fetched), lines(stored));
    engine.is_clean().await;
    assert_eq!(map.runs.counts(stored), vec![1; stored as usize]);
}
