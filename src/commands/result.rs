//! `jetiter result`

use std::time::Duration;

use jetiter_client::Client;
use jetiter_config::names::GroupId;

use super::print::{self, What};
use crate::cli::{Exit, Failure, Global, log, wait};

/// Print a group's list as JSON; a failed item is null
#[derive(clap::Args)]
pub(crate) struct Args {
    group: GroupId,
    /// How long to wait for the group's end: 30s, 1h, forever
    #[arg(long, short, value_name = "TIME", default_value = "0", value_parser = wait::parse)]
    wait: Duration,
    #[command(flatten)]
    what: What,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::QUIET)?;
    let client = Client::connect(&settings).await?;
    let raw = tokio::select! {
        raw = print::read(&client, &args.group, args.wait) => raw?,
        Err(failure) = print::warnings(&client, &args.group) => return Err(failure),
    };
    print::finished(&client, raw, args.what).await
}
