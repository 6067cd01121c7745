//! Seals and cancels become marks in the cache, so that one log decides everything.

use std::sync::Arc;

use async_nats::Message;
use async_nats::jetstream;
use jetiter_config::broker::{ApiError, Broker, Refusal};
use jetiter_config::crash_point;
use jetiter_config::names::{COLLATOR_CONSUMER, Control, Entry, Mark};
use jetiter_config::settings;
use jetiter_config::wire::{End, ItemError, NOTIFY, Notify, Seal, State, cut, once_headers};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use super::chore;
use crate::error::Error;
use crate::patience::Patience;
use crate::pull::{Pull, Pulled};

/// How many seals may be on their way to becoming marks.
const WINDOW: usize = 256;

/// Takes in seals and cancels until it is dropped, or until none could be had for too long.
pub(crate) async fn run(broker: &Broker, settings: &settings::Collator) -> Error {
    let items = broker.namespace.items_stream();
    let mut patience = Patience::new(settings.patience);
    let prefixes: Arc<[String]> = broker.namespace.notify_prefixes(&settings.notify).into();
    loop {
        let reason = match Pull::open(broker, &items, COLLATOR_CONSUMER).await {
            Ok(pull) => pull_all(broker, pull, &prefixes, &mut patience).await,
            Err(error) => error.to_string(),
        };
        tracing::warn!(reason, "no seals come, trying again; `jetiter init` makes what is missing");
        if let Err(error) = patience.failed("pulling seals", reason) {
            return error;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn pull_all(
    broker: &Broker,
    mut pull: Pull,
    prefixes: &Arc<[String]>,
    patience: &mut Patience,
) -> String {
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        if running.len() >= WINDOW {
            running.join_next().await;
        }
        match pull.next(WINDOW - running.len()).await {
            Pulled::Message(message) => {
                let (broker, prefixes) = (broker.clone(), prefixes.clone());
                running.spawn(async move { take(&broker, &prefixes, message).await });
            }
            Pulled::Nothing | Pulled::Silent => {}
            Pulled::Lost(reason) => return reason,
        }
        patience.worked();
    }
}

async fn take(broker: &Broker, prefixes: &[String], message: Message) {
    let answer = match broker.namespace.parse_control(&message.subject) {
        Some(Control::Seal(group)) => seal(broker, prefixes, group, &message).await,
        Some(Control::Cancel(group)) => cancel(broker, group).await,
        None => {
            tracing::warn!(subject = %message.subject, "a malformed subject is dropped");
            jetstream::AckKind::Term
        }
    };
    crash_point("collator.marked");
    let message = jetstream::Message { message, context: broker.jetstream.clone() };
    // Unacknowledged it would come again, find its mark written, and be acknowledged then.
    message.ack_with(answer).await.ok();
}

/// The payload of a seal mark.
#[derive(Serialize)]
struct Sealed<'a> {
    #[serde(flatten)]
    seal: &'a Seal,
    #[serde(flatten)]
    notify: Notify,
}

/// A seal, and where its group's end is to be told.
fn read(broker: &Broker, prefixes: &[String], message: &Message) -> Result<(Seal, Notify), String> {
    let headers = message.headers.as_ref();
    let seal = Seal::from_message(headers, &message.payload).map_err(|error| error.to_string())?;
    let notify = Notify::from_headers(headers).map_err(|error| format!("{NOTIFY}: {error}"))?;
    let refused = |subject: &&String| !broker.namespace.may_notify(subject.as_str(), prefixes);
    match notify.notify.as_ref().filter(refused) {
        Some(subject) => Err(format!(
            "{NOTIFY} is {subject:?}, and collator.notify allows subjects that begin with {}",
            prefixes.join(" or ")
        )),
        None => Ok((seal, notify)),
    }
}

async fn seal(
    broker: &Broker,
    prefixes: &[String],
    group: &str,
    message: &Message,
) -> jetstream::AckKind {
    let (seal, notify) = match read(broker, prefixes, message) {
        Ok(read) => read,
        Err(error) => {
            // It may quote a payload as large as a message can be.
            let reason = cut(format!("the seal is refused: {error}"), ItemError::MAX_MESSAGE);
            tracing::warn!(group, reason);
            broker.tell(group, "rejected", &json!({ "reason": reason })).await;
            // It will not get better by coming again.
            return jetstream::AckKind::Term;
        }
    };
    match write_mark(broker, group, Mark::Seal, &Sealed { seal: &seal, notify }).await {
        Ok(()) => jetstream::AckKind::Ack,
        Err(Refusal::Already) => compare(broker, group, &seal).await,
        Err(refusal) => {
            tracing::warn!(group, ?refusal, "the seal is not stored yet");
            jetstream::AckKind::Nak(Some(Duration::from_secs(1)))
        }
    }
}

/// The first seal counts; another total is told, since somebody is wrong.
async fn compare(broker: &Broker, group: &str, seal: &Seal) -> jetstream::AckKind {
    let again = jetstream::AckKind::Nak(Some(Duration::from_secs(1)));
    let ns = &broker.namespace;
    let subject = ns.entry_subject(group, Entry::Mark(Mark::Seal));
    let Ok(first) = broker.last_message(&ns.cache_stream(), &subject).await else {
        return again;
    };
    let Some(first) = first else {
        // Gone with its group since the refusal, if there is a result: then this one is late. Or
        // it was no seal and has been removed: then this one has its place.
        return match broker.object_info(group).await {
            Ok(Some(_)) => jetstream::AckKind::Ack,
            _ => again,
        };
    };
    // No seal at all: it is about to be removed, and then this one has its place.
    let Ok(first) = serde_json::from_slice::<Seal>(&first.payload()) else {
        return again;
    };
    if first.total != seal.total {
        let reason = format!(
            "sealed a second time with total {}: the first one, {}, counts",
            seal.total, first.total
        );
        tracing::warn!(group, reason);
        broker.tell(group, "conflict", &json!({ "reason": reason })).await;
    }
    jetstream::AckKind::Ack
}

/// Behind the group's seal, if one was stored: without it the result has no total, no label, and is
/// kept for ever.
async fn cancel(broker: &Broker, group: &str) -> jetstream::AckKind {
    match chore::is_without_seal(broker, group).await {
        true => end(broker, group, State::Cancelled).await,
        false => jetstream::AckKind::Nak(Some(Duration::from_millis(50))),
    }
}

/// Ends a group: the mark first, so that it is decided, then its waiting items go.
pub(crate) async fn end(broker: &Broker, group: &str, state: State) -> jetstream::AckKind {
    match write_mark(broker, group, Mark::End, &End { state }).await {
        Ok(()) | Err(Refusal::Already) => {}
        Err(refusal) => {
            tracing::warn!(group, ?refusal, "the end is not stored yet");
            return jetstream::AckKind::Nak(Some(Duration::from_secs(1)));
        }
    }
    crash_point("collator.ended");
    match remove_waiting(broker, group).await {
        Ok(()) => jetstream::AckKind::Ack,
        // It comes again, and finds its mark written.
        Err(error) => {
            tracing::warn!(group, %error, "the waiting items are not removed yet");
            jetstream::AckKind::Nak(Some(Duration::from_secs(1)))
        }
    }
}

/// Removes the items of a group that has ended: nobody is to run them.
pub(super) async fn remove_waiting(broker: &Broker, group: &str) -> Result<(), ApiError> {
    let ns = &broker.namespace;
    let waiting = ns.waiting_filter(group);
    broker.purge(&ns.items_stream(), Some(&waiting), None).await.map(drop)
}

async fn write_mark(
    broker: &Broker,
    group: &str,
    mark: Mark,
    payload: &impl serde::Serialize,
) -> Result<(), Refusal> {
    let subject = broker.namespace.entry_subject(group, Entry::Mark(mark));
    let payload = serde_json::to_vec(payload).unwrap_or_default();
    broker.store(subject, once_headers(), payload.into()).await.map(drop)
}
