use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::join_all;
use jetiter::{ErrorKind, Fetched, Options, Settings};
use serde_json::{Value, json};

use super::{Runs, fetch, is_clean, submit, values};
use crate::harness::{Engine, within};
use crate::processes::Process;

/// Starts so many workers, and each again whenever it dies, as Kubernetes would.
struct Pool<'a> {
    start: &'a dyn Fn() -> Process,
    size: usize,
    deaths: Cell<usize>,
}

impl Pool<'_> {
    fn of(size: usize, start: &dyn Fn() -> Process) -> Pool<'_> {
        Pool { start, size, deaths: Cell::new(0) }
    }

    /// Keeps them running as long as something takes.
    async fn during<T>(&self, something: impl Future<Output = T>) -> T {
        tokio::select! {
            ended = something => ended,
            _ = join_all((0..self.size).map(|_| self.keep_one())) => unreachable!(),
        }
    }

    async fn keep_one(&self) -> Infallible {
        loop {
            assert!(!(self.start)().ended().await.success());
            self.deaths.set(self.deaths.get() + 1);
        }
    }
}

fn soon(settings: &mut Settings) {
    settings.assets.ack_wait = Duration::from_secs(1);
    settings.worker.begins = 1;
}

/// The one that failed, and the others' values in the order of their arguments.
fn one_lost<T>(fetched: Fetched<T>, poison: usize) -> Vec<T> {
    let mut ordered = fetched.into_ordered();
    let (index, lost) = ordered.remove(poison);
    assert_eq!(index.to_string(), poison.to_string());
    assert_eq!(lost.err().unwrap().kind, ErrorKind::Lost);
    ordered.into_iter().map(|(_, value)| value.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_panics_or_hangs_leaves_its_process_sound() {
    let engine = Engine::bare().await;
    let _collator = engine.collator_process();
    let worker = engine.worker_process();
    let hour = 3_600_000;
    for (function, arguments, kind) in [
        ("test.panic", [json!("no"), json!("never")], ErrorKind::Panicked),
        ("test.sleep_ms", [json!(hour), json!(0)], ErrorKind::TimedOut),
        ("test.block_ms", [json!(hour), json!(0)], ErrorKind::TimedOut),
    ] {
        // Short for what hangs, and long enough for what does not on a busy machine.
        let options = Options::new().timeout(Duration::from_secs(1));
        let group = within(engine.client.async_iter(function, arguments.clone(), &options)).await;
        let mut ordered = fetch::<Value>(&engine, &group.unwrap()).await.into_ordered();
        let (second, first) = (ordered.pop().unwrap().1, ordered.pop().unwrap().1);
        assert_eq!(first.unwrap_err().kind, kind, "{function}");
        if kind == ErrorKind::TimedOut {
            assert_eq!(second.unwrap(), arguments[1], "{function}");
        }
    }
    let group = submit(&engine, "test.echo", vec![1, 2, 3]).await;
    assert_eq!(values(fetch::<u32>(&engine, &group).await), [1, 2, 3]);
    is_clean(&engine).await;
    assert!(worker.term().await.success(), "the thread that hangs does not hold up the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aborts_its_process_ends_as_lost() {
    let engine = Engine::with(soon).await;
    let _collator = engine.collator_process();
    let start = || engine.worker_process();
    let pool = Pool::of(2, &start);
    let group = submit(&engine, "test.abort", vec![0]).await;
    let fetched = pool.during(fetch::<Value>(&engine, &group)).await;
    assert_eq!(one_lost(fetched, 0), [Value::Null; 0]);
    pool.during(is_clean(&engine)).await;
    assert_eq!(pool.deaths.get(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_all_memory_ends_as_lost_and_its_neighbours_have_their_values() {
    let engine = Engine::with(soon).await;
    let _collator = engine.collator_process();
    let start = || {
        let worker = engine.worker_process();
        worker.limit_memory(1 << 30);
        worker
    };
    let pool = Pool::of(1, &start);
    let mut sizes = vec![Some(1); 20];
    sizes[7] = None;
    let group = submit(&engine, "test.allocate", sizes).await;
    let fetched = pool.during(fetch::<u32>(&engine, &group)).await;
    assert_eq!(one_lost(fetched, 7), [1; 19]);
    pool.during(is_clean(&engine)).await;
    assert_eq!(pool.deaths.get(), 4);
}

/// Many good items and some that abort. Every good one has its value, every other one is lost.
/// How often those were begun.
async fn poisoned(items: u32, poison: &[u32]) -> usize {
    let engine = Engine::with(soon).await;
    let runs = Runs::new();
    let mut arguments = runs.arguments(items);
    poison.iter().for_each(|index| arguments[*index as usize].1 = "poison".to_owned());
    let _collator = engine.collator_process();
    let start = || engine.worker_process();
    let pool = Pool::of(2, &start);
    let group = submit(&engine, "test.poison", arguments).await;
    let fetched = pool.during(fetch::<String>(&engine, &group)).await;
    let summary = &fetched.summary;
    assert_eq!(
        (summary.failed, summary.ok),
        (poison.len() as u64, fetched.list.len() as u64 - summary.failed)
    );
    for (index, (_, value)) in (0..).zip(fetched.into_ordered()) {
        match poison.contains(&index) {
            true => assert_eq!(value.unwrap_err().kind, ErrorKind::Lost),
            false => assert_eq!(value.unwrap(), index.to_string()),
        }
    }
    pool.during(is_clean(&engine)).await;
    // Two that may be bad luck, one that is counted beside others, one more: see `worker.begins`.
    let begun = runs.lines().iter().filter(|line| *line == "poison").count();
    // Of several one may die in the other's company, and is handed out once more without a begin.
    assert!(begun <= 4 * poison.len() && pool.deaths.get() <= begun, "{begun}");
    // A death costs its neighbours no more than what was in hand.
    let in_hand = engine.settings.worker.prefetch + engine.settings.worker.slots();
    assert!(runs.lines().len() <= items as usize + pool.deaths.get() * in_hand);
    begun
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poison_item_among_ten_thousand_costs_one_error() {
    assert_eq!(poisoned(10_000, &[5_000]).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_poison_items_far_apart_cost_two_errors() {
    poisoned(10_000, &[100, 9_900]).await;
}
