//! What a plain program gets of an argument, and the value that its standard output is.

use jetiter_config::call::{Item, Outcome};
use jetiter_config::settings::Output;
use jetiter_config::wire::{ErrorKind, ItemError};
use serde_json::value::RawValue;

use super::line;

/// The argument for standard input.
pub(super) fn stdin(item: &Item) -> Result<Vec<u8>, ItemError> {
    let json = line::argument(item)?;
    let text = word(json.trim());
    Ok(text.map_err(|reason| bad(item, &reason))?.into_bytes())
}

/// The argument as words: a list is one for each of its values, anything else is one.
pub(super) fn words(item: &Item) -> Result<Vec<String>, ItemError> {
    let json = line::argument(item)?;
    let json = json.trim();
    let words = match json.starts_with('[') {
        true => serde_json::from_str::<Vec<&RawValue>>(json)
            .map_err(|error| error.to_string())
            .and_then(|values| values.into_iter().map(|value| word(value.get())).collect()),
        false => word(json).map(|word| vec![word]),
    };
    let words: Vec<String> = words.map_err(|reason| bad(item, &reason))?;
    match words.iter().any(|word| word.contains('\0')) {
        true => Err(bad(item, "a word can't hold a zero byte")),
        false => Ok(words),
    }
}

/// A text is what it says, everything else is its JSON, as it was written.
fn word(json: &str) -> Result<String, String> {
    match json.starts_with('"') {
        true => serde_json::from_str(json).map_err(|error| error.to_string()),
        false => Ok(json.to_owned()),
    }
}

/// The value of a program that ended well.
pub(super) fn value(item: &Item, written: Vec<u8>, output: Output) -> Outcome {
    match output {
        Output::Json => line::value(item, written.trim_ascii()),
        Output::Text => {
            let text = String::from_utf8(written).map_err(|_| {
                ItemError::new(ErrorKind::BadValue, "its standard output is not UTF-8")
            })?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            let value = item.encoding.encode(text);
            value.map_err(|error| ItemError::new(ErrorKind::BadValue, error))
        }
    }
}

fn bad(item: &Item, reason: &str) -> ItemError {
    let message = format!("{} can't take this argument: {reason}", item.function);
    ItemError::new(ErrorKind::BadArgument, message)
}

#[cfg(test)]
mod tests {
    use jetiter_config::encoding::Encoding;

    use super::super::line::tests::item;
    use super::*;

    #[test]
    fn words_of_an_argument() {
        let check = |json: &str, wanted: &[&str]| {
            assert_eq!(words(&item(Encoding::Json, json)).unwrap(), wanted, "{json}");
        };
        check("\"a b\"", &["a b"]);
        check("1.50", &["1.50"]);
        check(" null\n", &["null"]);
        check("[]", &[]);
        check(
            r#"["a b", "", "\u00e4", 1e3, true, [1,"x"], {"k": "v"}]"#,
            &["a b", "", "ä", "1e3", "true", r#"[1,"x"]"#, r#"{"k": "v"}"#],
        );
        check(r#"{"k": 1}"#, &[r#"{"k": 1}"#]);
        for json in [r#"["a\u0000b"]"#, r#""\ud800""#, "[1"] {
            let error = words(&item(Encoding::Json, json)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument, "{json}");
        }
        let cbor = Encoding::Cbor.encode(&(7, "x")).unwrap();
        assert_eq!(words(&item(Encoding::Cbor, cbor)).unwrap(), ["7", "x"]);
    }

    #[test]
    fn standard_input_of_an_argument() {
        let check = |json: &str, wanted: &str| {
            assert_eq!(stdin(&item(Encoding::Json, json)).unwrap(), wanted.as_bytes(), "{json}");
        };
        check(r#""a\nb\u0000""#, "a\nb\0");
        check("[1, \"a\"]", "[1, \"a\"]");
        check("7", "7");
    }

    #[test]
    fn values_of_an_output() {
        let text = |written: &[u8], encoding: Encoding| {
            let value = value(&item(encoding, "1"), written.to_vec(), Output::Text);
            value.map(|value| encoding.decode::<String>(&value).unwrap())
        };
        for encoding in [Encoding::Json, Encoding::Cbor] {
            assert_eq!(text(b"a\nb\n\n", encoding).unwrap(), "a\nb\n");
            assert_eq!(text(b"a\r\n", encoding).unwrap(), "a");
            assert_eq!(text(b"", encoding).unwrap(), "");
        }
        assert_eq!(text(b"\xff", Encoding::Json).unwrap_err().kind, ErrorKind::BadValue);
        let json =
            |written: &[u8]| value(&item(Encoding::Json, "1"), written.to_vec(), Output::Json);
        assert_eq!(json(b" [1, 2]\n").unwrap(), b"[1, 2]");
        assert_eq!(json(b"1\n2\n").unwrap_err().kind, ErrorKind::BadValue);
        assert_eq!(json(b"").unwrap_err().kind, ErrorKind::BadValue);
    }
}
