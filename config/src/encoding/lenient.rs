//! Reads CBOR by what a value says it is, not by what the reader hoped for: an integer may
//! become a float. Slower than ciborium's own way, so it comes second.

use ciborium::Value;
use serde::de::value::{Error, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let value = super::strict_cbor::<Value>(bytes)?;
    T::deserialize(Lenient(value)).map_err(|error| error.to_string())
}

struct Lenient(Value);

impl IntoDeserializer<'_, Error> for Lenient {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

fn integer<'de, V: Visitor<'de>>(number: i128, visitor: V) -> Result<V::Value, Error> {
    if let Ok(small) = u64::try_from(number) {
        return visitor.visit_u64(small);
    }
    match i64::try_from(number) {
        Ok(small) => visitor.visit_i64(small),
        Err(_) => visitor.visit_i128(number),
    }
}

/// An integer as a float, also one that CBOR writes as a tag and bytes.
fn rounded(value: &Value) -> Option<f64> {
    let positive = value.deserialized::<u128>().map(|number| number as f64);
    let any = positive.or_else(|_| value.deserialized::<i128>().map(|number| number as f64));
    any.ok().or_else(|| match value {
        Value::Tag(_, inner) => rounded(inner),
        _ => None,
    })
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Integer(number) => integer(number.into(), visitor),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::Text(text) => visitor.visit_string(text),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Null => visitor.visit_unit(),
            Value::Tag(_, inner) => Lenient(*inner).deserialize_any(visitor),
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Lenient));
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Value::Map(pairs) => {
                let pairs = pairs.into_iter().map(|(key, value)| (Lenient(key), Lenient(value)));
                let mut pairs = MapDeserializer::new(pairs);
                let value = visitor.visit_map(&mut pairs)?;
                pairs.end()?;
                Ok(value)
            }
            other => Err(Error::custom(format!("a CBOR value of an unknown kind: {other:?}"))),
        }
    }

    /// An integer of any size is a fine float; a float's own reader takes 64 bits of one.
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match rounded(&self.0) {
            Some(number) => visitor.visit_f64(number),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0 == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Text(text) => visitor.visit_enum(text.into_deserializer()),
            Value::Map(pairs) if pairs.len() == 1 => {
                let pairs = pairs.into_iter().map(|(key, value)| (Lenient(key), Lenient(value)));
                let pairs = MapDeserializer::<_, Error>::new(pairs);
                visitor.visit_enum(MapAccessDeserializer::new(pairs))
            }
            _ => Err(Error::custom("an enum is a name, or a map of one name to its content")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
