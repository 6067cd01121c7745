//! jetiter without its Rust library: the nats command line client, and the examples in other languages.

mod bad_input;
mod clients;
mod conformance;
mod encodings;
mod page;
mod program;
mod python_worker;

use std::time::Duration;

/// Tries for a while until it comes true; whether it did.
async fn patient(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let began = tokio::time::Instant::now();
    while !condition().await {
        if began.elapsed() > Duration::from_secs(30) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    true
}
