//! Server addresses: a comma separated list of URLs that may carry a user and a password.

use secrecy::SecretString;
use url::Url;

use super::HIDDEN;

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
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => plain.push(byte),
            None => plain.push(bytes[at]),
        }
        at += if escaped.is_some_and(|hex| u8::from_str_radix(hex, 16).is_ok()) { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The addresses with `[hidden]` for user, password and token. It works on the text alone, so it
/// also hides what stands in an address that is malformed.
pub fn redact_url(list: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for part in list.split(',') {
        // A part with '@' and no scheme may be the rest of a password that holds a comma.
        match shown.last_mut() {
            Some(last) if lacks_scheme(part) => *last = redact_one(&format!("{last},{part}")),
            _ => shown.push(redact_one(part)),
        }
    }
    shown.join(",")
}

fn lacks_scheme(part: &str) -> bool {
    part.contains('@') && !part.contains("://")
}

fn redact_one(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{HIDDEN}@{host}"),
        None => address.to_owned(),
    }
}
