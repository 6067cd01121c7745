//! Publishes with many acknowledgements on their way, all to one inbox: no request and no channel
//! for each of them.

use std::collections::HashMap;

use async_nats::{Client, HeaderMap, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;

use crate::cli::Failure;

/// Messages on their way, each with something kept until the server has stored it.
pub(super) struct Pipeline<T> {
    client: Client,
    inbox: String,
    answers: Subscriber,
    kept: HashMap<u64, T>,
    sent: u64,
    window: usize,
}

/// The server's word on a publish, of which only this matters.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<serde_json::Value>,
}

impl<T> Pipeline<T> {
    pub(super) async fn open(client: &Client, window: usize) -> Result<Pipeline<T>, Failure> {
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await?;
        let (client, kept) = (client.clone(), HashMap::with_capacity(window));
        Ok(Pipeline { client, inbox, answers, kept, sent: 0, window })
    }

    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= self.window
    }

    pub(super) fn in_flight(&self) -> usize {
        self.kept.len()
    }

    pub(super) async fn send(
        &mut self,
        subject: impl Into<Subject>,
        headers: HeaderMap,
        payload: Bytes,
        keep: T,
    ) -> Result<(), Failure> {
        self.sent += 1;
        let reply = format!("{}.{}", self.inbox, self.sent);
        self.kept.insert(self.sent, keep);
        let sent =
            self.client.publish_with_reply_and_headers(subject.into(), reply, headers, payload);
        Ok(sent.await?)
    }

    /// Waits for an acknowledgement; what was kept for it. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<T, Failure> {
        let message = self.answers.next().await.ok_or_else(closed)?;
        let answer: Answer = serde_json::from_slice(&message.payload)?;
        if let Some(error) = answer.error {
            return Err(Failure::new(format!("a message of the bare loop is refused: {error}")));
        }
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let kept = number.and_then(|number: u64| self.kept.remove(&number));
        kept.ok_or_else(|| Failure::new("an answer to nothing that was published"))
    }
}

pub(super) fn closed() -> Failure {
    Failure::new("the bare loop's connection is closed")
}
