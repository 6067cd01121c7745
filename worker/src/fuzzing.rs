//! Private decoders, for the fuzz targets alone.

pub use crate::collator::fuzzing::{outcome, uploaded};
pub use crate::commands::fuzzing::{answer, question};
