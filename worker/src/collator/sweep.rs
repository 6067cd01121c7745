//! Removes from the items stream what nobody will ever be handed.

use async_nats::jetstream::consumer;
use futures_util::TryStreamExt;
use jetiter_config::broker::{ApiError, Broker};

/// Items on malformed subjects, and items that were acknowledged and are there all the same.
pub(super) async fn run(broker: &Broker) {
    let ns = &broker.namespace;
    match broker.purge(&ns.items_stream(), Some(&ns.stray_filter()), None).await {
        Ok(0) => {}
        Ok(removed) => tracing::warn!(removed, "items on malformed subjects are removed"),
        Err(error) => tracing::debug!(%error, "not swept"),
    }
    match remove_acknowledged(broker).await {
        Ok(0) => {}
        Ok(removed) => tracing::warn!(removed, "acknowledged items had come back and are removed"),
        Err(error) => tracing::debug!(%error, "not swept"),
    }
}

/// A server whose disk is full forgets that it removed a message: when it starts again the message
/// is back, below what its consumer has acknowledged, and would stay in the work queue for ever.
async fn remove_acknowledged(broker: &Broker) -> Result<u64, ApiError> {
    let unanswered = |error: &dyn std::error::Error| ApiError::Unanswered(error.to_string());
    let items = broker.namespace.items_stream();
    let created = broker.stream_info(&items, None).await?.created;
    let stream = broker.jetstream.get_stream_no_info(&items).await;
    let stream = stream.map_err(|error| unanswered(&error))?;
    let consumers: Vec<consumer::Info> =
        stream.consumers().try_collect().await.map_err(|error| unanswered(&error))?;
    // Later than the floors: they only rise.
    let info = broker.stream_info(&items, None).await?;
    if info.created != created {
        // Made anew meanwhile: those floors are not its own.
        return Ok(0);
    }
    let first = info.state.first_seq;
    let mut removed = 0;
    for consumer::Info { config, ack_floor, .. } in consumers {
        let below = ack_floor.stream_sequence + 1;
        if below <= first {
            continue;
        }
        for filter in config.filter_subjects.iter().chain([&config.filter_subject]) {
            // Without a filter everything would go.
            if !filter.is_empty() {
                removed += broker.purge(&items, Some(filter), Some(below)).await?;
            }
        }
    }
    Ok(removed)
}
