//! The way to a server: options from the settings, and failures that name the mend.

mod failure;
mod login;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::context::AccountErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use secrecy::{ExposeSecret, SecretString};
use tracing::{debug, info, warn};

use crate::error::Error;
use crate::settings::{Addresses, Settings, parse_addresses, redact_url};
use login::Login;

/// The oldest nats-server that has all that the engine is built on.
pub const OLDEST_SERVER: &str = "2.14.5";

/// A half-open connection is noticed after two pings without an answer.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Connects once; a connection that was made is made again for ever. `name` is what the server
/// lists the connection under.
pub async fn connect(settings: &Settings, name: &str) -> Result<Client, Error> {
    let settings = settings.with_context()?;
    let server = redact_url(&settings.server);
    let addresses = parse_addresses(&settings.server).map_err(|problem| Error::Setting {
        key: "server".to_owned(),
        problem,
        value: server.clone(),
        origin: "the settings".to_owned(),
    })?;
    let login = Login::of(&settings, &addresses);
    // The client would ask for it only after the server's greeting, and hide what is wrong.
    login.answer(b"").await?;
    let options = with_certificates(options(&settings, name, &login), &settings).await?;
    let servers = servers(&addresses, &server)?;
    let client = options
        .connect(servers)
        .await
        .map_err(|error| failure::explain(&error, &server, &settings, &login))?;
    check_version(&client, server)?;
    Ok(client)
}

/// Asks the server whether this account may use JetStream.
pub async fn check_jetstream(client: &Client) -> Result<(), Error> {
    let Err(error) = jetstream::new(client.clone()).query_account().await else {
        return Ok(());
    };
    let what = "asking the server for JetStream".to_owned();
    match error.kind() {
        AccountErrorKind::JetStreamUnavailable => {
            Err(Error::NoJetStream { place: "on the NATS server" })
        }
        AccountErrorKind::JetStream(said) => match said.error_code() {
            ErrorCode::JETSTREAM_NOT_ENABLED => {
                Err(Error::NoJetStream { place: "on the NATS server" })
            }
            ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                Err(Error::NoJetStream { place: "for this account of the NATS server" })
            }
            _ => Err(Error::Api { what, reason: said.to_string() }),
        },
        AccountErrorKind::TimedOut => {
            let reason = "no answer in time; the user may lack the permission to ask".to_owned();
            Err(Error::Api { what, reason })
        }
        AccountErrorKind::Other => Err(Error::Api { what, reason: failure::deepest(&error) }),
    }
}

fn servers(addresses: &Addresses, server: &str) -> Result<Vec<ServerAddr>, Error> {
    let parsed = addresses.urls.iter().cloned().map(ServerAddr::from_url);
    parsed.collect::<Result<_, _>>().map_err(|error| Error::Unreachable {
        server: server.to_owned(),
        reason: error.to_string(),
    })
}

fn options(settings: &Settings, name: &str, login: &Login) -> ConnectOptions {
    let (answering, log) = (login.clone(), Log::of(login));
    let mut options =
        ConnectOptions::with_auth_callback(move |nonce| answering.clone().answer_attempt(nonce))
            .name(name)
            .connection_timeout(settings.connect_timeout)
            .request_timeout(Some(settings.request_timeout))
            .ping_interval(PING_INTERVAL)
            .require_tls(wants_tls(settings))
            .event_callback(move |event| {
                log.tell(&event);
                async {}
            });
    if settings.tls_first {
        options = options.tls_first();
    }
    if let Some(prefix) = &settings.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    options
}

/// A server that could talk a client with a certificate out of TLS would get its login in clear.
fn wants_tls(s: &Settings) -> bool {
    s.tls_required || s.tls_first || s.tls_ca.is_some() || s.tls_cert.is_some()
}

async fn with_certificates(
    mut options: ConnectOptions,
    settings: &Settings,
) -> Result<ConnectOptions, Error> {
    let files = [
        ("tls_ca", &settings.tls_ca, "CERTIFICATE"),
        ("tls_cert", &settings.tls_cert, "CERTIFICATE"),
        ("tls_key", &settings.tls_key, "PRIVATE KEY"),
    ];
    for (setting, path, wanted) in files {
        // The client reads the file again, and would not say which one it could not use.
        let Some(path) = path else { continue };
        let text = read(setting, path).await?;
        if !text.expose_secret().contains(&format!("{wanted}-----")) {
            let reason = format!("it holds no {wanted} in PEM form");
            return Err(credentials(setting, path, reason));
        }
    }
    if let Some(ca) = &settings.tls_ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    Ok(options)
}

async fn read(setting: &'static str, path: &Path) -> Result<SecretString, Error> {
    let text = tokio::fs::read_to_string(path).await;
    text.map(SecretString::from).map_err(|error| credentials(setting, path, error.to_string()))
}

fn credentials(setting: &'static str, path: &Path, reason: impl Into<String>) -> Error {
    Error::Credentials { setting, path: path.to_owned(), reason: reason.into() }
}

fn check_version(client: &Client, server: String) -> Result<(), Error> {
    let info = client.server_info();
    debug!(server = %info.server_name, version = %info.version, "connected to NATS");
    if version(&info.version) >= version(OLDEST_SERVER) {
        return Ok(());
    }
    Err(Error::TooOld { server, found: info.version, needed: OLDEST_SERVER.to_owned() })
}

/// Major, minor and patch; `None`, which is less than any version, if there is none in the text.
fn version(text: &str) -> Option<[u32; 3]> {
    let numbers = text.trim_start_matches('v').split(['-', '+']).next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// Tells the log what happens to the connection.
struct Log {
    login: String,
    /// It was told that the login is refused; once for each loss of the connection.
    refused: AtomicBool,
}

impl Log {
    fn of(login: &Login) -> Log {
        Log { login: login.shown(), refused: AtomicBool::new(false) }
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.refused.store(false, Ordering::Relaxed);
                info!("connected to NATS");
            }
            Event::Disconnected => warn!("disconnected from NATS: trying again"),
            Event::LameDuckMode => info!("the NATS server is about to stop: moving to another"),
            Event::SlowConsumer(id) => {
                warn!(subscription = id, "messages dropped: reading too slowly")
            }
            Event::ServerError(error) => warn!(%error, "the NATS server reports an error"),
            Event::ClientError(error) if is_refusal(error) => {
                if !self.refused.swap(true, Ordering::Relaxed) {
                    warn!("the NATS server refuses {}: trying again", self.login);
                }
            }
            // One for each attempt to connect again: the loss itself was logged already.
            Event::ClientError(error) => debug!(%error, "the NATS client reports an error"),
            Event::Draining | Event::Closed => debug!(%event, "the NATS connection ends"),
        }
    }
}

/// The client tells of a failed attempt by the text of its kind, and nothing else.
fn is_refusal(error: &ClientError) -> bool {
    let refused = ConnectErrorKind::AuthorizationViolation.to_string();
    matches!(error, ClientError::Other(text) if *text == refused)
}

#[cfg(test)]
mod tests;
