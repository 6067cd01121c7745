//! A chunk that came again and again may hold an argument that kills its workers. So its items go
//! one by one, each under its own count of begins and with an outcome of its own: the one that kills
//! ends as lost, alone.

use std::sync::Arc;

use jetiter_config::call::{Item, Outcome};
use jetiter_config::crash_point;
use tokio::time::{Instant, sleep, timeout};

use crate::begins::{NoTurn, Suspicion, Turn};
use crate::chunk::Chunk;
use crate::executor::{End, Executor};
use crate::functions::{Found, timed_out};
use crate::hand::Held;
use crate::store::tell_stuck;
use crate::worker::STUCK_GRACE;

impl Executor {
    pub(crate) async fn run_suspects(
        &self,
        held: &Held,
        chunk: &Arc<Chunk>,
        found: &Found,
        retries: u32,
    ) -> End {
        while let Some(offset) = chunk.pop() {
            let item = chunk.item(offset);
            if let Err(end) = self.run_suspect(held, chunk, found, item, retries).await {
                return end;
            }
        }
        End::Stored
    }

    /// Brings one item to its end, or says that it has to be handed back.
    async fn run_suspect(
        &self,
        held: &Held,
        chunk: &Chunk,
        found: &Found,
        mut item: Item,
        retries: u32,
    ) -> Result<(), End> {
        let mut suspicion = Suspicion::Suspect;
        loop {
            let Turn { slot, begin, alone } =
                match self.turn(&item, chunk.lane, retries, suspicion).await {
                    Ok(turn) => turn,
                    Err(NoTurn::Stopping) => return Err(End::HandBack),
                    Err(NoTurn::Lost(error)) => {
                        let now = Instant::now();
                        let ran = chunk.ran(item.attempt, now, now);
                        self.keep(held.origin, &item, Err(error), ran).await;
                        return Ok(());
                    }
                };
            let began = Instant::now();
            let outcome = call_apart(found, &item).await;
            crash_point("worker.ran");
            let ran = chunk.ran(item.attempt, began, Instant::now());
            // A suspect is done when its outcome is stored: the next one may end this process.
            let alone = alone.then_some(slot);
            let failure = self.counted_failure(&item, chunk.lane, &outcome, retries, begin).await;
            let Some(attempt) = failure else {
                self.keep(held.origin, &item, outcome, ran).await;
                return Ok(());
            };
            drop(alone);
            tokio::select! {
                () = sleep(self.retry_delay(attempt)) => {}
                () = self.stopping.cancelled() => return Err(End::HandBack),
            }
            item.attempt = item.attempt.saturating_add(1);
            suspicion = Suspicion::OnlyFailed(attempt + 1);
        }
    }
}

/// Calls in a task of its own: a function that holds its thread shall not hold the others.
async fn call_apart(found: &Found, item: &Item) -> Outcome {
    let call = found.call(item.clone());
    let running = tokio::spawn(async move {
        tokio::task::yield_now().await;
        crash_point("worker.begun");
        call.await
    });
    match timeout(item.timeout.saturating_add(STUCK_GRACE), running).await {
        Ok(Ok(outcome)) => outcome,
        // It can't panic, so it holds its thread, or was begun while the runtime ends.
        _ => {
            tell_stuck(item);
            Err(timed_out(item.timeout))
        }
    }
}
