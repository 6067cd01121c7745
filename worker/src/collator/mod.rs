//! The collator: detects that a group is complete, writes its list, cleans its keys.

mod active;
mod buffer;
mod chore;
mod cleaner;
mod collation;
mod commit;
mod draft;
mod drafting;
mod follower;
mod full;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
#[cfg(test)]
mod hot_path_tests;
mod intake;
mod lease;
mod notice;
mod outcome;
mod sweep;
mod upload;

use jetiter_config::broker::Broker;
use jetiter_config::settings::{self, Settings};

use crate::error::Error;
use active::Active;
pub(crate) use follower::read_from;
use lease::Lease;

/// Collates the groups of one namespace. Start as many as you like: one works, the others stand
/// by.
pub struct Collator {
    broker: Broker,
    settings: settings::Collator,
    name: String,
}

impl Collator {
    /// Checks the assets; nothing is collated yet.
    pub async fn new(broker: &Broker, settings: &Settings) -> Result<Collator, Error> {
        jetiter_config::Topology::of(broker, settings).check(broker).await?;
        let (broker, settings) = (broker.clone(), settings.collator.clone());
        Ok(Collator { broker, settings, name: crate::worker::name() })
    }

    /// Works, or stands by, until `stop` ends. Fails when for longer than `collator.patience` no
    /// server answers or something can't be stored or removed.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::pin!(stop);
        let patience = self.settings.patience;
        loop {
            let mut lease = tokio::select! {
                lease = Lease::acquire(&self.broker, &self.name, patience) => lease?,
                () = &mut stop => return Ok(()),
            };
            tracing::info!(name = self.name, "this collator works");
            let mut active = Active::new(&self.broker, &self.settings, lease.held());
            let failed = tokio::select! {
                error = active.run() => Err(error),
                error = intake::run(&self.broker, &self.settings) => Err(error),
                () = lease.keep() => {
                    tracing::warn!("the lease is lost, standing by");
                    active.leave();
                    continue;
                }
                () = &mut stop => Ok(()),
            };
            lease.release().await;
            return failed;
        }
    }
}
