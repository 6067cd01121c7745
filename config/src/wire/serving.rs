//! What a worker says that it serves.

use serde::{Deserialize, Serialize};

/// A function that is served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signature {
    /// Its dotted name.
    pub name: String,
    /// The type of its argument, in the words of its language, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes: Option<String>,
    /// The type of its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<String>,
}

/// A worker's answer to the question what it serves, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The queue that it works.
    pub queue: String,
    /// The functions, by name.
    pub functions: Vec<Signature>,
}
