//! A client that knows the protocol's table and none of jetiter's code, as one in any language.

use std::collections::HashMap;

use async_nats::jetstream;
use async_nats::{Client, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use jetiter::Settings;
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::harness::{Engine, eventually, within};

/// The headers of a message, as one writes them after `nats pub -H`.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

pub struct Plain {
    pub client: Client,
    pub ns: String,
    jetstream: jetstream::Context,
}

impl Plain {
    pub async fn of(engine: &Engine) -> Plain {
        Plain::at(&engine.settings).await
    }

    pub async fn at(settings: &Settings) -> Plain {
        let servers: Vec<&str> = settings.server.split(',').collect();
        let client = async_nats::connect(servers).await.unwrap();
        Plain { jetstream: jetstream::new(client.clone()), ns: settings.namespace.clone(), client }
    }

    /// Publishes and returns the server's word, as `nats pub -J` shows it.
    pub async fn publish(
        &self,
        subject: &str,
        headers: Headers<'_>,
        payload: impl Into<Bytes>,
    ) -> Value {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let answer = self.client.request_with_headers(subject.to_owned(), map, payload.into());
        let answer = within(answer).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Publishes what the server must store.
    pub async fn stored(
        &self,
        subject: &str,
        headers: Headers<'_>,
        payload: impl Into<Bytes>,
    ) -> Value {
        let answer = self.publish(subject, headers, payload).await;
        assert_eq!(answer["error"], Value::Null, "{subject}");
        answer
    }

    /// One item of the queue `default`.
    pub async fn item(
        &self,
        group: &str,
        function: &str,
        headers: Headers<'_>,
        argument: impl Into<Bytes>,
    ) -> Value {
        let subject = format!("{}.item.default.{group}.{function}", self.ns);
        self.stored(&subject, headers, argument).await
    }

    /// Items of `math.floor` whose arguments are half above their index.
    pub async fn items(&self, group: &str, indexes: impl IntoIterator<Item = u32>) {
        for index in indexes {
            let headers = [("Jetiter-Index", &*index.to_string())];
            self.item(group, "math.floor", &headers, format!("{index}.5")).await;
        }
    }

    pub async fn seal(&self, group: &str, headers: Headers<'_>, total: impl Into<Bytes>) {
        let subject = format!("{}.seal.{group}", self.ns);
        self.stored(&subject, headers, total).await;
    }

    /// The subject of a key in the cache.
    pub fn key(&self, key: &str) -> String {
        format!("$KV.{}-cache.{key}", self.ns)
    }

    /// What a key in the cache holds.
    pub async fn kept(&self, key: &str) -> Option<Value> {
        let subject = format!("$JS.API.STREAM.MSG.GET.KV_{}-cache", self.ns);
        let request = serde_json::json!({ "last_by_subj": self.key(key) }).to_string();
        let answer = self.client.request(subject, request.into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        answer.get("message").cloned()
    }

    /// Waits until the cache holds a key.
    pub async fn until_kept(&self, key: &str) -> Value {
        eventually(key, async || self.kept(key).await.is_some()).await;
        self.kept(key).await.unwrap()
    }

    /// All of a group's events, whatever their kind.
    pub async fn events(&self, group: &str) -> Events {
        let subject = format!("{}.event.{group}.*", self.ns);
        let events = self.client.subscribe(subject).await.unwrap();
        self.client.flush().await.unwrap();
        Events { events }
    }

    pub async fn object(&self, name: &str) -> Option<Vec<u8>> {
        let bucket = format!("{}-results", self.ns);
        let store = self.jetstream.get_object_store(bucket).await.unwrap();
        let mut bytes = Vec::new();
        let mut object = store.get(name).await.ok()?;
        object.read_to_end(&mut bytes).await.unwrap();
        Some(bytes)
    }

    /// The bytes of an object, as soon as it is there.
    pub async fn bytes(&self, name: &str) -> Vec<u8> {
        eventually(name, async || self.object(name).await.is_some()).await;
        self.object(name).await.unwrap()
    }

    /// A group's list, written in JSON.
    pub async fn list(&self, group: &str) -> Vec<Value> {
        serde_json::from_slice(&self.bytes(group).await).unwrap()
    }

    /// A group's list of whole numbers, sorted.
    pub async fn numbers(&self, group: &str) -> Vec<i64> {
        let list = self.list(group).await;
        let mut numbers: Vec<_> = list.iter().map(|value| value.as_i64().unwrap()).collect();
        numbers.sort();
        numbers
    }

    /// A group's records, written in JSON.
    pub async fn records(&self, group: &str) -> Vec<Value> {
        self.list(&format!("{group}.records")).await
    }

    /// What an object's metadata says.
    pub async fn metadata(&self, group: &str) -> HashMap<String, String> {
        let bucket = format!("{}-results", self.ns);
        let store = self.jetstream.get_object_store(bucket).await.unwrap();
        store.info(group).await.unwrap().metadata
    }

    /// Waits until no seal and no cancel waits any more.
    pub async fn until_taken_in(&self, engine: &Engine) {
        eventually("seals and cancels are taken in", async || {
            let waiting = engine.subjects(&format!("{}-items", self.ns), ">").await;
            !waiting.iter().any(|subject| {
                subject.starts_with(&format!("{}.seal.", self.ns))
                    || subject.starts_with(&format!("{}.cancel.", self.ns))
            })
        })
        .await;
    }
}

pub struct Events {
    events: Subscriber,
}

impl Events {
    /// The next event that is no progress: its kind and what it says.
    pub async fn next(&mut self) -> (String, Value) {
        loop {
            let event = within(self.events.next()).await.unwrap();
            let kind = event.subject.rsplit('.').next().unwrap().to_owned();
            if kind != "progress" {
                return (kind, serde_json::from_slice(&event.payload).unwrap());
            }
        }
    }

    /// The next event has this kind and gives a reason that holds these words.
    pub async fn expect(&mut self, kind: &str, words: &[&str]) {
        let (found, event) = self.next().await;
        let text = event.to_string();
        assert_eq!(found, kind, "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
}
