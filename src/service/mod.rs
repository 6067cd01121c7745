//! The engine as a NATS micro service (ADR-32): what a client without a library of ours needs, each
//! in one request. Every collator process offers it; one of them answers.

mod api;
mod ask;
mod fault;
mod functions;
mod schema;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, Service as Offered, ServiceExt};
use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt};
use jetiter_config::{Broker, Settings};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::cli::Failure;
use api::Api;
use schema::Kind;

/// The most requests that are worked on at once; others wait.
const AT_ONCE: usize = 256;
/// How long the last answers may take. Whoever waits for a group is answered at once.
const LAST: Duration = Duration::from_secs(5);

/// The service, listening.
pub(crate) struct Service {
    offered: Offered,
    requests: SelectAll<Requests>,
    api: Arc<Api>,
}

type Requests = std::pin::Pin<Box<dyn Stream<Item = (Kind, Request)> + Send>>;

impl Service {
    /// Listens on `<namespace>.api.*`; nothing is answered yet.
    pub(crate) async fn start(broker: &Broker, settings: &Settings) -> Result<Service, Failure> {
        let api = Api::new(broker, settings).await?;
        let namespace = &broker.namespace;
        let failed = |error: async_nats::Error| {
            Failure::new(format!("the service of {namespace} can't be offered: {error}"))
        };
        let about = [("namespace", namespace.to_string()), ("protocol", protocol())];
        let about = about.map(|(key, value)| (key.to_owned(), value));
        let offered = broker
            .client
            .service_builder()
            .description("jetiter: maps a function over arguments, one collated result")
            .metadata(HashMap::from(about))
            // Engines of other namespaces are other services.
            .start(namespace, env!("CARGO_PKG_VERSION"))
            .await
            .map_err(failed)?;
        let mut requests = SelectAll::new();
        let group = offered.group(namespace.api_prefix());
        for kind in Kind::ALL {
            let endpoint = group.endpoint_builder().name(kind.name()).metadata(kind.metadata());
            let endpoint: Endpoint = endpoint.add(kind.name()).await.map_err(failed)?;
            requests.push(Box::pin(endpoint.map(move |request| (kind, request))) as Requests);
        }
        Ok(Service { offered, requests, api: Arc::new(api) })
    }

    /// Answers until `stop` ends; then whoever still waits is answered.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        let (running, room) = (TaskTracker::new(), Arc::new(Semaphore::new(AT_ONCE)));
        tokio::pin!(stop);
        loop {
            let next = async {
                let room = room.clone().acquire_owned().await.ok()?;
                self.requests.next().await.map(|request| (room, request))
            };
            let (room, (kind, request)) = tokio::select! {
                Some(next) = next => next,
                () = &mut stop => break,
            };
            let api = self.api.clone();
            running.spawn(async move {
                let _room = room;
                answer(&api, kind, request).await;
            });
        }
        self.offered.stop().await.ok();
        self.api.stop();
        running.close();
        timeout(LAST, running.wait()).await.ok();
    }
}

async fn answer(api: &Api, kind: Kind, request: Request) {
    let answer = api.answer(kind, &request.message.payload).await;
    if let Err(fault) = &answer {
        tracing::debug!(endpoint = kind.name(), %fault, "a request is refused");
    }
    let answer = answer.map(Into::into).map_err(Into::into);
    // Whoever asked without a reply subject, or is gone, asks again.
    if let Err(error) = request.respond(answer).await {
        tracing::debug!(endpoint = kind.name(), %error, "an answer was not sent");
    }
}

fn protocol() -> String {
    jetiter_config::wire::PROTOCOL.to_string()
}
