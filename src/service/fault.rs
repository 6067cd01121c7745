//! Why a request is not answered as it was meant: a code for programs, the text that the command
//! line and the client give.

use std::fmt;

use async_nats::service::error::Error as ServiceError;
use jetiter_client::Error as ClientError;
use jetiter_config::Error as ConfigError;

use crate::cli::{Exit, Failure, output};

/// The longest text in a header.
const LONGEST: usize = 2_000;

#[derive(Debug)]
pub(super) struct Fault {
    code: usize,
    text: String,
}

impl Fault {
    /// The request can't be meant so.
    pub(super) fn bad(text: impl Into<String>) -> Fault {
        Fault { code: 400, text: text.into() }
    }

    /// It is too late for it.
    pub(super) fn conflict(text: impl Into<String>) -> Fault {
        Fault { code: 409, text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl From<Fault> for ServiceError {
    fn from(fault: Fault) -> ServiceError {
        // A header is one line.
        let status = output::shortened(&output::plain(&fault.text), LONGEST);
        ServiceError { status, code: fault.code }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        let code = match failure.exit {
            Exit::UnknownGroup => 404,
            Exit::NotFinished => 409,
            _ => 500,
        };
        Fault { code, text: failure.text }
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Fault {
        let code = match &error {
            ConfigError::Name { .. }
            | ConfigError::NoQueue { .. }
            | ConfigError::Encoding { .. } => 400,
            _ => 503,
        };
        Fault { code, text: error.to_string() }
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Fault {
        let code = match &error {
            ClientError::Config(error) => return error.clone().into(),
            ClientError::Argument { .. } | ClientError::TooManyItems => 400,
            ClientError::GroupExists { .. } | ClientError::SealedTwice { .. } => 409,
            ClientError::Gone { .. } => 404,
            ClientError::NotStored { .. } | ClientError::Api { .. } => 503,
            _ => 500,
        };
        Fault { code, text: error.to_string() }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Fault {
        Fault { code: 500, text: error.to_string() }
    }
}
