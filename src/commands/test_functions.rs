//! `test.*`: functions that misbehave in every way that an engine must survive.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jetiter_worker::{Context, Functions};
use serde::Deserialize;
use serde_json::Value;

/// How often a function looks whether it may end.
const POLL: Duration = Duration::from_millis(5);

/// The argument of `test.fail`.
#[derive(Deserialize)]
struct Fail {
    message: String,
}

/// Served by `jetiter worker --test-functions`.
pub(super) fn functions() -> Functions {
    Functions::new()
        .function("test.echo", |value: Value| value)
        .try_function("test.fail", |fail: Fail| Err::<(), _>(fail.message))
        .try_function("test.fail_times", fail_times)
        .function("test.panic", |message: String| -> () { panic!("{message}") })
        .function("test.sleep_ms", async |millis: u64| {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            millis
        })
        .blocking("test.block_ms", block)
        .function("test.spin_ms", spin)
        .function("test.cost", cost)
        .function("test.abort", |_: Value| -> () { std::process::abort() })
        .try_blocking("test.append", append)
        .try_blocking("test.until_told", until_told)
        .try_blocking("test.poison", poison)
        .try_function("test.await_lines", await_lines)
        .try_blocking("test.block_lines", block_lines)
        .blocking("test.allocate", allocate)
        .function("test.bytes", |bytes: usize| "x".repeat(bytes))
}

/// Adds a line to a file and returns it: afterwards the file says how often each item was run.
fn append((path, line): (PathBuf, String)) -> io::Result<String> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    // One write of a short line to a file opened for appending is whole, whoever else writes.
    file.write_all(format!("{line}\n").as_bytes())?;
    Ok(line)
}

/// As `append`, and a line that is no number ends the process.
fn poison(argument: (PathBuf, String)) -> io::Result<String> {
    let line = append(argument)?;
    match line.parse::<u64>() {
        Ok(_) => Ok(line),
        Err(_) => std::process::abort(),
    }
}

/// Adds a line to a file, waits until it is told to stop, and adds another.
#[allow(clippy::disallowed_methods, reason = "a blocking function looks now and then")]
fn until_told((path, line): (PathBuf, String), context: Context) -> io::Result<String> {
    append((path.clone(), line))?;
    while !context.stop.is_cancelled() {
        std::thread::sleep(POLL);
    }
    append((path, "told".to_owned()))
}

/// Adds a line to a file, then waits until the file has so many lines: whoever counts the lines
/// knows that it runs, and adds one to let it end.
async fn await_lines((path, line, lines): (PathBuf, String, usize)) -> io::Result<String> {
    let line = append((path.clone(), line))?;
    while std::fs::read_to_string(&path)?.lines().count() < lines {
        tokio::time::sleep(POLL).await;
    }
    Ok(line)
}

/// As `await_lines`, without letting go of its thread.
#[allow(clippy::disallowed_methods, reason = "it is there to block its thread")]
fn block_lines((path, line, lines): (PathBuf, String, usize)) -> io::Result<String> {
    let line = append((path.clone(), line))?;
    while std::fs::read_to_string(&path)?.lines().count() < lines {
        std::thread::sleep(POLL);
    }
    Ok(line)
}

/// Allocates and touches so many MiB; without a number it goes on until the process ends.
fn allocate(mib: Option<u64>) -> Option<u64> {
    let mut held = Vec::new();
    while mib.is_none_or(|mib| (held.len() as u64) < mib) {
        held.push(vec![1u8; 1 << 20]);
    }
    std::hint::black_box(&held);
    mib
}

/// Fails the first so many attempts, then returns the attempt's number.
fn fail_times(times: u32, context: Context) -> Result<u32, String> {
    let attempt = context.item.attempt;
    match attempt > times {
        true => Ok(attempt),
        false => Err(format!("attempt {attempt} of {times} that fail")),
    }
}

#[allow(clippy::disallowed_methods, reason = "it is there to block its thread")]
fn block(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// Sleeps, then computes, each for so many microseconds, and returns the text.
async fn cost((text, sleep_us, spin_us): (String, u64, u64)) -> String {
    if sleep_us > 0 {
        tokio::time::sleep(Duration::from_micros(sleep_us)).await;
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_micros(spin_us) {
        std::hint::spin_loop();
    }
    text
}

/// Computes without a pause, on the runtime's own thread.
fn spin(millis: u64) -> u64 {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(millis) {
        std::hint::spin_loop();
    }
    millis
}
