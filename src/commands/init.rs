//! `jetiter init`

use jetiter_config::names::Queue;
use jetiter_config::settings::Settings;
use jetiter_config::topology::Made;
use jetiter_config::{Broker, Topology};
use serde::Serialize;
use serde_json::json;

use crate::cli::{Exit, Failure, Global, log, output};

/// Make the streams, buckets and consumers on the server, or bring them up to date
///
/// Can be run at any time and any number of times. Prints what it did with each.
#[derive(clap::Args, Serialize)]
pub(crate) struct Args {
    /// A queue besides those of the settings; can be given several times
    #[arg(long = "queue", short, value_name = "QUEUE")]
    #[serde(skip)]
    queues: Vec<Queue>,
    /// How many servers keep each asset [env: JETITER_ASSETS__REPLICAS] [default: 1]
    #[arg(long)]
    replicas: Option<usize>,
    /// Where the server keeps them: file or memory [env: JETITER_ASSETS__STORAGE] [default: file]
    #[arg(long)]
    storage: Option<String>,
    /// How long an item may stay without a sign of its worker [env: JETITER_ASSETS__ACK_WAIT]
    /// [default: 30s]
    #[arg(long, value_name = "TIME")]
    ack_wait: Option<String>,
    /// Most items of one lane in hand [env: JETITER_ASSETS__MAX_ACK_PENDING] [default: 65536]
    #[arg(long, value_name = "N")]
    max_ack_pending: Option<i64>,
    /// Most bytes of waiting items, e.g. 1GiB [env: JETITER_ASSETS__ITEMS_MAX_BYTES]
    #[arg(long, value_name = "SIZE")]
    items_max_bytes: Option<String>,
    /// Most bytes of outcomes of live groups [env: JETITER_ASSETS__CACHE_MAX_BYTES]
    #[arg(long, value_name = "SIZE")]
    cache_max_bytes: Option<String>,
    /// Most bytes of results [env: JETITER_ASSETS__RESULTS_MAX_BYTES]
    #[arg(long, value_name = "SIZE")]
    results_max_bytes: Option<String>,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let mut settings = global.load_with(json!({ "assets": args }), log::QUIET)?;
    for queue in args.queues {
        add_queue(&mut settings, queue.as_str());
    }
    let broker = Broker::connect(&settings, "jetiter init").await?;
    for (asset, made) in Topology::of(&broker, &settings).ensure(&broker).await? {
        output::line(shown(&asset, &made))?;
    }
    Ok(Exit::Done)
}

/// Adds a queue to those that are made, unless it is there.
pub(super) fn add_queue(settings: &mut Settings, queue: &str) {
    let queues = &mut settings.assets.queues;
    if !queues.iter().any(|known| known == queue) {
        queues.push(queue.to_owned());
    }
}

fn shown(asset: &str, made: &Made) -> String {
    match made {
        Made::Created => format!("created    {asset}"),
        // Flags of an earlier call are not remembered: what they had set may go back.
        Made::Updated(changes) => format!("updated    {asset}: {changes}"),
        Made::Replaced => format!("replaced   {asset}"),
        Made::Unchanged => format!("unchanged  {asset}"),
    }
}
