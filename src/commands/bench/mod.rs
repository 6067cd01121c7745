//! `jetiter bench`: the engine against the loop that one would write by hand, and what else its
//! users ask a figure for. [`stage`] is where it runs, [`bare`] and [`engine`] are what is measured.

mod bare;
mod chart;
mod chunk;
mod engine;
mod fairness;
mod figures;
mod growth;
mod latency;
mod machine;
mod options;
mod phases;
mod scale;
mod stage;
mod turns;

use clap::Subcommand;

pub(crate) use bare::role;
use options::Options;
use stage::Stage;

use crate::cli::{Exit, Failure, Global, log, output, signals};

/// Measure the engine on this machine, in turns with a bare loop without it
///
/// The bare loop publishes, pulls, writes once, acknowledges and follows the log with the same
/// messages on the same streams, and nothing else: it is the limit. Every figure comes from
/// namespaces of the benchmark's own, which are removed at its end. Uses the server that answers,
/// or starts one with its data in a temporary directory.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    what: Option<What>,
}

/// What is measured; without it the rates of bare loop and engine.
#[derive(Subcommand)]
enum What {
    /// How long a small group takes, in round trips of a publish
    ///
    /// Groups of --items (1), one after the other, each in turn with a plain publish.
    Latency,
    /// Rate and memory from one item to ten million
    ///
    /// With a collator of its own for each step, since its peak is what counts.
    Growth(growth::Args),
    /// What more workers bring, with a function that takes time without the processor
    ///
    /// Numbers of workers by --workers (1,2,4,8), slots of each by --concurrency (2), the
    /// function by --sleep (1ms).
    Scale,
    /// How long a small group takes behind a giant one that waits in the same queue
    ///
    /// The giant is published first; then groups of --items (10) are timed while it is worked.
    Fairness(fairness::Args),
    /// What chunks bring: --chunk (1000) arguments in one message against one in each, in turns
    Chunk,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    if global.names_namespace() {
        return Err(Failure::new(
            "jetiter bench makes namespaces of its own and removes them: leave --namespace out",
        ));
    }
    args.options.check()?;
    let settings = args.options.settings(global.load(log::QUIET)?);
    let stop = signals::stop()?;
    // Not broken off: a server that is about to start would outlive its directory.
    let (stage, mut deaths) = Stage::open(settings, global, args.options.keep).await?;
    let ended = tokio::select! {
        ended = measure(&args, &stage) => ended.map(|()| Exit::Done),
        Some(death) = deaths.recv() => Err(death),
        () = stop.cancelled() => Ok(Exit::Interrupted),
    };
    // Whatever ran is gone with the future above.
    stage.close().await;
    ended
}

async fn measure(args: &Args, stage: &Stage) -> Result<(), Failure> {
    let options = &args.options;
    let told = match &args.what {
        None => turns::run(options, stage).await?,
        Some(What::Latency) => latency::run(options, stage).await?,
        Some(What::Growth(args)) => growth::run(options, args, stage).await?,
        Some(What::Scale) => scale::run(options, stage).await?,
        Some(What::Chunk) => chunk::run(options, stage).await?,
        Some(What::Fairness(args)) => fairness::run(options, args, stage).await?,
    };
    output::line(told)
}
