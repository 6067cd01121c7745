//! What is written once stays and what is there is found, while leaders change and replicas lag.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jetiter::{FOREVER, GroupId, Options};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::cluster::{
    Cluster, Services, eventually, floors, holds_each_once, submit, until_stored, within,
};
use crate::harness::Engine;
use crate::plain::Plain;

/// How many items the rivals write for.
const ITEMS: u32 = 3000;
/// What the rival adds to a value, so that it can be told from the worker's.
const RIVAL: u32 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_two_writers_wins_whatever_leaders_do() {
    let cluster = Cluster::start().await;
    let services = Services::of(&cluster.engine).await;
    let client = cluster.engine.client.clone();
    let (release, held) = oneshot::channel::<()>();
    let last = stream::once(async move {
        held.await.unwrap();
        f64::from(ITEMS)
    });
    // Without its last item the group can't end, and nothing is purged, before the rival is done.
    let arguments = stream::iter((0..ITEMS).map(f64::from)).chain(last);
    let group = tokio::spawn(async move {
        let options = Options::new().group("g".parse().unwrap());
        client.async_stream("math.floor", arguments, &options).await.unwrap()
    });
    let rival = Plain::of(&cluster.engine).await;
    until_stored(&rival.client, &cluster.cache(), 50).await;
    let mut writing = tokio::spawn(async move {
        // From the other end: each is first somewhere, whoever is the faster one.
        let written = stream::iter((0..ITEMS).rev()).map(|index| put(&rival, index));
        written.buffer_unordered(64).collect::<HashMap<_, _>>().await
    });
    let mut leaders = (0..3).cycle();
    let written = loop {
        cluster.give_lead(&cluster.cache(), leaders.next().unwrap()).await;
        if let Ok(written) = timeout(Duration::from_millis(300), &mut writing).await {
            break written.unwrap();
        }
    };
    release.send(()).unwrap();
    let group = within(group).await.unwrap();
    let fetched = within(cluster.engine.client.fetch::<u32>(&group, FOREVER)).await.unwrap();
    let ordered = fetched.unwrap().into_ordered();
    assert_eq!(ordered.len(), ITEMS as usize + 1);
    let mut won = [0, 0];
    for (index, (_, value)) in (0..ITEMS).zip(ordered) {
        let value = value.unwrap();
        assert!([index, index + RIVAL].contains(&value), "{index}: {value}");
        if let Some(stored) = written[&index] {
            assert_eq!(value >= RIVAL, stored, "{index}: {value}");
            won[usize::from(stored)] += 1;
        }
    }
    assert!(won[0] > 0 && won[1] > 0, "they did not compete: {won:?}");
    cluster.is_clean().await;
    services.end().await;
}

/// Writes one outcome; says whether it was stored, where the server said so.
async fn put(rival: &Plain, index: u32) -> (u32, Option<bool>) {
    let subject = rival.key(&format!("item.g.{index}"));
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let payload = (index + RIVAL).to_string().into();
    let answer = rival.client.request_with_headers(subject, headers, payload).await;
    let Ok(answer) = answer else { return (index, None) };
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    match &answer["error"]["err_code"] {
        Value::Null => (index, answer["seq"].is_u64().then_some(true)),
        code => (index, (code == 10071).then_some(false)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_never_found_missing() {
    let mut cluster = Cluster::start().await;
    let services = Services::of(&cluster.engine).await;
    let everywhere = [cluster.at(&[0]).await, cluster.at(&[1]).await, cluster.at(&[2]).await];
    let group = submit(&cluster.engine.client, 100).await;
    holds_each_once(&cluster.engine.client, &group, 100).await;
    let results = cluster.engine.broker.namespace.results_stream();
    for leader in [0, 1, 2, 0, 1, 2] {
        cluster.give_lead(&results, leader).await;
        for engine in &everywhere {
            is_found(engine, &group).await;
        }
    }
    // It led: until another one does, nobody can say.
    cluster.nodes.kill(2);
    is_found(&everywhere[0], &group).await;
    // It comes back late and is asked before it has caught up.
    let group = submit(&everywhere[0].client, 3000).await;
    holds_each_once(&everywhere[0].client, &group, 3000).await;
    cluster.nodes.start(2);
    is_found(&everywhere[2], &group).await;
    holds_each_once(&everywhere[2].client, &group, 3000).await;
    floors(&everywhere[2].client, 100).await;
    cluster.is_clean().await;
    services.end().await;
}

/// Looks without waiting until there is an answer: "not there" would be a lie.
async fn is_found(engine: &Engine, group: &GroupId) {
    eventually("there is an answer", async || {
        let read = engine.client.result::<u32>(group, Duration::ZERO).await;
        read.is_ok_and(|list| list.expect("it is found").len() >= 100)
    })
    .await;
}
