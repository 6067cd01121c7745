//! A finished group's list and records, as bytes and as values.

use std::any::type_name;

use jetiter_config::names::ItemId;
use jetiter_config::wire::{ItemError, Record, Summary};
use serde::de::DeserializeOwned;
use serde::de::value::{Error as NoValue, UnitDeserializer};

use crate::error::Error;

/// A list or its records as they are stored: one value in [`Summary::encoding`].
#[derive(Clone, Debug)]
pub struct Raw {
    /// What the result is.
    pub summary: Summary,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Raw {
    /// As JSON, whatever it is stored in.
    pub fn into_json(self) -> Result<Vec<u8>, Error> {
        use jetiter_config::encoding::Encoding;
        Ok(self.summary.encoding.transcode(&self.bytes, Encoding::Json)?)
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<Vec<T>, Error> {
        self.summary.encoding.decode(&self.bytes).map_err(|error| {
            let failed = self.summary.failed;
            let hint = match failed {
                0 => String::new(),
                _ => format!("; {failed} items failed and are null: read Option<T>, or use fetch"),
            };
            Error::WrongType {
                group: self.summary.group.clone(),
                wanted: type_name::<T>(),
                reason: error.to_string(),
                hint,
            }
        })
    }
}

/// A finished group with all that is known of it.
#[derive(Clone, Debug)]
pub struct Fetched<T> {
    /// How it ended, how many items, when.
    pub summary: Summary,
    /// The values in completion order; `None` for a failed item.
    pub list: Vec<Option<T>>,
    /// One record per position of the list; behind them those of items out of range, which the
    /// list leaves out.
    pub records: Vec<Record>,
}

impl<T: DeserializeOwned> Fetched<T> {
    pub(crate) fn read(list: Raw, records: &Raw) -> Result<Fetched<T>, Error> {
        let mut values: Vec<Option<T>> = list.decode()?;
        let records: Vec<Record> = records.decode()?;
        // Null is also a value that `()` and `Option` can have: the record tells which it is.
        for (value, record) in values.iter_mut().zip(&records) {
            if value.is_none() && record.ok {
                *value = T::deserialize(UnitDeserializer::<NoValue>::new()).ok();
            }
        }
        Ok(Fetched { summary: list.summary, list: values, records })
    }
}

impl<T> Fetched<T> {
    /// Each item's value or error, in the order of the arguments.
    pub fn into_ordered(self) -> Vec<(ItemId, Result<T, ItemError>)> {
        let mut items: Vec<_> = self
            .list
            .into_iter()
            .zip(self.records)
            .map(|(value, record)| (record.index, outcome(value, record.error)))
            .collect();
        items.sort_by_key(|(id, _)| *id);
        items
    }
}

fn outcome<T>(value: Option<T>, error: Option<ItemError>) -> Result<T, ItemError> {
    use jetiter_config::wire::ErrorKind::BadValue;
    match (value, error) {
        (_, Some(error)) => Err(error),
        (Some(value), None) => Ok(value),
        // A value that is null, read as a type that has none.
        (None, None) => Err(ItemError::new(BadValue, "the value is null")),
    }
}
