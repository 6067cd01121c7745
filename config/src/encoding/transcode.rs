//! Writes a value in the other encoding.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value;
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};

pub(super) fn json_to_cbor(bytes: &[u8]) -> Result<Vec<u8>, String> {
    // Not serde_json's own value: its features, which any crate can turn on, give objects with
    // certain keys another meaning, and one of them reads JSON within JSON, of any depth.
    let mut value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    keep_last(&mut value);
    let mut cbor = Vec::with_capacity(bytes.len());
    ciborium::into_writer(&value, &mut cbor).map_err(|error| error.to_string())?;
    Ok(cbor)
}

/// Of equal keys the last one counts, as for most readers of JSON. In CBOR they are an error.
fn keep_last(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(keep_last),
        Value::Map(pairs) => {
            let mut known = HashSet::new();
            pairs.reverse();
            pairs.retain(|(key, _)| known.insert(key.as_text().map(str::to_owned)));
            pairs.reverse();
            pairs.iter_mut().for_each(|(_, value)| keep_last(value));
        }
        _ => {}
    }
}

pub(super) fn cbor_to_json(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let value = super::strict_cbor::<Value>(bytes)?;
    serde_json::to_vec(&AsJson(&value)).map_err(|error| error.to_string())
}

struct AsJson<'a>(&'a Value);

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Integer(number) => i128::from(*number).serialize(serializer),
            Value::Float(number) => number.serialize(serializer),
            Value::Bytes(bytes) => STANDARD.encode(bytes).serialize(serializer),
            Value::Text(text) => text.serialize(serializer),
            Value::Bool(flag) => flag.serialize(serializer),
            Value::Null => serializer.serialize_unit(),
            Value::Tag(..) => match self.0.deserialized::<u128>() {
                Ok(big) => big.serialize(serializer),
                Err(_) => match self.0.deserialized::<i128>() {
                    Ok(big) => big.serialize(serializer),
                    Err(_) => AsJson(untagged(self.0)).serialize(serializer),
                },
            },
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&AsJson(item))?;
                }
                list.end()
            }
            Value::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(&key_text(key).map_err(S::Error::custom)?, &AsJson(value))?;
                }
                map.end()
            }
            other => Err(S::Error::custom(format!("no JSON for {other:?}"))),
        }
    }
}

fn untagged(value: &Value) -> &Value {
    match value {
        Value::Tag(_, inner) => untagged(inner),
        plain => plain,
    }
}

fn key_text(key: &Value) -> Result<String, String> {
    if let Value::Array(_) | Value::Map(_) = untagged(key) {
        return Err("a JSON key can't be a list or a map".to_owned());
    }
    let json = serde_json::to_string(&AsJson(key)).map_err(|error| error.to_string())?;
    // A text stands in quotes, which are not part of it; a number is its own text.
    Ok(serde_json::from_str(&json).unwrap_or(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &impl Serialize, json: &str) {
        let mut cbor = Vec::new();
        ciborium::into_writer(value, &mut cbor).unwrap();
        assert_eq!(String::from_utf8(cbor_to_json(&cbor).unwrap()).unwrap(), json);
    }

    #[test]
    fn numbers_keep_their_value() {
        check(&u64::MAX, "18446744073709551615");
        check(&i64::MIN, "-9223372036854775808");
        check(&u128::MAX, "340282366920938463463374607431768211455");
        check(&i128::MIN, "-170141183460469231731687303715884105728");
        check(&0.1, "0.1");
        check(&3.0, "3.0");
    }

    #[test]
    fn what_json_lacks_has_a_fate() {
        check(&f64::NAN, "null");
        check(&f64::INFINITY, "null");
        check(&Value::Bytes(vec![1, 2, 3]), "\"AQID\"");
        check(&Value::Tag(1, Box::new(Value::from(5))), "5");
        let key = |key| Value::Map(vec![(key, Value::from("a"))]);
        check(&key(Value::from(1)), "{\"1\":\"a\"}");
        check(&key(Value::Null), "{\"null\":\"a\"}");
        check(&key(Value::Bytes(vec![1, 2, 3])), "{\"AQID\":\"a\"}");
        check(&key(Value::from(u128::MAX)), &format!("{{\"{}\":\"a\"}}", u128::MAX));
    }

    #[test]
    fn an_object_is_an_object_whatever_its_keys_are() {
        for json in [
            r#"{"$serde_json::private::RawValue":"[[[]]]"}"#,
            r#"{"$serde_json::private::RawValue":5}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"{"@@TAG@@":[1,2]}"#,
        ] {
            let back = cbor_to_json(&json_to_cbor(json.as_bytes()).unwrap()).unwrap();
            assert_eq!(String::from_utf8(back).unwrap(), json);
        }
    }

    #[test]
    fn of_equal_keys_the_last_one_counts() {
        let cbor = json_to_cbor(br#"{"b":1,"a":2,"b":[{"c":3,"c":4}]}"#).unwrap();
        assert_eq!(cbor_to_json(&cbor).unwrap(), br#"{"a":2,"b":[{"c":4}]}"#);
    }

    #[test]
    fn there_and_back() {
        let json = br#"{"a":[1,-2,2.5,null,true,"x"]}"#;
        assert_eq!(cbor_to_json(&json_to_cbor(json).unwrap()).unwrap(), json);
    }
}
