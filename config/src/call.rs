//! The one question that submitter's side and worker's side share: run this item.
//!
//! The client asks it of a worker's functions directly when it runs a group inline.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::encoding::Encoding;
use crate::names::{Function, GroupId, ItemId};
use crate::wire::ItemError;

/// One item, ready to run.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its group.
    pub group: GroupId,
    /// Who it is in the group.
    pub id: ItemId,
    /// What to run.
    pub function: Function,
    /// The argument.
    pub argument: Bytes,
    /// How argument and value are written.
    pub encoding: Encoding,
    /// How often it was handed to a worker, this time included.
    pub attempt: u32,
    /// How long the function may take.
    pub timeout: Duration,
}

/// The value, in the item's encoding, or why there is none.
pub type Outcome = Result<Vec<u8>, ItemError>;

/// Runs items. A worker's functions do.
pub trait Call: Send + Sync {
    /// What is wrong with the functions themselves, if anything is.
    fn check(&self) -> Result<(), String>;

    /// Runs one item to its outcome: once, without retries. Never panics, and ends within the
    /// item's time-out.
    fn call(&self, item: Item) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
}
