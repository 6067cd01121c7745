//! End to end, against a real nats-server: one server for the whole run, a namespace per test.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod harness;

/// The whole way of one group, as the document behind jetiter describes it.
mod map;

/// What the README says about settings is true.
mod readme;

/// The client: waiting, options, looking at groups, deleting.
mod client;

/// What docs/django-q.md names is there.
mod docs;
