//! A curious person at the streams: purged, deleted and made anew while in use. What was removed
//! must be published again; nothing else is touched, and nobody is started again.

use std::time::Duration;

use crate::busy::{Busy, is_right};
use crate::harness::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_cache_costs_what_it_held_and_no_more() {
    let busy = Busy::start().await;
    for _ in 0..5 {
        busy.purge(&format!("KV_{}-cache", busy.plain.ns)).await;
        busy.until_busy().await;
    }
    busy.goes_on().await.old_results_stay().await.all_can_be_mended().await.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_items_cost_what_waited_and_no_more() {
    let busy = Busy::start().await;
    for _ in 0..5 {
        busy.purge(&format!("{}-items", busy.plain.ns)).await;
        busy.until_busy().await;
    }
    busy.goes_on().await.old_results_stay().await.all_can_be_mended().await.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_results_are_gone_and_can_be_made_again() {
    let busy = Busy::start().await;
    for _ in 0..5 {
        busy.purge(&format!("OBJ_{}-results", busy.plain.ns)).await;
        busy.until_busy().await;
    }
    let mut mended = busy.goes_on().await;
    for group in &mended.before {
        let gone = mended.engine.client.read(group, Duration::ZERO).await.unwrap();
        assert!(gone.is_none());
    }
    mended.groups.append(&mut mended.before);
    mended.all_can_be_mended().await.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_purged_and_made_anew_is_taken_again() {
    let busy = Busy::start().await;
    let lease = format!("KV_{}-lease", busy.plain.ns);
    busy.purge(&lease).await;
    busy.until_busy().await;
    busy.delete(&lease).await;
    busy.until_busy().await;
    busy.init().await;
    let mended = busy.goes_on().await.old_results_stay().await;
    for group in &mended.groups {
        is_right(&mended.engine.client, group).await;
    }
    mended.all_can_be_mended().await.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_items_are_named_and_worked_as_soon_as_they_are_made_anew() {
    let busy = Busy::start().await;
    let items = format!("{}-items", busy.plain.ns);
    busy.delete(&items).await;
    for process in [&busy.worker, &busy.collator] {
        eventually("it says what is missing", async || {
            let log = process.log();
            log.contains(&items) && log.contains("jetiter init")
        })
        .await;
    }
    busy.init().await;
    busy.goes_on().await.old_results_stay().await.all_can_be_mended().await.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_cache_is_named_and_used_as_soon_as_it_is_made_anew() {
    let busy = Busy::start().await;
    let cache = format!("KV_{}-cache", busy.plain.ns);
    busy.delete(&cache).await;
    eventually("it says what is missing", async || {
        let (worker, collator) = (busy.worker.log(), busy.collator.log());
        worker.contains("not stored yet") && collator.contains("stream not found")
    })
    .await;
    busy.init().await;
    busy.goes_on().await.old_results_stay().await.all_can_be_mended().await.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_results_are_waited_for_and_nothing_else_is_lost() {
    let busy = Busy::start().await;
    let results = format!("OBJ_{}-results", busy.plain.ns);
    busy.delete(&results).await;
    eventually("it says what is missing", async || {
        busy.collator.log().contains("not collated yet")
    })
    .await;
    busy.init().await;
    let mut mended = busy.goes_on().await;
    mended.groups.append(&mut mended.before);
    mended.all_can_be_mended().await.ends_clean().await;
}
