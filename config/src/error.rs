//! What can go wrong before or while client and worker agree; each message names the mend.

use std::path::PathBuf;

/// The error of this crate. A user's function that fails is no error here but an outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting has a value that can't be used.
    #[error("{key} {problem}, got {value} (from {origin})")]
    Setting {
        /// The dotted key, as in the file.
        key: String,
        /// What is wrong with it, or what it must be.
        problem: String,
        /// The value as it was given; `[hidden]` for a secret.
        value: String,
        /// Where the value was given.
        origin: String,
    },
    /// A key that is not a setting.
    #[error("there is no setting {key} (from {origin}): {mend}")]
    UnknownSetting {
        /// The dotted key, as in the file.
        key: String,
        /// Where it was given.
        origin: String,
        /// The name that was probably meant, or the known ones.
        mend: String,
    },
    /// The settings can't be read at all: a missing or malformed file.
    #[error("the settings can't be read: {reason}")]
    Figment {
        /// What the reader said, without the lines of the file.
        reason: String,
    },
    /// A context of the nats CLI that can't be used.
    #[error("the nats context {name:?} can't be used: {reason}")]
    Context {
        /// The context's name.
        name: String,
        /// What is wrong, and the mend.
        reason: String,
    },
    /// No server answers.
    #[error(
        "no NATS server answers at {server} ({reason}): start one, e.g. `jetiter up`, \
         or name another with --server"
    )]
    Unreachable {
        /// The addresses, without user and password.
        server: String,
        /// What the attempt met.
        reason: String,
    },
    /// A server answers and does not accept the login.
    #[error(
        "the NATS server at {server} refused {login} ({reason}): give it a login it knows by \
         credentials, nkey, user and password, token or context"
    )]
    Refused {
        /// The addresses, without user and password.
        server: String,
        /// The kind of login that was tried, without its secret.
        login: String,
        /// What the server said.
        reason: String,
    },
    /// The server lacks what the engine is built on.
    #[error(
        "the NATS server at {server} is version {found}, needed is {needed} or later: \
         upgrade it, or name another with --server"
    )]
    TooOld {
        /// The addresses, without user and password.
        server: String,
        /// The version the server reports.
        found: String,
        /// The oldest version that will do.
        needed: String,
    },
    /// The server runs without JetStream, or the account may not use it.
    #[error(
        "JetStream is not enabled {place}: start nats-server with `-js`, or enable JetStream for \
         the account in the server's configuration"
    )]
    NoJetStream {
        /// Server or account.
        place: &'static str,
    },
    /// The connection can't be made private.
    #[error(
        "no TLS connection with {server} ({reason}): check tls_ca, tls_cert, tls_key and tls_first"
    )]
    Tls {
        /// The addresses, without user and password.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// A file with a login or a certificate can't be used.
    #[error("{setting} = {} can't be used: {reason}", path.display())]
    Credentials {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why, and the mend; never what the file holds.
        reason: String,
    },
    /// A malformed token: it would change the meaning of a subject.
    #[error("{value:?} can't be a {what}: {reason}")]
    Name {
        /// What the token was to name.
        what: &'static str,
        /// The token.
        value: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A stream, bucket or consumer is not there.
    #[error("{asset} is missing: run `jetiter init` for this namespace, or correct its name")]
    AssetMissing {
        /// Its name.
        asset: String,
    },
    /// The queue has no consumer, so nobody would ever run its items.
    #[error("the queue {queue} does not exist: `jetiter init --queue {queue}` makes it")]
    NoQueue {
        /// The queue.
        queue: String,
    },
    /// A stream, bucket or consumer was made with other settings.
    #[error(
        "{asset} has {setting} = {found}, jetiter needs {wanted}: use another namespace, or remove \
         the asset, with all it holds, and run `jetiter init`"
    )]
    AssetDiffers {
        /// Its name.
        asset: String,
        /// What differs.
        setting: &'static str,
        /// The value on the server.
        found: String,
        /// The value that the guarantees rest on.
        wanted: String,
    },
    /// A stream was made by an older version.
    #[error("{asset} is an older version's: `jetiter init` brings it up to date")]
    AssetOlder {
        /// Its name.
        asset: String,
    },
    /// A payload that is not one well-formed value of its encoding.
    #[error("{what} can't be read or written: {reason}")]
    Encoding {
        /// The payload.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refused or did not answer a request.
    #[error("{what} failed: {reason}")]
    Api {
        /// What was asked for.
        what: String,
        /// What the server said.
        reason: String,
    },
}

impl Error {
    /// What is wrong, without saying with what, where the reader knows that already.
    pub fn reason(&self) -> String {
        match self {
            Error::Encoding { reason, .. } | Error::Api { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }
}
