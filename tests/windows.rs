//! Message ids: what they stop within the duplicate window, and what happens outside it.

use std::time::Duration;

use jetiter::math;
use serde_json::json;

use crate::harness::{Engine, eventually};
use crate::plain::Plain;

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_window_a_message_id_is_a_second_item_and_one_outcome() {
    // The least that the server takes.
    let short = |settings: &mut jetiter::Settings| {
        settings.assets.duplicate_window = Duration::from_millis(100);
    };
    let engine = Engine::with(short).await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    let stored_twice = async |headers: &[(&str, &str)]| {
        plain.item("g", "math.floor", headers, "0.5").await;
        eventually("the id is forgotten", async || {
            let again = plain.item("g", "math.floor", headers, "0.5").await;
            again["duplicate"].is_null()
        })
        .await;
    };
    stored_twice(&[("Jetiter-Index", "0"), ("Nats-Msg-Id", "nonce.0")]).await;
    // Without an index a second copy is another item.
    stored_twice(&[("Nats-Msg-Id", "nonce.none")]).await;
    plain.seal("g", &[], "3").await;
    let waiting = async || {
        let info = engine.broker.stream_info(&format!("{}-items", plain.ns), None).await;
        info.unwrap().state.messages
    };
    plain.until_taken_in(&engine).await;
    assert_eq!(waiting().await, 4);
    engine.worker(math::functions()).await;
    assert_eq!(plain.numbers("g").await, [0, 0, 0]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_items_can_be_published_again_within_and_after_the_window() {
    let short = |settings: &mut jetiter::Settings| {
        settings.assets.duplicate_window = Duration::from_secs(2);
        settings.collator.short_after = Duration::from_millis(100);
    };
    let engine = Engine::with(short).await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    let mut events = plain.events("g").await;
    let publish = async |index: &str, id: &str| {
        let headers = [("Jetiter-Index", index), ("Nats-Msg-Id", id)];
        plain.item("g", "math.floor", &headers, format!("{index}.5")).await
    };
    publish("0", "first.0").await;
    publish("1", "first.1").await;
    engine.broker.purge(&format!("{}-items", plain.ns), None, None).await.unwrap();
    // Within the window the same id stores nothing: a run's ids are its own.
    let again = publish("0", "first.0").await;
    assert_eq!(again["duplicate"], json!(true));
    plain.seal("g", &[], "2").await;
    events.expect("short", &["2 of its 2"]).await;
    assert_eq!(publish("0", "second.0").await["duplicate"], json!(null));
    engine.worker(math::functions()).await;
    plain.until_kept("item.g.0").await;
    eventually("the id is forgotten", async || {
        publish("1", "first.1").await["duplicate"].is_null()
    })
    .await;
    assert_eq!(plain.numbers("g").await, [0, 1]);
    engine.is_clean().await;
}
