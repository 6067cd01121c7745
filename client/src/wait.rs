//! Waits for a result: told by an event, with a look now and then since events can be lost.

use std::time::Duration;

use async_nats::jetstream::object_store::ObjectInfo;
use futures_util::StreamExt;
use jetiter_config::broker::{ApiError, Broker};
use jetiter_config::names::GroupId;
use jetiter_config::wire::Done;
use tokio::time::{Instant, sleep, timeout};

use crate::error::Error;
use crate::result::Raw;

/// Waits as long as it takes.
pub const FOREVER: Duration = Duration::MAX;

/// The first look after the one at once; each later one waits twice as long.
pub(crate) const FIRST_LOOK: Duration = Duration::from_millis(250);
/// A server that gives no good answer for so long is an error, however long the wait.
pub(crate) const UNANSWERED: Duration = Duration::from_secs(60);
/// No look comes later than this after the one before.
pub(crate) const LAST_LOOK: Duration = Duration::from_secs(5);

/// What somebody who waits for an object comes to.
pub(crate) enum Found {
    /// It is there.
    Stored(ObjectInfo),
    /// The list was small, and the notice brought it along.
    Told(Raw),
}

/// An object once it is there; `None` when the time is over. The group's `done` event wakes it.
pub(crate) async fn for_object(
    broker: &Broker,
    group: &GroupId,
    object: &str,
    wait: Duration,
) -> Result<Option<Found>, Error> {
    if wait.is_zero() {
        return Ok(look(broker, object).await?.map(Found::Stored));
    }
    let began = Instant::now();
    // Before the first look: a notice between look and subscription would be missed.
    let subject = broker.namespace.event_subject(group.as_str(), "done");
    let events = broker.client.subscribe(subject).await;
    let mut events = events.map_err(|error| Error::Api {
        what: "waiting for the group's end".to_owned(),
        reason: error.to_string(),
    })?;
    let mut pause = FIRST_LOOK;
    let mut answered = Instant::now();
    loop {
        match look(broker, object).await {
            Ok(Some(info)) => return Ok(Some(Found::Stored(info))),
            Ok(None) => answered = Instant::now(),
            // A server that starts again has the result when it is back.
            Err(error) if answered.elapsed() > UNANSWERED => return Err(error),
            Err(error) => tracing::debug!(object, %error, "no answer, looking again"),
        }
        let left = wait.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        // Told or not, the next look says, unless the notice says all.
        if let Ok(Some(event)) = timeout(pause.min(left), events.next()).await
            && object == group.as_str()
            && let Ok(done) = serde_json::from_slice::<Done>(&event.payload)
            && let Some(bytes) = done.list()
        {
            return Ok(Some(Found::Told(Raw { summary: done.summary, bytes })));
        }
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Asks what a submission has to know first until there is an answer, for as long as `patience`
/// and `UNANSWERED` allow: an election takes longer than one question waits.
pub(crate) async fn for_answer<T, F>(
    what: String,
    patience: Duration,
    ask: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let (began, patience) = (Instant::now(), patience.min(UNANSWERED));
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !error.may_pass() {
            return Err(error.about(what).into());
        }
        if began.elapsed() > patience {
            let (waited, reason) = (began.elapsed(), format!("{what}: {error}"));
            return Err(Error::NotStored { what: "the group".to_owned(), waited, reason });
        }
        tracing::debug!(what, %error, "no answer, asking again");
        sleep(FIRST_LOOK).await;
    }
}

/// The metadata of an object by the leader's word; `None` when there is none, or a tombstone.
pub(crate) async fn look(broker: &Broker, object: &str) -> Result<Option<ObjectInfo>, Error> {
    let found = broker.object_info(object).await;
    let found = found.map_err(|error| error.about(format!("the result {object}")))?;
    Ok(found.map(|(_, info)| info).filter(|info| !info.deleted))
}
