//! The endpoints' answers, as JSON.

use std::time::Duration;

use jetiter_client::{Cancel, Client, Status};
use jetiter_config::names::{GroupId, records_object};
use jetiter_config::wire::{State, Summary};
use jetiter_config::{Broker, Settings};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::AT_ONCE;
use super::ask::{Group, Map, Nothing, Now, read};
use super::fault::Fault;
use super::functions;
use super::schema::Kind;
use crate::commands::cancel::too_late;
use crate::commands::print::{self, Shown};

/// What an answer takes beside its list, in bytes.
const ENVELOPE: usize = 4 << 10;

pub(super) type Answer = Result<Vec<u8>, Fault>;

/// How many requests may wait at once: fewer than are worked on.
const WAITS: usize = AT_ONCE / 2;

/// What the endpoints work with.
pub(super) struct Api {
    broker: Broker,
    client: Client,
    /// What subjects of notices may begin with.
    prefixes: Vec<String>,
    /// One a request that waits for a group's end: they must not keep the others out.
    waits: Semaphore,
    stop: CancellationToken,
}

/// A finished group with its list, or with its records, or with the name of what holds them.
#[derive(Serialize)]
struct Finished<'a> {
    #[serde(flatten)]
    summary: Shown<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
}

impl Api {
    pub(super) async fn new(
        broker: &Broker,
        settings: &Settings,
    ) -> Result<Api, jetiter_client::Error> {
        let client = Client::new(broker.clone(), settings).await?;
        let prefixes = broker.namespace.notify_prefixes(&settings.collator.notify);
        let (waits, stop) = (Semaphore::new(WAITS), CancellationToken::new());
        Ok(Api { broker: broker.clone(), client, prefixes, waits, stop })
    }

    /// Whoever waits for a group is answered now.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) async fn answer(&self, kind: Kind, payload: &[u8]) -> Answer {
        let name = kind.name();
        match kind {
            Kind::Map => self.map(read(name, payload)?).await,
            Kind::Status => self.status(&read(name, payload)?).await,
            Kind::Result => self.result(&read(name, payload)?).await,
            Kind::Records => self.records(&read(name, payload)?).await,
            Kind::Cancel => self.cancel(&read(name, payload)?).await,
            Kind::Functions => {
                let Nothing {} = read(name, payload)?;
                let queues = functions::ask(&self.broker).await?;
                Ok(serde_json::to_vec(&json!({ "queues": queues }))?)
            }
        }
    }

    async fn map(&self, ask: Map) -> Answer {
        let (options, wait) = (ask.options()?, ask.wait()?);
        if let Some(subject) = &ask.notify {
            self.check_notify(subject)?;
        }
        let group = self.client.async_iter(&ask.function, ask.arguments, &options).await?;
        match self.ended(&group, wait).await? {
            Some(_) => self.list(&group).await,
            None => Ok(serde_json::to_vec(&json!({ "group": group, "state": "running" }))?),
        }
    }

    /// The collator would refuse the seal, when the items are stored.
    fn check_notify(&self, subject: &str) -> Result<(), Fault> {
        match self.broker.namespace.may_notify(subject, &self.prefixes) {
            true => Ok(()),
            false => Err(Fault::bad(format!(
                "notify is {subject:?}, and collator.notify allows subjects that begin with {}",
                self.prefixes.join(" or ")
            ))),
        }
    }

    async fn status(&self, ask: &Now) -> Answer {
        let group = ask.group()?;
        match self.client.status(&group).await? {
            None => Err(print::unknown(&group).into()),
            Some(Status::Finished(summary)) => Ok(serde_json::to_vec(&Shown::of(&summary))?),
            Some(Status::Running { total, done, waiting }) => {
                let status = json!({ "group": group, "state": "running", "total": total,
                    "done": done, "waiting": waiting });
                Ok(serde_json::to_vec(&status)?)
            }
        }
    }

    async fn result(&self, ask: &Group) -> Answer {
        let (group, wait) = (ask.group()?, ask.wait()?);
        self.must_end(&group, wait).await?;
        self.list(&group).await
    }

    async fn records(&self, ask: &Group) -> Answer {
        let (group, wait) = (ask.group()?, ask.wait()?);
        let summary = self.must_end(&group, wait).await?;
        let (object, size) = (records_object(group.as_str()), self.size(&group, true).await?);
        if size > self.room() {
            return self.object(&summary, object);
        }
        let (json, _) = print::records(&self.client, &group).await?;
        let json = on_one_line(json);
        if json.len() > self.room() {
            return self.object(&summary, object);
        }
        let records = Some(serde_json::from_slice(&json)?);
        let summary = Shown::of(&summary);
        let (list, bucket, object) = (None, None, None);
        Ok(serde_json::to_vec(&Finished { summary, list, records, bucket, object })?)
    }

    async fn cancel(&self, ask: &Group) -> Answer {
        let (group, wait) = (ask.group()?, ask.wait()?);
        match self.client.cancel(&group).await? {
            Cancel::Unknown => return Err(print::unknown(&group).into()),
            Cancel::Finished(summary) => return Err(Fault::conflict(too_late(&summary))),
            Cancel::Asked => {}
        }
        match self.ended(&group, wait).await? {
            Some(summary) if summary.state == State::Complete => {
                Err(Fault::conflict(too_late(&summary)))
            }
            Some(summary) => Ok(serde_json::to_vec(&Shown::of(&summary))?),
            None => Ok(serde_json::to_vec(&json!({ "group": group, "state": "cancelling" }))?),
        }
    }

    /// How a group ended; `None` when it has not within the wait, or when this process stops.
    async fn ended(&self, group: &GroupId, wait: Duration) -> Result<Option<Summary>, Fault> {
        // While too many wait it is as if the time were over.
        let place = self.waits.try_acquire();
        let wait = if place.is_ok() { wait } else { Duration::ZERO };
        tokio::select! {
            ended = self.client.ended(group, wait) => Ok(ended?),
            () = self.stop.cancelled() => Ok(None),
        }
    }

    /// The same, where there is no answer without its end.
    async fn must_end(&self, group: &GroupId, wait: Duration) -> Result<Summary, Fault> {
        if let Some(summary) = self.ended(group, Duration::ZERO).await? {
            return Ok(summary);
        }
        if self.client.status(group).await?.is_none() {
            return Err(print::unknown(group).into());
        }
        let ended = self.ended(group, wait).await?;
        ended.ok_or_else(|| print::not_finished(group, wait).into())
    }

    /// A finished group with its list, or with the name of the object where that is too large.
    async fn list(&self, group: &GroupId) -> Answer {
        if self.size(group, false).await? > self.room() {
            let summary = self.must_end(group, Duration::ZERO).await?;
            return self.object(&summary, group.to_string());
        }
        let raw = print::read(&self.client, group, Duration::ZERO).await?;
        let whole = raw.summary.clone();
        let list = on_one_line(raw.into_json()?);
        if list.len() > self.room() {
            return self.object(&whole, group.to_string());
        }
        let list = Some(serde_json::from_slice(&list)?);
        let summary = Shown::of(&whole);
        let (records, bucket, object) = (None, None, None);
        Ok(serde_json::to_vec(&Finished { summary, list, records, bucket, object })?)
    }

    fn object(&self, summary: &Summary, object: String) -> Answer {
        let bucket = Some(self.broker.namespace.results_bucket());
        let (summary, object) = (Shown::of(summary), Some(object));
        let (list, records) = (None, None);
        Ok(serde_json::to_vec(&Finished { summary, list, records, bucket, object })?)
    }

    /// The bytes of a list or of its records: nothing large is read to see that it is.
    async fn size(&self, group: &GroupId, records: bool) -> Result<usize, Fault> {
        let object = match records {
            true => records_object(group.as_str()),
            false => group.to_string(),
        };
        let found = self.broker.object_info(&object).await;
        let found = found.map_err(|error| error.about(format!("the result {object}")))?;
        Ok(found.map_or(0, |(_, info)| info.size))
    }

    /// The most bytes of a list in an answer.
    fn room(&self) -> usize {
        self.broker.client.max_payload().saturating_sub(ENVELOPE)
    }
}

/// Within a text a line break is escaped: these stand between values.
fn on_one_line(mut json: Vec<u8>) -> Vec<u8> {
    json.retain(|byte| !matches!(byte, b'\n' | b'\r'));
    json
}
