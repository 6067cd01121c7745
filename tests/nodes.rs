//! nats-servers that die and come back: each on a port and a store of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{eventually, server_binary};

/// One nats-server, or a cluster of three.
pub struct Nodes {
    dir: tempfile::TempDir,
    ports: Vec<Ports>,
    running: Vec<Option<Running>>,
    /// What further stands in each server's configuration.
    more: String,
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
    _input: ChildStdin,
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

    /// So many servers, with `more` in their configuration.
    pub async fn with(count: usize, more: &str) -> Nodes {
        let mut nodes = Nodes {
            dir: tempfile::tempdir().unwrap(),
            ports: (0..count).map(|_| Ports::free()).collect(),
            running: (0..count).map(|_| None).collect(),
            more: more.to_owned(),
        };
        (0..count).for_each(|node| nodes.start(node));
        nodes.are_ready().await;
        nodes
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
        let config = self.dir.path().join(format!("{node}.conf"));
        std::fs::write(&config, self.config(node)).unwrap();
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
        self.running[node] = Some(Running { pid, _input: input, keeper });
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
    pub async fn are_ready(&self) {
        for node in (0..self.ports.len()).filter(|node| self.running[*node].is_some()) {
            let port = self.ports[node].monitor;
            eventually("the server is healthy", async || healthy(port).await).await;
        }
    }

    /// How many servers there are, running or not.
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    fn pid(&self, node: usize) -> Pid {
        self.running[node].as_ref().expect("it runs").pid
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
            let routes: Vec<String> =
                self.ports.iter().map(|p| format!("nats://127.0.0.1:{}", p.route)).collect();
            config += &format!(
                "cluster {{ name: c, listen: 127.0.0.1:{route}, routes: [{}] }}\n",
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
        self.keeper.kill().ok();
        self.keeper.wait().ok();
    }
}

impl Ports {
    /// Three that nobody uses now.
    fn free() -> Ports {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners = [free(), free(), free()];
        let [client, route, monitor] =
            listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        Ports { client, route, monitor }
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

async fn healthy(monitor: u16) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", monitor)).await else {
        return false;
    };
    let request = b"GET /healthz HTTP/1.0\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.contains("\"status\":\"ok\"")
}
