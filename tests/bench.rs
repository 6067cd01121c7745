use std::process::Stdio;

use futures_util::TryStreamExt;
use jetiter::{Broker, Settings};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Server, eventually, server_binary, within};

/// A server of its own: whatever stands there afterwards was left by the benchmark.
struct Alone {
    server: Server,
    broker: Broker,
}

impl Alone {
    async fn start() -> Alone {
        let server = Server::start(&["-js"]);
        let settings = Settings { server: server.url.clone(), ..Settings::default() };
        let broker = Broker::connect(&settings, "test").await.unwrap();
        Alone { server, broker }
    }

    async fn streams(&self) -> Vec<String> {
        self.broker.jetstream.stream_names().try_collect().await.unwrap()
    }

    /// Runs it, and reads what it measured; nothing may be left of it.
    async fn measures(&self, arguments: &[&str]) -> Value {
        let mut command = bench(&self.server.url, arguments);
        let output = within(command.arg("--json").output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(self.streams().await, [""; 0]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let version = &told["measured"]["machine"]["nats_server"];
        assert_eq!(*version, self.broker.client.server_info().version);
        told["measured"].clone()
    }
}

fn bench(server: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jetiter"));
    command
        .env_clear()
        .current_dir(std::env::temp_dir())
        .args(["--server", server, "bench"])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

#[track_caller]
fn is_above_zero(value: &Value) {
    assert!(value.as_f64().is_some_and(|number| number > 0.0), "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_measures_both_and_leaves_nothing() {
    let alone = Alone::start().await;
    let measured = alone.measures(&["--items", "200", "--rounds", "2"]).await;
    assert_eq!((&measured["items"], &measured["rounds"]), (&200.into(), &2.into()));
    for spread in ["bare", "bare_submit", "engine"] {
        for which in ["best", "median", "worst"] {
            is_above_zero(&measured[spread][which]);
        }
    }
    for phase in ["submit", "execute", "collate", "purge"] {
        is_above_zero(&measured[phase]["rate"]["median"]);
        is_above_zero(&measured[phase]["part"]);
    }
    is_above_zero(&measured["round_trip_us"]["median"]);
    let rate = |who: &str| measured[who]["median"].as_f64().unwrap();
    let ratio = measured["ratio_of_medians"].as_f64().unwrap();
    assert!((ratio - rate("engine") / rate("bare")).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_share_a_function_that_costs() {
    let alone = Alone::start().await;
    let options = ["--items", "50", "--rounds", "1", "--workers", "2", "--concurrency", "3"];
    let cost = ["--sleep", "1ms", "--spin", "100us", "--payload", "1000"];
    let measured = alone.measures(&[&options[..], &cost[..]].concat()).await;
    is_above_zero(&measured["ratio_of_bests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_compared_with_one_argument_a_message() {
    let alone = Alone::start().await;
    let arguments = ["chunk", "--items", "300", "--rounds", "1", "--chunk", "100"];
    let measured = alone.measures(&arguments).await;
    assert_eq!(measured["chunk"], "100");
    is_above_zero(&measured["single"]["engine"]["median"]);
    is_above_zero(&measured["chunked"]["execute"]["rate"]["median"]);
    is_above_zero(&measured["ratio_of_medians"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_is_told_in_round_trips() {
    let alone = Alone::start().await;
    let measured = alone.measures(&["latency", "--rounds", "3"]).await;
    assert_eq!(measured["items"], 1);
    is_above_zero(&measured["group_us"]["p90"]);
    is_above_zero(&measured["in_round_trips"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn growth_goes_by_tens_and_draws_a_chart() {
    let alone = Alone::start().await;
    let dir = tempfile::tempdir().unwrap();
    let chart = dir.path().join("growth.svg");
    let chart_flag = format!("--chart={}", chart.display());
    let arguments = ["growth", "--to", "100", "--rounds", "1", &chart_flag];
    let measured = alone.measures(&arguments).await;
    let items: Vec<_> = measured["steps"].as_array().unwrap().iter().map(|s| &s["items"]).collect();
    assert_eq!(items, [1, 10, 100]);
    for step in measured["steps"].as_array().unwrap() {
        is_above_zero(&step["rate"]);
        is_above_zero(&step["collator_bytes"]);
        is_above_zero(&step["submitter_bytes"]);
    }
    let chart = std::fs::read_to_string(chart).unwrap();
    assert!(chart.starts_with("<svg") && chart.trim_end().ends_with("</svg>"), "{chart}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_compares_numbers_of_workers() {
    let alone = Alone::start().await;
    let arguments = ["scale", "--workers", "1,2", "--items", "20", "--rounds", "1"];
    let measured = alone.measures(&arguments).await;
    assert_eq!(measured["steps"][0]["times"], 1.0);
    assert_eq!(measured["steps"][1]["workers"], 2);
    is_above_zero(&measured["steps"][1]["times"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fairness_compares_a_group_alone_and_behind_another() {
    let alone = Alone::start().await;
    let measured = alone.measures(&["fairness", "--giant", "500", "--rounds", "2"]).await;
    assert_eq!((&measured["items"], &measured["giant"]), (&10.into(), &500.into()));
    is_above_zero(&measured["samples"]);
    is_above_zero(&measured["ratio"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_by_name() {
    for (arguments, named) in [
        (&["--items", "0"][..], "--items"),
        (&["--rounds", "0"], "--rounds"),
        (&["--payload", "0"], "--payload"),
        (&["--sleep", "1"], "--sleep"),
        (&["--sleep", "2m"], "--sleep"),
        (&["--workers", "0"], "--workers"),
        (&["--replicas", "9"], "--replicas"),
        (&["--chunk", "0"], "--chunk"),
        (&["growth", "--from", "10", "--to", "1"], "--from"),
        (&["fairness", "--giant", "0"], "--giant"),
        (&["--namespace", "jetiter"], "--namespace"),
    ] {
        let alone = crate::harness::server();
        let output = within(bench(&alone.url, arguments).output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_benchmark_that_is_interrupted_removes_its_streams() {
    let alone = Alone::start().await;
    let mut child = bench(&alone.server.url, &["--items", "100000000"]).spawn().unwrap();
    // Both namespaces of the loop.
    eventually("it runs", async || alone.streams().await.len() == 8).await;
    assert!(running_at(&alone.server.url) > 1);
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::INT).unwrap();
    let status = within(child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(alone.streams().await, [""; 0]);
    let gone = async || running_at(&alone.server.url) == 0;
    eventually("its processes are gone", gone).await;
}

/// How many processes were told of this server.
fn running_at(server: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let told = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    told.filter(|line| line.contains(server)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_starts_one_and_leaves_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("nats://127.0.0.1:{port}");
    let mut command = bench(&url, &["--items", "50", "--rounds", "1"]);
    command.env("JETITER_NATS_SERVER", server_binary()).env("TMPDIR", dir.path());
    // The server is kept by a shell.
    command.env("PATH", "/usr/bin:/bin");
    let output = within(command.output()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("engine / bare loop"), "{told}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
