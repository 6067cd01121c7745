//! `jetiter fetch`

use std::time::Duration;

use jetiter_client::Client;
use jetiter_config::names::GroupId;
use serde::Serialize;
use serde_json::value::RawValue;

use super::print::{self, Shown};
use crate::cli::{Exit, Failure, Global, log, output, wait};

/// Print all that is known of a finished group as one JSON object: counts, times, list, records
#[derive(clap::Args)]
pub(crate) struct Args {
    group: GroupId,
    /// How long to wait for the group's end: 30s, 1h, forever
    #[arg(long, short, value_name = "TIME", default_value = "0", value_parser = wait::parse)]
    wait: Duration,
}

#[derive(Serialize)]
struct Fetched<'a> {
    #[serde(flatten)]
    summary: Shown<'a>,
    list: &'a RawValue,
    records: &'a RawValue,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::QUIET)?;
    let client = Client::connect(&settings).await?;
    let raw = print::read(&client, &args.group, args.wait).await?;
    let (json, records) = print::records(&client, &args.group).await?;
    let summary = raw.summary.clone();
    let list = raw.into_json()?;
    let fetched = Fetched {
        summary: Shown::of(&summary),
        list: serde_json::from_slice(&list)?,
        records: serde_json::from_slice(&json)?,
    };
    output::line(serde_json::to_vec(&fetched)?)?;
    Ok(print::verdict(&summary, &records))
}
