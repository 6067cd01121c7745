//! Streams that are put back to an older state while in use.

use std::time::Duration;

use futures_util::TryStreamExt;
use jetiter::{GroupId, Settings};

use crate::backup::Backup;
use crate::busy::{Busy, Mended, is_right, submit};
use crate::harness::{Engine, eventually};
use crate::nodes::Nodes;
use crate::plain::Plain;

/// Restores a stream to what it was some groups ago.
async fn restored(stream: impl Fn(&str) -> String) -> Mended {
    let busy = Busy::start().await;
    let stream = stream(&busy.plain.ns);
    let backup = Backup::of(&busy.plain.client, &stream).await;
    // The queue's consumer is part of the backup, and has gone on since.
    for _ in 0..3 {
        let group = GroupId::random();
        submit(&busy.engine.client, &group).await.unwrap();
        is_right(&busy.engine.client, &group).await;
    }
    backup.restore(&busy.plain.client).await;
    busy.until_busy().await;
    busy.goes_on().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_restored_from_a_backup_is_another_log() {
    let mended = restored(|ns| format!("KV_{ns}-cache")).await;
    mended.old_results_stay().await.all_can_be_mended().await.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_restored_from_a_backup_run_again_and_change_nothing() {
    let mended = restored(|ns| format!("{ns}-items")).await;
    mended.old_results_stay().await.all_can_be_mended().await.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_restored_from_a_backup_are_what_they_were() {
    let mended = restored(|ns| format!("OBJ_{ns}-results")).await;
    // Chunks whose list had not been committed at the time of the backup are back for good.
    mended.old_results_stay().await.all_can_be_mended().await;
}

/// Waits until the collator has read the log to its end.
async fn until_followed(engine: &Engine) {
    let cache = engine.broker.namespace.cache_stream();
    eventually("all is followed", async || {
        let Ok(stream) = engine.broker.jetstream.get_stream(&cache).await else { return false };
        let followers: Result<Vec<_>, _> = stream.consumers().try_collect().await;
        followers.is_ok_and(|followers| {
            !followers.is_empty() && followers.iter().all(|follower| follower.num_pending == 0)
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_put_back_from_a_copy_of_the_files_is_another_log() {
    let mut nodes = Nodes::one().await;
    let mut settings = Settings { server: nodes.url(0), ..Settings::default() };
    // So long that the lease tells nothing of what was put back.
    settings.assets.lease = Duration::from_secs(600);
    settings.collator.done_ttl = Duration::from_secs(1);
    let engine = Engine::on(settings).await;
    let plain = Plain::of(&engine).await;
    let collator = engine.collator_process();
    let put = async |indexes: &[u32]| {
        for index in indexes {
            let key = plain.key(&format!("item.g.{index}"));
            plain.stored(&key, &[], index.to_string()).await;
        }
    };
    put(&[0, 1, 2, 3, 4]).await;
    plain.seal("g", &[], "10").await;
    plain.until_kept("mark.g.seal").await;
    plain.until_taken_in(&engine).await;
    nodes.stop(0).await;
    let copy = nodes.copy_store(0);
    nodes.start(0);
    nodes.are_ready().await;
    put(&[5, 6, 7]).await;
    until_followed(&engine).await;
    collator.stop().await;
    nodes.stop(0).await;
    nodes.put_back(0, &copy);
    nodes.start(0);
    nodes.are_ready().await;
    // In another order, and further than what the collator has seen.
    put(&[9, 8, 7, 6, 5]).await;
    collator.wake();
    assert_eq!(plain.list("g").await, [0, 1, 2, 3, 4, 9, 8, 7, 6, 5]);
    engine.is_clean().await;
}
