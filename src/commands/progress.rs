//! A bar on standard error, while a person is looking there.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use jetiter_config::wire::Progress;

/// How far a group is: submitted while it is read, done of all once it is sealed.
pub(super) struct Bar {
    bar: ProgressBar,
    submitted: AtomicU64,
    failed: AtomicU64,
}

impl Bar {
    /// Draws nothing when told so, or when standard error is no terminal.
    pub(super) fn new(quiet: bool) -> Bar {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if !bar.is_hidden() {
            bar.set_style(style("{spinner} {msg} submitted, {pos} done, {rate}"));
            bar.set_message("0");
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Bar { bar, submitted: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// One more argument was taken.
    pub(super) fn took(&self) {
        let submitted = self.submitted.fetch_add(1, Ordering::Relaxed) + 1;
        // A message is a new text each time.
        if submitted.is_multiple_of(256) && !self.is_hidden() {
            self.bar.set_message(submitted.to_string());
        }
    }

    /// How many were taken.
    pub(super) fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Relaxed)
    }

    /// Whether all is submitted.
    pub(super) fn is_sealed(&self) -> bool {
        self.bar.length().is_some()
    }

    /// All is submitted.
    pub(super) fn sealed(&self) {
        self.bar.set_length(self.submitted.load(Ordering::Relaxed));
        self.bar.set_style(style("{bar:40} {pos}/{len} done, {rate}, {eta} left{msg}"));
        self.tell();
    }

    /// Follows the group's events, for ever.
    pub(super) async fn follow(
        &self,
        mut events: impl Stream<Item = Progress> + Unpin,
    ) -> Infallible {
        while let Some(event) = events.next().await {
            self.bar.set_position(event.done);
            self.failed.store(event.failed, Ordering::Relaxed);
            if self.is_sealed() {
                self.tell();
            }
        }
        std::future::pending().await
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn tell(&self) {
        self.bar.set_message(match self.failed.load(Ordering::Relaxed) {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        });
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, to: &mut dyn Write| {
            // What it is written to is a text, which takes everything.
            write!(to, "{:.0}/s", state.per_sec()).ok();
        })
}
