//! What is asked of a command, and the lines that it writes.

use std::time::Duration;

use bytes::Bytes;
use jetiter_config::call::Item;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::ItemId;
use jetiter_config::wire::ErrorKind;
use jetiter_worker::fuzzing::{answer, question};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "argument")]
    _argument: IgnoredAny,
    index: u32,
}

/// Any bytes as an argument that is asked for, and as a child's line.
pub fn commands(bytes: &[u8]) {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let item = Item {
            group: "g".parse().expect("a group id"),
            id: ItemId::Index(7),
            function: "f".parse().expect("a function's name"),
            argument: Bytes::copy_from_slice(bytes),
            encoding,
            attempt: 1,
            timeout: Duration::from_secs(60),
        };
        match question(&item) {
            Ok(line) => {
                assert!(line.is_ascii() && line.ends_with(b"\n"));
                let ends = line.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
                assert_eq!(ends, 1, "it is one line");
                let asked: Asked = serde_json::from_slice(&line).expect("it is one value");
                assert_eq!(asked.index, 7);
            }
            Err(error) => assert_eq!(error.kind, ErrorKind::BadArgument),
        }
        match answer(&item, bytes) {
            Some(Ok(value)) => encoding.check(&value).expect("a value is well formed"),
            Some(Err(error)) => {
                assert!(matches!(error.kind, ErrorKind::BadValue | ErrorKind::Failed));
            }
            None => {}
        }
    }
}
