//! `jetiter status`

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::StreamExt;
use jetiter_client::{Client, Status};
use jetiter_config::names::GroupId;
use jetiter_config::wire::Summary;
use serde_json::json;

use super::ls::time;
use super::print::{self, Shown};
use crate::cli::{Exit, Failure, Global, log, output};

/// The most ranges of missing indexes that are named to a person.
const MOST_RANGES: usize = 20;

/// Tell how far a group is
#[derive(clap::Args)]
pub(crate) struct Args {
    group: GroupId,
    /// Name the indexes that have no outcome yet
    #[arg(long)]
    missing: bool,
    /// Tell it again each time that it changes, until the group has ended
    #[arg(long, conflicts_with = "missing")]
    watch: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::QUIET)?;
    let client = Client::connect(&settings).await?;
    let group = &args.group;
    if args.watch {
        return watch(&client, group, args.json).await;
    }
    let mut status = client.status(group).await?;
    if status.is_none() {
        // It may have ended between the look for its result and the one for its keys.
        let raw = client.read(group, Duration::ZERO).await?;
        status = raw.map(|raw| Status::Finished(raw.summary));
    }
    let (total, done, waiting) = match status {
        None => return Err(print::unknown(group)),
        Some(Status::Finished(summary)) => return finished(&summary, args.json),
        Some(Status::Running { total, done, waiting }) => (total, done, waiting),
    };
    let missing = match args.missing {
        true => {
            let ranges = client.missing_ranges(group).await?.into_iter();
            Some(ranges.map(RangeInclusive::into_inner).collect::<Vec<_>>())
        }
        false => None,
    };
    running(group, (total, done, waiting), missing, args.json)?;
    Ok(Exit::Done)
}

/// A line for each change.
async fn watch(client: &Client, group: &GroupId, json: bool) -> Result<Exit, Failure> {
    let mut changes = client.watch(group);
    let mut known = false;
    while let Some(status) = changes.next().await {
        known = true;
        match status? {
            Status::Finished(summary) => return finished(&summary, json),
            Status::Running { total, done, waiting } => {
                running(group, (total, done, waiting), None, json)?;
            }
        }
    }
    match known {
        true => Err(Failure::new(format!("the result of the group {group} is gone"))),
        false => Err(print::unknown(group)),
    }
}

fn running(
    group: &GroupId,
    (total, done, waiting): (Option<u32>, u64, u64),
    missing: Option<Vec<(u32, u32)>>,
    json: bool,
) -> Result<(), Failure> {
    if json {
        let mut object = json!({"group": group, "state": "running", "total": total,
            "done": done, "waiting": waiting});
        if let Some(missing) = missing {
            object["missing"] = json!(missing);
        }
        return output::line(object.to_string());
    }
    let of = match total {
        Some(total) => format!("{done} of {total} items done"),
        None => format!("not sealed yet, {done} items done"),
    };
    output::line(format!("{group}: running, {of}, {waiting} waiting or in hand"))?;
    match missing {
        Some(missing) => output::line(shown(&missing, total.is_some())),
        None => Ok(()),
    }
}

pub(super) fn finished(summary: &Summary, json: bool) -> Result<Exit, Failure> {
    if json {
        output::line(serde_json::to_vec(&Shown::of(summary))?)?;
        return Ok(Exit::Done);
    }
    let took = Duration::from_millis(summary.finished_ms.saturating_sub(summary.started_ms));
    let mut text = format!(
        "{}: {}, {} ok, {} failed, finished {} after {}",
        summary.group,
        summary.state,
        summary.ok,
        summary.failed,
        time(summary.finished_ms),
        humantime::format_duration(took),
    );
    if let Some(function) = &summary.function {
        text = format!("{text}, {function}");
    }
    if summary.extra > 0 {
        text = format!("{text}, {} out of range", summary.extra);
    }
    if let Some(label) = &summary.label {
        text = format!("{text}, {label}");
    }
    output::line(output::plain(&text))?;
    Ok(Exit::Done)
}

fn shown(ranges: &[(u32, u32)], sealed: bool) -> String {
    if !sealed {
        return "missing: not known before the group is sealed".to_owned();
    }
    let mut texts: Vec<_> = ranges
        .iter()
        .take(MOST_RANGES)
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    if ranges.len() > MOST_RANGES {
        texts.push(format!("and {} ranges more (--json has all)", ranges.len() - MOST_RANGES));
    }
    match texts.is_empty() {
        true => "missing: none".to_owned(),
        false => format!("missing: {}", texts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_indexes_are_told_as_ranges() {
        assert_eq!(shown(&[(0, 2), (5, 5)], true), "missing: 0-2, 5");
        let many: Vec<_> = (0..30).map(|n| (2 * n, 2 * n)).collect();
        assert!(shown(&many, true).ends_with("38, and 10 ranges more (--json has all)"));
    }
}
