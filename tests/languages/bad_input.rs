//! What a bare publish gets that no client of ours would send: the rows of docs/protocol.md, "What bad
//! input gets", that no other test shows.

use serde_json::{Value, json};

use crate::harness::{Engine, eventually};
use crate::plain::Plain;

async fn start() -> (Engine, Plain) {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    (engine, plain)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_stream_takes_is_answered_by_nobody() {
    let (_engine, plain) = start().await;
    for subject in [
        "item.default.g",
        "item.default",
        "items.default.g.math.floor",
        "seal.g.extra",
        "seal",
        "cancel.a.b",
        // Only the two long lanes can be published to.
        "work.default.0.g.math.floor",
        "work.default.10.g.math.floor",
    ] {
        let subject = format!("{}.{subject}", plain.ns);
        let error = plain.client.request(subject.clone(), "1".into()).await.unwrap_err();
        let kind = error.kind();
        assert_eq!(kind, async_nats::RequestErrorKind::NoResponders, "{subject}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_nothing_is_an_empty_result_that_says_so() {
    let (engine, plain) = start().await;
    plain.stored(&format!("{}.cancel.nothing", plain.ns), &[], "").await;
    assert_eq!(plain.list("nothing").await, [Value::Null; 0]);
    assert_eq!(plain.metadata("nothing").await["state"], "cancelled");
    engine.is_clean().await;
    // Of a finished group it changes nothing.
    plain.items("g", 0..2).await;
    plain.seal("g", &[], "2").await;
    assert_eq!(plain.numbers("g").await, [0, 1]);
    engine.is_clean().await;
    plain.stored(&format!("{}.cancel.g", plain.ns), &[], "").await;
    plain.until_taken_in(&engine).await;
    engine.is_clean().await;
    assert_eq!(plain.metadata("g").await["state"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_a_queue_that_nobody_made_waits_where_it_can_be_seen() {
    let (engine, plain) = start().await;
    let subject = format!("{}.item.nobody.g.math.floor", plain.ns);
    plain.stored(&subject, &[("Jetiter-Index", "0")], "1.5").await;
    plain.seal("g", &[], "1").await;
    plain.until_kept("mark.g.seal").await;
    let (stream, filter) = (format!("{}-items", plain.ns), format!("{}.work.nobody.>", plain.ns));
    assert_eq!(engine.subjects(&stream, &filter).await.len(), 1);
    // Published to a queue that is worked it ends its group, and the stray goes with a cancel.
    plain.items("g", 0..1).await;
    assert_eq!(plain.numbers("g").await, [0]);
    plain.stored(&format!("{}.cancel.g", plain.ns), &[], "").await;
    eventually("the stray item is gone", async || {
        engine.subjects(&format!("{}-items", plain.ns), ">").await.is_empty()
    })
    .await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_too_high_is_told_and_can_be_filled() {
    let engine = Engine::with(|settings| {
        settings.collator.short_after = std::time::Duration::from_millis(100)
    })
    .await;
    let plain = Plain::of(&engine).await;
    let mut events = plain.events("g").await;
    plain.items("g", 0..2).await;
    plain.seal("g", &[], "3").await;
    engine.worker(jetiter::math::functions()).await;
    engine.collator().await;
    events.expect("short", &["1 of its 3 items are missing"]).await;
    plain.items("g", 2..3).await;
    assert_eq!(plain.list("g").await.len(), 3);
    assert_eq!(plain.metadata("g").await["total"], json!("3"));
    engine.is_clean().await;
}
