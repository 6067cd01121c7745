//! Chunks as a client in another language writes them, and as a worker in another language answers.

use serde_json::{Value, json};

use crate::harness::Engine;
use crate::plain::{Headers, Plain};

async fn start() -> (Engine, Plain) {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    (engine, plain)
}

/// The value and the error's kind of each index.
async fn outcomes(plain: &Plain, group: &str) -> Vec<(Value, Value, Value)> {
    let (list, records) = (plain.list(group).await, plain.records(group).await);
    let mut found: Vec<_> = list
        .into_iter()
        .zip(&records)
        .map(|(value, record)| (record["index"].clone(), value, record["error"]["kind"].clone()))
        .collect();
    found.sort_by_key(|(index, ..)| index.as_u64());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_items_are_mixed_in_one_group() {
    let (engine, plain) = start().await;
    plain.item("g", "math.floor", &[("Jetiter-Index", "0-3")], "[0.5, 1.5,2]").await;
    plain.items("g", 3..5).await;
    let cbor = ("Content-Type", "application/cbor");
    let list: &[u8] = &[0x82, 0xf9, 0x41, 0x00, 0xf9, 0x41, 0x00];
    plain.item("g", "math.floor", &[("Jetiter-Index", "5-2"), cbor], list).await;
    plain.item("g", "math.floor", &[("Jetiter-Index", "7-1")], "[7]").await;
    plain.seal("g", &[], "8").await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2, 2, 2, 3, 4, 7]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_writes_the_entry_that_the_protocol_tells() {
    let engine = Engine::bare().await;
    let worker = engine.worker(jetiter::math::functions()).await;
    let plain = Plain::of(&engine).await;
    let headers: Headers<'_> = &[("Jetiter-Index", "10-3")];
    plain.item("g", "math.sqrt", headers, "[4, -1, \"a\"]").await;
    let kept = plain.until_kept("item.g.10-3").await;
    let payload = base64_text(kept["data"].as_str().unwrap());
    let entry: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(entry["values"], json!([2.0, null, null]));
    assert_eq!((&entry["errors"][0][0], &entry["errors"][1][0]), (&json!(1), &json!(2)));
    assert_eq!(entry["errors"][0][1]["kind"], "failed");
    assert_eq!(entry["errors"][1][1]["kind"], "bad_argument");
    assert_eq!(entry["took"].as_array().unwrap().len(), 3);
    let headers = base64_text(kept["hdrs"].as_str().unwrap());
    let headers = String::from_utf8(headers).unwrap();
    for header in ["Jetiter-Run: 1 ", "Jetiter-Status: error"] {
        assert!(headers.contains(header), "{headers}");
    }
    worker.stop().await;
}

fn base64_text(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_worker_answers_a_chunk() {
    let engine = Engine::bare().await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    let run: (&str, &str) = ("Jetiter-Run", "2 1000 70 me");
    let entry = json!({
        "values": [1, null, [3]],
        "errors": [[1, {"kind": "failed", "message": "no"}]],
        "attempts": [[2, 5]],
        "began": [0, 10, 20],
        "took": [1000, 2000, 3000],
    });
    let headers = [run, ("Jetiter-Status", "error")];
    plain.stored(&plain.key("item.g.0-3"), &headers, entry.to_string()).await;
    plain.stored(&plain.key("item.g.3"), &[run], "4").await;
    plain.seal("g", &[], "4").await;
    let kinds = outcomes(&plain, "g").await;
    let none = Value::Null;
    assert_eq!(
        kinds,
        [
            (json!(0), json!(1), none.clone()),
            (json!(1), none.clone(), json!("failed")),
            (json!(2), json!([3]), none.clone()),
            (json!(3), json!(4), none),
        ]
    );
    let mut records = plain.records("g").await;
    records.sort_by_key(|record| record["index"].as_u64());
    let told: Vec<_> = records[..3]
        .iter()
        .map(|r| (r["attempts"].clone(), r["started_ms"].clone(), r["duration_ms"].as_f64()))
        .collect();
    let wanted = [(2, 1000, 1.0), (2, 1010, 2.0), (5, 1020, 3.0)];
    assert_eq!(told, wanted.map(|(tries, at, took)| (json!(tries), json!(at), Some(took))));
    assert_eq!(plain.metadata("g").await["failed"], "1");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_span_is_the_messages_own_error() {
    let (engine, plain) = start().await;
    let spans = ["0-0", "00-2", "0-02", "-2", "0-", "0-65537", "4294967295-1", "0--2", "a-b"];
    for span in spans {
        plain.item("g", "math.floor", &[("Jetiter-Index", span)], "[1]").await;
    }
    plain.seal("g", &[], spans.len().to_string()).await;
    let records = plain.records("g").await;
    assert_eq!(records.len(), spans.len());
    for record in records {
        assert_eq!(record["error"]["kind"], "bad_header", "{record}");
        assert!(record["index"].is_string(), "no index of ours: {record}");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_no_list_of_so_many_fails_each_of_its_items() {
    let (engine, plain) = start().await;
    let cbor = ("Content-Type", "application/cbor");
    let huge: &[u8] = &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let cases: [(Headers<'_>, &[u8]); 9] = [
        (&[], b""),
        (&[], b"1"),
        (&[], b"[1]"),
        (&[], b"[1, 2, 3]"),
        (&[], b"[1, 2"),
        (&[], b"[1, 2] 3"),
        (&[], b"{\"a\": 1, \"b\": 2}"),
        (&[cbor], huge),
        (&[("Content-Type", "text/csv")], b"[1, 2]"),
    ];
    for (at, (headers, payload)) in cases.iter().enumerate() {
        let span = format!("{}-2", 2 * at);
        let headers: Vec<_> = headers.iter().copied().chain([("Jetiter-Index", &*span)]).collect();
        plain.item("g", "math.floor", &headers, payload.to_vec()).await;
    }
    plain.items("g", 18..20).await;
    plain.seal("g", &[], "20").await;
    let found = outcomes(&plain, "g").await;
    for (index, value, kind) in found {
        match index.as_u64().unwrap() {
            good @ 18.. => assert_eq!(value, json!(good)),
            16.. => assert_eq!(kind, "bad_header"),
            _ => assert_eq!(kind, "bad_argument", "{index}"),
        }
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_nobody_can_read_leaves_its_neighbours() {
    let (engine, plain) = start().await;
    let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
    let list = [b"[1.5, 1e999, \"\xff\", ", &deep[..], b", 5.5]"].concat();
    plain.item("g", "math.floor", &[("Jetiter-Index", "0-5")], list).await;
    plain.seal("g", &[], "5").await;
    let kinds: Vec<_> = outcomes(&plain, "g").await.into_iter().map(|(_, _, kind)| kind).collect();
    let bad = json!("bad_argument");
    assert_eq!(kinds, [Value::Null, bad.clone(), bad.clone(), bad, Value::Null]);
    engine.is_clean().await;
}
