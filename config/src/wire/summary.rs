//! What a reader learns of a group besides its values.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::seal::State;
use crate::encoding::Encoding;
use crate::names::Function;

/// What a result is, without its values: the object's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The group.
    pub group: String,
    /// How it ended.
    pub state: State,
    /// How the list is written.
    pub encoding: Encoding,
    /// How many items it was sealed with, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// How many values the list holds.
    pub ok: u64,
    /// How many errors.
    pub failed: u64,
    /// How many outcomes the list leaves out: their index is at or over the total.
    pub extra: u64,
    /// The function, if the submitter named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// The label, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How long the result is kept after its end, milliseconds; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
    /// When its first entry was stored in the cache by the server's clock, milliseconds since 1970.
    pub started_ms: u64,
    /// When its last one was.
    pub finished_ms: u64,
    /// The sequence in the cache's log that decided the group.
    pub cut: u64,
    /// When that log was created: a sequence says nothing about another log.
    pub log: String,
    /// Where the records are: `<nuid> <chunks> <bytes> <digest>`.
    pub records: String,
}

impl Summary {
    /// How many items the list has.
    pub fn len(&self) -> u64 {
        // Anybody can write an object's metadata: what is told there need not be true.
        self.ok.saturating_add(self.failed)
    }

    /// Whether the list has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One line for people, as `nats object info` shows it: "jetiter: 100 items of math.floor, 1
    /// failed, cancelled".
    pub fn description(&self) -> String {
        let mut text = format!("jetiter: {} items", self.len());
        if let Some(function) = &self.function {
            text.push_str(&format!(" of {function}"));
        }
        if self.failed > 0 {
            text.push_str(&format!(", {} failed", self.failed));
        }
        format!("{text}, {}", self.state)
    }

    /// As the metadata of an object: readable in `nats object info`.
    pub fn to_metadata(&self) -> HashMap<String, String> {
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) else {
            return HashMap::new();
        };
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        fields.into_iter().map(|(name, value)| (name, text(value))).collect()
    }

    /// Reads the metadata of an object; `None` when this is no result of ours.
    pub fn from_metadata(metadata: &HashMap<String, String>) -> Option<Summary> {
        const TEXTS: [&str; 7] =
            ["group", "state", "encoding", "function", "label", "log", "records"];
        let field = |(name, text): (&String, &String)| {
            let value = match TEXTS.contains(&name.as_str()) {
                true => serde_json::Value::String(text.clone()),
                false => serde_json::from_str(text).ok()?,
            };
            Some((name.clone(), value))
        };
        let fields = metadata.iter().filter_map(field).collect();
        serde_json::from_value(serde_json::Value::Object(fields)).ok()
    }
}

/// A group is finished; the payload of the `done` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What its result is.
    #[serde(flatten)]
    pub summary: Summary,
    /// The list's bytes as base64, if they are few: whoever waits need not ask for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list: Option<String>,
}

impl Done {
    /// The most bytes of a list that the event carries: 8 KiB.
    pub const MAX_LIST: usize = 8 << 10;

    /// The event of a result, with its list if it is at hand and small.
    pub fn of(summary: Summary, list: Option<&[u8]>) -> Done {
        let list = list.filter(|list| list.len() <= Done::MAX_LIST);
        Done { summary, list: list.map(|list| STANDARD.encode(list)) }
    }

    /// The list's bytes, if they are there.
    pub fn list(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.list.as_ref()?).ok()
    }
}

/// How far a live group is; the payload of progress events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How many items it was sealed with, if it was.
    pub total: Option<u32>,
    /// How many outcomes count.
    pub done: u64,
    /// How many of them are errors.
    pub failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            group: "12".into(),
            state: State::Complete,
            encoding: Encoding::Cbor,
            total: Some(3),
            ok: 2,
            failed: 1,
            extra: 0,
            function: Some("math.floor".parse().unwrap()),
            label: Some("7".into()),
            keep_ms: None,
            started_ms: 1,
            finished_ms: 2,
            cut: 9,
            log: "2026-01-01T00:00:00Z".into(),
            records: "12.abc 1 10 SHA-256=x".into(),
        }
    }

    #[test]
    fn a_person_reads_what_it_is() {
        let bare = Summary { failed: 0, function: None, state: State::Cancelled, ..summary() };
        assert_eq!(bare.description(), "jetiter: 2 items, cancelled");
        let whole = "jetiter: 3 items of math.floor, 1 failed, complete";
        assert_eq!(summary().description(), whole);
    }

    #[test]
    fn what_metadata_tells_is_counted_without_a_panic() {
        let forged = Summary { ok: u64::MAX, failed: 1, ..summary() };
        assert_eq!(forged.len(), u64::MAX);
    }

    #[test]
    fn the_event_carries_a_small_list() {
        let round_trip = |done: &Done| serde_json::to_vec(done).map(|b| serde_json::from_slice(&b));
        for list in [&b""[..], b"[1]", &[0x9f, 0xff]] {
            let done = Done::of(summary(), Some(list));
            let read: Done = round_trip(&done).unwrap().unwrap();
            assert_eq!((read.list().as_deref(), &read), (Some(list), &done));
        }
        assert_eq!(Done::of(summary(), Some(&[0; Done::MAX_LIST + 1])).list(), None);
        let bare: Summary = round_trip(&Done::of(summary(), None)).unwrap().unwrap().summary;
        assert_eq!(bare, summary());
    }

    #[test]
    fn a_summary_round_trips_through_metadata() {
        let whole = summary();
        assert_eq!(Summary::from_metadata(&whole.to_metadata()), Some(whole));
        let bare = Summary { total: None, function: None, label: None, ..summary() };
        assert_eq!(Summary::from_metadata(&bare.to_metadata()), Some(bare));
        assert_eq!(Summary::from_metadata(&HashMap::new()), None);
    }
}
