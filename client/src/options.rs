//! What a caller may choose for one group.

use std::time::Duration;

use jetiter_config::encoding::Encoding;
use jetiter_config::names::{GroupId, Queue, Span};
use jetiter_config::wire::Seal;

/// Choices for one group. They are read, never changed: one value serves any number of groups.
///
/// ```
/// use std::time::Duration;
/// use jetiter_client::Options;
///
/// let options = Options::new().label("nightly").retries(2).timeout(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) group: Option<GroupId>,
    pub(crate) queue: Option<Queue>,
    pub(crate) label: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: u32,
    pub(crate) cached: Option<Duration>,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) chunk: Option<Chunk>,
    pub(crate) notify: Option<String>,
}

/// How many arguments one message carries. Everything else stays per argument: results, records,
/// retries, time-outs, failures, progress.
///
/// A chunk is cheaper than its arguments one by one, and one worker runs it: cheap functions gain,
/// a few dear calls lose. A chunk also ends where its message is full, and when the iterable
/// pauses.
///
/// ```
/// use jetiter_client::{Chunk, Options};
///
/// let options = Options::new().chunk(Chunk::of(1000));
/// let options = Options::new().chunk(Chunk::auto());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk(Size);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Of(u32),
    Auto,
}

impl Chunk {
    /// The most arguments of one chunk.
    pub const MAX: u32 = Span::MAX_COUNT;
    /// The most arguments, and about the most bytes, of a chunk that [`auto`](Self::auto) makes.
    const AUTO_MAX: u32 = 1000;
    const AUTO_BYTES: usize = 64 << 10;

    /// So many arguments: from 1 to [`MAX`](Self::MAX), anything else is taken for the nearer of
    /// these.
    pub fn of(count: u32) -> Chunk {
        Chunk(Size::Of(count.clamp(1, Chunk::MAX)))
    }

    /// A hundredth of the arguments so far, at most 1000 and 64 KiB: a small group stays one
    /// argument a message, a large one is soon cheap.
    pub fn auto() -> Chunk {
        Chunk(Size::Auto)
    }

    /// How many arguments the next chunk takes behind so many others.
    pub(crate) fn count(self, before: u32) -> u32 {
        match self.0 {
            Size::Of(count) => count,
            Size::Auto => (before / 100).clamp(1, Chunk::AUTO_MAX),
        }
    }

    /// How many bytes it takes where a message takes so many.
    pub(crate) fn bytes(self, limit: usize) -> usize {
        match self.0 {
            Size::Of(_) => limit,
            Size::Auto => limit.min(Chunk::AUTO_BYTES),
        }
    }
}

impl Options {
    /// A new id, the queue `default`, no label, the worker's own time-out, no retries, a result
    /// that is kept for ever, CBOR, one argument a message.
    pub fn new() -> Options {
        Options::default()
    }

    /// The group's id. The same id again, with the same arguments in the same order, takes up a
    /// submission that was broken off; an id that has a result is refused.
    pub fn group(self, group: GroupId) -> Options {
        Options { group: Some(group), ..self }
    }

    /// The queue whose workers run the items. Default: `default`.
    pub fn queue(self, queue: Queue) -> Options {
        Options { queue: Some(queue), ..self }
    }

    /// A name for people, kept with the result: at most 256 bytes, no line breaks.
    pub fn label(self, label: impl Into<String>) -> Options {
        Options { label: Some(label.into()), ..self }
    }

    /// How long one attempt at an item may take, in whole milliseconds. Default: what the worker says.
    pub fn timeout(self, timeout: Duration) -> Options {
        let millis = timeout.as_millis().clamp(1, u128::from(u64::MAX));
        Options { timeout: Some(Duration::from_millis(millis as u64)), ..self }
    }

    /// How often an item is tried again after its function failed, panicked or took too long.
    /// Default: 0. An item whose worker died is run again in any case.
    pub fn retries(self, retries: u32) -> Options {
        Options { retries, ..self }
    }

    /// How long the result is kept after its end; at least a second, and from a hundred years on
    /// for ever. Default: for ever.
    pub fn cached(self, keep: Duration) -> Options {
        let keep = keep.max(Duration::from_secs(1));
        Options { cached: (keep < Seal::FOR_EVER).then_some(keep), ..self }
    }

    /// How arguments and the list are written. Default: CBOR.
    pub fn encoding(self, encoding: Encoding) -> Options {
        Options { encoding: Some(encoding), ..self }
    }

    /// Several arguments in one message. Default: one.
    pub fn chunk(self, chunk: Chunk) -> Options {
        Options { chunk: Some(chunk), ..self }
    }

    /// The subject on which the group's end is told, through a stream if one takes it. It must begin
    /// with what `collator.notify` allows: with another one the seal is refused, which
    /// [`Client::rejected`](crate::Client::rejected) tells. Nothing is told of a group that runs
    /// inline. Default: none.
    pub fn notify(self, subject: impl Into<String>) -> Options {
        Options { notify: Some(subject.into()), ..self }
    }

    pub(crate) fn chunks(&self) -> Chunk {
        self.chunk.unwrap_or(Chunk::of(1))
    }

    pub(crate) fn written_as(&self) -> Encoding {
        self.encoding.unwrap_or(Encoding::Cbor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_a_bounded_size() {
        assert_eq!((Chunk::of(0).count(0), Chunk::of(u32::MAX).count(0)), (1, Chunk::MAX));
        let auto: Vec<_> =
            [0, 199, 200, 5000, 100_000, u32::MAX].map(|before| Chunk::auto().count(before)).into();
        assert_eq!(auto, [1, 1, 2, 50, 1000, 1000]);
    }
}
