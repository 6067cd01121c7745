//! Writes the outcomes of several items into one entry.

use super::outcome::{ErrorKind, ItemError, Run};
use crate::encoding::Encoding;
use crate::error::Error;

/// How one item of a chunk ran; what its own `Jetiter-Run` would say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// When it began, milliseconds since 1970.
    pub started: u64,
    /// How long it took, microseconds.
    pub took: u64,
}

/// The outcomes of a span in the making, one after another.
#[derive(Debug)]
pub struct OutcomesWriter {
    encoding: Encoding,
    values: Vec<u8>,
    errors: Vec<(u32, ItemError)>,
    ran: Vec<Ran>,
}

impl OutcomesWriter {
    /// No outcomes yet.
    pub fn new(encoding: Encoding) -> OutcomesWriter {
        let values = encoding.list_open().to_vec();
        OutcomesWriter { encoding, values, errors: Vec::new(), ran: Vec::new() }
    }

    /// Adds the next outcome. A value that is not well formed, by the doing of its type, would
    /// break the entry of its neighbours: it is an error.
    pub fn push(&mut self, outcome: Result<&[u8], ItemError>, ran: Ran) {
        let outcome = outcome.and_then(|value| match self.encoding.check(value) {
            Ok(()) => Ok(value),
            Err(error) => Err(ItemError::new(ErrorKind::BadValue, error)),
        });
        if !self.ran.is_empty() {
            self.values.extend_from_slice(self.encoding.list_separator());
        }
        match outcome {
            Ok(value) => self.values.extend_from_slice(value),
            Err(error) => {
                self.values.extend_from_slice(self.encoding.null());
                self.errors.push((self.ran.len() as u32, error));
            }
        }
        self.ran.push(ran);
    }

    /// The most bytes that this outcome will add.
    pub fn most(outcome: &Result<Vec<u8>, ItemError>) -> usize {
        match outcome {
            Ok(value) => OutcomesWriter::EACH + value.len(),
            // As JSON a control character takes six bytes.
            Err(error) => OutcomesWriter::EACH + 64 + 6 * error.message.len(),
        }
    }

    /// Three numbers, of up to 20 digits, and an offset.
    const EACH: usize = 80;

    /// Whether one of them is an error: the entry's `Jetiter-Status` says so.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The entry: its run, under the worker's name, and its payload.
    pub fn finish(mut self, worker: String) -> Result<(Run, Vec<u8>), Error> {
        let attempts = self.ran.iter().map(|ran| ran.attempts).min().unwrap_or_default();
        let started = self.ran.iter().map(|ran| ran.started).min().unwrap_or_default();
        let took = self.ran.iter().fold(0u64, |sum, ran| sum.saturating_add(ran.took));
        self.values.extend_from_slice(self.encoding.list_close());
        let mut fields = vec![("values", self.values)];
        let mut add =
            |name, bytes: Result<Vec<u8>, Error>| bytes.map(|bytes| fields.push((name, bytes)));
        if !self.errors.is_empty() {
            add("errors", self.encoding.encode(&self.errors))?;
        }
        let offsets = self.ran.iter().enumerate().map(|(at, ran)| (at as u32, ran.attempts));
        let others: Vec<_> = offsets.filter(|(_, other)| *other != attempts).collect();
        if !others.is_empty() {
            add("attempts", self.encoding.encode(&others))?;
        }
        let began: Vec<_> = self.ran.iter().map(|ran| ran.started - started).collect();
        if began.iter().any(|behind| *behind > 0) {
            add("began", self.encoding.encode(&began))?;
        }
        let took_each: Vec<_> = self.ran.iter().map(|ran| ran.took).collect();
        add("took", self.encoding.encode(&took_each))?;
        let payload = map(self.encoding, &fields)?;
        Ok((Run { attempts, started, took, worker }, payload))
    }
}

/// A map of fields that are written already.
fn map(encoding: Encoding, fields: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, Error> {
    let size: usize = fields.iter().map(|(_, bytes)| bytes.len() + 16).sum();
    let mut map = Vec::with_capacity(size);
    for (at, (name, bytes)) in fields.iter().enumerate() {
        let (open, colon) = match encoding {
            Encoding::Cbor if at == 0 => (&[0xbf][..], &[][..]),
            Encoding::Cbor => (&[][..], &[][..]),
            Encoding::Json if at == 0 => (&b"{"[..], &b":"[..]),
            Encoding::Json => (&b","[..], &b":"[..]),
        };
        map.extend_from_slice(open);
        map.extend_from_slice(&encoding.encode(name)?);
        map.extend_from_slice(colon);
        map.extend_from_slice(bytes);
    }
    map.extend_from_slice(match encoding {
        Encoding::Cbor => &[0xff],
        Encoding::Json => b"}",
    });
    Ok(map)
}
