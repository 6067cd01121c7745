//! The collator at work: the shell around the tally. One loop owns all state; whatever takes
//! time runs beside it and reports back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use jetiter_config::broker::Broker;
use jetiter_config::crash_point;
use jetiter_config::names::{Entry as Key, Mark, Span};
use jetiter_config::settings;
use jetiter_config::wire::{self, End, Notify, Progress, State, Summary};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::buffer::{Batch, Buffer};
use super::chore::{Chore, Done, remove_orphans};
use super::cleaner::{Cleaner, Dead, Purge};
use super::collation::{Collated, Collation, Failed, Kept};
use super::drafting::Drafts;
use super::follower::{Entry, Followed, Follower};
use super::full::FullAlarm;
use super::lease::Held;
use super::notice::Telling;
use super::outcome::{Of, Stored};
use crate::error::Error;
use crate::patience::Patience;
use crate::tally::{Event, Logged, Tally, Verdict};

/// How often the collator looks after what no event tells.
const UPKEEP: Duration = Duration::from_secs(1);
/// How often the collator removes what no worker will ever be handed.
const SWEEP: Duration = Duration::from_secs(30);
/// How many entries are taken in before everything else is looked at.
const AT_ONCE: usize = 256;
/// The most groups whose progress is told at once.
const TOLD_AT_ONCE: usize = 256;
/// A purge that makes others wait is followed by so many times its length of rest.
const REST: u32 = 4;

/// A decided group on its way to a result.
struct Decided {
    verdict: Verdict,
    kept: Kept,
    look_first: bool,
    at: Instant,
    /// Where its end is to be told.
    notify: Option<String>,
}

/// How the collation of a group ended.
struct Ended {
    group: String,
    notify: Option<String>,
    collated: Result<Collated, Failed>,
}

pub(super) struct Active {
    held: Held,
    pub(super) broker: Broker,
    pub(super) settings: settings::Collator,
    follower: Follower,
    pub(super) tally: Tally,
    buffer: Buffer,
    drafts: Drafts,
    cleaner: Cleaner,
    waiting: VecDeque<Decided>,
    collations: JoinSet<Ended>,
    pub(super) chores: JoinSet<Done>,
    purging: bool,
    dear_again: Instant,
    changed: HashSet<String>,
    /// Where the ends of live groups are to be told, as their seals say.
    notify: HashMap<String, String>,
    /// Live groups that have no result, by the leader's word.
    pub(super) verified: HashSet<String>,
    /// Groups that were told to be short of items, and when.
    pub(super) short: HashMap<String, Instant>,
    /// With the server.
    pub(super) patience: Patience,
    pub(super) full: FullAlarm,
}

impl Active {
    pub(super) fn new(broker: &Broker, settings: &settings::Collator, held: Held) -> Active {
        Active {
            held,
            broker: broker.clone(),
            settings: settings.clone(),
            follower: Follower::new(broker),
            tally: Tally::default(),
            buffer: Buffer::new(settings.buffer),
            drafts: Drafts::new(broker, settings.chunk),
            cleaner: Cleaner::default(),
            waiting: VecDeque::new(),
            collations: JoinSet::new(),
            chores: JoinSet::new(),
            purging: false,
            dear_again: Instant::now(),
            changed: HashSet::new(),
            notify: HashMap::new(),
            verified: HashSet::new(),
            short: HashMap::new(),
            patience: Patience::new(settings.patience),
            full: FullAlarm::new(),
        }
    }

    /// Works until it is dropped, or until something has failed for too long. Everything it knows
    /// is in the log: the next one reads it again.
    pub(super) async fn run(&mut self) -> Error {
        let mut progress = interval(self.settings.progress_every);
        let mut upkeep = interval(UPKEEP);
        let mut sweep = interval(SWEEP);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A collator that slept would take what came since for late entries of groups that it
            // was about to finish, also where the id belongs to another group by now.
            self.held.is_sure().await;
            tokio::select! {
                followed = self.follower.next(), if !self.buffer.is_full() => {
                    self.follow(followed);
                    self.follow_on();
                }
                () = self.buffer.freed(), if self.buffer.is_full() => {}
                Some(Ok(ended)) = self.collations.join_next() => {
                    if let Err(error) = self.end(ended).await {
                        return error;
                    }
                }
                Some(Ok(done)) = self.chores.join_next() => {
                    if let Err(error) = self.finish(done).await {
                        return error;
                    }
                }
                _ = progress.tick() => self.tell_progress().await,
                _ = upkeep.tick() => self.begin(Chore::Look),
                _ = sweep.tick() => self.begin(Chore::Sweep),
            }
            self.start_collations();
            self.clean();
        }
    }

    /// Another one works now. What is under way ends beside it: cut off, it would leave chunks
    /// that a successor, which may have finished those groups, does not look for any more.
    pub(super) fn leave(mut self) {
        self.collations.detach_all();
    }

    fn follow(&mut self, followed: Followed) {
        match followed {
            Followed::Entry(entry) => self.take(entry),
            Followed::Nothing => {}
            Followed::Another => self.forget_all(),
        }
    }

    /// Takes in what has come already, while the lease is surely held: to look at everything else
    /// after each entry would cost more than the entry.
    fn follow_on(&mut self) {
        for _ in 0..AT_ONCE {
            if self.buffer.is_full() || !self.held.is_sure_now() {
                return;
            }
            match self.follower.ready() {
                Some(followed) => self.follow(followed),
                None => return,
            }
        }
    }

    fn take(&mut self, entry: Entry) {
        let Entry { seq, at, message } = entry;
        // What is no key of ours belongs to no group; it goes with the next floor.
        let Some((group, key)) = self.broker.namespace.parse_entry(&message.subject) else {
            return;
        };
        // Our own, behind the group's end: it goes by itself.
        let goes = wire::header(message.headers.as_ref(), wire::TTL).is_some();
        if goes && key == Key::Mark(Mark::Done) && self.tally.get(group).is_none() {
            return;
        }
        let event = event(key, &message).unwrap_or_else(|| {
            let subject = message.subject.to_string();
            self.begin(Chore::Unmark { subject, seq });
            Event::Other
        });
        let of = match key {
            Key::Outcome(id) => Some(Of::Item(id)),
            Key::Outcomes(span) => Some(Of::Items(span)),
            Key::Try(..) | Key::Mark(_) => None,
        };
        if let Event::Sealed(_) = &event
            && let Ok(Notify { notify: Some(subject) }) = serde_json::from_slice(&message.payload)
        {
            self.notify.insert(group.to_owned(), subject);
        }
        let is_decided = || self.tally.get(group).is_some_and(|live| live.is_decided());
        if let Some(of) = of.filter(|_| !is_decided()) {
            let ripe = self.buffer.keep(group, &Stored::read(of, &message));
            self.write(ripe);
        }
        let verdict = self.tally.take(Logged { seq, at, group, event });
        match verdict {
            Some(verdict) => {
                let drafting = self.drafts.take(group);
                // Neither drafted nor kept: an empty group.
                let batch = self.buffer.take(group).unwrap_or_else(|| self.buffer.nothing());
                let kept = Kept { drafting, batch: Some(batch) };
                let look_first = self.follower.is_replay(verdict.first);
                let at = Instant::now();
                let notify = self.notify.remove(group);
                self.waiting.push_back(Decided { verdict, kept, look_first, at, notify });
            }
            None if of.is_some() && !self.changed.contains(group) => {
                self.changed.insert(group.to_owned());
            }
            None => {}
        }
    }

    /// Writes outcomes of live groups that need not, or can't, stay in memory.
    fn write(&mut self, ripe: Vec<(String, Batch)>) {
        for (group, batch) in ripe {
            let seal = self.tally.get(&group).and_then(|live| live.seal.as_ref());
            self.drafts.add(&group, batch, seal);
        }
    }

    fn start_collations(&mut self) {
        while self.collations.len() < self.settings.collations {
            let Some(decided) = self.waiting.pop_front() else {
                return;
            };
            let collation = self.collation(decided.at);
            let patience = Patience::new(self.settings.patience);
            self.collations.spawn(collate(collation, decided, patience));
        }
    }

    /// The collation of a group that was decided then.
    pub(super) fn collation(&self, decided: Instant) -> Collation {
        Collation {
            broker: self.broker.clone(),
            chunk: self.settings.chunk,
            done_ttl: self.settings.done_ttl,
            log: self.follower.log().to_owned(),
            decided,
        }
    }

    async fn end(&mut self, ended: Ended) -> Result<(), Error> {
        match ended.collated {
            Ok(Collated::Committed { summary, .. }) => match ended.notify {
                // Its entries stay meanwhile: they lead a successor here.
                Some(subject) if self.may_notify(&subject) => {
                    self.begin(Chore::Tell(Telling::of(subject, &summary, &self.broker)));
                }
                _ => self.bury(&ended.group),
            },
            Ok(Collated::Void) => self.bury(&ended.group),
            Ok(Collated::Conflict(winner)) => self.conflict(&ended.group, winner).await,
            Err(Failed::GaveUp(error)) => return Err(error),
            Err(error) => {
                // The tally is not what the log is: read it again from the start.
                tracing::error!(group = ended.group, %error, "the log was changed under us");
                self.follower = Follower::new(&self.broker);
                self.forget_all();
            }
        }
        Ok(())
    }

    /// Anybody can write a mark: intake has not seen each of them.
    fn may_notify(&self, subject: &str) -> bool {
        let ns = &self.broker.namespace;
        ns.may_notify(subject, &ns.notify_prefixes(&self.settings.notify))
    }

    /// Another result stands under the group's id: it stays, and this one's entries go.
    pub(super) async fn conflict(&mut self, group: &str, winner: Option<Summary>) {
        let items = winner.map_or("a foreign object".to_owned(), |w| format!("{} items", w.len()));
        let reason = format!(
            "the group {group} has a result already ({items}): it stays, what came under the \
             same id is removed; use a new id, or delete the result first"
        );
        tracing::warn!(group, reason);
        self.broker.tell(group, "conflict", &json!({ "reason": reason })).await;
        self.bury(group);
    }

    /// The group's entries are of no use any more.
    pub(super) fn bury(&mut self, group: &str) {
        self.buffer.take(group);
        self.drafts.take(group);
        self.verified.remove(group);
        self.short.remove(group);
        self.changed.remove(group);
        self.notify.remove(group);
        if let Some(live) = self.tally.forget(group) {
            let group = group.to_owned();
            let (first, last, entries) = (live.first, live.last, live.entries);
            self.cleaner.bury(Dead { group, first, last, entries });
        }
    }

    fn forget_all(&mut self) {
        tracing::warn!("the cache's log is another one: all groups are read anew");
        // Cut off, an upload would leave chunks that nobody looks for.
        self.collations.detach_all();
        self.chores.abort_all();
        self.purging = false;
        self.waiting.clear();
        self.tally = Tally::default();
        self.cleaner = Cleaner::default();
        self.buffer.clear();
        self.drafts.clear();
        self.changed.clear();
        self.notify.clear();
        self.verified.clear();
        self.short.clear();
    }

    /// One purge in flight, no more: each holds up the stream's writers.
    fn clean(&mut self) {
        if self.purging {
            return;
        }
        let dear = Instant::now() >= self.dear_again;
        let next = self.cleaner.next(self.tally.floor(), self.follower.seen(), dear);
        if let Some(purge) = next {
            self.purging = true;
            self.begin(Chore::Purge(purge, self.follower.log().to_owned()));
        }
    }

    /// A purge is over.
    pub(super) fn purged(&mut self, purge: &Purge, took: Duration) {
        self.purging = false;
        if matches!(purge, Purge::Group(_)) {
            self.dear_again = Instant::now() + took * REST;
        }
    }

    /// The sequence of the last entry that was followed.
    pub(super) fn seen(&self) -> u64 {
        self.follower.seen()
    }

    /// What the server says of the log, against what was followed.
    pub(super) fn is_same_log(&self, created: &str, last: u64) -> bool {
        self.follower.is_same(created, last)
    }

    /// How full the log is, if it has a limit.
    pub(super) fn is_pressed(&mut self, bytes: u64, limit: i64) {
        self.cleaner.is_pressed(bytes, limit);
    }

    /// Looks at the log anew.
    pub(super) fn reopen_log(&mut self) {
        self.follower.reopen();
    }

    async fn tell_progress(&mut self) {
        let groups: Vec<String> = self.changed.iter().take(TOLD_AT_ONCE).cloned().collect();
        for group in groups {
            self.changed.remove(&group);
            let Some(live) = self.tally.get(&group) else {
                continue;
            };
            let progress = Progress {
                total: live.seal.as_ref().map(|seal| seal.total),
                done: live.counted(),
                failed: live.failed,
            };
            self.broker.tell(&group, "progress", &progress).await;
        }
    }
}

/// What an entry of the log says.
/// `None` for a mark that is malformed.
fn event(key: Key, message: &async_nats::Message) -> Option<Event> {
    let read = match key {
        Key::Outcome(id) => {
            let failed = wire::is_failed(message.headers.as_ref());
            return Some(Event::Outcome { id, failed });
        }
        Key::Outcomes(span) => {
            let failed = failed_ones(span, message);
            return Some(Event::Outcomes { span, failed });
        }
        Key::Try(..) | Key::Mark(Mark::Done) => return Some(Event::Other),
        Key::Mark(Mark::Seal) => serde_json::from_slice(&message.payload).map(Event::Sealed),
        Key::Mark(Mark::End) => {
            let end = serde_json::from_slice::<End>(&message.payload).ok()?;
            // Only the tally says that a group is complete.
            return (end.state != State::Complete).then_some(Event::Ended(end.state));
        }
    };
    read.ok()
}

/// Which of several items failed. Only an entry that says that it holds an error is read for it.
fn failed_ones(span: Span, message: &async_nats::Message) -> Vec<u32> {
    if !wire::is_failed(message.headers.as_ref()) {
        return Vec::new();
    }
    match Stored::read(Of::Items(span), message).values(span) {
        Ok((_, outcomes)) => {
            let failed = |at: &usize| outcomes.value(*at).is_err();
            span.indexes().zip(0..).filter(|(_, at)| failed(at)).map(|(index, _)| index).collect()
        }
        Err(_) => span.indexes().collect(),
    }
}

/// Collates until it is done: storage that is out of reach comes back.
async fn collate(collation: Collation, decided: Decided, patience: Patience) -> Ended {
    let Decided { verdict, mut kept, mut look_first, notify, .. } = decided;
    let mut pause = Duration::from_millis(100);
    crash_point("collator.decided");
    loop {
        let mut collated = collation.run(&verdict, &mut kept, look_first).await;
        // A collator before this one may have left chunks. They go before the group's keys, which
        // lead a successor to them.
        let standing = match &collated {
            Ok(Collated::Committed { summary, leftovers, .. }) if look_first || *leftovers => {
                Some(summary)
            }
            Ok(Collated::Conflict(winner)) if look_first => winner.as_ref(),
            _ => None,
        };
        if let Some(summary) = standing
            && let Err(error) = remove_orphans(&collation.broker, summary).await
        {
            collated = Err(Failed::Again(format!("chunks may be left: {error}")));
        }
        match collated {
            Err(Failed::Again(reason)) => {
                tracing::warn!(group = verdict.group, reason, "not collated yet, trying again");
                let what = format!("collating the group {}", verdict.group);
                if let Err(error) = patience.failed(&what, reason) {
                    let collated = Err(Failed::GaveUp(error));
                    return Ended { group: verdict.group, notify, collated };
                }
                look_first = true;
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            collated => return Ended { group: verdict.group, notify, collated },
        }
    }
}
