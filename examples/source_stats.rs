//! A real job: maps `source.stats` over the Rust sources that cargo keeps on this machine, computes
//! the same in a plain loop, and compares. Ends with 1 when anything differs.
//!
//! ```text
//! jetiter up &
//! jetiter init --queue sources
//! cargo run --release --example source_worker &
//! cargo run --release --example source_stats
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to a person")]

#[path = "source/files.rs"]
mod files;
mod source;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use jetiter::{Client, Fetched, ItemId, Options, Settings};
use source::Stats;

/// Map source.stats over many Rust source files and check the result
#[derive(Parser)]
struct Args {
    /// The most files to take
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    limit: usize,
    /// A directory that holds one directory a crate [default: those of the local cargo registry]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the group and the loop came to the same.
async fn run(args: Args) -> Result<bool, Box<dyn Error>> {
    let (files, searched) = files::find(args.root, args.limit)?;
    println!("{} files under {}\n", commas(files.len()), searched.display());

    // The job itself: these lines are all that a program needs.
    let client = Client::connect(&Settings::load(&Settings::figment(None))?).await?;
    let options = Options::new()
        .queue("sources".parse()?)
        .label("sources of the local cargo registry")
        .cached(Duration::from_secs(3600));
    let began = Instant::now();
    let group = client.async_iter("source.stats", &files, &options).await?;
    let submitted = began.elapsed();
    let fetched = client
        .fetch::<Stats>(&group, Duration::from_secs(600))
        .await?
        .ok_or("not finished after ten minutes: does a source_worker run, and a collator?")?;
    let mapped = began.elapsed();

    let began = Instant::now();
    let loop_values: Vec<_> = files.into_iter().map(source::stats).collect();
    let looped = began.elapsed();

    let items = loop_values.len();
    let by_worker = by_worker(&fetched);
    let (equal, faults) = compare(fetched, &loop_values);
    report(loop_values.iter().flatten());
    println!("\n  submitted in {:.2} s", submitted.as_secs_f64());
    let workers = format!("workers: {} ({})", by_worker.len(), by_worker.join(" + "));
    println!("  mapped    {}  {workers}", rate(items, mapped));
    println!("  the loop  {}  one thread, on files just read before", rate(items, looped));
    for fault in faults.iter().take(5) {
        println!("  DIFFERENT {fault}");
    }
    println!("\nchecked: {} of {} equal", commas(equal), commas(items));
    Ok(faults.is_empty())
}

/// How many items are equal, and all that is not as it should be, a line each.
fn compare(fetched: Fetched<Stats>, loop_values: &[Result<Stats, String>]) -> (usize, Vec<String>) {
    let (items, summary) = (loop_values.len(), &fetched.summary);
    let counts = [summary.ok, summary.len(), summary.total.unwrap_or(0).into()];
    let records = fetched.records.iter().filter(|record| record.ok).count();
    let (mut equal, mut faults) = (0, Vec::new());
    if counts != [items as u64; 3] || [records, fetched.records.len()] != [items; 2] {
        faults.push(format!("ok, all and total are {counts:?}, {records} records ok, not {items}"));
    }
    // The list is in completion order; by its records it comes into the order of the arguments.
    let mut mapped: BTreeMap<ItemId, _> = BTreeMap::new();
    for (id, value) in fetched.into_ordered() {
        if mapped.insert(id, value).is_some() {
            faults.push(format!("item {id} is there twice"));
        }
    }
    for (index, expected) in (0..).zip(loop_values) {
        match (mapped.remove(&ItemId::Index(index)), expected) {
            (Some(Ok(value)), Ok(expected)) if value == *expected => equal += 1,
            (value, _) => faults.push(format!("item {index} is {value:?}, not {expected:?}")),
        }
    }
    faults.extend(mapped.keys().map(|id| format!("item {id} was never submitted")));
    (equal, faults)
}

/// How many items each worker ran.
fn by_worker(fetched: &Fetched<Stats>) -> Vec<String> {
    let mut items = BTreeMap::<&str, usize>::new();
    for record in &fetched.records {
        *items.entry(&record.worker).or_default() += 1;
    }
    items.into_values().map(commas).collect()
}

fn report<'a>(all: impl Iterator<Item = &'a Stats>) {
    let mut crates = BTreeMap::<&str, [u64; 5]>::new();
    let (mut blank, mut longest) = (0, 0);
    for stats in all {
        let name = stats.path.split('/').next().unwrap_or_default();
        let sums = crates.entry(name).or_default();
        let of_file = [1, stats.bytes, stats.lines, stats.functions, stats.unsafes];
        sums.iter_mut().zip(of_file).for_each(|(sum, n)| *sum += n);
        blank += stats.blank_lines;
        longest = longest.max(stats.longest_line);
    }
    let mut rows: Vec<_> = crates.into_iter().collect();
    rows.sort_by_key(|(_, sums)| std::cmp::Reverse(sums[2]));
    let total = rows.iter().fold([0; 5], |mut total, (_, sums)| {
        total.iter_mut().zip(sums).for_each(|(sum, n)| *sum += n);
        total
    });
    let heading = ["files", "bytes", "lines", "`fn `", "`unsafe `"].map(str::to_owned);
    row("largest crates", heading);
    for (name, sums) in rows.iter().take(5) {
        row(name, sums.map(|n| commas(n as usize)));
    }
    row(&format!("all {}", rows.len()), total.map(|n| commas(n as usize)));
    let blank = 100 * blank / total[2].max(1);
    println!(
        "  {blank} % of the lines are blank; the longest has {} bytes",
        commas(longest as usize)
    );
}

fn row(name: &str, cells: [String; 5]) {
    let name: String = name.chars().take(30).collect();
    let [files, bytes, lines, functions, unsafes] = cells;
    println!("  {name:<30} {files:>7} {bytes:>13} {lines:>11} {functions:>9} {unsafes:>9}");
}

fn rate(items: usize, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let rate = commas((items as f64 / seconds.max(1e-9)) as usize);
    format!("{} items in {seconds:5.2} s, {rate:>7} a second", commas(items))
}

/// 1234567 as 1,234,567.
fn commas(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b',')).into_owned()
}
