//! What of a chunk is in the cache, and what its items came to on the way there.

use std::collections::VecDeque;

use futures_util::TryStreamExt;
use jetiter_config::call::Item;
use jetiter_config::names::{Entry, ItemId, Span};
use jetiter_config::wire::{self, ItemError, OutcomesWriter};

use crate::chunk::{Chunk, Ended, PART};
use crate::executor::Executor;
use crate::hand::Held;

impl Executor {
    /// The offsets of those that have no outcome. Saves work and decides nothing: without an answer
    /// all of them run.
    pub(crate) async fn missing(&self, item: &Item, span: Span) -> VecDeque<u32> {
        if self.is_in_cache(item, Entry::Outcomes(span)).await {
            // As it mostly is: stored at once, and the worker died before its ack.
            return VecDeque::new();
        }
        let mut there = vec![false; span.count() as usize];
        let entries = self.entries(item).await.unwrap_or_else(|reason| {
            tracing::debug!(group = %item.group, reason, "what is stored is not known");
            Vec::new()
        });
        for entry in entries {
            let indexes = match entry {
                Entry::Outcomes(other) => other.indexes(),
                Entry::Outcome(ItemId::Index(index)) => index..index.saturating_add(1),
                _ => continue,
            };
            let start = indexes.start.max(span.first());
            for index in start..indexes.end.min(span.indexes().end) {
                there[(index - span.first()) as usize] = true;
            }
        }
        (0..span.count()).filter(|offset| !there[*offset as usize]).collect()
    }

    /// The outcomes that a group has; async-nats turns the pages.
    async fn entries(&self, item: &Item) -> Result<Vec<Entry>, String> {
        let ns = &self.broker.namespace;
        let stream = self.broker.jetstream.get_stream_no_info(ns.cache_stream()).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let subjects = stream.info_with_subjects(ns.outcomes_filter(item.group.as_str())).await;
        let subjects = subjects.map_err(|error| error.to_string())?;
        let subjects: Vec<String> = subjects
            .map_ok(|(subject, _)| subject)
            .try_collect()
            .await
            .map_err(|error| error.to_string())?;
        let entry = |subject: &String| Some(ns.parse_entry(subject)?.1);
        Ok(subjects.iter().filter_map(entry).collect())
    }

    /// Stores what has ended, in as few entries as it fits: neighbours together.
    pub(crate) async fn store_ended(&self, held: &Held, chunk: &Chunk, mut ended: Vec<Ended>) {
        ended.sort_unstable_by_key(|one| one.offset);
        let bound = self.largest().min(PART);
        let (mut part, mut size) = (Vec::<Ended>::new(), 0);
        for mut one in ended {
            one.outcome = self.fitting(one.outcome);
            let more = OutcomesWriter::most(&one.outcome);
            let follows = part.last().is_none_or(|last| last.offset + 1 == one.offset);
            if !follows || size + more > bound {
                self.store_part(held, chunk, std::mem::take(&mut part)).await;
                size = 0;
            }
            size += more;
            part.push(one);
        }
        self.store_part(held, chunk, part).await;
    }

    async fn store_part(&self, held: &Held, chunk: &Chunk, part: Vec<Ended>) {
        if part.len() > 1 && self.store_together(held, chunk, &part).await.is_ok() {
            return;
        }
        for one in part {
            let item = chunk.item(one.offset);
            self.keep(held.origin, &item, one.outcome, one.ran).await;
        }
    }

    /// An error says that they must go one by one.
    async fn store_together(
        &self,
        held: &Held,
        chunk: &Chunk,
        part: &[Ended],
    ) -> Result<(), String> {
        let first = chunk.span.first() + part.first().map_or(0, |one| one.offset);
        let span = Span::new(first, part.len() as u32).ok_or("no span")?;
        let encoding = held.item.encoding;
        let mut writer = OutcomesWriter::new(encoding);
        for one in part {
            let outcome = one.outcome.as_deref().map_err(ItemError::clone);
            writer.push(outcome, one.ran);
        }
        // The collator reads an entry that says so for the errors in it, to tell of them at once.
        let failed = writer.has_errors();
        let written = writer.finish(self.name.clone());
        let (run, payload) = written.map_err(|error| error.to_string())?;
        let headers = || wire::outcome_headers(encoding, &run, failed);
        self.put(held.origin, &held.item, Entry::Outcomes(span), headers, payload.into()).await
    }
}
