//! How long a small group takes behind a giant one in the same queue.

use std::time::Duration;

use clap::value_parser;
use jetiter_client::Client;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::engine::Engine;
use super::figures::{Times, micros, row, whole};
use super::latency::one;
use super::machine::Machine;
use super::options::{Options, Work};
use super::stage::Stage;
use crate::cli::{Failure, output};

const ITEMS: u32 = 10;
const SAMPLES: u32 = 20;
/// Groups that are not counted.
const WARM_UP: u32 = 5;
/// How long between two samples: they are to be spread over the giant.
const APART: Duration = Duration::from_millis(200);
/// How often the cache is looked at until the giant is being worked.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, clap::Args)]
pub(super) struct Args {
    /// Items of the giant group
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = value_parser!(u32).range(1..))]
    giant: u32,
}

#[derive(Serialize)]
struct Measured {
    machine: Machine,
    items: u32,
    giant: u32,
    alone_us: Times,
    behind_us: Times,
    behind_worst_us: f64,
    samples: usize,
    ratio: f64,
}

pub(super) async fn run(options: &Options, args: &Args, stage: &Stage) -> Result<String, Failure> {
    let (items, samples) = (options.items.unwrap_or(ITEMS), options.rounds.unwrap_or(SAMPLES));
    let (work, workers) = (options.work(), options.one_number_of_workers()?);
    let mut engine = Engine::start(stage, &work, workers, options.concurrency).await?;
    for _ in 0..WARM_UP {
        one(&engine, &work, items).await?;
    }
    let mut alone = Vec::new();
    for _ in 0..samples {
        alone.push(one(&engine, &work, items).await?);
    }
    engine.stop_workers();
    let mut behind = Vec::new();
    submit_giant(&engine, &work, args.giant).await?;
    let all = waiting(&engine).await?;
    for _ in 0..workers {
        engine.add_worker(stage, options.concurrency)?;
    }
    begun(&engine).await?;
    // The last sample may end after the giant, and has waited behind it nevertheless: but not one
    // that begins when only the last of it is in hand.
    loop {
        behind.push(one(&engine, &work, items).await?);
        if behind.len() == samples as usize || waiting(&engine).await? <= all / 20 {
            break;
        }
        sleep(APART).await;
    }
    let (alone_us, behind_us) = (Times::of(alone), Times::of(behind.iter().copied()));
    let measured = Measured {
        machine: Machine::of(stage),
        items,
        giant: args.giant,
        alone_us,
        behind_us,
        behind_worst_us: behind.iter().max().map_or(0.0, |worst| worst.as_secs_f64() * 1e6),
        samples: behind.len(),
        ratio: behind_us.median / alone_us.median,
    };
    match options.json {
        true => Ok(json!({ "options": options.shown(&work), "measured": measured }).to_string()),
        false => Ok(measured.shown(options, &work)),
    }
}

/// Publishes the giant while nobody works on it, so that all of it stands in front: over a connection
/// of its own, as another process would.
async fn submit_giant(engine: &Engine, work: &Work, items: u32) -> Result<(), Failure> {
    output::note(format!("publishing {} items", whole(f64::from(items))));
    let client = Client::connect(&engine.place.settings).await?;
    let arguments = (0..items).map(|index| work.argument(index));
    client.async_iter(work.function(), arguments, &work.to_submit()).await?;
    Ok(())
}

/// How many messages of items are left; between two samples they are all the giant's.
async fn waiting(engine: &Engine) -> Result<u64, Failure> {
    let broker = &engine.place.broker;
    let items = broker.stream_info(&broker.namespace.items_stream(), None).await?;
    Ok(items.state.messages)
}

/// Waits for the giant's first outcome.
async fn begun(engine: &Engine) -> Result<(), Failure> {
    let broker = &engine.place.broker;
    let cache = broker.namespace.cache_stream();
    let first = broker.stream_info(&cache, None).await?.state.last_seq;
    // Behind the giant's seal.
    while broker.stream_info(&cache, None).await?.state.last_seq < first + 2 {
        sleep(LOOK).await;
    }
    Ok(())
}

impl Measured {
    fn shown(&self, options: &Options, work: &Work) -> String {
        let times = |name: &str, times: &Times, worst: &str| {
            let [p10, median, p90] = times.cells();
            row([name, &median, &p10, &p90, worst])
        };
        let table = output::table(&[
            row(["TIME OF THE SMALL GROUP", "MEDIAN", "P10", "P90", "WORST"]),
            times("alone", &self.alone_us, ""),
            times("behind the giant", &self.behind_us, &micros(self.behind_worst_us)),
        ]);
        format!(
            "{}\n{}; {} of them behind a giant of {}\n\n{table}\n\nbehind / alone: {:.1}",
            self.machine.shown(),
            options.described(work, self.items, self.samples as u32),
            self.samples,
            whole(f64::from(self.giant)),
            self.ratio,
        )
    }
}
