//! What many measurements come to, and how a person reads it.

use std::time::Duration;

use serde::Serialize;

/// The best, the middle and the worst of some rates, in items a second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) best: f64,
    pub(super) median: f64,
    pub(super) worst: f64,
}

impl Spread {
    /// Of so many items in each of these times.
    pub(super) fn of(items: u32, times: impl IntoIterator<Item = Duration>) -> Spread {
        let rates = times.into_iter().map(|time| rate(items, time)).collect();
        let rates = sorted(rates);
        let (worst, best) = (rates.first().copied(), rates.last().copied());
        Spread {
            best: best.unwrap_or_default(),
            median: at(&rates, 0.5),
            worst: worst.unwrap_or_default(),
        }
    }

    pub(super) fn cells(&self) -> [String; 3] {
        [self.best, self.median, self.worst].map(whole)
    }
}

/// How long something takes, in microseconds: nine of ten take longer than `p10`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Times {
    pub(super) p10: f64,
    pub(super) median: f64,
    pub(super) p90: f64,
}

impl Times {
    pub(super) fn of(times: impl IntoIterator<Item = Duration>) -> Times {
        let times = times.into_iter().map(|time| time.as_secs_f64() * 1e6).collect();
        let times = sorted(times);
        Times { p10: at(&times, 0.1), median: at(&times, 0.5), p90: at(&times, 0.9) }
    }

    pub(super) fn cells(&self) -> [String; 3] {
        [self.p10, self.median, self.p90].map(micros)
    }
}

/// Items a second; what took no time that a clock shows took half a millisecond.
pub(super) fn rate(items: u32, time: Duration) -> f64 {
    f64::from(items) / time.as_secs_f64().max(0.0005)
}

pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    at(&sorted(values.into_iter().collect()), 0.5)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The value at a share of the way from the least to the greatest, between two where it falls there.
fn at(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = share * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// A whole number with its thousands apart.
pub(super) fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn micros(micros: f64) -> String {
    match micros {
        m if m < 10_000.0 => format!("{:.2} ms", m / 1e3),
        m if m < 1e6 => format!("{:.0} ms", m / 1e3),
        m => format!("{:.2} s", m / 1e6),
    }
}

pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

pub(super) fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// One row of a table.
pub(super) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }

    #[test]
    fn the_quickest_round_is_the_best() {
        let spread = Spread::of(10, [2, 1, 5].map(Duration::from_secs));
        assert_eq!((spread.best, spread.median, spread.worst), (10.0, 5.0, 2.0));
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0.4, 999.0, 1e3, 1_234_567.0].map(whole));
    }
}
