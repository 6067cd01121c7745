//! Follows where a group stands, until it has ended.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use jetiter_config::names::GroupId;
use jetiter_config::wire::Progress;
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::error::Error;
use crate::status::{Status, waiting};
use crate::wait::{FIRST_LOOK, LAST_LOOK, UNANSWERED};

type Events = std::pin::Pin<Box<dyn Stream<Item = Heard> + Send>>;

/// What is heard of a group.
enum Heard {
    Progress(Progress),
    Done,
}

struct Watching {
    client: Client,
    group: GroupId,
    events: Option<Events>,
    last: Option<Status>,
    look_at: Instant,
    pause: Duration,
    answered: Instant,
}

impl Client {
    /// Where a group stands, each time that it changes; the last is [`Status::Finished`]. It ends
    /// at once when nothing is known of the group, and when its result is deleted.
    pub fn watch(
        &self,
        group: &GroupId,
    ) -> impl Stream<Item = Result<Status, Error>> + Send + Unpin + use<> {
        let now = Instant::now();
        let watching = Watching {
            client: self.clone(),
            group: group.clone(),
            events: None,
            last: None,
            look_at: now,
            pause: FIRST_LOOK,
            answered: now,
        };
        Box::pin(stream::unfold(Some(watching), async |watching| {
            let mut watching = watching?;
            match watching.next().await {
                Ok(Some(status)) => Some((Ok(status), Some(watching))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    async fn heard(&self, group: &GroupId) -> Result<Events, Error> {
        let progress = self.progress(group).await?.map(Heard::Progress);
        let done = self.events::<serde::de::IgnoredAny>(group, "done").await?;
        Ok(Box::pin(stream::select(progress, done.map(|_| Heard::Done))))
    }
}

impl Watching {
    async fn next(&mut self) -> Result<Option<Status>, Error> {
        if matches!(self.last, Some(Status::Finished(_))) {
            return Ok(None);
        }
        // Before the first look, so that nothing falls between the two.
        if self.events.is_none() {
            self.events = Some(self.client.heard(&self.group).await?);
        }
        loop {
            let status = match self.wait().await {
                Some(Heard::Progress(progress)) => self.of_progress(&progress).await?,
                Some(Heard::Done) | None => self.look().await?,
            };
            match status {
                Some(None) => return Ok(None),
                Some(status) if status != self.last => {
                    self.last.clone_from(&status);
                    return Ok(status);
                }
                _ => {}
            }
        }
    }

    /// The next event, or nothing when it is time to look.
    async fn wait(&mut self) -> Option<Heard> {
        let heard = async {
            match &mut self.events {
                Some(events) => events.next().await,
                None => None,
            }
        };
        tokio::select! {
            Some(heard) = heard => Some(heard),
            () = sleep_until(self.look_at) => None,
        }
    }

    async fn look(&mut self) -> Result<Option<Option<Status>>, Error> {
        let status = self.client.status(&self.group).await;
        self.look_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LAST_LOOK);
        match status {
            Ok(status) => {
                self.answered = Instant::now();
                Ok(Some(status))
            }
            Err(error) if self.last.is_none() || self.answered.elapsed() > UNANSWERED => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// An event brings most of a status, without a look at every key.
    async fn of_progress(&mut self, progress: &Progress) -> Result<Option<Option<Status>>, Error> {
        // Sent before the last look, and heard after it.
        let is_old =
            matches!(self.last, Some(Status::Running { done, .. }) if done > progress.done);
        let Some(remote) = self.client.remote().filter(|_| !is_old) else { return Ok(None) };
        let Ok(waiting) = waiting(&remote.broker, &self.group).await else { return Ok(None) };
        let (total, done) = (progress.total, progress.done);
        Ok(Some(Some(Status::Running { total, done, waiting })))
    }
}
