//! Answers that are floats, where neither std nor libm has them as Python does.

use super::problem::Problem;

/// NaN, and so a domain error, where `function` has a pole: `log(0)`, `atanh(1)`, `gamma(-2)`.
/// Another infinity is an overflow.
pub(super) fn but_for_poles(function: fn(f64) -> f64, x: f64) -> f64 {
    let answer = function(x);
    let pole = answer.is_infinite() && x <= 1.0 && x.trunc() == x;
    if pole && x.is_finite() { f64::NAN } else { answer }
}

/// The logarithm to the base that comes second, e when none does.
pub(super) fn log(x: &[f64]) -> f64 {
    let mut logs = x.iter().map(|x| but_for_poles(f64::ln, *x));
    let (log, base) = (logs.next().unwrap_or(f64::NAN), logs.next().unwrap_or(1.0));
    if base == 0.0 { f64::NAN } else { log / base }
}

pub(super) fn pow(x: f64, y: f64) -> f64 {
    // C's pow calls it a pole, Python a domain error.
    if x == 0.0 && y < 0.0 && y.is_finite() { f64::NAN } else { x.powf(y) }
}

/// How far it is to the next float.
pub(super) fn ulp(x: f64) -> f64 {
    let x = x.abs();
    if x == f64::MAX {
        x - x.next_down()
    } else if x.is_finite() {
        x.next_up() - x
    } else {
        x
    }
}

/// Whether a and b are close to each other, with a relative tolerance third and an absolute one
/// fourth.
pub(super) fn is_close(x: &[f64]) -> Result<bool, Problem> {
    let (a, b) = (x[0], x[1]);
    let (relative, absolute) = (x.get(2).unwrap_or(&1e-9), x.get(3).unwrap_or(&0.0));
    if *relative < 0.0 || *absolute < 0.0 {
        return Err(Problem::Domain);
    }
    let finite = a.is_finite() && b.is_finite();
    let near = (a - b).abs() <= absolute.max(relative * a.abs().max(b.abs()));
    Ok(a == b || (finite && near))
}

/// The sum without loss: rounded once, at its end. The same bits as Python's.
pub(super) fn fsum(floats: impl IntoIterator<Item = f64>) -> f64 {
    let mut special = 0.0;
    // Shewchuk's partial sums: they grow in size, no two overlap, and together are the exact sum.
    let mut partials: Vec<f64> = Vec::new();
    for mut x in floats {
        if !x.is_finite() {
            special += x;
            continue;
        }
        let mut kept = 0;
        for at in 0..partials.len() {
            let (sum, lost) = exact_sum(x, partials[at]);
            if lost != 0.0 {
                partials[kept] = lost;
                kept += 1;
            }
            x = sum;
        }
        partials.truncate(kept);
        if x.is_infinite() {
            return x;
        }
        partials.push(x);
    }
    if special == 0.0 { rounded(partials) } else { special }
}

/// The sum of floats, and what it lost.
fn exact_sum(x: f64, y: f64) -> (f64, f64) {
    let (large, small) = if x.abs() < y.abs() { (y, x) } else { (x, y) };
    let sum = large + small;
    (sum, small - (sum - large))
}

fn rounded(mut partials: Vec<f64>) -> f64 {
    let (mut sum, mut lost) = (partials.pop().unwrap_or(0.0), 0.0);
    while lost == 0.0 {
        let Some(partial) = partials.pop() else {
            return sum;
        };
        (sum, lost) = exact_sum(sum, partial);
    }
    // The sum was a tie and went to the even side; what is left may say that it is no tie.
    let next = partials.last().copied().unwrap_or(0.0);
    let same_side = next != 0.0 && (next > 0.0) == (lost > 0.0);
    let further = sum + lost * 2.0;
    if same_side && further - sum == lost * 2.0 { further } else { sum }
}

/// The sum of the products, rounded once.
pub(super) fn sum_of_products(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    fsum(pairs.flat_map(|(x, y)| {
        let product = x * y;
        [product, if product.is_finite() { x.mul_add(y, -product) } else { 0.0 }]
    }))
}

/// The length of the vector with these coordinates.
pub(super) fn hypot(x: &[f64]) -> f64 {
    if x.iter().any(|x| x.is_infinite()) {
        return f64::INFINITY;
    }
    // Scaled, so that no square is over the largest float.
    let largest = x.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let (_, exponent) = libm::frexp(largest);
    let scaled = x.iter().map(|x| libm::ldexp(*x, -exponent)).map(|x| (x, x));
    libm::ldexp(sum_of_products(scaled).sqrt(), exponent)
}

/// Rounds to so many decimal digits, to the even side of an exact tie.
pub(super) fn round_to_digits(x: f64, digits: i128) -> f64 {
    /// The longest float has 767 of them.
    const ALL: usize = 780;
    if !x.is_finite() || x == 0.0 {
        return x;
    }
    let exact = format!("{:.ALL$e}", x.abs());
    let (mantissa, exponent) = exact.split_once('e').unwrap_or((&exact, "0"));
    let exponent = exponent.parse::<i128>().unwrap_or(0);
    let kept = exponent.saturating_add(digits);
    let rounded = match usize::try_from(kept) {
        Ok(kept) => format!("{:.*e}", kept.min(ALL), x.abs()),
        Err(_) if kept == -1 && *mantissa > *format!("5.{:0ALL$}", 0) => {
            format!("1e{}", exponent + 1)
        }
        Err(_) => "0".to_owned(),
    };
    rounded.parse::<f64>().unwrap_or(f64::NAN).copysign(x)
}
