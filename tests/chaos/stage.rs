//! What everybody in a run shares: the engine, the journal, and when peace begins.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jetiter::Settings;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::Engine;
use crate::load::Submitted;
use crate::nodes::Nodes;
use crate::plan::Fault;

pub struct Stage {
    pub seed: u64,
    pub engine: Engine,
    pub journal: Journal,
    /// From here on nothing is killed and nothing new is submitted.
    pub peace: CancellationToken,
    /// From here on the processes may end.
    pub end: CancellationToken,
    /// Every group that was begun.
    pub groups: Mutex<Vec<Submitted>>,
    /// Where logs are.
    pub dir: PathBuf,
}

impl Stage {
    pub async fn set(seed: u64, nodes: &Nodes, dir: &Path) -> Stage {
        let mut settings = Settings { server: nodes.urls(), ..Settings::default() };
        settings.assets.replicas = nodes.len();
        settings.assets.ack_wait = Duration::from_secs(2);
        settings.assets.lease = Duration::from_secs(2);
        settings.collator.done_ttl = Duration::from_secs(1);
        settings.worker.prefetch = 100;
        settings.worker.grace = Duration::from_secs(2);
        settings.worker.retry_delay = Duration::from_millis(20);
        // Here a worker dies every few seconds and not by the fault of what it runs: with the
        // usual limit an item that has bad luck would end as lost, and rightly so.
        settings.worker.begins = 1_000;
        Stage {
            seed,
            engine: Engine::on(settings).await,
            journal: Journal::new(&dir.join("journal")),
            peace: CancellationToken::new(),
            end: CancellationToken::new(),
            groups: Mutex::default(),
            dir: dir.to_owned(),
        }
    }

    /// The file that `test.append` writes to: a line for each execution.
    pub fn runs(&self) -> PathBuf {
        self.dir.join("runs")
    }
}

/// What was done, and what went wrong.
pub struct Journal {
    began: Instant,
    file: Mutex<File>,
    faults: Mutex<BTreeMap<String, u32>>,
    wrong: Mutex<Vec<String>>,
}

impl Journal {
    fn new(path: &Path) -> Journal {
        Journal {
            began: Instant::now(),
            file: Mutex::new(File::create(path).unwrap()),
            faults: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    pub fn note(&self, text: &str) {
        let line = format!("{:8.3} {text}\n", self.began.elapsed().as_secs_f64());
        self.file.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// Something that must not be.
    pub fn wrong(&self, text: impl Into<String>) {
        let text = text.into();
        self.note(&format!("WRONG: {text}"));
        self.wrong.lock().unwrap().push(text);
    }

    /// A fault is about to happen to a `worker`, a `collator` or a `server`.
    pub fn fault(&self, kind: &str, number: usize, fault: Fault, lasts: Duration) {
        self.note(&format!("{kind}-{number} {fault:?} {lasts:?}"));
        let key = format!("{kind} {fault:?}").to_lowercase();
        *self.faults.lock().unwrap().entry(key).or_default() += 1;
    }

    pub fn faults(&self) -> BTreeMap<String, u32> {
        self.faults.lock().unwrap().clone()
    }

    pub fn wrongs(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }
}
