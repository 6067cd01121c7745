//! What a careless or curious NATS client sends: told by name, and nothing of the others is lost.

use jetiter::math;
use serde_json::{Value, json};

use crate::harness::{Engine, eventually};
use crate::plain::{Headers, Plain};

async fn start() -> (Engine, Plain) {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    (engine, plain)
}

/// A group of these whole numbers goes its way.
async fn completes(plain: &Plain, group: &str, indexes: std::ops::Range<u32>) {
    let expected: Vec<i64> = indexes.clone().map(i64::from).collect();
    let total = indexes.len().to_string();
    plain.items(group, indexes).await;
    plain.seal(group, &[], total).await;
    assert_eq!(plain.numbers(group).await, expected);
}

/// Publishes what the server must refuse, and returns the error's code.
async fn refused(plain: &Plain, subject: &str, headers: Headers<'_>, payload: &str) -> u64 {
    let answer = plain.publish(subject, headers, payload.to_owned()).await;
    let code = answer["error"]["err_code"].as_u64();
    code.unwrap_or_else(|| panic!("{subject}: {answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_seal_is_refused_by_name() {
    let (engine, plain) = start().await;
    let mut events = plain.events("g").await;
    let cases: [(Headers<'_>, &str, &str); 10] = [
        (&[], "ten", "ten"),
        (&[], "", "total"),
        (&[], "-1", "-1"),
        (&[], "2.5", "2.5"),
        (&[], "[2]", "[2]"),
        (&[], "4294967296", "4294967296"),
        (&[("Content-Type", "text/plain")], "2", "text/plain"),
        (&[("Jetiter-Keep", "soon")], "2", "soon"),
        (&[("Jetiter-Keep", "0")], "2", "Jetiter-Keep"),
        (&[("Jetiter-Function", "a..b")], "2", "a..b"),
    ];
    for (headers, total, told) in cases {
        plain.seal("g", headers, total).await;
        events.expect("rejected", &[told]).await;
    }
    completes(&plain, "g", 0..2).await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_may_be_kept_longer_than_the_server_can_count() {
    let (engine, plain) = start().await;
    plain.items("g", 0..2).await;
    let keep = u64::MAX.to_string();
    plain.seal("g", &[("Jetiter-Keep", &keep)], "2").await;
    assert_eq!(plain.numbers("g").await, [0, 1]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_header_is_the_items_own_error() {
    let (engine, plain) = start().await;
    let cases: [Headers<'_>; 12] = [
        &[("Jetiter-Index", "-1")],
        &[("Jetiter-Index", "+1")],
        &[("Jetiter-Index", "01")],
        &[("Jetiter-Index", "1.0")],
        &[("Jetiter-Index", "n1-1")],
        &[("Jetiter-Index", "4294967296")],
        &[("Jetiter-Index", "0"), ("Content-Type", "text/csv")],
        &[("Jetiter-Index", "1"), ("Jetiter-Timeout", "soon")],
        &[("Jetiter-Index", "2"), ("Jetiter-Timeout", "0")],
        &[("Jetiter-Index", "3"), ("Jetiter-Retries", "-1")],
        &[("Jetiter-Index", "4"), ("Jetiter-Retries", "4294967296")],
        &[("Jetiter-Index", "5"), ("Jetiter-Timeout", "18446744073709551615")],
    ];
    for headers in cases {
        plain.item("g", "math.floor", headers, "5.5").await;
    }
    plain.seal("g", &[], "12").await;
    let records = plain.records("g").await;
    let list = plain.list("g").await;
    assert_eq!((list.len(), records.len()), (12, 12));
    for (value, record) in list.iter().zip(&records) {
        if record["index"] == 5 {
            assert_eq!((value, &record["ok"]), (&json!(5), &json!(true)));
        } else {
            assert_eq!(value, &Value::Null, "{record}");
            assert_eq!(record["error"]["kind"], "bad_header", "{record}");
        }
    }
    let told = records.iter().map(|record| record["error"]["message"].to_string());
    let told: String = told.collect();
    for words in ["\\\"01\\\"", "text/csv", "soon", "Jetiter-Retries"] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_not_one_value_is_null() {
    let (engine, plain) = start().await;
    let deep = |open: u8, close: &[u8]| [&vec![open; 100_000], close].concat();
    let cbor: Headers<'_> = &[("Content-Type", "application/cbor")];
    let cbor_error: Headers<'_> = &[cbor[0], ("Jetiter-Status", "error")];
    let cases: Vec<(Headers<'_>, Vec<u8>)> = vec![
        (&[], b"1 2".to_vec()),
        (&[], b"1], [2".to_vec()),
        (&[], b"".to_vec()),
        (&[], b"\"\xff\"".to_vec()),
        (&[], b"[1".to_vec()),
        (&[], deep(b'[', &[b']'; 100_000])),
        (cbor, vec![0x01, 0x01]),
        (cbor, vec![0x82, 0x01]),
        (cbor, vec![0x9f, 0x01]),
        (cbor, vec![0xff]),
        (cbor, vec![0x62, 0xff, 0xff]),
        (cbor, vec![0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (cbor, deep(0x81, &[0x80])),
        (&[], b"NaN".to_vec()),
        (&[], b"1e999".to_vec()),
        (&[], b"\xef\xbb\xbf1".to_vec()),
        (cbor, vec![]),
        // An array, a map and a text that say they are as long as can be said.
        (cbor, vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (cbor, vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        (cbor, vec![0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'x']),
        (&[("Content-Type", "text/csv")], b"1".to_vec()),
        (&[("Jetiter-Status", "error")], b"what".to_vec()),
        (&[("Jetiter-Status", "error")], deep(b'[', &[b']'; 100_000])),
        (cbor_error, deep(0x81, &[0x80])),
        (cbor_error, vec![]),
    ];
    let bad = cases.len();
    for group in ["json", "cbor"] {
        for (index, (headers, payload)) in cases.iter().enumerate() {
            let key = plain.key(&format!("item.{group}.{index}"));
            plain.stored(&key, headers, payload.clone()).await;
        }
        let good = bad as u32;
        plain.items(group, [good]).await;
        plain.until_kept(&format!("item.{group}.{good}")).await;
    }
    plain.seal("json", &[], (bad + 1).to_string()).await;
    plain.seal("cbor", cbor, (bad + 1).to_string()).await;

    let mut list = plain.list("json").await;
    assert_eq!(list.pop(), Some(json!(bad)));
    assert_eq!(list, vec![Value::Null; bad]);
    let whole = [vec![0x9f], vec![0xf6; bad], vec![0x18, bad as u8, 0xff]].concat();
    assert_eq!(plain.bytes("cbor").await, whole);
    let records = plain.records("json").await;
    for record in &records[..bad] {
        assert_eq!(record["error"]["kind"], "bad_value", "{record}");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_an_outcome_or_a_mark() {
    let (engine, plain) = start().await;
    plain.seal("g", &[], "2").await;
    plain.items("g", 0..1).await;
    for key in ["item.g.0", "mark.g.seal"] {
        let before = plain.until_kept(key).await;
        let sequence = before["seq"].to_string();
        let last = ("Nats-Expected-Last-Subject-Sequence", &*sequence);
        let ways: [Headers<'_>; 8] = [
            &[],
            &[last],
            &[("Nats-Expected-Last-Subject-Sequence", "0")],
            &[("KV-Operation", "DEL")],
            &[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")],
            &[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub"), last],
            &[("Nats-Rollup", "all")],
            &[("Nats-TTL", "1s")],
        ];
        for headers in ways {
            let code = refused(&plain, &plain.key(key), headers, "9").await;
            // Wrong sequence, one message a subject, no rollups.
            assert!([10071, 10077, 10111].contains(&code), "{key} {headers:?}: {code}");
        }
        let delete = format!("$JS.API.STREAM.MSG.DELETE.KV_{}-cache", plain.ns);
        refused(&plain, &delete, &[], &format!("{{\"seq\":{sequence}}}")).await;
        assert_eq!(plain.kept(key).await, Some(before));
    }
    plain.items("g", 1..2).await;
    assert_eq!(plain.numbers("g").await, [0, 1]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_marks_change_nothing() {
    let (engine, plain) = start().await;
    let done = json!({ "group": "done", "state": "complete" }).to_string();
    plain.stored(&plain.key("mark.done.done"), &[], done).await;
    plain.stored(&plain.key("mark.end.end"), &[], "not json").await;
    // A group that ended complete without being so.
    plain.stored(&plain.key("mark.complete.end"), &[], "{\"state\":\"complete\"}").await;
    plain.stored(&plain.key("mark.odd.odd"), &[], "1").await;
    plain.stored(&plain.key("odd"), &[], "1").await;
    plain.stored(&plain.key("item.odd.01"), &[], "1").await;
    for group in ["done", "end", "complete", "odd"] {
        completes(&plain, group, 0..3).await;
        assert_eq!(plain.metadata(group).await["state"], "complete");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_seal_makes_room_for_the_true_one() {
    let (engine, plain) = start().await;
    plain.stored(&plain.key("mark.spoilt.seal"), &[], "not json").await;
    plain.items("spoilt", 0..2).await;
    plain.seal("spoilt", &[], "2").await;
    assert_eq!(plain.numbers("spoilt").await, [0, 1]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_literal_wildcard_strands_nothing() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    let ns = &plain.ns;
    for subject in [
        format!("{ns}.item.default.*.math.floor"),
        format!("{ns}.item.default.>.math.floor"),
        format!("{ns}.item.default.g.*"),
        format!("{ns}.item.default.g.math.>"),
        format!("{ns}.item.default.{}.math.floor", "x".repeat(65)),
        format!("{ns}.item.default.g.{}", "x".repeat(129)),
        format!("{ns}.item.default.ü.math.floor"),
        format!("{ns}.seal.*"),
        format!("{ns}.cancel.>"),
    ] {
        plain.stored(&subject, &[], "1").await;
    }
    // What no worker is handed goes when a collator begins, and now and then.
    engine.worker(math::functions()).await;
    engine.collator().await;
    completes(&plain, "g", 0..3).await;
    eventually("what names no group is dropped", async || {
        engine.subjects(&format!("{ns}-items"), ">").await.is_empty()
    })
    .await;
    engine.is_clean().await;
}
