//! Takes a list or a map apart into slices of its bytes, without reading what they hold: one
//! part that nobody can read leaves the others as they are.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::walk::Walker;
use super::{Encoding, problem};
use crate::error::Error;

impl Encoding {
    /// Where the values of a list stand, which must be so many. Only their ends are found:
    /// whether a value can be read is told by [`check`](Encoding::check) or by its reader.
    pub fn list_parts(self, list: &[u8], count: usize) -> Result<Vec<Range<usize>>, Error> {
        let parts = self.list_parts_up_to(list, count)?;
        match parts.len() == count {
            true => Ok(parts),
            false => Err(problem("the list", format!("{} values, not {count}", parts.len()))),
        }
    }

    /// Where the values of a list stand, which must be at most so many.
    pub fn list_parts_up_to(self, list: &[u8], most: usize) -> Result<Vec<Range<usize>>, Error> {
        let parts = match self {
            Encoding::Cbor => cbor_list(list, most),
            Encoding::Json => json_list(list, most),
        };
        parts.map_err(|reason| problem("the list", reason))
    }

    /// Where the values of a map stand whose keys are texts.
    pub fn map_parts(self, map: &[u8]) -> Result<Vec<(String, Range<usize>)>, Error> {
        let parts = match self {
            Encoding::Cbor => cbor_map(map),
            Encoding::Json => json_map(map),
        };
        parts.map_err(|reason| problem("the map", reason))
    }
}

/// More fields than anybody writes: what has more is not ours.
const MOST_FIELDS: usize = 64;

fn too_many(most: usize) -> String {
    format!("more than {most} values")
}

fn cbor_list(bytes: &[u8], most: usize) -> Result<Vec<Range<usize>>, String> {
    let mut walker = Walker::new(bytes);
    let length = walker.open_list()?;
    let mut parts = Vec::new();
    while !cbor_ends(&mut walker, length, parts.len()) {
        if parts.len() == most {
            return Err(too_many(most));
        }
        parts.push(cbor_part(&mut walker)?);
    }
    walker.end().map(|()| parts)
}

fn cbor_map(bytes: &[u8]) -> Result<Vec<(String, Range<usize>)>, String> {
    let mut walker = Walker::new(bytes);
    let length = walker.open_map()?;
    let mut parts = Vec::new();
    while !cbor_ends(&mut walker, length, parts.len()) {
        if parts.len() == MOST_FIELDS {
            return Err(too_many(MOST_FIELDS));
        }
        let key = cbor_part(&mut walker)?;
        parts.push((super::strict_cbor(&bytes[key])?, cbor_part(&mut walker)?));
    }
    walker.end().map(|()| parts)
}

fn cbor_ends(walker: &mut Walker<'_>, length: Option<u64>, read: usize) -> bool {
    length.map_or_else(|| walker.closes(), |length| read as u64 == length)
}

fn cbor_part(walker: &mut Walker<'_>) -> Result<Range<usize>, String> {
    let start = walker.at;
    walker.skip()?;
    Ok(start..walker.at)
}

fn json_list(bytes: &[u8], most: usize) -> Result<Vec<Range<usize>>, String> {
    let mut json = Json { bytes, at: 0 };
    let mut parts = Vec::new();
    json.open(b'[')?;
    while !json.ends(b']', parts.is_empty())? {
        if parts.len() == most {
            return Err(too_many(most));
        }
        parts.push(json.value::<IgnoredAny>()?.1);
    }
    json.end().map(|()| parts)
}

fn json_map(bytes: &[u8]) -> Result<Vec<(String, Range<usize>)>, String> {
    let mut json = Json { bytes, at: 0 };
    let mut parts = Vec::new();
    json.open(b'{')?;
    while !json.ends(b'}', parts.is_empty())? {
        if parts.len() == MOST_FIELDS {
            return Err(too_many(MOST_FIELDS));
        }
        let (key, _) = json.value::<Cow<'_, str>>()?;
        json.open(b':')?;
        parts.push((key.into_owned(), json.value::<IgnoredAny>()?.1));
    }
    json.end().map(|()| parts)
}

/// Walks over JSON.
struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Json<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.bytes[self.at..];
        let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r'));
        self.at += space.count();
        self.bytes.get(self.at).copied()
    }

    fn open(&mut self, sign: u8) -> Result<(), String> {
        if self.peek() != Some(sign) {
            return Err(format!("no `{}` at byte {}", char::from(sign), self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over what ends a list or map, or separates two values of it.
    fn ends(&mut self, close: u8, first: bool) -> Result<bool, String> {
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(true);
        }
        if !first {
            self.open(b',')?;
        }
        Ok(false)
    }

    fn value<T: Deserialize<'a>>(&mut self) -> Result<(T, Range<usize>), String> {
        self.peek();
        let start = self.at;
        let mut values = serde_json::Deserializer::from_slice(&self.bytes[start..]).into_iter();
        let value = values.next().ok_or("it ends too early")?.map_err(|e| e.to_string())?;
        self.at += values.byte_offset();
        Ok((value, start..self.at))
    }

    fn end(&mut self) -> Result<(), String> {
        self.peek();
        match self.bytes.len() - self.at {
            0 => Ok(()),
            more => Err(format!("{more} bytes too many")),
        }
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
