//! Why there is no answer, in the words of Python's `math` where it has some.

use super::arguments::Number;

/// How many arguments an error tells.
const TOLD: usize = 8;

/// Why a function has no answer to arguments of the right kind and count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Problem {
    /// The function is not defined there.
    Domain,
    /// The answer is over the largest float.
    Range,
    /// The answer is an integer over 128 bits.
    TooLarge,
    /// An integer is wanted, and this is a float or over 128 bits.
    NoInteger,
    /// Two lists are wanted that are equally long.
    UnequalLists,
}

impl Problem {
    /// What a person is told.
    pub(super) fn of(self, name: &str, lists: &[Vec<Number>]) -> String {
        let call = format!("{name}({})", told(lists));
        match self {
            Problem::Domain => format!("math domain error: {call}"),
            Problem::Range => format!("math range error: {call}"),
            Problem::TooLarge => format!("the result of {call} needs more than 128 bits"),
            Problem::NoInteger => format!("{name} takes integers from -2^127 to 2^127-1: {call}"),
            Problem::UnequalLists => format!("{name} takes two lists of one length: {call}"),
        }
    }
}

fn told(lists: &[Vec<Number>]) -> String {
    let lists: Vec<String> = lists
        .iter()
        .map(|list| {
            let mut texts: Vec<String> = list.iter().take(TOLD).map(Number::to_string).collect();
            if list.len() > TOLD {
                texts.push("…".to_owned());
            }
            texts.join(", ")
        })
        .collect();
    if lists.len() > 1 { format!("[{}]", lists.join("], [")) } else { lists.concat() }
}

/// An answer in floats as Python takes it: NaN and the infinities come from their like only, else
/// they are an error.
///
/// Python lets the infinities of `prod`, `hypot` and a few more pass. JSON has none, and a `null`
/// in a result looks like a failed item: here they are errors too.
pub(super) fn sound(lists: &[Vec<Number>], answer: f64) -> Result<f64, Problem> {
    let any = |is: fn(f64) -> bool| lists.iter().flatten().any(|number| is(number.float()));
    if answer.is_nan() && !any(f64::is_nan) {
        return Err(Problem::Domain);
    }
    if answer.is_infinite() && !any(f64::is_infinite) {
        return Err(Problem::Range);
    }
    Ok(answer)
}
