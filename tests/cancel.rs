//! Groups that are ended before all of their items have run.

use std::time::Duration;

use jetiter::{Cancel, Client, Encoding, FOREVER, GroupId, Options, State};
use serde_json::Value;

use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;

struct File(tempfile::NamedTempFile);

impl File {
    fn new() -> File {
        File(tempfile::NamedTempFile::new().unwrap())
    }

    fn arguments(&self, items: u32) -> Vec<(String, String)> {
        let path = self.0.path().to_str().unwrap();
        (0..items).map(|index| (path.to_owned(), index.to_string())).collect()
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.path()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

async fn submit(engine: &Engine, function: &str, arguments: Vec<(String, String)>) -> GroupId {
    let options = Options::new().timeout(Duration::from_secs(600));
    within(engine.client.async_iter(function, arguments, &options)).await.unwrap()
}

async fn cancel(client: &Client, group: &GroupId) -> Cancel {
    within(client.cancel(group)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_never_run_and_what_has_an_outcome_is_in_the_list() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    let group: GroupId = "g".parse().unwrap();
    let options = Options::new().group(group.clone()).encoding(Encoding::Json);
    let arguments = (0..100).map(|n| f64::from(n) + 0.5);
    engine.client.async_iter("math.floor", arguments, &options).await.unwrap();
    plain.stored(&plain.key("item.g.7"), &[], "7").await;
    assert!(matches!(cancel(&engine.client, &group).await, Cancel::Asked));
    engine.collator().await;
    let summary = within(engine.client.ended(&group, FOREVER)).await.unwrap().unwrap();
    assert_eq!((summary.state, summary.total, summary.len()), (State::Cancelled, Some(100), 1));
    assert_eq!(plain.list("g").await, [7]);
    // No worker is there: only the collator can have removed them.
    engine.is_clean().await;
    let Cancel::Finished(again) = cancel(&engine.client, &group).await else { panic!("finished") };
    assert_eq!(again, summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_submission_adds_behind_the_cancel_is_removed() {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    plain.items("g", 0..3).await;
    plain.until_kept("item.g.2").await;
    plain.stored(&format!("{}.cancel.g", plain.ns), &[], "").await;
    plain.bytes("g").await;
    engine.is_clean().await;
    plain.item("g", "math.floor", &[("Jetiter-Index", "9")], "9.5").await;
    // For a queue that nobody works.
    let waits = format!("{}.item.other.g.math.floor", plain.ns);
    plain.stored(&waits, &[("Jetiter-Index", "10")], "10.5").await;
    engine.is_clean().await;
    assert_eq!(plain.numbers("g").await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_function_is_told_and_what_waits_behind_it_is_not_begun() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 1).await;
    let file = File::new();
    let _worker = engine.worker_process();
    let _collator = engine.collator_process();
    let group = submit(&engine, "test.until_told", file.arguments(20)).await;
    eventually("one runs", async || file.lines().len() == 1).await;
    assert!(matches!(cancel(&engine.client, &group).await, Cancel::Asked));
    eventually("it is told", async || file.lines().last().is_some_and(|l| l == "told")).await;
    let summary = within(engine.client.ended(&group, FOREVER)).await.unwrap().unwrap();
    assert_eq!((summary.state, summary.len()), (State::Cancelled, 0));
    engine.is_clean().await;
    // Whatever the worker still held is behind this one.
    let next = submit(&engine, "test.append", file.arguments(1)).await;
    within(engine.client.ended(&next, FOREVER)).await.unwrap().unwrap();
    assert_eq!(file.lines().len(), 3, "{:?}", file.lines());
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arguments_of_a_chunk_that_have_not_begun_are_not_run() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 1).await;
    let file = File::new();
    let _worker = engine.worker_process();
    engine.collator().await;
    let options = Options::new().chunk(jetiter::Chunk::of(50)).timeout(Duration::from_secs(600));
    let arguments = file.arguments(50);
    let group = engine.client.async_iter("test.until_told", arguments, &options).await.unwrap();
    eventually("one runs", async || file.lines().len() == 1).await;
    cancel(&engine.client, &group).await;
    within(engine.client.ended(&group, FOREVER)).await.unwrap().unwrap();
    engine.is_clean().await;
    let next = submit(&engine, "test.append", file.arguments(1)).await;
    within(engine.client.ended(&next, FOREVER)).await.unwrap().unwrap();
    assert_eq!(file.lines().len(), 3, "{:?}", file.lines());
}

/// An id that is free again is another group's: a worker that heard of the end of the first runs
/// the items of the second, and tells them nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_cancelled_and_deleted_can_be_used_again() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 1).await;
    let file = File::new();
    let _worker = engine.worker_process();
    engine.collator().await;
    let group: GroupId = "g".parse().unwrap();
    let options = Options::new().group(group.clone()).timeout(Duration::from_secs(600));
    let begin = async |function, arguments| {
        engine.client.async_iter(function, arguments, &options).await.unwrap();
    };
    begin("test.until_told", file.arguments(1)).await;
    eventually("it runs", async || file.lines().len() == 1).await;
    cancel(&engine.client, &group).await;
    eventually("it is told", async || file.lines().len() == 2).await;
    within(engine.client.ended(&group, FOREVER)).await.unwrap().unwrap();
    engine.is_clean().await;
    assert!(engine.client.delete(&group).await.unwrap());
    begin("test.append", file.arguments(3)).await;
    let list = within(engine.client.result::<String>(&group, FOREVER)).await.unwrap().unwrap();
    assert_eq!(list.len(), 3);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_cancels_and_says_what_it_can_not_cancel() {
    let engine = Engine::bare().await;
    let options = Options::new().group("g".parse().unwrap());
    engine.client.async_iter("math.floor", [0.5, 1.5], &options).await.unwrap();
    let (code, said) = engine.process(&["cancel", "g", "--wait", "0"]).ended_saying().await;
    assert!(code == Some(3) && said.contains("collator"), "{code:?} {said}");
    engine.collator().await;
    within(engine.client.ended(&"g".parse().unwrap(), FOREVER)).await.unwrap().unwrap();
    let (code, said) = engine.process(&["cancel", "g"]).ended_saying().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("g has ended already (cancelled, 0 items)"), "{said}");
    let (code, said) = engine.process(&["cancel", "nobody"]).ended_saying().await;
    assert!(code == Some(4) && said.contains("no group nobody is known"), "{code:?} {said}");

    let options = Options::new().group("h".parse().unwrap());
    engine.client.async_iter("math.floor", [0.5, 1.5], &options).await.unwrap();
    let said = engine.process(&["cancel", "h", "--json"]).printed().await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["state"], &said["total"]), (&"cancelled".into(), &2.into()));
    engine.is_clean().await;
}

#[tokio::test]
async fn inline_there_is_nothing_to_cancel() {
    let client = Client::sync(jetiter::math::functions()).unwrap();
    assert!(matches!(cancel(&client, &"g".parse().unwrap()).await, Cancel::Unknown));
    let group = client.async_iter("math.floor", [0.5], &Options::new()).await.unwrap();
    assert!(matches!(cancel(&client, &group).await, Cancel::Finished(_)));
}
