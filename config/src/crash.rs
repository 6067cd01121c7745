//! Points at which a test ends or stops this process: exactly between two lines of it. Without
//! the feature `crash-points` nothing of this is compiled in.

/// Ends or stops the process here if the environment's `FAILPOINTS` says so, for instance
/// `worker.stored=2*off->return(kill)`: `kill` is SIGKILL, `stop` is SIGSTOP.
#[cfg(feature = "crash-points")]
#[allow(clippy::disallowed_methods, reason = "the whole process is about to stop")]
pub fn crash_point(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    fail::fail_point!(name, |signal: Option<String>| {
        let stop = signal.as_deref() == Some("stop");
        // A signal to oneself can't be refused.
        kill_process(getpid(), if stop { Signal::STOP } else { Signal::KILL }).ok();
        if stop {
            // Another thread may be the one that takes it, a moment later: this one must not
            // get beyond the point until then.
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    });
}

/// Nothing: this build has no crash points.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn crash_point(_name: &str) {}
