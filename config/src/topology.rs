//! The assets on the server as plain values, made and checked in one place.

mod older;

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, pull};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform,
};

use crate::broker::Broker;
use crate::error::Error;
use crate::names::{COLLATOR_CONSUMER, Lane, Namespace, Queue};
use crate::settings::{Assets, Settings, Storage};
use crate::wire::PROTOCOL;

/// What stands on the server for one namespace.
#[derive(Clone, Debug)]
pub struct Topology {
    namespace: Namespace,
    assets: Assets,
}

/// Whether an asset was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was made now.
    Created,
    /// It was there; its limits were set to what the settings say: what changed.
    Updated(String),
    /// It was an older version's and is gone; others do its work.
    Replaced,
    /// It was there, just so.
    Unchanged,
}

impl Topology {
    /// The assets of a namespace.
    pub fn new(namespace: Namespace, assets: Assets) -> Topology {
        Topology { namespace, assets }
    }

    /// The assets of a broker's namespace.
    pub fn of(broker: &Broker, settings: &Settings) -> Topology {
        Topology::new(broker.namespace.clone(), settings.assets.clone())
    }

    /// All streams, in the order in which they are made.
    pub fn streams(&self) -> Vec<Config> {
        vec![self.items(), self.cache(), self.results(), self.lease()]
    }

    /// The queues of the settings.
    fn queues(&self) -> Result<Vec<Queue>, Error> {
        self.assets.queues.iter().map(|queue| queue.parse()).collect()
    }

    /// The consumers of the items stream that these queues need.
    fn consumers(&self, queues: &[Queue]) -> Vec<pull::Config> {
        let lanes = |queue| Lane::all().map(move |lane| self.worker(queue, lane));
        let workers = queues.iter().flat_map(lanes);
        [self.collator()].into_iter().chain(workers).collect()
    }

    fn base(&self, name: String, description: &str, subjects: Vec<String>) -> Config {
        Config {
            name,
            subjects,
            description: Some(description.to_owned()),
            metadata: HashMap::from([("jetiter.protocol".to_owned(), PROTOCOL.to_string())]),
            discard: DiscardPolicy::New,
            num_replicas: self.assets.replicas,
            storage: match self.assets.storage {
                Storage::File => StorageType::File,
                Storage::Memory => StorageType::Memory,
            },
            max_messages: -1,
            max_bytes: -1,
            max_messages_per_subject: -1,
            max_message_size: -1,
            max_consumers: -1,
            duplicate_window: Duration::from_secs(120),
            allow_direct: true,
            ..Config::default()
        }
    }

    /// All that submitters publish. A work queue: an acknowledged item is gone. Full, it refuses
    /// new messages rather than drop old ones.
    fn items(&self) -> Config {
        let (source, destination) = self.namespace.lane_transform();
        Config {
            retention: RetentionPolicy::WorkQueue,
            allow_batch_publish: true,
            subject_transform: Some(SubjectTransform { source, destination }),
            max_bytes: self.assets.items_max_bytes,
            // Memory for ids is held for the whole window, so it covers a publish's retries and
            // no more; doubles outside it meet the write-once outcome.
            duplicate_window: self.assets.duplicate_window,
            ..self.base(
                self.namespace.items_stream(),
                "jetiter: items that wait or are in hand, seals and cancels",
                self.namespace.submit_subjects(),
            )
        }
    }

    /// Outcomes and marks of live groups. Write-once: one message per key, the second is
    /// refused, and neither rollups nor deletes can make room for another.
    fn cache(&self) -> Config {
        Config {
            max_messages_per_subject: 1,
            discard_new_per_subject: true,
            deny_delete: true,
            allow_rollup: false,
            allow_message_ttl: true,
            max_bytes: self.assets.cache_max_bytes,
            ..self.base(
                self.namespace.cache_stream(),
                "jetiter: outcomes and marks of live groups",
                vec![self.namespace.cache_filter()],
            )
        }
    }

    /// One list per finished group, and its records.
    fn results(&self) -> Config {
        Config {
            allow_rollup: true,
            allow_message_ttl: true,
            allow_batch_publish: true,
            max_bytes: self.assets.results_max_bytes,
            ..self.base(
                self.namespace.results_stream(),
                "jetiter: the list and the records of each finished group",
                self.namespace.results_subjects(),
            )
        }
    }

    /// The collator's lease, which goes by itself when it is not renewed.
    fn lease(&self) -> Config {
        Config {
            max_messages_per_subject: 1,
            allow_rollup: true,
            deny_delete: true,
            max_age: self.assets.lease,
            duplicate_window: self.assets.lease.min(Duration::from_secs(120)),
            ..self.base(
                self.namespace.lease_stream(),
                "jetiter: which collator works; it goes by itself when that one is silent",
                vec![format!("$KV.{}-lease.>", self.namespace)],
            )
        }
    }

    fn worker(&self, queue: &Queue, lane: Lane) -> pull::Config {
        pull::Config {
            durable_name: Some(self.namespace.worker_consumer(queue, lane)),
            description: Some(format!("jetiter: items of the queue {queue}, {}", lane.told())),
            filter_subject: self.namespace.work_filter(queue, lane),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.assets.ack_wait,
            // A message past a delivery limit would stay in a work queue for ever; the worker
            // counts begins instead.
            max_deliver: -1,
            max_ack_pending: self.assets.max_ack_pending,
            // Can't be changed later, and a pull over it is dropped without a word.
            max_waiting: 4096,
            ..pull::Config::default()
        }
    }

    fn collator(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(COLLATOR_CONSUMER.to_owned()),
            description: Some("jetiter: seals and cancels, for the collator".to_owned()),
            filter_subjects: self.namespace.control_filters(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.assets.ack_wait,
            max_deliver: -1,
            max_ack_pending: self.assets.max_ack_pending,
            ..pull::Config::default()
        }
    }

    /// Makes what is missing and sets the limits of what is there. An asset whose nature is
    /// another one is left alone and named in the error.
    pub async fn ensure(&self, broker: &Broker) -> Result<Vec<(String, Made)>, Error> {
        let mut made = Vec::new();
        for wanted in self.streams() {
            made.push((wanted.name.clone(), self.ensure_stream(broker, wanted).await?));
        }
        let items = self.namespace.items_stream();
        let stream = broker.jetstream.get_stream_no_info(&items).await;
        let stream = stream.map_err(|error| api(&items, error))?;
        let found = older::consumers(&self.namespace, &stream).await?;
        let mut queues = self.queues()?;
        for (name, queue) in found.older {
            older::remove(&stream, &name).await?;
            made.push((name, Made::Replaced));
            if !queues.contains(&queue) {
                queues.push(queue);
            }
        }
        for wanted in self.consumers(&queues) {
            let name = wanted.durable_name.clone().unwrap_or_default();
            let how = match found.found.get(&name) {
                None => Made::Created,
                Some(found) => consumer_changes(found, &wanted),
            };
            let created = stream.create_consumer(wanted).await;
            created.map_err(|error| api(&format!("the consumer {name} of {items}"), error))?;
            made.push((name, how));
        }
        Ok(made)
    }

    /// Checks that every stream is there and of the right nature.
    pub async fn check(&self, broker: &Broker) -> Result<(), Error> {
        for wanted in self.streams() {
            let found = broker.jetstream.get_stream(&wanted.name).await;
            let found = found.map_err(|error| missing(&wanted.name, error))?;
            let found = &found.cached_info().config;
            if older::with_lanes(&self.namespace, found, &wanted).is_some() {
                return Err(Error::AssetOlder { asset: format!("the stream {}", wanted.name) });
            }
            same_nature(found, &wanted)?;
        }
        Ok(())
    }

    async fn ensure_stream(&self, broker: &Broker, wanted: Config) -> Result<Made, Error> {
        let found = match broker.jetstream.get_stream(&wanted.name).await {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(error) => match missing(&wanted.name, error) {
                Error::AssetMissing { .. } => {
                    let name = wanted.name.clone();
                    let created = broker.jetstream.create_stream(wanted).await;
                    return created.map(|_| Made::Created).map_err(|error| api(&name, error));
                }
                other => return Err(other),
            },
        };
        let with_lanes = older::with_lanes(&self.namespace, &found, &wanted);
        same_nature(with_lanes.as_ref().unwrap_or(&found), &wanted)?;
        let mut changes = changes(&found, &wanted);
        if with_lanes.is_some() {
            changes.push(format!("lanes 1 -> {}", Lane::COUNT));
        }
        if changes.is_empty() {
            return Ok(Made::Unchanged);
        }
        let name = wanted.name.clone();
        let updated = broker.jetstream.update_stream(wanted).await;
        let changes = changes.join(", ");
        updated.map(|_| Made::Updated(changes)).map_err(|error| api(&name, error))
    }
}

fn missing(asset: &str, error: async_nats::jetstream::context::GetStreamError) -> Error {
    use async_nats::jetstream::ErrorCode;
    use async_nats::jetstream::context::GetStreamErrorKind::JetStream;
    match error.kind() {
        JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Error::AssetMissing { asset: format!("the stream {asset}") }
        }
        _ => api(asset, error),
    }
}

fn api(asset: &str, error: impl std::fmt::Display) -> Error {
    Error::Api { what: asset.to_owned(), reason: error.to_string() }
}

/// The settings on which the guarantees rest.
fn same_nature(found: &Config, wanted: &Config) -> Result<(), Error> {
    macro_rules! compare {
        ($($field:ident),*) => { $(
            if found.$field != wanted.$field {
                return Err(Error::AssetDiffers {
                    asset: format!("the stream {}", wanted.name),
                    setting: stringify!($field),
                    found: format!("{:?}", found.$field),
                    wanted: format!("{:?}", wanted.$field),
                });
            }
        )* };
    }
    compare!(
        retention,
        discard,
        discard_new_per_subject,
        max_messages_per_subject,
        subjects,
        subject_transform,
        deny_delete,
        deny_purge,
        allow_rollup,
        allow_message_ttl,
        allow_direct
    );
    Ok(())
}

/// The same of a consumer.
fn consumer_changes(found: &consumer::Config, wanted: &pull::Config) -> Made {
    let (ack_wait, most) = (found.ack_wait, found.max_ack_pending);
    let mut changes = Vec::new();
    if ack_wait != wanted.ack_wait {
        changes.push(format!("ack_wait {ack_wait:?} -> {:?}", wanted.ack_wait));
    }
    if most != wanted.max_ack_pending {
        changes.push(format!("max_ack_pending {most} -> {}", wanted.max_ack_pending));
    }
    match changes.is_empty() {
        true => Made::Unchanged,
        false => Made::Updated(changes.join(", ")),
    }
}

/// What becomes different of the settings that an operator may choose, and that the server lets
/// change.
fn changes(found: &Config, wanted: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    macro_rules! compare {
        ($($field:ident),*) => { $(
            if found.$field != wanted.$field {
                let (field, found, wanted) = (stringify!($field), &found.$field, &wanted.$field);
                changes.push(format!("{field} {found:?} -> {wanted:?}"));
            }
        )* };
    }
    compare!(max_bytes, num_replicas, duplicate_window, max_age, description, allow_batch_publish);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        Topology::new("jetiter".parse().unwrap(), Assets::default())
    }

    #[test]
    fn the_cache_is_write_once() {
        let cache = topology().cache();
        assert_eq!(cache.name, "KV_jetiter-cache");
        assert!(cache.discard_new_per_subject && cache.deny_delete && !cache.allow_rollup);
        assert_eq!((cache.discard, cache.max_messages_per_subject), (DiscardPolicy::New, 1));
    }

    #[test]
    fn the_items_are_a_work_queue_that_drops_nothing() {
        let items = topology().items();
        assert_eq!(
            (items.retention, items.discard),
            (RetentionPolicy::WorkQueue, DiscardPolicy::New)
        );
        let transform = items.subject_transform.unwrap();
        assert_eq!(transform.source, "jetiter.item.*.*.>");
        assert_eq!(transform.destination, "jetiter.work.$1.{{partition(8,2)}}.$2.>");
    }

    #[test]
    fn what_changes_of_a_consumer_is_told() {
        let topology = topology();
        let wanted = topology.worker(&"default".parse().unwrap(), Lane::LAST);
        let (ack_wait, max_ack_pending) = (wanted.ack_wait, wanted.max_ack_pending);
        let found = consumer::Config { ack_wait, max_ack_pending, ..consumer::Config::default() };
        assert_eq!(consumer_changes(&found, &wanted), Made::Unchanged);
        let found = consumer::Config { ack_wait: Duration::from_secs(10), ..found };
        let told = Made::Updated("ack_wait 10s -> 30s".to_owned());
        assert_eq!(consumer_changes(&found, &wanted), told);
    }

    #[test]
    fn no_delivery_limit_strands_an_item() {
        let topology = topology();
        for consumer in topology.consumers(&topology.queues().unwrap()) {
            assert_eq!(consumer.max_deliver, -1);
        }
    }

    #[test]
    fn another_nature_is_named() {
        let wanted = topology().cache();
        let found = Config { allow_rollup: true, ..wanted.clone() };
        let error = same_nature(&found, &wanted).unwrap_err().to_string();
        assert!(error.contains("KV_jetiter-cache") && error.contains("allow_rollup"), "{error}");
    }
}
