//! Runs a group inline: no broker, the same outcomes.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jetiter_config::call::{Call, Item, Outcome};
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Function, GroupId, ItemId};
use jetiter_config::wire::{ItemError, Record, State, Summary, max_value};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::error::Error;
use crate::options::Options;
use crate::result::Raw;
use crate::status::Listed;
use crate::submit::check_size;

/// What a worker allows when an item names no time-out, as `worker.timeout` does.
const TIMEOUT: Duration = Duration::from_secs(300);
/// What a server takes when nobody changed it.
const MAX_PAYLOAD: usize = 1024 * 1024;

/// The functions, and the results so far.
pub(crate) struct Inline {
    functions: Box<dyn Call>,
    results: Mutex<HashMap<GroupId, Finished>>,
    finished: Notify,
}

#[derive(Clone)]
struct Finished {
    list: Arc<Raw>,
    records: Arc<Raw>,
    until: Option<Instant>,
}

/// List and records, growing.
struct Draft {
    encoding: Encoding,
    list: Vec<u8>,
    records: Vec<u8>,
    ok: u64,
    failed: u64,
}

impl Inline {
    pub(crate) fn new(functions: impl Call + 'static) -> Result<Inline, Error> {
        functions.check().map_err(Error::Functions)?;
        Ok(Inline {
            functions: Box::new(functions),
            results: Mutex::default(),
            finished: Notify::new(),
        })
    }

    /// Runs item after item; a failing one fails alone.
    pub(crate) async fn run<A: Serialize>(
        &self,
        group: GroupId,
        function: Function,
        arguments: impl Stream<Item = A>,
        options: &Options,
    ) -> Result<(), Error> {
        if self.results().contains_key(&group) {
            return Err(Error::GroupExists { group: group.to_string() });
        }
        let started_ms = now_ms();
        let mut draft = Draft::new(options.written_as());
        let mut arguments = pin!(arguments);
        let mut index = 0u32;
        while let Some(argument) = arguments.next().await {
            let item = self.item(&group, &function, index, &argument, options)?;
            draft.add(index, self.attempts(item, options.retries).await)?;
            index = index.checked_add(1).ok_or(Error::TooManyItems)?;
        }
        let summary = Summary {
            group: group.to_string(),
            state: State::Complete,
            encoding: draft.encoding,
            total: Some(index),
            ok: draft.ok,
            failed: draft.failed,
            extra: 0,
            function: Some(function),
            label: options.label.clone(),
            keep_ms: options.cached.map(|keep| keep.as_millis() as u64),
            started_ms,
            finished_ms: now_ms(),
            cut: 0,
            log: "inline".to_owned(),
            records: String::new(),
        };
        let until = options.cached.map(|keep| Instant::now() + keep);
        let finished = draft.finish(summary, until);
        self.results().insert(group, finished);
        self.finished.notify_waiters();
        Ok(())
    }

    /// The list, or the records, of a group that has run.
    pub(crate) async fn read(&self, group: &GroupId, records: bool, wait: Duration) -> Option<Raw> {
        let found = async {
            loop {
                let next = self.finished.notified();
                if let Some(finished) = self.finished(group) {
                    return finished;
                }
                next.await;
            }
        };
        let finished = match wait.is_zero() {
            true => self.finished(group)?,
            false => timeout(wait, found).await.ok()?,
        };
        let raw = if records { finished.records } else { finished.list };
        Some(Raw::clone(&raw))
    }

    pub(crate) fn delete(&self, group: &GroupId) -> bool {
        self.results().remove(group).is_some()
    }

    /// Every group that has a result, by id.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let results = self.results();
        let listed = |(group, finished): (&GroupId, &Finished)| Listed {
            group: group.to_string(),
            result: Some(finished.list.summary.clone()),
        };
        let mut list: Vec<_> = results.iter().map(listed).collect();
        list.sort_by(|a, b| a.group.cmp(&b.group));
        list
    }

    fn finished(&self, group: &GroupId) -> Option<Finished> {
        self.results().get(group).cloned()
    }

    fn item<A: Serialize>(
        &self,
        group: &GroupId,
        function: &Function,
        index: u32,
        argument: &A,
        options: &Options,
    ) -> Result<Item, Error> {
        let wrong = |reason: String| Error::Argument {
            group: group.to_string(),
            index: u64::from(index),
            reason,
        };
        let encoding = options.written_as();
        let bytes = encoding.encode(argument).map_err(|error| wrong(error.to_string()))?;
        check_size(bytes.len(), max_value(MAX_PAYLOAD)).map_err(wrong)?;
        Ok(Item {
            group: group.clone(),
            id: ItemId::Index(index),
            function: function.clone(),
            argument: Bytes::from(bytes),
            encoding,
            attempt: 1,
            timeout: options.timeout.unwrap_or(TIMEOUT),
        })
    }

    async fn attempts(&self, mut item: Item, retries: u32) -> (Outcome, Record) {
        loop {
            let (started_ms, began) = (now_ms(), Instant::now());
            let mut outcome = self.functions.call(item.clone()).await;
            if let Err(error) = &outcome
                && error.kind.is_worth_retrying()
                && item.attempt <= retries
            {
                item.attempt += 1;
                continue;
            }
            if let Ok(value) = &outcome
                && value.len() > max_value(MAX_PAYLOAD)
            {
                outcome = Err(ItemError::too_large(value.len(), max_value(MAX_PAYLOAD)));
            }
            let record = Record {
                index: item.id,
                ok: outcome.is_ok(),
                error: outcome.as_ref().err().cloned(),
                attempts: item.attempt,
                started_ms,
                duration_ms: began.elapsed().as_secs_f64() * 1000.0,
                worker: "inline".to_owned(),
            };
            return (outcome, record);
        }
    }

    /// The results that are still kept.
    fn results(&self) -> MutexGuard<'_, HashMap<GroupId, Finished>> {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.retain(|_, finished| finished.until.is_none_or(|until| Instant::now() < until));
        results
    }
}

impl Draft {
    fn new(encoding: Encoding) -> Draft {
        let open = encoding.list_open().to_vec();
        Draft { encoding, list: open.clone(), records: open, ok: 0, failed: 0 }
    }

    fn add(&mut self, index: u32, (outcome, record): (Outcome, Record)) -> Result<(), Error> {
        if index > 0 {
            self.list.extend_from_slice(self.encoding.list_separator());
            self.records.extend_from_slice(self.encoding.list_separator());
        }
        match &outcome {
            Ok(_) => self.ok += 1,
            Err(_) => self.failed += 1,
        }
        let value = outcome.unwrap_or_else(|_| self.encoding.null().to_vec());
        self.list.extend_from_slice(&value);
        self.records.extend_from_slice(&self.encoding.encode(&record)?);
        Ok(())
    }

    fn finish(mut self, summary: Summary, until: Option<Instant>) -> Finished {
        self.list.extend_from_slice(self.encoding.list_close());
        self.records.extend_from_slice(self.encoding.list_close());
        let raw = |bytes| Arc::new(Raw { summary: summary.clone(), bytes });
        Finished { list: raw(self.list), records: raw(self.records), until }
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
