//! The list and the records of one group, growing.

use std::borrow::Cow;
use std::mem;

use jetiter_config::broker::{Broker, Outgoing};
use jetiter_config::encoding::Encoding;
use jetiter_config::names::ItemId;
use jetiter_config::wire::{ErrorKind, ItemError, Record, Run, Seal};
use roaring::RoaringBitmap;

use super::buffer::Batch;
use super::collation::Failed;
use super::outcome::{Of, Stored, in_encoding, record};
use super::upload::{Upload, Uploaded};
use crate::tally::{Verdict, in_range};

/// The most records of items out of range; beyond it only their number is told.
const MAX_EXTRA: usize = 10_000;

/// How a list is written. The seal says it; before the seal it is a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) encoding: Encoding,
    /// How long the result is kept, milliseconds.
    pub(super) keep_ms: Option<u64>,
}

impl Manner {
    /// As the seal says; as a group ends that was never sealed.
    pub(super) fn of(seal: Option<&Seal>) -> Manner {
        Manner {
            encoding: seal.map(|seal| seal.encoding).unwrap_or_default(),
            keep_ms: seal.and_then(|seal| seal.keep_ms),
        }
    }
}

/// The list and the records, growing.
pub(super) struct Draft {
    pub(super) manner: Manner,
    seal: Option<Seal>,
    list: Upload,
    records: Upload,
    seen: RoaringBitmap,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) extra: u64,
    extra_records: Vec<Record>,
}

impl Draft {
    /// Begins a draft. Without a seal every index is taken to be in range.
    pub(super) fn begin(
        broker: &Broker,
        group: &str,
        chunk: usize,
        seal: Option<Seal>,
        manner: Manner,
    ) -> Draft {
        Draft {
            list: Upload::begin(broker, group, chunk, manner.keep_ms),
            records: Upload::begin(broker, group, chunk, manner.keep_ms),
            manner,
            seal,
            seen: RoaringBitmap::new(),
            ok: 0,
            failed: 0,
            extra: 0,
            extra_records: Vec::new(),
        }
    }

    /// The uploads' own parts of the chunks' subjects: the list's, the records'.
    pub(super) fn nuids(&self) -> [String; 2] {
        [self.list.nuid().to_owned(), self.records.nuid().to_owned()]
    }

    /// Whether what was guessed before the seal is what the verdict says.
    pub(super) fn is_as_decided(&self, verdict: &Verdict) -> bool {
        let seal = verdict.seal.as_ref();
        let last = self.seen.max().map(ItemId::Index);
        let in_range = self.seal.is_some() || last.is_none_or(|last| in_range(seal, last));
        in_range && self.manner == Manner::of(seal)
    }

    /// How many outcomes the list holds.
    pub(super) fn counted(&self) -> u64 {
        self.ok + self.failed
    }

    /// Adds the next entries.
    pub(super) async fn add_all(&mut self, batch: &Batch) -> Result<(), Failed> {
        for stored in batch.iter() {
            self.add(&stored).await?;
        }
        Ok(())
    }

    /// Holds nothing back to fill a chunk: others need the memory.
    pub(super) async fn flush(&mut self) -> Result<(), Failed> {
        self.list.flush().await?;
        Ok(self.records.flush().await?)
    }

    /// Adds the next entry of the log.
    pub(super) async fn add(&mut self, stored: &Stored<'_>) -> Result<(), Failed> {
        let mut run = stored.run();
        match stored.of {
            Of::Item(id) => {
                if self.is_first(id) {
                    self.put(id, &mut run, stored.value(self.manner.encoding));
                }
            }
            Of::Items(span) => {
                let values = stored.values(span);
                let (tried, first, whole) = (run.attempts, run.started, run.took);
                for (at, index) in span.indexes().enumerate() {
                    if !self.is_first(ItemId::Index(index)) {
                        continue;
                    }
                    let value = match &values {
                        Ok((own, values)) => {
                            run.attempts = values.attempts(at).unwrap_or(tried);
                            run.started = first.saturating_add(values.began(at));
                            run.took = values.took(at).unwrap_or(whole);
                            let value = values.value(at).map_err(Clone::clone);
                            value.and_then(|v| in_encoding(v, *own, self.manner.encoding))
                        }
                        Err(error) => Err(error.clone()),
                    };
                    self.put(ItemId::Index(index), &mut run, value);
                    self.list.send_full().await?;
                    self.records.send_full().await?;
                }
            }
        }
        self.list.send_full().await?;
        Ok(self.records.send_full().await?)
    }

    /// Of the outcomes of one item the first one counts. An item without an index has one key, and
    /// so one outcome.
    fn is_first(&mut self, id: ItemId) -> bool {
        match id {
            ItemId::Index(index) => self.seen.insert(index),
            ItemId::Stored { .. } => true,
        }
    }

    fn put(&mut self, id: ItemId, run: &mut Run, value: Result<Cow<'_, [u8]>, ItemError>) {
        if !in_range(self.seal.as_ref(), id) {
            self.extra += 1;
            if self.extra_records.len() < MAX_EXTRA {
                let message = format!("the index {id} is not below the total");
                let error = ItemError::new(ErrorKind::OutOfRange, message);
                self.extra_records.push(record(id, run.clone(), Some(error)));
            }
            return;
        }
        let (encoding, before) = (self.manner.encoding, self.between());
        self.list.write(before);
        self.list.write(value.as_deref().unwrap_or(encoding.null()));
        self.records.write(before);
        self.ok += u64::from(value.is_ok());
        self.failed += u64::from(value.is_err());
        // Lent: every record of a chunk would copy the worker's name.
        let lent = Run { worker: mem::take(&mut run.worker), ..*run };
        let record = record(id, lent, value.err());
        self.records.write_value(encoding, &record);
        run.worker = record.worker;
    }

    /// What stands before the next element of the list.
    fn between(&self) -> &'static [u8] {
        match self.counted() {
            0 => self.manner.encoding.list_open(),
            _ => self.manner.encoding.list_separator(),
        }
    }

    /// Closes both and waits until every chunk is stored; the list, then the records, and what of them
    /// goes with the list's metadata. The records
    /// of what the list leaves out stand behind those of the list's positions.
    pub(super) async fn finish(mut self) -> Result<(Uploaded, Uploaded, Vec<Outgoing>), Failed> {
        let encoding = self.manner.encoding;
        let mut before = self.between();
        if self.counted() == 0 {
            self.list.write(before);
        }
        self.list.write(encoding.list_close());
        for record in &self.extra_records {
            self.records.write(before);
            self.records.write_value(encoding, record);
            before = encoding.list_separator();
        }
        if self.counted() == 0 && self.extra == 0 {
            self.records.write(before);
        }
        self.records.write(encoding.list_close());
        // Both at once: a small group waits for one round trip, not two.
        let (list, records) = tokio::join!(self.list.finish(), self.records.finish());
        let ((list, only), (records, records_only)) = (list?, records?);
        Ok((list, records, records_only.into_iter().chain(only).collect()))
    }
}
