//! Sees that no process outlives the worker: also one that is killed, and also what the processes
//! have started themselves.
//!
//! A child that reads its input ends with it when the worker is gone, but one that computes does not.
//! The kernel's own way, a signal at the parent's death, is told in the child before it becomes the
//! program, which safe Rust can't do, and reaches no grandchildren. So a shell waits for the end of
//! its input, which is the worker's end however that comes, and knows whom to kill then.

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

const SCRIPT: &str = r#"
living=' '
while read -r what pid; do
  case $what$living in
    began*) living="$living$pid " ;;
    ended*" $pid "*) living="${living%% $pid *} ${living#* $pid }" ;;
  esac
done
for pid in $living; do kill -s KILL -- "-$pid"; done
"#;

/// The process groups of all commands of a worker.
pub(super) struct Keeper {
    state: Mutex<State>,
}

struct State {
    living: HashSet<Pid>,
    /// `None` where there are no commands or no shell.
    shell: Option<(Child, ChildStdin)>,
}

impl Keeper {
    /// With a shell if there is anything to keep.
    pub(super) fn new(needed: bool) -> Keeper {
        let shell = if needed { shell() } else { None };
        Keeper { state: Mutex::new(State { living: HashSet::new(), shell }) }
    }

    /// A process group has begun.
    pub(super) fn began(&self, group: Pid) {
        let mut state = self.state();
        state.living.insert(group);
        state.tell("began", group);
    }

    /// A process group is killed, and its first process was waited for or is about to be.
    pub(super) fn ended(&self, group: Pid) {
        let mut state = self.state();
        if state.living.remove(&group) {
            state.tell("ended", group);
        }
    }

    /// Kills all that live.
    pub(super) fn kill_all(&self) {
        self.state().living.iter().copied().for_each(kill);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, what: &str, group: Pid) {
        let Some((_, pipe)) = &mut self.shell else { return };
        if let Err(error) = writeln!(pipe, "{what} {}", group.as_raw_nonzero()) {
            tracing::debug!(%error, "the shell that keeps the commands is gone");
            self.shell = None;
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some((mut shell, pipe)) = self.shell.take() {
            drop(pipe);
            // It has nothing to do but to end: all groups it knows of are killed.
            shell.wait().ok();
        }
    }
}

/// Kills a process group. That it is gone already is as good.
pub(super) fn kill(group: Pid) {
    kill_process_group(group, Signal::KILL).ok();
}

/// A group of its own: a ctrl-C at the terminal must not end it before the worker.
fn shell() -> Option<(Child, ChildStdin)> {
    let shell = Command::new("sh")
        .args(["-c", SCRIPT, "jetiter commands"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    match shell {
        Ok(mut shell) => shell.stdin.take().map(|pipe| (shell, pipe)),
        Err(error) => {
            tracing::warn!(%error, "there is no sh: a worker that is killed leaves its commands");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_kills_the_groups_that_have_not_ended() {
        let told = "began 12\nbegan 1\nbegan 2\nended 1\nbegan 121\nended 2\nbegan 2\nended 7\n";
        let mut shell = Command::new("sh")
            .args(["-c", &format!("kill() {{ echo \"$@\"; }}\n{SCRIPT}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let killed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(killed, "-s KILL -- -12\n-s KILL -- -121\n-s KILL -- -2\n");
    }
}
