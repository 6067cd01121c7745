//! A namespace that was made before there were lanes.

use std::sync::atomic::{AtomicU32, Ordering};

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::stream::SubjectTransform;
use futures_util::TryStreamExt;
use jetiter::{Broker, Client, GroupId, Settings, Topology, Worker, math};
use jetiter_config::topology::Made;

use crate::harness::{Engine, server};
use crate::plain::Plain;

/// What a version without lanes made, with these queues.
async fn made_before(queues: &[&str]) -> (Settings, Broker) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (n, random) = (NEXT.fetch_add(1, Ordering::Relaxed), String::from(GroupId::random()));
    let namespace = format!("older{n}-{}", &random[..8]);
    let settings = Settings { server: server().url.clone(), namespace, ..Settings::default() };
    let broker = Broker::connect(&settings, "test").await.unwrap();
    let ns = &settings.namespace;
    for mut stream in Topology::of(&broker, &settings).streams() {
        if stream.name == format!("{ns}-items") {
            stream.subjects = ["item.*.*.>", "seal.*", "cancel.*"]
                .map(|subject| format!("{ns}.{subject}"))
                .into();
            stream.subject_transform = Some(SubjectTransform {
                source: format!("{ns}.item.*.*.>"),
                destination: format!("{ns}.work.$1.{{{{partition(1,2)}}}}.$2.>"),
            });
        }
        broker.jetstream.create_stream(stream).await.unwrap();
    }
    for queue in queues {
        consumer(&broker, &format!("worker-{queue}"), &format!("{ns}.work.{queue}.>")).await;
    }
    (settings, broker)
}

async fn consumer(broker: &Broker, name: &str, filter: &str) -> PullConsumer {
    let stream = broker.jetstream.get_stream(broker.namespace.items_stream()).await.unwrap();
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        filter_subject: filter.to_owned(),
        ack_wait: std::time::Duration::from_secs(600),
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_namespace_is_refused_until_it_is_brought_up_to_date() {
    let (settings, broker) = made_before(&["default"]).await;
    let told = "jetiter init";
    let error = Worker::new(&broker, math::functions(), &settings).await.err().unwrap();
    assert!(error.to_string().contains(told), "{error}");
    let error = Client::new(broker.clone(), &settings).await.err().unwrap();
    assert!(error.to_string().contains(told), "{error}");
    Engine::on(settings.clone()).await.worker(math::functions()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_wait_in_an_older_namespace_are_not_lost() {
    // Of one of them the old consumer has the name that a lane of the other one needs.
    let (settings, broker) = made_before(&["default", "default-1"]).await;
    let plain = Plain::at(&settings).await;
    plain.items("g", 0..50).await;
    let subject = format!("{}.item.default-1.h.math.floor", plain.ns);
    plain.stored(&subject, &[("Jetiter-Index", "0")], "7.5").await;
    // An older worker has some in hand, and goes.
    let items = broker.namespace.items_stream();
    let old: PullConsumer =
        broker.jetstream.get_consumer_from_stream("worker-default", items).await.unwrap();
    let in_hand = old.fetch().max_messages(10).messages().await.unwrap();
    let in_hand: Vec<_> = in_hand.try_collect().await.unwrap();
    assert_eq!(in_hand.len(), 10);

    let engine = Engine::on(settings).await;
    plain.items("g", 50..60).await;
    plain.seal("g", &[], "60").await;
    plain.seal("h", &[], "1").await;
    engine.collator().await;
    engine.worker(math::functions()).await;
    assert_eq!(plain.numbers("g").await, (0..60).collect::<Vec<_>>());
    // The settings do not name the other queue, and it is up to date all the same.
    let mut other = engine.settings.clone();
    other.worker.queue = "default-1".to_owned();
    let other = Engine::on(other).await;
    other.worker(math::functions()).await;
    assert_eq!(plain.numbers("h").await, [7]);
    engine.is_clean().await;
    // A second time there is nothing to do.
    let made = Topology::of(&broker, &engine.settings).ensure(&broker).await.unwrap();
    assert!(made.iter().all(|(_, made)| *made == Made::Unchanged), "{made:?}");
}
