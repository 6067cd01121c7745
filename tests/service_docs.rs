//! docs/service.md, word for word: its commands are run by a shell, and what they print holds the
//! lines that stand there.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{Server, eventually, server_binary, skip, within};

const PAGE: &str = include_str!("../docs/service.md");

/// The directory of the nats command line client.
fn nats() -> Result<PathBuf, String> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tools/nats");
    let output = std::process::Command::new(script).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(PathBuf::from(text(&output.stdout)).parent().unwrap().to_owned()),
        false => Err(text(&output.stderr)),
    }
}

/// The commands of the page, each with the lines below it.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let blocks = PAGE.split("```console\n").skip(1);
    for line in blocks.flat_map(|block| block.split("```").next().unwrap().lines()) {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), Vec::new())),
            None => commands.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    commands
}

/// Without the times, which differ, and the widths of a table's columns.
fn plain(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !c.is_ascii_digit()).map(|word| {
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_time = digits.len() == 13;
        if is_time { word.replacen(digits, "<time>", 1) } else { word.to_owned() }
    });
    words.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_service_is_true_word_for_word() {
    let nats = match tokio::task::spawn_blocking(nats).await.unwrap() {
        Ok(nats) => nats,
        Err(why) => return skip("docs/service.md", &why),
    };
    let server = Server::start(&["-js"]);
    let home = tempfile::tempdir().unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_jetiter"));
    up.env_clear().current_dir(home.path()).args(["--server", &server.url, "up"]);
    up.args(["--nats-server", &server_binary()]).stderr(Stdio::null()).kill_on_drop(true);
    let _up = up.spawn().unwrap();
    let run = async |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{command} 2>&1")]).current_dir(home.path());
        shell.env_clear().env("HOME", home.path()).env("NATS_URL", &server.url);
        shell.env("PATH", format!("{}:/usr/bin:/bin", nats.display()));
        let output = within(shell.output()).await.unwrap();
        plain(&String::from_utf8(output.stdout).unwrap())
    };
    let ready =
        async || run("nats req --raw jetiter.api.functions ''").await.contains("math.floor");
    eventually("it is up", ready).await;
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for (command, lines) in commands {
        let printed = run(&command).await;
        for line in lines {
            assert!(printed.contains(&plain(&line)), "{command}\n{line}\nis not in\n{printed}");
        }
    }
}
