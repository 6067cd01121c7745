//! How a finished group is printed.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt;
use jetiter_client::{Client, Raw};
use jetiter_config::encoding::Encoding;
use jetiter_config::names::GroupId;
use jetiter_config::wire::{Record, State, Summary};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::{Exit, Failure, output, wait};

/// The records are committed a moment after the list.
const RECORDS_WAIT: Duration = Duration::from_secs(30);

/// What of a finished group is printed.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct What {
    /// Print the list in the order of the arguments, not in the order of completion
    #[arg(long)]
    ordered: bool,
    /// Print the records instead: each item's index, error, attempts, time and worker
    #[arg(long, conflicts_with = "ordered")]
    records: bool,
}

/// Tells what goes wrong with a group for as long as somebody waits for it; ends only with an
/// error.
pub(super) async fn warnings(client: &Client, group: &GroupId) -> Result<Infallible, Failure> {
    let mut warnings = client.warnings(group).await?;
    while let Some(reason) = warnings.next().await {
        output::note(format!("warning: {reason}"));
    }
    pending().await
}

/// A summary without what only the engine needs.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    group: &'a str,
    state: State,
    total: Option<u32>,
    ok: u64,
    failed: u64,
    extra: u64,
    function: Option<&'a str>,
    label: Option<&'a str>,
    encoding: Encoding,
    keep_ms: Option<u64>,
    started_ms: u64,
    finished_ms: u64,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(summary: &'a Summary) -> Shown<'a> {
        Shown {
            group: &summary.group,
            state: summary.state,
            total: summary.total,
            ok: summary.ok,
            failed: summary.failed,
            extra: summary.extra,
            function: summary.function.as_ref().map(|name| name.as_str()),
            label: summary.label.as_deref(),
            encoding: summary.encoding,
            keep_ms: summary.keep_ms,
            started_ms: summary.started_ms,
            finished_ms: summary.finished_ms,
        }
    }
}

/// The list of a group; a failure that tells whether it is on its way when there is none.
pub(crate) async fn read(client: &Client, group: &GroupId, wait: Duration) -> Result<Raw, Failure> {
    if let Some(raw) = client.read(group, Duration::ZERO).await? {
        return Ok(raw);
    }
    // A group that ended between the two looks has no keys any more, but a result.
    if client.status(group).await?.is_none() && client.read(group, Duration::ZERO).await?.is_none()
    {
        return Err(unknown(group));
    }
    let raw = client.read(group, wait).await?;
    raw.ok_or_else(|| not_finished(group, wait))
}

/// Waits until the seal of a group that is submitted here is refused.
pub(super) async fn rejected(client: &Client, group: &GroupId) -> Failure {
    let mut rejected = match client.rejected(group).await {
        Ok(rejected) => rejected,
        Err(error) => return error.into(),
    };
    match rejected.next().await {
        Some(reason) => Failure::new(format!(
            "{reason}. The group {group} is not sealed and ends as abandoned; `jetiter cancel \
             {group}` ends it now"
        )),
        None => pending().await,
    }
}

/// Prints the outcomes of a group as they come, one JSON object a line.
pub(super) async fn outcomes(client: &Client, group: &GroupId) -> Result<(), Failure> {
    let mut outcomes = client.stream_raw(group);
    while let Some(outcome) = outcomes.next().await {
        let outcome = outcome?;
        let index = serde_json::to_string(&outcome.index)?;
        let mut line = format!("{{\"index\":{index},").into_bytes();
        match outcome.into_json() {
            Ok(value) => {
                line.extend_from_slice(b"\"value\":");
                line.extend_from_slice(&value);
            }
            Err(error) => {
                line.extend_from_slice(b"\"error\":");
                serde_json::to_writer(&mut line, &error)?;
            }
        }
        line.push(b'}');
        output::line(line)?;
    }
    Ok(())
}

pub(crate) fn unknown(group: &GroupId) -> Failure {
    let text = format!(
        "no group {group} is known: `jetiter ls` lists those that are; look also whether \
         --namespace and --server are the right ones"
    );
    Failure::with(Exit::UnknownGroup, text)
}

pub(crate) fn not_finished(group: &GroupId, waited: Duration) -> Failure {
    let waited = match waited {
        Duration::ZERO => String::new(),
        waited => format!(" after {}", wait::shown(waited)),
    };
    let text = format!(
        "the group {group} is not finished{waited}: `jetiter result {group} --wait 1m` waits \
         longer, `jetiter status {group}` tells how far it is"
    );
    Failure::with(Exit::NotFinished, text)
}

/// The records, as JSON and as values.
pub(crate) async fn records(
    client: &Client,
    group: &GroupId,
) -> Result<(Vec<u8>, Vec<Record>), Failure> {
    let raw = client.read_records(group, RECORDS_WAIT).await?;
    let raw = raw.ok_or_else(|| Failure::new(format!("the group {group} has no records")))?;
    let json = raw.into_json()?;
    let records = serde_json::from_slice(&json)?;
    Ok((json, records))
}

/// Prints the list, or what else was asked for, and says what failed.
pub(super) async fn finished(client: &Client, raw: Raw, what: What) -> Result<Exit, Failure> {
    let summary = raw.summary.clone();
    let group: GroupId = summary.group.parse()?;
    let needs_records = what.ordered || what.records || summary.failed > 0;
    let records = match needs_records {
        true => Some(records(client, &group).await?),
        false => None,
    };
    let list = raw.into_json()?;
    match &records {
        Some((json, _)) if what.records => output::line(json)?,
        Some((_, records)) if what.ordered => output::line(ordered(&list, records)?)?,
        _ => output::line(list)?,
    }
    let records = records.map(|(_, records)| records).unwrap_or_default();
    Ok(verdict(&summary, &records))
}

/// The list by index. It refers to the list's text, so values stay as they are written.
fn ordered(list: &[u8], records: &[Record]) -> Result<Vec<u8>, Failure> {
    let values: Vec<&RawValue> = serde_json::from_slice(list)?;
    let mut items: Vec<_> = records.iter().zip(values).collect();
    items.sort_by_key(|(record, _)| record.index);
    let values: Vec<_> = items.into_iter().map(|(_, value)| value.get()).collect();
    // One value a line, as the list itself is stored.
    Ok(format!("[{}]", values.join(",\n")).into_bytes())
}

/// Says on standard error what is wrong with a group, if anything is.
pub(super) fn verdict(summary: &Summary, records: &[Record]) -> Exit {
    let mut exit = Exit::Done;
    if summary.failed > 0 {
        let first = records.iter().find_map(|record| record.error.as_ref());
        let first = first.map_or_else(String::new, |error| {
            format!("; first error: {}", output::shortened(&error.message, 300))
        });
        output::note(format!(
            "{} of {} items failed{first}; see `jetiter result {} --records`",
            summary.failed,
            summary.len(),
            summary.group
        ));
        exit = Exit::ItemsFailed;
    }
    if summary.state != State::Complete {
        let of = summary.total.map_or_else(String::new, |total| format!(" of {total}"));
        let (group, state, there) = (&summary.group, summary.state, summary.len());
        output::note(format!("the group {group} was {state}: {there}{of} items are there"));
        exit = Exit::ItemsFailed;
    }
    exit
}
