//! Outcomes as they come: from the cache's log while the group is live, and what that did not bring
//! from the list. Each is told once.

use std::any::type_name;
use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures_util::future::pending;
use futures_util::{Stream, StreamExt, stream};
use jetiter_config::names::{Entry, GroupId, ItemId, Mark, records_object};
use jetiter_config::wire::{Done, ItemError, Seal, Summary};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use crate::client::{Client, Remote};
use crate::error::Error;
use crate::outcome::{Outcome, of_entry, of_list};
use crate::seen::Seen;
use crate::wait::{self, FIRST_LOOK, FOREVER, LAST_LOOK, UNANSWERED};

/// How long between two tries to follow the log.
const REOPEN: Duration = Duration::from_millis(500);
/// How long between two looks for the records of a list that is there.
const SOON: Duration = Duration::from_millis(100);

impl Client {
    /// The outcomes of a group as they come, in any order, each once, with its index; it ends when
    /// the group has ended and all are told. A group that nobody submits is waited for.
    ///
    /// A value of another type is an error, and the stream goes on; any other error ends it. Before
    /// the group is sealed an item may come whose index turns out to be out of range.
    pub fn stream<T: DeserializeOwned>(
        &self,
        group: &GroupId,
    ) -> impl Stream<Item = Result<(ItemId, Result<T, ItemError>), Error>> + Send + Unpin + use<T>
    {
        let group_text = group.to_string();
        self.stream_raw(group).map(move |outcome| {
            let outcome = outcome?;
            let index = outcome.index;
            let value = outcome.decode().map_err(|error| Error::WrongType {
                group: group_text.clone(),
                wanted: type_name::<T>(),
                reason: format!("the value of item {index}: {}", error.reason()),
                hint: String::new(),
            })?;
            Ok((index, value))
        })
    }

    /// As [`stream`](Self::stream), the values as they are stored.
    pub fn stream_raw(
        &self,
        group: &GroupId,
    ) -> impl Stream<Item = Result<Outcome, Error>> + Send + Unpin + use<> {
        let following = Following {
            client: self.clone(),
            group: group.clone(),
            seen: Seen::default(),
            ready: VecDeque::new(),
            state: State::New,
        };
        Box::pin(stream::unfold(following, async |mut following| {
            following.next().await.map(|outcome| (outcome, following))
        }))
    }
}

struct Following {
    client: Client,
    group: GroupId,
    seen: Seen,
    ready: VecDeque<Outcome>,
    state: State,
}

enum State {
    New,
    Live(Box<Live>),
    /// All is told, or in `ready`.
    Told,
}

/// A group whose end is not known.
struct Live {
    done: Subscriber,
    entries: Option<pull::Ordered>,
    open_at: Instant,
    look_at: Instant,
    pause: Duration,
    answered: Instant,
    /// Since when the list is there.
    listed: Option<Instant>,
}

/// What happened to a live group.
enum Happened {
    Entry(async_nats::jetstream::Message),
    Lost(String),
    Done(Done),
    Nothing,
}

impl Following {
    async fn next(&mut self) -> Option<Result<Outcome, Error>> {
        loop {
            if let Some(outcome) = self.ready.pop_front() {
                return Some(Ok(outcome));
            }
            let went_on = match &self.state {
                State::Told => return None,
                State::New => self.begin().await,
                State::Live(_) => self.go_on().await,
            };
            if let Err(error) = went_on {
                self.state = State::Told;
                return Some(Err(error));
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let client = self.client.clone();
        let Some(remote) = client.remote() else {
            let list = client.read(&self.group, FOREVER).await?;
            let records = client.read_records(&self.group, FOREVER).await?;
            if let (Some(list), Some(records)) = (list, records) {
                self.tell(of_list(list, &records)?);
            }
            self.state = State::Told;
            return Ok(());
        };
        let subject = remote.broker.namespace.event_subject(self.group.as_str(), "done");
        let done = remote.broker.client.subscribe(subject).await.map_err(|error| Error::Api {
            what: "the group's events".to_owned(),
            reason: error.to_string(),
        })?;
        let now = Instant::now();
        self.state = State::Live(Box::new(Live {
            done,
            entries: None,
            open_at: now,
            look_at: now,
            pause: FIRST_LOOK,
            answered: now,
            listed: None,
        }));
        // One that has ended has its list: nothing need be followed.
        self.look().await
    }

    async fn go_on(&mut self) -> Result<(), Error> {
        let client = self.client.clone();
        let (Some(remote), State::Live(live)) = (client.remote(), &mut self.state) else {
            return Ok(());
        };
        let over = self.seen.is_over();
        if live.entries.is_none() && !over && Instant::now() >= live.open_at {
            match follow(remote, &self.group).await {
                Ok(entries) => live.entries = Some(entries),
                Err(reason) => live.lost(&reason),
            }
        }
        match live.happens(over).await {
            Happened::Entry(message) => {
                self.take(remote, &message);
                Ok(())
            }
            Happened::Lost(reason) => {
                live.lost(&reason);
                Ok(())
            }
            Happened::Done(done) => self.finish(done.summary).await,
            Happened::Nothing => self.look().await,
        }
    }

    fn take(&mut self, remote: &Remote, message: &async_nats::Message) {
        match remote.broker.namespace.parse_entry(&message.subject) {
            Some((_, Entry::Mark(Mark::End))) => self.seen.end(),
            Some((_, Entry::Mark(Mark::Seal))) => {
                if let Ok(seal) = serde_json::from_slice::<Seal>(&message.payload) {
                    self.seen.seal(seal.total);
                }
            }
            Some((_, entry)) if !self.seen.is_over() => {
                self.tell(of_entry(entry, message.headers.as_ref(), &message.payload));
            }
            _ => {}
        }
    }

    fn tell(&mut self, outcomes: Vec<Outcome>) {
        let new = outcomes.into_iter().filter(|outcome| self.seen.is_new(outcome.index));
        self.ready.extend(new);
    }

    /// Looks whether the group has ended: events can be lost.
    async fn look(&mut self) -> Result<(), Error> {
        let client = self.client.clone();
        let (Some(remote), State::Live(live)) = (client.remote(), &mut self.state) else {
            return Ok(());
        };
        let found = wait::look(&remote.broker, self.group.as_str()).await;
        live.look_at = Instant::now() + live.pause;
        live.pause = (live.pause * 2).min(LAST_LOOK);
        match found {
            Ok(None) => live.answered = Instant::now(),
            Ok(Some(info)) => {
                let summary = Summary::from_metadata(&info.metadata);
                let reason = "its metadata is not jetiter's".to_owned();
                let damaged = Error::Damaged { group: self.group.to_string(), reason };
                return self.finish(summary.ok_or(damaged)?).await;
            }
            Err(error) if live.answered.elapsed() > UNANSWERED => return Err(error),
            Err(error) => tracing::debug!(group = %self.group, %error, "no answer, looking again"),
        }
        Ok(())
    }

    /// The group has ended: what the log did not bring is in the list.
    async fn finish(&mut self, summary: Summary) -> Result<(), Error> {
        if self.seen.counted(summary.total) < summary.len() {
            if !self.has_records().await? {
                return Ok(());
            }
            let gone = || Error::Gone { group: self.group.to_string() };
            let list = self.client.read(&self.group, Duration::ZERO).await?.ok_or_else(gone)?;
            let Some(remote) = self.client.remote() else { return Ok(()) };
            let records = remote.records_of(&self.group, &list.summary, Duration::ZERO).await?;
            // Still to come after a long wait: the next look asks again.
            let Some(records) = records else { return Ok(()) };
            // What was told before the seal and is out of range stays told.
            self.tell(of_list(list, &records)?);
        }
        self.state = State::Told;
        Ok(())
    }
}

impl Following {
    /// Whether the list can be told by its records. They follow it by a moment, or much later when
    /// their collator died: meanwhile the log, which nobody purges before, is followed on.
    async fn has_records(&mut self) -> Result<bool, Error> {
        let client = self.client.clone();
        let (Some(remote), State::Live(live)) = (client.remote(), &mut self.state) else {
            return Ok(true);
        };
        let since = *live.listed.get_or_insert_with(Instant::now);
        // Then they are waited for, and it is told if they are gone.
        if since.elapsed() > UNANSWERED {
            return Ok(true);
        }
        let records = records_object(self.group.as_str());
        let there = match wait::look(&remote.broker, &records).await {
            Ok(found) => found.is_some(),
            Err(error) if live.answered.elapsed() > UNANSWERED => return Err(error),
            Err(_) => false,
        };
        if !there {
            live.look_at = Instant::now() + SOON;
        }
        Ok(there)
    }
}

impl Live {
    async fn happens(&mut self, over: bool) -> Happened {
        let wake = match self.entries.is_some() || over {
            true => self.look_at,
            // Time to open the log again.
            false => self.look_at.min(self.open_at),
        };
        let entries = async {
            match &mut self.entries {
                Some(entries) if !over => entries.next().await,
                _ => pending().await,
            }
        };
        tokio::select! {
            entry = entries => match entry {
                Some(Ok(message)) => Happened::Entry(message),
                Some(Err(error)) => Happened::Lost(error.to_string()),
                None => Happened::Lost("it ended".to_owned()),
            },
            Some(event) = self.done.next() => match serde_json::from_slice(&event.payload) {
                Ok(done) => Happened::Done(done),
                Err(_) => Happened::Nothing,
            },
            () = sleep_until(wake) => Happened::Nothing,
        }
    }

    fn lost(&mut self, reason: &str) {
        tracing::debug!(reason, "the cache's log is out of reach, following it anew");
        self.entries = None;
        self.open_at = Instant::now() + REOPEN;
    }
}

/// The group's entries from the first one on: after a break what was told is known.
async fn follow(remote: &Remote, group: &GroupId) -> Result<pull::Ordered, String> {
    let ns = &remote.broker.namespace;
    let mark = |mark| ns.entry_subject(group.as_str(), Entry::Mark(mark));
    let config = pull::OrderedConfig {
        filter_subjects: vec![
            ns.outcomes_filter(group.as_str()),
            mark(Mark::Seal),
            mark(Mark::End),
        ],
        deliver_policy: DeliverPolicy::All,
        ..pull::OrderedConfig::default()
    };
    let stream = remote.broker.jetstream.get_stream_no_info(ns.cache_stream()).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let consumer = stream.create_consumer(config).await.map_err(|error| error.to_string())?;
    consumer.messages().await.map_err(|error| error.to_string())
}
