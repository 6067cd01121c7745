//! The half of jetiter that works: [`Worker`] runs items, [`Collator`] collates their outcomes.
//!
//! An item comes in by `pull`, is run by `executor` through `functions`, and its outcome goes to
//! the cache. There the collator follows the log: `tally` decides when a group is complete,
//! `collator::collation` writes its list, `collator::cleaner` says what is removed.

mod ahead;
mod collator;
mod error;
mod executor;
mod functions;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hand;
mod handler;
pub mod math;
mod patience;
mod pull;
mod room;
mod shares;
mod slots;
mod tally;
mod turns;
mod worker;

pub use collator::Collator;
pub use error::Error;
pub use functions::Functions;
pub use handler::{Context, Handler};
pub use worker::Worker;
