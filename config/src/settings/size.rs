//! Numbers of bytes: a plain integer, or text such as `16MiB`.

use std::fmt;
use std::marker::PhantomData;

use bytesize::ByteSize;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

const UNITS: [(i64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// Writes the size in the greatest unit that keeps it whole.
pub(super) fn serialize<T, S>(size: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Copy + TryInto<i64>,
    S: Serializer,
{
    let bytes = (*size).try_into().unwrap_or(i64::MAX);
    match UNITS.iter().find(|(unit, _)| bytes > 0 && bytes % unit == 0) {
        Some((unit, name)) => serializer.collect_str(&format_args!("{}{name}", bytes / unit)),
        None => serializer.collect_str(&bytes),
    }
}

/// Reads an integer, or a number with a unit.
pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<i64>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Size(PhantomData))
}

struct Size<T>(PhantomData<T>);

impl<T: TryFrom<i64>> Visitor<'_> for Size<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, plain or with a unit such as \"16MiB\"")
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<T, E> {
        T::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<T, E> {
        let signed = i64::try_from(bytes).ok().and_then(|bytes| T::try_from(bytes).ok());
        signed.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(bytes), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        if let Ok(bytes) = text.trim().parse::<i64>() {
            return self.visit_i64(bytes);
        }
        match text.trim().parse::<ByteSize>() {
            Ok(size) => self.visit_u64(size.as_u64()),
            Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}
