//! Results and marks that go by themselves, or are taken away, while somebody reads.

use std::net::SocketAddr;
use std::time::Duration;

use jetiter::{Broker, Client, ClientError, FOREVER, Functions, GroupId, Options};

use crate::harness::{Engine, eventually, server, within};
use crate::plain::Plain;
use crate::proxy::{Line, Proxy};

const ITEMS: usize = 200;
const BYTES: usize = 10_000;

/// An engine with a finished group of two megabytes, and a reader on a slow line.
async fn large(keep: Option<Duration>) -> (Engine, GroupId, Proxy, Client) {
    let engine = Engine::with(|settings| settings.collator.chunk = 16 << 10).await;
    let text = |bytes: usize| "x".repeat(bytes);
    engine.worker(Functions::new().function("text", text)).await;
    engine.collator().await;
    let address: SocketAddr = server().url.trim_start_matches("nats://").parse().unwrap();
    let proxy = Proxy::to(address).await;
    let mut settings = engine.settings.clone();
    settings.server = proxy.url();
    let broker = Broker::connect(&settings, "reader").await.unwrap();
    let reader = Client::new(broker, &settings).await.unwrap();
    let options = keep.map_or(Options::new(), |keep| Options::new().cached(keep));
    let group = engine.client.async_iter("text", [BYTES; ITEMS], &options).await.unwrap();
    proxy.set(Line::Slow);
    (engine, group, proxy, reader)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_expires_while_it_is_read_is_read_whole() {
    let (engine, group, _proxy, reader) = large(Some(Duration::from_secs(1))).await;
    let list = within(reader.result::<String>(&group, FOREVER)).await.unwrap().unwrap();
    let gone = engine.client.read(&group, Duration::ZERO).await.unwrap();
    assert!(gone.is_none(), "it expired meanwhile");
    assert!(list.len() == ITEMS && list.iter().all(|text| text.len() == BYTES));
    assert!(engine.client.status(&group).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_expire_behind_their_list_are_named_as_gone() {
    let (_engine, group, _proxy, reader) = large(Some(Duration::from_secs(1))).await;
    let error = within(reader.fetch::<String>(&group, FOREVER)).await.unwrap_err();
    assert!(matches!(error, ClientError::Gone { .. }), "{error}");
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_deleted_while_it_is_read_is_never_taken_for_whole() {
    let (engine, group, _proxy, reader) = large(None).await;
    let reading = tokio::spawn({
        let group = group.clone();
        async move { reader.result::<String>(&group, FOREVER).await }
    });
    let chunks = engine.broker.namespace.results_stream();
    eventually("it is being read", async || {
        let stream = engine.broker.jetstream.get_stream(&chunks).await.unwrap();
        stream.cached_info().state.consumer_count > 0
    })
    .await;
    assert!(engine.client.delete(&group).await.unwrap());
    match within(reading).await.unwrap() {
        // All of it may have been on its way.
        Ok(list) => assert_eq!(list.unwrap(), vec!["x".repeat(BYTES); ITEMS]),
        Err(error) => assert!(matches!(error, ClientError::Gone { .. }), "{error}"),
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_that_an_expired_result_is_not_there() {
    let engine = Engine::start().await;
    let options = Options::new().cached(Duration::from_secs(1));
    let group = engine.client.async_iter("math.floor", [1.5], &options).await.unwrap();
    within(engine.client.read(&group, FOREVER)).await.unwrap();
    eventually("it has expired", async || {
        engine.client.read(&group, Duration::ZERO).await.unwrap().is_none()
    })
    .await;
    // Its keys go a moment later.
    eventually("nothing is known of it", async || {
        engine.client.status(&group).await.unwrap().is_none()
    })
    .await;
    for command in ["result", "fetch", "status"] {
        let process = engine.process(&[command, &group.to_string()]);
        let (code, said) = process.ended_saying().await;
        assert_eq!(code, Some(4), "{command}: {said}");
        assert!(said.contains("no group") && said.contains(group.as_str()), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_outcome_goes_also_beside_a_done_mark_that_stays() {
    let engine =
        Engine::with(|settings| settings.collator.done_ttl = Duration::from_secs(600)).await;
    let plain = Plain::of(&engine).await;
    engine.worker(jetiter::math::functions()).await;
    let collator = engine.collator().await;
    plain.items("g", 0..2).await;
    plain.seal("g", &[], "2").await;
    let list = plain.list("g").await;
    let nothing_late = async || {
        eventually("nothing that is late is left", async || {
            engine.cache_keys().await.iter().all(|key| key.ends_with(".done"))
        })
        .await;
    };
    nothing_late().await;
    plain.stored(&plain.key("item.g.1"), &[], "7").await;
    nothing_late().await;
    // One that reads the log anew finds the mark first.
    collator.stop().await;
    plain.stored(&plain.key("item.g.0"), &[], "8").await;
    engine.collator().await;
    plain.stored(&plain.key("item.g.2"), &[], "9").await;
    nothing_late().await;
    // Used again while the mark stands: a conflict, and the first result stays.
    let mut events = plain.events("g").await;
    plain.items("g", 0..3).await;
    plain.seal("g", &[], "3").await;
    events.expect("conflict", &["2 items"]).await;
    assert_eq!(plain.list("g").await, list);
    nothing_late().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_comes_while_its_done_mark_expires_changes_nothing() {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    plain.items("g", 0..1).await;
    plain.seal("g", &[], "1").await;
    let list = plain.bytes("g").await;
    // The mark stands for a second: some come before it goes, some after.
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for index in 1..16 {
        pace.tick().await;
        plain.stored(&plain.key(&format!("item.g.{index}")), &[], "7").await;
    }
    engine.is_clean().await;
    assert_eq!(plain.bytes("g").await, list);
}
