//! Server addresses: a comma separated list of URLs that may carry a user and a password.

use secrecy::SecretString;
use url::{Position, Url};

use super::HIDDEN;

/// What may stand before "://" in what is shown: the rest of a login may look like a scheme too.
const SHOWN: [&str; 4] = ["nats", "tls", "ws", "wss"];
const MEND: &str =
    "write each like nats://host:4222, with % escapes for special characters in a password";

/// What a list of addresses says.
pub(crate) struct Addresses {
    /// The addresses without user and password, so that nothing that logs them can tell.
    pub(crate) urls: Vec<Url>,
    /// The first address's user (or token, if it stands alone) and password.
    pub(crate) login: Option<(String, Option<SecretString>)>,
}

/// Takes the addresses apart; an error is the end of a sentence that starts with "server".
pub(crate) fn parse(list: &str) -> Result<Addresses, String> {
    let mut login = None;
    let mut urls = Vec::new();
    if list.split(',').skip(1).any(lacks_scheme) {
        // It may as well be a password with a comma, sent to whatever host its rest spells.
        let shown = redact_url(list);
        return Err(format!("has a further address with a login and no scheme, {shown}: {MEND}"));
    }
    for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let mut url = parse_one(text)?;
        if !url.username().is_empty() || url.password().is_some() {
            let password = url.password().map(|text| SecretString::from(decode(text)));
            login.get_or_insert((decode(url.username()), password));
            // Both fail only for a URL without a host, which `parse_one` refuses.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        urls.push(url);
    }
    match urls.is_empty() {
        true => Err("must name at least one address".to_owned()),
        false => Ok(Addresses { urls, login }),
    }
}

fn parse_one(text: &str) -> Result<Url, String> {
    let shown = redact_url(text);
    let full = if text.contains("://") { text.to_owned() } else { format!("nats://{text}") };
    let url =
        Url::parse(&full).map_err(|e| format!("has a malformed address {shown} ({e}): {MEND}"))?;
    if url[Position::AfterPort..].contains('@') {
        // What was meant as a password would be looked up as a host.
        return Err(format!("has an address with an '@' behind its host, {shown}: {MEND}"));
    }
    if !matches!(url.scheme(), "nats" | "tls") {
        return Err(format!("has the address {shown}, but only nats:// and tls:// are supported"));
    }
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err(format!("has an address without a host, {shown}: {MEND}")),
    }
}

/// Undoes the % escapes of a URL.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        // What reads the number would take a sign for a digit.
        let hex = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let (byte, length) = match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (byte, 3),
            None => (bytes[at], 1),
        };
        plain.push(byte);
        at += length;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The addresses with `[hidden]` for user, password and token. It works on the text alone, so it
/// also hides what stands in an address that is malformed.
pub fn redact_url(list: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for part in list.split(',') {
        let mut whole = part.to_owned();
        if lacks_scheme(part) {
            // It may be the rest of a password that holds commas: then all of it is in the parts
            // from the last scheme on.
            let from = shown.iter().rposition(|part| part.contains("://")).unwrap_or(0);
            let parts = shown.split_off(from.min(shown.len()));
            whole = [parts, vec![whole]].concat().join(",");
        }
        shown.push(redact_one(&whole));
    }
    shown.join(",")
}

fn lacks_scheme(part: &str) -> bool {
    part.split_once('@').is_some_and(|(before, _)| !before.contains("://"))
}

fn redact_one(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let known = SHOWN.iter().any(|known| scheme.trim().eq_ignore_ascii_case(known));
    let head = if known { format!("{scheme}://") } else { String::new() };
    match address.rsplit_once('@') {
        Some((_, host)) => format!("{head}{HIDDEN}@{host}"),
        None if may_be_a_login(rest) => format!("{head}{HIDDEN}"),
        None => address.to_owned(),
    }
}

/// A "port" that is no number may be a password: the '@' was forgotten, or stands behind a comma.
fn may_be_a_login(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].trim();
    let plain_ipv6 = host.starts_with('[') && host.ends_with(']');
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    !plain_ipv6 && !port.bytes().all(|b| b.is_ascii_digit())
}
