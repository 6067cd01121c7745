use std::future::pending;
use std::time::Duration;

use jetiter::{
    Client, Context, Encoding, FOREVER, Fetched, Functions, GroupId, ItemError, ItemId, Iter,
    Options, State,
};
use serde_json::{Value, json};

use crate::harness::{Engine, within};

pub fn functions() -> Functions {
    Functions::new()
        .function("t.next", |x: i64| x + 1)
        .function("t.nothing", |_: Value| ())
        .function("t.not_a_number", |_: Value| f64::NAN)
        .function("t.large", |bytes: usize| "x".repeat(bytes))
        .function("t.panic", |x: i64| -> i64 { panic!("panic at {x}") })
        .function("t.stuck", async |_: Value| pending::<()>().await)
        .try_function("t.even", |x: i64| match x % 2 {
            0 => Ok(x),
            _ => Err(format!("{x} is odd")),
        })
        .try_function("t.third_time", |x: i64, context: Context| match context.item.attempt {
            3.. => Ok(x),
            attempt => Err(format!("attempt {attempt}")),
        })
        .blocking("t.blocking_panic", |x: i64| -> i64 { panic!("at {x}") })
        .try_blocking("t.blocking", |x: u8| x.checked_add(250).ok_or("over"))
}

fn cases() -> Vec<(&'static str, Vec<Value>, Options)> {
    let plain = Options::new;
    let short = Duration::from_millis(40);
    vec![
        ("t.next", vec![json!(1), json!(2), json!(-3)], plain()),
        ("t.next", vec![], plain().label("an empty one")),
        ("t.next", vec![json!("text"), json!(1.5), json!(null), json!([1])], plain().retries(3)),
        ("t.nothing", vec![json!(1), json!(2)], plain().label("no values – grüezi")),
        ("t.nothing", vec![json!(1)], plain().label("")),
        ("t.not_a_number", vec![json!(1)], plain()),
        ("t.large", vec![json!(2_000_000), json!(1_048_000), json!(3)], plain().retries(1)),
        ("t.panic", vec![json!(1), json!(2)], plain()),
        ("t.panic", vec![json!(1)], plain().retries(1)),
        ("t.stuck", vec![json!(1), json!(2)], plain().timeout(short)),
        ("t.stuck", vec![json!(1)], plain().timeout(short).retries(1)),
        ("t.stuck", vec![json!(1)], plain().timeout(Duration::from_micros(1700))),
        ("t.stuck", vec![json!(1)], plain().timeout(Duration::ZERO)),
        ("t.next", vec![json!(1)], plain().timeout(FOREVER).cached(FOREVER)),
        ("t.next", vec![json!(1)], plain().cached(Duration::from_secs(60))),
        ("t.even", vec![json!(1), json!(2), json!(3)], plain()),
        ("t.even", vec![json!(1), json!(2)], plain().retries(2)),
        ("t.third_time", vec![json!(7)], plain()),
        ("t.third_time", vec![json!(7)], plain().retries(1)),
        ("t.third_time", vec![json!(7), json!(8)], plain().retries(2)),
        ("t.third_time", vec![json!(7)], plain().retries(5)),
        ("t.blocking", vec![json!(1), json!(9), json!(300)], plain()),
        ("t.blocking_panic", vec![json!(1)], plain()),
        ("t.nobody", vec![json!(1), json!(2)], plain().retries(2)),
    ]
}

/// What the two ways must agree on: all but times, workers and places.
#[derive(Debug, PartialEq)]
struct Seen {
    state: State,
    total: Option<u32>,
    counts: (u64, u64, u64),
    names: (Option<String>, Option<String>),
    keep_ms: Option<u64>,
    attempts: Vec<(ItemId, bool, u32)>,
    items: Vec<(ItemId, Result<Value, ItemError>)>,
}

fn seen(fetched: Fetched<Value>) -> Seen {
    let summary = fetched.summary.clone();
    let attempt = |record: &jetiter::Record| (record.index, record.ok, record.attempts);
    let mut attempts: Vec<_> = fetched.records.iter().map(attempt).collect();
    attempts.sort();
    Seen {
        state: summary.state,
        total: summary.total,
        counts: (summary.ok, summary.failed, summary.extra),
        names: (summary.label, summary.function.map(String::from)),
        keep_ms: summary.keep_ms,
        attempts,
        items: fetched.into_ordered(),
    }
}

async fn run(client: &Client, function: &str, arguments: &[Value], options: &Options) -> Seen {
    let id = client.async_iter(function, arguments, options).await.unwrap();
    let fetched = within(client.fetch(&id, FOREVER)).await.unwrap().unwrap();
    let list: Vec<Value> = client.result(&id, Duration::ZERO).await.unwrap().unwrap();
    let values: Vec<Value> = fetched.list.iter().map(|v| v.clone().unwrap_or_default()).collect();
    assert_eq!(list, values, "result and fetch agree");
    seen(fetched)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_comes_to_the_same_inline_and_over_the_broker() {
    let engine = Engine::bare().await;
    engine.worker(functions()).await;
    engine.collator().await;
    let inline = Client::sync(functions()).unwrap();
    for encoding in [Encoding::Cbor, Encoding::Json] {
        for (function, arguments, options) in cases() {
            let options = options.encoding(encoding);
            let here = run(&inline, function, &arguments, &options).await;
            let there = run(&engine.client, function, &arguments, &options).await;
            assert_eq!(here, there, "{function} {arguments:?} {options:?}");
            assert_eq!(here.items.len(), arguments.len());
        }
    }
    engine.is_clean().await;
}

struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not to be written"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_submitted_is_refused_in_the_same_words() {
    let engine = Engine::start().await;
    let inline = Client::sync(jetiter::math::functions()).unwrap();
    let mut words = Vec::new();
    for client in [&inline, &engine.client] {
        let plain = Options::new();
        let fixed = |id: &str| Options::new().group(id.parse().unwrap());
        let error =
            |submitted: Result<GroupId, jetiter::ClientError>| submitted.unwrap_err().to_string();
        client.async_iter("math.floor", [1], &fixed("taken")).await.unwrap();
        within(client.read(&"taken".parse().unwrap(), FOREVER)).await.unwrap();
        words.push([
            error(client.async_iter("math..floor", [1], &plain).await),
            error(
                client.async_iter("math.floor", [1], &plain.clone().label("x".repeat(257))).await,
            ),
            error(client.async_iter("math.floor", [1], &plain.clone().label("a\nb")).await),
            error(client.async_iter("math.floor", [1], &plain.clone().label(" in spaces ")).await),
            error(client.async_iter("math.floor", [Unwritable], &fixed("unwritable")).await),
            error(client.async_iter("math.floor", ["x".repeat(2 << 20)], &fixed("large")).await),
            error(client.async_iter("math.floor", [1], &fixed("taken")).await),
            error(
                Iter::<u8>::new(client, "math.floor")
                    .result::<u8>(FOREVER)
                    .await
                    .map(|_| GroupId::random()),
            ),
        ]);
    }
    assert_eq!(words[0], words[1]);
    engine.is_clean().await;
}
