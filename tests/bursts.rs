//! Bursts: messages that are stored only if those before them were.

use async_nats::HeaderMap;
use jetiter::{Client, FOREVER, Options, Settings, Topology, math};
use jetiter_config::broker::{Outgoing, Refusal};
use jetiter_config::topology::Made;
use jetiter_config::wire;

use crate::harness::{Engine, within};

fn message(subject: &str, expected: Option<&str>) -> Outgoing {
    let mut headers = HeaderMap::new();
    if let Some(expected) = expected {
        headers.insert(wire::EXPECTED_LAST, expected);
    }
    Outgoing { subject: subject.into(), headers, payload: "x".into() }
}

/// The chunks that the results hold, by their last token.
async fn chunks(engine: &Engine) -> Vec<String> {
    let ns = &engine.broker.namespace;
    let filter = format!("$O.{}.C.>", ns.results_bucket());
    let mut chunks = engine.subjects(&ns.results_stream(), &filter).await;
    chunks.sort();
    chunks.iter().map(|subject| subject.rsplit('.').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_ends_at_the_first_message_that_is_refused() {
    let engine = Engine::bare().await;
    let subject = |chunk: &str| engine.broker.namespace.chunk_subject(chunk);
    let message = |chunk: &str, expected| message(&subject(chunk), expected);
    let whole = vec![message("a", None), message("b", Some("0")), message("c", None)];
    within(engine.broker.burst(whole)).await.unwrap();
    assert_eq!(chunks(&engine).await, ["a", "b", "c"]);
    let refused = vec![message("d", None), message("b", Some("0")), message("e", None)];
    let refusal = within(engine.broker.burst(refused)).await.unwrap_err();
    assert_eq!(refusal, Refusal::Already);
    assert_eq!(chunks(&engine).await, ["a", "b", "c", "d"]);
    // The first of all is refused in other words.
    let refused = vec![message("b", Some("0")), message("f", None)];
    assert_eq!(within(engine.broker.burst(refused)).await.unwrap_err(), Refusal::Already);
    assert_eq!(chunks(&engine).await, ["a", "b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_bursts_at_once_do_not_meet() {
    let engine = Engine::bare().await;
    let burst = |n: usize| {
        let name = |place: usize| format!("n{n}p{place}");
        let subject = |place| engine.broker.namespace.chunk_subject(&name(place));
        let messages = (0..3).map(|place| message(&subject(place), Some("0"))).collect();
        engine.broker.burst(messages)
    };
    within(futures_util::future::try_join_all((0..100).map(burst))).await.unwrap();
    assert_eq!(chunks(&engine).await.len(), 300);
}

/// The seal of a small group goes behind its items: it must not be stored where they are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_is_not_stored_before_its_items() {
    // Room for some of the items, and behind them for the seal, which is small.
    let engine = Engine::with(|settings| settings.assets.items_max_bytes = 4_000).await;
    let ns = &engine.broker.namespace;
    let text = "x".repeat(900);
    let options = Options::new();
    let submit = engine.client.async_iter("test.echo", vec![text.clone(); 6], &options);
    let mut submit = std::pin::pin!(submit);
    let full = async || {
        let items = engine.broker.stream_info(&ns.items_stream(), None).await.unwrap();
        items.state.messages >= 2
    };
    tokio::select! {
        _ = &mut submit => panic!("there is no room for them"),
        () = crate::harness::eventually("some are stored", full) => {}
    }
    let seals = engine.subjects(&ns.items_stream(), &format!("{ns}.seal.>")).await;
    assert!(seals.is_empty(), "{seals:?}");
    let _worker = engine.worker_process();
    let _collator = engine.collator_process();
    let group = within(submit).await.unwrap();
    let list: Option<Vec<String>> = within(engine.client.result(&group, FOREVER)).await.unwrap();
    assert_eq!(list.unwrap(), vec![text; 6]);
    engine.is_clean().await;
}

/// What an older version made has streams that take no bursts.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_take_no_bursts_do_as_well() {
    let engine = Engine::bare().await;
    let settings: &Settings = &engine.settings;
    let topology = Topology::of(&engine.broker, settings);
    for mut stream in topology.streams() {
        stream.allow_batch_publish = false;
        engine.broker.jetstream.update_stream(stream).await.unwrap();
    }
    engine.worker(math::functions()).await;
    engine.collator().await;
    let client = Client::new(engine.broker.clone(), settings).await.unwrap();
    let group = client.async_iter("math.floor", [1.5, 2.5], &Options::new()).await.unwrap();
    let list: Option<Vec<i32>> = within(client.result(&group, FOREVER)).await.unwrap();
    let mut list = list.unwrap();
    list.sort_unstable();
    assert_eq!(list, [1, 2]);
    engine.is_clean().await;
    let made = topology.ensure(&engine.broker).await.unwrap();
    let changed = |made: &&(String, Made)| matches!(&made.1, Made::Updated(how) if how.contains("allow_batch_publish"));
    assert_eq!(made.iter().filter(changed).count(), 2, "{made:?}");
}
