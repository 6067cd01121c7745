//! The processes of the bare loop besides the one that publishes: a worker and a follower. They
//! end when standard input does, which is when the benchmark ends, however it ends.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::{Message, Subject};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jetiter_config::broker::Broker;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Entry, ItemId};
use jetiter_config::wire::{self, Run};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use super::pipeline::Pipeline;
use super::reader::Reader;
use crate::cli::{Exit, Failure, Global, log, output};

/// Outcomes on their way.
const WINDOW: usize = 1000;
/// Messages asked for at once.
const BATCH: usize = 4096;
/// Bytes asked for at once.
const BATCH_BYTES: usize = 16 << 20;

/// A process of the benchmark's bare loop; not for use by hand
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(clap::Subcommand)]
enum Role {
    /// Pull items, write their outcomes, acknowledge them
    Work(Cost),
    /// Follow the log; each line of input is a number of outcomes to be seen and told
    Follow,
}

/// What the function costs; it returns its argument as it came.
#[derive(Clone, clap::Args)]
struct Cost {
    #[arg(long, default_value_t = 0)]
    sleep_us: u64,
    #[arg(long, default_value_t = 0)]
    spin_us: u64,
    #[arg(long, default_value_t = 0)]
    payload: usize,
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::QUIET)?;
    let broker = Broker::connect(&settings, "jetiter bench: bare").await?;
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let ended = async {
        match args.role {
            Role::Work(cost) => {
                tokio::select! {
                    ended = work(&broker, &cost) => ended,
                    ended = input.next_line() => Ok(ended.map(drop)?),
                }
            }
            Role::Follow => follow(&broker, &mut input).await,
        }
    };
    ended.await.map(|()| Exit::Done)
}

async fn work(broker: &Broker, cost: &Cost) -> Result<(), Failure> {
    let ns = &broker.namespace;
    let items = ns.items_stream();
    let mut reader = Reader::open(&broker.client, &items, super::CONSUMER, cost.batch()).await?;
    let mut outcomes = Pipeline::open(&broker.client, WINDOW).await?;
    let mut running = FuturesUnordered::new();
    output::line("ready")?;
    loop {
        let room = !outcomes.is_full() && running.len() < cost.concurrency;
        tokio::select! {
            biased;
            reply = outcomes.next(), if outcomes.in_flight() > 0 => {
                let reply: Subject = reply?;
                broker.client.publish(reply, "+ACK".into()).await?;
            }
            Some(ran) = running.next() => put(broker, &mut outcomes, ran?).await?,
            message = reader.next(), if room => match cost.is_nothing() {
                true => put(broker, &mut outcomes, message?).await?,
                false => running.push(tokio::spawn(cost.clone().pay(message?))),
            },
        }
    }
}

/// Writes the outcome of an item, which is its argument.
async fn put(
    broker: &Broker,
    outcomes: &mut Pipeline<Subject>,
    message: Message,
) -> Result<(), Failure> {
    let ns = &broker.namespace;
    let odd = || Failure::new(format!("{} is no item of the bare loop", message.subject));
    let work = ns.parse_work(&message.subject).ok_or_else(odd)?;
    let index = wire::header(message.headers.as_ref(), wire::INDEX);
    let id = index.and_then(ItemId::index).ok_or_else(odd)?;
    let subject = ns.entry_subject(work.group, Entry::Outcome(id));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = now.as_millis() as u64;
    let run = Run { attempts: 1, started, took: 1, worker: "bare-loop-0000".to_owned() };
    let headers = wire::outcome_headers(Encoding::Cbor, &run, false);
    let reply = message.reply.clone().ok_or_else(odd)?;
    outcomes.send(subject, headers, message.payload, reply).await
}

impl Cost {
    fn is_nothing(&self) -> bool {
        self.sleep_us == 0 && self.spin_us == 0
    }

    /// Who takes long should not sit on what others could run.
    fn batch(&self) -> usize {
        let most = (BATCH_BYTES / (self.payload + 512)).clamp(1, BATCH);
        if self.is_nothing() { most } else { most.min(4 * self.concurrency).max(2) }
    }

    async fn pay(self, message: Message) -> Message {
        if self.sleep_us > 0 {
            tokio::time::sleep(Duration::from_micros(self.sleep_us)).await;
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(self.spin_us) {
            std::hint::spin_loop();
        }
        message
    }
}

async fn follow(broker: &Broker, input: &mut Lines<BufReader<Stdin>>) -> Result<(), Failure> {
    let ns = &broker.namespace;
    let config = pull::Config {
        filter_subject: ns.cache_filter(),
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: Duration::from_secs(60),
        ..pull::Config::default()
    };
    let cache = ns.cache_stream();
    let stream = broker.jetstream.get_stream_no_info(&cache).await?;
    let consumer = stream.create_consumer(config).await?;
    let name = &consumer.cached_info().name;
    let mut reader = Reader::open(&broker.client, &cache, name, BATCH).await?;
    output::line("ready")?;
    while let Some(line) = input.next_line().await? {
        let wanted: u64 = line.parse()?;
        for _ in 0..wanted {
            reader.next().await?;
        }
        output::line(line)?;
    }
    Ok(())
}
