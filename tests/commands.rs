//! Programs that are served as functions, as docs/commands.md tells it: children that live on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format, Toml};
use jetiter::{Chunk, Commands, Encoding, ErrorKind, FOREVER, ItemError, Options, Settings};
use serde_json::{Value, json};

use crate::harness::{Engine, Running, eventually, skip, within};

pub type Outcome = Result<Value, ItemError>;

/// The interpreter itself, also where `python3` is a script that finds it.
pub fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    let found = PYTHON.get_or_init(|| {
        let script = "import sys; print(sys.executable)";
        let output = Command::new("python3").args(["-c", script]).output().ok()?;
        if !output.status.success() {
            return None;
        }
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    });
    if found.is_none() {
        skip("a test of commands", "there is no python3");
    }
    found.as_deref()
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The settings of `child`, the child that does what its argument says, and its further keys.
pub fn child(python: &str, keys: &str) -> String {
    let script = root().join("tests/commands/child.py");
    format!("[functions.child]\ncommand = [{python:?}, {script:?}]\n{keys}\n")
}

/// An engine whose worker serves these commands.
pub struct Served {
    pub engine: Engine,
    worker: Running,
    commands: Commands,
}

impl Served {
    pub async fn new(toml: &str) -> Served {
        Served::with(toml, |_| {}).await
    }

    pub async fn with(toml: &str, change: impl FnOnce(&mut Settings)) -> Served {
        let read = Settings::load(&Figment::from(Toml::string(toml))).unwrap();
        let engine = Engine::with(|settings| {
            settings.functions = read.functions;
            settings.worker.concurrency = 8;
            change(settings);
        })
        .await;
        let commands = Commands::new(&engine.settings, engine.settings.worker.slots()).unwrap();
        let worker = engine.worker(commands.functions()).await;
        engine.collator().await;
        Served { engine, worker, commands }
    }

    /// What became of each argument, in their order.
    pub async fn map(&self, function: &str, arguments: Vec<Value>, how: &Options) -> Vec<Outcome> {
        let client = &self.engine.client;
        let group = within(client.async_iter(function, arguments, how)).await.unwrap();
        let fetched = within(client.fetch::<Value>(&group, FOREVER)).await.unwrap().unwrap();
        fetched.into_ordered().into_iter().map(|(_, outcome)| outcome).collect()
    }

    pub async fn one(&self, function: &str, argument: Value) -> Outcome {
        self.map(function, vec![argument], &Options::new()).await.pop().unwrap()
    }

    /// Ends in order: nothing is left.
    pub async fn stop(self) {
        self.worker.stop().await;
        within(self.commands.stop(Duration::from_secs(20))).await;
        self.engine.is_clean().await;
    }
}

/// Whether a process is gone; one that nobody has waited for yet counts as gone.
pub fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
        || !Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until a file has so many lines.
pub async fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    eventually("the file has its lines", async || read().lines().count() >= count).await;
    read().lines().map(str::to_owned).collect()
}

pub async fn all_gone(pids: &[String]) {
    let gone = async || pids.iter().all(|pid| is_gone(pid));
    eventually("the processes are gone", gone).await;
}

#[track_caller]
pub fn failed(outcome: Outcome, kind: ErrorKind, words: &[&str]) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(words.iter().all(|word| error.message.contains(word)), "{words:?}: {error}");
}

fn values(outcomes: Vec<Outcome>) -> Vec<Value> {
    outcomes.into_iter().map(Result::unwrap).collect()
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes");
    (dir, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_in_both_encodings_and_in_chunks() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "")).await;
    let echoed = vec![json!(null), json!(1.5), json!("ä\n\u{2028}"), json!([1, {"error": "x"}])];
    // More than a pipe holds, in both directions.
    let echoed = [echoed, vec![json!("x".repeat(300_000))]].concat();
    let arguments: Vec<Value> = echoed.iter().map(|value| json!(["echo", value])).collect();
    for encoding in [Encoding::Cbor, Encoding::Json] {
        for chunk in [1, 3] {
            let how = Options::new().encoding(encoding).chunk(Chunk::of(chunk));
            let outcomes = served.map("child", arguments.clone(), &how).await;
            assert_eq!(values(outcomes), echoed, "{encoding} {chunk}");
        }
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_told_which_item_it_is() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "")).await;
    let group = "told".parse().unwrap();
    let how = Options::new().group(group);
    let outcomes = served.map("child", vec![json!(["asked", 1]), json!(["asked", 2])], &how).await;
    let asked = json!({"argument": ["asked", 2], "group": "told", "index": 1, "attempt": 1});
    assert_eq!(values(outcomes)[1], asked);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_the_items_and_the_child_lives_on() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "slots = 1")).await;
    let before = served.one("child", json!(["pid", null])).await.unwrap();
    failed(
        served.one("child", json!(["fail", "no image"])).await,
        ErrorKind::Failed,
        &["no image"],
    );
    assert_eq!(served.one("child", json!(["pid", null])).await.unwrap(), before);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_crashes_are_tried_again() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "")).await;
    for chunk in [1, 2] {
        let how = Options::new().retries(2);
        let how = if chunk == 1 { how } else { how.chunk(Chunk::of(chunk)) };
        let arguments = vec![json!(["crash", 4]), json!(["echo", 7])];
        let mut outcomes = served.map("child", arguments, &how).await;
        assert_eq!(outcomes.pop().unwrap().unwrap(), 7);
        failed(outcomes.pop().unwrap(), ErrorKind::Panicked, &["exit status: 4"]);
    }
    let how = Options::new().retries(2);
    let outcomes = served.map("child", vec![json!(["fail_times", 2])], &how).await;
    assert_eq!(values(outcomes), [3]);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_names_status_and_last_words_and_the_next_item_gets_a_new_child() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "slots = 1")).await;
    let before = served.one("child", json!(["pid", null])).await.unwrap();
    let crashed = served.one("child", json!(["no such", null])).await;
    let words = ["exit status: 3", "before the end\nthe end: no such"];
    failed(crashed, ErrorKind::Panicked, &words);
    let after = served.one("child", json!(["pid", null])).await.unwrap();
    assert_ne!(after, before);
    let killed = served.one("child", json!(["killed", null])).await;
    failed(killed, ErrorKind::Panicked, &["signal: 9"]);
    assert!(is_gone(&before.to_string()) && is_gone(&after.to_string()));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_kills_the_child_and_what_it_has_started() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "slots = 1")).await;
    let (_dir, file) = temporary();
    let before = served.one("child", json!(["pid", null])).await.unwrap();
    let how = Options::new().timeout(Duration::from_secs(2));
    let mut outcomes = served.map("child", vec![json!(["hang", file])], &how).await;
    failed(outcomes.pop().unwrap(), ErrorKind::TimedOut, &["2s"]);
    let pids = lines(&file, 2).await;
    assert_eq!(pids[0], before.to_string());
    all_gone(&pids).await;
    assert_ne!(served.one("child", json!(["pid", null])).await.unwrap(), before);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_an_error_and_the_child_is_replaced() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "slots = 1\noutput_max_bytes = 1000")).await;
    let mut before = served.one("child", json!(["pid", null])).await.unwrap();
    let long = format!("{{\"value\": \"{}\"}}\n", "x".repeat(1000));
    let endless = "x".repeat(5000);
    for (written, kind, words) in [
        ("hello\n", ErrorKind::BadValue, r#""hello""#),
        ("7\n", ErrorKind::BadValue, "it is no object"),
        ("\n", ErrorKind::BadValue, "one line"),
        ("{\"value\": NaN}\n", ErrorKind::BadValue, "NaN"),
        ("{\"value\": 1}\n{\"value\": 2}\n", ErrorKind::BadValue, "more than one line"),
        (&long, ErrorKind::TooLarge, "functions.\"child\".output_max_bytes"),
        (&endless, ErrorKind::TooLarge, "1000 bytes"),
    ] {
        failed(served.one("child", json!(["write", written])).await, kind, &[words]);
        let after = served.one("child", json!(["pid", null])).await.unwrap();
        assert_ne!(after, before, "{written}");
        assert!(is_gone(&before.to_string()), "{written}");
        before = after;
    }
    served.stop().await;
}

/// The second line comes behind the answer; it must not become the next item's.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_nobody_asked_for_is_nobodys_value() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "slots = 1")).await;
    let (_dir, file) = temporary();
    let said = served.one("child", json!(["later", file])).await;
    match said {
        Ok(value) => {
            assert_eq!(value, 1);
            lines(&file, 1).await;
        }
        // Seen together with the answer it is that item's error.
        Err(error) => assert_eq!(error.kind, ErrorKind::BadValue, "{error}"),
    }
    assert_eq!(served.one("child", json!(["echo", 2])).await.unwrap(), 2);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_ends_after_its_answer_costs_no_item() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "slots = 2")).await;
    let arguments: Vec<Value> = (0..40).map(|n| json!(["last", n])).collect();
    let outcomes = served.map("child", arguments, &Options::new()).await;
    assert_eq!(values(outcomes), (0..40).map(Value::from).collect::<Vec<_>>());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_children_than_slots() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "slots = 3")).await;
    let (_dir, file) = temporary();
    // Three must be there at once for the first to end; the others come after them.
    let arguments = (0..12).map(|_| json!(["meet", [file, 3]])).collect();
    let pids = values(served.map("child", arguments, &Options::new()).await);
    let distinct: std::collections::BTreeSet<String> = pids.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), 3, "{pids:?}");
    served.stop().await;
}

/// The last one waits for its child for three times as long as it may run, and a second more.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_waits_for_a_child_is_not_out_of_time() {
    let Some(python) = python() else { return };
    for chunk in [1, 8] {
        let served = Served::new(&child(python, "slots = 1")).await;
        let arguments = vec![json!(["nap", 0.4]); 8];
        let how = Options::new().timeout(Duration::from_millis(800)).chunk(Chunk::of(chunk));
        let outcomes = served.map("child", arguments, &how).await;
        assert_eq!(values(outcomes), vec![json!(0.4); 8]);
        served.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_item_leaves_its_child_to_others() {
    let Some(python) = python() else { return };
    let served = Served::new(&child(python, "slots = 1")).await;
    let (_dir, file) = temporary();
    // Waits for another one that never comes.
    let alone = [json!(["meet", [file, 2]])];
    let client = &served.engine.client;
    let group = client.async_iter("child", alone, &Options::new()).await.unwrap();
    let pids = lines(Path::new(&file), 1).await;
    client.cancel(&group).await.unwrap();
    all_gone(&pids).await;
    assert_eq!(served.one("child", json!(["echo", 1])).await.unwrap(), 1);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_working_directory() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let keys = format!("cwd = {dir:?}\nenv = {{ KEY = 'a=\"b\"' }}");
    let served = Served::new(&child(python, &keys)).await;
    assert_eq!(served.one("child", json!(["env", "KEY"])).await.unwrap(), "a=\"b\"");
    assert!(served.one("child", json!(["env", "PATH"])).await.unwrap().is_string());
    assert_eq!(served.one("child", json!(["cwd", null])).await.unwrap(), json!(dir));
    served.stop().await;
}

/// Every item ends, the start is tried again and again, and a mended command works.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_dies_at_once_is_each_items_error_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mended");
    let script = format!("test -e {file:?} || {{ echo broken >&2; exit 5; }}; exec cat");
    let toml = format!("[functions.x]\ncommand = '{script}'\nshell = true");
    let served = Served::new(&toml).await;
    let arguments: Vec<Value> = (0..3).map(Value::from).collect();
    for outcome in served.map("x", arguments, &Options::new()).await {
        failed(outcome, ErrorKind::Panicked, &["exit status: 5", ": broken"]);
    }
    std::fs::write(&file, "").unwrap();
    // What `cat` writes is no answer, but it lives to write it.
    failed(served.one("x", json!(1)).await, ErrorKind::BadValue, &["unknown field `argument`"]);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_gone_is_each_items_error() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    std::fs::copy("/bin/sh", &program).unwrap();
    let toml = format!("[functions.\"a.b\"]\ncommand = [{program:?}]");
    let served = Served::new(&toml).await;
    std::fs::remove_file(&program).unwrap();
    let words = [program.to_str().unwrap(), "No such file", "mend functions.\"a.b\".command"];
    failed(served.one("a.b", json!(1)).await, ErrorKind::Failed, &words);
    served.stop().await;
}
