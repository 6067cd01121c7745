//! What a failed connection attempt means.

use std::error::Error as StdError;
use std::io;

use async_nats::rustls;
use async_nats::{ConnectError, ConnectErrorKind, ServerError};

use super::{Login, wants_tls};
use crate::error::Error;
use crate::settings::Settings;

/// Turns the client's error into one that names the mend.
pub(super) fn explain(error: &ConnectError, server: &str, s: &Settings, login: &Login) -> Error {
    let server = server.to_owned();
    match error.kind() {
        ConnectErrorKind::Dns => {
            let reason = format!("its host name can't be resolved: {}", deepest(error));
            Error::Unreachable { server, reason }
        }
        ConnectErrorKind::TimedOut => Error::Unreachable { server, reason: silence(s) },
        ConnectErrorKind::Tls => Error::Tls { server, reason: deepest(error) },
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            refused(server, login, error)
        }
        _ if broken_tls(error, s) => Error::Tls { server, reason: deepest(error) },
        _ if auth_said(error) => refused(server, login, error),
        _ => Error::Unreachable { server, reason: deepest(error) },
    }
}

fn silence(s: &Settings) -> String {
    let limit = humantime::format_duration(s.connect_timeout);
    match s.tls_first {
        false => format!("no answer within {limit}; one that greets in TLS needs tls_first"),
        true => format!("no answer within {limit}"),
    }
}

fn refused(server: String, login: &Login, error: &ConnectError) -> Error {
    let said = deepest(error);
    let reason = said.strip_prefix("nats: ").unwrap_or(&said).to_owned();
    Error::Refused { server, login: login.shown(), reason }
}

/// All errors from the outermost inwards. An `io::Error` hides the one it wraps from `source`.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut all = vec![error];
    let mut at = error;
    loop {
        let wrapped = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let next = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => at.source(),
        };
        match next {
            Some(next) => at = next,
            None => return all,
        }
        all.push(at);
    }
}

/// The innermost cause in one line.
pub(super) fn deepest(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default().replace('\n', "; ")
}

/// The client reports a failed handshake as a plain input error.
fn broken_tls(error: &ConnectError, settings: &Settings) -> bool {
    let tls = settings.server.contains("tls://") || wants_tls(settings);
    chain(error).iter().any(|cause| {
        let ended = cause.downcast_ref::<io::Error>().map(io::Error::kind)
            == Some(io::ErrorKind::UnexpectedEof);
        cause.is::<rustls::Error>() || (tls && ended)
    })
}

/// An expired or revoked login is an error text and no error kind of its own.
fn auth_said(error: &ConnectError) -> bool {
    chain(error).iter().any(|cause| match cause.downcast_ref::<ServerError>() {
        Some(ServerError::AuthorizationViolation) => true,
        Some(ServerError::Other(text)) => {
            let text = text.to_lowercase();
            text.contains("authentication") || text.contains("authorization")
        }
        _ => false,
    })
}
