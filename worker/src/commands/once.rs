//! A plain program that is run once for each item.

use std::future::pending;
use std::sync::Arc;

use jetiter_config::call::{Item, Outcome};
use jetiter_config::settings::{self, Output};
use jetiter_config::wire::{ErrorKind, ItemError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::plain;
use super::process::{Input, Process};
use super::program::Program;
use crate::functions::timed_out;

/// A program that is run once for each item.
pub(super) struct Once {
    program: Program,
    slots: Semaphore,
    input: settings::Input,
    output: Output,
    /// The most bytes of its standard output.
    most: usize,
    stopped: CancellationToken,
}

impl Once {
    /// Nothing is started yet.
    pub(super) fn new(
        program: Program,
        slots: usize,
        command: &settings::Command,
        stopped: CancellationToken,
    ) -> Once {
        Once {
            program,
            slots: Semaphore::new(slots.min(Semaphore::MAX_PERMITS)),
            input: command.input.unwrap_or_default(),
            output: command.output.unwrap_or_default(),
            most: command.output_max_bytes,
            stopped,
        }
    }

    /// Runs one item. Its time begins when the program is started.
    pub(super) async fn run(self: Arc<Self>, item: Item) -> Outcome {
        tokio::select! {
            biased;
            // The program is killed, which must not look like the item's fault: it has no outcome.
            () = self.stopped.cancelled() => pending().await,
            outcome = self.run_program(&item) => outcome,
        }
    }

    async fn run_program(&self, item: &Item) -> Outcome {
        let (words, stdin) = match self.input {
            settings::Input::Words => (plain::words(item)?, None),
            settings::Input::Stdin => (Vec::new(), Some(plain::stdin(item)?)),
        };
        let Ok(_slot) = self.slots.acquire().await else {
            return pending().await;
        };
        let input = if stdin.is_some() { Input::Pipe } else { Input::Nothing };
        let mut process = self.program.start(&words, input)?;
        let began = Instant::now();
        match timeout(item.timeout, self.written(&mut process, stdin)).await {
            Ok(Some(written)) => {
                let how = process.ended(item.timeout.saturating_sub(began.elapsed())).await;
                match how.is_well() {
                    true => plain::value(item, written, self.output),
                    false if !how.in_time => Err(timed_out(item.timeout)),
                    false => Err(ItemError::new(ErrorKind::Failed, how.told(""))),
                }
            }
            Ok(None) => {
                process.kill().await;
                Err(self.too_long())
            }
            Err(_) => {
                process.kill().await;
                Err(timed_out(item.timeout))
            }
        }
    }

    /// Its standard output, all of it; `None` when that is too long.
    async fn written(&self, process: &mut Process, stdin: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let (pipe, output) = (process.stdin.take(), process.stdout.take());
        let write = async {
            if let (Some(mut pipe), Some(stdin)) = (pipe, stdin) {
                // A program need not read all of it, or any.
                pipe.write_all(&stdin).await.ok();
            }
        };
        let read = async {
            let mut written = Vec::new();
            if let Some(output) = output {
                output.take(self.most as u64 + 1).read_to_end(&mut written).await.ok();
            }
            written
        };
        let mut read = std::pin::pin!(read);
        let written = tokio::select! {
            written = &mut read => written,
            () = write => read.await,
        };
        (written.len() <= self.most).then_some(written)
    }

    fn too_long(&self) -> ItemError {
        let (most, name) = (self.most, &self.program.name);
        let mend = format!("functions.{name:?}.output_max_bytes");
        let message = format!("the command's output has more than {most} bytes: raise {mend}");
        ItemError::new(ErrorKind::TooLarge, message)
    }
}
