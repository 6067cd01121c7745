//! How the client says who it is, anew at every attempt to connect: a file with other credentials
//! in it needs no restart.

use std::path::{Path, PathBuf};

use async_nats::{Auth, AuthError};
use nkeys::KeyPair;
use secrecy::{ExposeSecret, SecretString};

use super::{credentials, read};
use crate::error::Error;
use crate::settings::{Addresses, Settings};

/// What the settings give to log in with.
#[derive(Clone)]
pub(super) enum Login {
    None,
    User(String, SecretString),
    Token(SecretString),
    Credentials(PathBuf),
    Nkey(PathBuf),
}

impl Login {
    /// What the settings name wins over what stands in the first address.
    pub(super) fn of(settings: &Settings, addresses: &Addresses) -> Login {
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
    pub(super) fn shown(&self) -> String {
        match self {
            Login::None => "a connection without a login".to_owned(),
            Login::User(user, _) => format!("the user {user:?}"),
            Login::Token(_) => "the token".to_owned(),
            Login::Credentials(path) => format!("the credentials in {}", path.display()),
            Login::Nkey(path) => format!("the nkey in {}", path.display()),
        }
    }

    /// The answer to a server that greets with this nonce. Files are read now.
    pub(super) async fn answer(&self, nonce: &[u8]) -> Result<Auth, Error> {
        let mut auth = Auth::new();
        match self {
            Login::None => {}
            Login::User(user, password) => {
                auth.username = Some(user.clone());
                auth.password = Some(password.expose_secret().to_owned());
            }
            Login::Token(token) => auth.token = Some(token.expose_secret().to_owned()),
            Login::Credentials(path) => {
                let text = read("credentials", path).await?;
                let (jwt, seed) = credentials_in(text.expose_secret()).ok_or_else(|| {
                    let reason = "it is no credentials file: it needs a user JWT and an nkey seed";
                    credentials("credentials", path, reason)
                })?;
                auth.signature = Some(sign("credentials", path, seed, nonce)?.1);
                auth.jwt = Some(jwt.to_owned());
            }
            Login::Nkey(path) => {
                let text = read("nkey", path).await?;
                let mut lines = text.expose_secret().lines().map(str::trim);
                let seed = lines.find(|line| line.starts_with("SU")).ok_or_else(|| {
                    credentials("nkey", path, "no line of it is a user's seed (SU...)")
                })?;
                let (key, signature) = sign("nkey", path, seed, nonce)?;
                (auth.nkey, auth.signature) = (Some(key), Some(signature));
            }
        }
        Ok(auth)
    }

    /// As [`answer`](Self::answer), in the form that the client calls for.
    pub(super) async fn answer_attempt(self, nonce: Vec<u8>) -> Result<Auth, AuthError> {
        self.answer(&nonce).await.map_err(AuthError::new)
    }
}

/// The two blocks of a credentials file, each one line between two lines that begin with dashes.
fn credentials_in(text: &str) -> Option<(&str, &str)> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_rule = |line: &str| line.starts_with("---");
    let mut blocks = lines
        .windows(3)
        .filter(|three| is_rule(three[0]) && !is_rule(three[1]) && is_rule(three[2]))
        .map(|three| three[1]);
    Some((blocks.next()?, blocks.next()?))
}

/// The public key of a seed and the nonce signed with it. The parser's message is left out: it
/// may quote the file.
fn sign(
    setting: &'static str,
    path: &Path,
    seed: &str,
    nonce: &[u8],
) -> Result<(String, Vec<u8>), Error> {
    let malformed = |_| credentials(setting, path, "its seed is malformed");
    let key = KeyPair::from_seed(seed).map_err(malformed)?;
    let signature = key.sign(nonce).map_err(malformed)?;
    Ok((key.public_key(), signature))
}
