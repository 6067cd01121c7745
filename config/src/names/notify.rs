//! Where a collator may tell that a group is done: a submitter names the subject, the collator's
//! settings say which ones it may name.

use super::token::Namespace;
use crate::error::Error;

/// The longest subject of a notice, in bytes.
const MAX_SUBJECT: usize = 256;
const RULE: &str = "use tokens without spaces, '*' and '>', joined by dots, 256 bytes in all";
/// Stands for the namespace in the setting.
const NAMESPACE: &str = "{namespace}";

fn is_plain(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'>')
}

/// Refuses what is no subject that a message can be published on.
pub fn check_notify(subject: &str) -> Result<(), Error> {
    match subject.len() <= MAX_SUBJECT && subject.split('.').all(is_plain) {
        true => Ok(()),
        false => {
            let value = subject.to_owned();
            Err(Error::Name { what: "subject to be told on", value, reason: RULE })
        }
    }
}

/// Whether this is a prefix that notices may be given leave for: whole tokens, none of the server's.
pub(crate) fn is_notify_prefix(prefix: &str) -> bool {
    let tokens = prefix.strip_suffix('.');
    tokens.is_some_and(|tokens| check_notify(tokens).is_ok()) && !is_servers(prefix)
}

fn is_servers(subject: &str) -> bool {
    subject.starts_with('$') || subject.starts_with("_INBOX")
}

impl Namespace {
    /// The prefixes of the setting `collator.notify`, spelled out.
    pub fn notify_prefixes(&self, setting: &[String]) -> Vec<String> {
        setting.iter().map(|prefix| prefix.replace(NAMESPACE, self.as_str())).collect()
    }

    /// Whether a notice may be published there: below one of the prefixes, and never where a message
    /// would be taken for one of the engine's or of the server's.
    pub fn may_notify(&self, subject: &str, prefixes: &[String]) -> bool {
        let below = |prefix: &String| subject.starts_with(prefix.as_str());
        let ours = subject.strip_prefix(self.as_str()).and_then(|rest| rest.strip_prefix('.'));
        check_notify(subject).is_ok()
            && prefixes.iter().any(below)
            && !is_servers(subject)
            && ours.is_none_or(|rest| rest.starts_with("notify."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_go_below_a_prefix_and_never_to_the_engine() {
        let ns: Namespace = "jetiter".parse().unwrap();
        let default = ns.notify_prefixes(&["{namespace}.notify.".to_owned()]);
        assert!(ns.may_notify("jetiter.notify.mine", &default));
        for other in
            ["jetiter.notify", "jetiter.notify.", "jetiter.notify.*", "other.notify.a", "x", ""]
        {
            assert!(!ns.may_notify(other, &default), "{other}");
        }
        let wide = ["jetiter.".to_owned(), "$JS.".to_owned(), "orders.".to_owned()];
        assert!(ns.may_notify("orders.done", &wide));
        for engine in ["jetiter.seal.g", "jetiter.item.default.g.f", "$JS.API.STREAM.DELETE.x"] {
            assert!(!ns.may_notify(engine, &wide), "{engine}");
        }
    }

    #[test]
    fn a_prefix_is_of_whole_tokens() {
        for good in ["{namespace}.notify.", "orders."] {
            assert!(is_notify_prefix(good), "{good}");
        }
        for bad in ["", ".", "orders", "orders.*.", "$JS.", "_INBOX.", "a..", "a b."] {
            assert!(!is_notify_prefix(bad), "{bad}");
        }
    }
}
