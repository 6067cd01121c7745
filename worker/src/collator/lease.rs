//! One collator works, the others stand by. The lease saves work; nothing rests on it: two that
//! work write the same lists.

use std::time::Duration;

use async_nats::HeaderMap;
use jetiter_config::broker::{Broker, Refusal};
use jetiter_config::wire;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::error::Error;
use crate::patience::Patience;

/// How often one that stands by looks at the most: a lease that is given back is free at once,
/// however long leases last.
const LOOK: Duration = Duration::from_secs(1);

/// The lease, held. The server drops it when it is not renewed.
pub(crate) struct Lease {
    broker: Broker,
    holder: String,
    seq: u64,
    lasts: Duration,
    renewed: watch::Sender<Instant>,
}

/// What the holder of the lease knows of it.
pub(super) struct Held {
    lasts: Duration,
    renewed: watch::Receiver<Instant>,
}

impl Held {
    /// Whether the lease is surely held at this moment.
    pub(super) fn is_sure_now(&self) -> bool {
        self.renewed.borrow().elapsed() < self.lasts
    }

    /// Waits while the lease may be somebody else's.
    pub(super) async fn is_sure(&mut self) {
        while self.renewed.borrow_and_update().elapsed() >= self.lasts {
            if self.renewed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl Lease {
    /// Waits until the lease is free and takes it.
    pub(crate) async fn acquire(
        broker: &Broker,
        holder: &str,
        patience: Duration,
    ) -> Result<Lease, Error> {
        let mut said = false;
        let mut patience = Patience::new(patience);
        loop {
            let lasts = lasts(broker).await;
            let asked = Instant::now();
            match write(broker, holder, 0).await {
                Ok(seq) => {
                    let (broker, holder) = (broker.clone(), holder.to_owned());
                    let renewed = watch::Sender::new(asked);
                    return Ok(Lease { broker, holder, seq, lasts, renewed });
                }
                Err(Refusal::Already) => {
                    patience.worked();
                    if !said {
                        tracing::info!("another collator works, this one stands by");
                    }
                    said = true;
                }
                Err(refusal) => {
                    tracing::warn!(?refusal, "the lease is out of reach");
                    patience.failed("asking for the lease", format!("{refusal:?}"))?;
                }
            }
            sleep((lasts / 3).min(LOOK)).await;
        }
    }

    /// For whoever works while the lease is held.
    pub(super) fn held(&self) -> Held {
        Held { lasts: self.lasts, renewed: self.renewed.subscribe() }
    }

    /// Renews the lease until it is lost.
    pub(crate) async fn keep(&mut self) {
        loop {
            sleep(self.lasts / 3).await;
            let asked = Instant::now();
            let left = self.lasts.saturating_sub(self.renewed.borrow().elapsed());
            match timeout(left, write(&self.broker, &self.holder, self.seq)).await {
                Ok(Ok(seq)) => {
                    self.seq = seq;
                    self.renewed.send_replace(asked);
                }
                // Somebody took it: it had run out.
                Ok(Err(Refusal::Already)) => return,
                Ok(Err(refusal)) => tracing::warn!(?refusal, "the lease was not renewed"),
                // It has run out, also if nobody could be asked.
                Err(_) => return,
            }
        }
    }

    /// Gives the lease back, so that nobody waits for it to run out.
    pub(crate) async fn release(self) {
        let ns = &self.broker.namespace;
        let filter = ns.lease_subject();
        // Below our own next sequence: a successor's lease stays.
        let below = Some(self.seq + 1);
        self.broker.purge(&ns.lease_stream(), Some(&filter), below).await.ok();
    }
}

async fn write(broker: &Broker, holder: &str, expected: u64) -> Result<u64, Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert(wire::EXPECTED_LAST, expected.to_string());
    let holder = holder.to_owned().into_bytes().into();
    broker.store(broker.namespace.lease_subject(), headers, holder).await
}

/// How long the server keeps a lease: it was said when the assets were made.
async fn lasts(broker: &Broker) -> Duration {
    let name = broker.namespace.lease_stream();
    let stream = broker.jetstream.get_stream(name).await;
    stream.map_or(Duration::from_secs(6), |stream| stream.cached_info().config.max_age)
}
