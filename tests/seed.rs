use jetiter::{Client, ErrorKind, FOREVER, Fetched, Functions, GroupId, Options};
use serde_json::Value;

use crate::harness::{Engine, within};

pub async fn fetch(client: &Client, id: &GroupId) -> Fetched<Value> {
    within(client.fetch(id, FOREVER)).await.unwrap().unwrap()
}

/// Runs a group to its end: the values and errors in the order of the arguments.
pub async fn ordered<A: serde::Serialize>(
    client: &Client,
    function: &str,
    arguments: impl IntoIterator<Item = A>,
    options: &Options,
) -> Vec<Result<Value, ErrorKind>> {
    let id = client.async_iter(function, arguments, options).await.unwrap();
    let items = fetch(client, &id).await.into_ordered().into_iter();
    items.map(|(_, outcome)| outcome.map_err(|error| error.kind)).collect()
}

pub async fn engine_of(functions: Functions) -> Engine {
    let engine = Engine::bare().await;
    engine.worker(functions).await;
    engine.collator().await;
    engine
}

pub fn values(fetched: Fetched<Value>) -> Vec<Result<Value, ErrorKind>> {
    let items = fetched.into_ordered().into_iter();
    items.map(|(_, outcome)| outcome.map_err(|error| error.kind)).collect()
}

/// An item as any NATS client publishes it: JSON, an index, no message id.
pub async fn publish(engine: &Engine, function: &str, id: &GroupId, index: u32, argument: Value) {
    let (broker, ns) = (&engine.broker, &engine.broker.namespace);
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Jetiter-Index", index.to_string());
    let (queue, function) = ("default".parse().unwrap(), function.parse().unwrap());
    let subject = ns.item_subject(&queue, id, &function, index);
    broker.store(subject, headers, argument.to_string().into()).await.unwrap();
}

pub async fn control(engine: &Engine, subject: String, payload: &'static str) {
    let headers = async_nats::HeaderMap::new();
    engine.broker.store(subject, headers, payload.into()).await.unwrap();
}

pub async fn seal(engine: &Engine, id: &GroupId, total: &'static str) {
    control(engine, engine.broker.namespace.seal_subject(id), total).await;
}
