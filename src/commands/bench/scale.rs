//! What more workers bring, with a function that takes time without the processor.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::engine::Engine;
use super::figures::{Spread, percent, row};
use super::machine::Machine;
use super::options::{Options, Work};
use super::stage::Stage;
use crate::cli::{Failure, output};

const WORKERS: [u32; 4] = [1, 2, 4, 8];
const SLOTS: usize = 2;
const ROUNDS: u32 = 3;
const SLEEP: Duration = Duration::from_millis(1);
/// How long a step lasts where no number of items is named: the tail must not count.
const LASTS: Duration = Duration::from_secs(4);
/// What an item takes besides its function, for that.
const BESIDES: Duration = Duration::from_micros(700);
/// Items of a group before it, which is not counted.
const WARM_UP: u32 = 100;

/// One number of workers.
#[derive(Serialize)]
struct Step {
    workers: u32,
    items: u32,
    rate: Spread,
    /// How many times the rate of the first step.
    times: f64,
    /// The same as a share of what as many times the workers could bring.
    of_ideal: f64,
}

pub(super) async fn run(options: &Options, stage: &Stage) -> Result<String, Failure> {
    let work = match options.work() {
        work if work.costs() => work,
        _ => Work::sleeping(SLEEP),
    };
    let numbers = match &options.workers[..] {
        [] => WORKERS.to_vec(),
        numbers => numbers.to_vec(),
    };
    let slots = options.concurrency.unwrap_or(SLOTS);
    let mut times = vec![Vec::new(); numbers.len()];
    let rounds = options.rounds.unwrap_or(ROUNDS);
    for round in 1..=rounds {
        for (workers, times) in numbers.iter().zip(&mut times) {
            let items = options.items.unwrap_or_else(|| enough(&work, *workers, slots));
            let engine = Engine::start(stage, &work, *workers, Some(slots)).await?;
            engine.map(&work, WARM_UP.min(items) * workers).await?;
            let took = engine.map(&work, items).await?.whole;
            engine.end().await;
            let rate = super::figures::rate(items, took);
            output::note(format!("round {round} of {rounds}, {workers} worker(s): {rate:.0}/s"));
            times.push((items, took));
        }
    }
    let steps = steps(&numbers, &times);
    let machine = Machine::of(stage);
    if options.json {
        let steps = json!({ "machine": machine, "steps": steps, "rounds": rounds });
        let options = json!({ "work": work.shown(), "concurrency": slots });
        return Ok(json!({ "options": options, "measured": steps }).to_string());
    }
    let mut rows = vec![row(["WORKERS", "ITEMS", "BEST", "MEDIAN", "WORST", "TIMES", "OF IDEAL"])];
    for Step { workers, items, rate, times, of_ideal } in &steps {
        let [best, median, worst] = rate.cells();
        let (workers, items) = (workers.to_string(), items.to_string());
        let (times, of_ideal) = (format!("{times:.2}"), percent(*of_ideal));
        rows.push(row([&workers, &items, &best, &median, &worst, &times, &of_ideal]));
    }
    Ok(format!(
        "{}\n{}; {slots} slots a worker; items a second in {rounds} rounds\n\n{}",
        machine.shown(),
        work.described(),
        output::table(&rows)
    ))
}

fn enough(work: &Work, workers: u32, slots: usize) -> u32 {
    let one = work.takes() + BESIDES;
    let items = f64::from(workers) * slots as f64 * LASTS.as_secs_f64() / one.as_secs_f64();
    // `as` stays within the type.
    (items as u32).max(1)
}

fn steps(numbers: &[u32], times: &[Vec<(u32, Duration)>]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (workers, times) in numbers.iter().zip(times) {
        let items = times.first().map_or(0, |(items, _)| *items);
        let rate = Spread::of(items, times.iter().map(|(_, time)| *time));
        let (first, base) =
            steps.first().map_or((*workers, rate.median), |s| (s.workers, s.rate.median));
        let times = rate.median / base;
        let of_ideal = times * f64::from(first) / f64::from(*workers);
        steps.push(Step { workers: *workers, items, rate, times, of_ideal });
    }
    steps
}
