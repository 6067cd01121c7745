//! The list and the records of one group, growing.

use jetiter_config::encoding::Encoding;
use jetiter_config::wire::{ErrorKind, ItemError, Record};

use super::collation::Failed;
use super::outcome::Stored;
use super::upload::Upload;
use crate::tally::Verdict;

/// The most records of items out of range; beyond it only their number is told.
const MAX_EXTRA: usize = 10_000;

/// The list and the records, growing.
pub(super) struct Draft {
    pub(super) list: Upload,
    pub(super) records: Upload,
    pub(super) encoding: Encoding,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) extra: u64,
    pub(super) extra_records: Vec<Record>,
}

impl Draft {
    pub(super) async fn add(&mut self, verdict: &Verdict, stored: &Stored) -> Result<(), Failed> {
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

    /// Closes both. The records of what the list leaves out stand behind those of the list's positions.
    pub(super) async fn close(&mut self) -> Result<(), Failed> {
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
