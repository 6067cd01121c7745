//! A nats-server of `jetiter up`'s own.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jetiter_config::settings::Settings;
use jetiter_config::{Broker, Error};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::cli::{Failure, output};

/// How long a server may take to answer: it reads its whole store first.
const START: Duration = Duration::from_secs(120);
/// How long it may take to end.
const END: Duration = Duration::from_secs(30);
/// How long the server of a killed `up` may take to let go of the directory.
const RELEASE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Runs the server and tells it to stop when standard input ends. That is the pipe from us, so
/// it ends also when we are killed, and no orphan stays.
const KEEPER: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
{ cat; kill -TERM $server; } <&3 >/dev/null 2>&1 &
wait $server
"#;

/// The server, kept by a shell in a process group of its own: a ctrl-C at the terminal must not
/// end it before the worker.
pub(super) struct Server {
    keeper: Child,
    pipe: Option<ChildStdin>,
    files: Files,
    /// How long the log was before.
    logged: u64,
}

struct Files {
    store: PathBuf,
    log: PathBuf,
    lock: PathBuf,
    pid: PathBuf,
}

impl Server {
    /// Starts a server where the settings expect one, and waits until it answers.
    pub(super) async fn start(settings: &Settings) -> Result<(Server, Broker), Failure> {
        let (host, port) = listen(&settings.server)?;
        let program = &settings.up.nats_server;
        check(program).await?;
        let data = &settings.up.data;
        let files = Files {
            store: data.join("nats"),
            log: data.join("nats-server.log"),
            lock: data.join("nats-server.lock"),
            pid: data.join("nats-server.pid"),
        };
        let unusable = |error: std::io::Error| {
            Failure::new(format!("the data directory {} can't be used: {error}", data.display()))
        };
        std::fs::create_dir_all(data).map_err(unusable)?;
        let lock = files.lock().await?;
        let log = OpenOptions::new().create(true).append(true).open(&files.log);
        let log = log.map_err(unusable)?;
        let logged = log.metadata().map_or(0, |log| log.len());
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "jetiter", program, "-js", "-a", &host, "-p", &port])
            .arg("-sd")
            .arg(&files.store)
            .arg("-P")
            .arg(&files.pid)
            .stdin(Stdio::piped())
            // The lock is the server's as long as it holds this: it outlives us if need be.
            .stdout(lock)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::new(format!("sh, which keeps nats-server, can't be run: {error}")))?;
        let pipe = keeper.stdin.take();
        let mut server = Server { keeper, pipe, files, logged };
        match server.answer(settings).await {
            Ok(broker) => Ok((server, broker)),
            Err(failure) => {
                server.stop().await;
                Err(failure)
            }
        }
    }

    async fn answer(&mut self, settings: &Settings) -> Result<Broker, Failure> {
        let began = Instant::now();
        loop {
            match Broker::connect(settings, "jetiter up").await {
                Ok(broker) => return Ok(broker),
                Err(Error::Unreachable { .. }) if began.elapsed() < START => {}
                Err(error) => return Err(error.into()),
            }
            if let Ok(status) = timeout(LOOK, self.ended()).await {
                return Err(self.died(status?));
            }
        }
    }

    /// Waits until the server ends by itself.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        // `Child::wait` would close the pipe, but that is ours.
        self.keeper.wait().await
    }

    /// What a person needs to know when the server ended unasked.
    pub(super) fn died(&self, how: ExitStatus) -> Failure {
        let said = tail(&self.files.log, self.logged).unwrap_or_default();
        Failure::new(format!(
            "the nats-server ended ({how}){said}; its log is {}",
            self.files.log.display()
        ))
    }

    pub(super) fn store(&self) -> &Path {
        &self.files.store
    }

    /// Tells the server to stop and waits for its end.
    pub(super) async fn stop(mut self) {
        drop(self.pipe.take());
        if timeout(END, self.keeper.wait()).await.is_err() {
            output::note(format!("the nats-server has not ended in {END:?}"));
        }
        std::fs::remove_file(&self.files.pid).ok();
    }
}

impl Files {
    /// Two servers in one directory would destroy it.
    async fn lock(&self) -> Result<File, Failure> {
        let began = Instant::now();
        let lock = OpenOptions::new().create(true).append(true).open(&self.lock)?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) if began.elapsed() > RELEASE => {
                    let pid = std::fs::read_to_string(&self.pid).unwrap_or_default();
                    return Err(Failure::new(format!(
                        "a nats-server on another address (pid {}) uses {}: stop it, name its \
                         address with --server, or another directory with --data",
                        pid.trim(),
                        self.store.display()
                    )));
                }
                Err(TryLockError::WouldBlock) => sleep(LOOK).await,
            }
        }
    }
}

/// Host and port to listen on. A server is started only where nobody but this machine reaches it:
/// it asks for no login.
fn listen(server: &str) -> Result<(String, String), Failure> {
    let shown = jetiter_config::settings::redact_url(server);
    let plain = server.strip_prefix("nats://").unwrap_or(server);
    let address = plain.rsplit_once('@').map_or(plain, |(_, address)| address);
    let address = address.trim_end_matches('/');
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (address, "4222"),
    };
    let host = match host {
        "localhost" | "127.0.0.1" => "127.0.0.1",
        "[::1]" => "::1",
        _ => {
            return Err(Failure::new(format!(
                "no NATS server answers at {shown}, and `jetiter up` starts one on this machine \
                 only: start it there, or name an address like nats://127.0.0.1:4222"
            )));
        }
    };
    match port.parse::<u16>() {
        Ok(1..) => Ok((host.to_owned(), port.to_owned())),
        _ => Err(Failure::new(format!("the address {shown} has no port that can be listened on"))),
    }
}

async fn check(program: &str) -> Result<(), Failure> {
    let run = Command::new(program).arg("--version").output().await;
    let error = match run {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => output.status.to_string(),
        Err(error) if error.kind() == ErrorKind::NotFound => "not found".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Failure::new(format!(
        "no NATS server answers, and the program {program} can't be run to start one ({error}): \
         install it (https://nats.io/download) on the PATH, or name it by JETITER_NATS_SERVER or \
         up.nats_server"
    )))
}

/// The last lines that were logged since the log had so many bytes.
fn tail(log: &Path, since: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(since.max(end.saturating_sub(64 << 10))))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    // What it ended of, where it says so.
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let fatal: Vec<_> = lines.iter().filter(|line| line.contains("[FTL]")).copied().collect();
    let last = if fatal.is_empty() { lines.last().copied() } else { fatal.last().copied() };
    Ok(last.map_or_else(String::new, |line| format!(": {}", output::shortened(line, 300))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn listens(server: &str, host: &str, port: &str) {
        assert_eq!(listen(server).unwrap(), (host.to_owned(), port.to_owned()));
    }

    #[test]
    fn a_server_is_started_on_this_machine_only() {
        listens("nats://127.0.0.1:4222", "127.0.0.1", "4222");
        listens("localhost", "127.0.0.1", "4222");
        listens("nats://user:pass@localhost:4223/", "127.0.0.1", "4223");
        listens("nats://[::1]:5000", "::1", "5000");
        for bad in ["nats://example.com", "tls://127.0.0.1", "127.0.0.1:0", "127.0.0.1,localhost"] {
            listen(bad).unwrap_err();
        }
    }
}
