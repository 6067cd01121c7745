//! A second reader of the cache's log, that judges a group by the protocol's own words.

use std::collections::BTreeSet;

use async_nats::Subscriber;
use async_nats::jetstream::stream::Republish;
use futures_util::StreamExt;
use serde_json::Value;

use crate::harness::{Engine, within};
use crate::plain::Plain;

/// Everything that the log takes, also what is purged a moment later: the server tells each entry
/// again, with its sequence, as it stores it.
pub struct Log {
    told: Subscriber,
    entries: Vec<Entry>,
}

struct Entry {
    seq: u64,
    /// The key in the cache.
    key: String,
    payload: Vec<u8>,
}

/// How a group must have ended, by the log.
#[derive(Debug, PartialEq)]
pub struct Verdict {
    pub state: String,
    pub cut: String,
    pub list: Vec<Value>,
}

impl Log {
    /// Hears the log from now on.
    pub async fn of(engine: &Engine) -> Log {
        let ns = &engine.broker.namespace;
        let stream = engine.broker.jetstream.get_stream(ns.cache_stream()).await.unwrap();
        let mut config = stream.cached_info().config.clone();
        config.republish = Some(Republish {
            source: ">".to_owned(),
            destination: format!("{ns}.log.>"),
            headers_only: false,
        });
        engine.broker.jetstream.update_stream(config).await.unwrap();
        let told = engine.broker.client.subscribe(format!("{ns}.log.>")).await.unwrap();
        engine.broker.client.flush().await.unwrap();
        Log { told, entries: Vec::new() }
    }

    /// Hears everything up to this sequence.
    pub async fn until(&mut self, seq: u64) {
        while self.entries.last().is_none_or(|entry| entry.seq < seq) {
            let message = within(self.told.next()).await.unwrap();
            let headers = message.headers.unwrap();
            let subject = headers.get("Nats-Subject").unwrap().as_str();
            self.entries.push(Entry {
                seq: headers.get("Nats-Sequence").unwrap().as_str().parse().unwrap(),
                key: subject.splitn(3, '.').nth(2).unwrap().to_owned(),
                payload: message.payload.to_vec(),
            });
        }
    }

    /// What the group came to by what was heard so far: the first entry that completes it, or its
    /// end mark, whichever stands first.
    pub fn verdict(&self, group: &str) -> Option<Verdict> {
        let (mut outcomes, mut indexes, mut total) = (Vec::new(), BTreeSet::new(), None);
        for entry in &self.entries {
            let json = || serde_json::from_slice::<Value>(&entry.payload).unwrap();
            let mut tokens = entry.key.split('.');
            let (kind, of, rest) = (tokens.next(), tokens.next(), tokens.next());
            if of != Some(group) {
                continue;
            }
            let mut state = None;
            match (kind, rest) {
                (Some("item"), Some(index)) => {
                    let index: u64 = index.parse().unwrap();
                    outcomes.push((index, json()));
                    indexes.insert(index);
                }
                (Some("mark"), Some("seal")) => total = json()["total"].as_u64(),
                (Some("mark"), Some("end")) => {
                    state = json()["state"].as_str().map(str::to_owned);
                }
                _ => {}
            }
            let full = |total| indexes.range(..total).count() as u64 == total;
            if total.is_some_and(full) {
                state = Some("complete".to_owned());
            }
            if let Some(state) = state {
                let counts = |index: &u64| total.is_none_or(|total| *index < total);
                outcomes.retain(|(index, _)| counts(index));
                let list = outcomes.into_iter().map(|(_, value)| value).collect();
                return Some(Verdict { state, cut: entry.seq.to_string(), list });
            }
        }
        None
    }

    /// The group's result is what the log says, in the log's order.
    pub async fn agrees(&mut self, plain: &Plain, group: &str) -> Verdict {
        let list = plain.list(group).await;
        let metadata = plain.metadata(group).await;
        let (state, cut) = (metadata["state"].clone(), metadata["cut"].clone());
        self.until(cut.parse().unwrap()).await;
        let found = Verdict { state, cut, list };
        assert_eq!(Some(&found), self.verdict(group).as_ref(), "{group}");
        found
    }
}
