//! The bare loop and the engine in turns: what the engine costs.

use std::time::Duration;

use jetiter_config::names::GroupId;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::bare::{Bare, Round};
use super::engine::{Engine, Phases};
use super::figures::{Spread, Times, median, whole};
use super::machine::Machine;
use super::options::{Options, Work};
use super::phases::{HEADING, Rates, rates_row};
use super::stage::{Place, Stage};
use crate::cli::{Failure, output};

const ITEMS: u32 = 100_000;
const ROUNDS: u32 = 5;
/// Items of the first round, which is not counted.
const WARM_UP: u32 = 10_000;
/// How often the round trip of a publish is taken.
const ROUND_TRIPS: u32 = 200;

#[derive(Serialize)]
struct Measured {
    machine: Machine,
    round_trip_us: Times,
    items: u32,
    rounds: u32,
    bare: Spread,
    bare_submit: Spread,
    #[serde(flatten)]
    engine: Rates,
    ratio_of_medians: f64,
    ratio_of_bests: f64,
    /// The middle of the rounds' own ratios: what else the machine did in a round was there for both.
    ratio_in_rounds: f64,
}

pub(super) async fn run(options: &Options, stage: &Stage) -> Result<String, Failure> {
    let (items, rounds) = (options.items.unwrap_or(ITEMS), options.rounds.unwrap_or(ROUNDS));
    let (work, workers) = (options.work(), options.one_number_of_workers()?);
    let mut bare = Bare::start(stage, &work, workers, options.slots()).await?;
    let engine = Engine::start(stage, &work, workers, options.concurrency).await?;
    let warm_up = items.min(WARM_UP);
    bare.round(&work, warm_up).await?;
    engine.map(&work, warm_up).await?;
    let round_trip_us = round_trips(&bare.place, ROUND_TRIPS).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        theirs.push(bare.round(&work, items).await?);
        ours.push(engine.map(&work, items).await?);
        tell(round, rounds, items, theirs.last(), ours.last());
    }
    let machine = Machine::of(stage);
    let measured = Measured::of(machine, round_trip_us, items, &theirs, &ours);
    match options.json {
        true => Ok(json!({ "options": options.shown(&work), "measured": measured }).to_string()),
        false => Ok(measured.shown(options, &work)),
    }
}

fn tell(round: u32, rounds: u32, items: u32, bare: Option<&Round>, engine: Option<&Phases>) {
    if let (Some(bare), Some(engine)) = (bare, engine) {
        let rate = |time| whole(super::figures::rate(items, time));
        let (bare, engine) = (rate(bare.whole), rate(engine.whole));
        output::note(format!("round {round} of {rounds}: bare {bare}/s, engine {engine}/s"));
    }
}

/// How long one publish takes to be acknowledged, one at a time: to a stream as the items have it,
/// where nobody waits for it.
pub(super) async fn round_trip(place: &Place) -> Result<Duration, Failure> {
    let group = GroupId::random();
    let subject = place.broker.namespace.seal_subject(&group);
    let began = Instant::now();
    let stored = place.broker.store(subject, Default::default(), "1".into()).await;
    stored.map_err(|refusal| Failure::new(format!("a publish was refused: {refusal:?}")))?;
    Ok(began.elapsed())
}

async fn round_trips(place: &Place, count: u32) -> Result<Times, Failure> {
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(round_trip(place).await?);
    }
    Ok(Times::of(times))
}

impl Measured {
    fn of(
        machine: Machine,
        round_trip_us: Times,
        items: u32,
        bare: &[Round],
        engine: &[Phases],
    ) -> Measured {
        let seconds = |time: Duration| time.as_secs_f64();
        let pairs = bare.iter().zip(engine);
        let ratios = pairs.map(|(bare, engine)| seconds(bare.whole) / seconds(engine.whole));
        let limit = Spread::of(items, bare.iter().map(|round| round.whole));
        let ours = Rates::of(items, engine);
        Measured {
            machine,
            round_trip_us,
            items,
            rounds: engine.len() as u32,
            bare: limit,
            bare_submit: Spread::of(items, bare.iter().map(|round| round.submit)),
            ratio_of_medians: ours.engine.median / limit.median,
            ratio_of_bests: ours.engine.best / limit.best,
            ratio_in_rounds: median(ratios),
            engine: ours,
        }
    }

    fn shown(&self, options: &Options, work: &Work) -> String {
        let mut rows = vec![HEADING.map(str::to_owned).to_vec()];
        rows.push(rates_row("bare loop", &self.bare));
        rows.push(rates_row("  submit", &self.bare_submit));
        rows.extend(self.engine.rows("engine"));
        let table = output::table(&rows);
        let [p10, median, p90] = self.round_trip_us.cells();
        format!(
            "{}\n{}\nround trip of a publish: {median} (p10 {p10}, p90 {p90})\n\n{table}\n\n\
             engine / bare loop: {:.2} (medians), {:.2} (bests), {:.2} (median of the rounds)",
            self.machine.shown(),
            options.described(work, self.items, self.rounds),
            self.ratio_of_medians,
            self.ratio_of_bests,
            self.ratio_in_rounds,
        )
    }
}
