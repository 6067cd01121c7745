//! The load: several submitters, a reader for each group.

use std::sync::Arc;
use std::time::Duration;

use jetiter::{Client, ClientError, FOREVER, Fetched, Options};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::group::{Group, Way};
use crate::plan;
use crate::stage::Stage;

/// How many groups one submitter has on their way at once.
const AT_ONCE: usize = 12;
/// How long before a submission that found no server is taken up again.
const AGAIN: Duration = Duration::from_millis(300);

/// A group that was begun, and who waits for its result.
pub struct Submitted {
    pub group: Group,
    pub reader: JoinHandle<Result<Option<Fetched<Value>>, ClientError>>,
}

/// One submitter, with a connection of its own.
pub struct Submitter {
    stage: Arc<Stage>,
    name: String,
    client: Client,
}

impl Submitter {
    pub async fn start(stage: &Arc<Stage>, number: usize) -> Submitter {
        let client = Client::new(stage.engine.connect().await, &stage.engine.settings).await;
        Submitter { stage: stage.clone(), name: format!("s{number}"), client: client.unwrap() }
    }

    /// Submits group after group until peace; what was begun is finished.
    pub async fn run(self) {
        let runs = self.stage.runs().to_str().unwrap().to_owned();
        let mut rng = plan::rng(self.stage.seed, &self.name);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let peace = self.stage.peace.clone();
        for number in 0.. {
            let group = Group::random(&mut rng, &format!("{}-{number}", self.name), runs.clone());
            let permit = peace.run_until_cancelled(room.clone().acquire_owned()).await;
            let Some(Ok(permit)) = permit else { break };
            let (client, id) = (self.client.clone(), group.id.clone());
            let reader = tokio::spawn(async move {
                let _permit = permit;
                client.fetch(&id, FOREVER).await
            });
            let submitted = Submitted { group: group.clone(), reader };
            self.stage.groups.lock().unwrap().push(submitted);
            if let Err(problem) = self.submit(&group).await {
                self.stage.journal.wrong(format!("{} is not submitted: {problem}", group.id));
            }
        }
    }

    async fn submit(&self, group: &Group) -> Result<(), String> {
        match group.way {
            Way::Once => self.by_client(group).await,
        }
    }

    /// As often as it takes: a submission that is broken off is taken up by the same one again.
    async fn by_client(&self, group: &Group) -> Result<(), String> {
        let options = Options::new().group(group.id.clone()).encoding(group.encoding);
        let options = options.retries(group.retries);
        let function = group.function();
        for tries in 0.. {
            let submitted =
                self.client.async_iter(function.as_str(), group.arguments(), &options).await;
            match submitted {
                Ok(_) => break,
                // The one before was whole, and only its last answer was lost.
                Err(ClientError::GroupExists { .. }) if tries > 0 => break,
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
