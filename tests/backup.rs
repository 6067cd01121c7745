//! What `nats stream backup` and `nats stream restore` do, over the JetStream API.

use async_nats::{Client, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::within;

/// A stream as it was: its configuration, its state and its messages.
pub struct Backup {
    name: String,
    request: Value,
    chunks: Vec<Bytes>,
}

impl Backup {
    /// Takes a snapshot, with the consumers.
    pub async fn of(client: &Client, stream: &str) -> Backup {
        let inbox = client.new_inbox();
        let mut chunks = client.subscribe(inbox.clone()).await.unwrap();
        let request = json!({ "deliver_subject": inbox, "chunk_size": 64 << 10 });
        let answer = ask(client, format!("$JS.API.STREAM.SNAPSHOT.{stream}"), &request).await;
        let mut backup = Backup {
            name: stream.to_owned(),
            request: json!({ "config": answer["config"], "state": answer["state"] }),
            chunks: Vec::new(),
        };
        loop {
            let Message { payload, reply, .. } = within(chunks.next()).await.unwrap();
            if payload.is_empty() {
                return backup;
            }
            backup.chunks.push(payload);
            if let Some(reply) = reply {
                client.publish(reply, "".into()).await.unwrap();
            }
        }
    }

    /// Deletes the stream and restores it to what it was.
    pub async fn restore(&self, client: &Client) {
        let name = &self.name;
        ask(client, format!("$JS.API.STREAM.DELETE.{name}"), &json!({})).await;
        let restore = format!("$JS.API.STREAM.RESTORE.{name}");
        let answer = ask(client, restore, &self.request).await;
        let to = answer["deliver_subject"].as_str().unwrap().to_owned();
        for chunk in &self.chunks {
            within(client.request(to.clone(), chunk.clone())).await.unwrap();
        }
        let end = within(client.request(to, "".into())).await.unwrap();
        told(&end.payload);
    }
}

async fn ask(client: &Client, subject: String, request: &Value) -> Value {
    let answer = within(client.request(subject, request.to_string().into())).await.unwrap();
    told(&answer.payload)
}

fn told(answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    assert_eq!(answer["error"], Value::Null);
    answer
}
