//! One item's outcome as it is stored, out of an entry of the cache or out of a list.

use async_nats::HeaderMap;
use bytes::Bytes;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Entry, ItemId, Span};
use jetiter_config::wire::{self, ErrorKind, ItemError, Outcomes, Record};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::result::Raw;

/// What one item came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which item.
    pub index: ItemId,
    /// How its value is written.
    pub encoding: Encoding,
    /// The bytes of its value, or why there is none.
    pub value: Result<Bytes, ItemError>,
}

impl Outcome {
    /// The value in JSON, on one line, whatever it is stored in.
    pub fn into_json(self) -> Result<Vec<u8>, ItemError> {
        let json = self.encoding.transcode(&self.value?, Encoding::Json);
        let mut json = json.map_err(|error| unusable("value", error))?;
        // Within a text a line break is escaped: these stand between the parts of a value.
        json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        Ok(json)
    }

    /// The value as a Rust type; the outer error says that it is of another one.
    pub(crate) fn decode<T: DeserializeOwned>(
        self,
    ) -> Result<Result<T, ItemError>, jetiter_config::Error> {
        match self.value {
            Ok(bytes) => self.encoding.decode(&bytes).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }
}

fn unusable(what: &str, reason: impl std::fmt::Display) -> ItemError {
    ItemError::new(ErrorKind::BadValue, format!("the stored {what} can't be read: {reason}"))
}

/// The outcomes that an entry of the cache holds, as the list will hold them.
pub(crate) fn of_entry(entry: Entry, headers: Option<&HeaderMap>, payload: &Bytes) -> Vec<Outcome> {
    let encoding = Encoding::from_content_type(wire::header(headers, wire::CONTENT_TYPE))
        .map_err(|error| unusable("outcome", error));
    match (entry, encoding) {
        (Entry::Outcome(index), encoding) => {
            let known = encoding.clone().unwrap_or_default();
            let value = encoding.and_then(|own| of_item(own, headers, payload));
            vec![Outcome { index, encoding: known, value }]
        }
        (Entry::Outcomes(span), encoding) => {
            let known = encoding.clone().unwrap_or_default();
            let read = encoding.and_then(|own| {
                let read = Outcomes::read(own, payload, span.count());
                read.map_err(|error| unusable("outcomes", error))
            });
            of_span(span, known, payload, read)
        }
        _ => Vec::new(),
    }
}

fn of_item(
    encoding: Encoding,
    headers: Option<&HeaderMap>,
    payload: &Bytes,
) -> Result<Bytes, ItemError> {
    if wire::is_failed(headers) {
        let read = encoding.decode::<ItemError>(payload);
        return Err(read.unwrap_or_else(|error| unusable("error", error)));
    }
    encoding.check(payload).map_err(|error| unusable("value", error))?;
    Ok(payload.clone())
}

fn of_span(
    span: Span,
    encoding: Encoding,
    payload: &Bytes,
    read: Result<Outcomes, ItemError>,
) -> Vec<Outcome> {
    let value = |at| match &read {
        Ok(outcomes) => outcomes.value(at).map(|v| payload.slice_ref(v)).map_err(Clone::clone),
        Err(error) => Err(error.clone()),
    };
    let one = |(at, index)| Outcome { index: ItemId::Index(index), encoding, value: value(at) };
    span.indexes().enumerate().map(one).collect()
}

/// The outcomes that a list and its records hold.
pub(crate) fn of_list(list: Raw, records: &Raw) -> Result<Vec<Outcome>, Error> {
    let encoding = list.summary.encoding;
    let bytes = Bytes::from(list.bytes);
    let parts = encoding.list_parts_up_to(&bytes, usize::MAX)?;
    let records: Vec<Record> = records.decode()?;
    let one = |(at, record): (std::ops::Range<usize>, Record)| {
        let missing = || ItemError::new(ErrorKind::BadValue, "the value is null");
        let value = match record.ok {
            true => Ok(bytes.slice(at)),
            false => Err(record.error.unwrap_or_else(missing)),
        };
        Outcome { index: record.index, encoding, value }
    };
    Ok(parts.into_iter().zip(records).map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(entry: Entry, headers: Option<&HeaderMap>, payload: &'static [u8]) -> Vec<String> {
        let outcomes = of_entry(entry, headers, &Bytes::from_static(payload)).into_iter();
        let shown = |json: Vec<u8>| String::from_utf8(json).unwrap();
        let text = |one: Outcome| one.into_json().map_or_else(|e| format!("{:?}", e.kind), shown);
        outcomes.map(text).collect()
    }

    #[test]
    fn an_entry_is_taken_apart() {
        let item = Entry::Outcome(ItemId::Index(7));
        assert_eq!(values(item, None, b"{\"a\":\n 1}"), ["{\"a\":  1}"]);
        assert_eq!(values(item, None, b"{"), ["BadValue"]);
        let span = Entry::Outcomes(Span::new(5, 2).unwrap());
        let errors = br#"{"values":[1,null],"errors":[[1,{"kind":"failed","message":"x"}]]}"#;
        assert_eq!(values(span, None, errors), ["1", "Failed"]);
        assert_eq!(values(span, None, br#"{"values":[1]}"#), ["BadValue", "BadValue"]);
        let mut headers = HeaderMap::new();
        headers.insert(wire::STATUS, "error");
        let error = br#"{"kind":"timed_out","message":"x"}"#;
        assert_eq!(values(item, Some(&headers), error), ["TimedOut"]);
    }
}
