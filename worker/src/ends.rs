//! Which groups ended before all of their items had run, as far as this worker has heard: what it
//! holds of them need not run, and functions that run are told to stop.
//!
//! The end mark is only heard of here, never trusted alone: an id can be used again when its result
//! is deleted, and an item of the new group must run. So whoever wants to leave an item unrun asks
//! the leader, which costs something only for items of groups that were heard of.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Message;
use jetiter_config::broker::Broker;
use jetiter_config::names::{Entry, GroupId, Mark};
use jetiter_config::wire::{State, Summary};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::collator::read_from;
use crate::pull::Pulled;

/// How many ends are kept in mind. To forget one costs work, nothing else.
const MOST: usize = 1_000;
/// How many marks may be on their way.
const WINDOW: usize = 256;
/// How long between two tries to follow the marks.
const REOPEN: Duration = Duration::from_millis(500);

/// The ends that were heard of. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ends(Arc<Inner>);

struct Inner {
    broker: Broker,
    /// Whether anything was ever heard.
    any: AtomicBool,
    heard: Mutex<Heard>,
    /// One question at a time: a thousand items of one group ask at once.
    asking: tokio::sync::Mutex<HashMap<GroupId, Instant>>,
}

/// What was heard, and who wants to hear.
#[derive(Default)]
struct Heard {
    groups: HashSet<GroupId>,
    /// The same, the oldest first.
    order: VecDeque<GroupId>,
    watched: HashMap<GroupId, (CancellationToken, usize)>,
}

/// Somebody wants to hear of a group's end.
pub(crate) struct Watch {
    ends: Ends,
    group: GroupId,
    pub(crate) told: CancellationToken,
}

impl Ends {
    /// Nothing is heard before [`follow`](Self::follow) runs.
    pub(crate) fn new(broker: &Broker) -> Ends {
        Ends(Arc::new(Inner {
            broker: broker.clone(),
            any: AtomicBool::new(false),
            heard: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }))
    }

    /// Listens for ends until it is dropped.
    pub(crate) async fn follow(&self) -> Infallible {
        let broker = &self.0.broker;
        let ns = &broker.namespace;
        let marks = ns.entry_subject("*", Entry::Mark(Mark::End));
        loop {
            // From the first one on, also after a break: they are few, and go with their groups.
            match read_from(broker, &ns.cache_stream(), marks.clone(), 1).await {
                Ok(mut pull) => loop {
                    match pull.next(WINDOW).await {
                        Pulled::Message(mark) => self.take(&mark),
                        Pulled::Nothing => {}
                        Pulled::Silent | Pulled::Lost(_) => break,
                    }
                },
                Err(reason) => tracing::debug!(reason, "ends can't be followed, trying again"),
            }
            sleep(REOPEN).await;
        }
    }

    fn take(&self, mark: &Message) {
        let entry = self.0.broker.namespace.parse_entry(&mark.subject);
        if let Some((group, Entry::Mark(Mark::End))) = entry
            && let Ok(group) = group.parse()
        {
            self.hear(group);
        }
    }

    fn hear(&self, group: GroupId) {
        let mut heard = self.heard();
        if let Some((told, _)) = heard.watched.get(&group) {
            told.cancel();
        }
        heard.forget(&group);
        heard.order.push_back(group.clone());
        heard.groups.insert(group);
        if heard.order.len() > MOST
            && let Some(oldest) = heard.order.pop_front()
        {
            heard.groups.remove(&oldest);
        }
        self.0.any.store(true, Ordering::Relaxed);
    }

    /// Whether an end of this group was heard of; no proof that it is over.
    pub(crate) fn is_heard(&self, group: &GroupId) -> bool {
        // Asked for every item, and mostly nothing was ever heard.
        self.0.any.load(Ordering::Relaxed) && self.heard().groups.contains(group)
    }

    /// Whether a group is over, so that an item which came before this question need not run. By the
    /// leader's word: while the end mark or the result is there, the id can't be another group's. No
    /// answer is a no, since an item that runs too late does no harm.
    pub(crate) async fn is_over(&self, group: &GroupId) -> bool {
        if !self.is_heard(group) {
            return false;
        }
        let came = Instant::now();
        let mut asked = self.0.asking.lock().await;
        // Somebody else asked meanwhile.
        if asked.get(group).is_some_and(|asked| *asked >= came) {
            return true;
        }
        let now = Instant::now();
        asked.remove(group);
        let over = self.ask(group).await;
        match over {
            Some(true) => {
                asked.retain(|group, _| self.is_heard(group));
                asked.insert(group.clone(), now);
            }
            Some(false) => self.heard().forget(group),
            None => {}
        }
        over == Some(true)
    }

    async fn ask(&self, group: &GroupId) -> Option<bool> {
        let broker = &self.0.broker;
        let ns = &broker.namespace;
        let mark = ns.entry_subject(group.as_str(), Entry::Mark(Mark::End));
        if broker.last_message(&ns.cache_stream(), &mark).await.ok()?.is_some() {
            return Some(true);
        }
        let result = broker.object_info(group.as_str()).await.ok()?;
        let result = result.map(|(_, info)| info).filter(|info| !info.deleted);
        let summary = result.and_then(|info| Summary::from_metadata(&info.metadata));
        Some(summary.is_some_and(|summary| summary.state != State::Complete))
    }

    /// To be told of a group's end while a function runs for it.
    pub(crate) fn watch(&self, group: &GroupId) -> Watch {
        let mut heard = self.heard();
        let new = || (CancellationToken::new(), 0);
        let (told, watchers) = heard.watched.entry(group.clone()).or_insert_with(new);
        *watchers += 1;
        let told = told.clone();
        // Between the question whether it is over and now.
        if heard.groups.contains(group) {
            told.cancel();
        }
        Watch { ends: self.clone(), group: group.clone(), told }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn forget(&mut self, group: &GroupId) {
        if self.groups.remove(group) {
            self.order.retain(|known| known != group);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut heard = self.ends.heard();
        if let Some((_, watchers)) = heard.watched.get_mut(&self.group) {
            *watchers -= 1;
            if *watchers == 0 {
                heard.watched.remove(&self.group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over a connection that is never made.
    fn ends() -> Ends {
        let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let runtime = tokio::runtime::Handle::current();
        let connect = options.connect("nats://127.0.0.1:1");
        let client = tokio::task::block_in_place(|| runtime.block_on(connect)).unwrap();
        let namespace = "jetiter".parse().unwrap();
        Ends::new(&Broker::new(client, namespace, Duration::from_millis(50)))
    }

    fn group(name: &str) -> GroupId {
        name.parse().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_watches_is_told_once_the_end_is_heard() {
        let ends = ends();
        let (mine, other) = (ends.watch(&group("g")), ends.watch(&group("h")));
        let second = ends.watch(&group("g"));
        drop(second);
        assert!(!mine.told.is_cancelled() && !ends.is_heard(&group("g")));
        ends.hear(group("g"));
        assert!(mine.told.is_cancelled() && !other.told.is_cancelled());
        assert!(ends.watch(&group("g")).told.is_cancelled(), "who comes late is told too");
        drop((mine, other));
        assert!(ends.heard().watched.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_the_leaders_word_no_group_is_over() {
        let ends = ends();
        ends.hear(group("g"));
        assert!(!ends.is_over(&group("g")).await);
        assert!(!ends.is_over(&group("h")).await);
        assert!(ends.is_heard(&group("g")), "no answer is no news");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_so_many_ends_are_kept_in_mind() {
        let ends = ends();
        (0..=MOST).for_each(|n| ends.hear(group(&format!("g{n}"))));
        assert!(!ends.is_heard(&group("g0")) && ends.is_heard(&group("g1")));
        assert_eq!(ends.heard().groups.len(), MOST);
    }
}
