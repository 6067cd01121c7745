//! Messages: headers up to an empty line, then the payload.

use std::sync::OnceLock;
use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, HeaderValue, Message};
use bytes::Bytes;
use jetiter_config::call::{Call, Item};
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{ItemId, Span};
use jetiter_config::wire::{
    self, End, ErrorKind, Outcomes, OutcomesWriter, Ran, Record, Run, Seal,
};
use serde::de::IgnoredAny;

/// Headers as a server hands them over: what it can't be given is left out.
fn message(bytes: &[u8]) -> Message {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, payload) = end.map_or((&[][..], bytes), |at| (&bytes[..at], &bytes[at + 2..]));
    let mut headers = HeaderMap::new();
    for line in String::from_utf8_lossy(head).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), value.trim().parse::<HeaderValue>())
        {
            headers.append(name, value);
        }
    }
    Message {
        subject: "jetiter".into(),
        reply: None,
        payload: Bytes::copy_from_slice(payload),
        headers: (!headers.is_empty()).then_some(headers),
        status: None,
        description: None,
        length: bytes.len(),
    }
}

/// A message as an item: what a worker reads of it.
pub fn item(bytes: &[u8]) {
    let message = message(bytes);
    let headers = message.headers.as_ref();
    let header = |name| wire::header(headers, name);
    if let Some(id) = header(wire::INDEX).and_then(ItemId::index) {
        assert_eq!(Some(id.to_string().as_str()), header(wire::INDEX));
    }
    if let Ok(Some(timeout)) = wire::header_millis(headers, wire::TIMEOUT) {
        assert!(timeout > Duration::ZERO);
    }
    if let Some(span) = header(wire::INDEX).and_then(Span::parse) {
        assert_eq!(Some(span.to_string().as_str()), header(wire::INDEX));
        assert_eq!(span.indexes().len(), span.count() as usize);
    }
    wire::header_count(headers, wire::RETRIES).ok();
    if let Ok(encoding) = Encoding::from_content_type(header(wire::CONTENT_TYPE)) {
        let known = Encoding::from_content_type(Some(encoding.content_type()));
        assert_eq!(known, Ok(encoding));
        encoding.decode::<(f64, f64)>(&message.payload).ok();
    }
}

/// A message as a seal, and its payload as a mark that somebody wrote.
pub fn seal(bytes: &[u8]) {
    let message = message(bytes);
    if let Ok(seal) = Seal::from_message(message.headers.as_ref(), &message.payload) {
        let (headers, payload) = seal.to_message();
        assert_eq!(Seal::from_message(Some(&headers), &payload), Ok(seal.clone()));
        mark(&seal);
    }
    if let Ok(seal) = serde_json::from_slice::<Seal>(&message.payload) {
        mark(&seal);
    }
    if let Ok(end) = serde_json::from_slice::<End>(&message.payload) {
        let again = serde_json::to_vec(&end).expect("JSON");
        assert_eq!(serde_json::from_slice::<End>(&again).expect("an end"), end);
    }
}

fn mark(seal: &Seal) {
    let json = serde_json::to_vec(seal).expect("JSON");
    assert_eq!(&serde_json::from_slice::<Seal>(&json).expect("a seal"), seal);
    // The server refuses a TTL that its clock can't count.
    let ttl = wire::ttl(Duration::from_millis(seal.keep_ms.unwrap_or(0)));
    let seconds: u64 = ttl.strip_suffix('s').and_then(|n| n.parse().ok()).expect("whole seconds");
    assert!((1..=Seal::FOR_EVER.as_secs()).contains(&seconds), "{ttl}");
}

/// A message as an outcome in the cache, in a list of either encoding.
pub fn outcome(bytes: &[u8]) {
    let message = message(bytes);
    for list in [Encoding::Json, Encoding::Cbor] {
        let (value, record) = jetiter_worker::fuzzing::outcome(ItemId::Index(7), &message, list);
        assert_eq!(value.is_ok(), record.ok);
        if let Ok(value) = value {
            list.check(&value).expect("what enters a list is one well-formed value");
            let list_bytes = [list.list_open(), &value, list.list_close()].concat();
            let read = list.decode::<Vec<IgnoredAny>>(&list_bytes);
            assert_eq!(read.expect("and the list can be read").len(), 1);
        }
        let written = list.encode(&record).expect("a record can be written");
        assert_eq!(list.decode::<Record>(&written).expect("and read"), record);
    }
    if let Some(run) = wire::header(message.headers.as_ref(), wire::RUN).and_then(Run::parse) {
        assert_eq!(Run::parse(&run.to_string()), Some(run));
    }
}

/// A first byte that says which encoding, one that says how many outcomes, and the entry of a chunk.
pub fn outcomes(bytes: &[u8]) {
    let [first, count, payload @ ..] = bytes else { return };
    let encoding = if first % 2 == 0 { Encoding::Json } else { Encoding::Cbor };
    // The same bytes as the chunk's own message: whoever can take it apart finds so many arguments.
    if let Ok(parts) = encoding.list_parts(payload, usize::from(*count)) {
        assert_eq!(parts.len(), usize::from(*count));
        assert!(parts.iter().all(|part| part.start < part.end && part.end < payload.len()));
        assert!(parts.is_sorted_by_key(|part| part.end));
    }
    let payload = Bytes::copy_from_slice(payload);
    let Ok(outcomes) = Outcomes::read(encoding, &payload, u32::from(*count)) else { return };
    assert_eq!(outcomes.len(), usize::from(*count));
    let mut writer = OutcomesWriter::new(encoding);
    for offset in 0..outcomes.len() {
        let value = outcomes.value(offset);
        if let Ok(value) = value {
            encoding.check(value).expect("what enters a list is one well-formed value");
        }
        let took = outcomes.took(offset).unwrap_or(0);
        let attempts = outcomes.attempts(offset).unwrap_or(1);
        writer.push(value.map_err(Clone::clone), Ran { attempts, started: 1, took });
    }
    let (_, written) = writer.finish("w".to_owned()).expect("what was read can be written");
    let again = Outcomes::read(encoding, &written.into(), u32::from(*count)).expect("and read");
    for offset in 0..outcomes.len() {
        assert_eq!(again.value(offset), outcomes.value(offset));
        assert_eq!(again.took(offset).unwrap_or(0), outcomes.took(offset).unwrap_or(0));
    }
}

/// A payload as the argument of a function: its name stands in the first line, and the second one
/// is `cbor` or anything else.
pub fn functions(bytes: &[u8]) {
    static PARTS: OnceLock<(jetiter_worker::Functions, tokio::runtime::Runtime)> = OnceLock::new();
    let (functions, runtime) = PARTS.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        (jetiter_worker::math::functions(), runtime.expect("a runtime"))
    });
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let (Some(name), Some(kind), Some(argument)) = (parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let Ok(function) = String::from_utf8_lossy(name).parse() else { return };
    let encoding = if kind == b"cbor" { Encoding::Cbor } else { Encoding::Json };
    let item = Item {
        group: "g".parse().expect("a group id"),
        id: ItemId::Index(0),
        function,
        argument: Bytes::copy_from_slice(argument),
        encoding,
        attempt: 1,
        timeout: Duration::from_secs(60),
    };
    match runtime.block_on(functions.call(item)) {
        Ok(value) => encoding.check(&value).expect("a value is well formed"),
        Err(error) => {
            assert!(!matches!(error.kind, ErrorKind::Panicked | ErrorKind::TimedOut), "{error:?}")
        }
    }
}
