//! The line protocol: what a child is asked, and what its answer says.
//!
//! Both are a JSON object on one line. A bare value as an answer could not be told from an error,
//! whatever form that had; so a value stands under `value` and an error under `error`.

use std::fmt::Write;

use jetiter_config::call::{Item, Outcome};
use jetiter_config::encoding::Encoding;
use jetiter_config::wire::{ErrorKind, ItemError};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What a child said of an item.
#[derive(Debug, PartialEq)]
pub(super) enum Answer<'a> {
    /// Its value, as JSON.
    Value(&'a str),
    /// Why there is none.
    Error(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<String>,
}

/// The line that asks for an item's value.
pub(super) fn question(item: &Item) -> Result<Vec<u8>, ItemError> {
    let Item { group, attempt, .. } = item;
    let mut line = r#"{"argument":"#.to_owned();
    push_plain(&mut line, &argument(item)?);
    let index = serde_json::to_string(&item.id).unwrap_or_default();
    // Neither has a character that JSON would have to escape.
    let rest = format!(r#","group":"{group}","index":{index},"attempt":{attempt}}}"#);
    line.push_str(&rest);
    line.push('\n');
    Ok(line.into_bytes())
}

/// An item's argument as JSON, whatever it was written in.
pub(super) fn argument(item: &Item) -> Result<String, ItemError> {
    let json = item.encoding.transcode(&item.argument, Encoding::Json);
    let json = json.and_then(|json| Encoding::Json.check(&json).map(|()| json));
    let json = json.map_err(|error| error.reason());
    let text = json.and_then(|json| String::from_utf8(json).map_err(|error| error.to_string()));
    text.map_err(|reason| {
        let message = format!("{} can't take this argument: {reason}", item.function);
        ItemError::new(ErrorKind::BadArgument, message)
    })
}

/// One line, and in ASCII: some readers of lines know line ends that JSON does not, and some take
/// their input for another encoding than UTF-8. Inside a text JSON has no line end of its own, and
/// outside of texts nothing beyond ASCII.
fn push_plain(line: &mut String, json: &str) {
    for c in json.chars() {
        match c {
            '\n' | '\r' => line.push(' '),
            c if c.is_ascii() => line.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String can't fail.
                    write!(line, "\\u{unit:04x}").unwrap_or_default();
                }
            }
        }
    }
}

/// Reads a child's line, or says what is wrong with it.
pub(super) fn answer(line: &[u8]) -> Result<Answer<'_>, String> {
    let line = line.trim_ascii();
    if !line.starts_with(b"{") {
        // serde would take a list for the fields in their order.
        return Err("it is no object".to_owned());
    }
    let written: Written<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match written {
        Written { value: Some(value), error: None } => Ok(Answer::Value(value.get())),
        // Some languages write all fields of an answer, with null for what is not there.
        Written { value, error: Some(error) }
            if value.is_none_or(|value| value.get() == "null") =>
        {
            Ok(Answer::Error(error))
        }
        Written { value: None, .. } => Err("it has neither a value nor an error".to_owned()),
        Written { value: Some(_), .. } => Err("it has both a value and an error".to_owned()),
    }
}

/// The outcome that an answer is.
pub(super) fn outcome(item: &Item, answer: Answer<'_>) -> Outcome {
    match answer {
        Answer::Value(json) => value(item, json.as_bytes()),
        Answer::Error(message) => Err(ItemError::new(ErrorKind::Failed, message)),
    }
}

/// JSON in the item's encoding.
pub(super) fn value(item: &Item, json: &[u8]) -> Outcome {
    let value = Encoding::Json.check(json);
    let value = value.and_then(|()| Encoding::Json.transcode(json, item.encoding));
    value.map_err(|error| ItemError::new(ErrorKind::BadValue, error))
}

/// `null` is a value too.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use jetiter_config::names::ItemId;

    use super::*;

    pub(in super::super) fn item(encoding: Encoding, argument: impl Into<Vec<u8>>) -> Item {
        Item {
            group: "g1".parse().unwrap(),
            id: ItemId::Index(7),
            function: "image.resize".parse().unwrap(),
            argument: argument.into().into(),
            encoding,
            attempt: 2,
            timeout: Duration::from_secs(1),
        }
    }

    fn asked(argument: &str) -> String {
        String::from_utf8(question(&item(Encoding::Json, argument)).unwrap()).unwrap()
    }

    #[test]
    fn a_question_is_one_line_of_json() {
        let wanted = r#"{"argument":[1.50,"a"],"group":"g1","index":7,"attempt":2}"#;
        assert_eq!(asked(r#"[1.50,"a"]"#), format!("{wanted}\n"));
        let mut stored = item(Encoding::Json, "null");
        stored.id = ItemId::Stored { sequence: 3, timestamp: 4 };
        let line = String::from_utf8(question(&stored).unwrap()).unwrap();
        assert!(line.contains(r#""index":"n3-4""#), "{line}");
    }

    #[test]
    fn whatever_the_argument_the_question_has_one_line_end() {
        let line = asked("{\n \"a\":\r\n [1,\n2, \"x\\ny\"] }\n");
        assert_eq!(line.matches(['\n', '\r']).count(), 1, "{line}");
        assert!(line.contains(r#""x\ny""#), "{line}");
        let odd = "\"ä\u{2028}\u{85}\u{1f600}\"";
        let line = asked(odd);
        assert!(line.is_ascii() && line.contains("\\ud83d\\ude00"), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["argument"], "ä\u{2028}\u{85}\u{1f600}");
    }

    #[test]
    fn cbor_is_asked_as_json_and_answered_as_cbor() {
        let cbor = Encoding::Cbor.encode(&("a", 1u64, f64::NAN)).unwrap();
        let item = item(Encoding::Cbor, cbor);
        let line = String::from_utf8(question(&item).unwrap()).unwrap();
        assert!(line.starts_with(r#"{"argument":["a",1,null],"#), "{line}");
        let value = outcome(&item, Answer::Value("[1,2.5]")).unwrap();
        assert_eq!(Encoding::Cbor.decode::<(u64, f64)>(&value).unwrap(), (1, 2.5));
    }

    #[test]
    fn a_malformed_argument_is_no_question() {
        for bad in ["", "1 2", "{", "\"\u{1}\""] {
            let error = question(&item(Encoding::Json, bad)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument, "{bad:?}");
        }
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(question(&item(Encoding::Json, deep)).is_err());
        assert!(question(&item(Encoding::Cbor, [0x81])).is_err());
    }

    #[test]
    fn an_answer_has_a_value_or_an_error() {
        let value = |line: &'static str, json: &'static str| {
            assert_eq!(answer(line.as_bytes()), Ok(Answer::Value(json)), "{line}");
        };
        value(r#"{"value": [1.50, "a"]}"#, r#"[1.50, "a"]"#);
        value(r#" {"value":null} "#, "null");
        value("{\"value\":0,\"error\":null}\r", "0");
        value(r#"{"value": {"error": "x"}}"#, r#"{"error": "x"}"#);
        let error = |line: &'static str| {
            assert_eq!(answer(line.as_bytes()), Ok(Answer::Error("x".to_owned())), "{line}");
        };
        error(r#"{"error": "x"}"#);
        error(r#"{"value": null, "error": "x"}"#);
    }

    #[test]
    fn anything_else_is_no_answer() {
        for bad in [
            "",
            "7",
            "[7]",
            "{}",
            "done",
            r#"{"value":1} {"value":2}"#,
            r#"{"value":1,"value":2}"#,
            r#"{"value":1,"error":"x"}"#,
            r#"{"error":null}"#,
            r#"{"error":{"code":1}}"#,
            r#"{"value":NaN}"#,
            r#"{"value":1,"more":2}"#,
            "{\"value\":\"\u{1}\"}",
        ] {
            assert!(answer(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(answer(b"{\"value\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_value_that_no_list_may_hold_is_an_error() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for bad in [&*deep, "1e999"] {
            let outcome = outcome(&item(Encoding::Json, "1"), Answer::Value(bad));
            assert_eq!(outcome.unwrap_err().kind, ErrorKind::BadValue);
        }
    }
}
