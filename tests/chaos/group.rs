//! Groups of known content: what is submitted, how, and what must come of it.

use jetiter::{Encoding, Function, GroupId};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Serialize;
use serde_json::{Value, json};

/// One group.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: GroupId,
    pub way: Way,
    pub what: What,
    pub items: u32,
    pub encoding: Encoding,
    /// How often a failed item is tried again.
    pub retries: u32,
    /// The file that `test.append` appends to.
    pub runs: String,
}

/// How it is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By the client.
    Once,
}

/// What its items do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Append,
    Floor,
    Fail,
    Echo,
    Sleep,
}

impl Group {
    pub fn random(rng: &mut StdRng, id: &str, runs: String) -> Group {
        let what = match rng.random_range(0..10) {
            0..4 => What::Append,
            4..6 => What::Floor,
            6..7 => What::Fail,
            7..9 => What::Echo,
            _ => What::Sleep,
        };
        let items = match rng.random_range(0..20) {
            0 => 0,
            1..5 => 1,
            5..10 => 7,
            10..14 => 30,
            14..19 => 200,
            _ => 2_000,
        };
        Group {
            id: id.parse().unwrap(),
            way: Way::Once,
            what,
            items,
            encoding: if rng.random() { Encoding::Cbor } else { Encoding::Json },
            retries: if what == What::Fail { rng.random_range(0..3) } else { 0 },
            runs,
        }
    }

    pub fn function(&self) -> Function {
        let name = match self.what {
            What::Append => "test.append",
            What::Floor => "math.floor",
            What::Fail => "test.fail",
            What::Echo => "test.echo",
            What::Sleep => "test.sleep_ms",
        };
        name.parse().unwrap()
    }

    pub fn argument(&self, index: u32) -> Value {
        match self.what {
            What::Append => json!([self.runs, self.line(index)]),
            What::Floor => json!(f64::from(index) + 0.5),
            What::Fail => json!({ "message": self.line(index) }),
            What::Echo => {
                let size = index as usize * 37 % 4096;
                json!({ "item": self.line(index), "more": "x".repeat(size) })
            }
            What::Sleep => json!(index % 20),
        }
    }

    pub fn arguments(&self) -> impl Iterator<Item = Value> {
        (0..self.items).map(|index| self.argument(index))
    }

    /// The value, or the error's message.
    pub fn expected(&self, index: u32) -> Result<Value, String> {
        match self.what {
            What::Append => Ok(json!(self.line(index))),
            What::Floor => Ok(json!(index)),
            What::Fail => Err(self.line(index)),
            What::Echo | What::Sleep => Ok(self.argument(index)),
        }
    }

    /// Names one item among all of a run.
    pub fn line(&self, index: u32) -> String {
        format!("{} {index}", self.id)
    }
}
