//! Looks at groups from outside: how far, what is missing, which there are.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use futures_util::TryStreamExt;
use jetiter_config::broker::Broker;
use jetiter_config::names::{Entry, GroupId, ItemId, Mark};
use jetiter_config::wire::{Seal, Summary};
use serde::Serialize;

use crate::client::Client;
use crate::error::Error;
use crate::wait;

/// Where a group stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Status {
    /// It has a result.
    Finished(Summary),
    /// It is on its way.
    Running {
        /// How many items it was sealed with, if it was.
        total: Option<u32>,
        /// How many items have an outcome.
        done: u64,
        /// How many messages wait or are being worked on: an item each, or a chunk.
        waiting: u64,
    },
}

/// A group in a listing.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its id.
    pub group: String,
    /// Its result; `None` while it is on its way.
    pub result: Option<Summary>,
}

impl Client {
    /// Where a group stands; `None` when nothing is known of it.
    pub async fn status(&self, group: &GroupId) -> Result<Option<Status>, Error> {
        let Some(remote) = self.remote() else {
            let raw = self.read(group, Duration::ZERO).await?;
            return Ok(raw.map(|raw| Status::Finished(raw.summary)));
        };
        let broker = &remote.broker;
        let found = wait::look(broker, group.as_str()).await?;
        if let Some(info) = found {
            return Ok(Summary::from_metadata(&info.metadata).map(Status::Finished));
        }
        let total = sealed_total(broker, group).await?;
        let done = self.outcomes(group).await?.len();
        let waiting = waiting(broker, group).await?;
        if total.is_none() && done == 0 && waiting == 0 {
            // It may have finished between the looks.
            let found = wait::look(broker, group.as_str()).await?;
            let summary = found.and_then(|info| Summary::from_metadata(&info.metadata));
            return Ok(summary.map(Status::Finished));
        }
        Ok(Some(Status::Running { total, done, waiting }))
    }

    /// The indexes below the total that have no outcome; empty when the group is not sealed.
    pub async fn missing(&self, group: &GroupId) -> Result<Vec<u32>, Error> {
        Ok(self.missing_ranges(group).await?.into_iter().flatten().collect())
    }

    /// The same as runs of consecutive indexes: a total of billions takes no more memory.
    pub async fn missing_ranges(&self, group: &GroupId) -> Result<Vec<RangeInclusive<u32>>, Error> {
        let Some(remote) = self.remote() else {
            return Ok(Vec::new());
        };
        let Some(total) = sealed_total(&remote.broker, group).await? else {
            return Ok(Vec::new());
        };
        Ok(between(&self.outcomes(group).await?.indexes, total))
    }

    /// All finished groups, and the sealed ones that are on their way, by id.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        let Some(remote) = self.remote() else {
            return Ok(self.inline().map(|inline| inline.list()).unwrap_or_default());
        };
        let broker = &remote.broker;
        let mut groups = BTreeMap::new();
        let seals = broker.namespace.entry_subject("*", Entry::Mark(Mark::Seal));
        for subject in subjects(broker, &seals).await? {
            if let Some((group, _)) = broker.namespace.parse_entry(&subject) {
                groups.insert(group.to_owned(), None);
            }
        }
        let failed = |reason: String| Error::Api { what: "the results".to_owned(), reason };
        let bucket = broker.namespace.results_bucket();
        let store = broker.jetstream.get_object_store(bucket).await;
        let store = store.map_err(|error| failed(error.to_string()))?;
        let mut objects = store.list().await.map_err(|error| failed(error.to_string()))?;
        while let Some(info) =
            objects.try_next().await.map_err(|error| failed(error.to_string()))?
        {
            let summary = Summary::from_metadata(&info.metadata);
            if let Some(summary) = summary.filter(|summary| summary.group == info.name) {
                groups.insert(info.name, Some(summary));
            }
        }
        Ok(groups.into_iter().map(|(group, result)| Listed { group, result }).collect())
    }

    async fn outcomes(&self, group: &GroupId) -> Result<Outcomes, Error> {
        let mut outcomes = Outcomes::default();
        let Some(remote) = self.remote() else {
            return Ok(outcomes);
        };
        let ns = &remote.broker.namespace;
        for subject in subjects(&remote.broker, &ns.outcomes_filter(group.as_str())).await? {
            match ns.parse_entry(&subject) {
                Some((_, Entry::Outcome(ItemId::Index(index)))) => {
                    outcomes.indexes.push((u64::from(index), u64::from(index) + 1));
                }
                Some((_, Entry::Outcomes(span))) => {
                    let Range { start, end } = span.indexes();
                    outcomes.indexes.push((u64::from(start), u64::from(end)));
                }
                Some((_, Entry::Outcome(ItemId::Stored { .. }))) => outcomes.without_index += 1,
                _ => {}
            }
        }
        outcomes.indexes.sort_unstable();
        Ok(outcomes)
    }
}

/// What the cache says of a group's items that are done.
#[derive(Default)]
struct Outcomes {
    /// Runs of indexes, by their first one; two may overlap. The end is not part of it.
    indexes: Vec<(u64, u64)>,
    without_index: u64,
}

impl Outcomes {
    /// How many items are done.
    fn len(&self) -> u64 {
        let (mut count, mut next) = (self.without_index, 0);
        for &(start, end) in &self.indexes {
            count += end.saturating_sub(start.max(next));
            next = next.max(end);
        }
        count
    }
}

/// What lies between these runs of indexes and below the total.
fn between(there: &[(u64, u64)], total: u32) -> Vec<RangeInclusive<u32>> {
    let total = u64::from(total);
    let (mut ranges, mut next) = (Vec::new(), 0);
    for &(start, end) in there.iter().chain([&(total, total)]) {
        let start = start.min(total);
        if next < start {
            // Below a total of 32 bits.
            ranges.push(next as u32..=(start - 1) as u32);
        }
        next = next.max(end);
    }
    ranges
}

async fn sealed_total(broker: &Broker, group: &GroupId) -> Result<Option<u32>, Error> {
    let ns = &broker.namespace;
    let subject = ns.entry_subject(group.as_str(), Entry::Mark(Mark::Seal));
    let mark = broker.last_message(&ns.cache_stream(), &subject).await;
    let mark = mark.map_err(|error| error.about(format!("the seal of {group}")))?;
    let seal = mark.and_then(|mark| serde_json::from_slice::<Seal>(&mark.payload()).ok());
    if seal.is_some() {
        return Ok(seal.map(|seal| seal.total));
    }
    // Published, and no collator has taken it yet: its payload is the total.
    let waits = broker.last_message(&ns.items_stream(), &ns.seal_subject(group)).await;
    let waits = waits.map_err(|error| error.about(format!("the seal of {group}")))?;
    Ok(waits.and_then(|seal| Some(Seal::from_message(None, &seal.payload()).ok()?.total)))
}

pub(crate) async fn waiting(broker: &Broker, group: &GroupId) -> Result<u64, Error> {
    let ns = &broker.namespace;
    let filter = ns.waiting_filter(group.as_str());
    let info = broker.stream_info(&ns.items_stream(), Some(&filter)).await;
    let info = info.map_err(|error| error.about(format!("the items of {group}")))?;
    Ok(info.state.subjects.values().sum())
}

/// The cache's subjects under a filter; async-nats turns the pages.
async fn subjects(broker: &Broker, filter: &str) -> Result<Vec<String>, Error> {
    let failed = |reason: String| Error::Api { what: "the cache's keys".to_owned(), reason };
    let stream = broker.jetstream.get_stream_no_info(broker.namespace.cache_stream()).await;
    let stream = stream.map_err(|error| failed(error.to_string()))?;
    let pages = stream.info_with_subjects(filter).await;
    let pages = pages.map_err(|error| failed(error.to_string()))?;
    let subjects = pages.map_ok(|(subject, _)| subject).try_collect().await;
    subjects.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_indexes_are_told_as_ranges() {
        assert_eq!(between(&[], 0), []);
        assert_eq!(between(&[], u32::MAX), [0..=u32::MAX - 1]);
        assert_eq!(between(&[(0, 1), (1, 2), (4, 5)], 6), [2..=3, 5..=5]);
        assert_eq!(between(&[(0, 1), (1, 3)], 3), []);
        assert_eq!(between(&[(2, 9), (3, 4), (5, 12)], 20), [0..=1, 12..=19]);
        assert_eq!(between(&[(1, 9), (30, 40)], 8), [0..=0]);
    }

    #[test]
    fn overlapping_outcomes_count_once() {
        let indexes = vec![(0, 1), (0, 10), (3, 5), (8, 12), (20, 21)];
        assert_eq!(Outcomes { indexes, without_index: 2 }.len(), 15);
    }
}
