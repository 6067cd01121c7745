//! Workers and collators: real processes, each with a plan of faults, started again whenever they
//! end, as a supervisor would.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::plan::{Fault, Plan, Step};
use crate::processes::Process;
use crate::stage::Stage;

/// What `jetiter` ends with when it can't do its work: here, when no server answers at its start.
const FAILED: i32 = 2;
const KILLED: i32 = 9;
/// Where a process kills itself now and then, in a build with crash points: between two lines that
/// no kill by the clock would meet.
const WORKER_POINTS: &str = "worker.taken=0.01%return(kill);worker.counted=0.1%return(kill);\
    worker.begun=0.01%return(kill);worker.ran=0.01%return(kill);worker.stored=0.01%return(kill)";
const COLLATOR_POINTS: &str = "collator.marked=0.2%return(kill);collator.ended=2%return(kill);\
    collator.decided=0.2%return(kill);collator.chunk=0.2%return(kill);\
    collator.uploaded=0.2%return(kill);collator.committed=0.2%return(kill);\
    collator.recorded=0.2%return(kill);collator.marked_done=0.2%return(kill);\
    collator.purging=0.2%return(kill);collator.purged=0.2%return(kill)";
/// A process told to end must be gone by then: its grace time, and the last acknowledgements.
const TO_END: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Worker,
    Collator,
}

pub struct Player {
    stage: Arc<Stage>,
    kind: Kind,
    number: usize,
    process: Process,
    log: File,
}

impl Player {
    pub fn start(stage: &Arc<Stage>, kind: Kind, number: usize) -> Player {
        let path = stage.dir.join(format!("{}-{number}.log", kind.name()));
        let log = File::create(path).unwrap();
        Player { process: start(stage, kind), stage: stage.clone(), kind, number, log }
    }

    /// Plays its part until the end.
    pub async fn run(mut self) {
        let peace = self.stage.peace.clone();
        for step in Plan::of_process(self.stage.seed, &self.name()) {
            let calm = peace.run_until_cancelled(self.keep_for(step.calm)).await;
            if calm.is_none() {
                break;
            }
            self.suffer(step).await;
        }
        let end = self.stage.end.clone();
        end.run_until_cancelled(self.keep_for(Duration::MAX)).await;
        self.process.signal(Signal::TERM);
        self.is_gone().await;
        self.take_log();
    }

    async fn suffer(&mut self, step: Step) {
        self.stage.journal.fault(self.kind.name(), self.number, step.fault, step.lasts);
        let peace = self.stage.peace.clone();
        let lasts = peace.run_until_cancelled_owned(sleep(step.lasts));
        match step.fault {
            Fault::Freeze => {
                self.process.signal(Signal::STOP);
                lasts.await;
                self.process.signal(Signal::CONT);
                return;
            }
            Fault::Kill | Fault::AtPoint => self.process.signal(Signal::KILL),
            Fault::Restart => self.process.signal(Signal::TERM),
        }
        self.is_gone().await;
        lasts.await;
        self.start_again();
    }

    /// Waits, and starts the process again when it ends by itself.
    async fn keep_for(&mut self, time: Duration) {
        let keep = async {
            loop {
                let status = self.process.exit().await;
                self.ended_by_itself(status);
                self.start_again();
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(time, keep).await.ok();
    }

    fn ended_by_itself(&self, status: ExitStatus) {
        let text = format!("{} ended by itself: {status}", self.name());
        let journal = &self.stage.journal;
        if status.code() == Some(FAILED) {
            journal.note(&text);
        } else if cfg!(feature = "crash-points") && status.signal() == Some(KILLED) {
            journal.fault(self.kind.name(), self.number, Fault::AtPoint, Duration::ZERO);
        } else {
            journal.wrong(text);
        }
    }

    async fn is_gone(&mut self) {
        if timeout(TO_END, self.process.exit()).await.is_err() {
            let name = self.name();
            self.stage.journal.wrong(format!("{name} runs {TO_END:?} after it was told to end"));
            self.process.signal(Signal::KILL);
            self.process.exit().await;
        }
    }

    fn start_again(&mut self) {
        self.take_log();
        self.process = start(&self.stage, self.kind);
    }

    /// Keeps what the process has said: a panic of one of its tasks is told nowhere else.
    fn take_log(&mut self) {
        let mut text = String::new();
        self.process.log_file().read_to_string(&mut text).unwrap();
        for line in text.lines().filter(|line| line.contains("panicked at")) {
            self.stage.journal.wrong(format!("{}: {line}", self.name()));
        }
        writeln!(self.log, "{text}---").unwrap();
    }

    fn name(&self) -> String {
        format!("{}-{}", self.kind.name(), self.number)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Worker => "worker",
            Kind::Collator => "collator",
        }
    }
}

fn start(stage: &Stage, kind: Kind) -> Process {
    let (arguments, points): (&[&str], _) = match kind {
        Kind::Worker => (&["worker", "--test-functions"], WORKER_POINTS),
        Kind::Collator => (&["collator"], COLLATOR_POINTS),
    };
    let points = if stage.peace.is_cancelled() { "" } else { points };
    stage.engine.process_with(arguments, &[("FAILPOINTS", points)])
}
