//! The load: several submitters, a reader for each group.

use std::sync::Arc;
use std::time::Duration;

use jetiter::{Broker, Client, ClientError, FOREVER, Fetched, Options};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::group::Group;
use crate::plan;
use crate::stage::Stage;

/// How many groups one submitter has on their way at once.
const AT_ONCE: usize = 16;
/// How long before a submission that found no server is taken up again.
const AGAIN: Duration = Duration::from_millis(300);

/// How long results that expire are kept: longer than any run.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A group that was begun, and who waits for its result.
pub struct Submitted {
    pub group: Group,
    pub reader: JoinHandle<Result<Option<Fetched<Value>>, ClientError>>,
}

/// One submitter, with a connection of its own.
pub struct Submitter {
    pub stage: Arc<Stage>,
    pub broker: Broker,
    name: String,
    client: Client,
}

impl Submitter {
    pub async fn start(stage: &Arc<Stage>, number: usize) -> Submitter {
        let broker = stage.engine.connect().await;
        let client = Client::new(broker.clone(), &stage.engine.settings).await.unwrap();
        Submitter { stage: stage.clone(), broker, name: format!("s{number}"), client }
    }

    /// Submits group after group until peace; what was begun is finished.
    pub async fn run(self) {
        let runs = self.stage.runs().to_str().unwrap().to_owned();
        let mut rng = plan::rng(self.stage.seed, &self.name);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let peace = self.stage.peace.clone();
        let submitter = Arc::new(self);
        let mut submissions = JoinSet::new();
        for number in 0.. {
            let id = format!("{}-{number}", submitter.name);
            let group = Group::random(&mut rng, &id, runs.clone());
            let permit = peace.run_until_cancelled(room.clone().acquire_owned()).await;
            let Some(Ok(permit)) = permit else { break };
            submitter.read(group.clone(), permit);
            submissions.spawn(submitter.clone().begin(group));
        }
        submissions.join_all().await;
    }

    /// Waits for a group's result from now on.
    fn read(&self, group: Group, permit: OwnedSemaphorePermit) {
        let (stage, client) = (self.stage.clone(), self.client.clone());
        let (id, began) = (group.id.clone(), Instant::now());
        let reader = tokio::spawn(async move {
            let _permit = permit;
            let fetched = client.fetch(&id, FOREVER).await;
            stage.journal.note(&format!("{id} finished after {:?}", began.elapsed()));
            fetched
        });
        self.stage.groups.lock().unwrap().push(Submitted { group, reader });
    }

    async fn begin(self: Arc<Self>, group: Group) {
        if let Err(problem) = self.submit(&group).await {
            self.stage.journal.wrong(format!("{} is not submitted: {problem}", group.id));
        }
    }

    /// As often as it takes: a submission that is broken off is taken up by the same one again.
    pub async fn by_client(&self, group: &Group) -> Result<(), String> {
        let options = Options::new().group(group.id.clone()).encoding(group.encoding);
        let mut options = options.retries(group.retries);
        if group.expires {
            options = options.cached(KEPT);
        }
        let function = group.function();
        for tries in 0.. {
            let submitted =
                self.client.async_iter(function.as_str(), group.arguments(), &options).await;
            match submitted {
                Ok(_) => break,
                // The one before was whole, and only its last answer was lost.
                Err(ClientError::GroupExists { .. }) if tries > 0 || group.may_exist() => break,
                Err(error @ (ClientError::Config(_) | ClientError::Api { .. })) => {
                    let text = format!("{} is broken off and taken up again: {error}", group.id);
                    self.stage.journal.note(&text);
                }
                Err(error) => return Err(error.to_string()),
            }
            sleep(AGAIN).await;
        }
        Ok(())
    }
}
