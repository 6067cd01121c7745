//! Chaos: a seeded run in which everything dies, freezes and comes back while many groups of known
//! content are on their way; then every item is accounted for. `make chaos` runs it.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, unreachable_pub)]

#[allow(dead_code)]
#[path = "../harness.rs"]
mod harness;
#[allow(dead_code)]
#[path = "../nodes.rs"]
mod nodes;
#[allow(dead_code)]
#[path = "../processes.rs"]
mod processes;
#[allow(dead_code)]
#[path = "../proxy.rs"]
mod proxy;

/// The figures at the end.
mod account;
/// The command line.
mod args;
/// What must be true at the end.
mod audit;
/// What a result must be.
mod check;
/// Groups of known content.
mod group;
/// Submitters and readers.
mod load;
/// What happens when, by the seed.
mod plan;
/// Workers and collators.
mod players;
/// nats-servers.
mod servers;
/// What all share.
mod stage;
/// Groups that are submitted in special ways.
mod ways;

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::time::{Instant, sleep, timeout_at};

use account::Account;
use args::{Args, NAME};
use audit::audit;
use load::Submitter;
use nodes::Nodes;
use players::{Kind, Player};
use stage::Stage;

const WORKERS: usize = 3;
const COLLATORS: usize = 2;
const SUBMITTERS: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let wanted = u32::from(args.is_wanted());
    if args.lists() {
        (0..wanted).for_each(|_| println!("{NAME}: test"));
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    println!("\nrunning {wanted} test{}", if wanted == 1 { "" } else { "s" });
    let mut failed = 0;
    if wanted == 1 {
        for seed in args.seed..args.seed + args.runs {
            failed |= u32::from(!run(&args, seed).await);
        }
        println!("test {NAME} ... {}", if failed == 0 { "ok" } else { "FAILED" });
    }
    // As every test program ends: who reads the end of `cargo test` finds this one counted.
    println!(
        "\ntest result: {}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; \
         finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        wanted - failed,
        1 - wanted,
        began.elapsed().as_secs_f64()
    );
    ExitCode::from(failed as u8)
}

/// One run; says whether all was right.
async fn run(args: &Args, seed: u64) -> bool {
    let what = format!("chaos: seed {seed}, {} s, nodes: {}", args.seconds, args.nodes);
    println!("{what}");
    let nodes = Nodes::with(args.nodes, "").await;
    let dir = tempfile::Builder::new().prefix("jetiter-chaos-").tempdir().unwrap();
    let stage = Arc::new(Stage::set(seed, &nodes, dir.path()).await);
    let mut submitters = Vec::new();
    for number in 0..SUBMITTERS {
        submitters.push(Submitter::start(&stage, number).await);
    }
    let players = (0..WORKERS).map(|number| Player::start(&stage, Kind::Worker, number));
    let collators = (0..COLLATORS).map(|number| Player::start(&stage, Kind::Collator, number));
    let players: Vec<_> = players.chain(collators).map(|p| tokio::spawn(p.run())).collect();
    let submitters: Vec<_> = submitters.into_iter().map(|s| tokio::spawn(s.run())).collect();
    let (mut nodes, ()) = tokio::join!(servers::run(nodes, stage.clone()), async {
        sleep(Duration::from_secs(args.seconds)).await;
        stage.peace.cancel();
    });
    let peace = Instant::now();
    let deadline = peace + Duration::from_secs(args.settle);
    for mut submitter in submitters {
        if timeout_at(deadline, &mut submitter).await.map(Result::unwrap).is_err() {
            stage.journal.wrong("a submitter does not end; its last group is among the unfinished");
            submitter.abort();
        }
    }
    let mut account = audit(args, &stage, peace, deadline).await;
    stage.end.cancel();
    for player in players {
        player.await.unwrap();
    }
    account.wrong = stage.journal.wrongs();
    println!("{account}{what}");
    let right = tell(args, &account);
    if !right || args.keep {
        println!("the logs: {}, the servers: {}", dir.keep().display(), nodes.keep().display());
    }
    right
}

/// Says whether all was right.
fn tell(args: &Args, account: &Account) -> bool {
    for problem in account.wrong.iter().take(50) {
        println!("WRONG: {problem}");
    }
    if let Some(path) = &args.json {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{}", serde_json::to_string(account).unwrap()).unwrap();
    }
    account.wrong.is_empty()
}
