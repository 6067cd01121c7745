//! When the faults are over: waits for every group, and accounts for every item.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use jetiter::Fetched;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use crate::account::Account;
use crate::args::Args;
use crate::check;
use crate::group::{Group, Way, What};
use crate::load::Submitted;
use crate::stage::Stage;

type Finished = Vec<(Group, Fetched<Value>)>;

/// Waits until all is finished, at most until the deadline, and counts. What is not as it must be
/// stands in the journal.
pub async fn audit(args: &Args, stage: &Stage, peace: Instant, deadline: Instant) -> Account {
    let mut account = Account { seed: stage.seed, nodes: args.nodes, ..Account::default() };
    account.seconds = args.seconds;
    let finished = results(stage, deadline, &mut account).await;
    account.settled_ms = peace.elapsed().as_millis() as u64;
    for (group, fetched) in &finished {
        account.add(fetched);
        for problem in check::result(group, fetched) {
            stage.journal.wrong(format!("{}: {problem}", group.id));
        }
    }
    runs(stage, &finished, &mut account);
    left(stage, deadline, &mut account).await;
    objects(stage, &finished).await;
    again(stage, &finished).await;
    account.faults = stage.journal.faults();
    account
}

async fn results(stage: &Stage, deadline: Instant, account: &mut Account) -> Finished {
    let groups = std::mem::take(&mut *stage.groups.lock().unwrap());
    let mut finished = Vec::new();
    for Submitted { group, mut reader } in groups {
        *account.groups.entry(group.way).or_default() += 1;
        let problem = match timeout_at(deadline, &mut reader).await {
            Ok(Ok(Ok(Some(fetched)))) => {
                finished.push((group, fetched));
                continue;
            }
            Ok(Ok(Ok(None))) => "its result is gone".to_owned(),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panic)) => panic.to_string(),
            Err(_) => {
                reader.abort();
                where_it_stands(stage, &group).await
            }
        };
        account.unfinished += 1;
        stage.journal.wrong(format!("{}, {:?}: {problem}", group.id, group.way));
    }
    finished
}

/// Of a group that should be finished.
async fn where_it_stands(stage: &Stage, group: &Group) -> String {
    let client = &stage.engine.client;
    let status = client.status(&group.id).await;
    let missing = client.missing(&group.id).await.unwrap_or_default();
    let (items, some) = (group.items, &missing[..missing.len().min(10)]);
    format!("not finished, {items} items: {status:?}; missing {}: {some:?}", missing.len())
}

/// Every item that came to a value was run. How much more often says what the faults cost; items
/// that were submitted twice are not counted.
fn runs(stage: &Stage, finished: &Finished, account: &mut Account) {
    let text = std::fs::read_to_string(stage.runs()).unwrap_or_default();
    let mut runs: HashMap<&str, u32> = HashMap::new();
    for line in text.lines() {
        *runs.entry(line).or_default() += 1;
    }
    for (group, fetched) in finished.iter().filter(|(group, _)| group.what == What::Append) {
        for value in fetched.list.iter().flatten().filter_map(Value::as_str) {
            let times = runs.get(value).copied().unwrap_or_default();
            if times == 0 {
                stage.journal.wrong(format!("item {value} has a value and was never run"));
            }
            if matches!(group.way, Way::Once | Way::SealedFirst) {
                account.add_runs(times);
            }
        }
    }
}

/// What is not yet removed; in the end there is none.
async fn left(stage: &Stage, deadline: Instant, account: &mut Account) {
    let engine = &stage.engine;
    let stream = engine.broker.namespace.items_stream();
    loop {
        let cache = engine.cache_keys().await;
        let items = engine.subjects(&stream, ">").await;
        let chunks = engine.orphan_chunks().await;
        account.left_in_cache = cache.len();
        account.left_in_items = items.len();
        account.orphan_chunks = chunks.len();
        let left = [cache, items, chunks].concat();
        if left.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            let some: Vec<_> = left.iter().take(20).map(String::as_str).collect();
            stage.journal.wrong(format!("{} left behind: {}", left.len(), some.join(" ")));
            return consumers(stage).await;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// What the server says of those that should have taken what is left.
async fn consumers(stage: &Stage) {
    let engine = &stage.engine;
    let stream = engine.broker.namespace.items_stream();
    let stream = engine.broker.jetstream.get_stream(stream).await.unwrap();
    stage.journal.note(&format!("items: {:?}", stream.cached_info().state));
    let mut consumers = stream.consumers();
    while let Some(consumer) = consumers.try_next().await.unwrap() {
        stage.journal.note(&format!("{consumer:?}"));
    }
}

/// Two for each group, and no other.
async fn objects(stage: &Stage, finished: &Finished) {
    let bucket = stage.engine.broker.namespace.results_bucket();
    let store = stage.engine.broker.jetstream.get_object_store(bucket).await.unwrap();
    let objects: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
    let found: BTreeSet<String> = objects.into_iter().map(|object| object.name).collect();
    let names = |(group, _): &(Group, _)| [group.id.to_string(), format!("{}.records", group.id)];
    let wanted: BTreeSet<String> = finished.iter().flat_map(names).collect();
    for name in found.symmetric_difference(&wanted) {
        let what = if wanted.contains(name) { "is missing" } else { "is there for no group" };
        stage.journal.wrong(format!("the object {name} {what}"));
    }
}

/// A result never changes: it is what its reader got, also now.
async fn again(stage: &Stage, finished: &Finished) {
    for (group, first) in finished {
        let now = stage.engine.client.fetch::<Value>(&group.id, Duration::ZERO).await;
        let same = now.as_ref().is_ok_and(|now| {
            now.as_ref().is_some_and(|now| {
                now.summary == first.summary
                    && now.list == first.list
                    && now.records == first.records
            })
        });
        if !same {
            let now = now.map(|now| now.map(|now| now.summary));
            let text = format!("{}: it was {:?} and is {now:?}", group.id, first.summary);
            stage.journal.wrong(text);
        }
    }
}
