//! Drafts that grow while their groups are still live, so that a large group is neither kept in
//! memory nor read a second time.

use std::collections::HashMap;

use jetiter_config::broker::Broker;
use jetiter_config::wire::Seal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::buffer::Batch;
use super::collation::remove_chunks;
use super::draft::{Draft, Manner};

/// What the writer of a draft is told.
enum Told {
    Batch(Batch),
    /// The group is decided and these were its last outcomes. A writer that is not told so removes
    /// its chunks: nobody else knows of them.
    Done,
}

/// A draft under way.
pub(super) struct Drafting {
    tell: UnboundedSender<Told>,
    writer: JoinHandle<Option<Draft>>,
}

impl Drafting {
    fn begin(draft: Draft, broker: &Broker) -> Drafting {
        let (tell, told) = unbounded_channel();
        Drafting { tell, writer: tokio::spawn(write(draft, broker.clone(), told)) }
    }

    /// Hands over the next outcomes. The budget of the buffer bounds how many wait here.
    fn add(&self, batch: Batch) {
        // A writer that failed is gone: the group will be read again.
        self.tell.send(Told::Batch(batch)).ok();
    }

    /// The draft with the last outcomes in it; `None` when it could not be written.
    pub(super) async fn finish(self, last: Option<Batch>) -> Option<Draft> {
        if let Some(last) = last {
            self.add(last);
        }
        self.tell.send(Told::Done).ok();
        self.writer.await.ok().flatten()
    }
}

async fn write(
    mut draft: Draft,
    broker: Broker,
    mut told: UnboundedReceiver<Told>,
) -> Option<Draft> {
    loop {
        let written = match told.recv().await {
            Some(Told::Batch(batch)) => match draft.add_all(&batch).await {
                Ok(()) => draft.flush().await,
                failed => failed,
            },
            Some(Told::Done) => return Some(draft),
            None => break,
        };
        if let Err(reason) = written {
            tracing::debug!(%reason, "a draft was not written; its group will be read again");
            break;
        }
    }
    remove_chunks(&broker, &draft.nuids()).await;
    None
}

/// The drafts of live groups.
pub(super) struct Drafts {
    broker: Broker,
    chunk: usize,
    by_group: HashMap<String, Drafting>,
}

impl Drafts {
    pub(super) fn new(broker: &Broker, chunk: usize) -> Drafts {
        Drafts { broker: broker.clone(), chunk, by_group: HashMap::new() }
    }

    /// Writes outcomes of a group that is not decided yet. Its seal, where it has come, says how;
    /// before that the list will most likely be as the first outcome is, and kept for ever.
    pub(super) fn add(&mut self, group: &str, batch: Batch, seal: Option<&Seal>) {
        if let Some(drafting) = self.by_group.get(group) {
            return drafting.add(batch);
        }
        let first = batch.iter().next().and_then(|stored| stored.encoding().ok());
        let guess = Manner { encoding: first.unwrap_or_default(), keep_ms: None };
        let manner = seal.map_or(guess, |seal| Manner::of(Some(seal)));
        let draft = Draft::begin(&self.broker, group, self.chunk, seal.cloned(), manner);
        let drafting = Drafting::begin(draft, &self.broker);
        drafting.add(batch);
        self.by_group.insert(group.to_owned(), drafting);
    }

    /// Takes a draft out. Dropped, it is removed.
    pub(super) fn take(&mut self, group: &str) -> Option<Drafting> {
        self.by_group.remove(group)
    }

    /// Removes them all.
    pub(super) fn clear(&mut self) {
        self.by_group.clear();
    }
}
