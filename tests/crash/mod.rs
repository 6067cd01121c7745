//! Real processes that die or sleep between two given lines: nothing is lost, doubled or left
//! behind.

use jetiter::{FOREVER, Fetched, GroupId, Options};
use serde::de::DeserializeOwned;

use crate::harness::{Engine, eventually, within};

/// A worker dies, or sleeps until its group is long finished.
mod workers;
pub use workers::in_hand;

/// The collator that works dies between two of its steps, and another finishes.
mod collators;

/// Two collators work at once, each at a given step.
mod takeovers;

/// A client dies while it submits.
mod clients;

/// Functions that take their process with them, or hold it up.
mod poison;

/// Orderly stops keep nobody waiting.
mod stops;

/// Workers die or stop in the middle of a chunk.
mod chunks;

/// A file that `test.append` and others write to: which items were run, and how often.
struct Runs(tempfile::NamedTempFile);

impl Runs {
    fn new() -> Runs {
        Runs(tempfile::NamedTempFile::new().unwrap())
    }

    fn path(&self) -> String {
        self.0.path().to_str().unwrap().to_owned()
    }

    /// Arguments of `test.append`.
    fn arguments(&self, items: u32) -> Vec<(String, String)> {
        (0..items).map(|index| (self.path(), index.to_string())).collect()
    }

    /// Arguments of a function that waits until the file has so many lines.
    fn until(&self, items: u32, lines: usize) -> Vec<(String, String, usize)> {
        (0..items).map(|index| (self.path(), index.to_string(), lines)).collect()
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.path()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// How often each item was run.
    fn counts(&self, items: u32) -> Vec<usize> {
        let lines = self.lines();
        let count = |index: u32| lines.iter().filter(|line| **line == index.to_string()).count();
        (0..items).map(count).collect()
    }

    fn add(&self, line: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.0.path()).unwrap();
        std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
    }

    async fn has_lines(&self, lines: usize) {
        eventually("so many were run", async || self.lines().len() >= lines).await;
    }
}

async fn submit<A: serde::Serialize>(engine: &Engine, function: &str, items: Vec<A>) -> GroupId {
    let options = Options::new();
    within(engine.client.async_iter(function, items, &options)).await.unwrap()
}

async fn fetch<T: DeserializeOwned>(engine: &Engine, group: &GroupId) -> Fetched<T> {
    within(engine.client.fetch(group, FOREVER)).await.unwrap().unwrap()
}

/// The values in the order of their arguments: none has failed, and each has its record.
fn values<T>(fetched: Fetched<T>) -> Vec<T> {
    assert_eq!(fetched.records.len(), fetched.list.len());
    fetched.into_ordered().into_iter().map(|(_, value)| value.unwrap()).collect()
}

/// The values of `test.append`: the lines.
fn lines(items: u32) -> Vec<String> {
    (0..items).map(|index| index.to_string()).collect()
}

/// The messages of a group's result, where they lie: the same before and after, it was not touched.
async fn result(engine: &Engine, group: &str) -> Vec<(u64, String)> {
    let ns = &engine.broker.namespace;
    let (list, records) =
        (ns.object_subject(group), ns.object_subject(&format!("{group}.records")));
    let chunks = ns.chunk_subject(&format!("{group}."));
    let stream = engine.broker.jetstream.get_stream(ns.results_stream()).await.unwrap();
    let state = stream.cached_info().state.clone();
    let mut found = Vec::new();
    for seq in state.first_sequence..=state.last_sequence {
        let Ok(message) = stream.get_raw_message(seq).await else { continue };
        let subject = message.subject.to_string();
        if subject == list || subject == records || subject.starts_with(&chunks) {
            found.push((seq, subject));
        }
    }
    found
}
