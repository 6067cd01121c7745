//! The half of jetiter that submits: maps a function over an iterable, reads the collated
//! result.
//!
//! [`Client::async_iter`] publishes the items through `submit`, then the seal; workers and the
//! collator do the rest; [`Client::result`] waits in `wait` and reads the list.

mod buffer;
mod cancel;
mod client;
mod download;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(test)]
mod hot_path_tests;
mod inline;
mod iter;
mod options;
mod outcome;
mod records;
mod result;
mod seen;
mod small;
mod status;
mod stream;
mod submit;
mod wait;
mod watch;

pub use cancel::Cancel;
pub use client::Client;
pub use error::Error;
pub use iter::Iter;
pub use options::{Chunk, Options};
pub use outcome::Outcome;
pub use result::{Fetched, Raw};
pub use status::{Listed, Status};
pub use wait::FOREVER;
