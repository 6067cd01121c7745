//! `jetiter completions`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Exit, Failure, output};

/// Print the completions for a shell, e.g. `source <(jetiter completions bash)`
#[derive(clap::Args)]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "jetiter", &mut script);
    output::line(script)?;
    Ok(Exit::Done)
}
