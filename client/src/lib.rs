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
mod records;
mod result;
mod status;
mod submit;
mod wait;

pub use cancel::Cancel;
pub use client::Client;
pub use error::Error;
pub use iter::Iter;
pub use options::{Chunk, Options};
pub use result::{Fetched, Raw};
pub use status::{Listed, Status};
pub use wait::FOREVER;
