//! A long-lived pull, asked for again when half of it has come.

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;

use super::pipeline::closed;
use crate::cli::Failure;

/// How long a pull waits on the server, in nanoseconds: between two rounds nothing comes.
const EXPIRES: u64 = 30_000_000_000;

pub(super) struct Reader {
    client: Client,
    subject: String,
    inbox: String,
    messages: Subscriber,
    batch: usize,
    outstanding: usize,
}

impl Reader {
    pub(super) async fn open(
        client: &Client,
        stream: &str,
        consumer: &str,
        batch: usize,
    ) -> Result<Reader, Failure> {
        let inbox = client.new_inbox();
        Ok(Reader {
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            messages: client.subscribe(inbox.clone()).await?,
            client: client.clone(),
            inbox,
            batch,
            outstanding: 0,
        })
    }

    /// The next message. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            if self.outstanding <= self.batch / 2 {
                let more = self.batch - self.outstanding;
                let request = format!("{{\"batch\":{more},\"expires\":{EXPIRES}}}");
                let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
                self.client.publish_with_reply(subject, inbox, request.into()).await?;
                self.outstanding = self.batch;
            }
            let message = self.messages.next().await.ok_or_else(closed)?;
            if message.status.is_none() {
                self.outstanding -= 1;
                return Ok(message);
            }
            // A pull that is over says what it did not bring.
            let left = message.headers.as_ref().and_then(|h| h.get("Nats-Pending-Messages"));
            let left = left.and_then(|count| count.as_str().parse().ok());
            self.outstanding = left.map_or(0, |left| self.outstanding.saturating_sub(left));
        }
    }
}
