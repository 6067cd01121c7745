//! Submits groups and reads results.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::object_store::ObjectInfo;
use futures_util::{Stream, StreamExt, stream};
use jetiter_config::broker::Broker;
use jetiter_config::call::Call;
use jetiter_config::names::{Function, GroupId, Lane, Queue, check_notify, records_object};
use jetiter_config::settings::{self, Settings};
use jetiter_config::wire::{Progress, Seal, Summary};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::download::download;
use crate::error::Error;
use crate::inline::Inline;
use crate::options::Options;
use crate::result::{Fetched, Raw};
use crate::submit::Submission;
use crate::wait::{self, Found};

/// Submits groups and reads results, over a broker or inline. Cheap to clone.
///
/// ```no_run
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use jetiter_client::{Client, Options};
/// use jetiter_config::Settings;
///
/// let client = Client::connect(&Settings::default()).await?;
/// let id = client.async_iter("math.floor", (0..100).map(f64::from), &Options::new()).await?;
/// let list: Option<Vec<i64>> = client.result(&id, Duration::from_secs(1)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    by: By,
}

#[derive(Clone)]
enum By {
    Broker(Arc<Remote>),
    Inline(Arc<Inline>),
}

pub(crate) struct Remote {
    pub(crate) broker: Broker,
    pub(crate) window: settings::Submit,
    /// Queues that were there when asked.
    queues: Mutex<HashSet<Queue>>,
}

impl Client {
    /// Connects as the settings say and checks the assets.
    pub async fn connect(settings: &Settings) -> Result<Client, Error> {
        let broker = Broker::connect(settings, "jetiter client").await?;
        Client::new(broker, settings).await
    }

    /// Works over a broker that the caller connected.
    pub async fn new(broker: Broker, settings: &Settings) -> Result<Client, Error> {
        jetiter_config::Topology::of(&broker, settings).check(&broker).await?;
        let (window, queues) = (settings.submit.clone(), Mutex::default());
        Ok(Client { by: By::Broker(Arc::new(Remote { broker, window, queues })) })
    }

    /// Runs groups inline in the caller's task: without a broker, with the same outcomes. The
    /// results live as long as the client.
    ///
    /// Two things differ, since there is nothing to wait for: [`async_iter`](Self::async_iter)
    /// returns when every item has run, and a retry comes at once.
    pub fn sync(functions: impl Call + 'static) -> Result<Client, Error> {
        Ok(Client { by: By::Inline(Arc::new(Inline::new(functions)?)) })
    }

    /// Maps a function over an iterable of unknown length and returns the group's id as soon as
    /// every item is stored. Reads the iterable no faster than the server stores.
    pub async fn async_iter<A: Serialize>(
        &self,
        function: &str,
        arguments: impl IntoIterator<Item = A>,
        options: &Options,
    ) -> Result<GroupId, Error> {
        self.async_stream(function, stream::iter(arguments), options).await
    }

    /// As [`async_iter`](Self::async_iter), over an asynchronous stream.
    pub async fn async_stream<A: Serialize>(
        &self,
        function: &str,
        arguments: impl Stream<Item = A>,
        options: &Options,
    ) -> Result<GroupId, Error> {
        let function: Function = function.parse()?;
        if let Some(label) = &options.label {
            Seal::check_label(label)?;
        }
        options.notify.iter().try_for_each(|subject| check_notify(subject))?;
        let group = options.group.clone().unwrap_or_else(GroupId::random);
        match &self.by {
            By::Inline(inline) => inline.run(group.clone(), function, arguments, options).await?,
            By::Broker(remote) => remote.submit(&group, function, arguments, options).await?,
        }
        Ok(group)
    }

    /// The group's list, in completion order; `None` when it is not finished after `wait`. Zero
    /// looks once, [`FOREVER`](crate::FOREVER) waits as long as it takes.
    ///
    /// A failed item is null: read `Option<T>`, or use [`fetch`](Self::fetch).
    pub async fn result<T: DeserializeOwned>(
        &self,
        group: &GroupId,
        wait: Duration,
    ) -> Result<Option<Vec<T>>, Error> {
        self.read(group, wait).await?.map(|raw| raw.decode()).transpose()
    }

    /// The group's list and its records, which tell each position's index, error and worker.
    pub async fn fetch<T: DeserializeOwned>(
        &self,
        group: &GroupId,
        wait: Duration,
    ) -> Result<Option<Fetched<T>>, Error> {
        let Some(list) = self.read(group, wait).await? else {
            return Ok(None);
        };
        let records = match &self.by {
            By::Inline(inline) => inline.read(group, true, wait).await,
            By::Broker(remote) => remote.records_of(group, &list.summary, wait).await?,
        };
        records.map(|records| Fetched::read(list, &records)).transpose()
    }

    /// The list's bytes as they are stored.
    pub async fn read(&self, group: &GroupId, wait: Duration) -> Result<Option<Raw>, Error> {
        match &self.by {
            By::Inline(inline) => Ok(inline.read(group, false, wait).await),
            By::Broker(remote) => remote.read(group, group.as_str(), wait).await,
        }
    }

    /// The records' bytes as they are stored.
    pub async fn read_records(
        &self,
        group: &GroupId,
        wait: Duration,
    ) -> Result<Option<Raw>, Error> {
        match &self.by {
            By::Inline(inline) => Ok(inline.read(group, true, wait).await),
            By::Broker(remote) => remote.read(group, &records_object(group.as_str()), wait).await,
        }
    }

    /// Waits for a group's end, without its list: how it ended, or `None` when it has not after
    /// `wait`.
    pub async fn ended(&self, group: &GroupId, wait: Duration) -> Result<Option<Summary>, Error> {
        let Some(remote) = self.remote() else {
            return Ok(self.read(group, wait).await?.map(|raw| raw.summary));
        };
        match wait::for_object(&remote.broker, group, group.as_str(), wait).await? {
            Some(Found::Stored(info)) => read_summary(group, &info).map(Some),
            Some(Found::Told(list)) => Ok(Some(list.summary)),
            None => Ok(None),
        }
    }

    /// Follows how far a group is: lossy, a few times a second, from now on. Nothing comes from
    /// a client that runs inline.
    pub async fn progress(
        &self,
        group: &GroupId,
    ) -> Result<impl Stream<Item = Progress> + Send + Unpin + use<>, Error> {
        self.events(group, "progress").await
    }

    /// What goes wrong with a group, in words: a malformed seal, another group's use of its id,
    /// items that are missing. Lossy, from now on; nothing comes from a client that runs inline.
    pub async fn warnings(
        &self,
        group: &GroupId,
    ) -> Result<impl Stream<Item = String> + Send + Unpin + use<>, Error> {
        // Only events of these kinds hold a reason.
        let events = self.events::<Warning>(group, "*").await?;
        Ok(events.map(|warning| warning.reason))
    }

    /// Why the group's seal was refused, if it is: a group whose only seal was refused will not
    /// complete. Lossy, from now on.
    pub async fn rejected(
        &self,
        group: &GroupId,
    ) -> Result<impl Stream<Item = String> + Send + Unpin + use<>, Error> {
        let events = self.events::<Warning>(group, "rejected").await?;
        Ok(events.map(|warning| warning.reason))
    }

    pub(crate) async fn events<T: DeserializeOwned + Send + 'static>(
        &self,
        group: &GroupId,
        kind: &str,
    ) -> Result<impl Stream<Item = T> + Send + Unpin + use<T>, Error> {
        let By::Broker(remote) = &self.by else {
            return Ok(stream::empty().left_stream());
        };
        let subject = remote.broker.namespace.event_subject(group.as_str(), kind);
        let events = remote.broker.client.subscribe(subject).await;
        let events = events.map_err(|error| Error::Api {
            what: "the group's events".to_owned(),
            reason: error.to_string(),
        })?;
        let read = |event: async_nats::Message| {
            std::future::ready(serde_json::from_slice(&event.payload).ok())
        };
        Ok(Box::pin(events.filter_map(read)).right_stream())
    }

    /// Removes a finished group's result and records; `false` when there is none.
    pub async fn delete(&self, group: &GroupId) -> Result<bool, Error> {
        match &self.by {
            By::Inline(inline) => Ok(inline.delete(group)),
            By::Broker(remote) => remote.delete(group).await,
        }
    }

    pub(crate) fn remote(&self) -> Option<&Remote> {
        match &self.by {
            By::Broker(remote) => Some(remote),
            By::Inline(_) => None,
        }
    }

    pub(crate) fn inline(&self) -> Option<&Inline> {
        match &self.by {
            By::Broker(_) => None,
            By::Inline(inline) => Some(inline),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match &self.by {
            By::Broker(remote) => format!("broker, namespace {}", remote.broker.namespace),
            By::Inline(_) => "inline".to_owned(),
        };
        f.debug_tuple("Client").field(&by).finish()
    }
}

/// An event that tells what is wrong.
#[derive(serde::Deserialize)]
struct Warning {
    reason: String,
}

fn read_summary(group: &GroupId, info: &ObjectInfo) -> Result<Summary, Error> {
    let reason = "its metadata is not jetiter's".to_owned();
    let damaged = || Error::Damaged { group: group.to_string(), reason };
    Summary::from_metadata(&info.metadata).ok_or_else(damaged)
}

impl Remote {
    async fn submit<A: Serialize>(
        &self,
        group: &GroupId,
        function: Function,
        arguments: impl Stream<Item = A>,
        options: &Options,
    ) -> Result<(), Error> {
        if options.group.is_some() {
            self.refuse_finished(group).await?;
        }
        let queue = match &options.queue {
            Some(queue) => queue.clone(),
            None => "default".parse()?,
        };
        self.check_queue(&queue).await?;
        let submission = Submission {
            broker: &self.broker,
            window: &self.window,
            group: group.clone(),
            queue,
            function,
            options,
            nonce: GroupId::random().into(),
            told: AtomicBool::new(false),
        };
        submission.run(arguments).await.map(drop)
    }

    /// An id that has a result is used up.
    async fn refuse_finished(&self, group: &GroupId) -> Result<(), Error> {
        let ask = || self.broker.object_info(group.as_str());
        let what = format!("the result {group}");
        match wait::for_answer(what, self.window.patience, ask).await? {
            Some((_, info)) if !info.deleted => {
                Err(Error::GroupExists { group: group.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Items for a queue that nobody made would wait for ever.
    async fn check_queue(&self, queue: &Queue) -> Result<(), Error> {
        let known = self.queues.lock().unwrap_or_else(PoisonError::into_inner).contains(queue);
        if known {
            return Ok(());
        }
        let ns = &self.broker.namespace;
        let (stream, consumer) = (ns.items_stream(), ns.worker_consumer(queue, Lane::LAST));
        let ask = || self.broker.ack_wait(&stream, &consumer);
        let what = format!("the queue {queue}");
        if wait::for_answer(what, self.window.patience, ask).await?.is_none() {
            return Err(jetiter_config::Error::NoQueue { queue: queue.to_string() }.into());
        }
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.clone());
        Ok(())
    }

    pub(crate) async fn read(
        &self,
        group: &GroupId,
        object: &str,
        wait: Duration,
    ) -> Result<Option<Raw>, Error> {
        let info = match wait::for_object(&self.broker, group, object, wait).await? {
            Some(Found::Stored(info)) => info,
            Some(Found::Told(list)) => return Ok(Some(list)),
            None => return Ok(None),
        };
        let damaged = |reason: String| Error::Damaged { group: group.to_string(), reason };
        let summary = read_summary(group, &info)?;
        let reason = match download(&self.broker, &info).await {
            Ok(Some(bytes)) => return Ok(Some(Raw { summary, bytes })),
            Ok(None) => None,
            Err(reason) => Some(reason),
        };
        match self.is_still_there(group).await {
            // Who looks once learns that it is not there; who waits would wait for nothing.
            Err(Error::Gone { .. }) if wait.is_zero() => Ok(None),
            Err(error) => Err(error),
            Ok(()) => reason.map_or(Ok(None), |reason| Err(damaged(reason))),
        }
    }

    pub(crate) async fn is_still_there(&self, group: &GroupId) -> Result<(), Error> {
        match wait::look(&self.broker, group.as_str()).await? {
            Some(_) => Ok(()),
            None => Err(Error::Gone { group: group.to_string() }),
        }
    }

    async fn delete(&self, group: &GroupId) -> Result<bool, Error> {
        let Some(info) = wait::look(&self.broker, group.as_str()).await? else {
            return Ok(false);
        };
        let ns = &self.broker.namespace;
        let stream = ns.results_stream();
        let records = ns.object_subject(&records_object(group.as_str()));
        // The list's metadata late: broken off, the deletion can be made again. Behind it the
        // records' once more: a collator that looks for the list no more finds it now.
        let mut filters = vec![
            records.clone(),
            ns.chunks_filter(group.as_str()),
            ns.object_subject(group.as_str()),
            records,
        ];
        // Somebody's own upload over the result has its chunks elsewhere.
        if info.nuid.parse::<GroupId>().is_ok() {
            filters.insert(0, ns.chunk_subject(&info.nuid));
        }
        let purges = filters.iter().map(|filter| (&stream, filter));
        // The group's entries first: they may lie among those of live groups for a while, and
        // without its result a collator would take them for a group that is to be finished.
        let (cache, entries) = (ns.cache_stream(), ns.group_filter(group.as_str()));
        for (stream, filter) in [(&cache, &entries)].into_iter().chain(purges) {
            let purged = self.broker.purge(stream, Some(filter), None).await;
            purged.map_err(|error| error.about(format!("the result {group}")))?;
        }
        Ok(true)
    }
}
