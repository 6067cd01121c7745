//! Every subject, key and asset name, built and taken apart in one place.
//!
//! JetStream stores a published literal `*` or `>` like any other token, so what comes from
//! outside is checked here on both sides: no token type can hold a wildcard, a dot or a space.

mod item;
mod key;
mod lane;
mod notify;
mod span;
mod subject;
mod token;

pub use item::{Delivery, ItemId};
pub use key::{Entry, Mark};
pub use lane::Lane;
pub use notify::check_notify;
pub(crate) use notify::is_notify_prefix;
pub use span::Span;
pub use subject::{COLLATOR_CONSUMER, Control, LEASE_KEY, Work, records_object};
pub use token::{Function, GroupId, MAX_FUNCTION, MAX_TOKEN, Namespace, Queue};
