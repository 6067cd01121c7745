//! Answers that are integers when all arguments are, and floats otherwise.

use super::arguments::{Arguments, MANY, Number};
use super::problem::{Problem, sound};
use super::{float, integer};

pub(super) type All = Arguments<0, MANY>;
pub(super) type TwoLists = Arguments<0, MANY, MANY, 2>;

/// To the nearest integer, or to so many digits. Halves go to the even side.
pub(super) fn round(x: &Arguments<1, 2, 1>) -> Result<Number, Problem> {
    let (number, digits) = (x.numbers()[0], x.numbers().get(1));
    let Some(digits) = digits.map(|digits| digits.count()) else {
        return integer::whole(number, f64::round_ties_even).map(Number::Integer);
    };
    match number {
        Number::Integer(_) if digits >= 0 => Ok(number),
        Number::Integer(integer) => {
            integer::round_to_zeros(integer, digits.unsigned_abs()).map(Number::Integer)
        }
        Number::Float(float) => {
            sound(&x.lists, float::round_to_digits(float, digits)).map(Number::Float)
        }
    }
}

/// The sum of all. That of floats is rounded once.
pub(super) fn sum(x: &All) -> Result<Number, Problem> {
    match x.integers() {
        Ok(integers) => exact(integers.into_iter().try_fold(0, i128::checked_add)),
        Err(_) => sound(&x.lists, float::fsum(x.floats())).map(Number::Float),
    }
}

/// The product of all.
pub(super) fn prod(x: &All) -> Result<Number, Problem> {
    match x.integers() {
        Ok(integers) if integers.contains(&0) => exact(Some(0)),
        Ok(integers) => exact(integers.into_iter().try_fold(1, i128::checked_mul)),
        Err(_) => sound(&x.lists, x.floats().into_iter().product()).map(Number::Float),
    }
}

/// The sum of the products of two lists.
pub(super) fn sumprod(x: &TwoLists) -> Result<Number, Problem> {
    let integers = pairs(x)?.map(|(p, q)| Ok((p.integer()?, q.integer()?)));
    match integers.collect::<Result<Vec<_>, Problem>>() {
        Ok(pairs) => exact(
            pairs.into_iter().try_fold(0, |sum: i128, (p, q)| sum.checked_add(p.checked_mul(q)?)),
        ),
        Err(_) => {
            let floats = pairs(x)?.map(|(p, q)| (p.float(), q.float()));
            sound(&x.lists, float::sum_of_products(floats)).map(Number::Float)
        }
    }
}

/// How far two points are apart.
pub(super) fn dist(x: &TwoLists) -> Result<f64, Problem> {
    let apart: Vec<f64> = pairs(x)?.map(|(p, q)| p.float() - q.float()).collect();
    sound(&x.lists, float::hypot(&apart))
}

/// Times 2 to a power.
pub(super) fn ldexp(x: &Arguments<2, 2, 1>) -> Result<f64, Problem> {
    // Every float is 0 or too large from here on.
    let power = x.numbers()[1].count().clamp(-3000, 3000) as i32;
    sound(&x.lists, libm::ldexp(x.numbers()[0].float(), power))
}

fn exact(integer: Option<i128>) -> Result<Number, Problem> {
    integer.map(Number::Integer).ok_or(Problem::TooLarge)
}

fn pairs(x: &TwoLists) -> Result<impl Iterator<Item = (Number, Number)>, Problem> {
    let (p, q) = (&x.lists[0], &x.lists[1]);
    if p.len() != q.len() {
        return Err(Problem::UnequalLists);
    }
    Ok(p.iter().copied().zip(q.iter().copied()))
}
