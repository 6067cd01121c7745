//! From a verdict to a committed result: copy the outcomes, then publish the metadata.

use std::time::Duration;

use async_nats::jetstream::object_store::ObjectInfo;
use bytes::Bytes;
use jetiter_config::broker::Broker;
use jetiter_config::crash_point;
use jetiter_config::names::Entry as Key;
use jetiter_config::wire::{Done, Seal, Summary};
use tokio::time::Instant;

use super::buffer::Batch;
use super::draft::{Draft, Manner};
use super::drafting::Drafting;
use super::follower::{position, read_from};
use super::outcome::{Of, Stored};
use crate::pull::Pulled;
use crate::tally::Verdict;

/// How many outcomes may be on their way when a group is read again.
const WINDOW: usize = 2048;
/// How long the log may stay silent before the reading of a group is given up.
const PATIENCE: u32 = 8;

/// What every collation needs.
#[derive(Clone)]
pub(crate) struct Collation {
    pub(crate) broker: Broker,
    pub(crate) chunk: usize,
    pub(crate) done_ttl: Duration,
    /// When the log was created that the verdict comes from.
    pub(crate) log: String,
    /// When the verdict came.
    pub(crate) decided: Instant,
}

/// How a collation ended.
#[derive(Debug)]
pub(crate) enum Collated {
    /// The result is there, ours or the same one by another collator.
    Committed {
        /// What it is.
        summary: Summary,
        /// Something stood under the names before: its chunks may be left.
        leftovers: bool,
        /// The list, if we wrote it and it is small.
        list: Option<Bytes>,
    },
    /// Another result stands under this name; it stays.
    Conflict(Option<Summary>),
    /// The group was finished before, and its result is there or gone since: that stays so.
    Void,
}

/// What there is of a decided group's outcomes outside the log.
#[derive(Default)]
pub(crate) struct Kept {
    pub(super) drafting: Option<Drafting>,
    pub(super) batch: Option<Batch>,
}

/// It says nothing but what a result says too.
fn is_bare(verdict: &Verdict, result: &Summary) -> bool {
    let same = |seal: &Seal| Some(seal.total) == result.total;
    verdict.entries == 0 && verdict.seal.as_ref().is_none_or(same)
}

/// Why a collation has to be made again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Storage, network: the same again may work.
    #[error("{0}")]
    Again(String),
    /// The log does not hold what the tally counted: somebody removed entries.
    #[error("the log holds {found} of the {counted} outcomes that were counted")]
    Mismatch { found: u64, counted: u64 },
    /// It was tried for too long.
    #[error(transparent)]
    GaveUp(crate::error::Error),
}

impl From<String> for Failed {
    fn from(reason: String) -> Failed {
        Failed::Again(reason)
    }
}

impl Collation {
    /// Brings a decided group to its committed result, its done mark and its notice. `kept` is
    /// what there is of its outcomes outside the log; `look_first` asks for a result that another
    /// collator may have committed.
    pub(crate) async fn run(
        &self,
        verdict: &Verdict,
        kept: &mut Kept,
        look_first: bool,
    ) -> Result<Collated, Failed> {
        let found = if look_first { self.committed(&verdict.group).await? } else { None };
        let collated = match found {
            Some(info) => self.judge(verdict, info),
            None => self.write(verdict, kept).await?,
        };
        let Collated::Committed { summary, leftovers, list } = collated else {
            return Ok(collated);
        };
        // The notice goes behind the records, and both at once: whoever waits waits for the list.
        let done = Done::of(summary.clone(), list.as_deref());
        let (over, ()) = tokio::join!(
            self.commit_records(&summary),
            self.broker.tell(&verdict.group, "done", &done)
        );
        let Some(over) = over? else {
            // Somebody has read and deleted it meanwhile: it is committed all the same.
            return Ok(Collated::Committed { summary, leftovers: false, list: None });
        };
        let leftovers = over || leftovers;
        crash_point("collator.recorded");
        tokio::join!(self.mark_done(&summary), self.drop_stray_records(&summary));
        crash_point("collator.marked_done");
        Ok(Collated::Committed { summary, leftovers, list: None })
    }

    /// The live result of a group, by the leader's word.
    pub(super) async fn committed(&self, group: &str) -> Result<Option<ObjectInfo>, Failed> {
        let found = self.broker.object_info(group).await.map_err(|error| error.to_string())?;
        Ok(found.map(|(_, info)| info).filter(|info| !info.deleted))
    }

    pub(super) fn judge(&self, verdict: &Verdict, info: ObjectInfo) -> Collated {
        match Summary::from_metadata(&info.metadata) {
            Some(summary) if summary.cut == verdict.cut && summary.log == self.log => {
                Collated::Committed { summary, leftovers: true, list: None }
            }
            // A cancel or a seal that was handed out again after its group's end: no news.
            Some(summary) if is_bare(verdict, &summary) => Collated::Void,
            other => Collated::Conflict(other),
        }
    }

    async fn write(&self, verdict: &Verdict, kept: &mut Kept) -> Result<Collated, Failed> {
        let draft = match self.drafted(verdict, kept).await? {
            Some(draft) => draft,
            None => self.fill(verdict, kept).await?,
        };
        let nuids = draft.nuids();
        let collated = self.commit(verdict, draft).await?;
        // Whoever wrote the result that stands looked for others' chunks before these came.
        let is_ours = matches!(&collated, Collated::Committed { summary, .. }
            if summary.records.starts_with(&nuids[1]));
        if !is_ours {
            remove_chunks(&self.broker, &nuids).await;
        }
        Ok(collated)
    }

    /// The draft that was written while the group was live, if it came out as decided.
    async fn drafted(&self, verdict: &Verdict, kept: &mut Kept) -> Result<Option<Draft>, Failed> {
        let Some(drafting) = kept.drafting.take() else {
            return Ok(None);
        };
        let Some(draft) = drafting.finish(kept.batch.take()).await else {
            return Ok(None);
        };
        if draft.is_as_decided(verdict) {
            return self.counts(verdict, draft).await.map(Some);
        }
        tracing::debug!(group = verdict.group, "sealed otherwise than guessed: read again");
        remove_chunks(&self.broker, &draft.nuids()).await;
        Ok(None)
    }

    /// A new draft, from memory or from the log.
    async fn fill(&self, verdict: &Verdict, kept: &Kept) -> Result<Draft, Failed> {
        let seal = verdict.seal.clone();
        let manner = Manner::of(seal.as_ref());
        let mut draft = Draft::begin(&self.broker, &verdict.group, self.chunk, seal, manner);
        let filled = match &kept.batch {
            Some(batch) => draft.add_all(batch).await,
            None => self.read_again(verdict, &mut draft).await,
        };
        if let Err(failed) = filled {
            // Nothing is committed yet: the next try begins with chunks of its own.
            remove_chunks(&self.broker, &draft.nuids()).await;
            return Err(failed);
        }
        self.counts(verdict, draft).await
    }

    /// No commit unless the positions written are what the tally counted.
    async fn counts(&self, verdict: &Verdict, draft: Draft) -> Result<Draft, Failed> {
        let (found, counted) = (draft.counted(), verdict.counted);
        if found == counted {
            return Ok(draft);
        }
        remove_chunks(&self.broker, &draft.nuids()).await;
        Err(Failed::Mismatch { found, counted })
    }

    /// Reads the group's outcomes up to the cut from the log again.
    async fn read_again(&self, verdict: &Verdict, draft: &mut Draft) -> Result<(), Failed> {
        let ns = &self.broker.namespace;
        let filter = ns.outcomes_filter(&verdict.group);
        let mut pull = read_from(&self.broker, &ns.cache_stream(), filter, verdict.first).await?;
        let (mut left, mut delivered, mut silent) = (verdict.entries, 0, 0);
        while left > 0 {
            let room = WINDOW.min(left as usize);
            let message = match pull.next(room).await {
                Pulled::Message(message) => message,
                Pulled::Nothing if silent < PATIENCE => {
                    silent += 1;
                    continue;
                }
                Pulled::Nothing => break,
                Pulled::Silent => return Err(Failed::Again("the log is silent".to_owned())),
                Pulled::Lost(reason) => return Err(Failed::Again(reason)),
            };
            silent = 0;
            let read = position(message);
            let Some((delivery, entry)) = read.filter(|(delivery, _)| *delivery == delivered + 1)
            else {
                return Err(Failed::Again("an outcome was lost on its way".to_owned()));
            };
            delivered = delivery;
            if entry.seq > verdict.cut {
                break;
            }
            let of = match ns.parse_entry(&entry.message.subject) {
                Some((_, Key::Outcome(id))) => Of::Item(id),
                Some((_, Key::Outcomes(span))) => Of::Items(span),
                _ => continue,
            };
            draft.add(&Stored::read(of, &entry.message)).await?;
            left -= 1;
        }
        Ok(())
    }
}

/// Removes the chunks of uploads that no metadata names.
pub(super) async fn remove_chunks(broker: &Broker, nuids: &[String]) {
    let ns = &broker.namespace;
    for nuid in nuids {
        let subject = ns.chunk_subject(nuid);
        broker.purge(&ns.results_stream(), Some(&subject), None).await.ok();
    }
}
