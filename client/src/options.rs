//! What a caller may choose for one group.

use std::time::Duration;

use jetiter_config::encoding::Encoding;
use jetiter_config::names::{GroupId, Queue};
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
}

impl Options {
    /// A new id, the queue `default`, no label, the worker's own time-out, no retries, a result
    /// that is kept for ever, CBOR.
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

    pub(crate) fn written_as(&self) -> Encoding {
        self.encoding.unwrap_or(Encoding::Cbor)
    }
}
