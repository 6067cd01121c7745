//! Values in both encodings.

use std::collections::{BTreeMap, HashMap};

use jetiter_config::encoding::Encoding;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// Any bytes as JSON.
pub fn json(bytes: &[u8]) {
    value(Encoding::Json, bytes);
}

/// Any bytes as CBOR.
pub fn cbor(bytes: &[u8]) {
    value(Encoding::Cbor, bytes);
}

/// Something many times, something else, a third thing as many times: nesting of any depth, and
/// long lists. The first bytes say how often, and how long the parts are.
pub fn deep(bytes: &[u8]) {
    let [high, low, opening, closing, rest @ ..] = bytes else { return };
    let times = usize::from(u16::from_be_bytes([*high, *low]) & 0x7fff);
    let (opening, rest) = rest.split_at(usize::from(opening % 16).min(rest.len()));
    let (closing, middle) = rest.split_at(usize::from(closing % 8).min(rest.len()));
    let built = [&opening.repeat(times), middle, &closing.repeat(times)].concat();
    value(Encoding::Json, &built);
    value(Encoding::Cbor, &built);
}

fn value(encoding: Encoding, bytes: &[u8]) {
    let number = types(encoding, bytes);
    let other = match encoding {
        Encoding::Json => Encoding::Cbor,
        Encoding::Cbor => Encoding::Json,
    };
    let written = encoding.transcode(bytes, other);
    if encoding.check(bytes).is_err() {
        return;
    }
    let read = encoding.decode::<IgnoredAny>(bytes);
    assert!(read.is_ok(), "what is well formed can be read: {read:?}");
    if let Some(whole) = number {
        let float = encoding.decode::<f64>(bytes);
        assert_eq!(float, Ok(whole as f64), "an integer is a fine float");
    }
    list(encoding, bytes);
    if let Ok(written) = &written {
        other.check(written).expect("a value in the other encoding is well formed too");
        list(other, written);
        stays_the_same(other, written);
    }
    // JSON has no lists and maps as keys, nothing else is refused.
    assert!(written.is_ok() || encoding == Encoding::Cbor, "{written:?}");
}

/// A list of accepted values is one value, whoever's they are.
fn list(encoding: Encoding, value: &[u8]) {
    let (open, separator) = (encoding.list_open(), encoding.list_separator());
    let (null, close) = (encoding.null(), encoding.list_close());
    let list = [open, value, separator, null, separator, value, close].concat();
    let read = encoding.decode::<Vec<IgnoredAny>>(&list);
    assert_eq!(read.expect("a list of well-formed values is one").len(), 3);
    if encoding == Encoding::Cbor && encoding.transcode(value, Encoding::Json).is_ok() {
        let json = encoding.transcode(&list, Encoding::Json).expect("so is the list as JSON");
        assert_eq!(Encoding::Json.decode::<Vec<IgnoredAny>>(&json).expect("read").len(), 3);
    }
}

/// Once in the other encoding, a value goes there and back without a change.
fn stays_the_same(encoding: Encoding, bytes: &[u8]) {
    let (from, to) = match encoding {
        Encoding::Json => (Encoding::Json, Encoding::Cbor),
        Encoding::Cbor => (Encoding::Cbor, Encoding::Json),
    };
    let there = from.transcode(bytes, to).expect("what came from there can go back");
    let back = to.transcode(&there, from).expect("and come again");
    let again = to.transcode(&from.transcode(&back, to).expect("back"), from).expect("again");
    assert_eq!(back, again, "the third time is as the second");
}

#[derive(Deserialize)]
#[allow(dead_code)]
enum Shape {
    Point,
    Circle(f64),
    Box { width: f32, height: Option<u8> },
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Job {
    name: String,
    #[serde(default)]
    shape: Option<Shape>,
    more: BTreeMap<String, Vec<u64>>,
}

/// The types that functions usually take; returns the number, if it is one.
fn types(encoding: Encoding, bytes: &[u8]) -> Option<i128> {
    fn read<T: DeserializeOwned>(encoding: Encoding, bytes: &[u8]) -> Option<T> {
        encoding.decode::<T>(bytes).ok()
    }
    if read::<(f64, f64)>(encoding, bytes).is_some() {
        let list = read::<Vec<f64>>(encoding, bytes).expect("two floats are a list of floats");
        // ciborium takes the first two bytes of a longer string for a pair.
        let is_text = encoding == Encoding::Cbor && list.iter().all(|n| (0.0..256.0).contains(n));
        assert!(list.len() == 2 || is_text, "{list:?}");
    }
    if let Some(text) = read::<String>(encoding, bytes) {
        let again = encoding.encode(&text).expect("text can be written");
        assert_eq!(read::<String>(encoding, &again), Some(text));
    }
    read::<Value>(encoding, bytes);
    read::<Job>(encoding, bytes);
    read::<HashMap<String, f64>>(encoding, bytes);
    read::<Vec<Shape>>(encoding, bytes);
    read::<Vec<(u32, char, bool)>>(encoding, bytes);
    read::<()>(encoding, bytes);
    read::<u128>(encoding, bytes);
    read::<i128>(encoding, bytes)
}
