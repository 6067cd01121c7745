//! The half of jetiter that works: [`Worker`] runs items, [`Collator`] collates their outcomes.
//!
//! An item comes in by `pull`, is taken in hand by `executor`, and waits in its `line` for a `runner`,
//! which runs it through `functions`; its outcome goes to the cache by `writer`, which acknowledges it
//! then. A chunk is many items in one message: `chunk` knows which of them wait, run or have ended,
//! `chunk_run` runs them, `chunk_store` stores what they came to, `suspects` takes those that came again
//! and again one by one. `commands` makes functions of programs. In the cache the collator follows the
//! log: `tally` decides when a group is complete, `collator::collation` writes its list,
//! `collator::cleaner` says what is removed.

mod ahead;
mod arrival;
mod begins;
mod chunk;
mod chunk_run;
mod chunk_store;
mod collator;
mod commands;
mod ends;
mod error;
mod executor;
mod functions;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hand;
mod handler;
#[cfg(test)]
mod hot_path_tests;
mod line;
pub mod math;
mod patience;
mod pull;
mod pulse;
mod room;
mod runner;
mod serving;
mod shares;
mod slots;
mod store;
mod suspects;
mod tally;
mod turns;
mod window;
mod worker;
mod writer;

pub use collator::Collator;
pub use commands::Commands;
pub use error::Error;
pub use functions::Functions;
pub use handler::{Context, Handler};
pub use worker::Worker;
