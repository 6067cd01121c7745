//! nats-servers that die, freeze and come back; lines that are cut or swallow.

use jetiter::{FOREVER, Options, Settings};

use crate::harness::{Engine, within};
use crate::nodes::Nodes;
use crate::proxy::{Line, Proxy};

/// An engine on these servers, with assets on so many of them.
async fn on(nodes: &Nodes, replicas: usize) -> Engine {
    let mut settings = Settings { server: nodes.urls(), ..Settings::default() };
    settings.assets.replicas = replicas;
    settings.assets.ack_wait = std::time::Duration::from_secs(2);
    settings.assets.lease = std::time::Duration::from_secs(2);
    settings.collator.done_ttl = std::time::Duration::from_secs(1);
    Engine::on(settings).await
}

async fn floors(engine: &Engine, items: u32) {
    let arguments = (0..items).map(|index| f64::from(index) + 0.5);
    let options = Options::new();
    let group = engine.client.async_iter("math.floor", arguments, &options);
    let group = within(group).await.unwrap();
    let fetched = within(engine.client.fetch::<u32>(&group, FOREVER)).await.unwrap().unwrap();
    let ordered = fetched.into_ordered().into_iter();
    let values: Vec<u32> = ordered.map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, (0..items).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_idle_is_found_again() {
    let mut nodes = Nodes::one().await;
    let engine = on(&nodes, 1).await;
    let _worker = engine.worker_process();
    let _collator = engine.collator_process();
    floors(&engine, 100).await;
    nodes.kill(0);
    nodes.start(0);
    nodes.are_ready().await;
    floors(&engine, 100).await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_smoke() {
    let nodes = Nodes::three().await;
    let engine = on(&nodes, 3).await;
    let proxy = Proxy::to(nodes.address(0)).await;
    let _worker = engine.worker_process();
    let _collator = engine.collator_process();
    floors(&engine, 1000).await;
    proxy.set(Line::Cut);
    engine.is_clean().await;
    assert!(proxy.url().len() > 5);
}
