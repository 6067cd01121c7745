//! Commands: programs that are served as functions, as `docs/commands.md` tells it.
//!
//! `pool` keeps the children that live on and asks them by `line`; `once` runs a program for each
//! item, by `plain`. `program` says what is started, `process` starts it in a process group of its
//! own, `said` takes its standard error, and `keeper` sees that none of them outlives the worker.
//! `backoff`, `line` and `plain` are pure.

mod backoff;
mod child;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod keeper;
mod line;
mod once;
mod plain;
mod pool;
mod process;
mod program;
mod said;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jetiter_config::settings::{Mode, Settings};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::functions::Functions;
use keeper::Keeper;
use once::Once;
use pool::Pool;
use program::Program;

/// The commands that the settings name, ready to be served as functions.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use jetiter_config::{Broker, Settings};
/// use jetiter_worker::{Commands, Functions, Worker};
///
/// let settings = Settings::load(&Settings::figment(None))?;
/// let commands = Commands::new(&settings, settings.worker.slots())?;
/// let own = Functions::new().function("text.len", |text: String| text.len());
/// let broker = Broker::connect(&settings, "my worker").await?;
/// let worker = Worker::new(&broker, own.include(commands.functions()), &settings).await?;
/// let ended = worker.run(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
/// commands.stop(settings.worker.grace).await;
/// # Ok(ended?)
/// # }
/// ```
///
/// Their children end with it: dropped, it kills them; [`stop`](Self::stop) lets them end first.
pub struct Commands {
    functions: Functions,
    pools: Vec<Arc<Pool>>,
    keeper: Arc<Keeper>,
    stopped: CancellationToken,
}

impl Commands {
    /// Checks that the programs are there; nothing is started before an item wants it. `slots` is
    /// how many run at once where a command does not say it itself: the workers' concurrency.
    pub fn new(settings: &Settings, slots: usize) -> Result<Commands, Error> {
        let stopped = CancellationToken::new();
        let keeper = Arc::new(Keeper::new(!settings.functions.is_empty()));
        let (mut functions, mut pools) = (Functions::new(), Vec::new());
        for (name, command) in &settings.functions {
            let program = Program::new(name, command, keeper.clone());
            program.check()?;
            let slots = if command.slots == 0 { slots } else { command.slots };
            let stopped = stopped.clone();
            functions = match command.mode {
                Mode::Lines => {
                    let pool = Pool::new(program, slots, command.output_max_bytes, stopped);
                    let pool = Arc::new(pool);
                    pools.push(pool.clone());
                    functions.own_time(name, move |item| Box::pin(pool.clone().run(item)))
                }
                Mode::Once => {
                    let once = Arc::new(Once::new(program, slots, command, stopped));
                    functions.own_time(name, move |item| Box::pin(once.clone().run(item)))
                }
            };
        }
        Ok(Commands { functions, pools, keeper, stopped })
    }

    /// The functions, to be served beside others.
    pub fn functions(&self) -> Functions {
        self.functions.clone()
    }

    /// Tells the children to end, by the end of their input, and kills those that have not ended
    /// within this time. To be called when the worker has ended: an item that still runs comes to
    /// nothing, and the server hands it to another worker.
    pub async fn stop(self, within: Duration) {
        self.stopped.cancel();
        join_all(self.pools.iter().map(|pool| pool.stop(within))).await;
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.stopped.cancel();
        self.keeper.kill_all();
    }
}
