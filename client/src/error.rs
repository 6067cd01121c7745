//! The client's errors.

use std::time::Duration;

/// What can go wrong between a program and its results. That an item fails is no error here: it
/// is in the records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings, names, connection, assets.
    #[error(transparent)]
    Config(#[from] jetiter_config::Error),
    /// The group has a result already: an id is for one group.
    #[error("the group {group} has a result already: use a new id, or delete that result first")]
    GroupExists {
        /// The group.
        group: String,
    },
    /// The group was sealed with another total before.
    #[error("the group {group} is sealed with {first} items already, {second} came now")]
    SealedTwice {
        /// The group.
        group: String,
        /// The total that counts.
        first: u32,
        /// The total that came now.
        second: u64,
    },
    /// The argument of one item can't be written.
    #[error(
        "the argument of item {index} can't be sent, and the group {group} is not sealed: {reason}"
    )]
    Argument {
        /// The group; nothing of it is lost, and it ends as abandoned if nobody takes it up.
        group: String,
        /// The item.
        index: u64,
        /// Why.
        reason: String,
    },
    /// More items than a group can have.
    #[error("a group has at most {} items: split the iterable", u32::MAX)]
    TooManyItems,
    /// An item's message id had been used although it was its first try: something else publishes
    /// with our ids, and the item is not stored.
    #[error("item {index} of the group {group} was taken for a duplicate and is not stored")]
    TakenForDuplicate {
        /// The group.
        group: String,
        /// The item.
        index: u64,
    },
    /// The server stored nothing for this long.
    #[error(
        "{what} was not stored for {waited:.1?}: {reason}; submit again when the server is well, or \
         raise submit.patience"
    )]
    NotStored {
        /// What was published.
        what: String,
        /// How long it was tried.
        waited: Duration,
        /// The server's last word.
        reason: String,
    },
    /// A request of the JetStream API failed.
    #[error("{what}: {reason}")]
    Api {
        /// What was asked for.
        what: String,
        /// The answer.
        reason: String,
    },
    /// The list's values are not of the type that was asked for.
    #[error("the result of the group {group} is not a list of {wanted}: {reason}{hint}")]
    WrongType {
        /// The group.
        group: String,
        /// The type asked for.
        wanted: &'static str,
        /// What does not fit.
        reason: String,
        /// What may help.
        hint: String,
    },
    /// The object under the group's name is no result of ours, or its bytes are damaged.
    #[error("the result of the group {group} can't be read: {reason}")]
    Damaged {
        /// The group.
        group: String,
        /// What is wrong.
        reason: String,
    },
    /// The result was there when the reading of it began.
    #[error("the result of the group {group} expired or was deleted while it was read")]
    Gone {
        /// The group.
        group: String,
    },
    /// The client that runs inline got functions that can't be served.
    #[error("{0}")]
    Functions(String),
    /// An [`Iter`](crate::Iter) was asked for a result before it was run.
    #[error("nothing was run yet: call run() first")]
    NotRun,
}
