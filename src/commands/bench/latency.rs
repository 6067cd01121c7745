//! How long one small group takes, in round trips of a publish.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::engine::{Engine, check};
use super::figures::{Times, row};
use super::machine::Machine;
use super::options::{Options, Work};
use super::stage::Stage;
use super::turns::round_trip;
use crate::cli::{Failure, output};

const ITEMS: u32 = 1;
const GROUPS: u32 = 200;
/// Groups that are not counted.
const WARM_UP: u32 = 20;

#[derive(Serialize)]
struct Measured {
    machine: Machine,
    items: u32,
    groups: u32,
    round_trip_us: Times,
    group_us: Times,
    in_round_trips: f64,
}

pub(super) async fn run(options: &Options, stage: &Stage) -> Result<String, Failure> {
    let (items, groups) = (options.items.unwrap_or(ITEMS), options.rounds.unwrap_or(GROUPS));
    let work = options.work();
    let probe = stage.namespace().await?;
    probe.make().await?;
    let workers = options.one_number_of_workers()?;
    let engine = Engine::start(stage, &work, workers, options.concurrency).await?;
    for _ in 0..WARM_UP {
        round_trip(&probe).await?;
        one(&engine, &work, items).await?;
    }
    let (mut publishes, mut times) = (Vec::new(), Vec::new());
    for _ in 0..groups {
        publishes.push(round_trip(&probe).await?);
        times.push(one(&engine, &work, items).await?);
    }
    let (round_trip_us, group_us) = (Times::of(publishes), Times::of(times));
    let in_round_trips = group_us.median / round_trip_us.median;
    let machine = Machine::of(stage);
    let measured = Measured { machine, items, groups, round_trip_us, group_us, in_round_trips };
    match options.json {
        true => Ok(json!({ "options": options.shown(&work), "measured": measured }).to_string()),
        false => Ok(measured.shown(options, &work)),
    }
}

/// The time of a group from the call to its values in hand.
pub(super) async fn one(engine: &Engine, work: &Work, items: u32) -> Result<Duration, Failure> {
    let began = Instant::now();
    let group = engine.submit(work, items).await?;
    let raw = engine.list(&group).await?;
    check(&raw, items)?;
    Ok(began.elapsed())
}

impl Measured {
    fn shown(&self, options: &Options, work: &Work) -> String {
        let times = |name: &str, times: &Times| {
            let [p10, median, p90] = times.cells();
            row([name, &median, &p10, &p90])
        };
        let table = output::table(&[
            row(["TIME", "MEDIAN", "P10", "P90"]),
            times("a publish, acknowledged", &self.round_trip_us),
            times("a group, submit to value in hand", &self.group_us),
        ]);
        format!(
            "{}\n{}\n\n{table}\n\nin publish round trips: {:.1}",
            self.machine.shown(),
            options.described(work, self.items, self.groups),
            self.in_round_trips,
        )
    }
}
