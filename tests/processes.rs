//! The program in processes of its own, that can be killed, stopped and told to end.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::process::{Child, Command};

use crate::harness::{Engine, eventually, within};

/// A `jetiter` that runs. Dropped, it is killed.
pub struct Process {
    child: Child,
    log: tempfile::NamedTempFile,
    output: tempfile::NamedTempFile,
}

impl Engine {
    /// Starts `jetiter` with these arguments in this engine's namespace, with its settings.
    pub fn process(&self, arguments: &[&str]) -> Process {
        self.process_with(arguments, &[])
    }

    /// The same, with further environment variables.
    pub fn process_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        self.process_in(&std::env::temp_dir(), arguments, environment)
    }

    /// The same, in this directory.
    pub fn process_in(
        &self,
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Process {
        let settings = &self.settings;
        let log = tempfile::NamedTempFile::new().unwrap();
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_jetiter"));
        command
            .env_clear()
            .current_dir(directory)
            .args(["--server", &settings.server, "--namespace", &settings.namespace])
            .args(arguments)
            .env("JETITER_COLLATOR__DONE_TTL", millis(settings.collator.done_ttl))
            .env("JETITER_COLLATOR__CHUNK", settings.collator.chunk.to_string())
            .env("JETITER_COLLATOR__BUFFER", settings.collator.buffer.to_string())
            .env("JETITER_COLLATOR__ABANDON_AFTER", millis(settings.collator.abandon_after))
            .env("JETITER_COLLATOR__SHORT_AFTER", millis(settings.collator.short_after))
            .env("JETITER_WORKER__BEGINS", settings.worker.begins.to_string())
            .env("JETITER_WORKER__CONCURRENCY", settings.worker.concurrency.to_string())
            .env("JETITER_WORKER__PREFETCH", settings.worker.prefetch.to_string())
            .env("JETITER_WORKER__TIMEOUT", millis(settings.worker.timeout))
            .env("JETITER_WORKER__GRACE", millis(settings.worker.grace))
            .env("JETITER_WORKER__RETRY_DELAY", millis(settings.worker.retry_delay))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.reopen().unwrap())
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true);
        Process { child: command.spawn().unwrap(), log, output }
    }

    /// A process that kills or stops itself: `points` is what `FAILPOINTS` says.
    pub fn process_until(&self, arguments: &[&str], points: &str) -> Process {
        if !cfg!(feature = "crash-points") {
            panic!("these tests need crash points: cargo test --features crash-points");
        }
        self.process_with(arguments, &[("FAILPOINTS", points)])
    }

    /// A worker of `math.*` and `test.*`.
    pub fn worker_process(&self) -> Process {
        self.process(&["worker", "--test-functions"])
    }

    pub fn collator_process(&self) -> Process {
        self.process(&["collator"])
    }
}

fn millis(duration: std::time::Duration) -> String {
    format!("{}ms", duration.as_millis())
}

impl Process {
    /// SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and waits for its end.
    pub async fn term(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until it ends well by itself, and returns what it has printed.
    pub async fn printed(mut self) -> String {
        let status = within(self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        std::fs::read_to_string(self.output.path()).unwrap()
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> ExitStatus {
        within(self.exit()).await
    }

    /// Waits until it ends by itself: its exit code, and what it has said.
    pub async fn ended_saying(mut self) -> (Option<i32>, String) {
        let status = within(self.child.wait()).await.unwrap();
        (status.code(), self.log())
    }

    /// SIGSTOP: it does nothing any more until [`wake`](Self::wake), and notices nothing.
    pub async fn stop(&self) {
        self.signal(Signal::STOP);
        self.is_stopped().await;
    }

    /// SIGCONT.
    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it is stopped, by us or by itself.
    pub async fn is_stopped(&self) {
        let stat = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        eventually("it is stopped", async || {
            let stat = std::fs::read_to_string(&stat).unwrap();
            stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
        })
        .await;
    }

    /// Waits until it has said these words on standard error.
    pub async fn says(&self, words: &str) {
        eventually(words, async || self.log().contains(words)).await;
    }

    /// It may have no more address space than this.
    pub fn limit_memory(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        prlimit(Some(self.pid()), Resource::As, limit).unwrap();
    }

    /// The most memory that it ever held, in bytes.
    pub fn peak_memory(&self) -> usize {
        let status = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap()
    }

    /// What it has said on standard error.
    pub fn log(&self) -> String {
        let mut text = String::new();
        self.log_file().read_to_string(&mut text).unwrap();
        text
    }

    /// The same, to be read also when the process is gone.
    pub fn log_file(&self) -> File {
        self.log.reopen().unwrap()
    }

    /// Waits until it ends, however long that takes.
    pub async fn exit(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().expect("it runs") as i32).unwrap()
    }
}
