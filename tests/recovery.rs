//! Figures, not checks: how long a death is felt, with the settings as they come and with short
//! ones. `make recovery` prints them.

use std::time::Duration;

use jetiter::{Broker, FOREVER, Options, Settings};
use tokio::time::{Instant, sleep};

use crate::groups::{arguments, is_right};
use crate::harness::{Engine, eventually, within, within_time};
use crate::nodes::Nodes;

/// How often each death is tried.
const ROUNDS: usize = 5;

/// `ack_wait` 30 s and the lease 6 s, as they come, or short ones.
async fn engines() -> [(&'static str, Engine); 2] {
    let defaults = |settings: &mut Settings| settings.assets = Default::default();
    [
        ("ack_wait 30s, lease 6s (defaults)", Engine::with(defaults).await),
        ("ack_wait 2s, lease 2s", Engine::with(|_| {}).await),
    ]
}

fn tell(what: &str, settings: &str, mut took: Vec<Duration>) {
    took.sort();
    let [min, median, max] = [0, took.len() / 2, took.len() - 1].map(|i| took[i].as_secs_f64());
    println!("{what}, {settings}: {min:.1} / {median:.1} / {max:.1} s (best, median, worst)");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make recovery"]
async fn worker_death_to_its_items_running_again() {
    for (settings, engine) in engines().await {
        let _collator = engine.collator_process();
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            // Stops itself with all four items in hand.
            let args = ["worker", "--test-functions"];
            let doomed = engine.process_until(&args, "worker.begun=return(stop)");
            let group = engine.client.async_iter("test.echo", [1, 2, 3, 4], &Options::new()).await;
            let group = group.unwrap();
            doomed.is_stopped().await;
            let other = engine.worker_process();
            eventually("it works", async || other.log().contains("working")).await;
            let died = Instant::now();
            doomed.kill().await;
            let limit = Duration::from_secs(120);
            let list = within_time(limit, engine.client.result::<u32>(&group, FOREVER)).await;
            assert_eq!(list.unwrap().unwrap().len(), 4);
            took.push(died.elapsed());
        }
        tell("worker death to the result of the items that it had begun", settings, took);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make recovery"]
async fn collator_death_to_the_next_commit() {
    for (settings, engine) in engines().await {
        let _worker = engine.worker_process();
        let works = "this collator works";
        let mut took = Vec::new();
        let mut active = engine.collator_process();
        for _ in 0..ROUNDS {
            eventually("one works", async || active.log().contains(works)).await;
            let next = engine.collator_process();
            eventually("one stands by", async || next.log().contains("stands by")).await;
            let died = Instant::now();
            active.kill().await;
            let group = engine.client.async_iter("math.floor", [1.5], &Options::new()).await;
            let group = group.unwrap();
            let limit = Duration::from_secs(120);
            let list = within_time(limit, engine.client.result::<u32>(&group, FOREVER)).await;
            assert_eq!(list.unwrap().unwrap(), [1]);
            took.push(died.elapsed());
            active = next;
        }
        tell("collator death to the next result", settings, took);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: make recovery"]
async fn server_death_to_full_speed() {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let mut nodes = Nodes::one().await;
        let engine = nodes.engine(|_| {}).await;
        let _worker = engine.worker_process();
        let _collator = engine.collator_process();
        let client = engine.client.clone();
        let submitting = tokio::spawn(async move {
            client.async_iter("math.floor", arguments(60_000), &Options::new()).await.unwrap()
        });
        eventually("it is warm", async || stored(&engine.broker).await > 5_000).await;
        let before = rate(&engine.broker, Duration::from_secs(2)).await;
        let killed = Instant::now();
        nodes.kill_and_restart(0).await;
        while rate(&engine.broker, Duration::from_millis(250)).await < 0.8 * before {}
        took.push(killed.elapsed());
        let group = within(submitting).await.unwrap();
        is_right(&engine, &group, 60_000).await;
    }
    tell("server killed and started again to 80 % of the rate before", "60,000 items", took);
}

/// How many outcomes and marks were stored so far; 0 while the server is away.
async fn stored(broker: &Broker) -> u64 {
    let cache = broker.namespace.cache_stream();
    broker.stream_info(&cache, None).await.map_or(0, |info| info.state.last_seq)
}

/// Outcomes stored per second, over a while.
async fn rate(broker: &Broker, over: Duration) -> f64 {
    let (before, began) = (stored(broker).await, Instant::now());
    sleep(over).await;
    stored(broker).await.saturating_sub(before) as f64 / began.elapsed().as_secs_f64()
}
