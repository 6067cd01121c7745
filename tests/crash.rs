//! Processes that die between two given lines: nothing is lost, doubled or left behind.

use jetiter::{FOREVER, GroupId, Options, Settings};
use serde_json::Value;

use crate::harness::{Engine, within};

async fn with(change: impl FnOnce(&mut Settings)) -> Engine {
    Engine::with(change).await
}

/// A file that `test.append` writes to: which items were run, and how often.
struct Runs(tempfile::NamedTempFile);

impl Runs {
    fn new() -> Runs {
        Runs(tempfile::NamedTempFile::new().unwrap())
    }

    fn arguments(&self, items: u32) -> Vec<(String, String)> {
        let path = self.0.path().to_str().unwrap();
        (0..items).map(|index| (path.to_owned(), index.to_string())).collect()
    }

    /// How often each item was run.
    fn counts(&self, items: u32) -> Vec<usize> {
        let text = std::fs::read_to_string(self.0.path()).unwrap();
        let count = |index: u32| text.lines().filter(|line| *line == index.to_string()).count();
        (0..items).map(count).collect()
    }
}

async fn submit(engine: &Engine, runs: &Runs, items: u32) -> GroupId {
    let options = Options::new();
    let submitted = engine.client.async_iter("test.append", runs.arguments(items), &options);
    within(submitted).await.unwrap()
}

/// One value for each item, and nothing left but the result.
async fn is_whole(engine: &Engine, group: &GroupId, items: u32) {
    let fetched = within(engine.client.fetch::<Value>(group, FOREVER)).await.unwrap().unwrap();
    assert_eq!(fetched.records.len(), items as usize);
    let ordered = fetched.into_ordered().into_iter();
    let values: Vec<Value> = ordered.map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, (0..items).map(|i| Value::from(i.to_string())).collect::<Vec<_>>());
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_put_and_the_ack_costs_no_second_run() {
    let engine = with(|settings| settings.worker.concurrency = 1).await;
    let _collator = engine.collator_process();
    let runs = Runs::new();
    let doomed =
        engine.process_until(&["worker", "--test-functions"], "worker.stored=return(kill)");
    // One: a second one may have been run, and not stored yet, when the first is stored.
    let group = submit(&engine, &runs, 1).await;
    assert!(!doomed.ended().await.success());
    let _worker = engine.worker_process();
    is_whole(&engine, &group, 1).await;
    assert_eq!(runs.counts(1), [1]);
}
