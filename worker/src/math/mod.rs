//! The stock `math.*` functions: Python's `math` module, and its `round` and `sum`.

mod arguments;
mod float;
mod integer;
mod number;
mod problem;
#[cfg(test)]
mod tests;

use std::mem::take;

use serde::Serialize;

use crate::functions::Functions;
use crate::handler::Context;
use arguments::{Arguments, MANY, Number};
use float::but_for_poles;
use problem::{Problem, sound};

/// Functions by name.
type Table<F> = &'static [(&'static str, F)];

const OF_ONE: Table<fn(f64) -> f64> = &[
    ("acos", f64::acos),
    ("acosh", libm::acosh),
    ("asin", f64::asin),
    ("asinh", libm::asinh),
    ("atan", f64::atan),
    ("cbrt", f64::cbrt),
    ("cos", f64::cos),
    ("cosh", f64::cosh),
    ("degrees", f64::to_degrees),
    ("erf", libm::erf),
    ("erfc", libm::erfc),
    ("exp", f64::exp),
    ("exp2", f64::exp2),
    ("expm1", f64::exp_m1),
    ("fabs", f64::abs),
    ("radians", f64::to_radians),
    ("sin", f64::sin),
    ("sinh", f64::sinh),
    ("sqrt", f64::sqrt),
    ("tan", f64::tan),
    ("tanh", f64::tanh),
    ("ulp", float::ulp),
    ("atanh", |x| but_for_poles(libm::atanh, x)),
    ("gamma", |x| but_for_poles(libm::tgamma, x)),
    ("lgamma", |x| but_for_poles(libm::lgamma, x)),
    ("log10", |x| but_for_poles(f64::log10, x)),
    ("log1p", |x| but_for_poles(f64::ln_1p, x)),
    ("log2", |x| but_for_poles(f64::log2, x)),
];

const OF_TWO: Table<fn(f64, f64) -> f64> = &[
    ("atan2", f64::atan2),
    ("copysign", f64::copysign),
    ("fmod", |x, y| x % y),
    ("nextafter", libm::nextafter),
    ("pow", float::pow),
    ("remainder", libm::remainder),
];

/// The stock functions: what Python's `math` has, and `math.round`, `math.sum`.
///
/// One argument is the bare number `1.5`, or `[1.5]`; several are a list, `[1, -1]`; `math.dist`
/// and `math.sumprod` take two lists. The answers are Python's, also which are integers and which
/// are floats. What Python raises is the item's error, and so are three things more: an integer
/// that needs more than 128 bits, an infinity that overflow made (JSON has none), and a float
/// where an integer is wanted.
///
/// ```
/// let names: Vec<String> = jetiter_worker::math::functions().names().map(str::to_owned).collect();
/// assert!(names.contains(&"math.floor".to_owned()));
/// ```
pub fn functions() -> Functions {
    let mut library = Library(Functions::new());
    library.of_floats();
    library.of_one();
    library.of_numbers();
    library.of_integers();
    library.0
}

/// The functions so far.
struct Library(Functions);

impl Library {
    fn of_floats(&mut self) {
        for &(name, compute) in OF_ONE {
            self.float::<1, 1>(name, move |x| compute(x[0]));
        }
        for &(name, compute) in OF_TWO {
            self.float::<2, 2>(name, move |x| compute(x[0], x[1]));
        }
        self.float::<1, 2>("log", float::log);
        self.float::<3, 3>("fma", |x| x[0].mul_add(x[1], x[2]));
        self.float::<0, MANY>("fsum", |x| float::fsum(x.iter().copied()));
        self.float::<0, MANY>("hypot", float::hypot);
        self.serve("isclose", |x: &Arguments<2, 4>| float::is_close(&x.floats()));
    }

    fn of_one(&mut self) {
        self.one("ceil", |x| integer::whole(x, f64::ceil));
        self.one("floor", |x| integer::whole(x, f64::floor));
        self.one("trunc", |x| integer::whole(x, f64::trunc));
        self.one("isfinite", |x| Ok(x.float().is_finite()));
        self.one("isinf", |x| Ok(x.float().is_infinite()));
        self.one("isnan", |x| Ok(x.float().is_nan()));
        self.one("modf", |x| Ok(libm::modf(x.float())));
        self.one("frexp", |x| Ok(libm::frexp(x.float())));
    }

    fn of_numbers(&mut self) {
        self.serve("round", number::round);
        self.serve("ldexp", number::ldexp);
        self.serve("sum", number::sum);
        self.serve("prod", number::prod);
        self.serve("dist", number::dist);
        self.serve("sumprod", number::sumprod);
    }

    fn of_integers(&mut self) {
        self.integers::<0, MANY>("gcd", integer::gcd);
        self.integers::<0, MANY>("lcm", integer::lcm);
        self.integers::<1, 1>("factorial", integer::perm);
        self.integers::<1, 1>("isqrt", integer::isqrt);
        self.integers::<1, 2>("perm", integer::perm);
        self.integers::<2, 2>("comb", integer::comb);
    }

    fn float<const LEAST: usize, const MOST: usize>(
        &mut self,
        name: &'static str,
        compute: impl Fn(&[f64]) -> f64 + Send + Sync + 'static,
    ) {
        self.serve(name, move |x: &Arguments<LEAST, MOST>| sound(&x.lists, compute(&x.floats())));
    }

    fn one<T: Serialize>(
        &mut self,
        name: &'static str,
        compute: impl Fn(Number) -> Result<T, Problem> + Send + Sync + 'static,
    ) {
        self.serve(name, move |x: &Arguments<1, 1>| compute(x.numbers()[0]));
    }

    fn integers<const LEAST: usize, const MOST: usize>(
        &mut self,
        name: &'static str,
        compute: fn(&[i128]) -> Result<u128, Problem>,
    ) {
        self.serve(name, move |x: &Arguments<LEAST, MOST, 0>| compute(&x.integers()?));
    }

    fn serve<const LEAST: usize, const MOST: usize, const INTEGERS: usize, const LISTS: usize, T>(
        &mut self,
        name: &'static str,
        compute: impl Fn(&Arguments<LEAST, MOST, INTEGERS, LISTS>) -> Result<T, Problem>
        + Send
        + Sync
        + 'static,
    ) where
        T: Serialize,
    {
        let function = move |x: Arguments<LEAST, MOST, INTEGERS, LISTS>, context: Context| {
            let x = x.exact(&context.item);
            compute(&x).map_err(|problem| problem.of(name, &x.lists))
        };
        self.0 = take(&mut self.0).try_function(&format!("math.{name}"), function);
    }
}
