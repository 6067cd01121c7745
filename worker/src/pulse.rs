//! Keeps the runtime going while a function holds one of its threads. The thread that has last looked
//! for what comes from outside, messages and the clock, may be the one that is held; the others sleep
//! until they are given something to do, and only then does one of them look.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

/// So long nobody may look, at the longest.
const BEAT: Duration = Duration::from_millis(100);

/// While this lives the runtime is given something to do now and then.
pub(crate) struct Pulse(#[allow(dead_code, reason = "its end is what counts")] Arc<()>);

impl Pulse {
    /// Of the caller's runtime.
    pub(crate) fn start() -> std::io::Result<Pulse> {
        let (alive, runtime) = (Arc::new(()), Handle::current());
        if runtime.metrics().num_workers() > 1 {
            let pulse = Arc::downgrade(&alive);
            thread::Builder::new()
                .name("pulse".to_owned())
                .spawn(move || beat(&pulse, &runtime))?;
        }
        Ok(Pulse(alive))
    }
}

fn beat(pulse: &Weak<()>, runtime: &Handle) {
    while pulse.strong_count() > 0 {
        runtime.spawn(async {});
        thread::park_timeout(BEAT);
    }
}
