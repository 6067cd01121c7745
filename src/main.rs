//! The `jetiter` program: reads the command line and hands over to one command.

mod cli;
mod commands;
mod service;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use cli::{Cli, Command, Exit, Failure, output};

fn main() -> ExitCode {
    #[cfg(feature = "crash-points")]
    let _points = fail::FailScenario::setup();
    let cli = Cli::parse();
    let runtime = match runtime(cli.command.holds_threads()) {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error.into()).into(),
    };
    // In a task: on several threads this one would have to be woken for each message, there and back.
    let ended = runtime.block_on(runtime.spawn(dispatch(cli)));
    // A thread that still reads standard input, or runs a function that nobody waits for any
    // more, must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(ended) => ended.unwrap_or_else(|failure| output::failure(&failure)).into(),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Nearly all that this program does is to wait for the server: on several threads each message would
/// wake another one, and an item cost a worker half as much again. Its own functions are quick, and
/// the settings' commands are processes.
fn runtime(holds_threads: bool) -> std::io::Result<Runtime> {
    let mut builder = match holds_threads {
        true => Builder::new_multi_thread(),
        false => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Up(args) => commands::up::run(args, &global).await,
        Command::Init(args) => commands::init::run(args, &global).await,
        Command::Worker(args) => commands::worker::run(args, &global).await,
        Command::Collator => commands::collator::run(&global).await,
        Command::Map(args) => commands::map::run(args, &global).await,
        Command::Result(args) => commands::result::run(args, &global).await,
        Command::Fetch(args) => commands::fetch::run(args, &global).await,
        Command::Status(args) => commands::status::run(args, &global).await,
        Command::Ls(args) => commands::ls::run(args, &global).await,
        Command::Cancel(args) => commands::cancel::run(args, &global).await,
        Command::Delete(args) => commands::delete::run(args, &global).await,
        Command::Bench(args) => commands::bench::run(*args, &global).await,
        Command::BenchRole(args) => commands::bench::role::run(args, &global).await,
        Command::Config(args) => commands::config::run(args, &global),
        Command::Completions(args) => commands::completions::run(args),
    }
}
