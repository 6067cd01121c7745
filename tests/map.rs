use std::time::Duration;

use jetiter::{FOREVER, Iter, Options};

use crate::harness::{Engine, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_example_of_the_document() {
    let engine = Engine::start().await;
    let client = &engine.client;
    let id = client.async_iter("math.floor", 0..100, &Options::new()).await.unwrap();
    let mut list: Vec<i64> = within(client.result(&id, FOREVER)).await.unwrap().unwrap();
    list.sort();
    assert_eq!(list, (0..100).collect::<Vec<i64>>());
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_example_of_the_document() {
    let engine = Engine::start().await;
    let mut iter = Iter::new(&engine.client, "math.copysign");
    iter.append((1, -1));
    iter.append((2, -1));
    assert_eq!(iter.append((3, -1)), 3);
    iter.run().await.unwrap();
    let mut list: Vec<f64> = within(iter.result(FOREVER)).await.unwrap().unwrap();
    list.sort_by(f64::total_cmp);
    assert_eq!(list, [-3.0, -2.0, -1.0]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_iterable_completes_with_an_empty_list() {
    let engine = Engine::start().await;
    let none: [f64; 0] = [];
    let id = engine.client.async_iter("math.floor", none, &Options::new()).await.unwrap();
    let list: Vec<f64> = within(engine.client.result(&id, FOREVER)).await.unwrap().unwrap();
    assert_eq!(list, [0.0; 0]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn not_finished_is_none_and_comes_back_after_the_wait() {
    let engine = Engine::bare().await;
    let id = engine.client.async_iter("math.floor", [1.5], &Options::new()).await.unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(10)] {
        assert_eq!(engine.client.result::<f64>(&id, wait).await.unwrap(), None);
        assert!(engine.client.fetch::<f64>(&id, wait).await.unwrap().is_none());
    }
}
