//! The example clients: each does the same, so each is asked the same.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::program::{Language, Program};
use crate::harness::{Engine, eventually};
use crate::plain::Plain;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_submits_follows_streams_and_reads() {
    submits_follows_streams_and_reads(Language::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_javascript_submits_follows_streams_and_reads() {
    submits_follows_streams_and_reads(Language::JavaScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_go_submits_follows_streams_and_reads() {
    submits_follows_streams_and_reads(Language::Go).await;
}

/// Waits until `follow` listens: it tells what this test says as an event.
async fn listens(plain: &Plain, follow: &mut Program) {
    let subject = format!("{}.event.g.progress", plain.ns);
    let said = json!({ "total": null, "done": 0, "failed": 0 });
    eventually("follow listens", async || {
        plain.client.publish(subject.clone(), said.to_string().into()).await.unwrap();
        match timeout(Duration::from_millis(100), follow.next()).await {
            Ok(event) => {
                assert_eq!(event, Some(json!({ "event": "progress", "content": said })));
                true
            }
            Err(_) => false,
        }
    })
    .await;
}

async fn submits_follows_streams_and_reads(language: Language) {
    if language.program().is_none() {
        return;
    }
    let engine = Engine::bare().await;
    let (worker, collator) = (engine.worker_process(), engine.collator_process());
    let plain = Plain::of(&engine).await;
    let start = |command: &str| language.start_client(&engine.settings, &[command, "g"]);

    // The first item ends at once, the second when its file has a second line, the third is an error.
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let arguments = [
        json!([file("a"), "first", 1]).to_string(),
        json!([file("b"), "second", 2]).to_string(),
        json!("no argument of this function").to_string(),
    ];
    let mut follow = start("follow");
    listens(&plain, &mut follow).await;
    let submit: Vec<&str> = ["submit", "g", "test.await_lines"]
        .into_iter()
        .chain(arguments.iter().map(|a| a.as_str()))
        .collect();
    let submitted = language.start_client(&engine.settings, &submit);
    assert_eq!(submitted.rest().await, [Value::Null; 0]);

    // What has ended is told while the group lives.
    let mut stream = start("stream");
    let mut streamed = vec![stream.next().await.unwrap(), stream.next().await.unwrap()];
    loop {
        let event = follow.next().await.unwrap();
        assert_eq!(event["event"], "progress", "{event}");
        if event["content"] == json!({ "total": 3, "done": 2, "failed": 1 }) {
            break;
        }
    }
    // Asleep while the group ends and its keys go, it learns the rest from the list.
    stream.signal(Signal::STOP);
    std::fs::write(file("b"), "second\nthe test\n").unwrap();
    let list = plain.list("g").await;
    engine.is_clean().await;
    stream.signal(Signal::CONT);
    streamed.extend(stream.rest().await);
    streamed.sort_by_key(|outcome| outcome["index"].as_u64());
    assert_eq!(streamed.len(), 3, "{streamed:?}");
    assert_eq!(streamed[0], json!({ "index": 0, "value": "first", "error": null }));
    assert_eq!(streamed[1], json!({ "index": 1, "value": "second", "error": null }));
    assert_eq!(
        (&streamed[2]["value"], &streamed[2]["error"]["kind"]),
        (&Value::Null, &json!("bad_argument"))
    );

    let done = follow.rest().await.pop().unwrap();
    assert_eq!(done["event"], "done");
    let told = |name: &str| done["content"][name].as_str().map(str::to_owned);
    let told = ["state", "total", "ok", "failed", "function"].map(told);
    let wanted = ["complete", "3", "2", "1", "test.await_lines"];
    assert_eq!(told, wanted.map(|text| Some(text.to_owned())));

    let records = plain.records("g").await;
    for (at, read) in start("read").rest().await.into_iter().enumerate() {
        assert_eq!(read["value"], list[at]);
        for field in ["index", "ok", "attempts", "started_ms", "worker"] {
            assert_eq!(read["record"][field], records[at][field], "{field}");
        }
    }
    // Whoever comes late is told all the same.
    assert_eq!(start("stream").rest().await.len(), 3);
    streams_entries_of_every_kind(language, &engine, &plain).await;
    worker.term().await;
    collator.term().await;
}

/// Entries as other workers may write them: several outcomes in one, and an item without an index.
async fn streams_entries_of_every_kind(language: Language, engine: &Engine, plain: &Plain) {
    let error = json!({ "kind": "failed", "message": "no" });
    let several = json!({ "values": ["a", null, "c"], "errors": [[1, error]] });
    let failed = ("Jetiter-Status", "error");
    plain.stored(&plain.key("item.h.5-3"), &[failed], several.to_string()).await;
    plain.stored(&plain.key("item.h.n9-17"), &[], "\"bare\"").await;
    plain.stored(&plain.key("item.h.n10-18"), &[failed], error.to_string()).await;
    let mut stream = language.start_client(&engine.settings, &["stream", "h"]);
    let outcome = |index: Value, value: Value, error: &Value| json!({ "index": index, "value": value, "error": error });
    let none = Value::Null;
    for wanted in [
        outcome(json!(5), json!("a"), &none),
        outcome(json!(6), none.clone(), &error),
        outcome(json!(7), json!("c"), &none),
        outcome(json!("n9-17"), json!("bare"), &none),
        outcome(json!("n10-18"), none.clone(), &error),
    ] {
        assert_eq!(stream.next().await, Some(wanted));
    }
    plain.stored(&format!("{}.cancel.h", plain.ns), &[], "").await;
    assert_eq!(stream.rest().await, [Value::Null; 0]);
    assert_eq!(plain.list("h").await.len(), 5);
    engine.is_clean().await;
}
