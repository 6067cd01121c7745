//! What the collator does besides: looking after groups that no event finishes.

use std::time::Duration;

use jetiter_config::broker::{Broker, StreamInfo};
use jetiter_config::crash_point;
use jetiter_config::wire::{State, Summary};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::active::Active;
use super::cleaner::Purge;
use super::intake;
use super::upload::Uploaded;

/// The most chores at once.
const AT_ONCE: usize = 512;
/// A group this old is asked about: most are finished by then.
const VERIFY_AFTER: u64 = 1_000;

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
    /// Ask the leader whether a group has a result.
    Verify { group: String, first: u64 },
    /// Nothing has come for a group for a long time: is something of it waiting?
    AskWaiting { group: String, first: u64, sealed: bool },
}

/// What a chore came to.
pub(super) enum Done {
    Looked(StreamInfo),
    Purged(Purge, Duration),
    Verified {
        group: String,
        first: u64,
        result: Option<Summary>,
    },
    /// Nothing of a group waited, the log ended at `log_end`, and there was no result after that.
    NothingWaiting {
        group: String,
        sealed: bool,
        log_end: u64,
    },
    Nothing,
}

impl Active {
    pub(super) fn begin(&mut self, chore: Chore) {
        let broker = self.broker.clone();
        match chore {
            Chore::Look => self.chores.spawn(async move { look(&broker).await }),
            Chore::Sweep => self.chores.spawn(async move { sweep(&broker).await }),
            Chore::Unmark { subject, seq } => {
                self.chores.spawn(async move { unmark(&broker, &subject, seq).await })
            }
            Chore::Purge(purge, log) => {
                self.chores.spawn(async move { remove(&broker, purge, &log).await })
            }
            Chore::Verify { group, first } => {
                self.chores.spawn(async move { verify(&broker, group, first).await })
            }
            Chore::AskWaiting { group, first, sealed } => {
                self.chores.spawn(async move { ask_waiting(&broker, group, first, sealed).await })
            }
        };
    }

    pub(super) async fn finish(&mut self, done: Done) {
        match done {
            Done::Looked(info) => self.upkeep(&info),
            Done::Purged(purge, took) => self.purged(&purge, took),
            Done::Verified { group, first, result } => self.verified(group, first, result).await,
            Done::NothingWaiting { group, sealed, log_end } => {
                // What the log holds behind our own position may be what is missing.
                let live = self.tally.get(&group).filter(|live| !live.is_decided());
                let Some(live) = live.filter(|_| self.seen() >= log_end) else {
                    return;
                };
                let unbegun = live.counted() == 0;
                match sealed {
                    true => self.tell_short(group).await,
                    // Marks that somebody forged: there is no group behind them.
                    false if unbegun => self.bury(&group),
                    false => self.abandon(group),
                }
            }
            Done::Nothing => {}
        }
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
            } else if silent > if sealed { short } else { abandon } && !self.short.contains(group) {
                let group = group.to_owned();
                due.push(Chore::AskWaiting { group, first: live.first, sealed });
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
        self.short.insert(group);
    }
}

async fn look(broker: &Broker) -> Done {
    match broker.stream_info(&broker.namespace.cache_stream(), None).await {
        Ok(info) => Done::Looked(info),
        Err(_) => Done::Nothing,
    }
}

async fn sweep(broker: &Broker) -> Done {
    let ns = &broker.namespace;
    match broker.purge(&ns.items_stream(), Some(&ns.stray_filter()), None).await {
        Ok(0) => {}
        Ok(removed) => tracing::warn!(removed, "items on malformed subjects are removed"),
        Err(error) => tracing::debug!(%error, "not swept"),
    }
    Done::Nothing
}

async fn unmark(broker: &Broker, subject: &str, seq: u64) -> Done {
    let stream = broker.namespace.cache_stream();
    match broker.purge(&stream, Some(subject), Some(seq + 1)).await {
        Ok(_) => tracing::warn!(subject, "a malformed mark is removed"),
        Err(error) => tracing::warn!(subject, %error, "a malformed mark is not removed"),
    }
    Done::Nothing
}

/// Purges until the server says that it is done: a time-out says nothing, and again does no
/// harm. A stream that was re-created meanwhile has other entries under these sequences.
async fn remove(broker: &Broker, purge: Purge, log: &str) -> Done {
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
            (Purge::Floor(below), _) => broker.purge(&stream, None, Some(*below)).await,
            (Purge::Group(dead), _) => {
                let filter = broker.namespace.group_filter(&dead.group);
                broker.purge(&stream, Some(&filter), Some(dead.last + 1)).await
            }
        };
        match purged {
            Ok(_) => {
                crash_point("collator.purged");
                return Done::Purged(purge, began.elapsed());
            }
            Err(error) => tracing::warn!(?purge, %error, "not purged yet, trying again"),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn verify(broker: &Broker, group: String, first: u64) -> Done {
    match broker.object_info(&group).await {
        Ok(found) => {
            let live = found.map(|(_, info)| info).filter(|info| !info.deleted);
            let result = live.and_then(|info| Summary::from_metadata(&info.metadata));
            Done::Verified { group, first, result }
        }
        Err(_) => Done::Nothing,
    }
}

/// In this order, so that no outcome or result can slip through: the items, the end of the log,
/// the result.
async fn ask_waiting(broker: &Broker, group: String, first: u64, sealed: bool) -> Done {
    let ns = &broker.namespace;
    let waiting = broker.stream_info(&ns.items_stream(), Some(&ns.waiting_filter(&group))).await;
    if !waiting.is_ok_and(|info| info.state.subjects.is_empty()) {
        return Done::Nothing;
    }
    let Ok(log) = broker.stream_info(&ns.cache_stream(), None).await else {
        return Done::Nothing;
    };
    match verify(broker, group, first).await {
        Done::Verified { group, result: None, .. } => {
            Done::NothingWaiting { group, sealed, log_end: log.state.last_seq }
        }
        other => other,
    }
}

/// Removes every chunk of the group but the committed ones: a collator that died left them.
pub(super) async fn remove_orphans(broker: &Broker, summary: &Summary) {
    let ns = &broker.namespace;
    let stream = ns.results_stream();
    let filter = ns.chunks_filter(&summary.group);
    let Ok(Some((_, list))) = broker.object_info(&summary.group).await else {
        return;
    };
    let Ok(info) = broker.stream_info(&stream, Some(&filter)).await else {
        return;
    };
    let records = Uploaded::from_text(&summary.records).map(|records| records.nuid);
    let committed = [Some(list.nuid), records].into_iter().flatten();
    let committed: Vec<String> = committed.map(|nuid| ns.chunk_subject(&nuid)).collect();
    for subject in info.state.subjects.into_keys() {
        if !committed.contains(&subject) {
            broker.purge(&stream, Some(&subject), None).await.ok();
        }
    }
}
