//! Whom a seal names is told that its group is done: stored where a stream takes it, at least once,
//! and nowhere that the collator's settings do not allow.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use futures_util::StreamExt;
use jetiter::{FOREVER, GroupId, Options};
use serde_json::{Value, json};

use crate::groups::arguments;
use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;

fn subject(engine: &Engine) -> String {
    format!("{}.notify.mine", engine.settings.namespace)
}

/// A stream that takes the notices; with room for so many.
async fn notices(engine: &Engine, room: i64) -> Stream {
    let ns = &engine.settings.namespace;
    let config = Config {
        name: format!("{ns}-notices"),
        subjects: vec![format!("{ns}.notify.>")],
        max_messages: room,
        discard: DiscardPolicy::New,
        ..Config::default()
    };
    engine.broker.jetstream.create_stream(config).await.unwrap()
}

async fn submit(engine: &Engine, group: &str, subject: &str) -> GroupId {
    let options = Options::new().group(group.parse().unwrap()).label("l").notify(subject);
    let submitted = engine.client.async_iter("math.floor", arguments(3), &options);
    within(submitted).await.unwrap()
}

async fn stored(stream: &Stream) -> u64 {
    stream.get_info().await.unwrap().state.messages
}

/// The notice with this sequence: what it says, and its message id.
async fn notice(stream: &Stream, seq: u64) -> (Value, String) {
    eventually("a notice is stored", async || stream.get_raw_message(seq).await.is_ok()).await;
    let message = stream.get_raw_message(seq).await.unwrap();
    let id = message.headers.get("Nats-Msg-Id").unwrap().to_string();
    (serde_json::from_slice(&message.payload).unwrap(), id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_the_subject_stores_one_notice() {
    let engine = Engine::start().await;
    let stream = notices(&engine, -1).await;
    let group = submit(&engine, "g", &subject(&engine)).await;
    let (told, id) = notice(&stream, 1).await;
    let ns = &engine.settings.namespace;
    assert!(id.starts_with(&format!("{ns}.g.")), "{id}");
    for (field, value) in [
        ("group", json!("g")),
        ("state", json!("complete")),
        ("total", json!(3)),
        ("ok", json!(3)),
        ("failed", json!(0)),
        ("function", json!("math.floor")),
        ("label", json!("l")),
        ("bucket", json!(format!("{ns}-results"))),
        ("result", json!("g")),
        ("records", json!("g.records")),
    ] {
        assert_eq!(told[field], value, "{field} of {told}");
    }
    // Told means that it is there.
    assert!(engine.client.ended(&group, Duration::ZERO).await.unwrap().is_some());
    engine.is_clean().await;
    assert_eq!(stored(&stream).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_stream_is_whoever_listens_is_told() {
    let engine = Engine::start().await;
    let mut told = engine.broker.client.subscribe(subject(&engine)).await.unwrap();
    engine.broker.client.flush().await.unwrap();
    submit(&engine, "g", &subject(&engine)).await;
    let told = within(told.next()).await.unwrap();
    assert!(told.reply.is_none(), "nobody waits for an answer");
    let told: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!((&told["group"], &told["ok"]), (&json!("g"), &json!(3)));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_group_and_a_plain_seal_are_told_too() {
    let engine = Engine::start().await;
    let stream = notices(&engine, -1).await;
    let plain = Plain::of(&engine).await;
    plain.seal("g", &[("Jetiter-Notify", &subject(&engine))], "2").await;
    plain.until_kept("mark.g.seal").await;
    plain.stored(&format!("{}.cancel.g", plain.ns), &[], "").await;
    let (told, _) = notice(&stream, 1).await;
    assert_eq!((&told["state"], &told["total"]), (&json!("cancelled"), &json!(2)));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_is_not_allowed_refuses_the_seal_and_says_so() {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    let mut events = plain.events("g").await;
    let mut elsewhere = engine.broker.client.subscribe("elsewhere.>").await.unwrap();
    for subject in ["elsewhere.x", &format!("{}.seal.h", plain.ns), "$KV.x", "a.*", "a b"] {
        plain.seal("g", &[("Jetiter-Notify", subject)], "0").await;
        events.expect("rejected", &["the seal is refused", "Jetiter-Notify", subject]).await;
    }
    assert_eq!(plain.kept("mark.g.seal").await, None);
    // Nor by a mark that somebody writes past the intake.
    let mark = r#"{"total":0,"notify":"elsewhere.x"}"#;
    plain.stored(&plain.key("mark.g.seal"), &[], mark).await;
    within(engine.client.ended(&"g".parse().unwrap(), FOREVER)).await.unwrap();
    engine.is_clean().await;
    plain.client.publish("elsewhere.last", "".into()).await.unwrap();
    plain.client.flush().await.unwrap();
    assert_eq!(within(elsewhere.next()).await.unwrap().subject.as_str(), "elsewhere.last");

    let map = engine.process(&["map", "--notify", "elsewhere.x", "math.floor", "1"]);
    let (code, said) = map.ended_saying().await;
    assert_eq!(code, Some(2), "{said}");
    let allowed = format!("collator.notify allows subjects that begin with {}.notify.", plain.ns);
    assert!(said.contains(&allowed) && said.contains("jetiter cancel"), "{said}");
    let map = engine.process(&["map", "--notify", "a.*", "math.floor", "1"]);
    let (code, said) = map.ended_saying().await;
    assert!(code == Some(2) && said.contains("a.*") && said.contains("tokens"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_allow_other_subjects() {
    let engine = Engine::with(|settings| {
        settings.collator.notify = vec!["allowed-{namespace}.".to_owned()];
    })
    .await;
    engine.worker(jetiter::math::functions()).await;
    engine.collator().await;
    let subject = format!("allowed-{}.x", engine.settings.namespace);
    let mut told = engine.broker.client.subscribe(subject.clone()).await.unwrap();
    let map = engine.process(&["map", "--notify", &subject, "math.floor", "1.5"]);
    assert_eq!(map.printed().await.trim(), "[1]");
    within(told.next()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_killed_between_commit_and_notice_is_made_good() {
    let engine = Engine::with(|settings| {
        settings.assets.lease = Duration::from_secs(1);
    })
    .await;
    let stream = notices(&engine, -1).await;
    engine.worker(jetiter::math::functions()).await;
    let points = ["committed", "recorded", "marked_done", "telling", "told", "purging"];
    for (seq, point) in (1..).zip(points) {
        let doomed = engine.process_until(&["collator"], &format!("collator.{point}=return(kill)"));
        submit(&engine, point, &subject(&engine)).await;
        doomed.ended().await;
        let before = stored(&stream).await;
        let was_told = ["told", "purging"].contains(&point);
        assert_eq!(before, if was_told { seq } else { seq - 1 }, "{point}");
        let next = engine.collator_process();
        let (told, _) = notice(&stream, seq).await;
        assert_eq!(told["group"], point);
        engine.is_clean().await;
        next.kill().await;
        assert_eq!(stored(&stream).await, seq, "{point}: told again under the same id");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_waits_for_room_and_holds_up_nobody() {
    let engine = Engine::with(|settings| settings.collator.collations = 1).await;
    let stream = notices(&engine, 1).await;
    let plain = Plain::of(&engine).await;
    plain.stored(&format!("{}.notify.full", plain.ns), &[], "x").await;
    engine.worker(jetiter::math::functions()).await;
    let collator = engine.collator_process();
    let group = submit(&engine, "g", &subject(&engine)).await;
    within(engine.client.ended(&group, FOREVER)).await.unwrap();
    collator.says("the notice is not stored yet").await;
    crate::groups::is_mapped(&engine, 10).await;
    assert!(plain.kept("mark.g.seal").await.is_some(), "a successor must find it");
    stream.purge().await.unwrap();
    assert_eq!(notice(&stream, 2).await.0["group"], "g");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_can_not_be_stored_is_given_up_with_an_event() {
    let engine = Engine::with(|settings| settings.collator.patience = Duration::from_secs(1)).await;
    let _full = notices(&engine, 1).await;
    let plain = Plain::of(&engine).await;
    plain.stored(&format!("{}.notify.full", plain.ns), &[], "x").await;
    let mut events = plain.events("g").await;
    engine.worker(jetiter::math::functions()).await;
    engine.collator().await;
    submit(&engine, "g", &subject(&engine)).await;
    events.expect("done", &[]).await;
    events.expect("untold", &["notify.mine", "maximum messages exceeded"]).await;
    engine.is_clean().await;
}
