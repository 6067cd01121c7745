//! Waits for the records of a list that is there.

use std::time::Duration;

use jetiter_config::names::{GroupId, records_object};
use jetiter_config::wire::Summary;
use tokio::time::{Instant, sleep};

use crate::client::Remote;
use crate::download::has_records;
use crate::error::Error;
use crate::result::Raw;
use crate::wait::UNANSWERED;

/// So long they may come after the list before somebody asks what became of them.
const A_MOMENT: Duration = Duration::from_secs(1);
/// How long between two looks when other records stand in their place.
const AGAIN: Duration = Duration::from_millis(50);
/// For so long they are waited for, however short the wait: the list is there.
const AT_LEAST: Duration = Duration::from_secs(30);

impl Remote {
    /// The records are committed a moment after their list; by another collator some time later,
    /// if the first one died in between. `None` when they are still to come and the time is over.
    pub(crate) async fn records_of(
        &self,
        group: &GroupId,
        summary: &Summary,
        wait: Duration,
    ) -> Result<Option<Raw>, Error> {
        let began = Instant::now();
        let mut answered = began;
        loop {
            match self.read(group, &records_object(group.as_str()), A_MOMENT).await? {
                Some(records) if records.summary == *summary => return Ok(Some(records)),
                // Those of a list that was removed before this one came: they make room for ours.
                Some(_) => sleep(AGAIN).await,
                None => {}
            }
            match self.is_still_there(group).await {
                Ok(()) => answered = Instant::now(),
                Err(gone @ Error::Gone { .. }) => return Err(gone),
                Err(error) if answered.elapsed() > UNANSWERED => return Err(error),
                Err(error) => tracing::debug!(%group, %error, "no answer, looking again"),
            }
            if !has_records(&self.broker, summary).await {
                let reason = "its records are gone".to_owned();
                return Err(Error::Damaged { group: group.to_string(), reason });
            }
            if began.elapsed() >= wait.max(AT_LEAST) {
                return Ok(None);
            }
        }
    }
}
