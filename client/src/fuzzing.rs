//! Private decoders, for the fuzz targets alone.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::result::{Fetched, Raw};

/// A list and its records as values.
pub fn fetched<T: DeserializeOwned>(list: Raw, records: &Raw) -> Result<Fetched<T>, Error> {
    Fetched::read(list, records)
}
