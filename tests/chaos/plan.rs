//! What befalls whom, for how long, and how long it is quiet before: all of it from the seed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What is done to a process or a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and a start after a while.
    Kill,
    /// SIGSTOP, and SIGCONT after a while: also longer than `ack_wait` and the lease.
    Freeze,
    /// SIGTERM, and a start after a while.
    Restart,
    /// SIGKILL by itself, at a crash point. Chance says when: no plan holds it.
    AtPoint,
}

/// One fault.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// How long nothing happens before it.
    pub calm: Duration,
    /// Which of the servers; a process has a plan of its own.
    pub who: usize,
    pub fault: Fault,
    /// How long until it runs again.
    pub lasts: Duration,
}

/// Endless steps.
pub struct Plan {
    rng: StdRng,
    among: usize,
    /// Most milliseconds of calm.
    calm: u64,
}

/// Random numbers of their own for everyone who needs some: no one's luck depends on how many the
/// others took.
pub fn rng(seed: u64, whose: &str) -> StdRng {
    let mut hasher = DefaultHasher::new();
    (seed, whose).hash(&mut hasher);
    StdRng::seed_from_u64(hasher.finish())
}

impl Plan {
    /// For one worker or collator.
    pub fn of_process(seed: u64, name: &str) -> Plan {
        Plan { rng: rng(seed, name), among: 1, calm: 6_000 }
    }

    /// For so many servers: one after the other, so that two are never down at once.
    pub fn of_servers(seed: u64, among: usize) -> Plan {
        Plan { rng: rng(seed, "servers"), among, calm: 5_000 }
    }

    fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    fn fault(&mut self) -> (Fault, Duration) {
        match self.rng.random_range(0..10) {
            0..4 => (Fault::Kill, self.millis(0..2_000)),
            4..6 => (Fault::Restart, self.millis(0..2_000)),
            6..8 => (Fault::Freeze, self.millis(50..1_000)),
            _ => (Fault::Freeze, self.millis(2_000..5_000)),
        }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let calm = self.millis(100..self.calm);
        let who = self.rng.random_range(0..self.among);
        let (fault, lasts) = self.fault();
        Some(Step { calm, who, fault, lasts })
    }
}
