//! One node of a cluster cut off from the two others, with and without those who work on it.

use std::time::Duration;

use jetiter::{FOREVER, Options};

use crate::cluster::{
    Cluster, Load, Services, begin, collator, eventually, floors, on, process, until_stored,
    within, worker,
};
use crate::harness::lane_of;
use crate::processes::Process;
use crate::proxy::Line;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_cut_off_is_not_missed() {
    let cluster = Cluster::on_lines().await;
    let (engine, outside) = (cluster.at(&[0, 1]).await, cluster.at(&[2]).await);
    let services = Services::of(&engine).await;
    let load = Load::on(&engine);
    // First it follows, then it leads, and what is sent to it vanishes without a word.
    for (leads, line) in [(0, Line::Cut), (2, Line::Swallow)] {
        for stream in cluster.streams() {
            cluster.give_lead(&stream, leads).await;
        }
        let group = begin(&engine, 3000);
        until_stored(&engine.broker.client, &cluster.cache(), 300).await;
        cluster.nodes.set_lines(2, line);
        within(group).await.unwrap();
        floors(&engine.client, 100).await;
        cluster.nodes.heal_lines(2).await;
        cluster.is_whole().await;
        floors(&outside.client, 100).await;
    }
    load.end().await;
    cluster.is_clean().await;
    services.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_waits_and_goes_on() {
    let cluster = Cluster::on_lines().await;
    let (inside, outside) = (cluster.at(&[0, 1]).await, cluster.at(&[2]).await);
    let mut settings = outside.settings.clone();
    settings.submit.patience = Duration::from_secs(2);
    let impatient = on(settings).await;
    // Its queue is worked by nobody else.
    let alone = process(&outside, &["worker", "--test-functions", "--queue", "alone"]);
    let workers = [worker(&outside), worker(&inside)];
    let first = collator(&outside);
    says(&first, "this collator works").await;
    let second = collator(&inside);
    says(&second, "stands by").await;

    for stream in cluster.streams() {
        cluster.give_lead(&stream, 2).await;
    }
    let submitter = begin(&outside, 3000);
    until_stored(&outside.broker.client, &cluster.cache(), 50).await;
    let options = Options::new().queue("alone".parse().unwrap());
    let held = outside.client.async_iter("test.sleep_ms", [3000; 8], &options).await.unwrap();
    let reader = outside.client.clone();
    let read = held.clone();
    let reader = tokio::spawn(async move { reader.result::<u64>(&read, FOREVER).await.unwrap() });
    let lane = format!("worker-alone-{}", lane_of(held.as_str()));
    eventually("all eight are in hand", async || cluster.in_hand(&lane).await == Some(8)).await;
    cluster.nodes.set_lines(2, Line::Cut);

    says(&second, "this collator works").await;
    says(&first, "the lease is lost").await;
    says(&alone, "not stored yet").await;
    floors(&inside.client, 500).await;
    let options = Options::new();
    let late = impatient.client.async_iter("math.floor", [0.5], &options);
    let error = within(late).await.unwrap_err().to_string();
    assert!(error.contains("raise submit.patience"), "{error}");
    assert!(!reader.is_finished(), "nobody can have finished it");

    cluster.nodes.heal_lines(2).await;
    assert_eq!(within(reader).await.unwrap(), Some(vec![3000; 8]));
    let same = within(inside.client.result::<u64>(&held, FOREVER)).await.unwrap();
    assert_eq!(same, Some(vec![3000; 8]));
    within(submitter).await.unwrap();
    cluster.is_clean().await;
    let [left, right] = workers;
    for process in [alone, left, right, first, second] {
        let log = process.log();
        assert!(process.term().await.success(), "{log}");
        assert!(!log.contains("conflict") && !log.contains("changed under us"), "{log}");
    }
}

/// Waits until a process has said something.
async fn says(process: &Process, words: &str) {
    eventually(words, async || process.log().contains(words)).await;
}
