//! What travels: headers, outcomes, marks, records and summaries. Each type stands with both
//! directions of its wire form.

mod headers;
mod notice;
mod outcome;
mod outcomes;
mod outcomes_writer;
mod seal;
mod serving;
mod summary;

pub use headers::*;
pub use notice::{Notice, Notify};
pub use outcome::{ErrorKind, ItemError, Record, Run, cut, is_failed, outcome_headers};
pub use outcomes::Outcomes;
pub use outcomes_writer::{OutcomesWriter, Ran};
pub use seal::{End, Seal, State};
pub use serving::{Serving, Signature};
pub use summary::{Done, Progress, Summary};
