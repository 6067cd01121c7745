//! The fuzz targets' bodies, which the tests run too.

#[path = "../../tests/fuzzing/mod.rs"]
pub mod fuzzing;
