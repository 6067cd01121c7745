//! Servers of a cluster that die, freeze, restart one after another or all at once, under load:
//! every list comes out right, and no worker, collator or client is started again.

use tokio::time::Instant;

use crate::cluster::{Cluster, Load, Services, begin, until_stored, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_outlives_the_leader_of_each_stream() {
    let mut cluster = Cluster::start().await;
    let services = Services::of(&cluster.engine).await;
    let load = Load::on(&cluster.engine);
    for stream in cluster.streams() {
        let group = begin(&cluster.engine, 3000);
        until_stored(&cluster.engine.broker.client, &cluster.cache(), 500).await;
        let leader = cluster.leader(&stream).await;
        cluster.nodes.kill(leader);
        tell_pause(&cluster, &stream).await;
        within(group).await.unwrap();
        cluster.nodes.start(leader);
        cluster.is_whole().await;
    }
    load.end().await;
    cluster.is_clean().await;
    services.end().await;
}

/// Prints how long no outcome is stored from now on.
#[allow(clippy::print_stdout, reason = "a figure for people: shown with --nocapture")]
async fn tell_pause(cluster: &Cluster, killed: &str) {
    let began = Instant::now();
    until_stored(&cluster.engine.broker.client, &cluster.cache(), 1).await;
    println!(
        "{killed}: the next outcome was stored {:?} after its leader's death",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_goes_unnoticed() {
    let mut cluster = Cluster::start().await;
    let services = Services::of(&cluster.engine).await;
    let load = Load::on(&cluster.engine);
    let groups = [0; 3].map(|_| begin(&cluster.engine, 3000));
    for (node, group) in groups.into_iter().enumerate() {
        until_stored(&cluster.engine.broker.client, &cluster.cache(), 100).await;
        cluster.nodes.stop(node).await;
        cluster.nodes.start(node);
        cluster.is_whole().await;
        within(group).await.unwrap();
    }
    load.end().await;
    cluster.is_clean().await;
    services.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_killed_at_once_lose_nothing() {
    let mut cluster = Cluster::start().await;
    let services = Services::of(&cluster.engine).await;
    let load = Load::on(&cluster.engine);
    let group = begin(&cluster.engine, 3000);
    until_stored(&cluster.engine.broker.client, &cluster.cache(), 500).await;
    (0..3).for_each(|node| cluster.nodes.kill(node));
    (0..3).for_each(|node| cluster.nodes.start(node));
    within(group).await.unwrap();
    load.end().await;
    cluster.is_clean().await;
    services.end().await;
}

/// It leads all streams, and through it the collator reads the cache's log.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_holds_up_nobody() {
    let cluster = Cluster::start().await;
    let engine = cluster.at(&[0, 1]).await;
    let services = loop {
        let services = Services::of(&engine).await;
        if cluster.reader_of_the_log().await == 2 {
            break services;
        }
        services.end().await;
    };
    for stream in cluster.streams() {
        cluster.give_lead(&stream, 2).await;
    }
    let load = Load::on(&engine);
    let group = begin(&engine, 3000);
    until_stored(&engine.broker.client, &cluster.cache(), 300).await;
    cluster.nodes.freeze(2);
    within(group).await.unwrap();
    within(begin(&engine, 100)).await.unwrap();
    cluster.nodes.thaw(2);
    within(begin(&engine, 100)).await.unwrap();
    load.end().await;
    cluster.is_clean().await;
    services.end().await;
}
