//! # jetiter
//!
//! A distributed map over NATS JetStream: one function, many arguments, one collated result.
//!
//! This crate re-exports both halves. A program that only submits depends on `jetiter-client`,
//! one that only works on `jetiter-worker`.
//!
//! ```no_run
//! use jetiter::{Broker, Client, FOREVER, Functions, Options, Settings, Worker};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let settings = Settings::default();
//!     let broker = Broker::connect(&settings, "example").await?;
//!
//!     let functions = Functions::new().function("text.len", |text: String| text.len());
//!     let worker = Worker::new(&broker, functions, &settings).await?;
//!     tokio::spawn(worker.run(std::future::pending()));
//!
//!     let client = Client::new(broker, &settings).await?;
//!     let group = client.async_iter("text.len", ["one", "three"], &Options::new()).await?;
//!     let lengths: Option<Vec<usize>> = client.result(&group, FOREVER).await?;
//!     println!("{lengths:?}");
//!     Ok(())
//! }
//! ```

pub use jetiter_client::{
    Cancel, Chunk, Client, Error as ClientError, FOREVER, Fetched, Iter, Listed, Options, Raw,
    Status,
};
pub use jetiter_config::names::{Function, GroupId, ItemId, Namespace, Queue};
pub use jetiter_config::wire::{ErrorKind, ItemError, Record, State, Summary};
pub use jetiter_config::{Broker, Error, Settings, Topology, encoding::Encoding};
pub use jetiter_worker::{
    Collator, Commands, Context, Error as WorkerError, Functions, Handler, Worker, math,
};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
