//! Collators that stop, die, come late, meet each other or find another log than they knew.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use jetiter::{FOREVER, GroupId, Options, Settings, Topology, math};
use serde_json::json;

use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;

async fn with(change: impl FnOnce(&mut Settings)) -> (Engine, Plain) {
    let engine = Engine::with(change).await;
    let plain = Plain::of(&engine).await;
    (engine, plain)
}

async fn submit(engine: &Engine, items: u32) -> GroupId {
    let arguments = (0..items).map(|index| f64::from(index) + 0.5);
    let options = Options::new();
    within(engine.client.async_iter("math.floor", arguments, &options)).await.unwrap()
}

/// The group's list has each value once, and its records name each index once.
async fn is_right(engine: &Engine, group: &GroupId, items: u32) {
    let fetched = within(engine.client.fetch::<u32>(group, FOREVER)).await.unwrap().unwrap();
    assert_eq!(fetched.records.len(), items as usize);
    let ordered = fetched.into_ordered().into_iter();
    let values: Vec<u32> = ordered.map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, (0..items).collect::<Vec<_>>(), "{group}");
}

async fn holder(engine: &Engine) -> Option<String> {
    let stream = engine.broker.namespace.lease_stream();
    let stream = engine.broker.jetstream.get_stream(stream).await.unwrap();
    let subject = engine.broker.namespace.lease_subject();
    let lease = stream.get_last_raw_message_by_subject(&subject).await.ok()?;
    Some(String::from_utf8(lease.payload.to_vec()).unwrap())
}

/// Waits until a collator that is none of these works.
pub async fn until_works(engine: &Engine, not: &Option<String>) -> Option<String> {
    eventually("a collator works", async || {
        let holder = holder(engine).await;
        holder.is_some() && holder != *not
    })
    .await;
    holder(engine).await
}

/// The readers of the cache's log.
async fn followers(engine: &Engine) -> usize {
    let stream = engine.broker.namespace.cache_stream();
    let stream = engine.broker.jetstream.get_stream(stream).await.unwrap();
    let names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    names.len()
}

/// Deletes the cache's stream with all that is in it and makes it anew.
async fn recreate_cache(engine: &Engine) {
    let stream = engine.broker.namespace.cache_stream();
    engine.broker.jetstream.delete_stream(stream).await.unwrap();
    Topology::of(&engine.broker, &engine.settings).ensure(&engine.broker).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_that_stops_hands_over_at_once() {
    let (engine, _) = with(|_| {}).await;
    engine.worker(math::functions()).await;
    let first = engine.collator().await;
    let one = until_works(&engine, &None).await;
    let second = engine.collator().await;
    let before = submit(&engine, 50).await;
    is_right(&engine, &before, 50).await;
    first.stop().await;
    // Given back, not run out: it is free now, or the other one has it.
    assert_ne!(holder(&engine).await, one);
    until_works(&engine, &one).await;
    let after = submit(&engine, 50).await;
    is_right(&engine, &after, 50).await;
    engine.is_clean().await;
    second.stop().await;
    assert_eq!(holder(&engine).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_that_dies_is_succeeded() {
    let (engine, _) = with(|_| {}).await;
    engine.worker(math::functions()).await;
    let first = engine.collator().await;
    let one = until_works(&engine, &None).await;
    engine.collator().await;
    first.abort().await;
    assert_eq!(holder(&engine).await, one, "nobody gave it back");
    let group = submit(&engine, 50).await;
    is_right(&engine, &group, 50).await;
    until_works(&engine, &one).await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_work_at_once_write_one_result() {
    // Long enough that neither learns of the other before the groups are finished.
    let (engine, _) = with(|settings| settings.assets.lease = Duration::from_secs(60)).await;
    engine.collator().await;
    until_works(&engine, &None).await;
    let lease = engine.broker.namespace.lease_stream();
    engine.broker.purge(&lease, None, None).await.unwrap();
    engine.collator().await;
    eventually("both follow the log", async || followers(&engine).await == 2).await;
    engine.worker(math::functions()).await;
    let mut groups = Vec::new();
    for items in 0..40 {
        groups.push((submit(&engine, items * 5).await, items * 5));
    }
    for (group, items) in &groups {
        is_right(&engine, group, *items).await;
    }
    assert_eq!(engine.client.list().await.unwrap().len(), groups.len());
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_that_comes_late_reads_the_log_from_its_start() {
    let (engine, plain) = with(|_| {}).await;
    engine.worker(math::functions()).await;
    let mut groups = Vec::new();
    for items in [3, 0, 200] {
        groups.push((submit(&engine, items).await, items));
    }
    for (group, items) in groups.iter().filter(|(_, items)| *items > 0) {
        for index in 0..*items {
            plain.until_kept(&format!("item.{group}.{index}")).await;
        }
    }
    engine.collator().await;
    for (group, items) in &groups {
        is_right(&engine, group, *items).await;
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collators_that_die_in_the_middle_of_many_groups() {
    // Small chunks and a small buffer: there is much to die between.
    let (engine, _) = with(|settings| {
        settings.assets.lease = Duration::from_secs(1);
        settings.collator.chunk = 1024;
        settings.collator.buffer = 64 << 10;
    })
    .await;
    let mut groups = Vec::new();
    for _ in 0..40 {
        groups.push(submit(&engine, 100).await);
    }
    engine.worker(math::functions()).await;
    for finished in [1, 10, 20] {
        let collator = engine.collator().await;
        eventually("some groups are finished", async || {
            let listed = engine.client.list().await.unwrap();
            listed.iter().filter(|one| one.result.is_some()).count() >= finished
        })
        .await;
        collator.abort().await;
    }
    engine.collator().await;
    for group in &groups {
        is_right(&engine, group, 100).await;
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_too_large_for_the_buffer_is_written_while_it_is_live() {
    let (engine, plain) = with(|settings| settings.collator.buffer = 1).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    for items in [1, 3_000] {
        let group = submit(&engine, items).await;
        is_right(&engine, &group, items).await;
    }
    plain.items("g", [0, 1]).await;
    eventually("chunks of its list are stored before it is sealed", async || {
        let (ns, results) = (&engine.broker.namespace, engine.broker.namespace.results_stream());
        let chunks = ns.chunks_filter("g");
        let info = engine.broker.stream_info(&results, Some(&chunks)).await.unwrap();
        info.state.subjects.len() == 2
    })
    .await;
    plain.seal("g", &[], "2").await;
    assert_eq!(plain.numbers("g").await, [0, 1]);
    engine.is_clean().await;
}

/// Encoding, length of life and range are guessed before the seal, and the seal says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_begun_wrongly_is_written_anew() {
    let (engine, plain) = with(|settings| settings.collator.buffer = 1).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    let cbor: &[(&str, &str)] = &[("Content-Type", "application/cbor")];
    let keep: &[(&str, &str)] = &[("Jetiter-Keep", "600000")];
    for (group, total, headers) in [("e", "3", cbor), ("k", "3", keep), ("r", "2", &[][..])] {
        plain.items(group, [0, 1, 2]).await;
        for index in 0..3 {
            plain.until_kept(&format!("item.{group}.{index}")).await;
        }
        plain.seal(group, headers, total).await;
        let id: GroupId = group.parse().unwrap();
        let read = within(engine.client.fetch::<u32>(&id, FOREVER)).await.unwrap().unwrap();
        let total: usize = total.parse().unwrap();
        assert_eq!((read.list.len(), read.records.len()), (total, 3), "{group}");
        let (ns, results) = (&engine.broker.namespace, engine.broker.namespace.results_stream());
        let chunks = ns.chunks_filter(group);
        eventually("nothing is left of what was begun", async || {
            let info = engine.broker.stream_info(&results, Some(&chunks)).await.unwrap();
            info.state.subjects.len() == 2
        })
        .await;
    }
    engine.is_clean().await;
}

/// Two workers stored parts of one chunk, and somebody one item of it.
#[tokio::test(flavor = "multi_thread")]
async fn of_parts_that_overlap_the_first_outcome_of_each_item_counts() {
    for buffer in [1, 1 << 20] {
        let (engine, plain) = with(|settings| settings.collator.buffer = buffer).await;
        engine.collator().await;
        let put = async |key: &str, payload: &str| {
            plain.stored(&plain.key(&format!("item.g.{key}")), &[], payload.to_owned()).await;
        };
        put("1", "10").await;
        put("0-3", r#"{"values":[0,11,null],"errors":[[2,{"kind":"failed","message":"no"}]]}"#)
            .await;
        put("2-4", r#"{"values":[22,23,24,25],"took":[1,2,3,4]}"#).await;
        put("1-2", "no outcomes").await;
        put("6-2", "no outcomes").await;
        plain.seal("g", &[], "7").await;
        assert_eq!(
            json!(plain.list("g").await),
            json!([10, 0, null, 23, 24, 25, null]),
            "{buffer}"
        );
        let records = plain.records("g").await;
        let indexes: Vec<_> = records.iter().map(|record| record["index"].clone()).collect();
        assert_eq!(json!(indexes), json!([1, 0, 2, 3, 4, 5, 6, 7]));
        assert_eq!(records[2]["error"]["message"], "no");
        assert_eq!(records[3]["duration_ms"], 0.002);
        assert_eq!(records[6]["error"]["kind"], "bad_value");
        assert_eq!(records[7]["error"]["kind"], "out_of_range");
        engine.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_chunks_is_a_plain_object() {
    let (engine, plain) = with(|settings| settings.collator.chunk = 1024).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    let options = Options::new().group("many".parse().unwrap()).encoding(jetiter::Encoding::Json);
    let arguments = (0..5_000).map(f64::from);
    engine.client.async_iter("math.floor", arguments, &options).await.unwrap();
    assert_eq!(plain.numbers("many").await, (0..5_000).collect::<Vec<_>>());
    assert_eq!(plain.records("many").await.len(), 5_000);
    let bucket = engine.broker.namespace.results_bucket();
    let store = engine.broker.jetstream.get_object_store(bucket).await.unwrap();
    let info = store.info("many").await.unwrap();
    assert!(info.chunks >= 20 && info.size > 20 * 1024, "{info:?}");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_made_anew_is_another_log() {
    let (engine, plain) = with(|_| {}).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    let before = submit(&engine, 300).await;
    is_right(&engine, &before, 300).await;
    plain.items("torn", [0]).await;
    plain.until_kept("item.torn.0").await;
    recreate_cache(&engine).await;
    let after = submit(&engine, 300).await;
    is_right(&engine, &after, 300).await;
    // What the old log said of it went with that log.
    plain.items("torn", [1]).await;
    plain.until_kept("item.torn.1").await;
    plain.seal("torn", &[], "2").await;
    plain.until_kept("mark.torn.seal").await;
    let barrier = submit(&engine, 1).await;
    is_right(&engine, &barrier, 1).await;
    assert_eq!(plain.object("torn").await, None);
    plain.items("torn", [0]).await;
    assert_eq!(plain.numbers("torn").await, [0, 1]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_of_the_old_log_spares_the_new_one() {
    let (engine, plain) = with(|_| {}).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    let before = submit(&engine, 300).await;
    is_right(&engine, &before, 300).await;
    engine.is_clean().await;
    // The group can't be committed, and when it can, its log is gone and can't be purged.
    let topology = Topology::of(&engine.broker, &engine.settings);
    let [_, _, results, _] = topology.streams().try_into().unwrap();
    engine.broker.jetstream.delete_stream(&results.name).await.unwrap();
    let mut events = plain.events("old").await;
    plain.items("old", 0..3).await;
    plain.seal("old", &[], "3").await;
    for key in ["item.old.0", "item.old.1", "item.old.2", "mark.old.seal"] {
        plain.until_kept(key).await;
    }
    eventually("all is followed", async || {
        let stream = engine.broker.namespace.cache_stream();
        let stream = engine.broker.jetstream.get_stream(stream).await.unwrap();
        let consumers: Vec<_> = stream.consumers().try_collect().await.unwrap();
        consumers.iter().all(|follower| follower.num_pending == 0)
    })
    .await;
    let cache = engine.broker.namespace.cache_stream();
    let subject = format!("$JS.API.STREAM.PURGE.{cache}");
    let mut purges = plain.client.subscribe(subject).await.unwrap();
    plain.client.flush().await.unwrap();
    engine.broker.jetstream.delete_stream(&cache).await.unwrap();
    engine.broker.jetstream.create_stream(results).await.unwrap();
    events.expect("done", &[]).await;
    assert_eq!(plain.numbers("old").await, [0, 1, 2]);
    topology.ensure(&engine.broker).await.unwrap();
    plain.items("new", [0]).await;
    plain.until_kept("item.new.0").await;
    let barrier = submit(&engine, 1).await;
    is_right(&engine, &barrier, 1).await;
    plain.items("new", [1]).await;
    plain.seal("new", &[], "2").await;
    assert_eq!(plain.numbers("new").await, [0, 1]);
    engine.is_clean().await;
    // One purge at a time: the one of the old log has ended before those that cleaned the new one.
    plain.client.flush().await.unwrap();
    while let Some(Some(purge)) = purges.next().now_or_never() {
        let request: serde_json::Value = serde_json::from_slice(&purge.payload).unwrap();
        assert!(request["seq"].as_u64().unwrap() < 100, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_kept_for_a_time_goes_with_all_its_parts() {
    let (engine, plain) = with(|_| {}).await;
    engine.worker(math::functions()).await;
    engine.collator().await;
    let options = Options::new().cached(Duration::from_secs(1));
    let group = engine.client.async_iter("math.floor", [1.5], &options).await.unwrap();
    within(engine.client.read(&group, FOREVER)).await.unwrap();
    let (stream, all) = (format!("OBJ_{}-results", plain.ns), format!("$O.{}-results.", plain.ns));
    let chunks = engine.subjects(&stream, &format!("{all}C.>")).await;
    assert_eq!(chunks.len(), 2, "the list and the records");
    let results = engine.broker.jetstream.get_stream(&stream).await.unwrap();
    for chunk in &chunks {
        let chunk = results.get_last_raw_message_by_subject(chunk).await.unwrap();
        let ttl = chunk.headers.get("Nats-TTL").unwrap().as_str();
        // Longer than the metadata: who has begun to read may end.
        assert_eq!(ttl, "601s");
        assert_ne!(chunk.payload, Bytes::new());
    }
    eventually("no metadata is left", async || {
        engine.subjects(&stream, &format!("{all}M.>")).await.is_empty()
    })
    .await;
    let gone = engine.client.read(&group, Duration::ZERO).await.unwrap();
    assert!(gone.is_none());
    eventually("the cache is empty", async || engine.cache_keys().await.is_empty()).await;
}
