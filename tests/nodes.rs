//! nats-servers that die and come back: each on a port and a store of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use std::time::Duration;

use jetiter::Settings;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Engine, eventually, server_binary};
use crate::proxy::{Line, Proxy};

/// One nats-server, or a cluster of three.
pub struct Nodes {
    dir: tempfile::TempDir,
    ports: Vec<Ports>,
    running: Vec<Option<Running>>,
    /// What further stands in each server's configuration.
    more: String,
    /// From each node to each other one, where lines can be cut.
    lines: Vec<Vec<Proxy>>,
}

#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    route: u16,
    monitor: u16,
}

/// The server's process ends when this is dropped, and with this process, however that ends: a
/// shell waits for the end of its input.
struct Running {
    pid: Pid,
    input: Option<ChildStdin>,
    keeper: Child,
}

impl Nodes {
    /// One server, started and ready.
    pub async fn one() -> Nodes {
        Nodes::with(1, "").await
    }

    /// A cluster of three, started and ready.
    pub async fn three() -> Nodes {
        Nodes::with(3, "").await
    }

    /// A cluster of three that reach each other over lines of which each can be cut; a client
    /// is told of no other server than its own.
    pub async fn three_on_lines() -> Nodes {
        let mut nodes = Nodes::on_free_ports(3, "");
        for _ in 0..3 {
            let mut lines = Vec::new();
            for to in &nodes.ports {
                lines.push(Proxy::to(([127, 0, 0, 1], to.route).into()).await);
            }
            nodes.lines.push(lines);
        }
        nodes.all_started().await
    }

    /// So many servers, with `more` in their configuration.
    pub async fn with(count: usize, more: &str) -> Nodes {
        Nodes::on_free_ports(count, more).all_started().await
    }

    fn on_free_ports(count: usize, more: &str) -> Nodes {
        Nodes {
            dir: tempfile::tempdir().unwrap(),
            ports: (0..count).map(|_| Ports::free()).collect(),
            running: (0..count).map(|_| None).collect(),
            more: more.to_owned(),
            lines: Vec::new(),
        }
    }

    async fn all_started(mut self) -> Nodes {
        (0..self.len()).for_each(|node| self.start(node));
        self.are_ready().await;
        self
    }

    /// What the network does from now on with all that goes between one node and the others.
    pub fn set_lines(&self, node: usize, line: Line) {
        for other in (0..self.len()).filter(|other| *other != node) {
            self.lines[node][other].set(line);
            self.lines[other][node].set(line);
        }
    }

    /// Lets a node reach the others again. What was swallowed left half a message behind, which
    /// only new connections mend.
    pub async fn heal_lines(&self, node: usize) {
        self.set_lines(node, Line::Cut);
        let monitor = self.ports[node].monitor;
        eventually("the old routes are closed", async || {
            get(monitor, "/varz").await.is_some_and(|varz| varz.contains("\"routes\": 0,"))
        })
        .await;
        self.set_lines(node, Line::Open);
    }

    /// An engine on these servers, with times as short as the harness has them.
    pub async fn engine(&self, change: impl FnOnce(&mut Settings)) -> Engine {
        let mut settings = Settings { server: self.urls(), ..Settings::default() };
        settings.assets.ack_wait = Duration::from_secs(2);
        settings.assets.lease = Duration::from_secs(2);
        settings.collator.done_ttl = Duration::from_secs(1);
        change(&mut settings);
        Engine::on(settings).await
    }

    /// kill -9, and up again on the store that is left.
    pub async fn kill_and_restart(&mut self, node: usize) {
        self.kill(node);
        self.start(node);
        self.are_ready().await;
    }

    /// The addresses of all, as `server` in the settings takes them.
    pub fn urls(&self) -> String {
        (0..self.ports.len()).map(|node| self.url(node)).collect::<Vec<_>>().join(",")
    }

    pub fn url(&self, node: usize) -> String {
        format!("nats://{}", self.address(node))
    }

    pub fn address(&self, node: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[node].client).into()
    }

    /// Starts a server on the store that it had before.
    pub fn start(&mut self, node: usize) {
        assert!(self.running[node].is_none(), "node {node} runs");
        let config = self.write_config(node);
        let script = r#""$@" & pid=$!; echo $pid; cat >/dev/null; kill -9 $pid; wait"#;
        let mut keeper = Command::new("sh")
            .args(["-c", script, "keeper", &server_binary(), "-c", config.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let input = keeper.stdin.take().unwrap();
        self.running[node] = Some(Running { pid, input: Some(input), keeper });
    }

    /// Has other words in the configuration from now on; those that run read it again.
    pub fn reload(&mut self, more: &str) {
        self.more = more.to_owned();
        for (node, running) in self.running.iter().enumerate() {
            self.write_config(node);
            if let Some(running) = running {
                kill_process(running.pid, Signal::HUP).unwrap();
            }
        }
    }

    /// A copy of a server's store, made while it is stopped.
    pub fn copy_store(&self, node: usize) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_all(&self.store(node), copy.path());
        copy
    }

    /// Puts such a copy back, while the server is stopped.
    pub fn put_back(&self, node: usize, copy: &tempfile::TempDir) {
        std::fs::remove_dir_all(self.store(node)).unwrap();
        copy_all(copy.path(), &self.store(node));
    }

    fn store(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("store{node}"))
    }

    /// kill -9.
    pub fn kill(&mut self, node: usize) {
        self.running[node].take();
    }

    /// SIGTERM and the end of it: an orderly stop.
    pub async fn stop(&mut self, node: usize) {
        let running = self.running[node].take().expect("it runs");
        kill_process(running.pid, Signal::TERM).unwrap();
        let port = self.address(node);
        eventually("the server stops", async || TcpListener::bind(port).is_ok()).await;
    }

    /// SIGSTOP: it answers nothing, and its connections stay open.
    pub fn freeze(&self, node: usize) {
        kill_process(self.pid(node), Signal::STOP).unwrap();
    }

    /// SIGCONT.
    pub fn thaw(&self, node: usize) {
        kill_process(self.pid(node), Signal::CONT).unwrap();
    }

    /// Waits until all that run are healthy: JetStream is up and its leaders are known.
    #[allow(clippy::print_stdout, reason = "shown with a test that failed: what was not healthy")]
    pub async fn are_ready(&self) {
        for node in (0..self.ports.len()).filter(|node| self.running[*node].is_some()) {
            let port = self.ports[node].monitor;
            let mut said = None;
            eventually("the server is healthy", async || {
                let says = get(port, "/healthz").await;
                let ready = says.as_ref().is_some_and(|says| says.contains("\"status\":\"ok\""));
                if says != said && !ready {
                    println!("n{node}: {}", says.as_deref().unwrap_or("no answer"));
                    said = says;
                }
                ready
            })
            .await;
        }
    }

    /// Leaves the servers' logs and stores where they are.
    #[allow(dead_code, reason = "only the chaos run keeps them")]
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    /// Whether the server says that all is well with it.
    pub async fn is_healthy(&self, node: usize) -> bool {
        let says = get(self.ports[node].monitor, "/healthz").await;
        says.is_some_and(|says| says.contains("\"status\":\"ok\""))
    }

    /// Waits until so many connections listen on a subject of the first server.
    pub async fn until_heard(&self, subject: &str, listeners: usize) {
        let (port, quoted) = (self.ports[0].monitor, format!("\"{subject}\""));
        eventually("somebody listens", async || {
            let connections = get(port, "/connz?subs=1").await.unwrap_or_default();
            connections.matches(&quoted).count() >= listeners
        })
        .await;
    }

    /// Where a server keeps the messages of a stream.
    pub fn messages_of(&self, node: usize, stream: &str) -> PathBuf {
        let streams = format!("store{node}/jetstream/$G/streams/{stream}/msgs");
        self.dir.path().join(streams)
    }

    /// How many servers there are, running or not.
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    fn pid(&self, node: usize) -> Pid {
        self.running[node].as_ref().expect("it runs").pid
    }

    fn write_config(&self, node: usize) -> PathBuf {
        let path = self.dir.path().join(format!("{node}.conf"));
        std::fs::write(&path, self.config(node)).unwrap();
        path
    }

    fn config(&self, node: usize) -> String {
        let Ports { client, route, monitor } = self.ports[node];
        let dir = self.dir.path();
        let (store, log) = (self.store(node), dir.join(format!("{node}.log")));
        let mut config = format!(
            "listen: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitor}\nserver_name: n{node}\n\
             log_file: {log:?}\njetstream {{ store_dir: {store:?} }}\n{}\n",
            self.more
        );
        if self.len() > 1 {
            let routes: Vec<String> = (0..self.len())
                .filter(|to| *to != node)
                .map(|to| match self.lines.get(node) {
                    Some(lines) => lines[to].url(),
                    None => format!("nats://127.0.0.1:{}", self.ports[to].route),
                })
                .collect();
            // Servers tell each other where their routes are, past any proxy: so they tell a
            // port that nobody listens on.
            let hidden = match self.lines.is_empty() {
                true => "",
                false => "no_advertise: true, advertise: \"127.0.0.1:1\", ",
            };
            config += &format!(
                "cluster {{ name: c, listen: 127.0.0.1:{route}, {hidden}routes: [{}] }}\n",
                routes.join(", ")
            );
        }
        config
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already, if it was told to stop.
        kill_process(self.pid, Signal::KILL).ok();
        // The keeper ends when the server is gone, not only told to go: until then it has its
        // ports, and the next one could not have them.
        self.input.take();
        self.keeper.wait().ok();
    }
}

impl Ports {
    /// Three that nobody uses now, below those that connections are given: a client that tries to
    /// connect again would be given the port of the very server that is down, and keep it out.
    fn free() -> Ports {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Another run beside this one begins elsewhere.
        let start = u64::from(std::process::id()) * 97;
        let free = || loop {
            let next = u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let port = 10_000 + ((start + next) % 20_000) as u16;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        };
        Ports { client: free(), route: free(), monitor: free() }
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What a server's monitoring says.
async fn get(monitor: u16, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", monitor)).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}
