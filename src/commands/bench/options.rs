//! What all measurements can be asked for, and the function that is mapped.

use std::time::Duration;

use clap::value_parser;
use jetiter_client::Chunk;
use jetiter_config::settings::Settings;
use serde::Serialize;

use super::super::map;
use super::figures::whole;
use crate::cli::Failure;

/// The longest argument in the benchmark's hands: the server's usual limit, without its headers.
const MOST_PAYLOAD: u64 = 1_000_000;

#[derive(clap::Args)]
#[command(next_help_heading = "Benchmark")]
pub(super) struct Options {
    /// Items of a group
    #[arg(long, global = true, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(super) items: Option<u32>,
    /// How often it is measured
    #[arg(long, global = true, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(super) rounds: Option<u32>,
    /// Bytes of each argument, a text that is returned as it is; without it the function is
    /// math.floor
    #[arg(long, global = true, value_name = "BYTES",
        value_parser = value_parser!(u64).range(1..=MOST_PAYLOAD))]
    pub(super) payload: Option<u64>,
    /// How long the function sleeps, e.g. 1ms
    #[arg(long, global = true, value_name = "TIME", default_value = "0s",
        value_parser = humantime::parse_duration)]
    pub(super) sleep: Duration,
    /// How long it computes
    #[arg(long, global = true, value_name = "TIME", default_value = "0s",
        value_parser = humantime::parse_duration)]
    pub(super) spin: Duration,
    /// Workers, a process each
    #[arg(long, global = true, value_name = "N", value_delimiter = ',',
        value_parser = value_parser!(u32).range(1..=256))]
    pub(super) workers: Vec<u32>,
    /// Items each worker runs at once; 0 for four times the processors
    #[arg(long, global = true, value_name = "N")]
    pub(super) concurrency: Option<usize>,
    /// Arguments in one message of the engine, or `auto`
    #[arg(long, global = true, value_name = "N", value_parser = Chunked::parse)]
    pub(super) chunk: Option<Chunked>,
    /// How many servers keep each asset
    #[arg(long, global = true, value_name = "N", value_parser = value_parser!(u64).range(1..=5))]
    pub(super) replicas: Option<u64>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Leave the streams, and the data of a server of its own, for a look at them
    #[arg(long, global = true)]
    pub(super) keep: bool,
}

impl Options {
    pub(super) fn check(&self) -> Result<(), Failure> {
        let longest = Duration::from_secs(60);
        for (name, time) in [("sleep", self.sleep), ("spin", self.spin)] {
            if time > longest {
                return Err(Failure::new(format!("--{name} {time:?} is more than {longest:?}")));
            }
        }
        Ok(())
    }

    /// The settings of the assets and of the parts that run in this process.
    pub(super) fn settings(&self, mut settings: Settings) -> Settings {
        settings.assets.queues = vec![super::stage::QUEUE.to_owned()];
        if let Some(replicas) = self.replicas {
            settings.assets.replicas = replicas as usize;
        }
        settings
    }

    /// How many workers, where one number is wanted.
    pub(super) fn one_number_of_workers(&self) -> Result<u32, Failure> {
        match self.workers[..] {
            [] => Ok(1),
            [one] => Ok(one),
            _ => Err(Failure::new("--workers: only `jetiter bench scale` takes several numbers")),
        }
    }

    /// Items each worker runs at once, with the default spelled out.
    pub(super) fn slots(&self) -> usize {
        let concurrency = self.concurrency.unwrap_or_default();
        jetiter_config::settings::Worker { concurrency, ..Default::default() }.slots()
    }

    /// What was asked for, for people.
    pub(super) fn described(&self, work: &Work, items: u32, rounds: u32) -> String {
        let work = work.described();
        let workers = self.workers.first().copied().unwrap_or(1);
        let (items, slots) = (whole(f64::from(items)), self.slots());
        format!("{items} items of {work}; {workers} worker(s) of {slots} slots; {rounds} rounds")
    }

    /// The same for programs.
    pub(super) fn shown(&self, work: &Work) -> serde_json::Value {
        serde_json::json!({
            "work": work.shown(),
            "workers": self.workers.first().copied().unwrap_or(1),
            "concurrency": self.slots(),
            "replicas": self.replicas,
        })
    }

    pub(super) fn work(&self) -> Work {
        Work {
            payload: self.payload.map(|bytes| "x".repeat(bytes as usize)),
            sleep_us: self.sleep.as_micros() as u64,
            spin_us: self.spin.as_micros() as u64,
            chunk: self.chunk.clone(),
        }
    }
}

/// How many arguments one message carries, and how that was said.
#[derive(Clone, Debug)]
pub(super) struct Chunked {
    pub(super) said: String,
    chunk: Chunk,
}

impl Chunked {
    pub(super) fn of(count: u32) -> Chunked {
        Chunked { said: count.to_string(), chunk: Chunk::of(count) }
    }

    fn parse(text: &str) -> Result<Chunked, String> {
        map::chunk(text).map(|chunk| Chunked { said: text.to_owned(), chunk })
    }
}

/// The function that is mapped, and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Work {
    payload: Option<String>,
    sleep_us: u64,
    spin_us: u64,
    chunk: Option<Chunked>,
}

/// An argument of one of the functions.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Argument<'a> {
    Number(f64),
    Text(&'a str),
    Cost(&'a str, u64, u64),
}

impl Work {
    /// A function that costs nothing but its call.
    pub(super) fn trivial() -> Work {
        Work { payload: None, sleep_us: 0, spin_us: 0, chunk: None }
    }

    /// A function that takes its time without the processor.
    pub(super) fn sleeping(sleep: Duration) -> Work {
        Work { sleep_us: sleep.as_micros() as u64, ..Work::trivial() }
    }

    /// The same in chunks.
    pub(super) fn chunked(self, chunk: Option<Chunked>) -> Work {
        Work { chunk, ..self }
    }

    /// How the client is to submit it.
    pub(super) fn to_submit(&self) -> jetiter_client::Options {
        let options = jetiter_client::Options::new();
        match &self.chunk {
            Some(chunked) => options.chunk(chunked.chunk),
            None => options,
        }
    }

    pub(super) fn function(&self) -> &'static str {
        match (&self.payload, self.costs()) {
            (_, true) => "test.cost",
            (Some(_), false) => "test.echo",
            (None, false) => "math.floor",
        }
    }

    /// Whether its function is one that every worker serves.
    pub(super) fn is_stock(&self) -> bool {
        self.payload.is_none() && !self.costs()
    }

    pub(super) fn costs(&self) -> bool {
        self.sleep_us > 0 || self.spin_us > 0
    }

    /// How long one call takes at least.
    pub(super) fn takes(&self) -> Duration {
        Duration::from_micros(self.sleep_us + self.spin_us)
    }

    /// Its cost, for people.
    pub(super) fn described(&self) -> String {
        let mut text = self.function().to_owned();
        for (name, time) in [("sleep", self.sleep_us), ("spin", self.spin_us)] {
            if time > 0 {
                let time = humantime::format_duration(Duration::from_micros(time));
                text = format!("{text}, {name} {time}");
            }
        }
        if let Some(payload) = &self.payload {
            text = format!("{text}, {} bytes each", payload.len());
        }
        match &self.chunk {
            Some(chunk) => format!("{text}, in chunks of {}", chunk.said),
            None => text,
        }
    }

    /// The same for programs.
    pub(super) fn shown(&self) -> serde_json::Value {
        serde_json::json!({
            "function": self.function(),
            "payload": self.payload.as_ref().map(String::len),
            "sleep_us": self.sleep_us,
            "spin_us": self.spin_us,
            "chunk": self.chunk.as_ref().map(|chunk| &chunk.said),
        })
    }

    pub(super) fn argument(&self, index: u32) -> Argument<'_> {
        let text = self.payload.as_deref();
        match self.costs() {
            true => Argument::Cost(text.unwrap_or_default(), self.sleep_us, self.spin_us),
            false => text.map_or(Argument::Number(f64::from(index) + 0.5), Argument::Text),
        }
    }

    /// The same cost as flags of a bare worker.
    pub(super) fn flags(&self) -> [String; 3] {
        let bytes = self.payload.as_ref().map_or(0, String::len);
        [
            format!("--sleep-us={}", self.sleep_us),
            format!("--spin-us={}", self.spin_us),
            format!("--payload={bytes}"),
        ]
    }
}
