//! One nats-server for the whole run; an engine with a namespace of its own for each test.

use std::future::Future;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use jetiter::{Broker, Client, Collator, Functions, GroupId, Settings, Topology, Worker, math};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// No condition of a test takes longer unless something is broken. An election takes some ten seconds,
/// and a client behind a frozen server notices after thirty.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A nats-server that ends with this process, however that ends.
pub struct Server {
    pub url: String,
    _dir: tempfile::TempDir,
    _keeper: Child,
}

impl Server {
    /// Starts a server with further arguments on a port that is free.
    pub fn start(arguments: &[&str]) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let ports = dir.path().join("ports");
        std::fs::create_dir(&ports).unwrap();
        let binary = server_binary();
        // The shell waits for the end of its input, which is the end of this process, also by
        // a kill: a static is never dropped, and an orphan would stay for ever.
        let script = r#""$@" & pid=$!; cat >/dev/null; kill -9 $pid"#;
        let keeper = Command::new("sh")
            .args(["-c", script, "keeper", &binary, "-a", "127.0.0.1", "-p", "-1"])
            .args(["-sd", dir.path().join("store").to_str().unwrap()])
            .args(["-l", dir.path().join("log").to_str().unwrap()])
            .args(["--ports_file_dir", ports.to_str().unwrap()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = wait_for_url(&ports, &dir.path().join("log"));
        Server { url, _dir: dir, _keeper: keeper }
    }
}

/// A missing server fails the tests: skipped they would prove nothing.
#[allow(clippy::disallowed_methods, reason = "the harness is told by make which server to use")]
pub fn server_binary() -> String {
    if let Ok(path) = std::env::var("JETITER_NATS_SERVER") {
        return path;
    }
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tools/nats-server");
    let output = Command::new(script).output().expect("tools/nats-server runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A test that this machine can't run says so and ends; in CI that is a failure, since a test that
/// is skipped proves nothing.
#[allow(clippy::disallowed_methods, clippy::explicit_write, reason = "whoever runs it must see it")]
pub fn skip(what: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} can't run: {why}");
    // Not by the captured standard error, which nobody sees.
    writeln!(std::io::stderr(), "SKIPPED: {what} can't run: {why}").unwrap();
}

/// The server writes its address into a file as soon as it listens.
#[allow(clippy::disallowed_methods, reason = "no runtime here yet, and a file gives no event")]
fn wait_for_url(ports: &PathBuf, log: &PathBuf) -> String {
    let began = std::time::Instant::now();
    while began.elapsed() < PATIENCE {
        for file in std::fs::read_dir(ports).unwrap().flatten() {
            let mut text = String::new();
            std::fs::File::open(file.path()).unwrap().read_to_string(&mut text).unwrap();
            let ports: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(url) = ports["nats"][0].as_str() {
                return url.to_owned();
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nats-server does not start: {}", std::fs::read_to_string(log).unwrap_or_default());
}

/// The server that all tests share.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&["-js"]))
}

/// A namespace of its own, its assets, and whatever is started in it.
pub struct Engine {
    pub broker: Broker,
    pub settings: Settings,
    pub client: Client,
}

/// A worker or collator that runs until it is told to stop.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Running {
        let stop = CancellationToken::new();
        Running { task: tokio::spawn(run(stop.clone())), stop }
    }

    /// Stops it in order and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        within(self.task).await.unwrap();
    }

    /// Ends it between two awaits, as a crash would.
    pub async fn abort(self) {
        self.task.abort();
        self.task.await.unwrap_err();
    }
}

impl Engine {
    /// A namespace and its assets; nothing runs yet.
    pub async fn bare() -> Engine {
        Engine::with(|_| {}).await
    }

    /// The same, with settings changed before the assets are made.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Engine {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut settings = Settings {
            server: server().url.clone(),
            namespace: format!("t{n}-{}", &String::from(GroupId::random())[..8]),
            ..Settings::default()
        };
        settings.assets.ack_wait = Duration::from_secs(2);
        settings.assets.lease = Duration::from_secs(2);
        settings.collator.done_ttl = Duration::from_secs(1);
        settings.worker.retry_delay = Duration::from_millis(20);
        change(&mut settings);
        Engine::on(settings).await
    }

    /// On the server that the settings name.
    pub async fn on(settings: Settings) -> Engine {
        let broker = Broker::connect(&settings, "test").await.unwrap();
        Topology::of(&broker, &settings).ensure(&broker).await.unwrap();
        let client = Client::new(broker.clone(), &settings).await.unwrap();
        Engine { broker, settings, client }
    }

    /// With a worker of `math.*` and a collator.
    pub async fn start() -> Engine {
        let engine = Engine::bare().await;
        engine.worker(math::functions()).await;
        engine.collator().await;
        engine
    }

    pub async fn worker(&self, functions: Functions) -> Running {
        let worker = Worker::new(&self.connect().await, functions, &self.settings).await.unwrap();
        Running::spawn(|stop| async move { worker.run(stop.cancelled_owned()).await.unwrap() })
    }

    pub async fn collator(&self) -> Running {
        let collator = Collator::new(&self.connect().await, &self.settings).await.unwrap();
        Running::spawn(|stop| async move { collator.run(stop.cancelled_owned()).await.unwrap() })
    }

    /// A connection of its own, as another process would have.
    pub async fn connect(&self) -> Broker {
        Broker::connect(&self.settings, "test").await.unwrap()
    }

    /// The keys in the cache.
    pub async fn cache_keys(&self) -> Vec<String> {
        self.subjects(&self.broker.namespace.cache_stream(), ">").await
    }

    pub async fn subjects(&self, stream: &str, filter: &str) -> Vec<String> {
        let stream = self.broker.jetstream.get_stream(stream).await.unwrap();
        let subjects = stream.info_with_subjects(filter).await.unwrap();
        subjects.map_ok(|(subject, _)| subject).try_collect().await.unwrap()
    }

    /// Nothing is left of any group but its result: no key in the cache, no item, no chunk that
    /// belongs to no object.
    pub async fn is_clean(&self) {
        let ns = &self.broker.namespace;
        eventually("the cache is empty", async || self.cache_keys().await.is_empty()).await;
        // An acknowledgement may still be on its way, behind the outcome.
        let no_item = async || self.subjects(&ns.items_stream(), ">").await.is_empty();
        eventually("no item is left", no_item).await;
        let no_orphan = async || self.orphan_chunks().await.is_empty();
        eventually("no orphan chunk is left", no_orphan).await;
    }

    /// The chunks that belong to no object.
    pub async fn orphan_chunks(&self) -> Vec<String> {
        let ns = &self.broker.namespace;
        let store = self.broker.jetstream.get_object_store(ns.results_bucket()).await.unwrap();
        let objects: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
        let owned: Vec<_> = objects.iter().map(|info| ns.chunk_subject(&info.nuid)).collect();
        let mut chunks = self.subjects(&ns.results_stream(), &ns.chunk_subject(">")).await;
        chunks.retain(|subject| !owned.contains(subject));
        chunks
    }
}

/// The lane that the server chooses for a group.
pub fn lane_of(group: &str) -> u32 {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    group.bytes().fold(2_166_136_261, hash) % 8
}

/// Waits for a condition; fails with its name.
#[track_caller]
pub fn eventually(
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while !condition().await {
            assert!(began.elapsed() < PATIENCE, "{place}: never: {what}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits for the end of something that must end.
pub async fn within<T>(something: impl Future<Output = T>) -> T {
    within_time(PATIENCE, something).await
}

/// The same, where the usual patience is not enough.
pub async fn within_time<T>(limit: Duration, something: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, something).await.expect("it ends")
}
