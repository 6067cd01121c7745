//! The worker's and the collator's errors.

use std::time::Duration;

/// What can go wrong before or around the running of items. That an item fails is no error of
/// the engine: it is an outcome.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A function's name is malformed.
    #[error(
        "the function name {name:?} is malformed: use tokens of letters, digits, '_' or '-', \
         joined by dots, 128 bytes in all"
    )]
    BadName {
        /// The name as given.
        name: String,
    },
    /// Two functions have one name.
    #[error("the function {name} is given twice: rename one of them")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// A function was given as one that returns its value, but returns a `Result`.
    #[error("the function {name} returns a Result: serve it with try_function or try_blocking")]
    ReturnsResult {
        /// The name.
        name: String,
    },
    /// The program of a command is not there.
    #[error(
        "there is no program {program:?} to serve the function {function}: install it, or mend \
         functions.{function:?}.command (a program that is not on the PATH is named by its path)"
    )]
    NoProgram {
        /// The function's name.
        function: String,
        /// The program, as it is named.
        program: String,
    },
    /// The working directory of a command is not there.
    #[error(
        "there is no directory {directory:?} to run the function {function} in: make it, or mend \
         functions.{function:?}.cwd"
    )]
    NoDirectory {
        /// The function's name.
        function: String,
        /// The directory, as it is named.
        directory: String,
    },
    /// The server, or its storage, was out of use for longer than the settings allow. Nothing is
    /// lost: what was in hand goes to whoever works next.
    #[error("gave up after {}, {what}: {reason}", humantime::format_duration(Duration::from_secs(waited.as_secs())))]
    GaveUp {
        /// What was tried.
        what: String,
        /// For how long.
        waited: Duration,
        /// What the last try met.
        reason: String,
    },
    /// The system gives no thread.
    #[error("no thread can be had: {0}")]
    Thread(String),
    /// The settings, the connection or the assets.
    #[error(transparent)]
    Config(#[from] jetiter_config::Error),
}
