//! A cluster of three with all assets on all three, and what every test of one needs.

use std::time::Duration;

use async_nats::Client as Nats;
use jetiter::{Broker, Client, FOREVER, GroupId, Options, Settings, Topology};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::Engine;
pub use crate::harness::{eventually, within};
use crate::nodes::Nodes;
use crate::processes::Process;

/// How long the engine's requests wait: what is sent to a dead leader is lost.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a question to the JetStream API waits: one without a leader is never answered.
const QUESTION: Duration = Duration::from_millis(500);

/// One cluster at a time: three servers keep a small machine busy, and elections fail on one that
/// is not in time with its heartbeats.
static ONE: Mutex<()> = Mutex::const_new(());

pub struct Cluster {
    pub nodes: Nodes,
    /// Connected to any node.
    pub engine: Engine,
    _one: MutexGuard<'static, ()>,
}

impl Cluster {
    pub async fn start() -> Cluster {
        let one = ONE.lock().await;
        Cluster::of(Nodes::three().await, one).await
    }

    /// Its nodes reach each other over lines that can be cut.
    pub async fn on_lines() -> Cluster {
        let one = ONE.lock().await;
        Cluster::of(Nodes::three_on_lines().await, one).await
    }

    async fn of(nodes: Nodes, one: MutexGuard<'static, ()>) -> Cluster {
        let mut settings = Settings { server: nodes.urls(), ..Settings::default() };
        settings.request_timeout = ANSWER;
        settings.assets.replicas = 3;
        settings.assets.queues.push("alone".to_owned());
        settings.assets.ack_wait = Duration::from_secs(2);
        settings.assets.lease = Duration::from_secs(2);
        settings.collator.done_ttl = Duration::from_secs(1);
        // Many chunks in a result: the leader dies between two of them.
        settings.collator.chunk = 1 << 10;
        let cluster = Cluster { nodes, engine: on(settings).await, _one: one };
        cluster.is_whole().await;
        cluster
    }

    /// The same namespace over these nodes alone.
    pub async fn at(&self, nodes: &[usize]) -> Engine {
        let urls: Vec<String> = nodes.iter().map(|node| self.nodes.url(*node)).collect();
        on(Settings { server: urls.join(","), ..self.engine.settings.clone() }).await
    }

    /// The streams of items, outcomes and results.
    pub fn streams(&self) -> [String; 3] {
        let ns = &self.engine.broker.namespace;
        [ns.cache_stream(), ns.items_stream(), ns.results_stream()]
    }

    pub fn cache(&self) -> String {
        self.engine.broker.namespace.cache_stream()
    }

    /// Waits until every server runs and every stream is complete on each.
    pub async fn is_whole(&self) {
        self.nodes.are_ready().await;
        for stream in self.streams() {
            eventually("all replicas are current", async || {
                let info = info(&self.engine.broker.client, &stream).await;
                let replicas = info["cluster"]["replicas"].as_array().cloned().unwrap_or_default();
                replicas.len() == 2
                    && replicas.iter().all(|r| r["current"] == true && r["offline"] != true)
            })
            .await;
        }
    }

    /// Which node leads a stream.
    pub async fn leader(&self, stream: &str) -> usize {
        leader(&self.engine.broker.client, stream).await
    }

    /// Through which node the working collator reads the cache's log.
    pub async fn reader_of_the_log(&self) -> usize {
        let mut found = None;
        eventually("the log is read", async || {
            let answer = ask(&self.engine.broker.client, "CONSUMER.LIST", &self.cache()).await;
            found = node(&answer["consumers"][0]);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Makes a node the leader of a stream.
    pub async fn give_lead(&self, stream: &str, to: usize) {
        let client = &self.engine.broker.client;
        eventually("the lead is taken over", async || {
            if leader(client, stream).await == to {
                return true;
            }
            let preferred = format!("{{\"placement\":{{\"preferred\":\"n{to}\"}}}}");
            tell(client, "STREAM.LEADER.STEPDOWN", stream, preferred).await;
            false
        })
        .await;
    }

    /// How many items a durable consumer has handed out that are not acknowledged.
    pub async fn in_hand(&self, consumer: &str) -> Option<u64> {
        let items = self.engine.broker.namespace.items_stream();
        let client = &self.engine.broker.client;
        let info = ask(client, "CONSUMER.INFO", &format!("{items}.{consumer}")).await;
        info["num_ack_pending"].as_u64()
    }

    /// Everything is whole again, and nothing is left of any group but its result.
    pub async fn is_clean(&self) {
        self.is_whole().await;
        let items = self.engine.broker.namespace.items_stream();
        eventually("no item is left", async || {
            info(&self.engine.broker.client, &items).await["state"]["messages"] == 0
        })
        .await;
        self.engine.is_clean().await;
    }
}

/// As [`Engine::on`], on a cluster whose leaders may just be moving: what was not answered in time
/// is asked again.
pub async fn on(settings: Settings) -> Engine {
    let broker = Broker::connect(&settings, "test").await.unwrap();
    let topology = Topology::of(&broker, &settings);
    eventually("the assets are there", async || topology.ensure(&broker).await.is_ok()).await;
    let mut client = None;
    eventually("a client finds them", async || {
        client = Client::new(broker.clone(), &settings).await.ok();
        client.is_some()
    })
    .await;
    Engine { broker, settings, client: client.unwrap() }
}

/// What the leader of a stream says of it; null where no answer comes soon.
pub async fn info(client: &Nats, stream: &str) -> Value {
    ask(client, "STREAM.INFO", stream).await
}

async fn ask(client: &Nats, what: &str, stream: &str) -> Value {
    tell(client, what, stream, String::new()).await
}

async fn tell(client: &Nats, what: &str, stream: &str, body: String) -> Value {
    let request = client.request(format!("$JS.API.{what}.{stream}"), body.into());
    match timeout(QUESTION, request).await {
        Ok(Ok(answer)) => serde_json::from_slice(&answer.payload).unwrap(),
        _ => Value::Null,
    }
}

/// Which node leads the asset that an answer is about.
fn node(answer: &Value) -> Option<usize> {
    answer["cluster"]["leader"].as_str()?[1..].parse().ok()
}

/// Which node leads a stream, by a client's word; waits until one does.
pub async fn leader(client: &Nats, stream: &str) -> usize {
    let mut found = None;
    eventually("the stream has a leader", async || {
        found = node(&info(client, stream).await);
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Waits until the stream has taken so many more messages than it had.
pub async fn until_stored(client: &Nats, stream: &str, more: u64) {
    let mut goal = None;
    eventually("outcomes are stored", async || {
        let Some(last) = info(client, stream).await["state"]["last_seq"].as_u64() else {
            return false;
        };
        last >= *goal.get_or_insert(last + more)
    })
    .await;
}

/// A worker of the queue `default`.
pub fn worker(engine: &Engine) -> Process {
    process(engine, &["worker", "--test-functions"])
}

pub fn collator(engine: &Engine) -> Process {
    process(engine, &["collator"])
}

pub fn process(engine: &Engine, arguments: &[&str]) -> Process {
    let answer = format!("{}s", ANSWER.as_secs());
    engine.process_with(arguments, &[("JETITER_REQUEST_TIMEOUT", &answer)])
}

/// A worker and two collators, of which none may end by itself.
pub struct Services(Vec<Process>);

impl Services {
    /// Starts them and waits until they run.
    pub async fn of(engine: &Engine) -> Services {
        let services = Services(vec![worker(engine), collator(engine), collator(engine)]);
        for process in &services.0 {
            eventually("it runs", async || {
                process.log().contains("working") || process.log().contains("collating")
            })
            .await;
        }
        services
    }

    /// All of them live until they are told to end, and none took what it saw for a broken log
    /// or for a second result.
    pub async fn end(mut self) {
        for process in self.0.drain(..) {
            let log = process.log();
            assert!(process.term().await.success(), "{log}");
            for wrong in ["conflict", "changed under us", "another one"] {
                assert!(!log.contains(wrong), "{log}");
            }
        }
    }
}

/// What they said tells why a test failed.
impl Drop for Services {
    #[allow(clippy::print_stdout, reason = "shown with a test that failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.iter().for_each(|process| println!("--\n{}", process.log()));
        }
    }
}

/// Small groups, one after another, until it is told to end.
pub struct Load {
    stop: CancellationToken,
    running: JoinSet<u32>,
}

impl Load {
    pub fn on(engine: &Engine) -> Load {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for _ in 0..2 {
            let (client, stop) = (engine.client.clone(), stop.clone());
            running.spawn(async move {
                let mut groups = 0;
                while !stop.is_cancelled() {
                    floors(&client, 20).await;
                    groups += 1;
                }
                groups
            });
        }
        Load { stop, running }
    }

    /// Begins no more and waits for those under way.
    pub async fn end(self) {
        self.stop.cancel();
        let groups = within(self.running.join_all()).await;
        assert!(groups.iter().all(|groups| *groups > 0), "{groups:?}");
    }
}

/// A large group, submitted and read beside the test.
pub fn begin(engine: &Engine, items: u32) -> JoinHandle<()> {
    let client = engine.client.clone();
    tokio::spawn(async move { floors(&client, items).await })
}

/// Maps a group and checks its result.
pub async fn floors(client: &Client, items: u32) {
    let group = submit(client, items).await;
    holds_each_once(client, &group, items).await;
}

/// Submits a group whose values are the indexes of its items.
pub async fn submit(client: &Client, items: u32) -> GroupId {
    let arguments = (0..items).map(|index| f64::from(index) + 0.5);
    within(client.async_iter("math.floor", arguments, &Options::new())).await.unwrap()
}

/// One value and one record for each item, and no error.
pub async fn holds_each_once(client: &Client, group: &GroupId, items: u32) {
    let fetched = within(client.fetch::<u32>(group, FOREVER)).await.unwrap().unwrap();
    assert_eq!((fetched.list.len(), fetched.records.len()), (items as usize, items as usize));
    let ordered = fetched.into_ordered().into_iter();
    let values: Vec<u32> = ordered.map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, (0..items).collect::<Vec<_>>());
}
