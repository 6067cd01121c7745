//! Writes a value in the other encoding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value;
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};

pub(super) fn json_to_cbor(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut cbor = Vec::with_capacity(bytes.len());
    ciborium::into_writer(&value, &mut cbor).map_err(|error| error.to_string())?;
    Ok(cbor)
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
    match untagged(key) {
        Value::Text(text) => Ok(text.clone()),
        Value::Array(_) | Value::Map(_) => Err("a JSON key can't be a list or a map".to_owned()),
        scalar => serde_json::to_string(&AsJson(scalar)).map_err(|error| error.to_string()),
    }
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
        check(&Value::Map(vec![(Value::from(1), Value::from("a"))]), "{\"1\":\"a\"}");
    }

    #[test]
    fn there_and_back() {
        let json = br#"{"a":[1,-2,2.5,null,true,"x"]}"#;
        assert_eq!(cbor_to_json(&json_to_cbor(json).unwrap()).unwrap(), json);
    }
}
