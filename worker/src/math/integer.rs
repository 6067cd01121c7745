//! Answers that are integers: exact, or refused when they need more than 128 bits.

use super::arguments::Number;
use super::problem::Problem;

/// What is left of a float when `whole` has made it whole. An integer is whole.
pub(super) fn whole(number: Number, whole: fn(f64) -> f64) -> Result<i128, Problem> {
    const OVER: f64 = -(i128::MIN as f64);
    match number {
        Number::Integer(integer) => Ok(integer),
        Number::Float(float) if !float.is_finite() => Err(Problem::Domain),
        Number::Float(float) if (-OVER..OVER).contains(&float) => Ok(whole(float) as i128),
        Number::Float(_) => Err(Problem::TooLarge),
    }
}

/// Rounds to the nearest multiple of 10^`zeros`; halves go to the even one.
pub(super) fn round_to_zeros(integer: i128, zeros: u128) -> Result<i128, Problem> {
    let unit = u32::try_from(zeros).ok().and_then(|zeros| 10_i128.checked_pow(zeros));
    let Some(unit) = unit else {
        // Half of 10^39 is over the largest integer there is.
        return Ok(0);
    };
    let (below, rest) = (integer.div_euclid(unit), integer.rem_euclid(unit));
    let up = rest > unit - rest || (rest == unit - rest && below % 2 != 0);
    let rounded = (below + i128::from(up)).checked_mul(unit);
    rounded.ok_or(Problem::TooLarge)
}

/// The greatest common divisor of all; 0 when there are none.
pub(super) fn gcd(integers: &[i128]) -> Result<u128, Problem> {
    Ok(integers.iter().fold(0, |divisor, integer| gcd_of_two(divisor, integer.unsigned_abs())))
}

fn gcd_of_two(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The least common multiple of all; 1 when there are none.
pub(super) fn lcm(integers: &[i128]) -> Result<u128, Problem> {
    if integers.contains(&0) {
        return Ok(0);
    }
    let multiple = integers.iter().map(|integer| integer.unsigned_abs()).try_fold(1, |a, b| {
        let divisor: u128 = gcd_of_two(a, b);
        (a / divisor).checked_mul(b)
    });
    multiple.ok_or(Problem::TooLarge)
}

/// The largest integer whose square is not over n.
pub(super) fn isqrt(integers: &[i128]) -> Result<u128, Problem> {
    Ok(natural(integers[0])?.isqrt())
}

/// How many ways there are to choose k of n in order; all n, and so n
/// factorial, when there is no k.
pub(super) fn perm(integers: &[i128]) -> Result<u128, Problem> {
    let n = natural(integers[0])?;
    let k = integers.get(1).map_or(Ok(n), |k| natural(*k))?;
    if k > n {
        return Ok(0);
    }
    // Over 128 bits after 34 factors or so: no argument makes it long.
    let ways = (n - k + 1..=n).rev().try_fold(1_u128, u128::checked_mul);
    ways.ok_or(Problem::TooLarge)
}

/// How many ways there are to choose k of n without order.
pub(super) fn comb(integers: &[i128]) -> Result<u128, Problem> {
    let (n, k) = (natural(integers[0])?, natural(integers[1])?);
    if k > n {
        return Ok(0);
    }
    // The ways grow with every step up to n / 2, so the first that is too large ends it, after
    // 128 steps or so.
    let ways = (1..=k.min(n - k)).try_fold(1_u128, |ways, step| {
        let factor = n - step + 1;
        let shared = gcd_of_two(factor, step);
        (ways / (step / shared)).checked_mul(factor / shared)
    });
    ways.ok_or(Problem::TooLarge)
}

fn natural(integer: i128) -> Result<u128, Problem> {
    u128::try_from(integer).map_err(|_| Problem::Domain)
}
