//! What one item costs a worker, in allocations: times are too noisy to guard.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use async_nats::{ConnectOptions, HeaderMap, Message};
use jetiter_config::broker::Broker;
use jetiter_config::call::Item;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{ItemId, Lane};
use jetiter_config::{settings, wire};
use serde::Serialize;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::executor::Executor;
use crate::functions::Functions;
use crate::hand::{Hand, Held};
use crate::line::{Line, Ready};
use crate::room::Room;
use crate::shares::Shares;
use crate::slots::Slots;
use crate::writer::{Write, Writer};

/// Everything runs on the thread that counts.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Of a connection that is never made: what is published waits in its queue.
pub(crate) async fn broker() -> Broker {
    let options = ConnectOptions::new().retry_on_initial_connect();
    let client = options.connect("127.0.0.1:1").await.unwrap();
    Broker::new(client, "jetiter".parse().unwrap(), Duration::from_secs(600))
}

async fn executor() -> Arc<Executor> {
    let state = json!({ "messages": 0, "bytes": 0, "first_seq": 1, "last_seq": 0 });
    let cache = json!({ "created": "then", "state": state, "config": { "max_bytes": -1 } });
    let settings = settings::Worker::default();
    let shares = Shares::new(1, settings.prefetch, Box::new(|| false));
    Arc::new(Executor {
        broker: broker().await,
        functions: Functions::new().function("f", |x: f64| x + 1.0),
        name: "host-1234".to_owned(),
        hand: Arc::new(Hand::new()),
        shares,
        line: Arc::new(Line::new(1)),
        slots: Slots::new(1),
        concurrency: 1,
        writer: Arc::new(Writer::default()),
        room: Room::new(settings.soft_limit, &serde_json::from_value(cache).unwrap()),
        stopping: CancellationToken::new(),
        closed: CancellationToken::new(),
        settings,
    })
}

fn item(argument: Vec<u8>) -> Item {
    Item {
        group: "g1".parse().unwrap(),
        id: ItemId::Index(7),
        function: "f".parse().unwrap(),
        argument: argument.into(),
        encoding: Encoding::Cbor,
        attempt: 1,
        timeout: Duration::from_secs(10),
    }
}

fn message(index: &str, argument: Vec<u8>) -> Message {
    let mut headers = HeaderMap::new();
    headers.insert(wire::INDEX, index);
    headers.insert(wire::CONTENT_TYPE, Encoding::Cbor.content_type());
    Message {
        subject: "jetiter.work.default.0.g1.f".into(),
        reply: Some("$JS.ACK.jetiter-items.worker-default-0.1.100.7.1790.42".into()),
        payload: argument.into(),
        headers: Some(headers),
        status: None,
        description: None,
        length: 0,
    }
}

fn cbor(value: impl Serialize) -> Vec<u8> {
    Encoding::Cbor.encode(&value).unwrap()
}

/// Takes a message until its outcomes are to be written; the allocations of all tasks.
fn run(runtime: &Runtime, executor: &Arc<Executor>, message: Message) -> u64 {
    let run = async {
        let running = TaskTracker::new();
        executor.take(message, executor.shares.take(Lane::LAST), &running);
        while executor.writer.is_empty() {
            yield_now().await;
        }
    };
    measure(|| runtime.block_on(run)).count_total
}

#[test]
fn an_item_costs_few_allocations() {
    let runtime = runtime();
    let executor = runtime.block_on(executor());
    let item = |index| {
        let written = executor.writer.take();
        let message = message(index, cbor(0.1));
        drop(written);
        run(&runtime, &executor, message)
    };
    // The first one opens the way.
    item("0");
    let found = item("1");
    // 20 when this was written.
    assert!(found <= 21, "{found}");
}

#[test]
fn an_argument_of_a_chunk_costs_little_more_than_its_value() {
    let runtime = runtime();
    let executor = runtime.block_on(executor());
    let chunk = message("0-1000", cbor(vec![0.1; 1000]));
    let found = run(&runtime, &executor, chunk);
    // For all of them 1105 when this was written.
    assert!(found <= 1200, "{found}");
}

#[test]
fn a_plain_function_costs_its_value() {
    let runtime = runtime();
    let executor = runtime.block_on(executor());
    let item = item(cbor(0.1));
    let run = || assert!(runtime.block_on(executor.functions.run(&item)).is_ok());
    assert_eq!(measure(run).count_total, 1);
}

#[test]
fn an_item_that_waits_takes_little_memory() {
    // Four thousand wait at once, to run or for the server's word.
    let found = size_of::<Ready>() + size_of::<Held>();
    // 264 when this was written.
    assert!(found <= 280, "{found}");
    let found = size_of::<Write>();
    // 304 when this was written.
    assert!(found <= 280, "{found}");
}
