//! A child that lives on: a line in, a line out.

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use jetiter_config::wire::ItemError;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::process::{How, Input, Process};
use super::program::Program;

/// How long one may take to end that has closed its output.
const END: Duration = Duration::from_secs(1);
/// Of what it says, so much is read at once.
const BUFFER: usize = 16 * 1024;

/// A child of a pool.
pub(super) struct Child {
    process: Process,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Whether it ever did.
    pub(super) has_answered: bool,
}

/// What came of a question.
pub(super) enum Heard {
    /// One line.
    Line(Vec<u8>),
    /// A line that is longer than it may be.
    TooLong,
    /// More than one line, or one before it can know what it was asked.
    TooMuch,
    /// The end of its output.
    End,
}

impl Child {
    /// Starts one.
    pub(super) fn start(program: &Program) -> Result<Child, ItemError> {
        let mut process = program.start(&[], Input::Pipe)?;
        let pipes = (process.stdin.take(), process.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else {
            let error = "the command was started without pipes";
            return Err(ItemError::new(jetiter_config::wire::ErrorKind::Failed, error));
        };
        let stdout = BufReader::with_capacity(BUFFER, stdout);
        Ok(Child { process, stdin, stdout, has_answered: false })
    }

    /// Writes the question and waits for the answer: at most so many bytes.
    pub(super) async fn ask(&mut self, question: &[u8], most: usize) -> Heard {
        let mut line = Vec::new();
        let (written, read) = {
            // Side by side: it may say much before it has read all.
            let mut write = pin!(self.stdin.write_all(question).fuse());
            let mut limited = (&mut self.stdout).take(most as u64 + 1);
            let mut read = pin!(limited.read_until(b'\n', &mut line));
            let read = loop {
                tokio::select! {
                    // Whether it was written tells the end of its output, too.
                    _ = &mut write, if !write.is_terminated() => {}
                    read = &mut read => break read,
                }
            };
            (write.is_terminated(), read)
        };
        match read {
            Ok(_) if line.ends_with(b"\n") && written && !self.has_more() => {
                self.has_answered = true;
                Heard::Line(line)
            }
            Ok(_) if line.ends_with(b"\n") => Heard::TooMuch,
            Ok(_) if line.len() > most => Heard::TooLong,
            _ => Heard::End,
        }
    }

    /// Whether it lives.
    pub(super) fn lives(&mut self) -> bool {
        self.process.lives()
    }

    /// Whether it said what nobody asked for. It would be taken for the next item's answer.
    pub(super) fn has_more(&self) -> bool {
        // The kernel is asked, since the runtime hears of new bytes later.
        let waiting: io::Result<u64> =
            rustix::io::ioctl_fionread(self.stdout.get_ref()).map_err(io::Error::from);
        !self.stdout.buffer().is_empty() || waiting.is_ok_and(|bytes| bytes > 0)
    }

    /// Its process id.
    pub(super) fn id(&self) -> i32 {
        self.process.id()
    }

    /// Waits for the end of one that has closed its output.
    pub(super) async fn ended(self) -> How {
        drop(self.stdin);
        self.process.ended(END).await
    }

    /// Tells it to end, and kills it after this time.
    pub(super) async fn end(self, within: Duration) {
        drop(self.stdin);
        self.process.end(within).await;
    }

    /// Kills it.
    pub(super) async fn kill(self) {
        self.process.kill().await;
    }
}
