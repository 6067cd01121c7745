//! jetiter without its Rust library: the nats command line client, and the examples in other languages.

mod clients;
mod program;
mod python_worker;
