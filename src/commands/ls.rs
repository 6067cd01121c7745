//! `jetiter ls`

use jetiter_client::{Client, Listed};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::print::Shown;
use crate::cli::{Exit, Failure, Global, log, output};

/// List the groups that have a result, and the sealed ones that are on their way
#[derive(clap::Args)]
pub(crate) struct Args {
    /// As JSON, one object a group
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::QUIET)?;
    let client = Client::connect(&settings).await?;
    let mut groups = client.list().await?;
    groups.sort_by_key(|one| one.result.as_ref().map_or(u64::MAX, |r| r.finished_ms));
    if args.json {
        let objects = groups.iter().map(object).collect::<Result<Vec<_>, _>>()?;
        output::line(serde_json::to_vec_pretty(&objects)?)?;
        return Ok(Exit::Done);
    }
    let heading = ["GROUP", "STATE", "OK", "FAILED", "FINISHED", "FUNCTION", "LABEL"];
    let heading = heading.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(heading).chain(groups.into_iter().map(row)).collect();
    output::line(output::table(&rows))?;
    Ok(Exit::Done)
}

fn object(listed: &Listed) -> Result<Value, serde_json::Error> {
    match &listed.result {
        Some(summary) => serde_json::to_value(Shown::of(summary)),
        None => Ok(json!({"group": listed.group, "state": "running"})),
    }
}

fn row(listed: Listed) -> Vec<String> {
    let Some(summary) = listed.result else {
        let mut row = vec![listed.group, "running".to_owned()];
        row.resize(7, String::new());
        return row;
    };
    let function = summary.function.map(String::from);
    vec![
        listed.group,
        summary.state.to_string(),
        summary.ok.to_string(),
        summary.failed.to_string(),
        time(summary.finished_ms),
        function.unwrap_or_default(),
        summary.label.unwrap_or_default(),
    ]
}

/// Seconds are enough for people.
pub(super) fn time(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| millis.to_string(), |time| time.to_string())
}
