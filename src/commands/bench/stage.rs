//! Where a benchmark runs: a server, namespaces that nobody else uses, processes of this program.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::context::DeleteStreamErrorKind;
use futures_util::future::join_all;
use jetiter_config::broker::Broker;
use jetiter_config::names::{GroupId, Namespace};
use jetiter_config::settings::Settings;
use jetiter_config::topology::{Made, Topology};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::super::server::Server;
use super::super::up;
use crate::cli::{Failure, Global, output};

/// How long a busy server may take to remove a stream.
const LAST_WORD: Duration = Duration::from_secs(60);
/// How long between two tries.
const AGAIN: Duration = Duration::from_millis(100);
/// The queue of every namespace.
pub(super) const QUEUE: &str = "default";

/// The server, and what was made there.
pub(super) struct Stage {
    settings: Settings,
    program: PathBuf,
    /// What every process is told.
    flags: Vec<String>,
    secrets: Vec<(String, String)>,
    broker: Broker,
    server: Option<(Server, TempDir)>,
    made: Mutex<Vec<(Namespace, async_nats::Client)>>,
    deaths: UnboundedSender<Failure>,
    running: TaskTracker,
    keep: bool,
}

/// A process that is killed when this is dropped.
pub(super) struct Process {
    pub(super) pid: u32,
    task: AbortOnDropHandle<()>,
}

impl Process {
    /// Kills it, and it is dead when this ends.
    pub(super) async fn end(self) {
        self.task.abort();
        // It can only say that it was aborted.
        self.task.await.ok();
    }
}

/// The two ends of a process that is asked questions.
pub(super) struct Pipes {
    pub(super) questions: ChildStdin,
    pub(super) answers: ChildStdout,
}

impl Stage {
    /// Uses the server that answers or starts one. The receiver is told of processes that end.
    pub(super) async fn open(
        mut settings: Settings,
        global: &Global,
        keep: bool,
    ) -> Result<(Stage, UnboundedReceiver<Failure>), Failure> {
        let data = tempfile::Builder::new().prefix("jetiter-bench-").tempdir()?;
        settings.up.data = data.path().to_owned();
        let (server, broker) = up::server(&settings).await?;
        let (deaths, told) = unbounded_channel();
        let (flags, secrets) = global.for_another_process();
        let stage = Stage {
            settings,
            program: std::env::current_exe()?,
            flags,
            secrets,
            broker,
            server: server.map(|server| (server, data)),
            made: Mutex::default(),
            deaths,
            running: TaskTracker::new(),
            keep,
        };
        Ok((stage, told))
    }

    /// A connection of its own to a namespace of its own, in which nothing stands yet.
    pub(super) async fn namespace(&self) -> Result<Place, Failure> {
        let random = String::from(GroupId::random());
        let mut settings = self.settings.clone();
        settings.namespace = format!("bench-{}", &random[..12]);
        let broker = Broker::connect(&settings, "jetiter bench").await?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.push((broker.namespace.clone(), broker.client.clone()));
        Ok(Place { broker, settings, keep: self.keep })
    }

    pub(super) fn server_version(&self) -> String {
        self.broker.client.server_info().version
    }

    /// Starts this program with these arguments in a namespace.
    pub(super) fn process(&self, place: &Place, arguments: &[String]) -> Result<Process, Failure> {
        self.spawn(place, arguments, Stdio::null(), Stdio::null()).map(|child| self.watch(child))
    }

    /// The same, for a process that is asked questions. It ends when they end.
    pub(super) fn asked(
        &self,
        place: &Place,
        arguments: &[String],
    ) -> Result<(Process, Pipes), Failure> {
        let mut child = self.spawn(place, arguments, Stdio::piped(), Stdio::piped())?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let pipes = pipes.map(|(questions, answers)| Pipes { questions, answers });
        let pipes = pipes.ok_or_else(|| Failure::new("a process was started without its pipes"))?;
        Ok((self.watch(child), pipes))
    }

    fn spawn(
        &self,
        place: &Place,
        arguments: &[String],
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Child, Failure> {
        let child = Command::new(&self.program)
            .args(arguments)
            .args(&self.flags)
            .args(["--namespace", place.broker.namespace.as_str()])
            .envs(self.secrets.iter().cloned())
            .stdin(stdin)
            .stdout(stdout)
            // A ctrl-C at the terminal is for us: we end them.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        child.map_err(|error| {
            Failure::new(format!("{} can't be run: {error}", self.program.display()))
        })
    }

    fn watch(&self, mut child: Child) -> Process {
        let (pid, deaths) = (child.id().unwrap_or_default(), self.deaths.clone());
        let task = self.running.spawn(async move {
            let ended = match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            let text = format!("a process of the benchmark ended before it: {ended}");
            deaths.send(Failure::new(text)).ok();
        });
        Process { pid, task: AbortOnDropHandle::new(task) }
    }

    /// Removes what was made, and ends a server of its own. Whoever used them has let go of every
    /// process.
    pub(super) async fn close(self) {
        // What dies is not to tell that its streams go.
        self.running.close();
        self.running.wait().await;
        let made = self.made.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (namespace, client) in made {
            // Who still listens on it would report that the server goes.
            client.drain().await.ok();
            let topology = Topology::new(namespace.clone(), self.settings.assets.clone());
            if self.keep {
                output::note(format!("left: the namespace {namespace}"));
                continue;
            }
            remove(&self.broker, &topology).await;
        }
        // Left open, it would report that the server goes.
        drop(self.broker);
        if let Some((server, data)) = self.server {
            server.stop().await;
            if self.keep {
                output::note(format!("left: the server's data in {}", data.keep().display()));
            }
        }
    }
}

/// A namespace of the benchmark.
pub(super) struct Place {
    pub(super) broker: Broker,
    pub(super) settings: Settings,
    keep: bool,
}

impl Place {
    pub(super) fn topology(&self) -> Topology {
        Topology::of(&self.broker, &self.settings)
    }

    /// Makes all that the engine needs. Somebody's own streams are never used.
    pub(super) async fn make(&self) -> Result<(), Failure> {
        let made = self.topology().ensure(&self.broker).await?;
        match made.iter().find(|(_, made)| *made != Made::Created) {
            Some((asset, _)) => Err(Failure::new(format!("{asset} was there: it is left alone"))),
            None => Ok(()),
        }
    }

    /// Removes its streams before the end of the benchmark: they would cost the server memory.
    pub(super) async fn remove(self) {
        if !self.keep {
            remove(&self.broker, &self.topology()).await;
        }
        self.broker.client.drain().await.ok();
    }
}

async fn remove(broker: &Broker, topology: &Topology) {
    let delete = async |stream: String| {
        let began = Instant::now();
        // One that is not there was removed before, or never made. One that is busy with a purge
        // answers late.
        while let Err(error) = broker.jetstream.delete_stream(&stream).await {
            tracing::debug!(stream, %error, "not removed");
            let refused = matches!(error.kind(), DeleteStreamErrorKind::JetStream(_));
            if refused || began.elapsed() > LAST_WORD {
                break;
            }
            sleep(AGAIN).await;
        }
    };
    join_all(topology.streams().into_iter().map(|stream| delete(stream.name))).await;
}
