//! `jetiter bench`: the engine against the loop that one would write by hand, and what else its
//! users ask a figure for. [`stage`] is where it runs, [`bare`] and [`engine`] are what is measured.

mod bare;
mod engine;
mod figures;
mod machine;
mod options;
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
enum What {}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    if global.names_namespace() {
        return Err(Failure::new(
            "jetiter bench makes namespaces of its own and removes them: leave --namespace out",
        ));
    }
    args.options.check()?;
    let settings = args.options.settings(global.load(log::QUIET)?);
    let stop = signals::stop()?;
    let opened = tokio::select! {
        opened = Stage::open(settings, global, args.options.keep) => opened,
        () = stop.cancelled() => return Ok(Exit::Interrupted),
    };
    let (stage, mut deaths) = opened?;
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
        Some(what) => match *what {},
    };
    output::line(told)
}
