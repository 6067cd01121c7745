//! What one item costs a worker, in allocations: times are too noisy to guard.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
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
use tokio_util::sync::CancellationToken;

use crate::executor::Executor;
use crate::functions::Functions;
use crate::hand::Hand;
use crate::room::Room;
use crate::shares::{Share, Shares};
use crate::slots::Slots;

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

/// It has one place for an outcome that is not acknowledged.
async fn executor() -> Arc<Executor> {
    let state = json!({ "messages": 0, "bytes": 0, "first_seq": 1, "last_seq": 0 });
    let cache = json!({ "created": "then", "state": state, "config": { "max_bytes": -1 } });
    let settings = settings::Worker::default();
    let (slots, puts) = (Slots::new(1), Slots::new(1));
    let shares = Shares::new(1, settings.prefetch, [slots.clone(), puts.clone()]);
    Arc::new(Executor {
        broker: broker().await,
        functions: Functions::new().function("f", |x: f64| x + 1.0),
        name: "host-1234".to_owned(),
        hand: Arc::new(Hand::new()),
        shares,
        slots,
        concurrency: 1,
        puts,
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

/// Executes a message until its outcome is on its way to the server; the allocations of its own
/// task.
async fn run(executor: &Arc<Executor>, message: Message) -> u64 {
    let share = executor.shares.take(Lane::LAST);
    let mut execute = pin!(executor.execute(message, share));
    let mut allocations = 0;
    poll_fn(|context| {
        let poll = || assert!(execute.as_mut().poll(context).is_pending(), "nobody acknowledges");
        allocations += measure(poll).count_total;
        match executor.puts.try_take(1) {
            Some(_) => Poll::Pending,
            None => Poll::Ready(allocations),
        }
    })
    .await
}

#[test]
fn an_item_costs_few_allocations() {
    let runtime = runtime();
    let executor = runtime.block_on(executor());
    let item = |index| runtime.block_on(run(&executor, message(index, cbor(0.1))));
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
    let found = measure(|| _ = runtime.block_on(run(&executor, chunk))).count_total;
    // For all of them 1116 when this was written.
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
    fn size<F>(_: impl Fn(&'static Arc<Executor>, Message, Share) -> F) -> usize {
        size_of::<F>()
    }
    let found = size(Executor::execute);
    // A thousand wait at once. 2800 when this was written.
    assert!(found <= 3000, "{found}");
}
