//! The program as a person or a script runs it: real processes, exit codes, what is printed.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::harness::{Engine, Server, eventually, within};
use crate::plain::Plain;

/// What a run of the program came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn jetiter(server: &str, namespace: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jetiter"));
    command
        .env_clear()
        .current_dir(std::env::temp_dir())
        .args(["--server", server, "--namespace", namespace])
        .kill_on_drop(true);
    command
}

async fn finish(mut command: Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that refuses its arguments does not read.
    stdin.write_all(input.as_bytes()).await.ok();
    drop(stdin);
    let output = within(child.wait_with_output()).await.unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Engine {
    fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = jetiter(&self.settings.server, &self.settings.namespace);
        command.args(arguments);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.cli(arguments), "").await
    }
}

fn numbers(list: &str) -> Vec<f64> {
    let mut numbers: Vec<f64> = serde_json::from_str(list).unwrap();
    numbers.sort_by(f64::total_cmp);
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn map_takes_arguments_lines_and_files() {
    let engine = Engine::start().await;
    let ran = engine.run(&["map", "math.copysign", "[1,-1]", "[2,-1]", "[3,-1]"]).await;
    assert_eq!((ran.code, numbers(&ran.out)), (0, vec![-3.0, -2.0, -1.0]), "{}", ran.err);

    let ran = finish(engine.cli(&["map", "math.floor"]), "1.5\n\n2.5\n").await;
    assert_eq!((ran.code, numbers(&ran.out)), (0, vec![1.0, 2.0]), "{}", ran.err);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "4\n9\n").unwrap();
    let ran = engine.run(&["map", "math.sqrt", "--from", file.path().to_str().unwrap()]).await;
    assert_eq!((ran.code, numbers(&ran.out)), (0, vec![2.0, 3.0]), "{}", ran.err);

    let ran = engine.run(&["map", "math.sqrt", "--ordered", "9", "4", "1"]).await;
    assert_eq!(serde_json::from_str::<Vec<f64>>(&ran.out).unwrap(), [3.0, 2.0, 1.0]);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_item_fails_alone() {
    let engine = Engine::start().await;
    let ran = engine.run(&["map", "math.sqrt", "--records", "4", "-1"]).await;
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("1 of 2") && ran.err.contains("math domain error"), "{}", ran.err);
    let records: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let failed = records.iter().find(|record| record["ok"] == false).unwrap();
    assert_eq!((&failed["index"], &failed["error"]["kind"]), (&1.into(), &"failed".into()));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn detach_then_status_result_fetch_ls_delete() {
    let engine = Engine::bare().await;
    let group = engine.run(&["map", "math.floor", "--detach", "--label", "mine", "1.5"]).await;
    let group = group.out.trim().to_owned();
    let ran = engine.run(&["result", &group, "--wait", "10ms"]).await;
    assert_eq!(ran.code, 3, "not finished: {}", ran.err);
    let ran = engine.run(&["status", &group]).await;
    assert!(ran.code == 0 && ran.out.contains('1'), "{} {}", ran.out, ran.err);

    let mut worker = engine.cli(&["worker"]).stderr(Stdio::null()).spawn().unwrap();
    let mut collator = engine.cli(&["collator"]).stderr(Stdio::null()).spawn().unwrap();
    let ran = engine.run(&["result", &group, "--wait", "forever"]).await;
    assert_eq!((ran.code, numbers(&ran.out)), (0, vec![1.0]), "{}", ran.err);
    let fetched: serde_json::Value =
        serde_json::from_str(&engine.run(&["fetch", &group]).await.out).unwrap();
    assert_eq!(fetched["label"], "mine", "{fetched}");
    assert_eq!(fetched["records"][0]["index"], 0, "{fetched}");
    assert!(engine.run(&["ls"]).await.out.contains(&group));
    assert_eq!(engine.run(&["delete", &group]).await.code, 0);
    for command in ["result", "status", "fetch", "delete"] {
        let ran = engine.run(&[command, &group]).await;
        assert_eq!(ran.code, 4, "{command}: {}", ran.err);
        assert!(ran.err.contains(&group), "{command}: {}", ran.err);
    }
    for child in [&mut worker, &mut collator] {
        terminate(child).await;
        assert_eq!(within(child.wait()).await.unwrap().code(), Some(0), "an orderly end");
    }
    engine.is_clean().await;
}

async fn terminate(child: &Child) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_and_a_killed_collator_lose_nothing() {
    let engine = Engine::bare().await;
    let spawn = |arguments: &[&str]| engine.cli(arguments).stderr(Stdio::null()).spawn().unwrap();
    let mut workers = [
        spawn(&["worker", "--test-functions", "--concurrency", "2"]),
        spawn(&["worker", "--test-functions", "--concurrency", "2"]),
    ];
    let mut collator = spawn(&["collator"]);
    let options = jetiter::Options::new();
    let id = engine.client.async_iter("test.sleep_ms", vec![10; 200], &options).await.unwrap();
    eventually("some are done", async || engine.cache_keys().await.len() > 20).await;
    workers[0].kill().await.unwrap();
    collator.kill().await.unwrap();
    let _next = spawn(&["collator"]);
    let result = engine.client.fetch::<serde_json::Value>(&id, jetiter::FOREVER);
    let fetched = within(result).await.unwrap().unwrap();
    assert_eq!((fetched.summary.ok, fetched.list.len()), (200, 200));
    let indexes: std::collections::HashSet<_> = fetched.records.iter().map(|r| r.index).collect();
    assert_eq!(indexes.len(), 200);
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_aborts_its_worker_becomes_an_error_and_the_others_have_values() {
    let engine = Engine::with(|settings| settings.worker.begins = 1).await;
    let _collator = engine.cli(&["collator"]).stderr(Stdio::null()).spawn().unwrap();
    let options = jetiter::Options::new();
    let client = &engine.client;
    let poison = jetiter::Options::new().group("poison".parse().unwrap());
    let poison = client.async_iter("test.abort", [()], &poison).await.unwrap();
    let good = client.async_iter("test.echo", 0..50, &options).await.unwrap();
    // What a process manager does: start it again.
    let manager = async {
        loop {
            let mut worker = engine.cli(&["worker", "--test-functions"]);
            worker.env("JETITER_WORKER__BEGINS", "1").stderr(Stdio::null());
            worker.status().await.unwrap();
        }
    };
    let results = async {
        let good = client.result::<u32>(&good, jetiter::FOREVER).await.unwrap().unwrap();
        let poison = client.fetch::<()>(&poison, jetiter::FOREVER).await.unwrap().unwrap();
        (good.len(), poison.records[0].error.clone().unwrap().kind)
    };
    let (good, kind) = tokio::select! {
        results = within(results) => results,
        () = manager => unreachable!(),
    };
    assert_eq!((good, kind), (50, jetiter::ErrorKind::Lost));
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_named_with_its_mend() {
    let engine = Engine::bare().await;
    for (arguments, input, named) in [
        (&["map", "math.floor", "nan?"][..], "", &["nan?"][..]),
        (&["map", "math.floor"], "1\ntwo\n", &["two", "2"]),
        (&["map", "math..floor", "1"], "", &["math..floor", "letters"]),
        (&["map", "math.floor", "--group", "a.b", "1"], "", &["a.b", "letters"]),
        (&["map", "math.floor", "--queue", "other", "1"], "", &["other", "jetiter init"]),
        (&["map", "math.floor", "--from", "/no/such/file"], "", &["/no/such/file"]),
        (&["result", "a*b"], "", &["a*b", "letters"]),
        (&["worker", "--queue", "other"], "", &["other", "jetiter init --queue other"]),
    ] {
        let ran = finish(engine.cli(arguments), input).await;
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.err);
        for text in named {
            assert!(ran.err.contains(text), "{arguments:?}: {}", ran.err);
        }
        assert_eq!(ran.out, "", "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_that_are_missing_or_others_are_named() {
    let server = &crate::harness::server().url;
    let ran = finish(with(jetiter(server, "nobody-made"), &["map", "math.floor", "1"]), "").await;
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("nobody-made-items") && ran.err.contains("jetiter init"));

    let engine = Engine::bare().await;
    let name = engine.broker.namespace.cache_stream();
    let stream = engine.broker.jetstream.get_stream(&name).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.allow_rollup = true;
    engine.broker.jetstream.update_stream(config).await.unwrap();
    for command in [&["map", "math.floor", "1"][..], &["worker"], &["collator"], &["init"]] {
        let ran = engine.run(command).await;
        assert_eq!(ran.code, 2, "{command:?}");
        assert!(ran.err.contains(&name) && ran.err.contains("allow_rollup"), "{}", ran.err);
    }
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_cannot_be_used_are_told_apart() {
    let no_jetstream = Server::start(&[]);
    let locked = Server::start(&["-js", "--user", "me", "--pass", "s3cret-word"]);
    let old = old_server().await;
    for (server, named) in [
        ("nats://127.0.0.1:1", &["127.0.0.1:1", "jetiter up"][..]),
        (&no_jetstream.url, &["JetStream"]),
        (&locked.url, &["refused"]),
        (&locked.url.replace("nats://", "nats://me:wr0ng-word@"), &["refused"]),
        (&old, &["2.10.0", "2.14.5"]),
    ] {
        let ran = finish(with(jetiter(server, "x"), &["map", "math.floor", "1"]), "").await;
        assert_eq!(ran.code, 2, "{server}: {}", ran.err);
        for text in named {
            assert!(ran.err.contains(text), "{server}: {}", ran.err);
        }
        assert!(!ran.err.contains("-word"), "a secret is shown: {}", ran.err);
    }
    let server = locked.url.replace("nats://", "nats://me:s3cret-word@");
    assert_eq!(finish(with(jetiter(&server, "x"), &["init"]), "").await.code, 0);
}

/// Says that it is an old server to whoever connects.
async fn old_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let info = "INFO {\"server_id\":\"x\",\"version\":\"2.10.0\",\"proto\":1,\
                            \"headers\":true,\"max_payload\":1048576}\r\n";
                socket.write_all(info.as_bytes()).await.ok();
                let mut buffer = [0; 1024];
                while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    socket.write_all(b"PONG\r\n").await.ok();
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn config_shows_sources_and_hides_secrets() {
    let mut command = jetiter("nats://u:hidden-1@h:1", "n");
    command.env("JETITER_TOKEN", "hidden-2").env("JETITER_WORKER__GRACE", "3s").arg("config");
    let ran = finish(command, "").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("JETITER_WORKER__GRACE") && ran.out.contains("--namespace"));
    assert!(!ran.out.contains("hidden-1") && !ran.out.contains("hidden-2"), "{}", ran.out);
    let mut command = jetiter("nats://h:1", "n");
    command.env("JETITER_WORKER__CONCURENCY", "3").arg("config");
    let ran = finish(with(command, &[]), "").await;
    assert!(ran.err.contains("concurency") || ran.err.contains("CONCURENCY"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn up_starts_a_server_and_ends_cleanly() {
    let data = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let server = format!("nats://127.0.0.1:{port}");
    let mut up = jetiter(&server, "up");
    up.args(["up", "--data", data.path().to_str().unwrap(), "--nats-server"]);
    up.arg(crate::harness::server_binary()).env("PATH", "/usr/bin:/bin").stderr(Stdio::null());
    let mut up = up.spawn().unwrap();
    eventually("it is up", async || {
        let map = with(jetiter(&server, "up"), &["map", "math.floor", "1.5"]);
        let ran = finish(map, "").await;
        ran.code == 0 && numbers(&ran.out) == [1.0]
    })
    .await;
    terminate(&up).await;
    assert_eq!(within(up.wait()).await.unwrap().code(), Some(0));
    let gone = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err();
    eventually("its server has ended", gone).await;
    assert!(data.path().join("nats").exists(), "its data stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_that_items_are_missing() {
    let engine = Engine::with(|settings| {
        settings.collator.short_after = std::time::Duration::from_secs(1);
    })
    .await;
    let map = engine.process(&["map", "--group", "g", "math.floor", "0.5", "1.5", "2.5"]);
    let items = engine.broker.namespace.items_stream();
    eventually("it is sealed", async || engine.subjects(&items, ">").await.len() == 2).await;
    // Somebody removes the first two.
    engine.broker.purge(&items, None, Some(3)).await.unwrap();
    engine.worker(jetiter::math::functions()).await;
    engine.collator().await;
    let told = "2 of its 3 items are missing";
    eventually("it is told", async || map.log().contains(told)).await;
    let result = engine.process(&["result", "g", "--wait", "forever"]);
    eventually("it is told again", async || result.log().contains(told)).await;
    let plain = Plain::of(&engine).await;
    plain.items("g", 0..2).await;
    assert!(map.ended().await.success());
    assert!(result.ended().await.success());
    engine.is_clean().await;
}
