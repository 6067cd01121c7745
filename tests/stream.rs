//! Outcomes as they come, each once, and where a group stands.

use std::collections::BTreeMap;

use futures_util::{Stream, StreamExt};
use jetiter::{
    Chunk, Client, ClientError, ErrorKind, FOREVER, Functions, GroupId, ItemError, ItemId, Options,
    Status,
};
use serde_json::{Value, json};

use crate::groups::{arguments, arguments_file};
use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;

type Told = Result<(ItemId, Result<i64, ItemError>), ClientError>;

fn group() -> GroupId {
    "g".parse().unwrap()
}

fn options() -> Options {
    Options::new().group(group())
}

async fn next(stream: &mut (impl Stream<Item = Told> + Unpin)) -> (ItemId, i64) {
    let (index, value) = within(stream.next()).await.unwrap().unwrap();
    (index, value.unwrap())
}

/// All that is still to come, by index: each once.
async fn rest(mut stream: impl Stream<Item = Told> + Unpin) -> BTreeMap<u32, i64> {
    let mut told = BTreeMap::new();
    while let Some(outcome) = within(stream.next()).await {
        let (ItemId::Index(index), value) = outcome.unwrap() else { panic!("an index") };
        assert_eq!(told.insert(index, value.unwrap()), None, "item {index} twice");
    }
    told
}

fn whole(items: u32) -> BTreeMap<u32, i64> {
    (0..items).map(|index| (index, i64::from(index))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_come_before_their_group_is_sealed() {
    let engine = Engine::start().await;
    let plain = Plain::of(&engine).await;
    let mut stream = engine.client.stream::<i64>(&group());
    plain.items("g", 0..1).await;
    assert_eq!(next(&mut stream).await, (ItemId::Index(0), 0));
    plain.items("g", [1, 7]).await;
    let mut two = [next(&mut stream).await, next(&mut stream).await];
    two.sort();
    assert_eq!(two, [(ItemId::Index(1), 1), (ItemId::Index(7), 7)]);
    plain.items("g", 2..5).await;
    plain.seal("g", &[], "5").await;
    assert_eq!(rest(stream).await, BTreeMap::from([(2, 2), (3, 3), (4, 4)]));
    engine.is_clean().await;
}

/// Nothing is read until all is over: then everything that the log brought is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_slow_misses_none_when_the_keys_are_gone() {
    let engine = Engine::start().await;
    let mut stream = engine.client.stream::<i64>(&group());
    let plain = Plain::of(&engine).await;
    plain.items("g", 0..1).await;
    assert_eq!(next(&mut stream).await, (ItemId::Index(0), 0));
    let items = 3000;
    engine.client.async_iter("math.floor", arguments(items), &options()).await.unwrap();
    within(engine.client.ended(&group(), FOREVER)).await.unwrap().unwrap();
    engine.is_clean().await;
    let mut told = rest(stream).await;
    assert_eq!(told.insert(0, 0), None, "the first one came before");
    assert_eq!(told, whole(items));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_taken_apart_and_errors_told() {
    let engine = Engine::start().await;
    for chunk in [1, 7, 100] {
        let group: GroupId = format!("g{chunk}").parse().unwrap();
        let mut stream = engine.client.stream::<f64>(&group);
        let options = Options::new().chunk(Chunk::of(chunk)).group(group);
        let arguments = (0..100).map(|n| if n == 42 { -1.0 } else { f64::from(n * n) });
        engine.client.async_iter("math.sqrt", arguments, &options).await.unwrap();
        let mut told = BTreeMap::new();
        while let Some(outcome) = within(stream.next()).await {
            let (index, value) = outcome.unwrap();
            assert!(told.insert(index, value).is_none());
        }
        assert_eq!(told.len(), 100);
        let failed = told.remove(&ItemId::Index(42)).unwrap().unwrap_err();
        assert_eq!(failed.kind, ErrorKind::Failed);
        let mut sound = told.iter();
        let is_root = |(index, value): (&ItemId, &Result<f64, _>)| {
            value.as_ref().unwrap().to_string() == index.to_string()
        };
        assert!(sound.all(is_root), "{told:?}");
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_behind_the_end_of_a_group_is_not_told() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    let put = async |index: &str| {
        plain.stored(&plain.key(&format!("item.g.{index}")), &[], index.to_owned()).await;
    };
    put("0").await;
    plain.stored(&plain.key("mark.g.end"), &[], r#"{"state":"cancelled"}"#).await;
    put("1").await;
    let mut stream = engine.client.stream::<i64>(&group());
    assert_eq!(next(&mut stream).await, (ItemId::Index(0), 0));
    engine.collator().await;
    assert_eq!(rest(stream).await, BTreeMap::new());

    // Sealed, and one index is out of range.
    let put = async |key: &str, payload: &str| {
        plain.stored(&plain.key(key), &[], payload.to_owned()).await;
    };
    put("mark.h.seal", r#"{"total":2}"#).await;
    for index in ["0", "9", "1", "2"] {
        put(&format!("item.h.{index}"), index).await;
    }
    let stream = engine.client.stream::<i64>(&"h".parse().unwrap());
    assert_eq!(rest(stream).await, whole(2));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_group_is_told_from_its_list() {
    let engine = Engine::start().await;
    engine.client.async_iter("math.floor", arguments(50), &options()).await.unwrap();
    within(engine.client.ended(&group(), FOREVER)).await.unwrap().unwrap();
    engine.is_clean().await;
    assert_eq!(rest(engine.client.stream(&group())).await, whole(50));
    let plain = Plain::of(&engine).await;
    for argument in ["0.5", "1.5"] {
        plain.item("n", "math.floor", &[], argument).await;
    }
    plain.seal("n", &[], "2").await;
    let mut stream = engine.client.stream::<i64>(&"n".parse().unwrap());
    let mut values = [next(&mut stream).await.1, next(&mut stream).await.1];
    values.sort();
    assert_eq!(values, [0, 1]);
    assert!(within(stream.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_type_is_an_error_and_the_others_come() {
    let engine = Engine::bare().await;
    let odd = |n: u32| if n == 1 { json!("one") } else { json!(n) };
    engine.worker(Functions::new().function("odd", odd)).await;
    engine.collator().await;
    engine.client.async_iter("odd", 0..3u32, &options()).await.unwrap();
    let stream = engine.client.stream::<i64>(&group());
    let told: Vec<Told> = within(stream.collect()).await;
    let wrong: Vec<_> = told.iter().filter_map(|told| told.as_ref().err()).collect();
    assert_eq!((told.len(), wrong.len()), (3, 1));
    let text = wrong[0].to_string();
    assert!(text.contains("item 1") && text.contains("i64"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_that_dies_changes_nothing_for_a_reader() {
    let engine = Engine::bare().await;
    let _worker = engine.worker_process();
    for point in ["collator.committed", "collator.marked_done", "collator.purged"] {
        let doomed = engine.process_until(&["collator"], &format!("{point}=return(kill)"));
        let id: GroupId = point.replace('.', "-").parse().unwrap();
        let stream = engine.client.stream::<i64>(&id);
        let options = Options::new().group(id);
        engine.client.async_iter("math.floor", arguments(300), &options).await.unwrap();
        let (told, _) = tokio::join!(rest(stream), doomed.ended());
        assert_eq!(told, whole(300), "{point}");
        // Left to the next doomed one, this group would be what it dies of.
        let next = engine.collator_process();
        engine.is_clean().await;
        next.term().await;
    }
}

#[tokio::test]
async fn inline_outcomes_are_told_too() {
    let client = Client::sync(jetiter::math::functions()).unwrap();
    client.async_iter("math.floor", arguments(5), &options()).await.unwrap();
    assert_eq!(rest(client.stream(&group())).await, whole(5));
    let watched: Vec<Status> = client.watch(&group()).map(Result::unwrap).collect().await;
    assert!(matches!(&watched[..], [Status::Finished(summary)] if summary.ok == 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_each_change_until_the_end() {
    let engine = Engine::bare().await;
    let plain = Plain::of(&engine).await;
    let unknown: Vec<_> = within(engine.client.watch(&group()).collect()).await;
    assert!(unknown.is_empty(), "{unknown:?}");
    engine.client.async_iter("math.floor", arguments(3), &options()).await.unwrap();
    let mut changes = engine.client.watch(&group());
    let next = async |changes: &mut _| next_change(changes).await;
    assert_eq!(next(&mut changes).await, json!([3, 0, 3]));
    plain.stored(&plain.key("item.g.0"), &[], "0").await;
    assert_eq!(next(&mut changes).await, json!([3, 1, 3]));
    engine.collator().await;
    engine.worker(jetiter::math::functions()).await;
    let mut last = json!(null);
    while last != json!("complete") {
        last = next(&mut changes).await;
    }
    assert!(within(changes.next()).await.is_none());
}

async fn next_change(
    changes: &mut (impl Stream<Item = Result<Status, ClientError>> + Unpin),
) -> Value {
    match within(changes.next()).await.unwrap().unwrap() {
        Status::Running { total, done, waiting } => json!([total, done, waiting]),
        Status::Finished(summary) => json!(summary.state),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_prints_json_lines_as_they_come() {
    let (engine, alone) = (Engine::start().await, Engine::bare().await);
    let file = arguments_file(500);
    let from = file.path().to_str().unwrap();
    let map = engine.process(&["map", "--stream", "--from", from, "math.floor"]);
    let printed = map.printed().await;
    let lines: BTreeMap<u32, i64> = printed.lines().map(line).collect();
    assert_eq!((printed.lines().count(), lines), (500, whole(500)));

    let map = engine.process(&["map", "--stream", "--group", "g", "math.sqrt", "4", "-1"]);
    let (code, said) = map.ended_saying().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 of 2 items failed"), "{said}");
    let again = engine.process(&["map", "--stream", "--group", "g", "math.sqrt", "4", "-1"]);
    let (code, said) = again.ended_saying().await;
    assert!(code == Some(2) && said.contains("g has a result already"), "{code:?} {said}");
    let map = ["map", "--stream", "--wait", "10ms", "test.sleep_ms", "1"];
    let (code, said) = alone.process(&map).ended_saying().await;
    assert!(code == Some(3) && said.contains("is not finished after 10ms"), "{code:?} {said}");
    engine.is_clean().await;
}

fn line(line: &str) -> (u32, i64) {
    let line: Value = serde_json::from_str(line).unwrap();
    (line["index"].as_u64().unwrap() as u32, line["value"].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_watches_until_the_end() {
    let engine = Engine::bare().await;
    let (code, said) = engine.process(&["status", "--watch", "g"]).ended_saying().await;
    assert!(code == Some(4) && said.contains("no group g"), "{code:?} {said}");
    engine.client.async_iter("math.floor", arguments(3), &options()).await.unwrap();
    let watch = engine.process(&["status", "--watch", "g"]);
    eventually("the first line", async || watch.output().contains("0 of 3 items done")).await;
    engine.collator().await;
    engine.worker(jetiter::math::functions()).await;
    let printed = watch.printed().await;
    let last = printed.lines().last().unwrap();
    assert!(last.starts_with("g: complete, 3 ok, 0 failed"), "{printed}");
    engine.is_clean().await;
}
