//! Tells whoever asks which functions a worker serves.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use jetiter_config::broker::Broker;
use jetiter_config::names::Queue;
use jetiter_config::wire::{Serving, Signature};
use tokio::time::sleep;

/// How long between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// Answers for a worker until it is dropped.
pub(crate) async fn tell_serving(
    broker: &Broker,
    queue: &Queue,
    functions: &[Signature],
) -> Infallible {
    let serving = Serving { queue: queue.to_string(), functions: functions.to_vec() };
    let answer: Bytes = serde_json::to_vec(&serving).unwrap_or_default().into();
    loop {
        match broker.client.subscribe(broker.namespace.serving_subject()).await {
            Ok(mut questions) => {
                while let Some(question) = questions.next().await {
                    if let Some(reply) = question.reply {
                        // Whoever asked asks again.
                        broker.client.publish(reply, answer.clone()).await.ok();
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "nobody hears what is served here"),
        }
        sleep(AGAIN).await;
    }
}
