//! Streams, buckets and disks that are full: everybody waits, and nothing is lost.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jetiter::{Client, FOREVER, GroupId, Options};

use crate::groups::{arguments, arguments_file, is_clean_again, is_list, is_mapped, is_right};
use crate::harness::{Engine, eventually, skip, within};
use crate::nodes::Nodes;

/// A file system of a few megabytes. Dropped, it is gone.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// `None` on a machine where it can't be made.
    fn of(megabytes: u32) -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "jetiter-test"]).arg(dir.path());
        let why = match mount.output() {
            Ok(output) if output.status.success() => return Some(Disk { dir }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        skip("the test of a full disk", &format!("it may not mount a file system: {why}"));
        None
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.filler()).unwrap();
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
    }

    /// Gives the room back.
    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.dir.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that was killed this moment may still hold it.
        Command::new("umount").arg("-l").arg(self.dir.path()).status().ok();
    }
}

/// Strings of a thousand letters, each with its index in front.
fn long(items: u32) -> impl Iterator<Item = String> {
    (0..items).map(|index| format!("{index:04} {}", "x".repeat(1_000)))
}

/// Each of the strings once.
async fn are_long(engine: &Engine, group: &GroupId, items: u32) {
    let fetched = within(engine.client.fetch::<String>(group, FOREVER)).await.unwrap().unwrap();
    let ordered = fetched.into_ordered().into_iter();
    let values: Vec<String> = ordered.map(|(_, value)| value.unwrap()).collect();
    assert!(values.into_iter().eq(long(items)), "{group}");
}

/// Four submitters of a thousand items each, of which one is a process, meet a stream that is full
/// after a few: they wait for workers, and then finish.
async fn submitters_wait(engine: &Engine) {
    let file = arguments_file(1_000);
    let from = file.path().to_str().unwrap();
    let map = engine.process(&["map", "math.floor", "--group", "mapped", "--from", from]);
    let mut submitting = Vec::new();
    for _ in 0..3 {
        let client = Client::new(engine.connect().await, &engine.settings).await.unwrap();
        submitting.push(tokio::spawn(async move {
            client.async_iter("math.floor", arguments(1_000), &Options::new()).await.unwrap()
        }));
    }
    // The longest wait is told once.
    map.says("not stored yet").await;
    let items = engine.broker.namespace.items_stream();
    let info = engine.broker.stream_info(&items, None).await.unwrap();
    assert!(info.state.messages < 1_000, "{info:?}: it is not full");
    assert!(submitting.iter().all(|one| !one.is_finished()));
    let _worker = engine.worker_process();
    let _collator = engine.collator_process();
    for one in submitting {
        is_right(engine, &within(one).await.unwrap(), 1_000).await;
    }
    assert_eq!(map.log().matches("not stored yet").count(), 1);
    is_list(&map.printed().await, 1_000);
    is_clean_again(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submitters_wait_while_the_items_stream_is_full_of_bytes() {
    submitters_wait(&Engine::with(|settings| settings.assets.items_max_bytes = 50_000).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submitters_wait_while_the_items_stream_is_full_of_messages() {
    let engine = Engine::bare().await;
    let items = engine.broker.namespace.items_stream();
    let mut stream = engine.broker.jetstream.get_stream(items).await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.max_messages = 300;
    engine.broker.jetstream.update_stream(config).await.unwrap();
    submitters_wait(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_results_bucket_holds_the_collator_up_until_there_is_room() {
    let engine = Engine::with(|settings| {
        settings.assets.results_max_bytes = 250_000;
        settings.collator.chunk = 8 << 10;
    })
    .await;
    let _worker = engine.worker_process();
    let collator = engine.collator_process();
    let submit = async || {
        let options = Options::new();
        within(engine.client.async_iter("test.echo", long(100), &options)).await.unwrap()
    };
    // Two fit.
    let mut groups = Vec::new();
    for _ in 0..2 {
        groups.push(submit().await);
        are_long(&engine, groups.last().unwrap(), 100).await;
    }
    let third = submit().await;
    collator.says(&format!("not collated yet, trying again group=\"{third}\"")).await;
    assert!(engine.client.delete(&groups[0]).await.unwrap());
    are_long(&engine, &third, 100).await;
    let fourth = submit().await;
    collator.says(&format!("not collated yet, trying again group=\"{fourth}\"")).await;
    assert!(engine.client.read(&fourth, Duration::ZERO).await.unwrap().is_none());
    let raised = [("JETITER_ASSETS__RESULTS_MAX_BYTES", "1MB")];
    engine.process_with(&["init"], &raised).printed().await;
    are_long(&engine, &fourth, 100).await;
    are_long(&engine, &groups[1], 100).await;
    are_long(&engine, &third, 100).await;
    is_clean_again(&engine).await;
}

/// What makes a server store there, and so much at most: by itself it takes three quarters of the
/// disk, and stops before that is full.
fn store_in(directory: &Path, most: &str) -> String {
    let store = directory.join("store");
    format!("jetstream {{ store_dir: {store:?}, max_file_store: {most} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_everybody_up_and_loses_nothing() {
    let Some(disk) = Disk::of(32) else { return };
    let mut nodes = Nodes::with(1, &store_in(disk.dir.path(), "1GB")).await;
    let engine = nodes.engine(|_| {}).await;
    let worker = engine.worker_process();
    let _collator = engine.collator_process();
    is_mapped(&engine, 10).await;
    let (client, items) = (engine.client.clone(), engine.broker.namespace.items_stream());
    let submitting = tokio::spawn(async move {
        client.async_iter("test.echo", long(4_000), &Options::new()).await.unwrap()
    });
    eventually("some are submitted", async || {
        engine.broker.stream_info(&items, None).await.unwrap().state.last_seq > 500
    })
    .await;
    // The server answers a write that fails with silence, and takes no other one until it is
    // started again.
    eventually("the server has met the full disk", async || {
        disk.fill();
        !nodes.is_healthy(0).await
    })
    .await;
    worker.says("not stored yet, trying again").await;
    assert!(!submitting.is_finished());
    disk.make_room();
    nodes.kill_and_restart(0).await;
    let group = within(submitting).await.unwrap();
    are_long(&engine, &group, 4_000).await;
    is_mapped(&engine, 10).await;
    is_clean_again(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_when_a_list_is_written() {
    let Some(disk) = Disk::of(32) else { return };
    let mut nodes = Nodes::with(1, &store_in(disk.dir.path(), "1GB")).await;
    let engine = nodes.engine(|settings| settings.collator.chunk = 8 << 10).await;
    let _worker = engine.worker_process();
    let collator = engine.process_until(&["collator"], "collator.chunk=4*off->1*return(stop)");
    let options = Options::new();
    let group = within(engine.client.async_iter("test.echo", long(1_000), &options)).await.unwrap();
    collator.is_stopped().await;
    disk.fill();
    collator.wake();
    collator.says("not collated yet, trying again").await;
    assert!(!nodes.is_healthy(0).await);
    disk.make_room();
    nodes.kill_and_restart(0).await;
    are_long(&engine, &group, 1_000).await;
    is_mapped(&engine, 10).await;
    is_clean_again(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_store_no_more_holds_everybody_up_until_it_may() {
    let store = tempfile::tempdir().unwrap();
    let mut nodes = Nodes::with(1, &store_in(store.path(), "3MB")).await;
    let engine = nodes.engine(|_| {}).await;
    let worker = engine.worker_process();
    let _collator = engine.collator_process();
    let client = engine.client.clone();
    let submitting = tokio::spawn(async move {
        client.async_iter("test.echo", long(8_000), &Options::new()).await.unwrap()
    });
    worker.says("not stored yet, trying again").await;
    assert!(!submitting.is_finished());
    nodes.reload(&store_in(store.path(), "300MB"));
    nodes.kill_and_restart(0).await;
    let group = within(submitting).await.unwrap();
    are_long(&engine, &group, 8_000).await;
    is_clean_again(&engine).await;
}
