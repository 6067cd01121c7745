//! A worker with a function of its own. Copy it, and put your functions in place of `source.stats`.
//!
//! ```text
//! jetiter init --queue sources
//! cargo run --release --example source_worker
//! jetiter map --queue sources source.stats '{"path": "src/lib.rs"}'
//! ```
//!
//! Run as many of them as you like, on any machines that see the same files.

#![allow(clippy::print_stderr, reason = "a program tells why it ends")]

mod source;

use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;

use jetiter::{Broker, Functions, Settings, Worker};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    // What jetiter.toml, NATS_URL and JETITER_* say; `join` only fills what they leave open. A queue
    // of its own, since an item that reaches a worker without its function ends as an error.
    let said = Settings::figment(None).join(("worker.queue", "sources"));
    let settings = Settings::load(&said)?;

    // The engine tells by `tracing` what goes wrong on the way; without this nobody hears it.
    tracing_subscriber::fmt()
        .with_env_filter(&settings.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();

    // Before anything is pulled, so that an early signal is not missed.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };

    // `try_`: it returns a `Result`, and its error becomes the item's, in the group's records.
    // `blocking`: it reads files, so it gets a thread where that holds up nothing else.
    let functions = Functions::new().try_blocking("source.stats", source::stats);

    let broker = Broker::connect(&settings, "source_worker").await?;
    let worker = Worker::new(&broker, functions, &settings).await?;
    tracing::info!(queue = settings.worker.queue, "working");

    // At the signal it hands back what it has not begun and finishes what it has.
    worker.run(stop).await?;
    Ok(())
}
