//! Is this what must come of the group?

use std::collections::HashSet;

use jetiter::{ErrorKind, Fetched, ItemId, Record, State};
use serde_json::Value;

use crate::group::{Group, Way};

/// All that is wrong with a result, in words.
pub fn result(group: &Group, fetched: &Fetched<Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    let summary = &fetched.summary;
    let (items, listed) = (group.items as usize, fetched.list.len());
    match summary.state {
        State::Complete if listed == items && summary.total == Some(group.items) => {}
        State::Complete => wrong.push(format!("its list has {listed} values for {items} items")),
        State::Cancelled if group.way == Way::Cancelled => {}
        state => wrong.push(format!("it ended as {state:?}")),
    }
    if fetched.records.len() != listed {
        wrong.push(format!("{} records for {listed} values", fetched.records.len()));
    }
    let failed = fetched.records.iter().filter(|record| !record.ok).count() as u64;
    let ok = fetched.records.len() as u64 - failed;
    if (summary.ok, summary.failed) != (ok, failed) {
        let (said, told) = (summary.ok, summary.failed);
        wrong.push(format!("{ok} ok and {failed} failed, and it says {said} and {told}"));
    }
    let mut seen = HashSet::new();
    for (value, record) in fetched.list.iter().zip(&fetched.records) {
        let id = record.index;
        if !seen.insert(id) {
            wrong.push(format!("item {id} is there twice"));
        }
        if let Err(problem) = outcome(group, value.as_ref(), record) {
            wrong.push(format!("item {id}: {problem}"));
        }
    }
    wrong
}

fn outcome(group: &Group, value: Option<&Value>, record: &Record) -> Result<(), String> {
    let ItemId::Index(index) = record.index else {
        return Err("it has no index".to_owned());
    };
    if index >= group.items {
        return Err(format!("the group has only {} items", group.items));
    }
    let found = match (&record.error, value) {
        (None, Some(value)) => Ok(value.clone()),
        (Some(error), None) if error.kind == ErrorKind::Failed => Err(error.message.clone()),
        other => return Err(format!("{other:?}")),
    };
    match group.expected(index) {
        expected if expected == found => Ok(()),
        expected => Err(format!("{found:?} instead of {expected:?}")),
    }
}
