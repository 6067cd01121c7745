//! What client and worker sign before either runs: settings, names, wire forms and the assets on
//! the server. Imports neither of them. Of its own it runs one task a connection, which takes in
//! acknowledgements.

pub mod broker;
mod burst;
pub mod call;
pub mod connect;
mod context;
mod crash;
pub mod encoding;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(test)]
mod hot_path_tests;
pub mod names;
mod publisher;
pub mod settings;
pub mod topology;
pub mod wire;

pub use broker::Broker;
pub use crash::crash_point;
pub use error::Error;
pub use settings::Settings;
pub use topology::Topology;
