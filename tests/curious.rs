//! A curious person with a plain client, as the nats CLI is one: puts, deletes and purges on keys
//! of the cache, and what can be done to objects, before, while and after.

use std::time::Duration;

use jetiter::{ClientError, FOREVER, GroupId, Options, math};
use serde_json::{Value, json};

use crate::harness::{Engine, eventually, within};
use crate::plain::{Headers, Plain};

/// What `nats kv put`, `del` and `purge` publish.
const WAYS: [(Headers<'_>, &str); 3] = [
    (&[], "\"mine\""),
    (&[("KV-Operation", "DEL")], ""),
    (&[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")], ""),
];

async fn start() -> (Engine, Plain) {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    (engine, plain)
}

/// All three ways on all four keys of a group; what the server stores of it, it stores.
async fn meddle(plain: &Plain, group: &str) -> usize {
    let mut stored = 0;
    for key in ["item", "mark.seal", "mark.end", "mark.done"] {
        let (kind, mark) = key.split_once('.').unwrap_or((key, "1"));
        for (headers, payload) in WAYS {
            let key = plain.key(&format!("{kind}.{group}.{mark}"));
            let answer = plain.publish(&key, headers, payload).await;
            stored += usize::from(answer["error"].is_null());
        }
    }
    stored
}

async fn store(plain: &Plain) -> async_nats::jetstream::object_store::ObjectStore {
    let jetstream = async_nats::jetstream::new(plain.client.clone());
    jetstream.get_object_store(format!("{}-results", plain.ns)).await.unwrap()
}

async fn put(plain: &Plain, name: &str) {
    let mut mine: &[u8] = b"mine";
    store(plain).await.put(name, &mut mine).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn meddled_with_before_it_begins_a_group_ends_with_one_foreign_outcome() {
    let (engine, plain) = start().await;
    for way in WAYS {
        let group = format!("g{}", way.0.len());
        for key in [format!("item.{group}.1"), format!("mark.{group}.seal")] {
            plain.publish(&plain.key(&key), way.0, way.1).await;
        }
        plain.items(&group, 0..3).await;
        plain.seal(&group, &[], "3").await;
        let mut list = plain.list(&group).await;
        list.retain(|value| *value != 0 && *value != 2);
        // Put: it counts. Deleted: no value. Purged: refused, for it would be a rollup.
        let expected = [json!("mine"), Value::Null, json!(1)][way.0.len()].clone();
        assert_eq!(list, [expected], "{group}");
        assert_eq!(plain.metadata(&group).await["state"], "complete");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn meddled_with_while_it_lives_and_after_it_ended_a_group_is_as_it_was() {
    let (engine, plain) = start().await;
    plain.seal("g", &[], "3").await;
    plain.items("g", 0..2).await;
    for key in ["item.g.1", "mark.g.seal"] {
        plain.until_kept(key).await;
    }
    // One mark each of the end and of done is stored: junk, and junk is removed.
    assert!(meddle(&plain, "g").await >= 2);
    plain.items("g", 2..3).await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2]);
    let before = (plain.bytes("g").await, plain.bytes("g.records").await);
    for _ in 0..2 {
        meddle(&plain, "g").await;
        engine.is_clean().await;
    }
    assert_eq!((plain.bytes("g").await, plain.bytes("g.records").await), before);
    assert_eq!(plain.metadata("g").await["state"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_end_in_the_middle_ends_the_group_with_what_lay_there() {
    let (engine, plain) = start().await;
    for state in ["cancelled", "abandoned"] {
        plain.items(state, 0..2).await;
        for index in 0..2 {
            plain.until_kept(&format!("item.{state}.{index}")).await;
        }
        let end = json!({ "state": state }).to_string();
        plain.stored(&plain.key(&format!("mark.{state}.end")), &[], end).await;
        plain.items(state, 2..4).await;
        plain.seal(state, &[], "4").await;
        assert_eq!(plain.numbers(state).await, [0, 1]);
        assert_eq!(plain.metadata(state).await["state"], state);
    }
    plain.until_taken_in(&engine).await;
    eventually("the late items are done", async || {
        engine.subjects(&format!("{}-items", plain.ns), ">").await.is_empty()
    })
    .await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_forged_groups_leave_nothing() {
    let engine =
        Engine::with(|settings| settings.collator.abandon_after = Duration::from_millis(100)).await;
    let plain = Plain::of(&engine).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    for n in 0..1_000 {
        let mark = ["done", "seal", "end"][n % 3];
        let key = plain.key(&format!("mark.forged{n}.{mark}"));
        plain.client.publish(key, "junk".into()).await.unwrap();
    }
    plain.client.flush().await.unwrap();
    plain.items("g", 0..3).await;
    plain.seal("g", &[], "3").await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2]);
    engine.is_clean().await;
    let listed = engine.client.list().await.unwrap();
    assert_eq!(listed.len(), 1, "no result of a group that never was");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_the_place_of_a_result_stays_and_is_told_of() {
    let (engine, plain) = start().await;
    put(&plain, "g").await;
    let mut events = plain.events("g").await;
    plain.items("g", 0..3).await;
    plain.seal("g", &[], "3").await;
    events.expect("conflict", &["foreign object"]).await;
    assert_eq!(plain.object("g").await.unwrap(), b"mine");
    engine.is_clean().await;
    store(&plain).await.delete("g").await.unwrap();
    plain.items("g", 0..3).await;
    plain.seal("g", &[], "3").await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_a_result_is_deleted_with_all_its_chunks() {
    let (engine, plain) = start().await;
    let id: GroupId = "g".parse().unwrap();
    let submit = async || {
        let options = Options::new().group(id.clone());
        engine.client.async_iter("math.floor", [1.5], &options).await
    };
    submit().await.unwrap();
    within(engine.client.fetch::<i64>(&id, FOREVER)).await.unwrap();
    put(&plain, "g").await;
    let error = submit().await.unwrap_err();
    assert!(matches!(error, ClientError::GroupExists { .. }), "{error}");
    assert!(engine.client.delete(&id).await.unwrap());
    engine.is_clean().await;
    submit().await.unwrap();
    let list = within(engine.client.result::<i64>(&id, FOREVER)).await.unwrap();
    assert_eq!(list, Some(vec![1]));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_object_is_not_there_and_its_late_outcomes_are_a_group_of_their_own() {
    let engine =
        Engine::with(|settings| settings.collator.abandon_after = Duration::from_millis(100)).await;
    let plain = Plain::of(&engine).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    let id: GroupId = "g".parse().unwrap();
    plain.items("g", 0..2).await;
    plain.seal("g", &[], "2").await;
    within(engine.client.fetch::<i64>(&id, FOREVER)).await.unwrap();
    store(&plain).await.delete("g").await.unwrap();
    assert!(engine.client.read(&id, Duration::ZERO).await.unwrap().is_none());
    assert!(!engine.client.delete(&id).await.unwrap());
    engine.is_clean().await;
    plain.items("g", 1..2).await;
    assert_eq!(plain.list("g").await, [1]);
    assert_eq!(plain.metadata("g").await["state"], "abandoned");
    assert_eq!(plain.records("g").await.len(), 1, "not those of the removed one");
    engine.is_clean().await;
}
