//! Programs that are served as functions: what the worker's process says of them, and that it leaves
//! none behind.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jetiter::Options;
use serde_json::{Value, json};

use crate::commands::{all_gone, child, lines, python, root};
use crate::harness::{Engine, within};
use crate::processes::Process;

/// A file of settings, and the variables that a worker of its commands needs.
struct Files {
    dir: tempfile::TempDir,
    path: String,
}

impl Files {
    fn new(toml: &str) -> Files {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jetiter.toml"), toml).unwrap();
        let path = Command::new("sh").args(["-c", "printf %s \"$PATH\""]).output().unwrap();
        Files { dir, path: String::from_utf8(path.stdout).unwrap() }
    }

    fn run(&self, engine: &Engine, arguments: &[&str]) -> Process {
        engine.process_in(self.dir.path(), arguments, &[("PATH", &self.path)])
    }

    async fn worker(&self, engine: &Engine) -> Process {
        let worker = self.run(engine, &["worker"]);
        worker.says("working").await;
        worker
    }
}

async fn submit(engine: &Engine, function: &str, argument: Value) {
    let how = Options::new();
    within(engine.client.async_iter(function, [argument], &how)).await.unwrap();
}

async fn value(engine: &Engine, function: &str, argument: Value) -> Value {
    let group = engine.client.async_iter(function, [argument], &Options::new()).await.unwrap();
    let list: Vec<Value> =
        within(engine.client.result(&group, jetiter::FOREVER)).await.unwrap().unwrap();
    list[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_error_is_logged_and_the_values_of_variables_are_not() {
    let Some(python) = python() else { return };
    let engine = Engine::bare().await;
    engine.collator().await;
    let files = Files::new(&child(python, "env = { API_KEY = 's9876' }\nslots = 1"));
    let worker = files.run(&engine, &["worker", "--log", "trace,async_nats=info"]);
    worker.says("working").await;
    assert_eq!(value(&engine, "child", json!(["say", "one\ntwo"])).await, "one\ntwo");
    worker.says("one function=\"child\" pid=").await;
    worker.says("two function=\"child\" pid=").await;
    assert_eq!(value(&engine, "child", json!(["env", "API_KEY"])).await, "s9876");
    value(&engine, "child", json!(["crash", 3])).await;
    assert!(!worker.log().contains("9876"), "{}", worker.log());
    let mut log = worker.log_file();
    assert!(worker.term().await.success());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut log, &mut text).unwrap();
    assert!(!text.contains("9876"), "{text}");
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn config_shows_commands_and_hides_their_variables() {
    let engine = Engine::bare().await;
    let files = Files::new("[functions.\"a.b\"]\ncommand = ['x', '-y']\nenv.KEY = 's9876'");
    for arguments in [&["config"][..], &["config", "--json"]] {
        let shown = files.run(&engine, arguments).printed().await;
        for words in ["a.b", "command", "x,-y", "env.KEY", "[hidden]", "file jetiter.toml"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert!(!shown.contains("9876"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_not_start_without_its_programs() {
    let engine = Engine::bare().await;
    for (toml, words) in [
        (
            "[functions.\"a.b\"]\ncommand = ['no-such-program']",
            "there is no program \"no-such-program\" to serve the function a.b: install it, or \
             mend functions.\"a.b\".command",
        ),
        (
            "[functions.x]\ncommand = ['cat']\ncwd = '/no/such'",
            "there is no directory \"/no/such\" to run the function x in",
        ),
        ("[functions.\"math.sqrt\"]\ncommand = ['cat']", "math.sqrt is given twice"),
        ("[functions.x]\ncommand = ['cat']\nslot = 2", "there is no setting functions.x.slot"),
    ] {
        let files = Files::new(toml);
        for command in ["worker", "up"] {
            let (code, said) = files.run(&engine, &[command]).ended_saying().await;
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains(words), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_leaves_no_process() {
    let Some(python) = python() else { return };
    for (command, ready) in [("worker", "working"), ("up", "ready")] {
        stops_in_order(python, command, ready).await;
    }
}

async fn stops_in_order(python: &str, command: &str, ready: &str) {
    let engine = Engine::with(|settings| settings.worker.grace = Duration::from_secs(3)).await;
    engine.collator().await;
    let notes = tempfile::NamedTempFile::new().unwrap();
    let stays = child(python, &format!("env.STAY = {:?}", notes.path()));
    let leaves = child(python, "").replace("functions.child", "functions.leaves");
    let files = Files::new(&format!("{stays}{leaves}"));
    let worker = files.run(&engine, &[command]);
    worker.says(ready).await;
    let mut pids = Vec::new();
    for function in ["child", "leaves"] {
        pids.push(value(&engine, function, json!(["pid", null])).await.to_string());
    }
    assert!(worker.term().await.success());
    // The first one was told, and stayed: it was killed.
    assert_eq!(lines(notes.path(), 1).await, ["told"]);
    all_gone(&pids).await;
    engine.is_clean().await;
}

/// An item that still runs at the end of the grace time goes to another worker: its child's death is
/// not its error.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_outlives_the_grace_time_is_handed_on() {
    let Some(python) = python() else { return };
    let engine = Engine::with(|settings| settings.worker.grace = Duration::ZERO).await;
    engine.collator().await;
    let notes = tempfile::NamedTempFile::new().unwrap();
    let files = Files::new(&child(python, ""));
    let worker = files.worker(&engine).await;
    let arguments = [json!(["meet", [notes.path(), 2]])];
    let group = engine.client.async_iter("child", arguments, &Options::new()).await.unwrap();
    let first = lines(notes.path(), 1).await;
    assert!(worker.term().await.success());
    all_gone(&first).await;
    let _worker = files.worker(&engine).await;
    let list: Vec<Value> =
        within(engine.client.result(&group, jetiter::FOREVER)).await.unwrap().unwrap();
    assert_eq!(list[0].to_string(), lines(notes.path(), 2).await[1]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_leaves_no_process() {
    let Some(python) = python() else { return };
    let engine = Engine::bare().await;
    let notes = tempfile::NamedTempFile::new().unwrap();
    let script =
        format!("echo $$ >> {0}; sleep 1000 & echo $! >> {0}; wait", notes.path().display());
    let once = format!("[functions.once]\nmode = 'once'\nshell = true\ncommand = '{script}'");
    let files = Files::new(&format!("{}{once}", child(python, "")));
    let worker = files.worker(&engine).await;
    // Busy ones, which do not see the end of their input, and what they have started.
    submit(&engine, "child", json!(["hang", notes.path()])).await;
    submit(&engine, "once", json!(1)).await;
    let pids = lines(notes.path(), 4).await;
    worker.kill().await;
    all_gone(&pids).await;
}

/// The page's examples, as a person copies them.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_commands_is_true() {
    if python().is_none() {
        return;
    }
    let page = std::fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let example = root().join("examples/commands");
    let script = std::fs::read_to_string(example.join("count.py")).unwrap();
    assert!(page.contains(&format!("```python\n{script}```")), "count.py is another one there");
    let settings = std::fs::read_to_string(example.join("jetiter.toml")).unwrap();
    let shown = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(settings.contains(shown), "the settings are others there");

    let engine = Engine::bare().await;
    let files = Files::new("");
    let up = engine.process_in(&example, &["up"], &[("PATH", &files.path)]);
    up.says("ready").await;
    let console = page.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let runs: Vec<&str> = console.split("$ ").skip(1).collect();
    assert!(runs.len() > 3);
    for run in runs {
        let (command, wanted) = run.split_once('\n').unwrap();
        let printed = in_shell(&engine, &example, &files.path, command).await;
        assert_eq!(without_line_ends(&printed), wanted.trim(), "{command}");
    }
    assert!(up.term().await.success());
    engine.is_clean().await;
}

/// A long list is printed on several lines, a page shows it on one.
fn without_line_ends(printed: &str) -> String {
    printed.replace('\n', "")
}

async fn in_shell(engine: &Engine, directory: &Path, path: &str, command: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_jetiter")).parent().unwrap();
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(directory)
        .env("PATH", format!("{}:{path}", program.display()))
        .env("JETITER_SERVER", &engine.settings.server)
        .env("JETITER_NAMESPACE", &engine.settings.namespace)
        .output();
    let output = within(output).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
