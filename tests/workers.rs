//! Workers that fail, hang, stop, die, are too few or meet a full stream.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;
use jetiter::{
    ClientError, Context, Error, ErrorKind, FOREVER, Fetched, Functions, GroupId, Options,
    Settings, math,
};
use tokio::sync::{Semaphore, mpsc};

use crate::harness::{Engine, PATIENCE, Running, eventually, lane_of, within};
use crate::plain::Plain;

async fn with(change: impl FnOnce(&mut Settings)) -> Engine {
    let engine = Engine::with(change).await;
    engine.collator().await;
    engine
}

async fn submit(
    engine: &Engine,
    function: &str,
    arguments: std::ops::Range<u32>,
    options: &Options,
) -> GroupId {
    let submitted = engine.client.async_iter(function, arguments, options);
    within(submitted).await.unwrap()
}

async fn fetch(engine: &Engine, group: &GroupId) -> Fetched<u32> {
    within(engine.client.fetch(group, FOREVER)).await.unwrap().unwrap()
}

/// The values in the order of their arguments, and none has failed.
async fn values(engine: &Engine, group: &GroupId) -> Vec<u32> {
    let ordered = fetch(engine, group).await.into_ordered();
    ordered.into_iter().map(|(_, value)| value.unwrap()).collect()
}

/// The kinds of the errors in the order of their arguments.
async fn kinds(engine: &Engine, group: &GroupId) -> Vec<ErrorKind> {
    let ordered = fetch(engine, group).await.into_ordered();
    ordered.into_iter().map(|(_, value)| value.unwrap_err().kind).collect()
}

/// A function `wait` that counts its begins, and ends when the gate lets it through.
#[derive(Clone)]
struct Gate {
    begun: Arc<AtomicU32>,
    inside: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
    through: Arc<Semaphore>,
}

impl Gate {
    fn shut() -> Gate {
        Gate {
            begun: Arc::default(),
            inside: Arc::default(),
            most: Arc::default(),
            through: Arc::new(Semaphore::new(0)),
        }
    }

    fn functions(&self) -> Functions {
        let gate = self.clone();
        Functions::new().function("wait", move |argument: u32| {
            let gate = gate.clone();
            async move {
                gate.begun.fetch_add(1, Ordering::SeqCst);
                let inside = gate.inside.fetch_add(1, Ordering::SeqCst) + 1;
                gate.most.fetch_max(inside, Ordering::SeqCst);
                gate.through.acquire().await.unwrap().forget();
                gate.inside.fetch_sub(1, Ordering::SeqCst);
                argument
            }
        })
    }

    async fn until_begun(&self, times: u32) {
        let begun = async || self.begun.load(Ordering::SeqCst) >= times;
        eventually("so many have begun", begun).await;
    }

    fn open(&self) {
        self.through.add_permits(1_000_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_item_is_tried_again_as_often_as_asked() {
    let engine = with(|_| {}).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let fail = move |times: u32, context: Context| {
        counted.fetch_add(1, Ordering::SeqCst);
        if context.item.attempt <= times { Err("not yet") } else { Ok(times) }
    };
    engine.worker(Functions::new().try_function("fail", fail)).await;
    let options = Options::new().retries(5);
    let group = submit(&engine, "fail", 0..8, &options).await;
    let fetched = fetch(&engine, &group).await;
    let attempts: Vec<_> = fetched.records.iter().map(|r| (r.index, r.attempts)).collect();
    for (index, value) in fetched.into_ordered() {
        let attempts = attempts.iter().find(|(id, _)| *id == index).unwrap().1;
        match index.to_string().parse().unwrap() {
            times @ 0..=5 => assert_eq!((value.unwrap(), attempts), (times, times + 1)),
            _ => {
                let error = value.unwrap_err();
                assert_eq!((error.kind, attempts), (ErrorKind::Failed, 6));
                assert_eq!(error.message, "not yet");
            }
        }
    }
    // 1 + 2 + .. + 6, and twice 6 of those that never succeed.
    assert_eq!(runs.load(Ordering::SeqCst), 21 + 12);
    engine.is_clean().await;
}

/// What is dropped when a function panics, or when its time is over, may panic too: that costs its item,
/// and never the worker.
#[tokio::test(flavor = "multi_thread")]
async fn what_panics_when_it_is_dropped_costs_its_item() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let engine = with(|_| {}).await;
    let functions = Functions::new()
        .function("plain", |_: u32| -> u32 { std::panic::panic_any(Bomb) })
        .function("late", async |_: u32| {
            let _bomb = Bomb;
            pending::<()>().await
        })
        .function("fine", |n: u32| n);
    engine.worker(functions).await;
    let options = Options::new().timeout(Duration::from_millis(50));
    for (function, kind) in [("plain", ErrorKind::Panicked), ("late", ErrorKind::TimedOut)] {
        // More than there are runners.
        let group = submit(&engine, function, 0..20, &options).await;
        assert_eq!(kinds(&engine, &group).await, vec![kind; 20], "{function}");
        let group = submit(&engine, "fine", 0..3, &options).await;
        let list: Option<Vec<u32>> = within(engine.client.result(&group, FOREVER)).await.unwrap();
        assert_eq!(list.map(|list| list.len()), Some(3));
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_hangs_panics_or_says_too_much_is_an_error() {
    let engine = with(|_| {}).await;
    let release = Arc::new(AtomicBool::new(false));
    let held = release.clone();
    let functions = Functions::new()
        .function("hang", async |_: u32| pending::<()>().await)
        .blocking("block", |_: u32, context: Context| {
            while !context.stop.is_cancelled() {
                park_timeout(Duration::from_millis(5));
            }
        })
        .function("hold", move |_: u32| {
            // Not for ever: a test that fails would never end.
            let began = Instant::now();
            while !held.load(Ordering::SeqCst) && began.elapsed() < PATIENCE {
                park_timeout(Duration::from_millis(5));
            }
        })
        .function("panic", |n: u32| -> u32 { panic!("no {n}") })
        .blocking("panic.blocking", |n: u32| -> u32 { panic!("no {n}") })
        .function("much", |n: u32| "x".repeat(2 << 20 << n))
        // The value fits, and its headers do not.
        .function("edge", |n: u32| "x".repeat((1 << 20) - 60 - n as usize))
        .function("fine", |n: u32| n);
    engine.worker(functions).await;
    let options = Options::new().timeout(Duration::from_millis(50));
    for (function, kind) in [
        ("hang", ErrorKind::TimedOut),
        ("block", ErrorKind::TimedOut),
        ("hold", ErrorKind::TimedOut),
        ("panic", ErrorKind::Panicked),
        ("panic.blocking", ErrorKind::Panicked),
        ("much", ErrorKind::TooLarge),
        ("edge", ErrorKind::TooLarge),
    ] {
        let one_holds = if function == "hold" { 0..1 } else { 0..2 };
        let count = one_holds.len();
        let group = submit(&engine, function, one_holds, &options).await;
        assert_eq!(kinds(&engine, &group).await, vec![kind; count], "{function}");
        // It holds a thread until then, also past its end.
        release.store(function == "hold", Ordering::SeqCst);
    }
    let group = submit(&engine, "fine", 0..9, &options).await;
    assert_eq!(values(&engine, &group).await, (0..9).collect::<Vec<_>>());
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_leaves_nothing_to_wait_for() {
    let engine = with(|settings| {
        settings.assets.ack_wait = Duration::from_secs(600);
        settings.worker.concurrency = 2;
    })
    .await;
    let gate = Gate::shut();
    let first = engine.worker(gate.functions()).await;
    let group = submit(&engine, "wait", 0..100, &Options::new()).await;
    gate.until_begun(2).await;
    let second = Gate::shut();
    second.open();
    tokio::join!(first.stop(), async {
        // What the first one holds and has not begun comes here at once.
        engine.worker(second.functions()).await;
        second.until_begun(98).await;
        gate.open();
    });
    assert_eq!(values(&engine, &group).await, (0..100).collect::<Vec<_>>());
    let begun = [&gate, &second].map(|gate| gate.begun.load(Ordering::SeqCst));
    assert_eq!(begun, [2, 98], "nothing is run twice, nor begun after the stop");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_had_in_hand_is_run_by_another() {
    let engine = with(|settings| {
        settings.assets.ack_wait = Duration::from_millis(500);
        settings.worker.concurrency = 50;
    })
    .await;
    let gate = Gate::shut();
    let first = engine.worker(gate.functions()).await;
    let group = submit(&engine, "wait", 0..50, &Options::new()).await;
    gate.until_begun(50).await;
    first.abort().await;
    let second = Gate::shut();
    second.open();
    engine.worker(second.functions()).await;
    let fetched = fetch(&engine, &group).await;
    assert!(fetched.records.iter().all(|record| record.attempts == 2), "{fetched:?}");
    assert_eq!((fetched.summary.ok, fetched.summary.failed), (50, 0));
    assert_eq!(second.begun.load(Ordering::SeqCst), 50);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_slower_than_ack_wait_is_run_once() {
    let engine = with(|settings| {
        // Long enough that a busy machine does not miss a third of it.
        settings.assets.ack_wait = Duration::from_secs(3);
        settings.assets.queues.push("clock".to_owned());
    })
    .await;
    let gate = Gate::shut();
    engine.worker(gate.functions()).await;
    let group = submit(&engine, "wait", 0..8, &Options::new()).await;
    gate.until_begun(8).await;
    // Another item, that nobody keeps alive, tells how time goes by.
    let clock = Options::new().queue("clock".parse().unwrap());
    let tick = submit(&engine, "tick", 0..1, &clock).await;
    let items = engine.broker.namespace.items_stream();
    let consumer = format!("worker-clock-{}", lane_of(tick.as_str()));
    let consumer: PullConsumer =
        engine.broker.jetstream.get_consumer_from_stream(consumer, items).await.unwrap();
    let mut ticks = consumer.messages().await.unwrap();
    for delivered in 1..=3 {
        let message = within(ticks.next()).await.unwrap().unwrap();
        assert_eq!(message.info().unwrap().delivered, delivered);
        if delivered == 3 {
            message.ack().await.unwrap();
        }
    }
    gate.open();
    let fetched = fetch(&engine, &group).await;
    assert!(fetched.records.iter().all(|record| record.attempts == 1));
    assert_eq!(gate.begun.load(Ordering::SeqCst), 8);
    let plain = Plain::of(&engine).await;
    plain.stored(&format!("{}.cancel.{tick}", plain.ns), &[], "").await;
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_whose_workers_die_ends_as_lost() {
    let engine = with(|settings| {
        settings.assets.ack_wait = Duration::from_millis(500);
        settings.worker.begins = 2;
    })
    .await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let functions = Functions::new().function("deadly", move |n: u32| {
        let begun = begun.clone();
        async move {
            if n == 7 {
                begun.send(()).unwrap();
                pending::<()>().await;
            }
            n
        }
    });
    let mut worker: Running = engine.worker(functions.clone()).await;
    let group = submit(&engine, "deadly", 0..20, &Options::new()).await;
    // The first two deliveries may be bad luck, so may the first counted begin, beside others.
    for _ in 0..5 {
        within(begins.recv()).await.unwrap();
        worker.abort().await;
        worker = engine.worker(functions.clone()).await;
    }
    let ordered = fetch(&engine, &group).await.into_ordered();
    for (index, (_, value)) in ordered.into_iter().enumerate() {
        match (index, value) {
            (7, Err(error)) => {
                assert_eq!(error.kind, ErrorKind::Lost);
                assert!(error.message.contains("begun 3 times"), "{error}");
            }
            (index, value) => assert_eq!(value, Ok(index as u32)),
        }
    }
    assert!(begins.try_recv().is_err(), "it was not begun again");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_queue_has_its_own_workers() {
    let engine = with(|settings| settings.assets.queues = vec!["a".into(), "b".into()]).await;
    for (queue, factor) in [("a", 1), ("b", 10)] {
        let mut settings = engine.settings.clone();
        settings.worker.queue = queue.to_owned();
        let (broker, client) = (engine.broker.clone(), engine.client.clone());
        let own = Engine { broker, settings, client };
        own.worker(Functions::new().function("times", move |n: u32| n * factor)).await;
    }
    let mut groups = Vec::new();
    for (queue, factor) in [("b", 10), ("a", 1)] {
        let options = Options::new().queue(queue.parse().unwrap());
        groups.push((submit(&engine, "times", 0..30, &options).await, factor));
    }
    for (group, factor) in groups {
        let expected: Vec<u32> = (0..30).map(|n| n * factor).collect();
        assert_eq!(values(&engine, &group).await, expected);
    }
    let nowhere = Options::new().queue("nowhere".parse().unwrap());
    let refused = engine.client.async_iter("times", [1], &nowhere).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Config(Error::NoQueue { queue }) if queue == "nowhere"),
        "{refused}"
    );
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_the_settings_say() {
    let engine = with(|settings| settings.worker.concurrency = 3).await;
    let gate = Gate::shut();
    engine.worker(gate.functions()).await;
    let group = submit(&engine, "wait", 0..60, &Options::new()).await;
    gate.until_begun(3).await;
    for passed in 1..=60 {
        gate.through.add_permits(1);
        // Each one that ends makes room for one more.
        gate.until_begun((passed + 3).min(60)).await;
    }
    assert_eq!(values(&engine, &group).await, (0..60).collect::<Vec<_>>());
    assert_eq!(gate.most.load(Ordering::SeqCst), 3);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_may_know_its_item_and_share_a_state() {
    let engine = with(|_| {}).await;
    struct Offset(u32);
    let functions =
        Functions::new().state(Offset(100)).function("plus", |n: u32, context: Context| {
            assert_eq!(context.item.function.as_str(), "plus");
            assert_eq!(context.item.id.to_string(), n.to_string());
            assert_eq!(context.item.timeout, Duration::from_secs(7));
            assert!(context.state::<String>().is_none());
            n + context.state::<Offset>().unwrap().0
        });
    engine.worker(functions).await;
    let options = Options::new().timeout(Duration::from_secs(7));
    let group = submit(&engine, "plus", 0..5, &options).await;
    assert_eq!(values(&engine, &group).await, [100, 101, 102, 103, 104]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_items_stream_makes_the_submitter_wait() {
    let engine = with(|settings| settings.assets.items_max_bytes = 20_000).await;
    let (items, all) = (engine.broker.namespace.items_stream(), 0..2_000);
    let client = engine.client.clone();
    let submitting = tokio::spawn({
        let all = all.clone();
        async move { client.async_iter("math.floor", all, &Options::new()).await.unwrap() }
    });
    eventually("the stream is full", async || {
        let info = engine.broker.stream_info(&items, None).await.unwrap();
        info.state.bytes > 19_000
    })
    .await;
    assert!(!submitting.is_finished());
    engine.worker(math::functions()).await;
    let group = within(submitting).await.unwrap();
    assert_eq!(values(&engine, &group).await, all.collect::<Vec<_>>());
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_cache_holds_up_the_workers_and_loses_nothing() {
    let engine = with(|settings| settings.assets.cache_max_bytes = 300_000).await;
    let runs = Arc::new(AtomicU32::new(0));
    let mut groups = Vec::new();
    // All together six times what the cache holds; each group alone fits.
    for _ in 0..20 {
        groups.push(submit(&engine, "large", 0..100, &Options::new()).await);
    }
    let counted = runs.clone();
    let large = move |n: u32| {
        counted.fetch_add(1, Ordering::SeqCst);
        (n, "x".repeat(1_000))
    };
    engine.worker(Functions::new().function("large", large)).await;
    for group in &groups {
        let fetched = within(engine.client.fetch::<(u32, String)>(group, FOREVER)).await;
        let ordered = fetched.unwrap().unwrap().into_ordered();
        let values: Vec<u32> = ordered.into_iter().map(|(_, value)| value.unwrap().0).collect();
        assert_eq!(values, (0..100).collect::<Vec<_>>());
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2_000, "nothing runs twice because of storage");
    engine.is_clean().await;
}
