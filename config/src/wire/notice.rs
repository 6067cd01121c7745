//! That a group is done, told to whom its seal names.

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

use super::headers::{NOTIFY, header};
use super::seal::State;
use super::summary::Summary;
use crate::error::Error;
use crate::names::{Function, Namespace, check_notify, records_object};

/// Where a seal wants the end of its group told; stands beside the seal in its mark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// The subject, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
}

impl Notify {
    /// Reads the header of a seal.
    pub fn from_headers(headers: Option<&HeaderMap>) -> Result<Notify, Error> {
        let notify = header(headers, NOTIFY).map(str::to_owned);
        notify.iter().try_for_each(|subject| check_notify(subject))?;
        Ok(Notify { notify })
    }
}

/// The payload of a notice, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The group.
    pub group: String,
    /// How it ended.
    pub state: State,
    /// How many items it was sealed with.
    pub total: Option<u32>,
    /// How many values the list holds.
    pub ok: u64,
    /// How many errors.
    pub failed: u64,
    /// How many outcomes the list leaves out.
    pub extra: u64,
    /// The function, if the submitter named it.
    pub function: Option<Function>,
    /// The label, if there is one.
    pub label: Option<String>,
    /// When its first entry was stored, milliseconds since 1970.
    pub started_ms: u64,
    /// When its last one was.
    pub finished_ms: u64,
    /// The object store that holds the result.
    pub bucket: String,
    /// The object with the list.
    pub result: String,
    /// The object with the records; it may follow a moment later.
    pub records: String,
}

impl Notice {
    /// The notice of a result.
    pub fn of(summary: &Summary, namespace: &Namespace) -> Notice {
        Notice {
            group: summary.group.clone(),
            state: summary.state,
            total: summary.total,
            ok: summary.ok,
            failed: summary.failed,
            extra: summary.extra,
            function: summary.function.clone(),
            label: summary.label.clone(),
            started_ms: summary.started_ms,
            finished_ms: summary.finished_ms,
            bucket: namespace.results_bucket(),
            result: summary.group.clone(),
            records: records_object(&summary.group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_subject_is_named() {
        let mut headers = HeaderMap::new();
        assert_eq!(Notify::from_headers(Some(&headers)).unwrap(), Notify::default());
        headers.insert(NOTIFY, "a.*");
        let error = Notify::from_headers(Some(&headers)).unwrap_err().to_string();
        assert!(error.contains("a.*") && error.contains("tokens"), "{error}");
    }
}
