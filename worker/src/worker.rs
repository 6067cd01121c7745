//! A worker: pulls the items of one queue and runs them, many at once.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jetiter_config::broker::Broker;
use jetiter_config::call::Item;
use jetiter_config::names::{Lane, Queue};
use jetiter_config::settings::Settings;
use jetiter_config::wire::Signature;
use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ends::Ends;
use crate::error::Error;
use crate::executor::Executor;
use crate::functions::Functions;
use crate::hand::Hand;
use crate::line::Line;
use crate::patience::Patience;
use crate::pull::{Pull, Pulled};
use crate::pulse::Pulse;
use crate::room::Room;
use crate::serving::tell_serving;
use crate::shares::Shares;
use crate::slots::Slots;
use crate::writer::{Writer, Writing};

/// How long a function may hold its thread past its time-out before the item goes on without it.
pub(crate) const STUCK_GRACE: Duration = Duration::from_secs(1);
/// How often a worker looks how full the cache is.
const FULL_CHECK: Duration = Duration::from_secs(1);
/// With room for fewer items than this a worker looks more often.
const NEARLY_FULL: usize = 100_000;
/// How often it is told that no outcome can be stored.
const TELL_STUCK: Duration = Duration::from_secs(10);
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
/// worker.run(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await?;
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    executor: Arc<Executor>,
    queue: Queue,
    ack_wait: Duration,
    /// Which groups ended before all of their items had run.
    ends: Ends,
    signatures: Vec<Signature>,
}

impl Worker {
    /// Checks the functions and the assets; nothing is pulled yet.
    pub async fn new(
        broker: &Broker,
        functions: Functions,
        settings: &Settings,
    ) -> Result<Worker, Error> {
        functions.check()?;
        let (ends, signatures) = (Ends::new(broker), functions.signatures());
        let functions = functions.told_by(&ends);
        jetiter_config::Topology::of(broker, settings).check(broker).await?;
        let queue: Queue = settings.worker.queue.parse()?;
        let ack_wait = ack_wait(broker, &queue).await?;
        let cache = broker.stream_info(&broker.namespace.cache_stream(), None).await;
        let cache = cache.map_err(|error| error.about("the cache"))?;
        let concurrency = settings.worker.slots();
        let threads = Handle::current().metrics().num_workers();
        let (slots, line) = (Slots::new(concurrency), Arc::new(Line::new(threads)));
        let writer = Arc::new(Writer::default());
        let waiting = {
            let (slots, line, writer) = (slots.clone(), line.clone(), writer.clone());
            move || slots.waiting() + line.waiting() + writer.waiting() > 0
        };
        let executor = Executor {
            broker: broker.clone(),
            functions,
            name: name(),
            hand: Arc::new(Hand::new()),
            shares: Shares::new(concurrency, settings.worker.prefetch, Box::new(waiting)),
            line,
            slots,
            concurrency,
            writer,
            room: Room::new(settings.worker.soft_limit, &cache),
            stopping: CancellationToken::new(),
            closed: CancellationToken::new(),
            settings: settings.worker.clone(),
        };
        Ok(Worker { executor: Arc::new(executor), queue, ack_wait, ends, signatures })
    }

    /// Works until `stop` ends. Then nothing more is pulled, what has not begun is handed back
    /// at once, and what has is finished within the grace time. Fails when for longer than
    /// `worker.patience` no server answers, no items can be had, or no outcome can be stored.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let running = TaskTracker::new();
        let writing = Writing::open(&self.executor, &running).await?;
        let _pulse = Pulse::start().map_err(|error| Error::Thread(error.to_string()))?;
        let ended = tokio::select! {
            ended = self.work(&running, stop) => ended,
            () = self.keep_hand_alive(&running) => Ok(()),
            () = writing.run() => Ok(()),
            never = self.ends.follow() => match never {},
            never = tell_serving(&self.executor.broker, &self.queue, &self.signatures) => match never {},
            error = self.watch_cache() => Err(error),
        };
        // Acknowledgements are only queued until here.
        timeout(FLUSH, self.executor.broker.client.flush()).await.ok();
        ended
    }

    async fn work(
        &self,
        running: &TaskTracker,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let Executor { stopping, closed, settings, hand, .. } = &*self.executor;
        let told = async {
            stop.await;
            stopping.cancel();
            pending().await
        };
        let pulled = tokio::select! {
            pulled = self.pull_all_lanes(running) => pulled,
            () = told => Ok(()),
        };
        // Also after an error: what has not begun is handed back.
        stopping.cancel();
        closed.cancel();
        // Whether or not a runner is free to do it.
        for ready in self.executor.line.drain() {
            let executor = self.executor.clone();
            running.spawn(async move { executor.hand_back(&ready.grip.held).await });
        }
        running.close();
        if timeout(settings.grace, running.wait()).await.is_err() {
            // Silence hands them on: the server gives them to another after `ack_wait`.
            tracing::warn!(left = hand.len(), "the grace time is over");
        }
        pulled
    }

    /// The lanes side by side, until the stop or until one of them is lost for good.
    async fn pull_all_lanes(&self, running: &TaskTracker) -> Result<(), Error> {
        self.choose_first().await;
        let mut lanes: FuturesUnordered<_> =
            Lane::all().map(|lane| self.pull_until_stop(lane, running)).collect();
        let mut first = Ok(());
        while let Some(ended) = lanes.next().await {
            // The others hand back what they have asked for.
            self.executor.stopping.cancel();
            first = first.and(ended);
        }
        first
    }

    async fn pull_until_stop(&self, lane: Lane, running: &TaskTracker) -> Result<(), Error> {
        let Executor { broker, settings, stopping, .. } = &*self.executor;
        let items = broker.namespace.items_stream();
        let consumer = broker.namespace.worker_consumer(&self.queue, lane);
        let mut patience = Patience::new(settings.patience);
        while !stopping.is_cancelled() {
            let lost = match Pull::open(broker, &items, &consumer).await {
                Ok(pull) => self.pull(lane, pull, running, &mut patience).await,
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = lost {
                tracing::warn!(
                    consumer,
                    reason,
                    "no items come, trying again; `jetiter init` makes what is missing"
                );
                patience.failed(&format!("pulling from {consumer}"), reason)?;
                sleep(REOPEN).await;
            }
        }
        Ok(())
    }

    /// Pulls until the stop (`None`) or until the pull is lost.
    async fn pull(
        &self,
        lane: Lane,
        mut pull: Pull,
        running: &TaskTracker,
        patience: &mut Patience,
    ) -> Option<String> {
        let Executor { shares, room, stopping, .. } = &*self.executor;
        let execute = |message| self.executor.take(message, shares.take(lane), running);
        loop {
            // A full cache can store no outcome: what is in hand goes first.
            let items = shares.room(lane, pull.outstanding()).min(room.items_of(lane));
            let pulled = tokio::select! {
                pulled = pull.next(items) => pulled,
                () = shares.more(lane) => continue,
                () = stopping.cancelled() => {
                    // Executed now, they are handed back.
                    pull.close().await.into_iter().for_each(execute);
                    return None;
                }
            };
            match pulled {
                Pulled::Message(message) => {
                    room.pulled();
                    execute(message);
                    while let Some(message) = pull.ready() {
                        room.pulled();
                        execute(message);
                    }
                }
                Pulled::Nothing | Pulled::Silent => {}
                Pulled::Lost(reason) => return Some(reason),
            }
            patience.worked();
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
                    let functions = &self.executor.functions;
                    let keeps_time = |item: &Item| functions.keeps_time(&item.function);
                    for held in self.executor.hand.stuck(STUCK_GRACE, keeps_time) {
                        let executor = self.executor.clone();
                        running.spawn(async move { executor.give_up(&held).await });
                    }
                }
            }
        }
    }

    /// While the cache is short of room the lane of the oldest item goes first.
    async fn choose_first(&self) {
        let Executor { broker, room, .. } = &*self.executor;
        if !room.in_order() {
            return room.goes_first(None);
        }
        let ns = &broker.namespace;
        let (items, queue) = (ns.items_stream(), ns.queue_filter(&self.queue));
        if let Ok(oldest) = broker.first_message(&items, &queue).await {
            room.goes_first(oldest.and_then(|oldest| ns.parse_lane(&oldest.subject)));
        }
    }

    /// Looks how full the cache is, and whether a server answers at all; ends when either has
    /// been hopeless for too long.
    async fn watch_cache(&self) -> Error {
        let Executor { broker, room, hand, shares, settings, .. } = &*self.executor;
        let stream = broker.namespace.cache_stream();
        let mut patience = Patience::new(settings.patience);
        let mut told = Instant::now();
        loop {
            match broker.stream_info(&stream, None).await {
                Ok(info) => {
                    patience.worked();
                    let had_room = room.items() > 0;
                    room.look(&info, hand.len());
                    if had_room && room.items() == 0 {
                        tracing::warn!(bytes = info.state.bytes, "the cache is at its soft limit");
                    }
                    self.choose_first().await;
                    shares.look_again();
                }
                Err(error) => {
                    if let Err(error) = patience.failed(&format!("looking at {stream}"), error) {
                        return error;
                    }
                }
            }
            let waited = room.stuck_for();
            if waited > TELL_STUCK && told.elapsed() > TELL_STUCK {
                told = Instant::now();
                tracing::warn!(?waited, in_hand = hand.len(), "no outcome can be stored");
            }
            if waited > settings.patience {
                let what = format!("storing an outcome in {stream}");
                let reason = "it is full: raise assets.cache_max_bytes (jetiter init)".to_owned();
                return Error::GaveUp { what, waited, reason };
            }
            sleep(if room.items() < NEARLY_FULL { FULL_CHECK / 50 } else { FULL_CHECK }).await;
        }
    }
}

/// Workers never make their consumer: an autoscaler that waits for it would wait for them.
async fn ack_wait(broker: &Broker, queue: &Queue) -> Result<Duration, Error> {
    let (items, consumer) =
        (broker.namespace.items_stream(), broker.namespace.worker_consumer(queue, Lane::LAST));
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
