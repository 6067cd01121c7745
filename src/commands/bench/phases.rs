//! Where the engine's time goes, over several rounds.

use std::time::Duration;

use serde::Serialize;

use super::engine::Phases;
use super::figures::{Spread, median, micros, percent, row, whole};

/// What takes less than a millisecond has no rate, in items a second for each item.
const AT_ONCE: f64 = 1000.0;

/// The columns of every table of rates.
pub(super) const HEADING: [&str; 6] =
    ["ITEMS A SECOND", "BEST", "MEDIAN", "WORST", "TIME", "PART OF THE WHOLE"];

/// A phase: its rates, and how much of the whole time it takes. Phases overlap.
#[derive(Serialize)]
struct Phase {
    #[serde(skip)]
    items: u32,
    rate: Spread,
    median_ms: f64,
    part: f64,
}

/// The rates of the whole way and of each phase.
#[derive(Serialize)]
pub(super) struct Rates {
    pub(super) engine: Spread,
    submit: Phase,
    execute: Phase,
    collate: Phase,
    purge: Phase,
}

impl Rates {
    pub(super) fn of(items: u32, rounds: &[Phases]) -> Rates {
        let seconds = |time: Duration| time.as_secs_f64();
        let phase = |time: fn(&Phases) -> Duration| Phase {
            items,
            rate: Spread::of(items, rounds.iter().map(time)),
            median_ms: median(rounds.iter().map(|round| seconds(time(round)) * 1e3)),
            part: median(rounds.iter().map(|round| seconds(time(round)) / seconds(round.whole))),
        };
        Rates {
            engine: Spread::of(items, rounds.iter().map(|round| round.whole)),
            submit: phase(|round| round.submit),
            execute: phase(|round| round.execute),
            collate: phase(|round| round.collate),
            purge: phase(|round| round.purge),
        }
    }

    /// The rows of a table, the whole way under this name.
    pub(super) fn rows(&self, name: &str) -> Vec<Vec<String>> {
        vec![
            rates_row(name, &self.engine),
            self.submit.row("  submit"),
            self.execute.row("  execute"),
            self.collate.row("  collate"),
            self.purge.row("  purge (behind)"),
        ]
    }
}

impl Phase {
    fn row(&self, name: &str) -> Vec<String> {
        let (time, part) = (micros(self.median_ms * 1e3), percent(self.part));
        let Spread { best, median, worst } = self.rate;
        let [best, median, worst] = [best, median, worst].map(|rate| self.cell(rate));
        row([name, &best, &median, &worst, &time, &part])
    }

    fn cell(&self, rate: f64) -> String {
        match rate > f64::from(self.items) * AT_ONCE {
            true => "at once".to_owned(),
            false => whole(rate),
        }
    }
}

/// A row without a time of its own.
pub(super) fn rates_row(name: &str, rate: &Spread) -> Vec<String> {
    let [best, median, worst] = rate.cells();
    row([name, &best, &median, &worst, "", ""])
}
