//! The commit: one message, the list's metadata. What follows it anybody can do again.

use std::time::Duration;

use async_nats::jetstream::object_store::ObjectInfo;
use async_nats::{HeaderMap, Subject};
use jetiter_config::broker::{ApiError, Outgoing, Refusal};
use jetiter_config::crash_point;
use jetiter_config::names::{Entry as Key, Mark, records_object};
use jetiter_config::wire::{self, Summary};

use super::collation::{Collated, Collation, Failed, remove_chunks};
use super::draft::Draft;
use super::upload::Uploaded;
use crate::tally::Verdict;

/// For so long after a decision nobody else can have finished the group and lost its result: a
/// lease that runs out takes longer.
const FRESH: Duration = Duration::from_millis(200);

/// What became of an object's metadata.
enum Published {
    /// It stands; `over` says whether something stood there before.
    Stored { over: bool },
    /// Another live object has the name.
    Taken(Box<ObjectInfo>),
    /// What gave the right to publish it is gone.
    Void,
}

/// What gives the right to publish metadata.
#[derive(Clone, Copy)]
enum Claim<'a> {
    /// The list's: the log still holds the entry that decided. It goes when the group is finished.
    Decision(&'a Verdict),
    /// The records': the list that they belong to stands.
    List(&'a Summary),
}

impl Collation {
    /// Finishes both uploads and publishes the list's metadata: the commit.
    pub(super) async fn commit(&self, verdict: &Verdict, draft: Draft) -> Result<Collated, Failed> {
        let (encoding, ok, failed, extra) =
            (draft.manner.encoding, draft.ok, draft.failed, draft.extra);
        let nuids = draft.nuids();
        let finished = draft.finish().await;
        if finished.is_err() {
            remove_chunks(&self.broker, &nuids).await;
        }
        // The records' chunks are whole before the list's metadata names them: whoever finds the
        // one can publish the other.
        let (list, records, chunks) = finished?;
        let seal = verdict.seal.as_ref();
        let summary = Summary {
            group: verdict.group.clone(),
            state: verdict.state,
            encoding,
            total: seal.map(|seal| seal.total),
            ok,
            failed,
            extra,
            function: seal.and_then(|seal| seal.function.clone()),
            label: seal.and_then(|seal| seal.label.clone()),
            keep_ms: seal.and_then(|seal| seal.keep_ms),
            started_ms: verdict.started,
            finished_ms: verdict.finished,
            cut: verdict.cut,
            log: self.log.clone(),
            records: records.to_text(),
        };
        let description = summary.description();
        let bucket = self.broker.namespace.results_bucket();
        let metadata = summary.to_metadata();
        let info = list.info(bucket, &verdict.group, description, self.chunk, metadata);
        crash_point("collator.uploaded");
        let claim = Claim::Decision(verdict);
        let published = self.publish_metadata(&info, summary.keep_ms, claim, chunks).await?;
        crash_point("collator.committed");
        Ok(match published {
            Published::Stored { over } => {
                Collated::Committed { summary, leftovers: over, list: list.small }
            }
            Published::Taken(winner) => self.judge(verdict, *winner),
            Published::Void => Collated::Void,
        })
    }

    /// Publishes an object's metadata behind what is left of its chunks, while the claim to it holds. A
    /// list that stands under the name stays; records make room.
    async fn publish_metadata(
        &self,
        info: &ObjectInfo,
        keep_ms: Option<u64>,
        claim: Claim<'_>,
        mut chunks: Vec<Outgoing>,
    ) -> Result<Published, Failed> {
        // A collator that slept may come when the result is finished, and deleted again.
        if self.decided.elapsed() > FRESH && !self.holds(claim).await? {
            return Ok(Published::Void);
        }
        let subject = self.broker.namespace.object_subject(&info.name);
        let payload = serde_json::to_vec(info).map_err(|error| error.to_string())?;
        let mut expected = 0;
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(wire::EXPECTED_LAST, expected.to_string());
            headers.insert(wire::ROLLUP, "sub");
            if let Some(keep) = keep_ms {
                headers.insert(wire::TTL, wire::ttl(Duration::from_millis(keep)));
            }
            let (subject, payload) = (subject.as_str().into(), payload.clone().into());
            let metadata = Outgoing { subject, headers, payload };
            let sent: Vec<_> = chunks.iter().map(|chunk| chunk.subject.clone()).collect();
            let refusal = match self.store_behind(std::mem::take(&mut chunks), metadata).await {
                Ok(()) => return Ok(Published::Stored { over: expected != 0 }),
                Err(refusal) => refusal,
            };
            let found = self.broker.object_info(&info.name).await;
            let found = found.map_err(|error| error.to_string())?;
            let before = found.as_ref().map_or(0, |(seq, _)| *seq);
            match found {
                // Stored after all, only the answer was lost.
                Some((_, found)) if found.nuid == info.nuid => {
                    return Ok(Published::Stored { over: expected != 0 });
                }
                Some((_, found)) if !found.deleted && matches!(claim, Claim::Decision(_)) => {
                    return Ok(Published::Taken(Box::new(found)));
                }
                // The next try has chunks of its own.
                _ if expected == before || !self.are_stored(&sent).await? => {
                    return Err(Failed::Again(format!("the result is not stored: {refusal:?}")));
                }
                // Deleted by somebody, or to be replaced: behind it is its place. The claim is
                // looked at after that: what changes from now on refuses the next try.
                _ if self.holds(claim).await? => expected = before,
                _ => return Ok(Published::Void),
            }
        }
    }

    /// Whether these chunks are there, by the leader's word: a burst that was refused does not say how many
    /// of its messages will stay.
    async fn are_stored(&self, chunks: &[Subject]) -> Result<bool, Failed> {
        let results = self.broker.namespace.results_stream();
        for chunk in chunks {
            let found = self.broker.last_message(&results, chunk).await;
            if found.map_err(|error| error.to_string())?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One round trip for a small result: its metadata is stored only if its chunks were.
    async fn store_behind(&self, chunks: Vec<Outgoing>, metadata: Outgoing) -> Result<(), Refusal> {
        let store = async |message: Outgoing| {
            let Outgoing { subject, headers, payload } = message;
            self.broker.store(subject, headers, payload).await.map(drop)
        };
        if chunks.is_empty() {
            return store(metadata).await;
        }
        let all = chunks.iter().chain([&metadata]).cloned().collect();
        match self.broker.burst(all).await {
            Err(Refusal::NoBursts) => {
                for chunk in chunks {
                    store(chunk).await?;
                }
                store(metadata).await
            }
            // Certainly without the metadata; tried again and again, a full bucket would fill up with them.
            Err(refusal @ (Refusal::Full(_) | Refusal::TooLarge(_) | Refusal::NoStream)) => {
                for chunk in chunks {
                    let results = self.broker.namespace.results_stream();
                    self.broker.purge(&results, Some(&chunk.subject), None).await.ok();
                }
                Err(refusal)
            }
            answer => answer,
        }
    }

    async fn holds(&self, claim: Claim<'_>) -> Result<bool, Failed> {
        match claim {
            Claim::Decision(verdict) => self.is_in_the_log(verdict.cut).await,
            Claim::List(summary) => {
                let list = self.committed(&summary.group).await?;
                Ok(list.is_some_and(|list| {
                    Summary::from_metadata(&list.metadata).as_ref() == Some(summary)
                }))
            }
        }
    }

    /// Whether an entry is still there. Of a log that is gone or another one nobody can tell.
    async fn is_in_the_log(&self, seq: u64) -> Result<bool, Failed> {
        let stream = self.broker.namespace.cache_stream();
        let found = self.broker.message_at(&stream, seq).await;
        let log = self.broker.stream_info(&stream, None).await;
        match (found, log) {
            (Err(ApiError::Unanswered(reason)), _) | (_, Err(ApiError::Unanswered(reason))) => {
                Err(Failed::Again(reason))
            }
            (Ok(None), Ok(log)) => Ok(log.created != self.log),
            _ => Ok(true),
        }
    }

    /// The records' metadata follows from the list's, so any successor can publish it. The list
    /// is the authority: records of one that is gone make room. Says whether any did; `None` when
    /// the list itself is gone.
    pub(super) async fn commit_records(&self, summary: &Summary) -> Result<Option<bool>, Failed> {
        let Some(records) = Uploaded::from_text(&summary.records) else {
            return Ok(Some(false));
        };
        let name = records_object(&summary.group);
        let description = format!("jetiter: the records of {}", summary.group);
        let bucket = self.broker.namespace.results_bucket();
        let info = records.info(bucket, &name, description, self.chunk, summary.to_metadata());
        let claim = Claim::List(summary);
        let published = self.publish_metadata(&info, summary.keep_ms, claim, Vec::new()).await?;
        Ok(match published {
            Published::Stored { over } => Some(over),
            Published::Taken(_) | Published::Void => None,
        })
    }

    /// A list that was deleted before its records were there must not leave them behind.
    pub(super) async fn drop_stray_records(&self, summary: &Summary) {
        // A server that is away has not said that the list is gone.
        let Ok(list) = self.broker.object_info(&summary.group).await else {
            return;
        };
        if list.is_some_and(|(_, info)| !info.deleted) {
            return;
        }
        let ns = &self.broker.namespace;
        let name = records_object(&summary.group);
        let ours = Uploaded::from_text(&summary.records).map(|records| records.nuid);
        if let Ok(Some((seq, records))) = self.broker.object_info(&name).await
            && Some(records.nuid) == ours
        {
            let (stream, subject) = (ns.results_stream(), ns.object_subject(&name));
            self.broker.purge(&stream, Some(&subject), Some(seq + 1)).await.ok();
        }
    }

    /// Saves a successor the question for the result; nothing rests on it.
    pub(super) async fn mark_done(&self, summary: &Summary) {
        let ns = &self.broker.namespace;
        let mut headers = wire::once_headers();
        headers.insert(wire::TTL, wire::ttl(self.done_ttl));
        let payload = serde_json::to_vec(summary).unwrap_or_default();
        let subject = ns.entry_subject(&summary.group, Key::Mark(Mark::Done));
        if let Err(refusal) = self.broker.store(subject, headers, payload.into()).await {
            tracing::debug!(group = summary.group, ?refusal, "no done mark");
        }
    }
}
