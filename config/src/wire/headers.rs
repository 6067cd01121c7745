//! The headers, by name and by value.

use std::time::Duration;

use async_nats::header::{HeaderMap, HeaderName, IntoHeaderValue};

use crate::error::Error;

/// The version of the protocol that this crate speaks.
pub const PROTOCOL: u32 = 1;

/// An item's index, canonical decimal, counted from 0.
pub const INDEX: &str = "Jetiter-Index";
/// How a payload is encoded; on a seal, how the list shall be.
pub const CONTENT_TYPE: &str = "Content-Type";
/// How long one attempt of the item may take, milliseconds.
pub const TIMEOUT: &str = "Jetiter-Timeout";
/// How often the item is tried again after its function returned an error.
pub const RETRIES: &str = "Jetiter-Retries";
/// On an outcome: `<attempt> <started ms since 1970> <took µs> <worker>`.
pub const RUN: &str = "Jetiter-Run";
/// On an outcome that is an error: `error`.
pub const STATUS: &str = "Jetiter-Status";
/// On a seal: how long the result is kept, milliseconds. For ever when absent.
pub const KEEP: &str = "Jetiter-Keep";
/// On a seal: the function, for the result's metadata.
pub const FUNCTION: &str = "Jetiter-Function";
/// On a seal: a label for people, for the result's metadata.
pub const LABEL: &str = "Jetiter-Label";
/// On a seal: the subject on which the group's end is told.
pub const NOTIFY: &str = "Jetiter-Notify";
/// Makes the server refuse a message whose subject holds one already.
pub const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
/// The server drops a second message with the same id within the duplicate window.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// How long the server keeps a message, whole seconds with an `s`.
pub const TTL: &str = "Nats-TTL";
/// `sub` replaces all earlier messages of the subject.
pub const ROLLUP: &str = "Nats-Rollup";

/// The most bytes that the headers of an item or an outcome take.
pub const MAX_HEADERS: usize = 1024;

/// The largest argument or value, in bytes, where a server takes messages of so many.
pub fn max_value(max_payload: usize) -> usize {
    max_payload.saturating_sub(MAX_HEADERS)
}

/// A header's value as text, when there is one.
pub fn header<'a>(headers: Option<&'a HeaderMap>, name: &'static str) -> Option<&'a str> {
    headers?.get(HeaderName::from_static(name)).map(|value| value.as_str())
}

/// Sets a header. From a plain text async-nats would make a copy of the name.
pub fn set_header(headers: &mut HeaderMap, name: &'static str, value: impl IntoHeaderValue) {
    headers.insert(HeaderName::from_static(name), value);
}

/// A header that holds milliseconds.
pub fn header_millis(
    headers: Option<&HeaderMap>,
    name: &'static str,
) -> Result<Option<Duration>, Error> {
    let Some(text) = header(headers, name) else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        Ok(millis) if millis > 0 => Ok(Some(Duration::from_millis(millis))),
        _ => Err(malformed(name, text, "milliseconds, a whole number above 0")),
    }
}

/// A header that holds a count.
pub fn header_count(headers: Option<&HeaderMap>, name: &'static str) -> Result<Option<u32>, Error> {
    let Some(text) = header(headers, name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| malformed(name, text, "a whole number"))
}

/// A hundred years, in seconds.
const LONGEST_TTL: u128 = 100 * 365 * 24 * 60 * 60;

/// A whole number of seconds as the server's TTL header wants it; at least one. At most a hundred
/// years: the server counts nanoseconds since 1970 in 64 bits and refuses what does not fit.
pub fn ttl(keep: Duration) -> String {
    format!("{}s", keep.as_millis().div_ceil(1000).clamp(1, LONGEST_TTL))
}

pub(super) fn malformed(what: &str, found: &str, wanted: &str) -> Error {
    Error::Encoding { what: what.to_owned(), reason: format!("{found:?} is not {wanted}") }
}

/// The headers of a write-once key: refused when the key is there already.
pub fn once_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    set_header(&mut headers, EXPECTED_LAST, "0");
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_whole_seconds() {
        assert_eq!(ttl(Duration::from_millis(1)), "1s");
        assert_eq!(ttl(Duration::from_millis(1500)), "2s");
        assert_eq!(ttl(Duration::MAX), "3153600000s");
    }
}
