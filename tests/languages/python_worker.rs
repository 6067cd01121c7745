//! A worker in Python over the bare protocol.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::program::{Language, Program, root};
use crate::harness::{Engine, eventually, lane_of};
use crate::plain::{Headers, Plain};

const CBOR: (&str, &str) = ("Content-Type", "Application/CBOR; any=thing");

/// The example worker with the functions of these tests; with `die` it dies as it acknowledges.
fn worker(engine: &Engine, log: &str, die: bool) -> Option<Program> {
    let mut command = Command::new(Language::Python.program()?);
    command.arg(root().join("tests/languages/odd_worker.py")).arg(log);
    command.args(die.then_some("die")).env("PYTHONPATH", root().join("examples/python"));
    Some(Program::start(&engine.settings, command))
}

/// A group for each lane that the server chooses.
fn groups() -> Vec<String> {
    (0..8)
        .map(|lane| (0..).map(|n| format!("g{n}")).find(|g| lane_of(g) == lane).unwrap())
        .collect()
}

async fn outcomes(plain: &Plain, group: &str) -> Vec<(Value, Value, Value)> {
    let (list, records) = (plain.list(group).await, plain.records(group).await);
    let outcome = |(value, record): (Value, &Value)| {
        (record["index"].clone(), value, record["error"]["kind"].clone())
    };
    let mut found: Vec<_> = list.into_iter().zip(&records).map(outcome).collect();
    found.sort_by_key(|(index, ..)| index.as_u64());
    found
}

/// Items as the nats CLI publishes them, one that fails, and others with an index, in several lanes.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_lines_of_python_are_a_worker() {
    let engine = Engine::bare().await;
    let Some(python) = Language::Python.program() else { return };
    let mut command = Command::new(python);
    command.arg(root().join("examples/python/short_worker.py")).arg("default");
    let _worker = Program::start(&engine.settings, command);
    let collator = engine.collator_process();
    let plain = Plain::of(&engine).await;
    for argument in ["\"a\"", "\"abc\"", "7"] {
        plain.item("bare", "text.len", &[], argument).await;
    }
    plain.seal("bare", &[], "3").await;
    for group in &groups() {
        plain.item(group, "text.len", &[("Jetiter-Index", "0")], "\"four\"").await;
        plain.seal(group, &[], "1").await;
    }
    let found = outcomes(&plain, "bare").await;
    let mut values: Vec<_> = found.iter().map(|(_, value, kind)| json!([value, kind])).collect();
    values.sort_by_key(Value::to_string);
    assert_eq!(values, [json!([1, null]), json!([3, null]), json!([null, "failed"])]);
    for group in &groups() {
        assert_eq!(plain.list(group).await, [json!(4)]);
    }
    engine.is_clean().await;
    collator.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_python_brings_every_item_to_its_end() {
    let ack_wait = Duration::from_secs(3);
    let engine = Engine::with(|settings| settings.assets.ack_wait = ack_wait).await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let Some(worker) = worker(&engine, log.path().to_str().unwrap(), false) else { return };
    let collator = engine.collator_process();
    let plain = Plain::of(&engine).await;

    // Every lane, also the long ones.
    let groups = groups();
    for group in &groups {
        plain.item(group, "text.len", &[("Jetiter-Index", "0")], "\"four\"").await;
        plain.seal(group, &[], "1").await;
    }
    for lane in [8, 9] {
        let subject = format!("{}.work.default.{lane}.long.text.len", plain.ns);
        plain.stored(&subject, &[("Jetiter-Index", &lane.to_string())], "\"three\"").await;
    }
    plain.seal("long", &[], "10").await;

    let cases: [(&str, Headers<'_>, &[u8]); 12] = [
        ("text.len", &[("Jetiter-Index", "0")], b"\"abc\""),
        ("text.len", &[("Jetiter-Index", "1"), CBOR], b"\x63abc"),
        // A chunk, one of whose arguments fails, and one that is no list of so many.
        ("text.len", &[("Jetiter-Index", "2-3")], b"[\"a\", 5, \"abc\"]"),
        ("text.len", &[("Jetiter-Index", "5-2")], b"[\"a\"]"),
        ("text.nothing", &[("Jetiter-Index", "7")], b"\"a\""),
        ("text.len", &[("Jetiter-Index", "8")], b"\"a"),
        ("test.nan", &[("Jetiter-Index", "9")], b"1"),
        ("test.large", &[("Jetiter-Index", "10")], b"2000000"),
        // Longer than `ack_wait`: it is run once all the same.
        ("test.sleep", &[("Jetiter-Index", "11")], b"5"),
        ("test.sleep", &[("Jetiter-Index", "12"), ("Jetiter-Timeout", "100")], b"5"),
        ("test.second", &[("Jetiter-Index", "13"), ("Jetiter-Retries", "1")], b"13"),
        ("text.len", &[("Jetiter-Index", "14"), ("Jetiter-Retries", "x")], b"\"a\""),
    ];
    for (function, headers, argument) in cases {
        plain.item("g", function, headers, argument.to_vec()).await;
    }
    plain.seal("g", &[], "15").await;
    let wanted = [
        json!(3),
        json!(3),
        json!(1),
        json!("failed"),
        json!(3),
        json!("bad_argument"),
        json!("bad_argument"),
        json!("unknown_function"),
        json!("bad_argument"),
        json!("bad_value"),
        json!("too_large"),
        json!(5),
        json!("timed_out"),
        json!(13),
        json!("bad_header"),
    ];
    let found = outcomes(&plain, "g").await;
    let found: Vec<_> = found
        .into_iter()
        .map(|(_, value, kind)| if kind.is_null() { value } else { kind })
        .collect();
    assert_eq!(found, wanted);
    for group in &groups {
        assert_eq!(plain.list(group).await, [4], "lane {}", lane_of(group));
    }
    // As the nats command line client publishes: without an index.
    for text in ["\"a\"", "\"ab\"", "\"abc\""] {
        plain.item("bare", "text.len", &[], text).await;
    }
    plain.item("bare", "text.len", &[("Jetiter-Index", "007")], "\"a\"").await;
    plain.seal("bare", &[], "4").await;
    let records = plain.records("bare").await;
    assert!(records.iter().all(|r| r["index"].as_str().is_some_and(|id| id.starts_with('n'))));
    let mut list = plain.list("bare").await;
    list.sort_by_key(Value::as_u64);
    assert_eq!(list, [Value::Null, json!(1), json!(2), json!(3)]);

    let runs = std::fs::read_to_string(log.path()).unwrap();
    assert_eq!(runs.lines().filter(|line| *line == "test.sleep 5").count(), 2, "{runs}");
    assert_eq!(runs.lines().filter(|line| *line == "test.second 13").count(), 2, "{runs}");
    plain.stored(&format!("{}.cancel.long", plain.ns), &[], "").await;
    assert_eq!(plain.list("long").await, [5, 5]);
    engine.is_clean().await;
    worker.signal(rustix::process::Signal::TERM);
    worker.gone().await;
    collator.term().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_python_killed_between_put_and_ack_doubles_nothing() {
    let engine = Engine::bare().await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    let Some(first) = worker(&engine, path, true) else { return };
    let plain = Plain::of(&engine).await;
    plain.item("g", "text.upper", &[("Jetiter-Index", "0")], "\"a\"").await;
    plain.seal("g", &[], "3").await;
    first.gone().await;
    let before = plain.kept("item.g.0").await.expect("its outcome was stored");

    // The item comes again, to another one: it runs again, and its first outcome stays.
    let _second = worker(&engine, path, false);
    eventually("the item is acknowledged", async || {
        engine
            .subjects(&format!("{}-items", plain.ns), &format!("{}.work.>", plain.ns))
            .await
            .is_empty()
    })
    .await;
    assert_eq!(plain.kept("item.g.0").await, Some(before));
    let runs = std::fs::read_to_string(path).unwrap();
    assert_eq!(runs.lines().filter(|line| *line == "text.upper a").count(), 2, "{runs}");

    let _collator = engine.collator_process();
    plain.item("g", "text.upper", &[("Jetiter-Index", "1-2")], "[\"b\", \"c\"]").await;
    let mut list = plain.list("g").await;
    list.sort_by_key(|value| value.to_string());
    assert_eq!(list, ["A", "B", "C"]);
    engine.is_clean().await;
}
