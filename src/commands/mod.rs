//! One file per command, and what several of them share: [`input`], [`print`], [`progress`],
//! [`server`].

pub(crate) mod bench;
pub(crate) mod cancel;
pub(crate) mod collator;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod delete;
pub(crate) mod fetch;
pub(crate) mod init;
mod input;
pub(crate) mod ls;
pub(crate) mod map;
pub(crate) mod print;
mod progress;
pub(crate) mod result;
mod server;
pub(crate) mod status;
mod test_functions;
pub(crate) mod up;
pub(crate) mod worker;
