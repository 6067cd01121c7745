//! The list and the records of one group, growing.

use jetiter_config::broker::Broker;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::ItemId;
use jetiter_config::wire::{ErrorKind, ItemError, Record, Seal};
use roaring::RoaringBitmap;

use super::buffer::Batch;
use super::collation::Failed;
use super::outcome::Stored;
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

    /// Adds the next outcomes, and holds nothing back to fill a chunk: others need the memory.
    pub(super) async fn add_all(&mut self, batch: &Batch) -> Result<(), Failed> {
        for stored in batch.iter() {
            self.add(&stored).await?;
        }
        self.list.flush().await?;
        Ok(self.records.flush().await?)
    }

    /// Adds the next outcome of the log; the first one of an item counts.
    pub(super) async fn add(&mut self, stored: &Stored<'_>) -> Result<(), Failed> {
        if let ItemId::Index(index) = stored.id
            && !self.seen.insert(index)
        {
            return Ok(());
        }
        if !in_range(self.seal.as_ref(), stored.id) {
            self.extra += 1;
            if self.extra_records.len() < MAX_EXTRA {
                let message = format!("the index {} is not below the total", stored.id);
                let error = ItemError::new(ErrorKind::OutOfRange, message);
                self.extra_records.push(stored.record(Some(error)));
            }
            return Ok(());
        }
        let encoding = self.manner.encoding;
        let before = self.between();
        self.list.write(before).await?;
        let error = match stored.value(encoding) {
            Ok(value) => {
                self.list.write(&value).await?;
                None
            }
            Err(error) => {
                self.list.write(encoding.null()).await?;
                Some(error)
            }
        };
        self.records.write(before).await?;
        let record = stored.record(error);
        self.ok += u64::from(record.ok);
        self.failed += u64::from(!record.ok);
        self.write_record(&record).await
    }

    /// What stands before the next element of the list.
    fn between(&self) -> &'static [u8] {
        match self.counted() {
            0 => self.manner.encoding.list_open(),
            _ => self.manner.encoding.list_separator(),
        }
    }

    async fn write_record(&mut self, record: &Record) -> Result<(), Failed> {
        let bytes = self.manner.encoding.encode(record).map_err(|error| error.to_string())?;
        Ok(self.records.write(&bytes).await?)
    }

    /// Closes both and waits until every chunk is stored; the list, then the records. The records
    /// of what the list leaves out stand behind those of the list's positions.
    pub(super) async fn finish(mut self) -> Result<(Uploaded, Uploaded), Failed> {
        let encoding = self.manner.encoding;
        let mut before = self.between();
        self.list.write(if self.counted() == 0 { before } else { &[] }).await?;
        self.list.write(encoding.list_close()).await?;
        for record in std::mem::take(&mut self.extra_records) {
            self.records.write(before).await?;
            self.write_record(&record).await?;
            before = encoding.list_separator();
        }
        let is_open = self.counted() > 0 || self.extra > 0;
        self.records.write(if is_open { &[] } else { before }).await?;
        self.records.write(encoding.list_close()).await?;
        // Both at once: a small group waits for one round trip, not two.
        let (list, records) = tokio::join!(self.list.finish(), self.records.finish());
        Ok((list?, records?))
    }
}
