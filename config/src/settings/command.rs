//! A command: a program that is served as a function.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{HIDDEN, size};

/// The keys of a command, for the error that names an unknown one.
#[cfg(test)]
pub(super) const KEYS: [&str; 9] =
    ["command", "shell", "mode", "input", "output", "env", "cwd", "slots", "output_max_bytes"];

/// A program that is served as a function.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its words, or with `shell` one text.
    pub command: Line,
    /// Whether `command` is one text for `sh -c`.
    #[serde(default)]
    pub shell: bool,
    /// How it is run.
    #[serde(default)]
    pub mode: Mode,
    /// How it gets the argument in the mode `once`; `None` is [`Input::Stdin`].
    #[serde(default)]
    pub input: Option<Input>,
    /// What its standard output is in the mode `once`; `None` is [`Output::Text`].
    #[serde(default)]
    pub output: Option<Output>,
    /// Variables besides the worker's own; they may be secrets.
    #[serde(default, serialize_with = "names_only")]
    pub env: BTreeMap<String, SecretString>,
    /// The working directory; the worker's own if there is none.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// How many run at once in one process; `0` is the worker's concurrency.
    #[serde(default)]
    pub slots: usize,
    /// Most bytes of one answer, or of the standard output in the mode `once`.
    #[serde(default = "output_max_bytes", with = "size")]
    pub output_max_bytes: usize,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// A program and its words.
    Words(Vec<String>),
    /// One text for the shell.
    Text(String),
}

/// How a command is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It lives on: a line in, a line out, for each item.
    #[default]
    Lines,
    /// It is run once for each item.
    Once,
}

/// How a command that is run once gets the argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// On its standard input.
    #[default]
    Stdin,
    /// As words behind its own; a list is one word for each of its values.
    Words,
}

/// What the standard output of a command that is run once is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// A text, without the line's end at its end.
    #[default]
    Text,
    /// One JSON value.
    Json,
}

fn output_max_bytes() -> usize {
    8 << 20
}

fn names_only<S: Serializer>(
    env: &BTreeMap<String, SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(env.len()))?;
    for name in env.keys() {
        map.serialize_entry(name, HIDDEN)?;
    }
    map.end()
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Line, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts, the program first, or with shell = true one text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Line, E> {
        Ok(Line::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, words: A) -> Result<Line, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(words)).map(Line::Words)
    }
}
