//! A curious person at the object store.

use jetiter::{ClientError, FOREVER, GroupId, Options};

use crate::harness::{Engine, within};

async fn store(engine: &Engine) -> async_nats::jetstream::object_store::ObjectStore {
    let bucket = engine.broker.namespace.results_bucket();
    engine.broker.jetstream.get_object_store(bucket).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_list_takes_its_records_along_when_the_id_is_used_again() {
    let engine = Engine::start().await;
    let id: GroupId = "again".parse().unwrap();
    let options = Options::new().group(id.clone());
    engine.client.async_iter("math.floor", [1.5, 2.5, 3.5], &options).await.unwrap();
    within(engine.client.fetch::<i64>(&id, FOREVER)).await.unwrap().unwrap();
    store(&engine).await.delete("again").await.unwrap();

    engine.client.async_iter("math.floor", [7.5], &options).await.unwrap();
    let fetched = within(engine.client.fetch::<i64>(&id, FOREVER)).await.unwrap().unwrap();
    assert_eq!((fetched.list, fetched.records.len()), (vec![Some(7)], 1));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_its_chunks_is_damaged_not_awaited() {
    let engine = Engine::start().await;
    let id = engine.client.async_iter("math.floor", [1.5], &Options::new()).await.unwrap();
    within(engine.client.result::<i64>(&id, FOREVER)).await.unwrap().unwrap();
    let ns = &engine.broker.namespace;
    let chunks = ns.chunks_filter(id.as_str());
    engine.broker.purge(&ns.results_stream(), Some(&chunks), None).await.unwrap();
    let error = within(engine.client.result::<i64>(&id, FOREVER)).await.unwrap_err();
    assert!(matches!(error, ClientError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_a_result_is_named() {
    let engine = Engine::start().await;
    let id = engine.client.async_iter("math.floor", [1.5], &Options::new()).await.unwrap();
    within(engine.client.result::<i64>(&id, FOREVER)).await.unwrap().unwrap();
    let mut foreign: &[u8] = b"mine";
    store(&engine).await.put(id.as_str(), &mut foreign).await.unwrap();
    let error = engine.client.result::<i64>(&id, FOREVER).await.unwrap_err();
    assert!(error.to_string().contains(id.as_str()), "{error}");
    assert!(engine.client.delete(&id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_marks_and_stray_items_are_removed() {
    let engine = Engine::bare().await;
    let ns = engine.broker.namespace.clone();
    let js = &engine.broker.jetstream;
    let publish = async |subject: String, payload: &'static str| {
        js.publish(subject, payload.into()).await.unwrap().await.unwrap();
    };
    publish(format!("$KV.{ns}-cache.mark.g.seal"), "garbage").await;
    publish(format!("$KV.{ns}-cache.mark.h.end"), "garbage").await;
    publish(format!("{ns}.item.default.g.*"), "1").await;
    publish(format!("{ns}.item.default.g.math.floor"), "1.5").await;
    publish(format!("{ns}.seal.g"), "1").await;
    engine.worker(jetiter::math::functions()).await;
    engine.collator().await;
    let id: GroupId = "g".parse().unwrap();
    let list = within(engine.client.result::<i64>(&id, FOREVER)).await.unwrap();
    assert_eq!(list, Some(vec![1]));
    publish(format!("{ns}.cancel.h"), "").await;
    let id: GroupId = "h".parse().unwrap();
    let list = within(engine.client.result::<i64>(&id, FOREVER)).await.unwrap();
    assert_eq!(list, Some(vec![]), "the cancel has the place of the malformed end");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_are_collated() {
    let engine = Engine::with(|settings| settings.collator.buffer = 1 << 20).await;
    let large = |n: usize| "x".repeat(n);
    engine.worker(jetiter::Functions::new().function("large", large)).await;
    engine.collator().await;
    let id = engine.client.async_iter("large", vec![900_000; 120], &Options::new()).await.unwrap();
    let list = within(engine.client.result::<String>(&id, FOREVER)).await.unwrap().unwrap();
    assert!(list.len() == 120 && list.iter().all(|text| text.len() == 900_000));
    engine.is_clean().await;
}
