//! Programs in other languages, started in an engine's namespace.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, OnceLock};

use jetiter::Settings;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::{skip, within};

/// The languages that `tools/languages` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Python,
    JavaScript,
    Go,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a script in tools/ prints; `None`, said aloud, where this machine lacks what it needs.
pub fn tool(script: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(root().join("tools").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !output.status.success() {
        skip(
            &format!("{script} {}", arguments.join(" ")),
            String::from_utf8_lossy(&output.stderr).trim(),
        );
        return None;
    }
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

impl Language {
    /// The program that runs its examples, made ready once.
    pub fn program(self) -> Option<String> {
        static READY: [OnceLock<Option<String>>; 3] = [const { OnceLock::new() }; 3];
        // One at a time: they share a folder, and each is quick when it is there.
        static TURN: Mutex<()> = Mutex::new(());
        let get = || {
            let _turn = TURN.lock().unwrap();
            tool("languages", &[["python", "node", "go"][self as usize]])
        };
        READY[self as usize].get_or_init(get).clone()
    }

    /// The file that its example client is in, where that is no program of its own.
    fn client(self) -> Option<PathBuf> {
        let file = match self {
            Language::Python => "examples/python/client.py",
            Language::JavaScript => "examples/javascript/client.js",
            Language::Go => return None,
        };
        Some(root().join(file))
    }

    /// Starts its example client.
    pub fn start_client(self, settings: &Settings, arguments: &[&str]) -> Program {
        let mut command = Command::new(self.program().unwrap());
        command.args(self.client()).args(arguments);
        Program::start(settings, command)
    }
}

/// A program that prints one JSON value a line. Dropped, it is killed.
pub struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts a command, which is told where the engine is.
    pub fn start(settings: &Settings, mut command: Command) -> Program {
        command
            .env("NATS_URL", &settings.server)
            .env("JETITER_NAMESPACE", &settings.namespace)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Program { child, lines }
    }

    /// The next value that it prints; `None` when it prints no more.
    pub async fn next(&mut self) -> Option<Value> {
        let line = within(self.lines.next_line()).await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// All that it still prints, until it ends well.
    pub async fn rest(mut self) -> Vec<Value> {
        let mut values = Vec::new();
        while let Some(value) = self.next().await {
            values.push(value);
        }
        let status = within(self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}: {values:?}");
        values
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().expect("it runs") as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it is gone, however it ends.
    pub async fn gone(mut self) {
        within(self.child.wait()).await.unwrap();
    }
}
