//! A namespace that was made before there were lanes, and how it is brought up to date.

use std::collections::HashMap;

use async_nats::jetstream::consumer::{self, pull};
use async_nats::jetstream::stream::{Config, Stream, SubjectTransform};
use futures_util::TryStreamExt;

use super::api;
use crate::error::Error;
use crate::names::{Namespace, Queue};

/// The items stream with lanes, if this is the one without.
pub(super) fn with_lanes(namespace: &Namespace, found: &Config, wanted: &Config) -> Option<Config> {
    let (source, destination) = namespace.transform_without_lanes();
    let without = Some(SubjectTransform { source, destination });
    let is_older = wanted.name == namespace.items_stream()
        && found.subjects == namespace.submit_subjects_without_lanes()
        && found.subject_transform == without;
    is_older.then(|| Config {
        subjects: wanted.subjects.clone(),
        subject_transform: wanted.subject_transform.clone(),
        ..found.clone()
    })
}

/// The consumers of a stream, sorted by kind.
pub(super) struct Consumers {
    pub(super) found: HashMap<String, consumer::Config>,
    /// Those that are handed a whole queue.
    pub(super) older: Vec<(String, Queue)>,
}

pub(super) async fn consumers(
    namespace: &Namespace,
    stream: &Stream<()>,
) -> Result<Consumers, Error> {
    let items = namespace.items_stream();
    let failed = |error| api(&format!("the consumers of {items}"), error);
    let found: Vec<_> = stream.consumers().try_collect().await.map_err(failed)?;
    let mut consumers = Consumers { found: HashMap::new(), older: Vec::new() };
    for consumer in found {
        match namespace.queue_without_lanes(&consumer.config.filter_subject) {
            Some(queue) => consumers.older.push((consumer.name, queue)),
            None => drop(consumers.found.insert(consumer.name, consumer.config)),
        }
    }
    Ok(consumers)
}

/// What an older consumer has not acknowledged stays in the stream, and its lanes' consumers hand
/// it out, also what some worker has in hand: run a second time, its outcome is stored once. To
/// change the filter instead would leave a name that a lane of another queue may need.
pub(super) async fn remove(stream: &Stream<()>, name: &str) -> Result<(), Error> {
    let removed = stream.delete_consumer(name).await;
    match removed {
        Ok(_) => Ok(()),
        // Somebody else was quicker.
        Err(_) if stream.get_consumer::<pull::Config>(name).await.is_err() => Ok(()),
        Err(error) => Err(api(&format!("the consumer {name}"), error)),
    }
}
