//! Rate and memory against the number of items.

use std::path::PathBuf;
use std::time::Duration;

use clap::value_parser;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::chart::{self, Point};
use super::engine::{Engine, Phases};
use super::figures::{median, mib, row, whole};
use super::machine::{Machine, forget_peak, peak_memory};
use super::options::{Options, Work};
use super::stage::{Place, Stage};
use crate::cli::{Failure, output};

/// How often a step is measured at most.
const ROUNDS: u32 = 5;
/// A step that has taken so long is not repeated.
const ENOUGH: Duration = Duration::from_secs(5);
/// How often the server is asked what it holds.
const LOOK: Duration = Duration::from_millis(50);
/// With fewer items a look may miss most of them.
const SEEN: u32 = 10_000;
/// The two steps that are compared: a rate that falls between them is no straight line.
const COMPARED: [u32; 2] = [10_000, 1_000_000];

#[derive(clap::Args)]
pub(super) struct Args {
    /// Items of the first step
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    from: u32,
    /// Items of the last step; each step has ten times those of the one before
    #[arg(long, value_name = "N", default_value_t = 10_000_000,
        value_parser = value_parser!(u32).range(1..))]
    to: u32,
    /// Write a chart of rate and memory, SVG
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
}

/// One number of items.
#[derive(Clone, Serialize)]
struct Step {
    items: u32,
    rounds: usize,
    /// Items a second, the median.
    rate: f64,
    /// The most memory of the collator and of the submitter.
    collator_bytes: u64,
    submitter_bytes: u64,
    /// The most that the streams held at once, by item; none where it was over too soon.
    stored_bytes_per_item: Option<f64>,
}

pub(super) async fn run(options: &Options, args: &Args, stage: &Stage) -> Result<String, Failure> {
    if args.from > args.to {
        return Err(Failure::new(format!("--from {} is more than --to {}", args.from, args.to)));
    }
    // Now, not after the hour that it may take.
    if let Some(path) = &args.chart {
        write(path, "")?;
    }
    let (work, workers) = (options.work(), options.one_number_of_workers()?);
    let mut steps = Vec::new();
    for items in numbers(args.from, args.to) {
        let engine = Engine::start(stage, &work, workers, options.concurrency).await?;
        // The first group of a worker waits for its start.
        engine.map(&work, 1).await?;
        let step = step(&engine, &work, items, options.rounds.unwrap_or(ROUNDS)).await?;
        engine.end().await;
        output::note(format!("{} items: {}/s", whole(f64::from(items)), whole(step.rate)));
        steps.push(step);
    }
    if let Some(path) = &args.chart {
        let points = steps.iter().map(Step::point).collect::<Vec<_>>();
        write(path, &chart::svg(&points)?)?;
    }
    let machine = Machine::of(stage);
    let compared = Compared::of(&steps);
    if options.json {
        let measured = json!({ "machine": machine, "steps": steps, "compared": compared });
        return Ok(json!({ "options": options.shown(&work), "measured": measured }).to_string());
    }
    let compared = compared.map_or_else(String::new, |compared| compared.shown());
    let table = table(&steps);
    Ok(format!("{}\n{}\n\n{table}{compared}", machine.shown(), work.described()))
}

/// Ten times as many each time; the last one in any case.
fn numbers(from: u32, to: u32) -> Vec<u32> {
    let next = |items: &u32| items.checked_mul(10);
    let mut numbers: Vec<u32> =
        std::iter::successors(Some(from), next).take_while(|items| *items < to).collect();
    numbers.push(to);
    numbers
}

async fn step(engine: &Engine, work: &Work, items: u32, most: u32) -> Result<Step, Failure> {
    let mut rounds: Vec<Phases> = Vec::new();
    let mut stored = 0;
    while rounds.len() < most as usize
        && rounds.iter().map(|round| round.whole).sum::<Duration>() < ENOUGH
    {
        forget_peak();
        tokio::select! {
            round = engine.map(work, items) => rounds.push(round?),
            error = watch(&engine.place, &mut stored) => return Err(error),
        }
    }
    let per_item = stored as f64 / f64::from(items);
    Ok(Step {
        items,
        rounds: rounds.len(),
        rate: median(rounds.iter().map(|round| super::figures::rate(items, round.whole))),
        collator_bytes: peak_memory(&engine.collator.pid.to_string()),
        submitter_bytes: rounds.iter().map(|round| round.submitter_bytes).max().unwrap_or(0),
        stored_bytes_per_item: (items >= SEEN).then_some(per_item),
    })
}

/// Keeps the most bytes that the streams ever held; ends only with an error.
async fn watch(place: &Place, most: &mut u64) -> Failure {
    let broker = &place.broker;
    loop {
        let mut held = 0;
        for stream in place.topology().streams() {
            match broker.stream_info(&stream.name, None).await {
                Ok(info) => held += info.state.bytes,
                // Busy: what it held a moment ago was no more.
                Err(error) if error.may_pass() => {}
                Err(error) => return error.into(),
            }
        }
        *most = held.max(*most);
        sleep(LOOK).await;
    }
}

fn write(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(format!("{} can't be written: {error}", path.display())))
}

impl Step {
    fn point(&self) -> Point {
        Point {
            items: f64::from(self.items),
            rate: self.rate,
            memory: [self.collator_bytes, self.submitter_bytes],
        }
    }
}

fn table(steps: &[Step]) -> String {
    let mut rows = vec![row([
        "ITEMS",
        "ITEMS A SECOND",
        "ROUNDS",
        "COLLATOR",
        "SUBMITTER",
        "STORED BYTES AN ITEM",
    ])];
    for step in steps {
        let (items, rate) = (whole(f64::from(step.items)), whole(step.rate));
        let (collator, submitter) = (mib(step.collator_bytes), mib(step.submitter_bytes));
        let (stored, rounds) = (step.stored_bytes_per_item.map(whole), step.rounds.to_string());
        let stored = stored.unwrap_or_default();
        rows.push(row([&items, &rate, &rounds, &collator, &submitter, &stored]));
    }
    output::table(&rows)
}

/// A large group against one of a hundredth.
#[derive(Serialize)]
struct Compared {
    rate: f64,
    collator_bytes: i64,
}

impl Compared {
    fn of(steps: &[Step]) -> Option<Compared> {
        let [few, many] = COMPARED.map(|items| steps.iter().find(|step| step.items == items));
        let (few, many) = (few?, many?);
        Some(Compared {
            rate: many.rate / few.rate,
            collator_bytes: many.collator_bytes as i64 - few.collator_bytes as i64,
        })
    }

    fn shown(&self) -> String {
        let [few, many] = COMPARED.map(|items| whole(f64::from(items)));
        let more = self.collator_bytes as f64 / f64::from(1 << 20);
        format!(
            "\n\n{many} items against {few}: {:.2} times the rate, {more:+.1} MiB in the collator",
            self.rate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_by_ten_and_end_at_the_last_one() {
        assert_eq!(numbers(1, 1000), [1, 10, 100, 1000]);
        assert_eq!(numbers(3, 50), [3, 30, 50]);
        assert_eq!(numbers(7, 7), [7]);
        assert_eq!(numbers(1_000_000_000, u32::MAX), [1_000_000_000, u32::MAX]);
    }
}
