//! Every subject and header stands here as text: this is what a client in another language
//! writes, and what must never change unnoticed.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{Engine, eventually};
use crate::plain::Plain;

const CBOR: (&str, &str) = ("Content-Type", "application/cbor");

/// 2.5 in CBOR.
const TWO_AND_A_HALF: &[u8] = &[0xf9, 0x41, 0x00];

async fn start() -> (Engine, Plain) {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    (engine, plain)
}

/// The index and the error's kind of each record.
async fn kinds(plain: &Plain, group: &str) -> Vec<(Value, Value)> {
    let records = plain.records(group).await;
    let kind = |record: &Value| (record["index"].clone(), record["error"]["kind"].clone());
    records.iter().map(kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simplest_client_is_the_nats_command_line() {
    let (engine, plain) = start().await;
    let ns = &plain.ns;
    let mut sequences = HashSet::new();
    for count in 1..=100 {
        let subject = format!("{ns}.item.default.g1.math.floor");
        let answer = plain.stored(&subject, &[], format!("{count}.5")).await;
        assert_eq!(answer["stream"], format!("{ns}-items"));
        sequences.insert(answer["seq"].as_u64().unwrap());
    }
    plain.stored(&format!("{ns}.seal.g1"), &[], "100").await;
    let expected: Vec<i64> = (1..=100).collect();
    assert_eq!(plain.numbers("g1").await, expected);

    let records = plain.records("g1").await;
    assert!(records.iter().all(|record| record["ok"] == json!(true)));
    let named = records.iter().map(|record| {
        let id = record["index"].as_str().unwrap().strip_prefix('n').unwrap();
        let (sequence, timestamp) = id.split_once('-').unwrap();
        assert!(timestamp.parse::<i64>().unwrap() > 0);
        sequence.parse().unwrap()
    });
    assert_eq!(named.collect::<HashSet<u64>>(), sequences);
    let metadata = plain.metadata("g1").await;
    let says = |name: &str| metadata[name].as_str();
    assert_eq!((says("total"), says("ok")), ("100", "100"));
    assert_eq!((says("state"), says("encoding")), ("complete", "json"));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_tell_the_index_of_each_position() {
    let (engine, plain) = start().await;
    plain.items("g", (0..20).rev()).await;
    plain.seal("g", &[("Jetiter-Label", "a label")], " 20\n").await;
    let list = plain.list("g").await;
    let indexes = plain.records("g").await;
    let indexes: Vec<_> = indexes.iter().map(|record| record["index"].clone()).collect();
    assert_eq!(list, indexes, "the value of an item is its index");
    assert_eq!(plain.numbers("g").await, (0..20).collect::<Vec<_>>());
    assert_eq!(plain.metadata("g").await["label"], "a label");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_in_the_encoding_of_the_seal() {
    let (engine, plain) = start().await;
    let (zero, one) = (("Jetiter-Index", "0"), ("Jetiter-Index", "1"));
    for group in ["json", "cbor"] {
        plain.item(group, "math.floor", &[zero, CBOR], TWO_AND_A_HALF).await;
        // One after the other, for the order of the list.
        let first = plain.until_kept(&format!("item.{group}.0")).await;
        assert_eq!(first["data"], "Ag==", "the outcome is CBOR, as its item was");
        plain.item(group, "math.floor", &[one], "3.5").await;
        plain.until_kept(&format!("item.{group}.1")).await;
    }
    plain.seal("json", &[("Content-Type", "application/json")], "2").await;
    plain.seal("cbor", &[CBOR], "2").await;
    assert_eq!(plain.list("json").await, [2, 3]);
    assert_eq!(plain.bytes("cbor").await, [0x9f, 2, 3, 0xff]);
    assert_eq!(plain.bytes("cbor.records").await[0], 0x9f);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_may_come_before_its_items_between_them_or_after() {
    let (engine, plain) = start().await;
    plain.seal("before", &[], "4").await;
    plain.until_kept("mark.before.seal").await;
    plain.items("before", 0..4).await;

    plain.items("between", 0..2).await;
    plain.until_kept("item.between.1").await;
    plain.seal("between", &[], "4").await;
    plain.until_kept("mark.between.seal").await;
    plain.items("between", 2..4).await;

    plain.items("after", 0..4).await;
    for index in 0..4 {
        plain.until_kept(&format!("item.after.{index}")).await;
    }
    plain.seal("after", &[], "4").await;
    for group in ["before", "between", "after"] {
        assert_eq!(plain.numbers(group).await, [0, 1, 2, 3], "{group}");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_seal_nothing_is_finished() {
    let (engine, plain) = start().await;
    plain.items("never", 0..4).await;
    for index in 0..4 {
        plain.until_kept(&format!("item.never.{index}")).await;
    }
    plain.items("later", 0..4).await;
    plain.seal("later", &[], "4").await;
    plain.numbers("later").await;
    assert_eq!(plain.object("never").await, None);
    plain.seal("never", &[], "4").await;
    assert_eq!(plain.numbers("never").await, [0, 1, 2, 3]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_group_is_a_seal_of_zero() {
    let (engine, plain) = start().await;
    plain.seal("none", &[], "0").await;
    assert_eq!(plain.list("none").await, [Value::Null; 0]);
    assert_eq!(plain.records("none").await, [Value::Null; 0]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_twice_the_first_seal_counts() {
    let (engine, plain) = start().await;
    let mut events = plain.events("twice").await;
    plain.items("twice", 0..1).await;
    for total in ["3", "3", "2", "4"] {
        plain.seal("twice", &[], total).await;
        plain.until_taken_in(&engine).await;
    }
    // Twice alike is no conflict.
    events.expect("conflict", &["total 2", "3, counts"]).await;
    events.expect("conflict", &["total 4", "3, counts"]).await;
    plain.items("twice", 1..3).await;
    events.expect("done", &["\"total\":3"]).await;
    assert_eq!(plain.numbers("twice").await, [0, 1, 2]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_over_the_total_are_told_and_not_listed() {
    let (engine, plain) = start().await;
    plain.items("below", 0..5).await;
    for index in 0..5 {
        plain.until_kept(&format!("item.below.{index}")).await;
    }
    plain.seal("below", &[], "3").await;

    plain.seal("at", &[], "3").await;
    for index in [3, 9] {
        plain.items("at", [index]).await;
        plain.until_kept(&format!("item.at.{index}")).await;
    }
    plain.items("at", 0..3).await;
    for (group, extra) in [("below", [3, 4]), ("at", [3, 9])] {
        assert_eq!(plain.numbers(group).await, [0, 1, 2], "{group}");
        let kinds = kinds(&plain, group).await;
        let mut found = kinds[3..].to_vec();
        found.sort_by_key(|(index, _)| index.as_u64());
        let out = extra.map(|index| (json!(index), json!("out_of_range")));
        assert_eq!(found, out, "{group}");
        assert_eq!(plain.metadata(group).await["extra"], "2", "{group}");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_never_fails_its_group() {
    let (engine, plain) = start().await;
    for (index, function, argument) in [
        ("0", "math.nothing", "1"),
        ("1", "math.floor", "{not json"),
        ("2", "math.floor", "\"text\""),
        ("3", "math.floor", "1.5 2.5"),
        ("4", "math.floor", ""),
        ("5", "math.sqrt", "-1"),
        ("6", "math.floor", "6.5"),
    ] {
        plain.item("g", function, &[("Jetiter-Index", index)], argument).await;
    }
    plain.seal("g", &[], "7").await;
    let mut found: Vec<_> =
        plain.list("g").await.into_iter().zip(kinds(&plain, "g").await).collect();
    found.sort_by_key(|(_, (index, _))| index.as_u64());
    let found: Vec<_> = found.into_iter().map(|(value, (_, kind))| (value, kind)).collect();
    let failed = |kind: &str| (Value::Null, json!(kind));
    let mut expected = vec![failed("unknown_function")];
    expected.extend((1..=4).map(|_| failed("bad_argument")));
    expected.extend([failed("failed"), (json!(6), Value::Null)]);
    assert_eq!(found, expected);
    assert_eq!(plain.metadata("g").await["failed"], "6");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_one_message() {
    let engine = Engine::bare().await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    plain.items("g", 0..50).await;
    plain.stored(&plain.key("item.g.7"), &[], "7").await;
    plain.stored(&format!("{}.cancel.g", plain.ns), &[], "").await;
    assert_eq!(plain.list("g").await, [7]);
    assert_eq!(plain.metadata("g").await["state"], "cancelled");
    eventually("the waiting items are gone", async || {
        engine.subjects(&format!("{}-items", plain.ns), ">").await.is_empty()
    })
    .await;
    engine.is_clean().await;
}
