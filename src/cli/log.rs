//! The log, on standard error.

use jetiter_config::settings::{LogFormat, Settings};
use tracing_subscriber::EnvFilter;

use super::exit::Failure;

/// For commands that do one thing and end.
pub(crate) const QUIET: &str = "warn";
/// For commands that run until they are told to stop.
pub(crate) const SERVICE: &str = "info,async_nats=warn";

/// Sets up the log; once a process.
pub(crate) fn init(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| Failure::new(format!("log = {:?} is no filter: {error}", settings.log)))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        // It would report a closed standard error on standard error, and panic.
        .log_internal_errors(false);
    let set = match settings.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    set.map_err(|error| Failure::new(error.to_string()))
}
