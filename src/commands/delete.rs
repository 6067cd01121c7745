//! `jetiter delete`

use jetiter_client::{Client, Status};
use jetiter_config::names::GroupId;

use super::print;
use crate::cli::{Exit, Failure, Global, log, output};

/// Remove the results of finished groups
///
/// Goes on after a group that can't be removed, and then fails.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<GroupId>,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::QUIET)?;
    let client = Client::connect(&settings).await?;
    let mut exit = Exit::Done;
    for group in &args.groups {
        if client.delete(group).await? {
            output::note(format!("deleted {group}"));
            continue;
        }
        let failure = match client.status(group).await? {
            Some(Status::Running { .. }) => Failure::new(format!(
                "the group {group} is on its way: its result can be deleted when it has one; \
                 `jetiter cancel {group}` ends it"
            )),
            _ => print::unknown(group),
        };
        exit = output::failure(&failure);
    }
    Ok(exit)
}
