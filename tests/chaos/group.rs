//! Groups of known content: what is submitted, how, and what must come of it.

use std::time::Duration;

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
    /// When what is special about its way happens, counted from its begin.
    pub after: Duration,
    /// How many items a submitter stores before it is killed.
    pub stored: u32,
    /// Its result is not kept for ever.
    pub expires: bool,
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
    /// By the client, and all items a second time with other message ids: meanwhile, or when the
    /// group is finished already.
    Twice,
    /// The seal before its items, by a plain publish.
    SealedFirst,
    /// By a `jetiter map` that is killed, then by the client, which takes it up again.
    TakenUp,
    /// By the client, and it is cancelled meanwhile.
    Cancelled,
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

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Way::Once => "by the client",
            Way::Twice => "submitted twice",
            Way::SealedFirst => "sealed before their items",
            Way::TakenUp => "submitter killed, taken up",
            Way::Cancelled => "cancelled meanwhile",
        }
    }
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
        let way = match rng.random_range(0..20) {
            0..10 => Way::Once,
            10..13 => Way::Twice,
            13..15 => Way::SealedFirst,
            15..18 => Way::TakenUp,
            _ => Way::Cancelled,
        };
        let items = match rng.random_range(0..20) {
            // Enough of them that the cancel finds it on its way.
            _ if way == Way::Cancelled => 500,
            0 => 0,
            1..5 => 1,
            5..10 => 7,
            10..14 => 30,
            14..19 => 200,
            _ => 2_000,
        };
        Group {
            id: id.parse().unwrap(),
            way,
            what,
            items,
            // The program speaks JSON, and one group has one encoding.
            encoding: match way != Way::TakenUp && rng.random() {
                true => Encoding::Cbor,
                false => Encoding::Json,
            },
            after: Duration::from_millis(match way {
                // Soon: most groups take less than a second.
                Way::Cancelled => rng.random_range(0..300),
                _ => rng.random_range(0..2_000),
            }),
            stored: rng.random_range(0..=items),
            expires: rng.random_range(0..4) == 0,
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

    /// Whether the client may find it finished before it has submitted it.
    pub fn may_exist(&self) -> bool {
        matches!(self.way, Way::TakenUp | Way::Cancelled)
    }

    /// Names one item among all of a run.
    pub fn line(&self, index: u32) -> String {
        format!("{} {index}", self.id)
    }
}
