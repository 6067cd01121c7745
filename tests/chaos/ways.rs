//! The ways in which a group is submitted besides the plain one.

use std::io::Write;
use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::{StreamExt, stream};
use jetiter::{GroupId, Queue};
use tokio::time::sleep;

use crate::group::{Group, Way};
use crate::load::Submitter;

/// How many items of a plain publish are on their way at once.
const WINDOW: usize = 64;
/// How long before a message that was not stored is published again.
const AGAIN: Duration = Duration::from_millis(200);

impl Submitter {
    /// Submits a group in its way, whatever dies meanwhile.
    pub async fn submit(&self, group: &Group) -> Result<(), String> {
        match group.way {
            Way::Once => self.by_client(group).await,
            Way::Twice => {
                let again = async {
                    sleep(group.after).await;
                    self.items(group).await;
                };
                tokio::join!(self.by_client(group), again).0
            }
            Way::SealedFirst => {
                self.seal(group).await;
                self.items(group).await;
                Ok(())
            }
            Way::TakenUp => {
                self.by_program(group).await;
                self.by_client(group).await
            }
            Way::Cancelled => {
                let cancel = async {
                    sleep(group.after).await;
                    self.cancel(group).await;
                };
                tokio::join!(self.by_client(group), cancel).0
            }
        }
    }

    /// By a process that kills itself when so many items are stored, or is killed.
    async fn by_program(&self, group: &Group) {
        let mut file = tempfile::NamedTempFile::new_in(&self.stage.dir).unwrap();
        for argument in group.arguments() {
            writeln!(file, "{argument}").unwrap();
        }
        let function = group.function();
        let (function, from) = (function.as_str(), file.path().to_str().unwrap());
        let (id, retries) = (group.id.as_str(), group.retries.to_string());
        let points = match group.stored {
            0 => "client.sealing=return(kill)".to_owned(),
            stored if stored == group.items => "client.sealed=return(kill)".to_owned(),
            stored => format!("client.stored={stored}*off->return(kill)"),
        };
        let arguments =
            ["map", function, "--from", from, "--group", id, "--retries", &retries, "--detach"];
        let mut map = self.stage.engine.process_with(&arguments, &[("FAILPOINTS", &points)]);
        tokio::select! {
            status = map.exit() => self.stage.journal.note(&format!("{id}: map ends: {status}")),
            () = sleep(group.after) => map.kill().await,
        }
    }

    async fn items(&self, group: &Group) {
        let queue: Queue = "default".parse().unwrap();
        let subject = self.broker.namespace.item_subject(&queue, &group.id, &group.function(), 0);
        let nonce = GroupId::random();
        let item = |index: u32| {
            let id = format!("{nonce}.{index}");
            let mut headers = HeaderMap::new();
            headers.insert("Jetiter-Index", index.to_string());
            headers.insert("Nats-Msg-Id", id);
            headers.insert("Jetiter-Retries", group.retries.to_string());
            self.publish(subject.clone(), headers, group.argument(index).to_string())
        };
        stream::iter(0..group.items).map(item).buffer_unordered(WINDOW).collect::<()>().await;
    }

    async fn seal(&self, group: &Group) {
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", group.encoding.content_type());
        let subject = self.broker.namespace.seal_subject(&group.id);
        self.publish(subject, headers, group.items.to_string()).await;
    }

    async fn cancel(&self, group: &Group) {
        let subject = self.broker.namespace.cancel_subject(&group.id);
        self.publish(subject, HeaderMap::new(), String::new()).await;
    }

    /// Until it is stored.
    async fn publish(&self, subject: String, headers: HeaderMap, payload: String) {
        let payload = bytes::Bytes::from(payload);
        while self.broker.store(subject.clone(), headers.clone(), payload.clone()).await.is_err() {
            sleep(AGAIN).await;
        }
    }
}
