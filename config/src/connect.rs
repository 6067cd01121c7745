//! The way to a server: options from the settings, and failures that name the mend.

mod failure;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::context::AccountErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use secrecy::{ExposeSecret, SecretString};
use tracing::{debug, info, warn};

use crate::error::Error;
use crate::settings::{Addresses, Settings, parse_addresses, redact_url};

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
    let options = login.apply(options(&settings, name)).await?;
    let options = with_certificates(options, &settings).await?;
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

fn options(settings: &Settings, name: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new()
        .name(name)
        .connection_timeout(settings.connect_timeout)
        .request_timeout(Some(settings.request_timeout))
        .ping_interval(PING_INTERVAL)
        .require_tls(wants_tls(settings))
        .event_callback(|event| async move { log(&event) });
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

/// How the client says who it is.
enum Login {
    None,
    User(String, SecretString),
    Token(SecretString),
    Credentials(PathBuf),
    Nkey(PathBuf),
}

impl Login {
    /// What the settings name wins over what stands in the first address.
    fn of(settings: &Settings, addresses: &Addresses) -> Login {
        if let Some(path) = &settings.credentials {
            return Login::Credentials(path.clone());
        }
        if let Some(path) = &settings.nkey {
            return Login::Nkey(path.clone());
        }
        if let Some(user) = &settings.user {
            return Login::User(user.clone(), settings.password.clone().unwrap_or_default());
        }
        if let Some(token) = &settings.token {
            return Login::Token(token.clone());
        }
        match &addresses.login {
            Some((user, Some(password))) => Login::User(user.clone(), password.clone()),
            Some((token, None)) => Login::Token(token.clone().into()),
            None => Login::None,
        }
    }

    /// What it is, without its secret.
    fn shown(&self) -> String {
        match self {
            Login::None => "a connection without a login".to_owned(),
            Login::User(user, _) => format!("the user {user:?}"),
            Login::Token(_) => "the token".to_owned(),
            Login::Credentials(path) => format!("the credentials in {}", path.display()),
            Login::Nkey(path) => format!("the nkey in {}", path.display()),
        }
    }

    async fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions, Error> {
        match self {
            Login::None => Ok(options),
            Login::User(user, password) => {
                Ok(options.user_and_password(user.clone(), password.expose_secret().to_owned()))
            }
            Login::Token(token) => Ok(options.token(token.expose_secret().to_owned())),
            Login::Credentials(path) => {
                let text = read("credentials", path).await?;
                // The parser's message is left out: it may quote the file.
                options.credentials(text.expose_secret()).map_err(|_| {
                    let reason = "it is no credentials file: it needs a user JWT and an nkey seed";
                    credentials("credentials", path, reason)
                })
            }
            Login::Nkey(path) => {
                let text = read("nkey", path).await?;
                let mut lines = text.expose_secret().lines().map(str::trim);
                match lines.find(|line| line.starts_with("SU")) {
                    Some(seed) => Ok(options.nkey(seed.to_owned())),
                    None => {
                        Err(credentials("nkey", path, "no line of it is a user's seed (SU...)"))
                    }
                }
            }
        }
    }
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

fn log(event: &Event) {
    match event {
        Event::Connected => debug!("connected to NATS"),
        Event::Disconnected => warn!("disconnected from NATS: trying again"),
        Event::LameDuckMode => info!("the NATS server is about to stop: moving to another"),
        Event::SlowConsumer(id) => warn!(subscription = id, "messages dropped: reading too slowly"),
        Event::ServerError(error) => warn!(%error, "the NATS server reports an error"),
        // One for each attempt to connect again: the loss itself was logged already.
        Event::ClientError(error) => debug!(%error, "the NATS client reports an error"),
        Event::Draining | Event::Closed => debug!(%event, "the NATS connection ends"),
    }
}

#[cfg(test)]
mod tests;
