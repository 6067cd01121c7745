//! The engine as a NATS micro service: what a plain client asks and is answered.

use std::time::Duration;

use async_nats::HeaderMap;
use jetiter::{Encoding, Options};
use serde_json::{Value, json};

use crate::groups::arguments;
use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;
use crate::processes::Process;

/// An engine whose collator and worker are processes, as the service is the program's.
struct Offered {
    engine: Engine,
    plain: Plain,
    _processes: Vec<Process>,
}

impl Offered {
    async fn start(worker: bool) -> Offered {
        let engine = Engine::bare().await;
        let mut processes = vec![engine.collator_process()];
        if worker {
            processes.push(engine.worker_process());
        }
        let plain = Plain::of(&engine).await;
        let offered = Offered { engine, plain, _processes: processes };
        eventually("it is offered", async || offered.info().await.is_some()).await;
        if worker {
            let serves = async || offered.ask("functions", json!({})).await.to_string();
            eventually("it works", async || serves().await.contains("test.echo")).await;
        }
        offered
    }

    async fn info(&self) -> Option<Value> {
        let subject = format!("$SRV.INFO.{}", self.plain.ns);
        let answer = self.plain.client.request(subject, "".into()).await.ok()?;
        serde_json::from_slice(&answer.payload).ok()
    }

    async fn request(&self, endpoint: &str, payload: String) -> async_nats::Message {
        let subject = format!("{}.api.{endpoint}", self.plain.ns);
        let request = async_nats::Request::new()
            .payload(payload.into())
            .timeout(Some(Duration::from_secs(90)));
        within(self.plain.client.send_request(subject, request)).await.unwrap()
    }

    async fn ask(&self, endpoint: &str, ask: Value) -> Value {
        let answer = self.request(endpoint, ask.to_string()).await;
        assert!(answer.headers.is_none(), "{endpoint} {ask}: {:?}", answer.headers);
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// The code and the text of a refusal.
    async fn refused(&self, endpoint: &str, ask: &str) -> (u32, String) {
        let answer = self.request(endpoint, ask.to_owned()).await;
        assert!(answer.payload.is_empty(), "{endpoint} {ask}: {answer:?}");
        let headers = answer.headers.unwrap_or_else(|| panic!("{endpoint} {ask}"));
        let text = |headers: &HeaderMap, name: &str| headers.get(name).unwrap().to_string();
        let code = text(&headers, "Nats-Service-Error-Code");
        (code.parse().unwrap(), text(&headers, "Nats-Service-Error"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_and_quick_map_is_answered_with_its_list() {
    let offered = Offered::start(true).await;
    let ask =
        json!({"function": "math.floor", "arguments": [0.5, 1.5], "label": "l", "wait": "60s"});
    let answer = offered.ask("map", ask).await;
    assert_eq!((&answer["state"], &answer["label"]), (&json!("complete"), &json!("l")));
    let mut list: Vec<i64> = serde_json::from_value(answer["list"].clone()).unwrap();
    list.sort();
    assert_eq!(list, [0, 1]);
    let group = json!({ "group": answer["group"] });
    assert_eq!(offered.ask("result", group.clone()).await, answer);
    let records = offered.ask("records", group.clone()).await;
    assert_eq!(records["records"].as_array().unwrap().len(), 2);
    let status = offered.ask("status", group).await;
    assert_eq!((&status["ok"], &status["list"]), (&json!(2), &Value::Null));
    // Numbers keep their digits on their way.
    let ask = json!({"function": "test.echo", "chunk": 2, "wait": "60s", "timeout": "30s",
        "retries": 1, "cached": "1h", "queue": "default", "group": "mine",
        "arguments": [{"a": null}, "ü", 12345678901234567890u64]});
    let answer = offered.ask("map", ask).await;
    assert_eq!((&answer["group"], &answer["keep_ms"]), (&json!("mine"), &json!(3_600_000)));
    assert!(answer["list"].as_array().unwrap().contains(&json!(12345678901234567890u64)));
    offered.engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_wait_the_group_is_told_and_can_be_cancelled() {
    let offered = Offered::start(false).await;
    let ask = json!({"function": "math.floor", "arguments": [0.5, 1.5], "group": "g"});
    assert_eq!(offered.ask("map", ask).await, json!({"group": "g", "state": "running"}));
    let group = json!({"group": "g"});
    let running = json!({"group": "g", "state": "running", "total": 2, "done": 0, "waiting": 2});
    assert_eq!(offered.ask("status", group.clone()).await, running);
    let (code, text) = offered.refused("result", r#"{"group": "g", "wait": "10ms"}"#).await;
    assert!(code == 409 && text.contains("g is not finished after 10ms"), "{code} {text}");
    let cancelled = offered.ask("cancel", json!({"group": "g", "wait": "60s"})).await;
    assert_eq!((&cancelled["state"], &cancelled["total"]), (&json!("cancelled"), &json!(2)));
    assert_eq!(offered.ask("result", group).await["list"], json!([]));
    offered.engine.is_clean().await;
}

/// What the service says is what the program says.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_answered_as_the_program_answers_it() {
    let offered = Offered::start(false).await;
    let engine = &offered.engine;
    let map = ["map", "--group", "used", "math.floor", "1"];
    let _map = engine.process(&[&map[..], &["--detach"]].concat()).printed().await;
    offered.ask("cancel", json!({"group": "used", "wait": "60s"})).await;
    for (endpoint, ask, code, arguments) in [
        (
            "map",
            r#"{"function":"math..floor","arguments":[1]}"#,
            400,
            &["map", "math..floor", "1"][..],
        ),
        (
            "map",
            r#"{"function":"f","arguments":[1],"queue":"a.b"}"#,
            400,
            &["map", "--queue", "a.b", "f", "1"],
        ),
        (
            "map",
            r#"{"function":"f","arguments":[1],"queue":"other"}"#,
            400,
            &["map", "--queue", "other", "f", "1"],
        ),
        (
            "map",
            r#"{"function":"f","arguments":[1],"label":" l"}"#,
            400,
            &["map", "--label", " l", "f", "1"],
        ),
        (
            "map",
            r#"{"function":"f","arguments":[1],"notify":"a.*"}"#,
            400,
            &["map", "--notify", "a.*", "f", "1"],
        ),
        ("map", r#"{"function":"math.floor","arguments":[1],"group":"used"}"#, 409, &map),
        ("status", r#"{"group":"nobody"}"#, 404, &["status", "nobody"]),
        ("result", r#"{"group":"nobody"}"#, 404, &["result", "nobody"]),
        ("cancel", r#"{"group":"nobody"}"#, 404, &["cancel", "nobody"]),
        ("cancel", r#"{"group":"used"}"#, 409, &["cancel", "used"]),
        ("status", r#"{"group":"a*b"}"#, 400, &["status", "a*b"]),
    ] {
        let (told, text) = offered.refused(endpoint, ask).await;
        assert_eq!(told, code, "{ask}: {text}");
        let (_, said) = engine.process(arguments).ended_saying().await;
        let same = said.contains(&text);
        // What may be wrong with a notice is told beside the prefixes that are allowed.
        assert!(same || text.starts_with("notify is"), "{ask}:\n{text}\n{said}");
    }
    for (endpoint, ask, words) in [
        ("map", r#"{"function":"f"}"#, "missing field `arguments`"),
        ("map", r#"{"function":"f","arguments":[1],"retry":2}"#, "unknown field `retry`"),
        ("map", r#"{"function":"f","arguments":[1],"timeout":"5"}"#, "timeout is \"5\""),
        ("map", r#"{"function":"f","arguments":[1],"chunk":0}"#, "a number from 1 to 65536"),
        ("map", r#"{"function":"f","arguments":[1],"wait":"forever"}"#, "at most 1m"),
        ("map", r#"{"function":"f","arguments":[1],"notify":"x.y"}"#, "collator.notify allows"),
        ("status", "g", "the request is not what status takes"),
        ("status", "", "missing field `group`"),
        ("functions", r#"{"x":1}"#, "unknown field `x`"),
    ] {
        let (code, text) = offered.refused(endpoint, ask).await;
        assert!(code == 400 && text.contains(words), "{ask}: {code} {text}");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told_by_its_name() {
    let offered = Offered::start(true).await;
    let options =
        |group: &str, encoding| Options::new().group(group.parse().unwrap()).encoding(encoding);
    let client = &offered.engine.client;
    let large = options("large", Encoding::Json);
    client.async_iter("test.bytes", [700_000; 2], &large).await.unwrap();
    let answer = offered.ask("result", json!({"group": "large", "wait": "60s"})).await;
    let bucket = format!("{}-results", offered.plain.ns);
    assert_eq!((&answer["bucket"], &answer["object"]), (&json!(bucket), &json!("large")));
    assert_eq!(answer["list"], Value::Null);
    let many = options("many", Encoding::Cbor);
    client.async_iter("math.floor", arguments(20_000), &many).await.unwrap();
    let answer = offered.ask("result", json!({"group": "many", "wait": "60s"})).await;
    assert_eq!(answer["list"].as_array().unwrap().len(), 20_000);
    let answer = offered.ask("records", json!({"group": "many"})).await;
    assert_eq!(answer["object"], "many.records");
    offered.engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_functions_of_live_workers_are_told_with_their_types() {
    let offered = Offered::start(false).await;
    assert_eq!(offered.ask("functions", json!({})).await, json!({"queues": []}));
    let first = offered.engine.worker_process();
    let _second = offered.engine.worker_process();
    let workers = async |count: u32| {
        let queues = offered.ask("functions", json!({})).await;
        queues["queues"][0]["workers"] == json!(count)
    };
    eventually("both tell", async || workers(2).await).await;
    let queues = offered.ask("functions", json!({})).await;
    let functions = queues["queues"][0]["functions"].as_array().unwrap();
    let bytes = functions.iter().find(|one| one["name"] == "test.bytes").unwrap();
    assert_eq!((&bytes["takes"], &bytes["returns"]), (&json!("usize"), &json!("String")));
    first.term().await;
    eventually("one is left", async || workers(1).await).await;
    // A worker in another language.
    let question = format!("{}.serving", offered.plain.ns);
    let mut questions = offered.plain.client.subscribe(question).await.unwrap();
    let client = offered.plain.client.clone();
    tokio::spawn(async move {
        use futures_util::StreamExt;
        while let Some(question) = questions.next().await {
            let answer = r#"{"queue":"py","functions":[{"name":"text.len"}]}"#;
            client.publish(question.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
    let told = async || offered.ask("functions", json!({})).await.to_string();
    eventually("it is told", async || told().await.contains("text.len")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_carry_schemas_and_no_secret() {
    let offered = Offered::start(false).await;
    let info = offered.info().await.unwrap();
    assert_eq!(info["metadata"], json!({"namespace": offered.plain.ns, "protocol": "1"}));
    let endpoints = info["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 6);
    for endpoint in endpoints {
        for schema in ["request", "answer"] {
            let text = endpoint["metadata"][schema].as_str().unwrap();
            let schema: Value = serde_json::from_str(text).unwrap();
            assert_eq!(schema["type"], "object", "{text}");
        }
    }
    assert!(!info.to_string().contains("nats://"), "{info}");
}

/// A collator that is told to stop answers whoever waits.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_answered_when_the_collator_stops() {
    let mut offered = Offered::start(false).await;
    let ask = json!({"function": "math.floor", "arguments": [0.5], "group": "g", "wait": "60s"});
    let collator = offered._processes.remove(0);
    let (answer, ()) = tokio::join!(offered.ask("map", ask), async {
        let group = "g".parse().unwrap();
        eventually("it is submitted", async || {
            offered.engine.client.status(&group).await.unwrap().is_some()
        })
        .await;
        assert!(collator.term().await.success());
    });
    assert_eq!(answer, json!({"group": "g", "state": "running"}));
}
