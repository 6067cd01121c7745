//! `jetiter map`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use jetiter_client::{Chunk, Client, Error, FOREVER, Options, Raw, Status};
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Function, GroupId, Queue};
use jetiter_config::wire::Summary;

use super::input::{Argument, Fault, Input};
use super::print::{self, What};
use super::progress::Bar;
use crate::cli::{Exit, Failure, Global, log, output, wait};

/// Map a function over arguments and print the list of its values as JSON
///
/// Each ARG is one argument, as JSON: 1.5, '"text"', '[1, -1]'. With none given, standard input
/// or --from holds one a line; blank lines are skipped. Arguments on the command line and in a
/// regular file are all checked before the first one is submitted. Standard input is submitted as
/// it comes: after a line that is not JSON the group stays unsealed, and what was submitted of it
/// ends as abandoned.
///
/// The list is in the order of completion, and a failed item is null in it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to run, e.g. math.floor
    function: Function,
    /// The arguments, each as JSON
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// File with one argument a line, as JSON; - is standard input
    #[arg(long, short, value_name = "FILE", conflicts_with = "arguments")]
    from: Option<PathBuf>,
    /// The queue whose workers run the items [default: default]
    #[arg(long, short)]
    queue: Option<Queue>,
    /// A name for people, kept with the result
    #[arg(long)]
    label: Option<String>,
    /// How long one attempt at an item may take [default: what the worker says]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// How often a failed item is tried again
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// How many arguments go in one message, to one worker: a number, or auto
    #[arg(long, value_name = "N", value_parser = chunk)]
    chunk: Option<Chunk>,
    /// How long the result is kept, at least 1s [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    cached: Option<Duration>,
    /// The subject on which the group's end is told [must begin with what collator.notify allows]
    #[arg(long, value_name = "SUBJECT")]
    notify: Option<String>,
    /// The group's id, for taking up a submission that was broken off [default: a new one]
    #[arg(long, value_name = "ID")]
    group: Option<GroupId>,
    /// How long to wait for the group's end [default: forever]
    #[arg(long, short, value_name = "TIME", value_parser = wait::parse)]
    wait: Option<Duration>,
    /// Print the group's id when all is submitted, and end
    #[arg(long, short, conflicts_with_all = ["wait", "ordered", "records"])]
    detach: bool,
    /// Print each outcome as soon as it is there, one JSON object a line: {"index":0,"value":1} or
    /// {"index":0,"error":{..}}
    #[arg(long, conflicts_with_all = ["detach", "ordered", "records"])]
    stream: bool,
    #[command(flatten)]
    what: What,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let settings = global.load(log::QUIET)?;
    let input = Input::open(&args.arguments, args.from.as_deref()).await?;
    let client = Client::connect(&settings).await?;
    if matches!(input, Input::Standard) && std::io::stdin().is_terminal() && !args.quiet {
        output::note("reading arguments, one JSON value a line; ctrl-D ends them");
    }
    let group = args.group.clone().unwrap_or_else(GroupId::random);
    let map = Map { client, group, bar: Bar::new(args.quiet), args };
    map.run(input).await
}

/// What there is to print when all is over.
enum Ended {
    Read(Raw),
    Streamed(Summary),
    Detached,
}

struct Map {
    client: Client,
    group: GroupId,
    bar: Bar,
    args: Args,
}

impl Map {
    async fn run(self, input: Input) -> Result<Exit, Failure> {
        let work = async {
            if self.args.stream {
                return self.stream(input).await.map(Ended::Streamed);
            }
            self.submit(input).await?;
            if self.args.detach {
                return Ok(Ended::Detached);
            }
            self.bar.sealed();
            let wait = self.args.wait.unwrap_or(FOREVER);
            let raw = self.client.read(&self.group, wait).await?;
            raw.map(Ended::Read).ok_or_else(|| print::not_finished(&self.group, wait))
        };
        let ended = tokio::select! {
            ended = work => ended,
            Err(failure) = self.follow() => Err(failure),
            Err(failure) = print::warnings(&self.client, &self.group) => Err(failure),
            failure = print::rejected(&self.client, &self.group) => Err(failure),
            Ok(()) = tokio::signal::ctrl_c() => Err(self.interrupted()),
        };
        self.bar.end();
        match ended? {
            Ended::Read(raw) => {
                self.check_ours(&raw.summary)?;
                print::finished(&self.client, raw, self.args.what).await
            }
            Ended::Streamed(summary) => {
                self.check_ours(&summary)?;
                Ok(print::verdict(&summary, &[]))
            }
            Ended::Detached => {
                output::line(self.group.as_str())?;
                Ok(Exit::Done)
            }
        }
    }

    /// Submits, and prints meanwhile what comes.
    async fn stream(&self, input: Input) -> Result<Summary, Failure> {
        // The outcomes of another group of this id would be printed before it is refused.
        if let Some(Status::Finished(_)) = self.client.status(&self.group).await? {
            return Err(Error::GroupExists { group: self.group.to_string() }.into());
        }
        let submitted = async {
            self.submit(input).await?;
            self.bar.sealed();
            let wait = self.args.wait.unwrap_or(FOREVER);
            // Longer than this only the reading of what was there by then may take.
            let summary = self.client.ended(&self.group, wait).await?;
            summary.ok_or_else(|| print::not_finished(&self.group, wait))
        };
        let (summary, ()) =
            tokio::try_join!(submitted, print::outcomes(&self.client, &self.group))?;
        Ok(summary)
    }

    /// Two that use one id at once can both get past the first looks; the first seal counts.
    fn check_ours(&self, summary: &Summary) -> Result<(), Failure> {
        let submitted = self.bar.submitted();
        match summary.total {
            Some(total) if u64::from(total) != submitted => Err(Failure::new(format!(
                "the group {} is somebody else's: it was sealed with {total} items, and \
                 {submitted} were submitted here; use an id of your own",
                self.group
            ))),
            _ => self.check_function(summary),
        }
    }

    fn check_function(&self, summary: &Summary) -> Result<(), Failure> {
        let ours = self.args.function.as_str();
        match &summary.function {
            Some(theirs) if theirs.as_str() != ours => Err(Failure::new(format!(
                "the group {} is somebody else's: it was sealed for {theirs}, not for {ours}; use \
                 an id of your own",
                self.group
            ))),
            _ => Ok(()),
        }
    }

    async fn submit(&self, input: Input) -> Result<(), Failure> {
        let fault: Fault = Fault::default();
        let arguments = input.arguments(fault.clone()).await?;
        let arguments = arguments.inspect(|argument| {
            if matches!(argument, Argument::Value(_)) {
                self.bar.took();
            }
        });
        let function = self.args.function.as_str();
        let options = self.options();
        let submitted = self.client.async_stream(function, arguments, &options);
        submitted.await.map(drop).map_err(|error| {
            fault.get().map_or_else(|| self.not_submitted(error), |fault| self.unsealed(fault))
        })
    }

    fn options(&self) -> Options {
        let args = &self.args;
        let mut options =
            Options::new().encoding(Encoding::Json).group(self.group.clone()).retries(args.retries);
        if let Some(queue) = &args.queue {
            options = options.queue(queue.clone());
        }
        if let Some(label) = &args.label {
            options = options.label(label);
        }
        if let Some(timeout) = args.timeout {
            options = options.timeout(timeout);
        }
        if let Some(chunk) = args.chunk {
            options = options.chunk(chunk);
        }
        if let Some(subject) = &args.notify {
            options = options.notify(subject);
        }
        if let Some(keep) = args.cached {
            options = options.cached(keep);
        }
        options
    }

    /// Shows the progress, where somebody looks; ends only with an error.
    async fn follow(&self) -> Result<std::convert::Infallible, Failure> {
        if self.bar.is_hidden() {
            return std::future::pending().await;
        }
        let events = self.client.progress(&self.group).await?;
        Ok(self.bar.follow(events).await)
    }

    fn not_submitted(&self, error: Error) -> Failure {
        match error {
            // What broke it off is no fault of the input: the same again can finish it.
            Error::NotStored { .. } => self.unsealed(&error.to_string()),
            error => error.into(),
        }
    }

    fn unsealed(&self, fault: &str) -> Failure {
        let (group, submitted) = (&self.group, self.bar.submitted());
        Failure::new(format!(
            "{fault}. Up to {submitted} items before it were submitted; the group {group} is not \
             sealed and ends as abandoned, unless the same arguments, mended, are mapped with \
             --group {group}"
        ))
    }

    fn interrupted(&self) -> Failure {
        let group = &self.group;
        let text = match self.bar.is_sealed() {
            true => format!(
                "the group {group} goes on without us: `jetiter result {group} --wait forever` \
                 prints its list"
            ),
            false => format!(
                "broken off after {} items: the group {group} is not sealed and ends as \
                 abandoned, unless the same arguments are mapped with --group {group}",
                self.bar.submitted()
            ),
        };
        Failure::with(Exit::Interrupted, text)
    }
}

/// A number of arguments, or `auto`.
pub(crate) fn chunk(text: &str) -> Result<Chunk, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Chunk::auto()),
        Ok(count) if (1..=Chunk::MAX).contains(&count) => Ok(Chunk::of(count)),
        _ => Err(format!("use a number from 1 to {}, or auto", Chunk::MAX)),
    }
}
