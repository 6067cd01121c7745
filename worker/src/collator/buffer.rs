//! The outcomes of live groups, on their way from the log to their lists: kept in memory while
//! they are few, handed on to be written where they are many.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::outcome::{Of, Stored};

/// So many bytes of one group are worth a chunk of its list, and some of its records.
const RIPE: usize = 1 << 20;

/// Outcomes of one group in log order, close together in memory.
pub(crate) struct Batch {
    outcomes: Vec<Outcome>,
    bytes: Vec<u8>,
    charge: Charge,
}

/// An outcome in a batch: its texts and its payload stand one behind the other.
struct Outcome {
    of: Of,
    failed: bool,
    content_type: Option<u16>,
    run: u16,
    payload: u32,
}

impl Batch {
    fn new(budget: &Arc<Budget>) -> Batch {
        let charge = Charge { budget: budget.clone(), bytes: 0 };
        Batch { outcomes: Vec::new(), bytes: Vec::new(), charge }
    }

    fn push(&mut self, stored: &Stored<'_>) {
        // A header that long is none of ours.
        let short = |text: &'_ str| u16::try_from(text.len()).unwrap_or(0);
        let content_type = stored.content_type.map(short);
        let (run, payload) = (short(stored.run), stored.payload.len() as u32);
        let texts = stored.content_type.filter(|_| content_type != Some(0)).unwrap_or_default();
        let before = self.bytes.len();
        self.bytes.extend_from_slice(texts.as_bytes());
        self.bytes.extend_from_slice(&stored.run.as_bytes()[..usize::from(run)]);
        self.bytes.extend_from_slice(stored.payload);
        let (of, failed) = (stored.of, stored.failed);
        self.outcomes.push(Outcome { of, failed, content_type, run, payload });
        self.charge.add(size_of::<Outcome>() + self.bytes.len() - before);
    }

    /// The outcomes, in the order of the log.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Stored<'_>> {
        let mut rest = self.bytes.as_slice();
        self.outcomes.iter().map(move |outcome| {
            let mut next = |length: usize| {
                let (next, behind) = rest.split_at(length);
                rest = behind;
                next
            };
            let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
            Stored {
                of: outcome.of,
                failed: outcome.failed,
                content_type: outcome.content_type.map(|length| text(next(length.into()))),
                run: text(next(outcome.run.into())),
                payload: next(outcome.payload as usize),
            }
        })
    }
}

/// How much memory outcomes may take, and how much they do.
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    freed: Notify,
}

/// The part of the budget that a batch takes, until it is dropped.
struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.freed.notify_one();
    }
}

/// Outcomes by group, within a budget.
pub(crate) struct Buffer {
    budget: Arc<Budget>,
    /// The bytes of the groups here; what was handed on counts in the budget until it is written.
    kept: usize,
    groups: HashMap<String, Batch>,
}

impl Buffer {
    pub(crate) fn new(limit: usize) -> Buffer {
        let budget = Budget { limit, used: AtomicUsize::new(0), freed: Notify::new() };
        Buffer { budget: Arc::new(budget), kept: 0, groups: HashMap::new() }
    }

    /// Keeps an outcome; what is ripe to be written is handed on.
    pub(crate) fn keep(&mut self, group: &str, stored: &Stored<'_>) -> Vec<(String, Batch)> {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), Batch::new(&self.budget));
        }
        let Some(batch) = self.groups.get_mut(group) else {
            return Vec::new();
        };
        let before = batch.charge.bytes;
        batch.push(stored);
        self.kept += batch.charge.bytes - before;
        if batch.charge.bytes >= RIPE {
            return self.take(group).map(|batch| (group.to_owned(), batch)).into_iter().collect();
        }
        if self.kept > self.budget.limit / 2 { self.heaviest() } else { Vec::new() }
    }

    /// The heaviest groups, an eighth of the budget together: what is handed on in large pieces
    /// costs little, and so it comes seldom.
    fn heaviest(&mut self) -> Vec<(String, Batch)> {
        let mut by_weight: Vec<(usize, String)> =
            self.groups.iter().map(|(group, batch)| (batch.charge.bytes, group.clone())).collect();
        by_weight.sort_unstable_by(|a, b| b.cmp(a));
        let mut ripe = Vec::new();
        for (_, group) in by_weight {
            if self.kept <= self.budget.limit * 3 / 8 {
                break;
            }
            ripe.extend(self.take(&group).map(|batch| (group, batch)));
        }
        ripe
    }

    /// Takes out what is kept of a group.
    pub(crate) fn take(&mut self, group: &str) -> Option<Batch> {
        let batch = self.groups.remove(group)?;
        self.kept -= batch.charge.bytes;
        Some(batch)
    }

    /// A group without outcomes.
    pub(crate) fn nothing(&self) -> Batch {
        Batch::new(&self.budget)
    }

    /// Whether so much waits to be written that no more should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.budget.used.load(Ordering::Relaxed) - self.kept > self.budget.limit / 2
    }

    /// Waits until some of it is written.
    pub(crate) async fn freed(&self) {
        self.budget.freed.notified().await;
    }

    /// Forgets what is kept.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.kept = 0;
    }
}

#[cfg(test)]
mod tests {
    use jetiter_config::names::ItemId;

    use super::*;

    fn outcome(index: u32, payload: &[u8]) -> Stored<'_> {
        Stored {
            of: Of::Item(ItemId::Index(index)),
            failed: index % 2 == 1,
            content_type: (!index.is_multiple_of(3)).then_some("application/cbor"),
            run: if !index.is_multiple_of(5) { "1 2 3 me" } else { "" },
            payload,
        }
    }

    #[test]
    fn what_is_kept_comes_out_as_it_came_in() {
        let mut buffer = Buffer::new(1 << 20);
        let wanted: Vec<_> = (0..30).map(|index| outcome(index, &b"abcdefg"[..3])).collect();
        for stored in &wanted {
            assert!(buffer.keep("g", stored).is_empty());
        }
        let batch = buffer.take("g").unwrap();
        assert_eq!(batch.iter().collect::<Vec<_>>(), wanted);
        assert!(buffer.take("g").is_none());
    }

    #[test]
    fn over_half_of_the_budget_the_heaviest_are_handed_on() {
        let mut buffer = Buffer::new(80_000);
        let mut ripe = Vec::new();
        for index in 0..30 {
            ripe.extend(buffer.keep("big", &outcome(index, &[0; 1000])));
        }
        for index in 0..15 {
            ripe.extend(buffer.keep("small", &outcome(index, &[0; 500])));
        }
        for index in 0..10 {
            ripe.extend(buffer.keep("big", &outcome(index, &[0; 1000])));
        }
        let groups: Vec<_> = ripe.iter().map(|(group, _)| group.as_str()).collect();
        assert_eq!(groups, ["big"]);
        assert!(
            buffer.kept > 0 && buffer.take("small").is_some_and(|batch| batch.iter().count() == 15)
        );
        assert!(!buffer.is_full());
    }

    #[tokio::test]
    async fn what_is_handed_on_counts_until_it_is_dropped() {
        let mut buffer = Buffer::new(RIPE);
        let large = vec![0; RIPE];
        let ripe = buffer.keep("g", &outcome(0, &large));
        assert!(buffer.is_full());
        drop(ripe);
        buffer.freed().await;
        assert!(!buffer.is_full());
    }
}
