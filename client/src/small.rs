//! Small groups: what a group has at once is looked at first, and if that is all of it, it goes in one
//! round trip.

use futures_util::{FutureExt, Stream, StreamExt};
use jetiter_config::broker::Outgoing;
use jetiter_config::crash_point;
use serde::Serialize;

use crate::buffer::{Buffer, Filled};
use crate::error::Error;
use crate::submit::Submission;

/// So many messages, and so many bytes of them, are looked at before the first one is sent: a group that
/// ends within them goes in one burst.
const HEAD: usize = 16;
const HEAD_BYTES: usize = 64 << 10;

/// The first messages of a group.
#[derive(Default)]
pub(crate) struct Head {
    pub(crate) messages: Vec<Filled>,
    /// There are no others.
    pub(crate) is_all: bool,
}

impl Submission<'_> {
    /// The first arguments, as far as they are there at once.
    pub(crate) async fn head<A: Serialize>(
        &self,
        mut arguments: impl Stream<Item = A> + Unpin,
        buffer: &mut Buffer,
    ) -> Result<Head, Error> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < HEAD.min(self.window.window) && bytes < HEAD_BYTES {
            match arguments.next().now_or_never() {
                Some(Some(argument)) => {
                    let filled = self.add(buffer, &argument)?;
                    let full = if buffer.is_full() { buffer.take() } else { None };
                    for filled in filled.into_iter().chain(full) {
                        bytes += filled.payload.len();
                        messages.push(filled);
                    }
                }
                Some(None) => {
                    messages.extend(buffer.take());
                    return Ok(Head { messages, is_all: true });
                }
                None => break,
            }
        }
        Ok(Head { messages, is_all: false })
    }

    /// A small group goes in one burst, the seal last: it is stored only if every item was, and nobody
    /// waits for their acknowledgements.
    pub(crate) async fn submit_whole(
        &self,
        messages: Vec<Filled>,
        total: u32,
    ) -> Result<(), Error> {
        crash_point("client.sealing");
        if messages.is_empty() {
            return self.seal(total).await;
        }
        let item = |filled: &Filled| Outgoing {
            subject: self.item_subject(filled.span).into(),
            headers: self.item_headers(filled.span),
            payload: filled.payload.clone(),
        };
        let (subject, headers, payload) = self.seal_message(total);
        let seal = Outgoing { subject: subject.into(), headers, payload };
        let burst = messages.iter().map(item).chain([seal]).collect();
        if let Err(refusal) = self.broker.burst(burst).await {
            tracing::debug!(group = %self.group, %refusal, "published one by one");
            for Filled { span, payload } in messages {
                let again = || (self.item_subject(span), self.item_headers(span), payload.clone());
                self.store(Some(span.first()), None, again).await?;
            }
            self.store(None, None, || self.seal_message(total)).await?;
        }
        crash_point("client.sealed");
        Ok(())
    }
}
