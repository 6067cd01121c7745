//! Tells whom a seal names that its group is done. The group's entries stay in the cache until this
//! is done, so that a successor tells it when this collator dies.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use jetiter_config::broker::{Broker, Refusal};
use jetiter_config::crash_point;
use jetiter_config::wire::{self, Notice, Summary};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::patience::Patience;

/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(5);
/// How long a connection may take to send what nobody acknowledges.
const FLUSH: Duration = Duration::from_secs(5);

/// A notice on its way.
pub(super) struct Telling {
    pub(super) group: String,
    subject: String,
    /// The same whoever tells it, and how often.
    id: String,
    payload: Bytes,
}

impl Telling {
    pub(super) fn of(subject: String, summary: &Summary, broker: &Broker) -> Telling {
        let Summary { group, log, cut, .. } = summary;
        let notice = Notice::of(summary, &broker.namespace);
        Telling {
            group: group.clone(),
            subject,
            id: format!("{}.{group}.{log}.{cut}", broker.namespace),
            payload: serde_json::to_vec(&notice).unwrap_or_default().into(),
        }
    }

    /// Tells it until it is stored, or sent where no stream takes it; gives up when it was refused
    /// for too long, or for good.
    pub(super) async fn tell(&self, broker: &Broker, patience: Patience) {
        let (group, subject) = (&self.group, &self.subject);
        let mut pause = Duration::from_millis(100);
        loop {
            crash_point("collator.telling");
            let (reason, hopeless) = match self.try_once(broker).await {
                Ok(()) => return crash_point("collator.told"),
                Err(Refusal::TooLarge(reason)) => (reason, true),
                Err(refusal) => (refusal.to_string(), false),
            };
            tracing::warn!(group, subject, reason, "the notice is not stored yet");
            let what = format!("telling the end of {group} on {subject}");
            if hopeless || patience.failed(&what, &reason).is_err() {
                let reason = format!("the end of {group} was not told on {subject}: {reason}");
                tracing::error!(group, reason);
                return broker.tell(group, "untold", &json!({ "reason": reason })).await;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    async fn try_once(&self, broker: &Broker) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(wire::MESSAGE_ID, self.id.as_str());
        headers.insert(wire::CONTENT_TYPE, "application/json");
        let (subject, payload) = (self.subject.clone(), self.payload.clone());
        if is_stored_there(broker, &subject).await? {
            return broker.store(subject, headers, payload).await.map(drop);
        }
        // Whoever listens hears it, and nobody can say whether anyone did.
        let later = |error: &dyn std::fmt::Display| Refusal::Later(error.to_string());
        let sent = broker.client.publish_with_headers(subject, headers, payload).await;
        sent.map_err(|error| later(&error))?;
        match timeout(FLUSH, broker.client.flush()).await {
            Ok(flushed) => flushed.map_err(|error| later(&error)),
            Err(_) => Err(Refusal::Later("it was not sent in time".to_owned())),
        }
    }
}

/// Whether a stream takes this subject. To publish and see whether it is acknowledged would not
/// tell: somebody who listens without a stream does not acknowledge.
async fn is_stored_there(broker: &Broker, subject: &str) -> Result<bool, Refusal> {
    #[derive(Deserialize)]
    struct Answer {
        streams: Option<Vec<String>>,
    }
    let request = json!({ "subject": subject });
    let answer: Result<Answer, _> = broker.api("STREAM.NAMES".to_owned(), &request).await;
    let answer = answer.map_err(|error| Refusal::Later(error.to_string()))?;
    Ok(answer.streams.is_some_and(|streams| !streams.is_empty()))
}
