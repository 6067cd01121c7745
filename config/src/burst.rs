//! A few messages of one stream in one round trip, each stored only if those before it were: the
//! server's fast ingest (ADR-50) in its strict mode. A message that must not stand without others
//! goes last, and need not wait for their acknowledgement.

use async_nats::jetstream::ErrorCode;
use async_nats::{HeaderMap, Message, StatusCode, Subject};
use bytes::Bytes;
use serde::Deserialize;

use crate::publisher::{Publisher, Publishing, Refusal, Stored};

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub subject: Subject,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
}

/// What the last tokens of every reply subject of a burst are: `<count>.fail.<place>.<operation>.$FI`.
const SUFFIX: &str = "$FI";

impl Publisher {
    /// Sends the messages; the future ends with the server's word on all of them. A refusal leaves open how
    /// many of those before the refused one will stay: on replicas they may be on their way.
    pub(crate) async fn burst(&self, messages: Vec<Outgoing>) -> Result<Publishing, Refusal> {
        let publishing = self.begin();
        let (count, number) = (messages.len(), publishing.number());
        // Unique among all who publish to the stream.
        let id = format!("{}-{number}", self.inbox().rsplit('.').next().unwrap_or_default());
        for (place, message) in (1..).zip(messages) {
            let operation = match place {
                _ if place == count => 2,
                1 => 0,
                _ => 1,
            };
            let inbox = self.inbox();
            let reply = format!("{inbox}.{id}.{count}.fail.{place}.{operation}.{SUFFIX}");
            self.send(message, reply).await?;
        }
        Ok(publishing)
    }
}

/// The server's word on a burst, where `tokens` is the reply subject behind its id; none yet where it
/// only tells how it gets on.
pub(crate) fn read(tokens: &str, message: &Message) -> Option<Result<Stored, Refusal>> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        count: usize,
        error: Option<async_nats::jetstream::Error>,
    }
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Some(Err(Refusal::NoStream));
    }
    let later = |reason: String| Some(Err(Refusal::Later(reason)));
    let answer: Answer = match serde_json::from_slice(&message.payload) {
        Ok(answer) => answer,
        Err(error) => return later(format!("the server's answer can't be read: {error}")),
    };
    if let Some(error) = answer.error {
        let disabled = error.error_code() == ErrorCode(10205);
        return Some(Err(if disabled { Refusal::NoBursts } else { Refusal::from(&error) }));
    }
    let wanted = tokens.split('.').next().and_then(|count| count.parse().ok());
    match answer.kind.as_str() {
        "ack" => None,
        "" if Some(answer.count) == wanted => Some(Stored::read(message)),
        "" => later(format!("{} of {} messages are stored", answer.count, wanted.unwrap_or(0))),
        other => later(format!("a message was lost on its way ({other})")),
    }
}
