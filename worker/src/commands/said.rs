//! What a program says on standard error: into the log, line by line, and its last lines into the
//! error of the item that it dies of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest line of the log; a longer one becomes several.
const LONGEST: u64 = 4 * 1024;
/// How much of the last lines an error tells.
const LINES: usize = 10;
const BYTES: usize = 2 * 1024;
/// How long the last lines may take when the process is gone: what it left behind may hold them open.
const LAST: Duration = Duration::from_secs(1);

/// Reads the standard error of one process.
pub(super) struct Said {
    tail: Arc<Mutex<Tail>>,
    reading: JoinHandle<()>,
}

/// The last lines.
#[derive(Default)]
struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Said {
    /// Reads until the end.
    pub(super) fn read(
        function: &str,
        pid: i32,
        stderr: impl AsyncRead + Send + Unpin + 'static,
    ) -> Said {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (function, kept) = (function.to_owned(), tail.clone());
        let reading = tokio::spawn(async move {
            let mut stderr = BufReader::new(stderr);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = (&mut stderr).take(LONGEST).read_until(b'\n', &mut line).await;
                if read.unwrap_or(0) == 0 {
                    return;
                }
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                tracing::info!(function, pid, "{text}");
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
        });
        Said { tail, reading }
    }

    /// The last lines of a process that is gone, behind a colon; nothing if it said nothing.
    pub(super) async fn last(&mut self) -> String {
        timeout(LAST, &mut self.reading).await.ok();
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

impl Tail {
    fn push(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.to_owned());
        while self.lines.len() > LINES || self.bytes > BYTES && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    fn text(&self) -> String {
        match self.lines.is_empty() {
            true => String::new(),
            false => format!(": {}", Vec::from_iter(self.lines.iter().cloned()).join("\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        let mut tail = Tail::default();
        assert_eq!(tail.text(), "");
        (0..12).for_each(|n| tail.push(&n.to_string()));
        tail.push("");
        assert_eq!(tail.text(), ": 2\n3\n4\n5\n6\n7\n8\n9\n10\n11");
        tail.push(&"x".repeat(BYTES));
        assert_eq!(tail.lines.len(), 1);
        tail.push("last");
        assert_eq!(tail.text(), ": last");
    }
}
