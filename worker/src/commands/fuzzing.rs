//! What meets a program's bytes, for the fuzz targets alone.

use jetiter_config::call::{Item, Outcome};
use jetiter_config::wire::ItemError;

use super::line;

/// The line that asks for an item's value.
pub fn question(item: &Item) -> Result<Vec<u8>, ItemError> {
    line::question(item)
}

/// What a line is to an item; `None` when it is no answer.
pub fn answer(item: &Item, line: &[u8]) -> Option<Outcome> {
    line::answer(line).ok().map(|answer| line::outcome(item, answer))
}
