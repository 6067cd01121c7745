//! `jetiter worker`

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jetiter_config::Broker;
use jetiter_worker::{Commands, Functions, Worker, math};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::test_functions;
use crate::cli::{Exit, Failure, Global, log, signals};

/// The least time that commands have to end when they are told.
const LEAST: Duration = Duration::from_secs(1);

/// Run items of a queue with the stock functions, math.*, and the commands of the settings
///
/// Commands are programs in any language that jetiter.toml makes functions of: docs/commands.md.
///
/// On ctrl-C or SIGTERM it hands back what it has not begun and finishes what it has, within
/// worker.grace. A second signal ends it at once; what it had in hand then goes to another worker.
#[derive(clap::Args, Serialize)]
pub(crate) struct Args {
    /// The queue to work [env: JETITER_WORKER__QUEUE] [default: default]
    #[arg(long, short)]
    queue: Option<String>,
    /// Items run at once, 0 for four times the processors [env: JETITER_WORKER__CONCURRENCY]
    /// [default: 0]
    #[arg(long, short, value_name = "N")]
    concurrency: Option<usize>,
    /// Serve test.* too: functions that fail, sleep, panic or abort, for trying the engine
    #[arg(long)]
    #[serde(skip)]
    pub(crate) test_functions: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load_with(json!({ "worker": args }), log::SERVICE)?;
    let commands = Commands::new(&settings, settings.worker.slots())?;
    let functions = functions(args.test_functions, &commands);
    let stop = signals::stop()?;
    let broker = Broker::connect(&settings, "jetiter worker").await?;
    let names = functions.names().count();
    let worker = Worker::new(&broker, functions, &settings).await?;
    tracing::info!(
        queue = settings.worker.queue,
        concurrency = settings.worker.slots(),
        functions = names,
        "working"
    );
    let told = Told::default();
    let ended = worker.run(told.of(&stop)).await;
    commands.stop(told.left(settings.worker.grace)).await;
    ended?;
    Ok(Exit::Done)
}

/// What the stock binary serves.
pub(super) fn functions(test: bool, commands: &Commands) -> Functions {
    let stock = math::functions().include(commands.functions());
    match test {
        true => stock.include(test_functions::functions()),
        false => stock,
    }
}

/// When the stop was told: the grace time is one for the items that run and for the commands.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<OnceLock<Instant>>);

impl Told {
    /// Waits for the stop.
    pub(super) async fn of(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        self.0.get_or_init(Instant::now);
    }

    /// What is left of the grace time; all of it if nothing told.
    pub(super) fn left(&self, grace: Duration) -> Duration {
        let since = self.0.get().map_or(Duration::ZERO, Instant::elapsed);
        grace.saturating_sub(since).max(LEAST)
    }
}
