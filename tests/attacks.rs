//! What an attack found: ids used again, functions that never end, retries taken for poison.

use std::time::Duration;

use jetiter::{FOREVER, Functions, GroupId, Options};
use serde_json::{Value, json};

use crate::harness::{Engine, eventually, within};

/// A group whose entries lie mixed among those of a group that stays alive: they are not worth a
/// purge, so they stay in the cache for now.
async fn mixed(engine: &Engine) -> GroupId {
    engine.worker(functions()).await;
    let (mine, alive) = (Options::new().group("x".parse().unwrap()), Options::new());
    let group = engine.client.async_iter("wait_ms", [0, 2_000], &mine).await.unwrap();
    eventually("its first entry is there", async || !engine.cache_keys().await.is_empty()).await;
    let others = (0..300).map(|_| 0).chain([600_000]);
    engine.client.async_iter("wait_ms", others, &alive).await.unwrap();
    let list: Vec<u64> = within(engine.client.result(&group, FOREVER)).await.unwrap().unwrap();
    assert_eq!(list.len(), 2);
    group
}

fn functions() -> Functions {
    Functions::new()
        .function("wait_ms", async |millis: u64| {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            millis
        })
        .function("negative", |n: i64| -n)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_group_stays_deleted_when_a_collator_begins() {
    let engine = Engine::bare().await;
    let first = engine.collator().await;
    let group = mixed(&engine).await;
    assert!(engine.client.delete(&group).await.unwrap());
    first.stop().await;
    engine.collator().await;
    let other: Vec<i64> = within(async {
        let group = engine.client.async_iter("negative", [1], &Options::new()).await.unwrap();
        engine.client.result(&group, FOREVER).await.unwrap().unwrap()
    })
    .await;
    assert_eq!(other, [-1]);
    assert!(engine.client.status(&group).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_used_again_after_its_deletion_is_a_new_group() {
    let engine = Engine::bare().await;
    engine.collator().await;
    let group = mixed(&engine).await;
    assert!(engine.client.delete(&group).await.unwrap());
    let again = Options::new().group(group.clone());
    within(engine.client.async_iter("negative", [1, 2], &again)).await.unwrap();
    let mut list: Vec<i64> = within(engine.client.result(&group, FOREVER)).await.unwrap().unwrap();
    list.sort_unstable();
    assert_eq!(list, [-2, -1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_never_ends_leaves_its_slot_to_others() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 8).await;
    engine.collator().await;
    let worker = engine.worker_process();
    let options = Options::new().timeout(Duration::from_millis(500));
    let stuck = engine.client.async_iter("test.spin_ms", [3_600_000], &options).await.unwrap();
    let list: Vec<Value> = within(engine.client.result(&stuck, FOREVER)).await.unwrap().unwrap();
    assert_eq!(list, [Value::Null]);
    // From the third delivery on it may want all slots for itself.
    let retried = Options::new().retries(5);
    let retried = engine.client.async_iter("test.fail_times", [4], &retried).await.unwrap();
    let list: Vec<u32> = within(engine.client.result(&retried, FOREVER)).await.unwrap().unwrap();
    assert_eq!(list, [5]);
    engine.is_clean().await;
    worker.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_tried_again_runs_beside_others() {
    let engine = Engine::with(|settings| settings.worker.concurrency = 2).await;
    engine.collator().await;
    let worker = engine.worker_process();
    let long = engine.client.async_iter("test.sleep_ms", [600_000], &Options::new()).await;
    // Alone it would have to wait for the other one's end.
    let options = Options::new().retries(6);
    let retried = engine.client.async_iter("test.fail_times", [6], &options).await.unwrap();
    let list: Vec<u32> = within(engine.client.result(&retried, FOREVER)).await.unwrap().unwrap();
    assert_eq!(json!(list), json!([7]));
    assert!(engine.client.read(&long.unwrap(), Duration::ZERO).await.unwrap().is_none());
    worker.kill().await;
}
