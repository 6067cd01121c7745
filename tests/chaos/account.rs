//! The account of a run: every group, every item, everything that was left.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use futures_util::FutureExt;
use jetiter::{ErrorKind, Fetched};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::args::Args;
use crate::check;
use crate::group::{Group, Way, What};
use crate::load::Submitted;
use crate::stage::Stage;

/// The figures of one run.
#[derive(Serialize)]
pub struct Account {
    seed: u64,
    nodes: usize,
    seconds: u64,
    faults: BTreeMap<String, u32>,
    groups: BTreeMap<Way, u32>,
    /// How long it took until all groups were finished, when the faults were over.
    settled_after_ms: u64,
    items: u64,
    ok: u64,
    failed: u64,
    lost: u64,
    /// Items whose executions are counted, and how often they were run.
    counted_items: u64,
    counted_runs: u64,
    most_runs_of_one: u32,
    /// Groups without a result.
    unfinished: u32,
    left_in_cache: usize,
    left_in_items: usize,
    orphan_chunks: usize,
    pub wrong: Vec<String>,
}

impl Account {
    /// Waits until all is finished, or as long as is allowed, and counts.
    pub async fn of(args: &Args, stage: &Stage) -> Account {
        let began = Instant::now();
        let deadline = began + Duration::from_secs(args.settle);
        let mut account = Account::empty(args, stage);
        let groups = std::mem::take(&mut *stage.groups.lock().unwrap());
        let mut finished = Vec::new();
        for Submitted { group, mut reader } in groups {
            *account.groups.entry(group.way).or_default() += 1;
            match timeout_at(deadline, &mut reader).await {
                Ok(Ok(Ok(Some(fetched)))) => finished.push((group, fetched)),
                Ok(Ok(Ok(None))) => stage.journal.wrong(format!("{}: it is gone", group.id)),
                Ok(Ok(Err(error))) => stage.journal.wrong(format!("{}: {error}", group.id)),
                Ok(Err(panic)) => stage.journal.wrong(format!("{}: {panic}", group.id)),
                Err(_) => {
                    reader.abort();
                    account.unfinished += 1;
                    stage.journal.wrong(unfinished(stage, &group).await);
                }
            }
        }
        account.settled_after_ms = began.elapsed().as_millis() as u64;
        for (group, fetched) in &finished {
            account.take(group, fetched);
            for problem in check::result(group, fetched) {
                stage.journal.wrong(format!("{}: {problem}", group.id));
            }
        }
        account.count_runs(stage, &finished);
        account.count_left(stage, deadline).await;
        account.wrong = stage.journal.wrongs();
        account
    }

    fn empty(args: &Args, stage: &Stage) -> Account {
        Account {
            seed: stage.seed,
            nodes: args.nodes,
            seconds: args.seconds,
            faults: stage.journal.faults(),
            groups: BTreeMap::new(),
            settled_after_ms: 0,
            items: 0,
            ok: 0,
            failed: 0,
            lost: 0,
            counted_items: 0,
            counted_runs: 0,
            most_runs_of_one: 0,
            unfinished: 0,
            left_in_cache: 0,
            left_in_items: 0,
            orphan_chunks: 0,
            wrong: Vec::new(),
        }
    }

    fn take(&mut self, group: &Group, fetched: &Fetched<Value>) {
        self.items += u64::from(group.items);
        self.ok += fetched.summary.ok;
        self.failed += fetched.summary.failed;
        let errors = fetched.records.iter().filter_map(|record| record.error.as_ref());
        self.lost += errors.filter(|error| error.kind == ErrorKind::Lost).count() as u64;
    }

    /// Every item that came to a value was run; how much more often says what the faults cost.
    fn count_runs(&mut self, stage: &Stage, finished: &[(Group, Fetched<Value>)]) {
        let text = std::fs::read_to_string(stage.runs()).unwrap_or_default();
        let mut runs: HashMap<&str, u32> = HashMap::new();
        for line in text.lines() {
            *runs.entry(line).or_default() += 1;
        }
        for (group, _) in finished.iter().filter(|(group, _)| group.what == What::Append) {
            for index in 0..group.items {
                let line = group.line(index);
                let times = runs.get(line.as_str()).copied().unwrap_or_default();
                if times == 0 {
                    stage.journal.wrong(format!("item {line} has a value and was never run"));
                }
                self.counted_items += 1;
                self.counted_runs += u64::from(times);
                self.most_runs_of_one = self.most_runs_of_one.max(times);
            }
        }
    }

    async fn count_left(&mut self, stage: &Stage, deadline: Instant) {
        let engine = &stage.engine;
        let items = engine.broker.namespace.items_stream();
        loop {
            let cache = engine.cache_keys().await;
            let items = engine.subjects(&items, ">").await;
            let chunks = engine.orphan_chunks().await;
            let counts = [cache.len(), items.len(), chunks.len()];
            [self.left_in_cache, self.left_in_items, self.orphan_chunks] = counts;
            let left = [cache, items, chunks].concat();
            if left.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                let some: Vec<_> = left.iter().take(20).map(String::as_str).collect();
                let text = format!("{} left behind: {}", left.len(), some.join(" "));
                return stage.journal.wrong(text);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Where a group stands that should be finished.
async fn unfinished(stage: &Stage, group: &Group) -> String {
    let client = &stage.engine.client;
    let status = client.status(&group.id).await;
    let missing = client.missing(&group.id).map(|missing| missing.unwrap_or_default()).await;
    let some: Vec<_> = missing.iter().take(10).collect();
    format!(
        "{} is not finished: {:?}, {:?}, {} items; {status:?}; {} missing: {some:?}",
        group.id,
        group.way,
        group.what,
        group.items,
        missing.len(),
    )
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(f, "  {name:<34} {value:>8}");
        for (fault, times) in &self.faults {
            row(fault, times)?;
        }
        for (way, groups) in &self.groups {
            row(&format!("groups, {way:?}"), groups)?;
        }
        row("groups without a result", &self.unfinished)?;
        row("finished after the faults, ms", &self.settled_after_ms)?;
        row("items", &self.items)?;
        row("values", &self.ok)?;
        row("errors", &self.failed)?;
        row("errors: lost", &self.lost)?;
        row("items whose runs are counted", &self.counted_items)?;
        row("runs of these", &self.counted_runs)?;
        row("most runs of one", &self.most_runs_of_one)?;
        row("left in the cache", &self.left_in_cache)?;
        row("left in the items stream", &self.left_in_items)?;
        row("orphan chunks", &self.orphan_chunks)?;
        row("wrong", &self.wrong.len())
    }
}
