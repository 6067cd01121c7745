use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jetiter::{Client, Context, FOREVER, Functions, GroupId, Options, Status};

use crate::harness::{eventually, within};

use crate::inline::functions;

#[tokio::test(flavor = "multi_thread")]
async fn inline_a_failure_stops_nothing_behind_it() {
    let runs = Arc::new(AtomicU32::new(0));
    let functions =
        Functions::new().state(runs.clone()).try_function("t.fail", |_: u8, context: Context| {
            context.state::<Arc<AtomicU32>>().unwrap().fetch_add(1, Ordering::Relaxed);
            Err::<(), _>("no")
        });
    let client = Client::sync(functions).unwrap();
    let id = client.async_iter("t.fail", 0..5, &Options::new()).await.unwrap();
    let list: Vec<Option<()>> = client.result(&id, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((list.len(), runs.load(Ordering::Relaxed)), (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_results_are_listed_deleted_and_expire() {
    let client = Client::sync(functions()).unwrap();
    let unknown = GroupId::random();
    for wait in [Duration::ZERO, Duration::from_millis(10)] {
        assert_eq!(client.result::<i64>(&unknown, wait).await.unwrap(), None);
        assert!(client.fetch::<i64>(&unknown, wait).await.unwrap().is_none());
    }
    assert!(client.status(&unknown).await.unwrap().is_none());
    assert!(!client.delete(&unknown).await.unwrap());

    let kept = client.async_iter("t.next", [1], &Options::new()).await.unwrap();
    let brief = Options::new().cached(Duration::from_secs(1));
    let brief = client.async_iter("t.next", [1], &brief).await.unwrap();
    assert!(matches!(client.status(&brief).await.unwrap(), Some(Status::Finished(_))));
    assert_eq!(client.list().await.unwrap().len(), 2);
    eventually("the brief one expires", async || {
        client.result::<i64>(&brief, Duration::ZERO).await.unwrap().is_none()
    })
    .await;
    let left: Vec<_> = client.list().await.unwrap().into_iter().map(|l| l.group).collect();
    assert_eq!(left, [kept.as_str()]);
    assert!(client.delete(&kept).await.unwrap() && !client.delete(&kept).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_a_wait_is_woken_by_the_end_of_the_group() {
    let client = Client::sync(functions()).unwrap();
    let id = GroupId::random();
    let waiting = tokio::spawn({
        let (client, id) = (client.clone(), id.clone());
        async move { client.result::<i64>(&id, FOREVER).await }
    });
    let options = Options::new().group(id);
    client.async_iter("t.next", [1], &options).await.unwrap();
    assert_eq!(within(waiting).await.unwrap().unwrap(), Some(vec![2]));
}

#[test]
fn inline_functions_put_together_wrongly_are_refused() {
    let twice = || Functions::new().function("a", |x: u8| x).function("a", |x: u8| x);
    assert!(Client::sync(twice()).is_err());
}
