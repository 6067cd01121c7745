//! The children of one function: as many as it has slots, each asked one item at a time.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jetiter_config::call::{Item, Outcome};
use jetiter_config::wire::{ErrorKind, ItemError};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::child::{Child, Heard};
use super::line;
use super::program::Program;
use crate::functions::timed_out;

/// With a start that is farther away an item does not wait for it.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The children of one function.
pub(super) struct Pool {
    program: Program,
    /// One a child that is asked.
    slots: Semaphore,
    idle: Mutex<Vec<Child>>,
    backoff: Mutex<Backoff>,
    /// The most bytes of an answer.
    most: usize,
    stopped: CancellationToken,
}

impl Pool {
    /// No child is started yet.
    pub(super) fn new(
        program: Program,
        slots: usize,
        most: usize,
        stopped: CancellationToken,
    ) -> Pool {
        let slots = Semaphore::new(slots.min(Semaphore::MAX_PERMITS));
        Pool { program, slots, idle: Mutex::default(), backoff: Mutex::default(), most, stopped }
    }

    /// Runs one item. Its time begins when a child has it, not while it waits for one.
    pub(super) async fn run(self: Arc<Self>, item: Item) -> Outcome {
        let question = line::question(&item)?;
        tokio::select! {
            biased;
            // Its child is killed, which must not look like the item's fault: it has no outcome.
            () = self.stopped.cancelled() => pending().await,
            outcome = self.ask(&item, &question) => outcome,
        }
    }

    /// Lets the children end that have nothing to do, and kills those that do not.
    pub(super) async fn stop(&self, within: Duration) {
        let idle = std::mem::take(&mut *locked(&self.idle));
        join_all(idle.into_iter().map(|child| child.end(within))).await;
    }

    async fn ask(&self, item: &Item, question: &[u8]) -> Outcome {
        let Ok(_slot) = self.slots.acquire().await else {
            return pending().await;
        };
        loop {
            let mut child = match self.idle() {
                Some(child) => child,
                None => self.start().await?,
            };
            match timeout(item.timeout, child.ask(question, self.most)).await {
                Ok(Heard::Line(answer)) => return self.answered(item, child, &answer).await,
                Ok(Heard::End) => {
                    let has_answered = child.has_answered;
                    let how = child.ended().await;
                    if has_answered && how.is_well() {
                        // It has done its share, as some do, and may never have read the question.
                        // A new child has not answered yet, so this comes once.
                        continue;
                    }
                    self.failed(has_answered);
                    let told = how.told(" without an answer");
                    return Err(ItemError::new(ErrorKind::Panicked, told));
                }
                Ok(Heard::TooLong) => {
                    child.kill().await;
                    return Err(self.too_long());
                }
                Ok(Heard::TooMuch) => {
                    child.kill().await;
                    return Err(no_answer("it wrote more than one line for one line"));
                }
                Err(_) => {
                    child.kill().await;
                    return Err(timed_out(item.timeout));
                }
            }
        }
    }

    /// A child that has said something else than an answer can't be trusted to be where we are.
    async fn answered(&self, item: &Item, child: Child, answer: &[u8]) -> Outcome {
        match line::answer(answer) {
            Ok(answer) => {
                locked(&self.backoff).answered();
                self.put_back(child);
                line::outcome(item, answer)
            }
            Err(reason) => {
                child.kill().await;
                let shown = String::from_utf8_lossy(answer.trim_ascii_end());
                let shown = jetiter_config::wire::cut(shown.into_owned(), 200);
                Err(no_answer(&format!("it wrote {shown:?}, and {reason}")))
            }
        }
    }

    /// A child that can be asked; those that can't be any more are let go.
    fn idle(&self) -> Option<Child> {
        loop {
            let mut child = locked(&self.idle).pop()?;
            let (function, pid) = (&self.program.name, child.id());
            match (child.has_more(), child.lives()) {
                (false, true) => return Some(child),
                (false, false) => tracing::info!(function, pid, "a child has ended"),
                (true, _) => {
                    tracing::warn!(function, pid, "a child wrote a line that nobody asked for");
                }
            }
        }
    }

    fn put_back(&self, child: Child) {
        let mut idle = locked(&self.idle);
        // Nobody would tell it to end any more: it is killed.
        if !self.stopped.is_cancelled() {
            idle.push(child);
        }
    }

    async fn start(&self) -> Result<Child, ItemError> {
        loop {
            let leave = locked(&self.backoff).start(Instant::now());
            match leave {
                Ok(()) => break,
                // An item that waits holds a slot that other functions could use.
                Err(then) if then.duration_since(Instant::now()) > LONGEST_WAIT => {
                    let name = &self.program.name;
                    let message = format!(
                        "the command of {name:?} ended without any answer each time that it was \
                         started lately: the worker's log says how"
                    );
                    return Err(ItemError::new(ErrorKind::Failed, message));
                }
                Err(then) => sleep_until(then).await,
            }
        }
        Child::start(&self.program).inspect_err(|_| self.failed(false))
    }

    fn failed(&self, has_answered: bool) {
        if !has_answered {
            let delay = locked(&self.backoff).failed(Instant::now());
            let function = &self.program.name;
            tracing::warn!(
                function,
                ?delay,
                "a child ended without any answer, the next one waits"
            );
        }
    }

    fn too_long(&self) -> ItemError {
        let (most, name) = (self.most, &self.program.name);
        let mend = format!("functions.{name:?}.output_max_bytes");
        let message = format!("the command's answer has more than {most} bytes: raise {mend}");
        ItemError::new(ErrorKind::TooLarge, message)
    }
}

fn no_answer(what: &str) -> ItemError {
    let wanted = r#"one line, {"value": ...} or {"error": "..."}, for each line that it reads"#;
    let message = format!("the command's answer can't be read: {what}; it must write {wanted}");
    ItemError::new(ErrorKind::BadValue, message)
}

/// A panic while the lock was held leaves it whole: every change is one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
