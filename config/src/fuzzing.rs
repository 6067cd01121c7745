//! Private decoders, for the fuzz targets alone.

use figment::value::Dict;

use crate::settings::parse_addresses;

/// The text of a nats context as values of the settings.
pub fn context(text: &str) -> Result<Dict, String> {
    crate::context::values(text)
}

/// A list of server addresses, as the client gets them.
pub fn addresses(list: &str) -> Result<Vec<String>, String> {
    let addresses = parse_addresses(list)?;
    Ok(addresses.urls.into_iter().map(String::from).collect())
}
