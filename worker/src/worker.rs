//! A worker: pulls the items of one queue and runs them, many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jetiter_config::broker::{Broker, StreamInfo};
use jetiter_config::names::Queue;
use jetiter_config::settings::Settings;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::executor::Executor;
use crate::functions::Functions;
use crate::hand::Hand;
use crate::line::Line;
use crate::pull::{Pull, Pulled};

/// How long a function may hold its thread past its time-out before the item goes on without it.
const STUCK_GRACE: Duration = Duration::from_secs(1);
/// How often a worker looks how full the cache is.
const FULL_CHECK: Duration = Duration::from_secs(1);
/// With room for fewer items than this a worker looks more often.
const NEARLY_FULL: usize = 100_000;
/// How long the last acknowledgements may take: a server that is away takes none.
const FLUSH: Duration = Duration::from_secs(2);
/// How long between two tries to open a pull.
const REOPEN: Duration = Duration::from_millis(500);

/// Serves functions to the items of one queue.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use jetiter_config::{Broker, Settings};
/// use jetiter_worker::{Functions, Worker};
///
/// let settings = Settings::default();
/// let broker = Broker::connect(&settings, "my worker").await?;
/// let functions = Functions::new().function("text.len", |text: String| text.len());
/// let worker = Worker::new(&broker, functions, &settings).await?;
/// worker.run(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    executor: Arc<Executor>,
    consumer: String,
    ack_wait: Duration,
    prefetch: usize,
    /// How many items may still be taken before the next look at the cache.
    budget: AtomicUsize,
}

impl Worker {
    /// Checks the functions and the assets; nothing is pulled yet.
    pub async fn new(
        broker: &Broker,
        functions: Functions,
        settings: &Settings,
    ) -> Result<Worker, Error> {
        functions.check()?;
        jetiter_config::Topology::of(broker, settings).check(broker).await?;
        let queue: Queue = settings.worker.queue.parse()?;
        let consumer = broker.namespace.worker_consumer(&queue);
        let ack_wait = ack_wait(broker, &queue).await?;
        let concurrency = settings.worker.slots();
        let prefetch = concurrency + settings.worker.prefetch;
        let executor = Executor {
            broker: broker.clone(),
            functions,
            name: name(),
            hand: Arc::new(Hand::new(prefetch)),
            slots: Arc::new(Semaphore::new(concurrency)),
            concurrency: concurrency as u32,
            puts: Semaphore::new(settings.worker.in_flight),
            line: Line::default(),
            stopping: CancellationToken::new(),
            closed: CancellationToken::new(),
            settings: settings.worker.clone(),
        };
        Ok(Worker {
            executor: Arc::new(executor),
            consumer,
            ack_wait,
            prefetch,
            // Nothing before the first look: a whole hand could be more than the cache has room for.
            budget: AtomicUsize::new(0),
        })
    }

    /// Works until `stop` ends. Then nothing more is pulled, what has not begun is handed back
    /// at once, and what has is finished within the grace time.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let running = TaskTracker::new();
        let stopping = &self.executor.stopping;
        let work = async {
            tokio::join!(self.pull_until_stop(&running), async {
                stop.await;
                stopping.cancel();
            });
            self.executor.closed.cancel();
            running.close();
            if timeout(self.executor.settings.grace, running.wait()).await.is_err() {
                // Silence hands them on: the server gives them to another after `ack_wait`.
                tracing::warn!(left = self.executor.hand.len(), "the grace time is over");
            }
        };
        tokio::select! {
            () = work => {}
            () = self.keep_hand_alive(&running) => {}
            () = self.watch_cache() => {}
        }
        // Acknowledgements are only queued until here.
        timeout(FLUSH, self.executor.broker.client.flush()).await.ok();
    }

    async fn pull_until_stop(&self, running: &TaskTracker) {
        let broker = &self.executor.broker;
        let items = broker.namespace.items_stream();
        while !self.executor.stopping.is_cancelled() {
            let lost = match Pull::open(broker, &items, &self.consumer).await {
                Ok(pull) => self.pull(pull, running).await,
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = lost {
                tracing::warn!(
                    reason,
                    "no items come, trying again; `jetiter init` makes what is missing"
                );
                sleep(REOPEN).await;
            }
        }
    }

    /// Pulls until the stop (`None`) or until the pull is lost.
    async fn pull(&self, mut pull: Pull, running: &TaskTracker) -> Option<String> {
        let execute = |message| {
            let executor = self.executor.clone();
            running.spawn(async move { executor.execute(message).await });
        };
        loop {
            // A full cache can store no outcome: what is in hand goes first.
            let room = self.prefetch.saturating_sub(self.executor.hand.len());
            let room = room.min(self.budget.load(Ordering::Relaxed));
            let pulled = tokio::select! {
                pulled = pull.next(room) => pulled,
                () = self.executor.hand.half_empty() => continue,
                () = self.executor.stopping.cancelled() => {
                    // Executed now, they are handed back.
                    pull.close().await.into_iter().for_each(execute);
                    return None;
                }
            };
            match pulled {
                Pulled::Message(message) => {
                    self.spend();
                    execute(message);
                }
                Pulled::Nothing => {}
                Pulled::Lost(reason) => return Some(reason),
            }
        }
    }

    /// A third of `ack_wait`. What came less than half of that ago is told of the next time, when
    /// it is half of `ack_wait` old: late by another half of it does no harm.
    async fn keep_hand_alive(&self, running: &TaskTracker) {
        let every = self.ack_wait / 3;
        let mut alive = interval(every);
        let mut look = interval(STUCK_GRACE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = alive.tick() => {
                    self.executor.hand.keep_alive(&self.executor.broker, every / 2).await;
                }
                _ = look.tick() => {
                    for held in self.executor.hand.stuck(STUCK_GRACE) {
                        let executor = self.executor.clone();
                        running.spawn(async move { executor.give_up(&held).await });
                    }
                }
            }
        }
    }

    /// Stops pulling at a soft limit below the cache's own, so that marks always fit: a group
    /// whose seal does not fit could never end, and the cache never empty.
    async fn watch_cache(&self) {
        let broker = &self.executor.broker;
        let stream = broker.namespace.cache_stream();
        loop {
            let Ok(info) = broker.stream_info(&stream, None).await else {
                sleep(FULL_CHECK).await;
                continue;
            };
            let budget = self.budget(&info);
            let before = self.budget.swap(budget, Ordering::Relaxed);
            if budget == 0 && before > 0 {
                tracing::warn!(bytes = info.state.bytes, "the cache is at its soft limit");
            }
            self.executor.hand.pull_again();
            sleep(if budget < NEARLY_FULL { FULL_CHECK / 50 } else { FULL_CHECK }).await;
        }
    }

    /// A quarter of what fits below the soft limit, since other workers look at the same room,
    /// less what is in hand already.
    fn budget(&self, info: &StreamInfo) -> usize {
        let Ok(max) = u64::try_from(info.config.max_bytes) else {
            return usize::MAX;
        };
        let soft = (max as f64 * self.executor.settings.soft_limit) as u64;
        let left = soft.saturating_sub(info.state.bytes);
        // An empty cache tells nothing of the outcomes to come: begin slowly.
        let outcome = match info.state.messages {
            0..16 => 16 << 10,
            messages => (info.state.bytes / messages).max(256),
        };
        // At least one where one fits: a small cache would never be begun with.
        let fits = (left / outcome / 4).max(u64::from(left > outcome));
        let fits = usize::try_from(fits).unwrap_or(usize::MAX);
        fits.saturating_sub(self.executor.hand.len())
    }

    fn spend(&self) {
        let less = |budget: usize| (budget != usize::MAX).then(|| budget.saturating_sub(1));
        // Without a limit there is nothing to count.
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
    }
}

/// Workers never make their consumer: an autoscaler that waits for it would wait for them.
async fn ack_wait(broker: &Broker, queue: &Queue) -> Result<Duration, Error> {
    let (items, consumer) =
        (broker.namespace.items_stream(), broker.namespace.worker_consumer(queue));
    match broker.ack_wait(&items, &consumer).await {
        Ok(Some(ack_wait)) => Ok(ack_wait),
        Ok(None) => Err(jetiter_config::Error::NoQueue { queue: queue.to_string() }.into()),
        Err(error) => Err(error.about(format!("the queue {queue}")).into()),
    }
}

/// Host and a random part: two workers of one host must not look like one.
pub(crate) fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "worker" } else { host };
    format!("{host}-{:04x}", rand::random::<u16>())
}
