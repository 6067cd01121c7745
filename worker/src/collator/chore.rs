//! What the collator does besides: looking after groups that no event finishes.

use std::time::Duration;

use jetiter_config::broker::{Broker, StreamInfo};
use jetiter_config::wire::{State, Summary};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::active::Active;
use super::cleaner::Purge;
use super::collation::Collation;
use super::intake;

/// The most chores at once.
const AT_ONCE: usize = 64;
/// A group this old is asked about: most are finished by then.
const VERIFY_AFTER: u64 = 1_000;

/// Something to do beside the loop.
pub(super) enum Chore {
    /// Look at the cache's stream.
    Look,
    /// Remove dead entries.
    Purge(Purge),
    /// Ask the leader whether a group has a result.
    Verify { group: String, first: u64 },
    /// Nothing has come for a group for a long time: is something of it waiting?
    AskWaiting { group: String, sealed: bool },
    /// Remove chunks that a dead collator left.
    RemoveOrphans(Summary),
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
    NothingWaiting {
        group: String,
        sealed: bool,
    },
    Nothing,
}

impl Active {
    pub(super) fn begin(&mut self, chore: Chore) {
        let broker = self.broker.clone();
        match chore {
            Chore::Look => self.chores.spawn(async move { look(&broker).await }),
            Chore::Purge(purge) => self
                .chores
                .spawn(async move { remove(&broker, purge).await }),
            Chore::Verify { group, first } => self
                .chores
                .spawn(async move { verify(&broker, group, first).await }),
            Chore::AskWaiting { group, sealed } => self
                .chores
                .spawn(async move { ask_waiting(&broker, group, sealed).await }),
            Chore::RemoveOrphans(summary) => {
                let (chunk, done_ttl) = (self.settings.chunk, self.settings.done_ttl);
                let log = summary.log.clone();
                let collation = Collation {
                    broker,
                    chunk,
                    done_ttl,
                    log,
                };
                self.chores.spawn(async move {
                    collation.remove_orphans(&summary).await;
                    Done::Nothing
                })
            }
        };
    }

    pub(super) async fn finish(&mut self, done: Done) {
        match done {
            Done::Looked(info) => self.upkeep(&info),
            Done::Purged(purge, took) => self.purged(&purge, took),
            Done::Verified {
                group,
                first,
                result,
            } => self.verified(group, first, result).await,
            Done::NothingWaiting {
                group,
                sealed: true,
            } => self.tell_short(group).await,
            Done::NothingWaiting {
                group,
                sealed: false,
            } => {
                tracing::warn!(
                    group,
                    "never sealed and long silent: it ends with what it has"
                );
                let broker = self.broker.clone();
                self.chores.spawn(async move {
                    intake::end(&broker, &group, State::Abandoned).await;
                    Done::Nothing
                });
            }
            Done::Nothing => {}
        }
    }

    /// Finds the groups that need a look, by the server's clock.
    fn upkeep(&mut self, info: &StreamInfo) {
        if !self.is_same_log(&info.created, info.state.last_seq) {
            return self.reopen_log();
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
                    due.push(Chore::Verify {
                        group: group.to_owned(),
                        first: live.first,
                    });
                }
            } else if silent > if sealed { short } else { abandon } && !self.short.contains(group) {
                due.push(Chore::AskWaiting {
                    group: group.to_owned(),
                    sealed,
                });
            }
        }
        let room = AT_ONCE.saturating_sub(self.chores.len());
        due.into_iter()
            .take(room)
            .for_each(|chore| self.begin(chore));
    }

    /// The result is the authority: a group that has one is finished, whatever its marks say.
    async fn verified(&mut self, group: String, first: u64, result: Option<Summary>) {
        let live = self
            .tally
            .get(&group)
            .filter(|l| l.first == first && !l.is_decided());
        let Some(live) = live else { return };
        match result {
            None => {
                self.verified.insert(group);
            }
            // Sealed otherwise than the result: somebody uses the id a second time.
            Some(result)
                if live
                    .seal
                    .as_ref()
                    .is_some_and(|s| Some(s.total) != result.total) =>
            {
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
             `jetiter status {group}` names them",
            u64::from(total.unwrap_or_default()).saturating_sub(live.counted()),
            total.unwrap_or_default(),
        );
        tracing::warn!(group, reason);
        self.broker
            .tell(&group, "short", &json!({ "reason": reason }))
            .await;
        self.short.insert(group);
    }
}

async fn look(broker: &Broker) -> Done {
    match broker
        .stream_info(&broker.namespace.cache_stream(), None)
        .await
    {
        Ok(info) => Done::Looked(info),
        Err(_) => Done::Nothing,
    }
}

/// Purges until the server says that it is done: a time-out says nothing, and again does no
/// harm.
async fn remove(broker: &Broker, purge: Purge) -> Done {
    let stream = broker.namespace.cache_stream();
    let began = Instant::now();
    loop {
        let purged = match &purge {
            Purge::Floor(below) => broker.purge(&stream, None, Some(*below)).await,
            Purge::Group(dead) => {
                let filter = broker.namespace.group_filter(&dead.group);
                broker
                    .purge(&stream, Some(&filter), Some(dead.last + 1))
                    .await
            }
        };
        match purged {
            Ok(_) => return Done::Purged(purge, began.elapsed()),
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
            Done::Verified {
                group,
                first,
                result,
            }
        }
        Err(_) => Done::Nothing,
    }
}

async fn ask_waiting(broker: &Broker, group: String, sealed: bool) -> Done {
    let ns = &broker.namespace;
    match broker
        .stream_info(&ns.items_stream(), Some(&ns.waiting_filter(&group)))
        .await
    {
        Ok(info) if info.state.subjects.is_empty() => Done::NothingWaiting { group, sealed },
        _ => Done::Nothing,
    }
}
