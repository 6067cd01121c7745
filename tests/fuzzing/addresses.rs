//! Server addresses, and that nothing of a login in them is ever shown.

use jetiter_config::fuzzing;
use jetiter_config::settings::redact_url;

const SECRET: &str = "s3cr3t";

/// Four lines: a scheme, what surrounds a password, a host, a list of further addresses.
pub fn addresses(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(SECRET) {
        return;
    }
    whole(&text);
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (scheme, around, host, rest) = (line(), line(), line(), line());
    let scheme = if scheme.is_empty() { String::new() } else { "nats://".to_owned() };
    // A comma and a scheme in a password can't be told from a further address.
    if around.contains(',') && around.contains("://") {
        return;
    }
    let middle = around.char_indices().nth(around.chars().count() / 2).map_or(0, |(at, _)| at);
    let (before, behind) = around.split_at(middle);
    for login in [
        format!("{around}{SECRET}"),
        format!("{SECRET}{around}"),
        format!("u:{SECRET}{around}"),
        format!("u:{around}{SECRET}"),
        format!("u:{before}{SECRET}{behind}"),
    ] {
        hides(&format!("{scheme}{login}@{host}"));
        hides(&format!("{scheme}{login}@{host},{rest}"));
        hides(&format!("nats://{rest},nats://{login}@{host}"));
    }
}

fn hides(list: &str) {
    let shown = redact_url(list);
    assert!(!shown.contains(SECRET), "{list:?} is shown as {shown:?}");
    match fuzzing::addresses(list) {
        Ok(urls) => assert!(!urls.concat().contains(SECRET), "{list:?} becomes {urls:?}"),
        Err(told) => assert!(!told.contains(SECRET), "{list:?}: {told}"),
    }
}

fn whole(list: &str) {
    redact_url(list);
    if let Ok(urls) = fuzzing::addresses(list) {
        assert!(!urls.concat().contains('@'), "{urls:?}");
        assert!(fuzzing::addresses(&urls.join(",")).is_ok(), "{urls:?}");
    }
}
