//! nats-servers that are killed and come back: everybody goes on without being restarted.

use std::path::Path;

use jetiter::{Broker, FOREVER, GroupId, Options};

use crate::groups::{
    arguments, arguments_file, is_clean_again, is_list, is_mapped, is_right, submit,
};
use crate::harness::{eventually, within};
use crate::nodes::Nodes;
use crate::plain::Plain;

/// The last sequence that a stream has given; 0 while the server is away.
async fn last(broker: &Broker, stream: &str) -> u64 {
    broker.stream_info(stream, None).await.map_or(0, |info| info.state.last_seq)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_idle_is_found_again() {
    let mut nodes = Nodes::one().await;
    let engine = nodes.engine(|_| {}).await;
    let _worker = engine.worker_process();
    let _collator = engine.collator_process();
    let plain = Plain::of(&engine).await;
    plain.items("waited", 0..2).await;
    plain.until_kept("item.waited.1").await;
    let waiting = engine.process(&["result", "waited", "--wait", "forever"]);
    let (client, group) = (engine.client.clone(), "waited".parse::<GroupId>().unwrap());
    let waited = tokio::spawn(async move { client.read(&group, FOREVER).await.unwrap().unwrap() });
    nodes.until_heard(&engine.broker.namespace.event_subject("waited", "done"), 2).await;
    for _ in 0..2 {
        is_mapped(&engine, 100).await;
        nodes.kill_and_restart(0).await;
    }
    plain.seal("waited", &[], "2").await;
    is_list(&waiting.printed().await, 2);
    assert_eq!(within(waited).await.unwrap().summary.ok, 2);
    is_mapped(&engine, 100).await;
    is_clean_again(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_again_and_again_under_load_loses_nothing() {
    let mut nodes = Nodes::one().await;
    let engine = nodes.engine(|_| {}).await;
    let [_first, _second] = [engine.worker_process(), engine.worker_process()];
    let _collator = engine.collator_process();
    let numbers = arguments_file(15_000);
    let from = numbers.path().to_str().unwrap();
    let map = engine.process(&["map", "math.floor", "--group", "mapped", "--from", from]);
    let client = engine.client.clone();
    let submitting = tokio::spawn(async move {
        client.async_iter("math.floor", arguments(10_000), &Options::new()).await.unwrap()
    });
    let (items, cache) =
        (engine.broker.namespace.items_stream(), engine.broker.namespace.cache_stream());
    // Twice while both submit, twice while the rest is worked off.
    for (stream, after) in [(&items, 3_000), (&items, 12_000), (&cache, 15_000), (&cache, 21_000)] {
        eventually("so much is stored", async || last(&engine.broker, stream).await > after).await;
        nodes.kill_and_restart(0).await;
    }
    let group = within(submitting).await.unwrap();
    is_right(&engine, &group, 10_000).await;
    is_list(&map.printed().await, 15_000);
    is_right(&engine, &"mapped".parse().unwrap(), 15_000).await;
    is_clean_again(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_a_collator_that_uploads_or_commits() {
    let mut nodes = Nodes::one().await;
    let engine = nodes.engine(|settings| settings.collator.chunk = 1024).await;
    let _worker = engine.worker_process();
    for point in ["chunk=4*off->1*", "uploaded=1*", "committed=1*", "recorded=1*", "purging=1*"] {
        let points = format!("collator.{point}return(stop)");
        let collator = engine.process_until(&["collator"], &points);
        let group = submit(&engine, 2_000).await;
        collator.is_stopped().await;
        nodes.kill_and_restart(0).await;
        collator.wake();
        is_right(&engine, &group, 2_000).await;
        is_clean_again(&engine).await;
        assert!(collator.term().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_a_dead_collator_go_although_the_server_was_away_when_it_was_their_turn() {
    let mut nodes = Nodes::one().await;
    let engine = nodes.engine(|settings| settings.collator.chunk = 1024).await;
    let _worker = engine.worker_process();
    let first = engine.process_until(&["collator"], "collator.chunk=4*off->1*return(kill)");
    let group = submit(&engine, 2_000).await;
    assert!(!first.ended().await.success());
    let second = engine.process_until(&["collator"], "collator.marked_done=1*return(stop)");
    second.is_stopped().await;
    nodes.kill(0);
    second.wake();
    second.says("not collated yet, trying again").await;
    nodes.start(0);
    nodes.are_ready().await;
    is_right(&engine, &group, 2_000).await;
    is_clean_again(&engine).await;
}

/// A server whose disk is full, or whose power fails, may forget what it has removed, and remember
/// that it was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_items_that_come_back_are_removed() {
    let mut nodes = Nodes::one().await;
    let engine = nodes.engine(|_| {}).await;
    let items = engine.broker.namespace.items_stream();
    let group = submit(&engine, 200).await;
    nodes.stop(0).await;
    let (store, kept) = (nodes.messages_of(0, &items), tempfile::tempdir().unwrap());
    copy(&store, kept.path());
    nodes.start(0);
    // A process that begins without a server ends at once.
    nodes.are_ready().await;
    let worker = engine.worker_process();
    let collator = engine.collator_process();
    is_right(&engine, &group, 200).await;
    is_clean_again(&engine).await;
    // It looks when it begins, and then every half minute.
    assert!(collator.term().await.success());
    nodes.stop(0).await;
    std::fs::remove_dir_all(&store).unwrap();
    copy(kept.path(), &store);
    nodes.start(0);
    nodes.are_ready().await;
    // The seal too, which another consumer has acknowledged.
    let left = async || engine.broker.stream_info(&items, None).await.map(|i| i.state.messages);
    eventually("they are back", async || left().await.is_ok_and(|left| left == 201)).await;
    let other = engine.client.async_iter("math.floor", arguments(100), &Options::new()).await;
    let _collator = engine.collator_process();
    is_right(&engine, &other.unwrap(), 100).await;
    is_clean_again(&engine).await;
    assert!(worker.term().await.success());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
