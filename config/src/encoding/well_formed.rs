//! Walks a value without building it. The visitor knows both encodings, though `walk` is the quicker
//! way through CBOR: "well formed" means that the readers that everybody uses can read it, and the
//! tests hold the quick way to it.

use serde::de::{DeserializeSeed, Error, Visitor};
use serde::de::{Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess};

use super::MAX_DEPTH;

pub(super) fn json(bytes: &[u8]) -> Result<(), String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let walked = WellFormed(MAX_DEPTH).deserialize(&mut reader).and_then(|()| reader.end());
    walked.map_err(|error| error.to_string())
}

#[cfg(test)]
pub(super) fn cbor(bytes: &[u8]) -> Result<(), String> {
    super::strict_cbor::<Walked>(bytes).map(|Walked| ())
}

#[cfg(test)]
struct Walked;

#[cfg(test)]
impl<'de> serde::Deserialize<'de> for Walked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WellFormed(MAX_DEPTH).deserialize(deserializer).map(|()| Walked)
    }
}

/// The levels that may still open.
#[derive(Clone, Copy)]
struct WellFormed(usize);

impl WellFormed {
    fn inner<E: Error>(self) -> Result<WellFormed, E> {
        let left = self.0.checked_sub(1);
        left.map(WellFormed).ok_or_else(|| E::custom(format!("nested deeper than {MAX_DEPTH}")))
    }
}

impl<'de> DeserializeSeed<'de> for WellFormed {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! leaf {
    ($($visit:ident: $kind:ty),*) => {
        $(fn $visit<E: Error>(self, _: $kind) -> Result<(), E> { Ok(()) })*
    };
}

impl<'de> Visitor<'de> for WellFormed {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("one well-formed value")
    }

    leaf!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128,
          visit_f64: f64, visit_str: &str, visit_bytes: &[u8]);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<(), D::Error> {
        self.deserialize(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while pairs.next_entry_seed(inner, inner)?.is_some() {}
        Ok(())
    }

    /// ciborium hands over a tagged value as an enum of one pair: the tag and the value.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        let (_, content) = data.variant::<IgnoredAny>()?;
        content.tuple_variant(2, inner)
    }
}
