//! The commit: one message, the list's metadata. What follows it anybody can do again.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::object_store::ObjectInfo;
use jetiter_config::crash_point;
use jetiter_config::names::{Entry as Key, Mark, records_object};
use jetiter_config::wire::{self, Summary};

use super::collation::{Collated, Collation, Failed};
use super::draft::Draft;
use super::upload::Uploaded;
use crate::tally::Verdict;

/// What became of an object's metadata.
enum Published {
    /// It stands; `over` says whether something stood there before.
    Stored { over: bool },
    /// Another live object has the name.
    Taken(Box<ObjectInfo>),
}

impl Collation {
    /// Finishes both uploads and publishes the list's metadata: the commit.
    pub(super) async fn commit(
        &self,
        verdict: &Verdict,
        mut draft: Draft,
    ) -> Result<Collated, Failed> {
        draft.close().await?;
        // The records' chunks are whole before the list's metadata names them: whoever finds the
        // one can publish the other.
        let records = draft.records.finish().await?;
        let list = draft.list.finish().await?;
        let seal = verdict.seal.as_ref();
        let summary = Summary {
            group: verdict.group.clone(),
            state: verdict.state,
            encoding: draft.encoding,
            total: seal.map(|seal| seal.total),
            ok: draft.ok,
            failed: draft.failed,
            extra: draft.extra,
            function: seal.and_then(|seal| seal.function.clone()),
            label: seal.and_then(|seal| seal.label.clone()),
            keep_ms: seal.and_then(|seal| seal.keep_ms),
            started_ms: verdict.started,
            finished_ms: verdict.finished,
            cut: verdict.cut,
            log: self.log.clone(),
            records: records.to_text(),
        };
        let description = format!("jetiter: {} items, {} failed", summary.len(), summary.failed);
        let bucket = self.broker.namespace.results_bucket();
        let metadata = summary.to_metadata();
        let info = list.info(bucket, &verdict.group, description, self.chunk, metadata);
        crash_point("collator.uploaded");
        let published = self.publish_metadata(&info, summary.keep_ms, false).await?;
        crash_point("collator.committed");
        match published {
            Published::Stored { over } => Ok(Collated::Committed { summary, leftovers: over }),
            Published::Taken(winner) => Ok(self.judge(verdict, *winner)),
        }
    }

    /// Publishes an object's metadata. A live object that has the name stays, unless `replace`.
    async fn publish_metadata(
        &self,
        info: &ObjectInfo,
        keep_ms: Option<u64>,
        replace: bool,
    ) -> Result<Published, Failed> {
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
            let stored = self.broker.store(subject.clone(), headers, payload.clone().into()).await;
            let refusal = match stored {
                Ok(_) => return Ok(Published::Stored { over: expected != 0 }),
                Err(refusal) => refusal,
            };
            let found = self.broker.object_info(&info.name).await;
            match found.map_err(|error| error.to_string())? {
                // Stored after all, only the answer was lost.
                Some((_, found)) if found.nuid == info.nuid => {
                    return Ok(Published::Stored { over: expected != 0 });
                }
                Some((_, found)) if !found.deleted && !replace => {
                    return Ok(Published::Taken(Box::new(found)));
                }
                // Deleted by somebody, or to be replaced: behind it is its place.
                Some((before, _)) if expected != before => expected = before,
                None if expected != 0 => expected = 0,
                _ => return Err(Failed::Again(format!("the result is not stored: {refusal:?}"))),
            }
        }
    }

    /// The records' metadata follows from the list's, so any successor can publish it. The list
    /// is the authority: records of one that is gone make room. Says whether any did.
    pub(super) async fn commit_records(&self, summary: &Summary) -> Result<bool, Failed> {
        let Some(records) = Uploaded::from_text(&summary.records) else {
            return Ok(false);
        };
        let name = records_object(&summary.group);
        let description = format!("jetiter: the records of {}", summary.group);
        let bucket = self.broker.namespace.results_bucket();
        let info = records.info(bucket, &name, description, self.chunk, summary.to_metadata());
        let published = self.publish_metadata(&info, summary.keep_ms, true).await?;
        Ok(matches!(published, Published::Stored { over: true }))
    }

    /// A list that was deleted before its records were there must not leave them behind.
    pub(super) async fn drop_stray_records(&self, summary: &Summary) {
        let list = self.broker.object_info(&summary.group).await;
        if list.is_ok_and(|list| list.is_some_and(|(_, info)| !info.deleted)) {
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
