//! Numbers, texts and values at the edge of what can be said and beyond: each ends as something
//! that can be seen, and takes no more memory than it deserves.

use jetiter::{ErrorKind, FOREVER, Fetched, Functions, GroupId, Options, math};
use serde_json::{Value, json};

use crate::harness::{Engine, within};
use crate::plain::{Headers, Plain};

/// What a value may have here: the server's million less what headers take.
const LIMIT: usize = (1 << 20) - 1024;

#[tokio::test(flavor = "multi_thread")]
async fn absurd_totals_and_indexes_take_no_memory() {
    let engine = Engine::bare().await;
    let (plain, collator) = (Plain::of(&engine).await, engine.collator_process());
    engine.worker(math::functions()).await;
    for index in [0, 7, u32::MAX - 1, u32::MAX] {
        plain.items("vast", [index]).await;
        plain.until_kept(&format!("item.vast.{index}")).await;
    }
    plain.seal("vast", &[], u32::MAX.to_string()).await;
    plain.until_kept("mark.vast.seal").await;
    let vast: GroupId = "vast".parse().unwrap();
    let missing = engine.client.missing_ranges(&vast).await.unwrap();
    assert_eq!(missing, [1..=6, 8..=u32::MAX - 2], "the last index is out of range");

    plain.items("one", [u32::MAX, 0]).await;
    plain.seal("one", &[], "1").await;
    assert_eq!(plain.list("one").await, [0]);
    plain.stored(&format!("{}.cancel.vast", plain.ns), &[], "").await;
    let mut found = plain.list("vast").await;
    found.sort_by_key(Value::as_u64);
    assert_eq!(found, [json!(0), json!(7), json!(u32::MAX - 1)]);
    assert_eq!(plain.metadata("vast").await["extra"], "1");
    engine.is_clean().await;
    assert!(collator.peak_memory() < 200 << 20, "{}", collator.peak_memory());
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_texts_where_short_ones_belong_are_refused_by_name() {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    // As much as the server takes: all headers together, and a payload.
    let (huge, long) = ("x".repeat(60_000), "x".repeat(1 << 20));
    let mut events = plain.events("g").await;
    let seals: [(Headers<'_>, &str, &str); 6] = [
        (&[], &long, "total"),
        (&[], "\u{1}\u{2}\"\\\u{1}", "total"),
        (&[("Content-Type", &huge)], "2", "Content-Type"),
        (&[("Jetiter-Keep", &huge)], "2", "Jetiter-Keep"),
        (&[("Jetiter-Label", &huge)], "2", "Jetiter-Label"),
        (&[("Jetiter-Function", &huge)], "2", "xxx"),
    ];
    for (headers, total, told) in seals {
        plain.seal("g", headers, total.to_owned()).await;
        events.expect("rejected", &[told]).await;
    }
    let items: [Headers<'_>; 7] = [
        &[("Jetiter-Index", &huge)],
        &[("Jetiter-Index", "")],
        &[("Jetiter-Index", "1e3")],
        &[("Jetiter-Index", "007")],
        &[("Content-Type", &huge)],
        &[("Jetiter-Timeout", &huge)],
        &[("Jetiter-Retries", "1e3")],
    ];
    for headers in items {
        plain.item("g", "math.floor", headers, "1.5").await;
    }
    plain.item("g", "math.floor", &[], long.clone()).await;
    plain.seal("g", &[], "8").await;
    let records = plain.records("g").await;
    let kinds = records.iter().map(|record| record["error"]["kind"].as_str().unwrap());
    assert_eq!(kinds.filter(|kind| *kind == "bad_header").count(), 7);
    for record in &records {
        assert!(record["error"]["message"].as_str().unwrap().len() < 10_000);
    }
    engine.is_clean().await;
}

fn errors<T>(fetched: Fetched<T>) -> Vec<Option<ErrorKind>> {
    let ordered = fetched.into_ordered().into_iter();
    ordered.map(|(_, value)| value.err().map(|error| error.kind)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_value_passes_and_one_byte_more_is_an_error() {
    let engine = Engine::bare().await;
    let functions = Functions::new()
        .function("text", |bytes: usize| "x".repeat(bytes))
        .function("length", |text: String| text.len())
        .try_function("fail", |bytes: usize| Err::<(), _>("ü".repeat(bytes)))
        .function("panic", |bytes: usize| -> u32 { panic!("{}", "ü".repeat(bytes)) });
    engine.worker(functions).await;
    engine.collator().await;
    let client = &engine.client;
    for (encoding, frame) in [(jetiter::Encoding::Json, 2), (jetiter::Encoding::Cbor, 5)] {
        let options = Options::new().encoding(encoding);
        let sizes = [LIMIT - frame, LIMIT - frame + 1, 5 << 20];
        let group = client.async_iter("text", sizes, &options).await.unwrap();
        let fetched = within(client.fetch::<String>(&group, FOREVER)).await.unwrap().unwrap();
        let large = Some(ErrorKind::TooLarge);
        assert_eq!(errors(fetched), [None, large, large], "{encoding}");

        let arguments = ["x".repeat(LIMIT - frame)];
        let group = client.async_iter("length", arguments, &options).await.unwrap();
        let list = within(client.result::<usize>(&group, FOREVER)).await.unwrap();
        assert_eq!(list, Some(vec![LIMIT - frame]));
        let arguments = ["x".repeat(LIMIT - frame + 1)];
        let error = client.async_iter("length", arguments, &options).await.unwrap_err();
        assert!(error.to_string().contains(&format!("{} bytes", LIMIT + 1)), "{error}");
    }
    for (function, kind) in [("fail", ErrorKind::Failed), ("panic", ErrorKind::Panicked)] {
        let group = client.async_iter(function, [3 << 20], &Options::new()).await.unwrap();
        let fetched = within(client.fetch::<Value>(&group, FOREVER)).await.unwrap().unwrap();
        let message = &fetched.records[0].error.as_ref().unwrap().message;
        assert!(message.len() < 10_000 && message.contains("üü"), "{}", message.len());
        assert_eq!(errors(fetched), [Some(kind)]);
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_only_a_plain_client_can_send_runs_all_the_same() {
    let engine = Engine::bare().await;
    engine.worker(Functions::new().function("length", |text: String| text.len())).await;
    engine.collator().await;
    let plain = Plain::of(&engine).await;
    // All that the server takes, beyond what our own client sends.
    let argument = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let length = argument.len() - 2;
    plain.item("g", "length", &[], argument).await;
    plain.seal("g", &[], "1").await;
    assert_eq!(plain.list("g").await, [length]);
    engine.is_clean().await;
}
