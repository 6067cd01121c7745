//! What a reader finds: an object's metadata, a list, its records.

use std::collections::HashMap;

use jetiter_client::{Raw, fuzzing};
use jetiter_config::encoding::Encoding;
use jetiter_config::wire::{Progress, State, Summary};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// A first byte that says which encoding, two that say how long the list is, the list, and the
/// records. The list's bytes are also tried as what else a reader gets.
pub fn result(bytes: &[u8]) {
    let [first, high, low, rest @ ..] = bytes else { return };
    let encoding = if first % 2 == 0 { Encoding::Json } else { Encoding::Cbor };
    let at = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (list, records) = rest.split_at(at);
    let raw = |bytes: &[u8]| Raw { summary: summary(encoding), bytes: bytes.to_vec() };
    fetch::<Value>(raw(list), &raw(records));
    fetch::<()>(raw(list), &raw(records));
    fetch::<Option<f64>>(raw(list), &raw(records));
    if encoding.check(list).is_ok()
        && let Ok(json) = raw(list).into_json()
    {
        Encoding::Json.check(&json).expect("a list as JSON is well formed");
    }
    metadata(list);
    same_again::<Progress>(list);
    uploaded(&String::from_utf8_lossy(list));
}

fn summary(encoding: Encoding) -> Summary {
    Summary {
        group: "g".to_owned(),
        state: State::Complete,
        encoding,
        total: Some(1),
        ok: 1,
        failed: 0,
        extra: 0,
        function: None,
        label: None,
        keep_ms: None,
        started_ms: 1,
        finished_ms: 2,
        cut: 3,
        log: "log".to_owned(),
        records: "g.1 1 1 SHA-256=x".to_owned(),
    }
}

fn fetch<T: DeserializeOwned>(list: Raw, records: &Raw) {
    let encoding = list.summary.encoding;
    let count = encoding.decode::<Vec<IgnoredAny>>(&list.bytes);
    let Ok(fetched) = fuzzing::fetched::<T>(list, records) else { return };
    let count = count.expect("what is read is a list").len();
    assert_eq!(fetched.list.len(), count);
    let least = count.min(fetched.records.len());
    let ordered = fetched.into_ordered();
    assert_eq!(ordered.len(), least);
    assert!(ordered.is_sorted_by_key(|(id, _)| *id));
}

/// A summary as somebody may have written it: as JSON, and as an object's metadata.
fn metadata(bytes: &[u8]) {
    same_again::<Summary>(bytes);
    let Ok(metadata) = serde_json::from_slice::<HashMap<String, String>>(bytes) else { return };
    let Some(summary) = Summary::from_metadata(&metadata) else { return };
    assert!(summary.len() >= summary.ok.max(summary.failed));
    assert_eq!(Summary::from_metadata(&summary.to_metadata()), Some(summary.clone()));
    uploaded(&summary.records);
}

fn same_again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let json = serde_json::to_vec(&value).expect("JSON");
    assert_eq!(serde_json::from_slice::<T>(&json).expect("read again"), value);
}

fn uploaded(text: &str) {
    let Some(written) = jetiter_worker::fuzzing::uploaded(text) else { return };
    assert_eq!(jetiter_worker::fuzzing::uploaded(&written), Some(written));
}
