//! Asks the live workers what they serve.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use jetiter_client::Error;
use jetiter_config::Broker;
use jetiter_config::wire::{Serving, Signature};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the first answer may take.
const FIRST: Duration = Duration::from_secs(2);
/// So long after an answer no other one is waited for.
const QUIET: Duration = Duration::from_millis(250);
/// How long all of them may take.
const ALL: Duration = Duration::from_secs(5);

/// A queue that is worked.
#[derive(Serialize)]
pub(super) struct Worked {
    queue: String,
    workers: usize,
    functions: BTreeSet<Signature>,
}

/// The queues that are worked, by name. Workers that do not tell are not among them.
pub(super) async fn ask(broker: &Broker) -> Result<Vec<Worked>, Error> {
    let failed = |reason: String| Error::Api { what: "the workers".to_owned(), reason };
    let inbox = broker.client.new_inbox();
    let answers = broker.client.subscribe(inbox.clone()).await;
    let mut answers = answers.map_err(|error| failed(error.to_string()))?;
    let subject = broker.namespace.serving_subject();
    let asked = broker.client.publish_with_reply(subject, inbox, Bytes::new()).await;
    asked.map_err(|error| failed(error.to_string()))?;
    let end = Instant::now() + ALL;
    let mut pause = FIRST;
    let mut queues: BTreeMap<String, Worked> = BTreeMap::new();
    // Where nobody listens the server says so: an answer that can't be read.
    while let Ok(Ok(Some(answer))) = timeout_at(end, timeout(pause, answers.next())).await
        && let Ok(serving) = serde_json::from_slice::<Serving>(&answer.payload)
    {
        let Serving { queue, functions } = serving;
        let new = || Worked { queue: queue.clone(), workers: 0, functions: BTreeSet::new() };
        let worked = queues.entry(queue.clone()).or_insert_with(new);
        worked.workers += 1;
        worked.functions.extend(functions);
        pause = QUIET;
    }
    Ok(queues.into_values().collect())
}
