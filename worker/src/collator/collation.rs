//! From a verdict to a committed result: copy the outcomes, then publish the metadata.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::object_store::ObjectInfo;
use jetiter_config::broker::Broker;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Entry as Key, Mark, records_object};
use jetiter_config::wire::{self, ErrorKind, ItemError, Record, Summary};

use super::follower::{position, read_from};
use super::outcome::Stored;
use super::upload::{Upload, Uploaded};
use crate::pull::Pulled;
use crate::tally::Verdict;

/// The most records of items out of range; beyond it only their number is told.
const MAX_EXTRA: usize = 10_000;
/// How much longer chunks are kept than the metadata that leads to them.
const CHUNK_MARGIN: Duration = Duration::from_secs(600);
/// How many outcomes may be on their way when a group is read again.
const WINDOW: usize = 2048;
/// How long the log may stay silent before the reading of a group is given up.
const PATIENCE: u32 = 8;

/// What every collation needs.
#[derive(Clone)]
pub(crate) struct Collation {
    pub(crate) broker: Broker,
    pub(crate) chunk: usize,
    pub(crate) done_ttl: Duration,
    /// When the log was created that the verdict comes from.
    pub(crate) log: String,
}

/// How a collation ended.
#[derive(Debug)]
pub(crate) enum Collated {
    /// The result is there, ours or the same one by another collator.
    Committed(Summary),
    /// Another result stands under this name; it stays.
    Conflict(Option<Summary>),
}

/// Why a collation has to be made again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Storage, network: the same again may work.
    #[error("{0}")]
    Again(String),
    /// The log does not hold what the tally counted: somebody removed entries.
    #[error("the log holds {found} of the {counted} outcomes that were counted")]
    Mismatch { found: u64, counted: u64 },
}

impl From<String> for Failed {
    fn from(reason: String) -> Failed {
        Failed::Again(reason)
    }
}

/// The list and the records, growing.
struct Draft {
    list: Upload,
    records: Upload,
    encoding: Encoding,
    ok: u64,
    failed: u64,
    extra: u64,
    extra_records: Vec<Record>,
}

impl Collation {
    /// Brings a decided group to its committed result, its done mark and its notice. `kept` are
    /// its outcomes, where they are still in memory; `look_first` asks for a result that another
    /// collator may have committed.
    pub(crate) async fn run(
        &self,
        verdict: &Verdict,
        kept: Option<&[Stored]>,
        look_first: bool,
    ) -> Result<Collated, Failed> {
        let found = if look_first { self.committed(&verdict.group).await? } else { None };
        let collated = match found {
            Some(info) => self.judge(verdict, info),
            None => self.write(verdict, kept).await?,
        };
        if let Collated::Committed(summary) = &collated {
            self.commit_records(summary).await?;
            self.mark_done(summary).await;
            self.broker.tell(&verdict.group, "done", summary).await;
        }
        Ok(collated)
    }

    /// The live result of a group, by the leader's word.
    async fn committed(&self, group: &str) -> Result<Option<ObjectInfo>, Failed> {
        let found = self.broker.object_info(group).await.map_err(|error| error.to_string())?;
        Ok(found.map(|(_, info)| info).filter(|info| !info.deleted))
    }

    fn judge(&self, verdict: &Verdict, info: ObjectInfo) -> Collated {
        match Summary::from_metadata(&info.metadata) {
            Some(summary) if summary.cut == verdict.cut && summary.log == self.log => {
                Collated::Committed(summary)
            }
            other => Collated::Conflict(other),
        }
    }

    async fn write(&self, verdict: &Verdict, kept: Option<&[Stored]>) -> Result<Collated, Failed> {
        let mut draft = self.draft(verdict);
        draft.list.write(draft.encoding.list_open()).await?;
        draft.records.write(draft.encoding.list_open()).await?;
        match kept {
            Some(kept) => {
                for stored in kept {
                    draft.add(verdict, stored).await?;
                }
            }
            None => self.read_again(verdict, &mut draft).await?,
        }
        let written = draft.ok + draft.failed;
        if written != verdict.counted {
            return Err(Failed::Mismatch { found: written, counted: verdict.counted });
        }
        let orphans = [draft.list.nuid().to_owned(), draft.records.nuid().to_owned()];
        let collated = self.commit(verdict, draft).await?;
        if let Collated::Conflict(_) = collated {
            self.remove_chunks(&orphans).await;
        }
        Ok(collated)
    }

    fn draft(&self, verdict: &Verdict) -> Draft {
        let keep = verdict.seal.as_ref().and_then(|seal| seal.keep_ms);
        let ttl = keep.map(|keep| wire::ttl(Duration::from_millis(keep) + CHUNK_MARGIN));
        Draft {
            list: Upload::begin(&self.broker, &verdict.group, self.chunk, ttl.clone()),
            records: Upload::begin(&self.broker, &verdict.group, self.chunk, ttl),
            encoding: verdict.seal.as_ref().map(|seal| seal.encoding).unwrap_or_default(),
            ok: 0,
            failed: 0,
            extra: 0,
            extra_records: Vec::new(),
        }
    }

    /// Reads the group's outcomes up to the cut from the log again.
    async fn read_again(&self, verdict: &Verdict, draft: &mut Draft) -> Result<(), Failed> {
        let ns = &self.broker.namespace;
        let filter = ns.outcomes_filter(&verdict.group);
        let mut pull = read_from(&self.broker, &ns.cache_stream(), filter, verdict.first).await?;
        let (mut left, mut delivered, mut silent) = (verdict.outcomes, 0, 0);
        while left > 0 {
            let room = WINDOW.min(left as usize);
            let message = match pull.next(room).await {
                Pulled::Message(message) => message,
                Pulled::Nothing if silent < PATIENCE => {
                    silent += 1;
                    continue;
                }
                Pulled::Nothing => break,
                Pulled::Lost(reason) => return Err(Failed::Again(reason)),
            };
            silent = 0;
            let read = position(message);
            let Some((delivery, entry)) = read.filter(|(delivery, _)| *delivery == delivered + 1)
            else {
                return Err(Failed::Again("an outcome was lost on its way".to_owned()));
            };
            delivered = delivery;
            if entry.seq > verdict.cut {
                break;
            }
            if let Some((_, Key::Outcome(id))) = ns.parse_entry(&entry.message.subject) {
                draft.add(verdict, &Stored::of(id, &entry.message)).await?;
                left -= 1;
            }
        }
        Ok(())
    }

    async fn commit(&self, verdict: &Verdict, mut draft: Draft) -> Result<Collated, Failed> {
        draft.close().await?;
        // The records' chunks are whole before the list's metadata names them: whoever finds the
        // one can publish the other.
        let records = draft.records.finish().await?;
        let list = draft.list.finish().await?;
        let seal = verdict.seal.as_ref();
        let summary = Summary {
            group: verdict.group.clone(),
            state: verdict.state,
            encoding: draft.encoding,
            total: seal.map(|seal| seal.total),
            ok: draft.ok,
            failed: draft.failed,
            extra: draft.extra,
            function: seal.and_then(|seal| seal.function.clone()),
            label: seal.and_then(|seal| seal.label.clone()),
            keep_ms: seal.and_then(|seal| seal.keep_ms),
            started_ms: verdict.started,
            finished_ms: verdict.finished,
            cut: verdict.cut,
            log: self.log.clone(),
            records: records.to_text(),
        };
        let description = format!("jetiter: {} items, {} failed", summary.len(), summary.failed);
        let bucket = self.broker.namespace.results_bucket();
        let metadata = summary.to_metadata();
        let info = list.info(bucket, &verdict.group, description, self.chunk, metadata);
        match self.publish_metadata(&info, summary.keep_ms).await? {
            None => Ok(Collated::Committed(summary)),
            Some(winner) => Ok(self.judge(verdict, winner)),
        }
    }

    /// Publishes an object's metadata if no live object has the name; else returns that one's.
    async fn publish_metadata(
        &self,
        info: &ObjectInfo,
        keep_ms: Option<u64>,
    ) -> Result<Option<ObjectInfo>, Failed> {
        let subject = self.broker.namespace.object_subject(&info.name);
        let payload = serde_json::to_vec(info).map_err(|error| error.to_string())?;
        let mut expected = 0;
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(wire::EXPECTED_LAST, expected.to_string());
            headers.insert(wire::ROLLUP, "sub");
            if let Some(keep) = keep_ms {
                headers.insert(wire::TTL, wire::ttl(Duration::from_millis(keep)));
            }
            let stored = self.broker.store(subject.clone(), headers, payload.clone().into()).await;
            let refusal = match stored {
                Ok(_) => return Ok(None),
                Err(refusal) => refusal,
            };
            let found = self.broker.object_info(&info.name).await;
            match found.map_err(|error| error.to_string())? {
                // Stored after all, only the answer was lost.
                Some((_, found)) if found.nuid == info.nuid => return Ok(None),
                Some((_, found)) if !found.deleted => return Ok(Some(found)),
                // Deleted by somebody: its place is free, behind the tombstone.
                Some((tombstone, _)) if expected != tombstone => expected = tombstone,
                None if expected != 0 => expected = 0,
                _ => {
                    return Err(Failed::Again(format!("the result is not stored: {refusal:?}")));
                }
            }
        }
    }

    /// The records' metadata follows from the list's, so any successor can publish it.
    async fn commit_records(&self, summary: &Summary) -> Result<(), Failed> {
        let Some(records) = Uploaded::from_text(&summary.records) else {
            return Ok(());
        };
        let name = records_object(&summary.group);
        let description = format!("jetiter: the records of {}", summary.group);
        let bucket = self.broker.namespace.results_bucket();
        let info = records.info(bucket, &name, description, self.chunk, summary.to_metadata());
        if self.publish_metadata(&info, summary.keep_ms).await?.is_some() {
            tracing::warn!(object = name, "another object has the records' name; it stays");
        }
        Ok(())
    }

    /// Saves a successor the question for the result; nothing rests on it.
    async fn mark_done(&self, summary: &Summary) {
        let ns = &self.broker.namespace;
        let mut headers = wire::once_headers();
        headers.insert(wire::TTL, wire::ttl(self.done_ttl));
        let payload = serde_json::to_vec(summary).unwrap_or_default();
        let subject = ns.entry_subject(&summary.group, Key::Mark(Mark::Done));
        if let Err(refusal) = self.broker.store(subject, headers, payload.into()).await {
            tracing::debug!(group = summary.group, ?refusal, "no done mark");
        }
    }

    async fn remove_chunks(&self, nuids: &[String]) {
        let ns = &self.broker.namespace;
        for nuid in nuids {
            let subject = ns.chunk_subject(nuid);
            self.broker.purge(&ns.results_stream(), Some(&subject), None).await.ok();
        }
    }
}

impl Draft {
    async fn add(&mut self, verdict: &Verdict, stored: &Stored) -> Result<(), Failed> {
        if !verdict.counts(stored.id) {
            self.extra += 1;
            if self.extra_records.len() < MAX_EXTRA {
                let message = format!("the index {} is not below the total", stored.id);
                let error = ItemError::new(ErrorKind::OutOfRange, message);
                self.extra_records.push(stored.record(Some(error)));
            }
            return Ok(());
        }
        let separator =
            if self.ok + self.failed > 0 { self.encoding.list_separator() } else { &[] };
        self.list.write(separator).await?;
        let error = match stored.value(self.encoding) {
            Ok(value) => {
                self.ok += 1;
                self.list.write(&value).await?;
                None
            }
            Err(error) => {
                self.failed += 1;
                self.list.write(self.encoding.null()).await?;
                Some(error)
            }
        };
        self.records.write(separator).await?;
        self.write_record(&stored.record(error)).await
    }

    async fn write_record(&mut self, record: &Record) -> Result<(), Failed> {
        let bytes = self.encoding.encode(record).map_err(|error| error.to_string())?;
        Ok(self.records.write(&bytes).await?)
    }

    /// The records of what the list leaves out stand behind those of the list's positions.
    async fn close(&mut self) -> Result<(), Failed> {
        for (i, record) in std::mem::take(&mut self.extra_records).iter().enumerate() {
            if i > 0 || self.ok + self.failed > 0 {
                self.records.write(self.encoding.list_separator()).await?;
            }
            self.write_record(record).await?;
        }
        self.list.write(self.encoding.list_close()).await?;
        Ok(self.records.write(self.encoding.list_close()).await?)
    }
}
