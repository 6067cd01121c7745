//! Ends a group before all of its items have run.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use jetiter_config::broker::Refusal;
use jetiter_config::names::GroupId;
use jetiter_config::wire::Summary;
use tokio::time::{Instant, sleep};

use crate::client::{Client, Remote};
use crate::error::Error;
use crate::status::Status;
use crate::wait::UNANSWERED;

/// How long between two tries to store a cancel.
const AGAIN: Duration = Duration::from_millis(250);

/// What asking for a group's end came to.
#[derive(Clone, Debug)]
pub enum Cancel {
    /// The cancel is stored. The group ends as cancelled, with the outcomes that it has, unless its
    /// last one comes first; [`Client::ended`] waits for it.
    Asked,
    /// It has ended already, and stays as it is.
    Finished(Summary),
    /// Nothing is known of it.
    Unknown,
}

impl Client {
    /// Asks for a group's end: what has not begun will not run, and functions that run are told
    /// through their context.
    pub async fn cancel(&self, group: &GroupId) -> Result<Cancel, Error> {
        match (self.status(group).await?, self.remote()) {
            (Some(Status::Finished(summary)), _) => Ok(Cancel::Finished(summary)),
            (Some(Status::Running { .. }), Some(remote)) => {
                remote.store_cancel(group).await.map(|()| Cancel::Asked)
            }
            _ => Ok(Cancel::Unknown),
        }
    }
}

impl Remote {
    /// Stores the cancel. A second one changes nothing, so it is sent again without care.
    async fn store_cancel(&self, group: &GroupId) -> Result<(), Error> {
        let patience = self.window.patience.min(UNANSWERED);
        let began = Instant::now();
        loop {
            let subject = self.broker.namespace.cancel_subject(group);
            let stored = self.broker.store(subject, HeaderMap::new(), Bytes::new()).await;
            let Err(refusal) = stored else { return Ok(()) };
            let hopeless = matches!(refusal, Refusal::NoStream | Refusal::TooLarge(_));
            if hopeless || began.elapsed() > patience {
                let (what, waited) = (format!("the cancel of {group}"), began.elapsed());
                return Err(Error::NotStored { what, waited, reason: refusal.to_string() });
            }
            tracing::debug!(%group, ?refusal, "the cancel is not stored yet, trying again");
            sleep(AGAIN).await;
        }
    }
}
