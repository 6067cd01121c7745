//! A worker of this program, with what goes on beside it: it hears of groups that end, and tells
//! what it serves.

use jetiter_config::wire::Signature;
use jetiter_config::{Broker, Settings};
use jetiter_worker::{Ends, Error, Functions, Worker, tell_serving};

pub(super) struct Serve {
    broker: Broker,
    queue: String,
    signatures: Vec<Signature>,
    ends: Ends,
    worker: Worker,
}

impl Serve {
    /// Checks the functions and the assets; nothing runs yet.
    pub(super) async fn new(
        broker: Broker,
        functions: Functions,
        settings: &Settings,
    ) -> Result<Serve, Error> {
        let ends = Ends::new(&broker);
        let signatures = functions.signatures();
        let worker = Worker::new(&broker, functions.told_by(&ends), settings).await?;
        Ok(Serve { broker, queue: settings.worker.queue.clone(), signatures, ends, worker })
    }

    pub(super) async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::select! {
            ended = self.worker.run(stop) => ended,
            never = self.ends.follow() => match never {},
            never = tell_serving(&self.broker, &self.queue, self.signatures) => match never {},
        }
    }
}
