//! `jetiter up`

use std::future::pending;
use std::path::PathBuf;

use jetiter_config::settings::{Settings, redact_url};
use jetiter_config::topology::Made;
use jetiter_config::{Broker, Error, Topology};
use jetiter_worker::{Collator, Commands, Worker};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::collator::collate;
use super::init::add_queue;
use super::server::Server;
use super::worker::{Told, functions};
use crate::cli::{Exit, Failure, Global, log, output, signals};
use crate::service::Service;

/// All in one: a NATS server if none answers, the assets, a worker and a collator
///
/// A server of its own listens on this machine only and keeps what it stores in the data
/// directory, which another `jetiter up` finds again. It ends with this process, also if that is
/// killed. On ctrl-C or SIGTERM the worker stops first, then the collator, then the server.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory for the data of the server it starts [env: JETITER_UP__DATA] [default: .jetiter]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The nats-server program [env: JETITER_NATS_SERVER] [default: nats-server]
    #[arg(long, value_name = "PROGRAM")]
    nats_server: Option<PathBuf>,
    /// How many workers to run in this process, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
    /// Items each worker runs at once [env: JETITER_WORKER__CONCURRENCY]
    #[arg(long, short, value_name = "N")]
    concurrency: Option<usize>,
    /// Serve test.* too
    #[arg(long)]
    pub(crate) test_functions: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let own = json!({
        "up": { "data": args.data, "nats_server": args.nats_server },
        "worker": { "concurrency": args.concurrency },
    });
    let mut settings = global.load_with(own, log::SERVICE)?;
    let queue = settings.worker.queue.clone();
    add_queue(&mut settings, &queue);
    // Before anything is started that would have to be stopped again.
    let commands = Commands::new(&settings, settings.worker.slots() * args.workers.max(1))?;
    let stop = signals::stop()?;
    let (mut server, broker) = tokio::select! {
        begun = server(&settings) => begun?,
        () = stop.cancelled() => return Ok(Exit::Done),
    };
    let ended = engine(&args, &settings, commands, &broker, server.as_mut(), &stop).await;
    // Left open, it would report that the server goes.
    drop(broker);
    if let Some(server) = server {
        server.stop().await;
    }
    ended.map(|()| Exit::Done)
}

/// The server that answers, or one that we start.
pub(super) async fn server(settings: &Settings) -> Result<(Option<Server>, Broker), Failure> {
    match Broker::connect(settings, "jetiter up").await {
        Ok(broker) => {
            output::note(format!(
                "using the NATS server that answers at {}",
                redact_url(&settings.server)
            ));
            Ok((None, broker))
        }
        Err(Error::Unreachable { .. }) => {
            let (server, broker) = Server::start(settings).await?;
            let at = redact_url(&settings.server);
            let store = server.store().display();
            output::note(format!("started a NATS server at {at}, its data is in {store}"));
            Ok((Some(server), broker))
        }
        Err(error) => Err(error.into()),
    }
}

/// Works until the stop, or until the server is gone.
async fn engine(
    args: &Args,
    settings: &Settings,
    commands: Commands,
    broker: &Broker,
    server: Option<&mut Server>,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    for (asset, made) in Topology::of(broker, settings).ensure(broker).await? {
        if let Made::Updated(changes) = made {
            output::note(format!("updated {asset}: {changes}"));
        }
    }
    let functions = functions(args.test_functions, &commands);
    let mut workers = Parts::default();
    for _ in 0..args.workers {
        let broker = Broker::connect(settings, "jetiter up: worker").await?;
        let worker = Worker::new(&broker, functions.clone(), settings).await?;
        workers.add(|stop| worker.run(stop));
    }
    let broker = Broker::connect(settings, "jetiter up: collator").await?;
    let collator = Collator::new(&broker, settings).await?;
    let mut collators = Parts::default();
    let service = Service::start(&broker, settings).await?;
    collators.add(|stop| collate(collator, service, stop));
    output::note(format!(
        "ready: the namespace {} with {} worker(s) of {} slots and a collator; ctrl-C ends it",
        settings.namespace,
        args.workers,
        settings.worker.slots()
    ));
    output::note(format!("try: {}", example(settings)));
    let gone = async {
        match server {
            Some(server) => server.ended().await.map(|how| server.died(how)),
            None => pending().await,
        }
    };
    let told = Told::default();
    tokio::select! {
        died = gone => return Err(died?),
        ended = workers.ended() => return ended,
        ended = collators.ended() => return ended,
        () = told.of(stop) => {}
    }
    // What the workers still finish is collated.
    let ended = workers.end().await;
    commands.stop(told.left(settings.worker.grace)).await;
    ended?;
    collators.end().await
}

/// A command that finds this engine.
fn example(settings: &Settings) -> String {
    let mut command = "jetiter".to_owned();
    let default = Settings::default();
    if settings.server != default.server {
        command = format!("{command} --server {}", redact_url(&settings.server));
    }
    if settings.namespace != default.namespace {
        command = format!("{command} --namespace {}", settings.namespace);
    }
    format!("{command} map math.floor 1.5 2.5 3.5")
}

/// Workers, or collators, each in a task of its own.
#[derive(Default)]
struct Parts {
    stop: CancellationToken,
    tasks: JoinSet<Result<(), jetiter_worker::Error>>,
}

impl Parts {
    fn add<F>(&mut self, run: impl FnOnce(WaitForCancellationFutureOwned) -> F)
    where
        F: Future<Output = Result<(), jetiter_worker::Error>> + Send + 'static,
    {
        self.tasks.spawn(run(self.stop.clone().cancelled_owned()));
    }

    /// Waits until the first of them ends.
    async fn ended(&mut self) -> Result<(), Failure> {
        match self.tasks.join_next().await {
            Some(ended) => Ok(ended??),
            // There are none.
            None => pending().await,
        }
    }

    /// Stops them and waits for all.
    async fn end(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        while !self.tasks.is_empty() {
            self.ended().await?;
        }
        Ok(())
    }
}
