//! A connection and a namespace: what every part of jetiter works through.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::object_store::ObjectInfo;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

pub use crate::burst::Outgoing;
use crate::error::Error;
use crate::names::Namespace;
use crate::publisher::Publisher;
pub use crate::publisher::{Publishing, Refusal, Stored};
use crate::settings::Settings;

/// Which connection, and which namespace on it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker {
    /// The connection.
    pub client: async_nats::Client,
    /// JetStream over that connection.
    pub jetstream: jetstream::Context,
    /// The prefix of all subjects and assets.
    pub namespace: Namespace,
    /// How long to wait for the answer to a request.
    timeout: Duration,
    publisher: Arc<OnceCell<Publisher>>,
}

/// What the server says of a stream.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamInfo {
    /// When the stream was created: another time is another stream under the same name.
    pub created: String,
    /// The server's clock at the answer, RFC 3339.
    #[serde(default)]
    pub ts: String,
    /// What it holds.
    pub state: StreamState,
    /// Of its configuration, what others look at.
    pub config: StreamLimits,
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Clone, Debug, Deserialize)]
struct Cluster {
    leader: Option<String>,
}

/// What a stream holds.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamState {
    /// How many messages.
    pub messages: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The sequence of the first one still there.
    pub first_seq: u64,
    /// The sequence of the last one ever stored.
    pub last_seq: u64,
    /// How many messages each subject holds, where asked for.
    #[serde(default)]
    pub subjects: std::collections::HashMap<String, u64>,
}

/// The limits of a stream.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamLimits {
    /// The most bytes it may hold; -1 for no limit.
    #[serde(default)]
    pub max_bytes: i64,
}

impl Broker {
    /// Connects as the settings say. Fails when no server answers, refuses the credentials, is
    /// too old, or has no JetStream; a connection lost later is made again for ever.
    pub async fn connect(settings: &Settings, name: &str) -> Result<Broker, Error> {
        let client = crate::connect::connect(settings, name).await?;
        crate::connect::check_jetstream(&client).await?;
        let namespace = settings.namespace.parse()?;
        Ok(Broker::new(client, namespace, settings.request_timeout))
    }

    /// Works over a connection that the caller made.
    pub fn new(client: async_nats::Client, namespace: Namespace, timeout: Duration) -> Broker {
        let jetstream = ContextBuilder::new().timeout(timeout).build(client.clone());
        Broker { client, jetstream, namespace, timeout, publisher: Arc::default() }
    }

    /// How long to wait for the answer to a request.
    pub fn patience(&self) -> Duration {
        self.timeout
    }

    /// Publishes without waiting; the future ends with the server's word.
    pub async fn publish(
        &self,
        subject: impl Into<Subject>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Publishing, Refusal> {
        self.publisher().await?.publish(subject.into(), headers, payload).await
    }

    /// Publishes messages of one stream, each stored only if those before it were, and waits until all
    /// are. A refusal leaves open how many of those before the refused one will stay, but for
    /// [`Refusal::NoBursts`]: none.
    pub async fn burst(&self, messages: Vec<Outgoing>) -> Result<(), Refusal> {
        self.publisher().await?.burst(messages).await?.await.map(drop)
    }

    async fn publisher(&self) -> Result<&Publisher, Refusal> {
        match self.publisher.get() {
            Some(publisher) => Ok(publisher),
            None => {
                let open = || Publisher::open(&self.client, self.timeout);
                Box::pin(self.publisher.get_or_try_init(open)).await
            }
        }
    }

    /// Publishes and waits until the server has stored it, under which sequence it says.
    pub async fn store(
        &self,
        subject: impl Into<Subject>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, Refusal> {
        let stored = self.publish(subject, headers, payload).await?.await;
        stored.map(|stored| stored.sequence)
    }

    /// Asks the JetStream API.
    pub async fn api<T: DeserializeOwned>(
        &self,
        subject: String,
        request: &impl Serialize,
    ) -> Result<T, ApiError> {
        match self.jetstream.request(subject, request).await {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) => Err(ApiError::Refused(error)),
            Err(error) => Err(ApiError::Unanswered(error.to_string())),
        }
    }

    /// What a stream's leader says of it, with the count of each subject under `filter`. While
    /// there is none any replica answers, also one that lags: that is no answer.
    pub async fn stream_info(
        &self,
        stream: &str,
        filter: Option<&str>,
    ) -> Result<StreamInfo, ApiError> {
        let request = serde_json::json!({ "subjects_filter": filter.unwrap_or_default() });
        let info: StreamInfo = self.api(format!("STREAM.INFO.{stream}"), &request).await?;
        match &info.cluster {
            Some(Cluster { leader: None }) => {
                Err(ApiError::Unanswered("the stream has no leader".to_owned()))
            }
            _ => Ok(info),
        }
    }

    /// How long a durable consumer waits for an acknowledgement; `None` when there is no such
    /// consumer.
    pub async fn ack_wait(&self, stream: &str, name: &str) -> Result<Option<Duration>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            config: async_nats::jetstream::consumer::Config,
        }
        let request = serde_json::json!({});
        match self.api(format!("CONSUMER.INFO.{stream}.{name}"), &request).await {
            Ok(Answer { config }) => Ok(Some(config.ack_wait)),
            Err(error) if error.is(ErrorCode::CONSUMER_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The leader's word on the last message of a subject; a direct get may be stale on
    /// replicas.
    pub async fn last_message(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<StoredMessage>, ApiError> {
        self.message(stream, &serde_json::json!({ "last_by_subj": subject })).await
    }

    /// The leader's word on the message with a sequence.
    pub async fn message_at(
        &self,
        stream: &str,
        seq: u64,
    ) -> Result<Option<StoredMessage>, ApiError> {
        self.message(stream, &serde_json::json!({ "seq": seq })).await
    }

    /// The first message of a stream whose subject fits the filter.
    pub async fn first_message(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<Option<StoredMessage>, ApiError> {
        self.message(stream, &serde_json::json!({ "seq": 1, "next_by_subj": filter })).await
    }

    async fn message(
        &self,
        stream: &str,
        request: &serde_json::Value,
    ) -> Result<Option<StoredMessage>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            message: StoredMessage,
        }
        match self.api(format!("STREAM.MSG.GET.{stream}"), request).await {
            Ok(Answer { message }) => Ok(Some(message)),
            Err(error) if error.is(ErrorCode::NO_MESSAGE_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// When the message with this sequence was stored, RFC 3339; `None` when there is none.
    pub async fn stored_at(&self, stream: &str, seq: u64) -> Result<Option<String>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            message: Time,
        }
        #[derive(Deserialize)]
        struct Time {
            time: String,
        }
        let request = serde_json::json!({ "seq": seq });
        match self.api::<Answer>(format!("STREAM.MSG.GET.{stream}"), &request).await {
            Ok(Answer { message }) => Ok(Some(message.time)),
            Err(error) if error.is(ErrorCode::NO_MESSAGE_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The metadata of an object, with the sequence of the message that holds it; deleted ones
    /// too.
    pub async fn object_info(&self, object: &str) -> Result<Option<(u64, ObjectInfo)>, ApiError> {
        let subject = self.namespace.object_subject(object);
        let stored = self.last_message(&self.namespace.results_stream(), &subject).await?;
        let read = |message: StoredMessage| {
            Some((message.seq, serde_json::from_slice(&message.payload()).ok()?))
        };
        Ok(stored.and_then(read))
    }

    /// Removes a stream's messages under `filter` with a sequence below `below`.
    pub async fn purge(
        &self,
        stream: &str,
        filter: Option<&str>,
        below: Option<u64>,
    ) -> Result<u64, ApiError> {
        #[derive(Serialize)]
        struct Request<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            filter: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            seq: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Answer {
            purged: u64,
        }
        let request = Request { filter, seq: below };
        let answer: Answer = self.api(format!("STREAM.PURGE.{stream}"), &request).await?;
        Ok(answer.purged)
    }

    /// Tells an event about a group, over core NATS: nobody need hear it.
    pub async fn tell(&self, group: &str, kind: &str, what: &impl Serialize) {
        let payload = serde_json::to_vec(what).unwrap_or_default();
        let subject = self.namespace.event_subject(group, kind);
        // Lossy by design: whoever waits looks again by itself now and then.
        if let Err(error) = self.client.publish(subject, payload.into()).await {
            tracing::debug!(group, kind, %error, "an event was not sent");
        }
    }
}

/// A message as the API hands it over.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredMessage {
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    #[serde(default)]
    pub subject: String,
    #[serde(default)]
    data: String,
}

impl StoredMessage {
    /// Its payload.
    pub fn payload(&self) -> Vec<u8> {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(&self.data).unwrap_or_default()
    }
}

/// Why the JetStream API gave no answer that helps.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server said no.
    #[error("{0}")]
    Refused(jetstream::Error),
    /// The server said nothing in time, or nobody answers at all.
    #[error("{0}")]
    Unanswered(String),
}

impl ApiError {
    /// Whether the same question may be answered a little later: a leader is being elected, a
    /// server starts.
    pub fn may_pass(&self) -> bool {
        match self {
            ApiError::Refused(error) => error.code() == 503,
            ApiError::Unanswered(_) => true,
        }
    }

    fn is(&self, code: ErrorCode) -> bool {
        matches!(self, ApiError::Refused(error) if error.error_code() == code)
    }

    /// As an error of this crate, with what was asked for.
    pub fn about(self, what: impl Into<String>) -> Error {
        Error::Api { what: what.into(), reason: self.to_string() }
    }
}
