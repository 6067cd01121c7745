//! What the collator does besides: looking after groups that no event finishes.

use std::time::Duration;

use jetiter_config::broker::{ApiError, Broker, StreamInfo};
use jetiter_config::crash_point;
use jetiter_config::wire::{State, Summary};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::active::Active;
use super::cleaner::Purge;
use super::collation::Collation;
use super::intake;
use super::notice::Telling;
use super::sweep;
use super::upload::Uploaded;
use crate::error::Error;
use crate::patience::Patience;

/// The most chores at once.
const AT_ONCE: usize = 512;
/// How often a group is told to be short of items at most.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// A group this old is asked about: most are finished by then.
const VERIFY_AFTER: u64 = 1_000;

/// How many sequences one purge covers: a tenth of a second, at the most.
const STEP: u64 = 200_000;

/// Something to do beside the loop.
pub(super) enum Chore {
    /// Look at the cache's stream.
    Look,
    /// Remove items that no worker can ever be handed.
    Sweep,
    /// Remove a mark that is none: write-once, it would keep the true one out for ever.
    Unmark { subject: String, seq: u64 },
    /// Remove dead entries from the log that was created then.
    Purge(Purge, String),
    /// Tell whom its seal names that a group is done.
    Tell(Telling),
    /// Ask the leader whether a group has a result.
    Verify { group: String, first: u64 },
    /// Nothing has come for a group for a long time: is something of it waiting?
    AskWaiting { group: String, first: u64, sealed: bool, silent: Duration },
}

/// What a chore came to.
pub(super) enum Done {
    Looked(StreamInfo),
    Unanswered(ApiError),
    Purged(Purge, Duration),
    /// The group's end was told, as far as it could be.
    Told(String),
    Verified {
        group: String,
        first: u64,
        result: Option<Summary>,
    },
    /// Nothing of a group waited, the log ended at `log_end`, and there was no result after that.
    NothingWaiting {
        group: String,
        sealed: bool,
        silent: Duration,
        log_end: u64,
    },
    /// It was tried for too long.
    GaveUp(Error),
    Nothing,
}

impl Active {
    pub(super) fn begin(&mut self, chore: Chore) {
        let broker = self.broker.clone();
        match chore {
            Chore::Look => self.chores.spawn(async move { look(&broker).await }),
            Chore::Sweep => self.chores.spawn(async move {
                sweep::run(&broker).await;
                Done::Nothing
            }),
            Chore::Unmark { subject, seq } => {
                self.chores.spawn(async move { unmark(&broker, &subject, seq).await })
            }
            Chore::Purge(purge, log) => {
                let patience = Patience::new(self.settings.patience);
                self.chores.spawn(async move { remove(&broker, purge, &log, patience).await })
            }
            Chore::Tell(telling) => {
                let patience = Patience::new(self.settings.patience);
                self.chores.spawn(async move {
                    telling.tell(&broker, patience).await;
                    Done::Told(telling.group)
                })
            }
            Chore::Verify { group, first } => {
                let collation = self.collation(Instant::now());
                self.chores.spawn(async move { verify(&collation, group, first).await })
            }
            Chore::AskWaiting { group, first, sealed, silent } => {
                let collation = self.collation(Instant::now());
                self.chores.spawn(async move {
                    ask_waiting(&collation, group, first, sealed, silent).await
                })
            }
        };
    }

    pub(super) async fn finish(&mut self, done: Done) -> Result<(), Error> {
        match done {
            Done::Looked(info) => {
                self.patience.worked();
                self.upkeep(&info);
            }
            Done::Unanswered(error) => self.patience.failed("looking at the cache", error)?,
            Done::GaveUp(error) => return Err(error),
            Done::Purged(purge, took) => self.purged(&purge, took),
            Done::Told(group) => self.bury(&group),
            Done::Verified { group, first, result } => self.verified(group, first, result).await,
            Done::NothingWaiting { group, sealed, silent, log_end } => {
                // What the log holds behind our own position may be what is missing.
                let live = self.tally.get(&group).filter(|live| !live.is_decided());
                let Some(live) = live.filter(|_| self.seen() >= log_end) else {
                    return Ok(());
                };
                let unbegun = live.counted() == 0;
                match sealed {
                    // Marks that somebody forged, or that came again behind the end of their
                    // group: there is no group behind them.
                    _ if unbegun && silent > self.settings.abandon_after => self.bury(&group),
                    true => self.tell_short(group).await,
                    false => self.abandon(group),
                }
            }
            Done::Nothing => {}
        }
        Ok(())
    }

    fn abandon(&mut self, group: String) {
        tracing::warn!(group, "never sealed and long silent: it ends with what it has");
        let broker = self.broker.clone();
        self.chores.spawn(async move {
            intake::end(&broker, &group, State::Abandoned).await;
            Done::Nothing
        });
    }

    /// Finds the groups that need a look, by the server's clock.
    fn upkeep(&mut self, info: &StreamInfo) {
        if !self.is_same_log(&info.created, info.state.last_seq) {
            return self.reopen_log();
        }
        self.is_pressed(info.state.bytes, info.config.max_bytes);
        if self.full.look(info) {
            let (bytes, groups) = (info.state.bytes, self.tally.iter().count());
            tracing::error!(
                bytes,
                groups,
                "the cache is nearly full and no outcome comes: raise assets.cache_max_bytes \
                 (jetiter init), or publish the seal or the cancel of a group"
            );
        }
        let Ok(now) = info.ts.parse::<jiff::Timestamp>() else {
            return;
        };
        let now = now.as_millisecond() as u64;
        let (abandon, short) = (self.settings.abandon_after, self.settings.short_after);
        let mut due = Vec::new();
        for (group, live) in self.tally.iter().filter(|(_, live)| !live.is_decided()) {
            let silent = Duration::from_millis(now.saturating_sub(live.last_at));
            let sealed = live.seal.is_some();
            if !self.verified.contains(group) {
                if now.saturating_sub(live.started) > VERIFY_AFTER {
                    due.push(Chore::Verify { group: group.to_owned(), first: live.first });
                }
            } else if silent > if sealed { short } else { abandon } && !self.was_told(group) {
                let group = group.to_owned();
                due.push(Chore::AskWaiting { group, first: live.first, sealed, silent });
            }
        }
        let room = AT_ONCE.saturating_sub(self.chores.len());
        due.into_iter().take(room).for_each(|chore| self.begin(chore));
    }

    /// The result is the authority: a group that has one is finished, whatever its marks say.
    async fn verified(&mut self, group: String, first: u64, result: Option<Summary>) {
        let live = self.tally.get(&group).filter(|l| l.first == first && !l.is_decided());
        let Some(live) = live else { return };
        match result {
            None => {
                self.verified.insert(group);
            }
            // Sealed otherwise than the result: somebody uses the id a second time.
            Some(result) if live.seal.as_ref().is_some_and(|s| Some(s.total) != result.total) => {
                self.conflict(&group, Some(result)).await;
            }
            Some(_) => {
                tracing::info!(group, entries = live.entries, "late outcomes are removed");
                self.bury(&group);
            }
        }
    }

    /// Sealed, below its total, and nothing of it waits or is in hand.
    async fn tell_short(&mut self, group: String) {
        let Some(live) = self.tally.get(&group).filter(|live| !live.is_decided()) else {
            return;
        };
        let total = live.seal.as_ref().map(|seal| seal.total);
        let reason = format!(
            "{} of its {} items are missing and nothing of it waits: publish those again; \
             `jetiter status {group} --missing` names them",
            u64::from(total.unwrap_or_default()).saturating_sub(live.counted()),
            total.unwrap_or_default(),
        );
        tracing::warn!(group, reason);
        self.broker.tell(&group, "short", &json!({ "reason": reason })).await;
        self.short.insert(group, Instant::now());
    }

    /// Whether a group was told to be short a moment ago. Later it is told again: somebody may
    /// wait now who did not then.
    fn was_told(&self, group: &str) -> bool {
        let again = self.settings.short_after.max(TELL_AGAIN);
        self.short.get(group).is_some_and(|told| told.elapsed() < again)
    }
}

async fn look(broker: &Broker) -> Done {
    match broker.stream_info(&broker.namespace.cache_stream(), None).await {
        Ok(info) => Done::Looked(info),
        Err(error) => Done::Unanswered(error),
    }
}

async fn unmark(broker: &Broker, subject: &str, seq: u64) -> Done {
    let stream = broker.namespace.cache_stream();
    match broker.purge(&stream, Some(subject), Some(seq + 1)).await {
        Ok(_) => tracing::warn!(subject, "a malformed mark is removed"),
        Err(error) => tracing::warn!(subject, %error, "a malformed mark is not removed"),
    }
    Done::Nothing
}

/// Purges from below: the server answers nobody while it purges, and millions of entries at once
/// would take it seconds.
async fn in_steps(
    broker: &Broker,
    filter: Option<&str>,
    first: u64,
    below: u64,
) -> Result<(), ApiError> {
    let stream = broker.namespace.cache_stream();
    let mut step = first;
    while step < below {
        step = step.saturating_add(STEP).min(below);
        broker.purge(&stream, filter, Some(step)).await?;
    }
    Ok(())
}

/// Purges until the server says that it is done: a time-out says nothing, and again does no
/// harm. A stream that was re-created meanwhile has other entries under these sequences.
async fn remove(broker: &Broker, purge: Purge, log: &str, patience: Patience) -> Done {
    let stream = broker.namespace.cache_stream();
    let began = Instant::now();
    loop {
        let info = broker.stream_info(&stream, None).await;
        if info.as_ref().is_ok_and(|info| info.created != log) {
            return Done::Purged(purge, began.elapsed());
        }
        crash_point("collator.purging");
        let purged = match (&purge, info) {
            (_, Err(error)) => Err(error),
            (Purge::Floor(below), Ok(info)) => {
                in_steps(broker, None, info.state.first_seq, *below).await
            }
            (Purge::Group(dead), Ok(info)) => {
                let filter = broker.namespace.group_filter(&dead.group);
                let first = dead.first.max(info.state.first_seq);
                in_steps(broker, Some(&filter), first, dead.last + 1).await
            }
        };
        match purged {
            Ok(()) => {
                crash_point("collator.purged");
                return Done::Purged(purge, began.elapsed());
            }
            Err(error) => {
                tracing::warn!(?purge, %error, "not purged yet, trying again");
                if let Err(error) = patience.failed("purging the cache", error) {
                    return Done::GaveUp(error);
                }
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn verify(collation: &Collation, group: String, first: u64) -> Done {
    let Ok(found) = collation.broker.object_info(&group).await else {
        return Done::Nothing;
    };
    let live = found.map(|(_, info)| info).filter(|info| !info.deleted);
    let result = live.and_then(|info| Summary::from_metadata(&info.metadata));
    if let Some(summary) = &result {
        // Its collator may have died before the records. The group's entries, which are about to
        // go, are all that leads here.
        if collation.commit_records(summary).await.is_err()
            || remove_orphans(&collation.broker, summary).await.is_err()
        {
            return Done::Nothing;
        }
        // A submission that went on after the group's end.
        if summary.state != State::Complete
            && intake::remove_waiting(&collation.broker, &group).await.is_err()
        {
            return Done::Nothing;
        }
    }
    Done::Verified { group, first, result }
}

/// In this order, so that no outcome or result can slip through: the items, the end of the log,
/// the result.
async fn ask_waiting(
    collation: &Collation,
    group: String,
    first: u64,
    sealed: bool,
    silent: Duration,
) -> Done {
    let broker = &collation.broker;
    let ns = &broker.namespace;
    let waiting = broker.stream_info(&ns.items_stream(), Some(&ns.waiting_filter(&group))).await;
    if !waiting.is_ok_and(|info| info.state.subjects.is_empty()) {
        return Done::Nothing;
    }
    // Its seal may wait behind thousands of others, when no collator worked for a while.
    if !is_without_seal(broker, &group).await {
        return Done::Nothing;
    }
    let Ok(log) = broker.stream_info(&ns.cache_stream(), None).await else {
        return Done::Nothing;
    };
    match verify(collation, group, first).await {
        Done::Verified { group, result: None, .. } => {
            Done::NothingWaiting { group, sealed, silent, log_end: log.state.last_seq }
        }
        other => other,
    }
}

/// Whether no seal of the group waits to be taken in.
pub(super) async fn is_without_seal(broker: &Broker, group: &str) -> bool {
    let ns = &broker.namespace;
    // Keys of foreign shape belong to no group that could be sealed.
    let Ok(group) = group.parse() else { return true };
    let seal = broker.last_message(&ns.items_stream(), &ns.seal_subject(&group)).await;
    matches!(seal, Ok(None))
}

/// Removes every chunk of the group but the committed ones: a collator that died left them. Only
/// while this result stands: under an id that is used again chunks may be on their way.
pub(super) async fn remove_orphans(broker: &Broker, summary: &Summary) -> Result<(), ApiError> {
    let ns = &broker.namespace;
    let stream = ns.results_stream();
    let filter = ns.chunks_filter(&summary.group);
    let Some((_, list)) = broker.object_info(&summary.group).await? else {
        return Ok(());
    };
    if list.deleted || Summary::from_metadata(&list.metadata).as_ref() != Some(summary) {
        return Ok(());
    }
    let info = broker.stream_info(&stream, Some(&filter)).await?;
    let records = Uploaded::from_text(&summary.records).map(|records| records.nuid);
    let committed = [Some(list.nuid), records].into_iter().flatten();
    let committed: Vec<String> = committed.map(|nuid| ns.chunk_subject(&nuid)).collect();
    for subject in info.state.subjects.into_keys() {
        if !committed.contains(&subject) {
            broker.purge(&stream, Some(&subject), None).await?;
        }
    }
    Ok(())
}
