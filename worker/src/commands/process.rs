//! One process and what it has started, in a process group of their own.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::keeper::{self, Keeper};
use super::said::Said;

/// What a process gets as its standard input.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Input {
    /// What we write.
    Pipe,
    /// Nothing.
    Nothing,
}

/// A process that runs. Dropped, it is killed, and all of its group.
pub(super) struct Process {
    child: Child,
    group: Pid,
    said: Said,
    keeper: Arc<Keeper>,
    /// Its standard input, if that is a pipe.
    pub(super) stdin: Option<ChildStdin>,
    /// Its standard output.
    pub(super) stdout: Option<ChildStdout>,
}

/// How a process ended.
pub(super) struct How {
    status: Option<ExitStatus>,
    /// Not killed by us.
    pub(super) in_time: bool,
    /// Its last lines on standard error, behind a colon.
    last: String,
}

impl Process {
    /// Starts it; its standard error goes into the log.
    pub(super) fn start(
        function: &str,
        mut command: Command,
        input: Input,
        keeper: Arc<Keeper>,
    ) -> io::Result<Process> {
        let stdin = if input == Input::Pipe { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let (Some(group), Some(stderr)) = (pid, child.stderr.take()) else {
            return Err(io::Error::other("it has no process id"));
        };
        keeper.began(group);
        let said = Said::read(function, group.as_raw_nonzero().get(), stderr);
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Ok(Process { child, group, said, keeper, stdin, stdout })
    }

    /// Its process id.
    pub(super) fn id(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Whether it runs. What one that has ended has left behind is killed.
    pub(super) fn lives(&mut self) -> bool {
        let lives = matches!(self.child.try_wait(), Ok(None));
        if !lives {
            self.kill_rest();
        }
        lives
    }

    /// Waits for the end of a process that has closed its output, and kills it after this time.
    pub(super) async fn ended(mut self, within: Duration) -> How {
        self.end_within(within).await
    }

    /// Tells it to end by the end of its input, and kills it after this time.
    pub(super) async fn end(mut self, within: Duration) {
        drop(self.stdin.take());
        self.end_within(within).await;
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn kill(mut self) {
        keeper::kill(self.group);
        self.child.wait().await.ok();
        self.kill_rest();
    }

    /// Of a process that was waited for: its number is still the group's as long as anybody is in it,
    /// and given to nobody else within a moment. So it is forgotten at once.
    fn kill_rest(&self) {
        keeper::kill(self.group);
        self.keeper.ended(self.group);
    }

    async fn end_within(&mut self, limit: Duration) -> How {
        let ended = timeout(limit, self.child.wait()).await;
        let in_time = ended.is_ok();
        let status = match ended {
            Ok(status) => status.ok(),
            Err(_) => {
                keeper::kill(self.group);
                self.child.wait().await.ok()
            }
        };
        // It may have left behind what holds its standard error open.
        self.kill_rest();
        How { status, in_time, last: self.said.last().await }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Waited for, its number may be another's by now.
        if self.child.id().is_some() {
            keeper::kill(self.group);
        }
        self.keeper.ended(self.group);
    }
}

impl How {
    /// Whether it says that all is well.
    pub(super) fn is_well(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// What a person needs to know of it.
    pub(super) fn told(&self, without: &str) -> String {
        let status = self.status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        format!("the command ended{without} ({status}){}", self.last)
    }
}
