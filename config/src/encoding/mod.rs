//! The two encodings of arguments, values and lists: CBOR and JSON.

mod lenient;
mod parts;
mod transcode;
mod walk;
mod well_formed;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How deep a value may nest. A list adds one level, and the usual readers of both encodings
/// stop at 128.
pub const MAX_DEPTH: usize = 64;

/// How deep a reader goes: a list of the deepest values must be read too.
const READ_DEPTH: usize = MAX_DEPTH + 1;

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// `application/cbor`, the Rust client's default.
    Cbor,
    /// `application/json`, and what a payload without a `Content-Type` is.
    #[default]
    Json,
}

impl Encoding {
    /// The encoding that a `Content-Type` names; JSON when there is none.
    pub fn from_content_type(content_type: Option<&str>) -> Result<Encoding, Error> {
        let Some(text) = content_type else {
            return Ok(Encoding::Json);
        };
        let essence = text.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Ok(Encoding::Json)
        } else if essence.eq_ignore_ascii_case("application/cbor") {
            Ok(Encoding::Cbor)
        } else {
            Err(problem(
                "the Content-Type",
                format!("{text:?} is not known: use application/json or application/cbor"),
            ))
        }
    }

    /// The `Content-Type` of this encoding.
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Cbor => "application/cbor",
            Encoding::Json => "application/json",
        }
    }

    /// Writes one value.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, Error> {
        // Most values are numbers, and a number is written in several pieces.
        let mut bytes = Vec::with_capacity(16);
        self.encode_into(value, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes one value behind what the bytes hold. After an error a part of it may be there.
    pub fn encode_into<T: Serialize + ?Sized>(
        self,
        value: &T,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self {
            Encoding::Cbor => {
                ciborium::into_writer(value, bytes).map_err(|error| error.to_string())
            }
            Encoding::Json => {
                serde_json::to_writer(bytes, value).map_err(|error| error.to_string())
            }
        }
        .map_err(|reason| problem("the value", reason))
    }

    /// Reads exactly one value.
    ///
    /// A CBOR integer is read as a float where one is wanted, as JSON does it: to the person
    /// who publishes, `3` is a fine `f64`.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, Error> {
        match self {
            Encoding::Json => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
            Encoding::Cbor => strict_cbor(bytes).or_else(|_| lenient::decode(bytes)),
        }
        .map_err(|reason| problem("the value", reason))
    }

    /// Checks, without building it, that the bytes are exactly one well-formed value that
    /// nests at most [`MAX_DEPTH`] deep.
    pub fn check(self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Encoding::Json => well_formed::json(bytes),
            Encoding::Cbor => walk::one(bytes, MAX_DEPTH),
        }
        .map_err(|reason| problem("the value", reason))
    }

    /// Writes the same value in the other encoding.
    ///
    /// What JSON lacks: NaN and the infinities become `null`, bytes become base64 text, a tag is
    /// dropped (a big number stays a number), and a map key becomes the text of its value.
    pub fn transcode(self, bytes: &[u8], to: Encoding) -> Result<Vec<u8>, Error> {
        match (self, to) {
            (Encoding::Cbor, Encoding::Json) => transcode::cbor_to_json(bytes),
            (Encoding::Json, Encoding::Cbor) => transcode::json_to_cbor(bytes),
            _ => return Ok(bytes.to_vec()),
        }
        .map_err(|reason| problem("the value", reason))
    }

    /// What opens a list of unknown length.
    pub fn list_open(self) -> &'static [u8] {
        match self {
            Encoding::Cbor => &[0x9f],
            Encoding::Json => b"[",
        }
    }

    /// What stands between two values of a list.
    pub fn list_separator(self) -> &'static [u8] {
        match self {
            Encoding::Cbor => &[],
            Encoding::Json => b",\n",
        }
    }

    /// What closes a list.
    pub fn list_close(self) -> &'static [u8] {
        match self {
            Encoding::Cbor => &[0xff],
            Encoding::Json => b"]\n",
        }
    }

    /// The value that stands in for a failed item.
    pub fn null(self) -> &'static [u8] {
        match self {
            Encoding::Cbor => &[0xf6],
            Encoding::Json => b"null",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Cbor => "cbor",
            Encoding::Json => "json",
        })
    }
}

fn problem(what: &str, reason: String) -> Error {
    Error::Encoding { what: what.to_owned(), reason }
}

fn strict_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, READ_DEPTH)
        .map_err(|error| error.to_string())?;
    // ciborium stops behind the first value and says nothing of what follows.
    if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes too many", rest.len())) }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    fn cbor<T: Serialize>(value: T) -> Vec<u8> {
        Encoding::Cbor.encode(&value).unwrap()
    }

    #[test]
    fn content_types() {
        let of = |text| Encoding::from_content_type(text).ok();
        assert_eq!(of(None), Some(Encoding::Json));
        assert_eq!(of(Some("application/json; charset=utf-8")), Some(Encoding::Json));
        assert_eq!(of(Some("Application/CBOR")), Some(Encoding::Cbor));
        assert_eq!(of(Some("text/plain")), None);
    }

    #[test]
    fn an_integer_is_a_fine_float_in_both() {
        assert_eq!(Encoding::Json.decode::<f64>(b"3").unwrap(), 3.0);
        assert_eq!(Encoding::Cbor.decode::<f64>(&cbor(3)).unwrap(), 3.0);
        assert_eq!(Encoding::Cbor.decode::<(f64, f64)>(&cbor((1, -1))).unwrap(), (1.0, -1.0));
        assert_eq!(Encoding::Cbor.decode::<Vec<f64>>(&cbor([1, 2])).unwrap(), [1.0, 2.0]);
        for large in [i128::MIN, -1 << 64, 1 << 64] {
            let json = large.to_string();
            assert_eq!(Encoding::Json.decode::<f64>(json.as_bytes()).unwrap(), large as f64);
            assert_eq!(Encoding::Cbor.decode::<f64>(&cbor(large)).unwrap(), large as f64);
        }
    }

    #[test]
    fn a_float_is_read_as_it_was_written() {
        let float = 31.245270191439438;
        assert_eq!(Encoding::Json.decode::<f64>(b"31.245270191439438").unwrap(), float);
        let cbor = Encoding::Json.transcode(b"31.245270191439438", Encoding::Cbor).unwrap();
        assert_eq!(Encoding::Cbor.decode::<f64>(&cbor).unwrap(), float);
    }

    #[test]
    fn a_tuple_has_its_own_length() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let three = encoding.encode(&[1, 2, 3]).unwrap();
            assert!(encoding.decode::<(f64, f64)>(&three).is_err(), "{encoding}");
            assert!(encoding.decode::<(f64, f64, f64, f64)>(&three).is_err(), "{encoding}");
        }
    }

    #[test]
    fn exactly_one_value() {
        for (encoding, bad) in [
            (Encoding::Json, &b"1 2"[..]),
            (Encoding::Json, b""),
            (Encoding::Json, b"[1,"),
            (Encoding::Json, b"\"\xff\""),
            (Encoding::Json, b"1e999"),
            (Encoding::Cbor, b""),
            (Encoding::Cbor, &[0x01, 0x01]),
            (Encoding::Cbor, &[0x82, 0x01]),
            (Encoding::Cbor, &[0x9f, 0x01]),
            (Encoding::Cbor, &[0x61, 0xff]),
            (Encoding::Cbor, &[0xff]),
        ] {
            assert!(encoding.check(bad).is_err(), "{encoding} {bad:x?}");
            assert!(encoding.decode::<serde_json::Value>(bad).is_err(), "{encoding} {bad:x?}");
        }
        assert!(Encoding::Json.check(b" {\"a\":[1,2.5,null,true,\"x\"]} ").is_ok());
        assert!(Encoding::Cbor.check(&[0xc1, 0x1a, 0, 0, 0, 1]).is_ok(), "a tagged value");
        assert!(Encoding::Cbor.check(&cbor(u128::MAX)).is_ok(), "a big number");
    }

    #[test]
    fn depth_is_bounded() {
        for (encoding, open, close) in [(Encoding::Json, b'[', b']'), (Encoding::Cbor, 0x81, 0x80)]
        {
            let nested = |depth: usize| match encoding {
                Encoding::Json => [vec![open; depth], vec![close; depth]].concat(),
                Encoding::Cbor => [vec![open; depth - 1], vec![close]].concat(),
            };
            assert!(encoding.check(&nested(MAX_DEPTH)).is_ok(), "{encoding}");
            assert!(encoding.check(&nested(MAX_DEPTH + 1)).is_err(), "{encoding}");
            let list = [encoding.list_open(), &nested(MAX_DEPTH), encoding.list_close()].concat();
            assert!(encoding.decode::<Vec<IgnoredAny>>(&list).is_ok(), "{encoding}");
            assert!(encoding.check(&nested(100_000)).is_err(), "{encoding}");
        }
    }

    #[test]
    fn lists_are_one_value() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let value = encoding.encode(&1.5).unwrap();
            let parts = [
                encoding.list_open(),
                &value,
                encoding.list_separator(),
                encoding.null(),
                encoding.list_close(),
            ];
            let list: Vec<Option<f64>> = encoding.decode(&parts.concat()).unwrap();
            assert_eq!(list, [Some(1.5), None], "{encoding}");
            let empty = [encoding.list_open(), encoding.list_close()].concat();
            assert_eq!(encoding.decode::<Vec<f64>>(&empty).unwrap(), [0.0; 0]);
        }
    }
}
