//! What all commands share: the command line, exit codes, output, logging, signals.

mod exit;
mod global;
pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod signals;
pub(crate) mod wait;

use clap::{Parser, Subcommand};

use crate::commands;
pub(crate) use exit::{Exit, Failure};
pub(crate) use global::Global;

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    some items failed; the result is printed all the same
  2    wrong usage, or an error of the engine
  3    not finished within the wait
  4    no such group
  130  ended by ctrl-C

Settings come, each above the one before, from the defaults, a context of the nats CLI, \
jetiter.toml, NATS_URL, JETITER_* (JETITER_WORKER__CONCURRENCY is worker.concurrency) and the \
flags; `jetiter config` shows each one and where it came from.

In short:
  jetiter up &
  jetiter map math.floor 1.5 2.5 3.5";

/// A distributed map over NATS JetStream: one function, many arguments, one collated result.
///
/// Results go to standard output as JSON, everything else to standard error.
#[derive(Parser)]
#[command(name = "jetiter", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Up(commands::up::Args),
    Init(commands::init::Args),
    Worker(commands::worker::Args),
    /// Collate finished groups until told to stop
    ///
    /// Start as many as you like: one works, the others stand by.
    Collator,
    Map(commands::map::Args),
    Result(commands::result::Args),
    Fetch(commands::fetch::Args),
    Status(commands::status::Args),
    Ls(commands::ls::Args),
    Cancel(commands::cancel::Args),
    Delete(commands::delete::Args),
    Bench(Box<commands::bench::Args>),
    #[command(hide = true)]
    BenchRole(commands::bench::role::Args),
    Config(commands::config::Args),
    Completions(commands::completions::Args),
}

impl Command {
    /// Whether it may run functions that hold their thread.
    pub(crate) fn holds_threads(&self) -> bool {
        match self {
            Command::Up(args) => args.test_functions,
            Command::Worker(args) => args.test_functions,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
