//! The figures of a run, as a table and as a line of JSON.

use std::collections::BTreeMap;
use std::fmt;

use jetiter::{ErrorKind, Fetched, State};
use serde::Serialize;
use serde_json::Value;

use crate::group::Way;

#[derive(Default, Serialize)]
pub struct Account {
    pub seed: u64,
    pub nodes: usize,
    pub seconds: u64,
    pub faults: BTreeMap<String, u32>,
    pub groups: BTreeMap<Way, u32>,
    /// Groups without a result.
    pub unfinished: u32,
    /// How many groups ended before they were complete, by a cancel.
    pub cancelled: u32,
    /// How long it took until all groups were finished, when the faults were over.
    pub settled_ms: u64,
    /// Items in the lists.
    pub items: u64,
    pub values: u64,
    pub errors: u64,
    pub lost: u64,
    /// Items that were submitted once, whose runs are counted, and how often they were run.
    pub counted: u64,
    pub runs: u64,
    pub most_runs: u32,
    pub left_in_cache: usize,
    pub left_in_items: usize,
    pub orphan_chunks: usize,
    pub wrong: Vec<String>,
}

impl Account {
    /// Adds a finished group.
    pub fn add(&mut self, fetched: &Fetched<Value>) {
        let summary = &fetched.summary;
        self.cancelled += u32::from(summary.state == State::Cancelled);
        self.items += summary.len();
        self.values += summary.ok;
        self.errors += summary.failed;
        let errors = fetched.records.iter().filter_map(|record| record.error.as_ref());
        self.lost += errors.filter(|error| error.kind == ErrorKind::Lost).count() as u64;
    }

    /// Adds how often an item was run.
    pub fn add_runs(&mut self, runs: u32) {
        self.counted += 1;
        self.runs += u64::from(runs);
        self.most_runs = self.most_runs.max(runs);
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "  {name:<34} {value:>8}");
        for (fault, times) in &self.faults {
            row(fault, times)?;
        }
        for (way, groups) in &self.groups {
            row(&format!("groups: {}", way.name()), groups)?;
        }
        row("groups cut short by their cancel", &self.cancelled)?;
        row("groups without a result", &self.unfinished)?;
        row("all finished after peace, ms", &self.settled_ms)?;
        row("items in the lists", &self.items)?;
        row("values", &self.values)?;
        row("errors that were expected", &(self.errors - self.lost))?;
        row("items lost", &self.lost)?;
        row("items whose runs are counted", &self.counted)?;
        row("runs more than one each", &self.runs.saturating_sub(self.counted))?;
        row("most runs of one item", &self.most_runs)?;
        row("left in the cache", &self.left_in_cache)?;
        row("left in the items stream", &self.left_in_items)?;
        row("orphan chunks", &self.orphan_chunks)?;
        row("wrong", &self.wrong.len())
    }
}
