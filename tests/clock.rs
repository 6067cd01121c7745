//! Clocks that are an hour off: nothing that the engine decides rests on the clock of a worker or
//! of a collator. Only `started_ms` in the records is by the worker's clock, and off with it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jetiter::{FOREVER, Options};

use crate::groups::{arguments, is_right, submit};
use crate::harness::{Engine, server, within};
use crate::plain::Plain;
use crate::processes::Process;

const HOUR: u64 = 3_600_000;

/// The library that gives a process another time. A machine that it can't be had on proves
/// nothing, so only a person's may do without.
fn library() -> Option<String> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tools/faketime");
    let output = Command::new(script).output().expect("tools/faketime runs");
    if output.status.success() {
        return Some(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    crate::harness::skip("the clock's tests", &String::from_utf8_lossy(&output.stderr));
    None
}

/// A process whose clock is off; its sleeps are as long as ever.
fn process_off(engine: &Engine, arguments: &[&str], library: &str, by: &str) -> Process {
    engine.process_with(
        arguments,
        &[("LD_PRELOAD", library), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")],
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_clock_is_an_hour_off_does_no_harm() {
    let Some(library) = library() else { return };
    for by in ["+1h", "-1h"] {
        let engine = Engine::bare().await;
        let _collator = engine.collator_process();
        let _worker = process_off(&engine, &["worker", "--test-functions"], &library, by);
        let options = Options::new().cached(Duration::from_secs(600)).retries(2);
        // Time-outs and retries go by a clock too.
        let sleeps = engine.client.async_iter("test.sleep_ms", [1; 50], &options).await.unwrap();
        let group = engine.client.async_iter("math.floor", arguments(500), &options);
        let group = group.await.unwrap();
        is_right(&engine, &group, 500).await;
        let read = within(engine.client.fetch::<u32>(&sleeps, FOREVER)).await.unwrap().unwrap();
        assert_eq!((read.summary.ok, read.summary.failed), (50, 0));
        for record in &read.records {
            assert_eq!(record.attempts, 1);
            assert!(record.started_ms.abs_diff(now()) > HOUR / 2, "{record:?}: the clock is right");
        }
        // The summary goes by the server's clock.
        assert!(read.summary.started_ms.abs_diff(now()) < HOUR / 2, "{:?}", read.summary);
        engine.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collator_whose_clock_is_an_hour_off_does_no_harm() {
    let Some(library) = library() else { return };
    for by in ["+1h", "-1h"] {
        // An unsealed group lives for a quarter of what the clock is off.
        let engine = Engine::with(|settings| {
            settings.collator.abandon_after = Duration::from_secs(900);
        })
        .await;
        let plain = Plain::of(&engine).await;
        let _worker = engine.worker_process();
        let collator = process_off(&engine, &["collator"], &library, by);
        collator.says("this collator works").await;
        let said: jiff::Timestamp = collator.log().split(' ').next().unwrap().parse().unwrap();
        assert!((said.as_millisecond() as u64).abs_diff(now()) > HOUR / 2, "the clock is right");
        plain.items("open", 0..3).await;
        plain.until_kept("item.open.2").await;
        let kept = Options::new().cached(Duration::from_secs(600));
        let kept = engine.client.async_iter("math.floor", arguments(50), &kept).await.unwrap();
        for items in [0, 1, 500] {
            let group = submit(&engine, items).await;
            is_right(&engine, &group, items).await;
        }
        // By the first look at what is silent it is asked whether it has a result, by the second
        // whether something of it waits, and by the third it would have ended.
        until_looked(&engine, 4).await;
        assert_eq!(plain.object("open").await, None, "it was abandoned");
        is_right(&engine, &kept, 50).await;
        plain.items("open", 3..5).await;
        plain.seal("open", &[], "5").await;
        assert_eq!(plain.numbers("open").await, [0, 1, 2, 3, 4]);
        engine.is_clean().await;
    }
}

/// Waits until the collator has asked so often for the state of the log.
async fn until_looked(engine: &Engine, times: usize) {
    use futures_util::StreamExt;
    let client = async_nats::connect(&server().url).await.unwrap();
    let subject = format!("$JS.API.STREAM.INFO.{}", engine.broker.namespace.cache_stream());
    let looks = client.subscribe(subject).await.unwrap();
    client.flush().await.unwrap();
    within(looks.take(times).collect::<Vec<_>>()).await;
}
