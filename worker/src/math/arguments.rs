//! What a `math.*` function is given: numbers, exact as they were written.

use std::fmt;

use jetiter_config::call::Item;
use jetiter_config::encoding::Encoding;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::problem::Problem;

/// No limit to how many numbers there are; no number that must be an integer.
pub(super) const MANY: usize = usize::MAX;

/// An integer, exact, or a float.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    pub(super) fn float(self) -> f64 {
        match self {
            Number::Integer(integer) => integer as f64,
            Number::Float(float) => float,
        }
    }

    pub(super) fn integer(self) -> Result<i128, Problem> {
        match self {
            Number::Integer(integer) => Ok(integer),
            Number::Float(_) => Err(Problem::NoInteger),
        }
    }

    /// As how often to do something. It may come bent, but then it is far over all that matters.
    pub(super) fn count(self) -> i128 {
        self.float() as i128
    }

    /// serde_json reads an integer that is over 64 bits as a float.
    fn may_be_integer(self) -> bool {
        match self {
            Number::Integer(_) => true,
            Number::Float(float) => float.is_finite() && float.abs() >= i64::MAX as f64,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Integer(integer) => write!(f, "{integer}"),
            Number::Float(float) => write!(f, "{float:?}"),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Number::Integer(integer) => serializer.serialize_i128(*integer),
            Number::Float(float) => serializer.serialize_f64(*float),
        }
    }
}

/// The numbers that a function takes: `LEAST` to `MOST` of them in each of its `LISTS`, integers
/// from the one at `INTEGERS` on.
#[derive(Deserialize)]
#[serde(try_from = "Tree")]
pub(super) struct Arguments<
    const LEAST: usize,
    const MOST: usize,
    const INTEGERS: usize = MANY,
    const LISTS: usize = 1,
> {
    pub(super) lists: Vec<Vec<Number>>,
}

impl<const LEAST: usize, const MOST: usize, const INTEGERS: usize, const LISTS: usize>
    Arguments<LEAST, MOST, INTEGERS, LISTS>
{
    /// The same, with the integers that JSON may have bent to floats read anew.
    pub(super) fn exact(self, item: &Item) -> Self {
        let bent = |number: &Number| matches!(number, Number::Float(_)) && number.may_be_integer();
        if item.encoding != Encoding::Json || !self.lists.iter().flatten().any(bent) {
            return self;
        }
        let (json, bytes) = (item.encoding, &item.argument);
        let lists = json.decode::<i128>(bytes).map(|integer| vec![vec![integer]]);
        let lists = lists.or_else(|_| json.decode::<Vec<i128>>(bytes).map(|list| vec![list]));
        let Ok(lists) = lists.or_else(|_| json.decode::<Vec<Vec<i128>>>(bytes)) else {
            return self;
        };
        let numbers = |list: Vec<i128>| list.into_iter().map(Number::Integer).collect();
        Arguments { lists: lists.into_iter().map(numbers).collect() }
    }

    pub(super) fn numbers(&self) -> &[Number] {
        &self.lists[0]
    }

    pub(super) fn floats(&self) -> Vec<f64> {
        self.numbers().iter().map(|number| number.float()).collect()
    }

    pub(super) fn integers(&self) -> Result<Vec<i128>, Problem> {
        self.numbers().iter().map(|number| number.integer()).collect()
    }

    fn refuse(found: impl fmt::Display) -> String {
        let thing = if INTEGERS == 0 { "integer" } else { "number" };
        let count = match (LEAST, MOST) {
            _ if LISTS > 1 => format!("{LISTS} lists of {thing}s"),
            (_, MANY) => format!("any number of {thing}s"),
            (1, 1) => format!("1 {thing}"),
            _ if LEAST == MOST => format!("{MOST} {thing}s"),
            _ if LEAST + 1 == MOST => format!("{LEAST} or {MOST} {thing}s"),
            _ => format!("{LEAST} to {MOST} {thing}s"),
        };
        let last = if INTEGERS == 1 { ", the second an integer" } else { "" };
        format!("it takes {count}{last}, not {found}")
    }
}

impl<const LEAST: usize, const MOST: usize, const INTEGERS: usize, const LISTS: usize> TryFrom<Tree>
    for Arguments<LEAST, MOST, INTEGERS, LISTS>
{
    type Error = String;

    fn try_from(tree: Tree) -> Result<Self, String> {
        let lists = tree.lists().ok_or_else(|| Self::refuse("lists of lists"))?;
        let count = lists.len();
        if count != LISTS {
            let lists = if LISTS > 1 { "" } else { " lists" };
            return Err(Self::refuse(format!("{count}{lists}")));
        }
        for list in &lists {
            if list.len() < LEAST || list.len() > MOST {
                return Err(Self::refuse(list.len()));
            }
            let mut rest = list.iter().skip(INTEGERS);
            if let Some(float) = rest.find(|number| !number.may_be_integer()) {
                return Err(Self::refuse(float));
            }
        }
        Ok(Arguments { lists })
    }
}

/// A number, or a list of such.
enum Tree {
    Number(Number),
    List(Vec<Tree>),
}

impl Tree {
    /// As lists of numbers: `1` and `[1]` are one list of one number, `[[1], [2]]` are two lists.
    fn lists(self) -> Option<Vec<Vec<Number>>> {
        match self {
            Tree::List(trees) if trees.iter().any(|tree| matches!(tree, Tree::List(_))) => {
                trees.into_iter().map(Tree::list).collect()
            }
            flat => Some(vec![flat.list()?]),
        }
    }

    fn list(self) -> Option<Vec<Number>> {
        let number = |tree| match tree {
            Tree::Number(number) => Some(number),
            Tree::List(_) => None,
        };
        match self {
            Tree::Number(number) => Some(vec![number]),
            Tree::List(trees) => trees.into_iter().map(number).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<Tree, E> {
        Ok(Tree::Number(Number::Integer(integer.into())))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<Tree, E> {
        Ok(Tree::Number(Number::Integer(integer.into())))
    }

    fn visit_i128<E: Error>(self, integer: i128) -> Result<Tree, E> {
        Ok(Tree::Number(Number::Integer(integer)))
    }

    fn visit_u128<E: Error>(self, integer: u128) -> Result<Tree, E> {
        let too_large = Number::Float(integer as f64);
        Ok(Tree::Number(i128::try_from(integer).map_or(too_large, Number::Integer)))
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<Tree, E> {
        Ok(Tree::Number(Number::Float(float)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut trees = Vec::new();
        while let Some(tree) = items.next_element()? {
            trees.push(tree);
        }
        Ok(Tree::List(trees))
    }
}
