//! The page for people with the nats command line client, run as the session that it is.

use std::process::Stdio;

use jetiter::Settings;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::program::{Language, root, tool};
use crate::harness::{Engine, Server, eventually, within};
use crate::processes::Process;

/// A line that no program of the page prints.
const END: &str = "--- the command has ended:";

/// A command of the page, and what it shows behind it.
#[derive(Debug)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps in the page's `console` blocks.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line.starts_with("```"), line.strip_prefix("$ ")) {
            (true, _) => inside = line == "```console",
            (false, Some(command)) if inside => {
                steps.push(Step { command: command.to_owned(), shown: Vec::new() });
            }
            (false, None) if inside => steps.last_mut().unwrap().shown.push(line.to_owned()),
            _ => {}
        }
    }
    steps
}

/// Whether a line is what the page shows; `...` stands for any text.
fn line_fits(shown: &str, line: &str) -> bool {
    let mut parts = shown.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Whether lines are those that the page shows; a line `...` stands for any lines.
fn fits(shown: &[String], lines: &[String]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((any, rest)) if any == "..." => (0..=lines.len()).any(|at| fits(rest, &lines[at..])),
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, lines)| line_fits(first, line) && fits(rest, lines)),
    }
}

/// One shell, which runs one command after another.
struct Shell {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    fn start(settings: &Settings, nats: &str, dir: &std::path::Path) -> Shell {
        let folder = |program| std::path::Path::new(program).parent().unwrap().to_str().unwrap();
        let (bin, own) = (folder(nats), folder(env!("CARGO_BIN_EXE_jetiter")));
        let mut child = Command::new("bash")
            .env_clear()
            .env("NATS_URL", &settings.server)
            .env("PATH", format!("{bin}:{own}:/usr/local/bin:/usr/bin:/bin"))
            .env("HOME", dir)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Shell { input: child.stdin.take().unwrap(), output, _child: child }
    }

    /// Runs a command: whether it succeeded, and the lines that it printed.
    async fn run(&mut self, command: &str) -> (bool, Vec<String>) {
        // Some commands end without a line's end.
        let line = format!("{{ {command}\n}} 2>&1; ended=$?; echo; echo '{END}' $ended\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
        let mut lines: Vec<String> = Vec::new();
        loop {
            let line = within(self.output.next_line()).await.unwrap().expect("the shell goes on");
            if let Some(code) = line.strip_prefix(END) {
                while lines.last().is_some_and(|line| line.trim().is_empty()) {
                    lines.pop();
                }
                return (code.trim() == "0", lines);
            }
            lines.push(line.trim_end().to_owned());
        }
    }
}

/// Whether somebody on the server listens to what a command in the background names.
async fn is_listening(port: u16, subject: &str) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET /connz?subs=1 HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.contains(subject)
}

/// A server of its own, since the pages name the namespace that everybody has, with its monitoring port,
/// and an engine.
async fn engine() -> (Server, u16, Engine, [Process; 2]) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start(&["-js", "-m", &port.to_string()]);
    let engine = Engine::on(Settings { server: server.url.clone(), ..Settings::default() }).await;
    let processes = [engine.process(&["worker"]), engine.collator_process()];
    (server, port, engine, processes)
}

/// Every command of these pages ends well, but for those that build and start what is tested here.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_and_of_the_page_of_languages_do_as_they_are() {
    let Some(nats) = tool("nats", &[]) else { return };
    if Language::Python.program().is_none() {
        return;
    }
    let (_server, _port, engine, _processes) = engine().await;
    let dir = tempfile::tempdir().unwrap();
    for (page, dir, least) in [("README.md", dir.path(), 8), ("docs/languages.md", root(), 2)] {
        let shell = tokio::sync::Mutex::new(Shell::start(&engine.settings, &nats, dir));
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let mut ran = 0;
        for Step { command, .. } in steps(&text) {
            let elsewhere = ["make ", "cargo ", "export ", "jetiter up"];
            if elsewhere.iter().any(|word| command.starts_with(word)) {
                continue;
            }
            // A list is there a moment after its seal.
            let reads = command.contains("object get") || command.contains(" read ");
            let run = async || shell.lock().await.run(&command).await.0;
            let well = if reads { super::patient(run).await } else { run().await };
            assert!(well, "{page}: {command}");
            ran += 1;
        }
        assert!(ran >= least, "{page}: {ran}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_nats_cli_is_true() {
    let Some(nats) = tool("nats", &[]) else { return };
    let (_server, port, engine, _processes) = engine().await;

    let page = std::fs::read_to_string(root().join("docs/nats-cli.md")).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 25, "{steps:?}");
    let dir = tempfile::tempdir().unwrap();
    let shell = tokio::sync::Mutex::new(Shell::start(&engine.settings, &nats, dir.path()));
    for Step { command, shown } in &steps {
        let only_once = ["nats pub", "nats req", "nats object rm"];
        let only_once = only_once.iter().any(|word| command.contains(word));
        let last = std::sync::Mutex::new(Vec::new());
        let run = async || {
            let (sound, lines) = shell.lock().await.run(command).await;
            // `timeout` ends a command that would go on for ever.
            let sound = sound || command.starts_with("timeout ");
            let fits = sound && (shown.is_empty() || fits(shown, &lines));
            *last.lock().unwrap() = lines;
            fits
        };
        if only_once || shown.is_empty() {
            assert!(run().await, "{command}\n{}", last.lock().unwrap().join("\n"));
        } else if !super::patient(run).await {
            panic!(
                "{command}\nprinted\n{}\nnot\n{}",
                last.lock().unwrap().join("\n"),
                shown.join("\n")
            );
        }
        if let Some(listener) = command.strip_suffix(" &") {
            let subject = listener.split(' ').find(|word| word.contains(".event.")).unwrap();
            eventually(command, async || is_listening(port, subject).await).await;
        }
    }
}

#[test]
fn a_page_that_is_not_true_is_seen() {
    let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert!(fits(&text(&["a...c", "...", "z"]), &text(&["abbc", "x", "y", "z"])));
    assert!(fits(&text(&["...", "z"]), &text(&["z"])));
    for (shown, printed) in [("a", "ab"), ("a...c", "abd"), ("...b", "a"), ("a...b...c", "acb")] {
        assert!(!fits(&text(&[shown]), &text(&[printed])), "{shown} {printed}");
    }
    assert!(!fits(&text(&["a"]), &text(&["a", "b"])));
    assert!(!fits(&text(&["a", "...", "b"]), &text(&["a", "c"])));
}
