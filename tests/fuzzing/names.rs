//! Names, subjects and keys: what is read from a text is written as the same text again.

use jetiter_config::names::{
    Control, Delivery, Entry, Function, GroupId, ItemId, MAX_FUNCTION, MAX_TOKEN, Namespace, Queue,
};

/// Any bytes as a name, and as what stands behind the beginnings of our subjects.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let ns: Namespace = "jetiter".parse().expect("a namespace");
    for name in [
        text.parse::<GroupId>().map(String::from),
        text.parse::<Queue>().map(String::from),
        text.parse::<Namespace>().map(String::from),
    ] {
        token(&text, name.ok(), MAX_TOKEN);
    }
    token(&text, text.parse::<Function>().map(String::from).ok(), MAX_FUNCTION);
    item_id(&text);
    for subject in [text.to_string(), format!("$KV.jetiter-cache.{text}")] {
        entry(&ns, &subject);
    }
    for subject in [text.to_string(), format!("jetiter.work.{text}")] {
        work(&ns, &subject);
    }
    for subject in [format!("jetiter.{text}"), format!("jetiter.seal.{text}")] {
        control(&ns, &subject);
    }
    for reply in [text.to_string(), format!("$JS.ACK.{text}")] {
        delivery(&reply);
    }
}

fn token(text: &str, name: Option<String>, longest: usize) {
    let Some(name) = name else { return };
    assert_eq!(name, text);
    assert!((1..=longest).contains(&name.len()));
    assert!(!name.contains(['*', '>', ' ', '\t', '\r', '\n', '\0']), "{name:?}");
    assert!(name.split('.').all(|token| !token.is_empty()), "{name:?}");
}

fn item_id(text: &str) {
    let Some(id) = ItemId::parse(text) else { return };
    assert_eq!(id.to_string(), text);
    let json = serde_json::to_string(&id).expect("JSON");
    assert_eq!(serde_json::from_str::<ItemId>(&json).expect("an id"), id);
}

fn entry(ns: &Namespace, subject: &str) {
    let Some((group, entry)) = ns.parse_entry(subject) else { return };
    assert!(group.parse::<GroupId>().is_ok(), "{group:?}");
    assert_eq!(ns.entry_subject(group, entry), subject);
}

fn work(ns: &Namespace, subject: &str) {
    let Some(work) = ns.parse_work(subject) else { return };
    assert!(work.queue.parse::<Queue>().is_ok(), "{work:?}");
    assert!(work.group.parse::<GroupId>().is_ok(), "{work:?}");
    assert!(work.function.parse::<Function>().is_ok(), "{work:?}");
    let (head, tail) = (format!("jetiter.work.{}.", work.queue), work.function);
    assert!(subject.starts_with(&head) && subject.ends_with(&format!(".{}.{tail}", work.group)));
}

fn control(ns: &Namespace, subject: &str) {
    let (group, built): (_, fn(&Namespace, &GroupId) -> String) = match ns.parse_control(subject) {
        None => return,
        Some(Control::Seal(group)) => (group, Namespace::seal_subject),
        Some(Control::Cancel(group)) => (group, Namespace::cancel_subject),
    };
    assert_eq!(built(ns, &group.parse().expect("a group id")), subject);
}

/// An item without an index is known by its delivery: its key must be one that can be read.
fn delivery(reply: &str) {
    let Some(Delivery { sequence, timestamp, .. }) = Delivery::parse(reply) else { return };
    let id = ItemId::Stored { sequence, timestamp };
    assert_eq!(ItemId::parse(&id.to_string()), Some(id));
    let ns: Namespace = "jetiter".parse().expect("a namespace");
    let subject = ns.entry_subject("g", Entry::Outcome(id));
    assert_eq!(ns.parse_entry(&subject), Some(("g", Entry::Outcome(id))));
}
