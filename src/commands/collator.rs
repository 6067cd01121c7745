//! `jetiter collator`

use jetiter_config::Broker;
use jetiter_worker::{Collator, Error};
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Failure, Global, log, signals};
use crate::service::Service;

pub(crate) async fn run(global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::SERVICE)?;
    let stop = signals::stop()?;
    let broker = Broker::connect(&settings, "jetiter collator").await?;
    let collator = Collator::new(&broker, &settings).await?;
    let service = Service::start(&broker, &settings).await?;
    tracing::info!(namespace = settings.namespace, "collating");
    collate(collator, service, stop.cancelled()).await?;
    Ok(Exit::Done)
}

/// A collator, and the service beside it until it ends.
pub(super) async fn collate(
    collator: Collator,
    service: Service,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let ended = CancellationToken::new();
    let collating = async {
        let how = collator.run(stop).await;
        ended.cancel();
        how
    };
    tokio::join!(collating, service.run(ended.cancelled())).0
}
