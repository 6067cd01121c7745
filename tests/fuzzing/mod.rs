//! What each fuzz target does with its bytes: more than "no panic", what must hold of whatever is
//! read. Here and not in `fuzz`, so that `corpus` runs the same on stable Rust in every test run.

mod addresses;
mod commands;
mod encodings;
mod messages;
mod names;
mod results;
mod settings;

/// A target's name, and what it does with any bytes: it panics if something is wrong.
pub type Target = (&'static str, fn(&[u8]));

/// Every decoder that meets bytes from outside.
pub const TARGETS: [Target; 14] = [
    ("addresses", addresses::addresses),
    ("cbor", encodings::cbor),
    ("commands", commands::commands),
    ("context", settings::context),
    ("deep", encodings::deep),
    ("functions", messages::functions),
    ("item", messages::item),
    ("json", encodings::json),
    ("names", names::names),
    ("outcome", messages::outcome),
    ("outcomes", messages::outcomes),
    ("result", results::result),
    ("seal", messages::seal),
    ("settings", settings::settings),
];

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, run) = target.unwrap_or_else(|| panic!("there is no fuzz target {name}"));
    run(bytes);
}
