//! `jetiter worker`

use jetiter_config::Broker;
use jetiter_worker::{Functions, math};
use serde::Serialize;
use serde_json::json;

use super::serve::Serve;
use super::test_functions;
use crate::cli::{Exit, Failure, Global, log, signals};

/// Run items of a queue with the stock functions, math.*, until told to stop
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
    test_functions: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load_with(json!({ "worker": args }), log::SERVICE)?;
    let functions = functions(args.test_functions);
    let stop = signals::stop()?;
    let broker = Broker::connect(&settings, "jetiter worker").await?;
    let names = functions.names().count();
    let worker = Serve::new(broker, functions, &settings).await?;
    tracing::info!(
        queue = settings.worker.queue,
        concurrency = settings.worker.slots(),
        functions = names,
        "working"
    );
    worker.run(stop.cancelled()).await?;
    Ok(Exit::Done)
}

/// What the stock binary serves.
pub(super) fn functions(test: bool) -> Functions {
    match test {
        true => math::functions().include(test_functions::functions()),
        false => math::functions(),
    }
}
