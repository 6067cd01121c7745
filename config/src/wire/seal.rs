//! What decides a group: the seal, and how it ended.

use std::fmt;
use std::time::Duration;

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

use super::headers::{CONTENT_TYPE, FUNCTION, KEEP, LABEL, header, header_millis, malformed};
use crate::encoding::Encoding;
use crate::error::Error;
use crate::names::Function;

/// What a seal says; the payload of the seal mark, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// How many items the group has.
    pub total: u32,
    /// How the list is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// How long the result is kept, milliseconds; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
    /// The function, as the submitter names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// A label for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Seal {
    /// The longest label, in bytes.
    pub const MAX_LABEL: usize = 256;
    /// From here on, a hundred years, a result is kept for ever: the server's clock tells less
    /// than three hundred, and a TTL that it refuses would keep the group from ending.
    pub const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// A seal of so many items, with nothing else said.
    pub fn of(total: u32) -> Seal {
        Seal { total, encoding: Encoding::Json, keep_ms: None, function: None, label: None }
    }

    /// Refuses a label that a header can't carry.
    pub fn check_label(label: &str) -> Result<(), Error> {
        // A header loses the space around its value on its way.
        let sound = label.len() <= Seal::MAX_LABEL
            && !label.contains(['\r', '\n', '\0'])
            && label.trim() == label;
        if sound {
            Ok(())
        } else {
            let rule = "one line of at most 256 bytes without space around it";
            Err(malformed("the label", label, rule))
        }
    }

    /// Reads a seal message.
    pub fn from_message(headers: Option<&HeaderMap>, payload: &[u8]) -> Result<Seal, Error> {
        let text = std::str::from_utf8(payload).unwrap_or("no text").trim();
        let total = text
            .parse()
            .map_err(|_| malformed("the total", text, "a whole number from 0 to 4294967295"))?;
        let label = header(headers, LABEL).map(str::to_owned);
        if label.as_ref().is_some_and(|label| label.len() > Seal::MAX_LABEL) {
            return Err(malformed(LABEL, "a longer text", "at most 256 bytes"));
        }
        Ok(Seal {
            total,
            encoding: Encoding::from_content_type(header(headers, CONTENT_TYPE))?,
            keep_ms: header_millis(headers, KEEP)?
                .filter(|keep| *keep < Seal::FOR_EVER)
                .map(|keep| keep.as_millis() as u64),
            function: header(headers, FUNCTION).map(str::parse).transpose()?,
            label,
        })
    }

    /// The headers and the payload of the seal message.
    pub fn to_message(&self) -> (HeaderMap, Vec<u8>) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.encoding.content_type());
        if let Some(keep) = self.keep_ms {
            headers.insert(KEEP, keep.to_string());
        }
        if let Some(function) = &self.function {
            headers.insert(FUNCTION, function.as_str());
        }
        if let Some(label) = &self.label {
            headers.insert(LABEL, label.as_str());
        }
        (headers, self.total.to_string().into_bytes())
    }
}

/// How a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Every item has an outcome.
    Complete,
    /// Somebody cancelled it.
    Cancelled,
    /// It was never sealed, and nothing happened for a long time.
    Abandoned,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Complete => "complete",
            State::Cancelled => "cancelled",
            State::Abandoned => "abandoned",
        })
    }
}

/// The payload of an end mark, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How the group ended; never [`State::Complete`].
    pub state: State,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_round_trips() {
        let seal = Seal {
            total: 5,
            encoding: Encoding::Cbor,
            keep_ms: Some(1500),
            function: Some("math.floor".parse().unwrap()),
            label: Some("my run".into()),
        };
        let (headers, payload) = seal.to_message();
        assert_eq!(Seal::from_message(Some(&headers), &payload).unwrap(), seal);
        assert_eq!(Seal::from_message(None, b"100").unwrap(), Seal::of(100));
        let mut headers = HeaderMap::new();
        headers.insert(KEEP, u64::MAX.to_string());
        let kept = Seal::from_message(Some(&headers), b"100").unwrap();
        assert_eq!(kept, Seal::of(100), "longer than a server can count is for ever");
    }

    #[test]
    fn a_malformed_seal_is_named() {
        for bad in ["", "-1", "1.5", "4294967296", "[1]", "ten"] {
            let error = Seal::from_message(None, bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("total") && error.contains(bad), "{error}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(KEEP, "soon");
        let error = Seal::from_message(Some(&headers), b"1").unwrap_err().to_string();
        assert!(error.contains(KEEP) && error.contains("soon"), "{error}");
    }
}
