//! `jetiter collator`

use jetiter_config::Broker;
use jetiter_worker::Collator;

use crate::cli::{Exit, Failure, Global, log, signals};

pub(crate) async fn run(global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::SERVICE)?;
    let stop = signals::stop()?;
    let broker = Broker::connect(&settings, "jetiter collator").await?;
    let collator = Collator::new(&broker, &settings).await?;
    tracing::info!(namespace = settings.namespace, "collating");
    collator.run(stop.cancelled()).await?;
    Ok(Exit::Done)
}
