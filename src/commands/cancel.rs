//! `jetiter cancel`

use std::time::Duration;

use jetiter_client::{Cancel, Client};
use jetiter_config::names::GroupId;
use jetiter_config::wire::{State, Summary};

use super::{print, status};
use crate::cli::{Exit, Failure, Global, log, wait};

/// End a group before all of its items have run
///
/// It ends as cancelled, with the outcomes that it has. What has not begun will not run; functions
/// that run are told to stop, and what they return comes too late.
#[derive(clap::Args)]
pub(crate) struct Args {
    group: GroupId,
    /// How long to wait for the group's end: 30s, 1h, forever
    #[arg(long, short, value_name = "TIME", default_value = "30s", value_parser = wait::parse)]
    wait: Duration,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::QUIET)?;
    let client = Client::connect(&settings).await?;
    let group = &args.group;
    match client.cancel(group).await? {
        Cancel::Unknown => return Err(print::unknown(group)),
        Cancel::Finished(summary) => return Err(Failure::new(too_late(&summary))),
        Cancel::Asked => {}
    }
    match client.ended(group, args.wait).await? {
        Some(summary) if summary.state == State::Complete => Err(Failure::new(too_late(&summary))),
        Some(summary) => status::finished(&summary, args.json),
        None => Err(Failure::with(
            Exit::NotFinished,
            format!(
                "the cancel of the group {group} is stored, and it has not ended yet: a collator ends \
             it, is one running?"
            ),
        )),
    }
}

/// What somebody is told who cancels a group that has ended.
pub(crate) fn too_late(summary: &Summary) -> String {
    let (group, state, items) = (&summary.group, summary.state, summary.len());
    format!(
        "the group {group} has ended already ({state}, {items} items): there is nothing to cancel; \
         `jetiter result {group}` prints its list, `jetiter delete {group}` removes it"
    )
}
