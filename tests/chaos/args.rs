//! The arguments: the run's own, and those that cargo test hands to every test program.

use std::path::PathBuf;

use clap::Parser;

/// The name under which this program is one test among others.
pub const NAME: &str = "chaos";

/// Kills, freezes and restarts workers, collators and nats-servers at random while many groups of
/// known content are on their way, then accounts for every item
///
/// The plan of faults and the groups follow from the seed. When exactly a fault meets which item
/// does not: a seed that failed may have to be run a few times to fail again.
#[derive(Parser, Clone)]
#[command(name = NAME)]
pub struct Args {
    /// How long the faults last; the quiet time after them is not counted
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How many nats-servers there are: with 3 every asset has three replicas, and at most one
    /// server is down at a time
    #[arg(long, default_value_t = 1, value_parser = parse_nodes)]
    pub nodes: usize,
    /// What the plan and the groups follow from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// So many runs one after the other, each with the next seed
    #[arg(long, default_value_t = 1)]
    pub runs: u64,
    /// Most seconds until all groups are finished, when the faults are over
    #[arg(long, default_value_t = 120)]
    pub settle: u64,
    /// File that gets one line of JSON a run: its account
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Keep the logs of a run that went well, too
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    test: Test,
}

/// What `cargo test -- ...` may say to all test programs at once.
#[derive(clap::Args, Clone)]
struct Test {
    #[arg(hide = true)]
    filters: Vec<String>,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, visible_alias = "no-capture", hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
}

impl Args {
    /// Only the names of the tests are wanted.
    pub fn lists(&self) -> bool {
        self.test.list
    }

    /// Whether the filters let this test through.
    pub fn is_wanted(&self) -> bool {
        let test = &self.test;
        let matches = |filter: &String| match test.exact {
            true => filter == NAME,
            false => NAME.contains(filter.as_str()),
        };
        let named = test.filters.is_empty() || test.filters.iter().any(matches);
        named && !test.skip.iter().any(matches) && !test.ignored
    }
}

fn parse_nodes(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("use 1 or 3".to_owned()),
    }
}
