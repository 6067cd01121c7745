//! The outcomes of several items in one entry: what a chunk came to, or a part of it.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::outcome::{ErrorKind, ItemError};
use crate::encoding::Encoding;
use crate::error::Error;

/// The outcomes of a span, read: by offset from its first index.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    payload: Bytes,
    values: Vec<Range<usize>>,
    errors: BTreeMap<u32, ItemError>,
    attempts: BTreeMap<u32, u32>,
    began: Vec<u64>,
    took: Vec<u64>,
}

impl Outcomes {
    /// Reads the payload of an entry of so many outcomes. A value that is not well formed is an
    /// error of its own; an error of the whole says that nothing of the entry can be used.
    pub fn read(encoding: Encoding, payload: &Bytes, count: u32) -> Result<Outcomes, Error> {
        let count = count as usize;
        let mut outcomes = Outcomes { payload: payload.clone(), ..Outcomes::default() };
        let mut known = Vec::new();
        for (field, at) in encoding.map_parts(payload)? {
            let part = &payload[at.clone()];
            match field.as_str() {
                "values" => outcomes.values = shifted(encoding.list_parts(part, count)?, at.start),
                "errors" => outcomes.errors = errors(encoding, part, count)?,
                "attempts" => outcomes.attempts = by_offset(encoding.decode(part)?, count)?,
                "began" => outcomes.began = numbers(encoding, part, count)?,
                "took" => outcomes.took = numbers(encoding, part, count)?,
                _ => continue,
            }
            if known.contains(&field) {
                return Err(malformed(format!("{field} is there twice")));
            }
            known.push(field);
        }
        if !known.iter().any(|field| field == "values") {
            return Err(malformed("there are no values".to_owned()));
        }
        outcomes.check(encoding);
        Ok(outcomes)
    }

    /// Foreign bytes must not break the list for everybody else.
    fn check(&mut self, encoding: Encoding) {
        for (offset, at) in self.values.iter().enumerate() {
            if let Err(error) = encoding.check(&self.payload[at.clone()]) {
                let unreadable = || unreadable("value", error.reason());
                self.errors.entry(offset as u32).or_insert_with(unreadable);
            }
        }
    }

    /// How many outcomes there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The bytes of a value, well formed, or why there is none.
    pub fn value(&self, offset: usize) -> Result<&[u8], &ItemError> {
        match self.errors.get(&(offset as u32)) {
            Some(error) => Err(error),
            None => Ok(&self.payload[self.values[offset].clone()]),
        }
    }

    /// How many of them have no value.
    pub fn failed(&self) -> usize {
        self.errors.len()
    }

    /// How often an item was tried, where that differs from what the entry's header says.
    pub fn attempts(&self, offset: usize) -> Option<u32> {
        self.attempts.get(&(offset as u32)).copied()
    }

    /// How many milliseconds behind the `started` of the entry's header an item began.
    pub fn began(&self, offset: usize) -> u64 {
        self.began.get(offset).copied().unwrap_or(0)
    }

    /// How many microseconds an item took, where the entry tells it.
    pub fn took(&self, offset: usize) -> Option<u64> {
        self.took.get(offset).copied()
    }
}

fn shifted(mut parts: Vec<Range<usize>>, by: usize) -> Vec<Range<usize>> {
    for part in &mut parts {
        *part = part.start + by..part.end + by;
    }
    parts
}

/// Reads `[[offset, {kind, message}], ...]`. An error that can't be read is one all the same.
fn errors(
    encoding: Encoding,
    list: &[u8],
    count: usize,
) -> Result<BTreeMap<u32, ItemError>, Error> {
    let mut pairs = Vec::new();
    for part in encoding.list_parts_up_to(list, count)? {
        let pair = &list[part];
        pairs.push(encoding.decode(pair).or_else(|error| {
            let (offset, _) = encoding.decode::<(u32, IgnoredAny)>(pair)?;
            Ok::<_, Error>((offset, unreadable("error", error.reason())))
        })?);
    }
    by_offset(pairs, count)
}

fn by_offset<T>(pairs: Vec<(u32, T)>, count: usize) -> Result<BTreeMap<u32, T>, Error> {
    let mut map = BTreeMap::new();
    for (offset, what) in pairs {
        if offset as usize >= count {
            return Err(malformed(format!("offset {offset} is not below {count}")));
        }
        if map.insert(offset, what).is_some() {
            return Err(malformed(format!("offset {offset} is there twice")));
        }
    }
    Ok(map)
}

fn numbers(encoding: Encoding, list: &[u8], count: usize) -> Result<Vec<u64>, Error> {
    let numbers: Vec<u64> = encoding.decode(list)?;
    match numbers.len() == count {
        true => Ok(numbers),
        false => Err(malformed(format!("{} numbers, not {count}", numbers.len()))),
    }
}

fn unreadable(what: &str, reason: String) -> ItemError {
    ItemError::new(ErrorKind::BadValue, format!("the stored {what} can't be read: {reason}"))
}

fn malformed(reason: String) -> Error {
    Error::Encoding { what: "the outcomes of a chunk".to_owned(), reason }
}

#[cfg(test)]
#[path = "outcomes_tests.rs"]
mod tests;
