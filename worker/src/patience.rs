//! How long something may go on failing: no wait here is without end.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// Measures for how long something has failed without a break.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    good: Instant,
}

impl Patience {
    /// Begins as if it had just worked.
    pub(crate) fn new(limit: Duration) -> Patience {
        Patience { limit, good: Instant::now() }
    }

    /// It worked.
    pub(crate) fn worked(&mut self) {
        self.good = Instant::now();
    }

    /// It failed: an error once that has gone on for too long.
    pub(crate) fn failed(&self, what: &str, reason: impl ToString) -> Result<(), Error> {
        let waited = self.good.elapsed();
        if waited <= self.limit {
            return Ok(());
        }
        Err(Error::GaveUp { what: what.to_owned(), waited, reason: reason.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_nothing_worked_for_too_long() {
        let mut patience = Patience::new(Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(patience.failed("asking", "no answer"), Ok(()));
        patience.worked();
        tokio::time::advance(Duration::from_secs(61)).await;
        let error = patience.failed("asking", "no answer").unwrap_err();
        assert_eq!(error.to_string(), "gave up after 1m 1s, asking: no answer");
    }
}
