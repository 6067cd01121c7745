//! When the next child may be started, so that one that dies at once does not burn the machine.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How the children of one function fared lately.
#[derive(Default)]
pub(super) struct Backoff {
    /// How many in turn ended without an answer, or could not be started.
    failures: u32,
    next: Option<Instant>,
}

impl Backoff {
    /// Leave to start a child now, or when to ask again. While they fail it is given to one at a
    /// time, however many ask.
    pub(super) fn start(&mut self, now: Instant) -> Result<(), Instant> {
        match self.next {
            Some(next) if next > now => Err(next),
            _ => {
                self.wait(now);
                Ok(())
            }
        }
    }

    /// A child ended before its first answer, or could not be started. Returns the delay.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.wait(now);
        self.delay()
    }

    /// A child has answered.
    pub(super) fn answered(&mut self) {
        *self = Backoff::default();
    }

    fn wait(&mut self, now: Instant) {
        self.next = (self.failures > 0).then(|| now + self.delay());
    }

    fn delay(&self) -> Duration {
        let factor = 2u32.saturating_pow(self.failures.saturating_sub(1));
        FIRST.saturating_mul(factor).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_that_answer_are_started_at_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert_eq!([backoff.start(now), backoff.start(now)], [Ok(()), Ok(())]);
        backoff.failed(now);
        assert!(backoff.start(now).is_err());
        backoff.answered();
        assert_eq!(backoff.start(now), Ok(()));
    }

    #[test]
    fn the_delay_doubles_up_to_a_limit() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let delays: Vec<_> = (0..8).map(|_| backoff.failed(now).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        (0..100).for_each(|_| assert!(backoff.failed(now) == LONGEST));
        assert_eq!(backoff.start(now), Err(now + LONGEST));
    }

    #[test]
    fn while_they_fail_one_is_started_at_a_time() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(now);
        let then = now + FIRST;
        assert_eq!(backoff.start(now), Err(then));
        assert_eq!(backoff.start(then), Ok(()));
        assert_eq!(backoff.start(then), Err(then + FIRST), "somebody else has just been given it");
    }
}
