//! The arguments of a map: JSON from the command line, a file or standard input.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::cli::{Failure, output};

/// The longest line that is read, in bytes: the greatest payload that a NATS server can take.
const LONGEST: u64 = 64 << 20;

/// Where the arguments come from.
pub(super) enum Input {
    Given(Vec<Box<RawValue>>),
    File(PathBuf),
    Standard,
}

/// One argument, or the sign that the input is at fault: that one can't be written, so the group
/// is not sealed with a total that is too small.
pub(super) enum Argument {
    Value(Box<RawValue>),
    Fault,
}

impl Serialize for Argument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Argument::Value(value) => value.serialize(serializer),
            Argument::Fault => Err(S::Error::custom("the input is at fault")),
        }
    }
}

/// What is wrong with the input, once something is.
pub(super) type Fault = Arc<OnceLock<String>>;

type Lines = Pin<Box<dyn Stream<Item = Result<Box<RawValue>, String>> + Send>>;

impl Input {
    /// Checks what can be checked before anything is submitted: all but standard input, pipes
    /// and the like, which can be read only once.
    pub(super) async fn open(arguments: &[String], from: Option<&Path>) -> Result<Input, Failure> {
        if let Some(path) = from.filter(|path| *path != Path::new("-")) {
            let file = open(path).await.map_err(Failure::new)?;
            if file.metadata().await?.is_file() {
                let mut lines = lines(file, path.display().to_string());
                while let Some(line) = lines.next().await {
                    line.map_err(|fault| Failure::new(format!("{fault}; nothing was submitted")))?;
                }
            }
            return Ok(Input::File(path.to_owned()));
        }
        if arguments.is_empty() {
            return Ok(Input::Standard);
        }
        let given = arguments.iter().enumerate().map(|(at, text)| {
            value(text.as_bytes()).map_err(|fault| {
                let at = at + 1;
                Failure::new(format!("argument {at} {fault}; nothing was submitted"))
            })
        });
        Ok(Input::Given(given.collect::<Result<_, _>>()?))
    }

    /// The arguments, read no faster than they are taken. The first fault is put where told.
    pub(super) async fn arguments(
        self,
        fault: Fault,
    ) -> Result<impl Stream<Item = Argument>, Failure> {
        let lines: Lines = match self {
            Input::Given(values) => Box::pin(stream::iter(values.into_iter().map(Ok))),
            Input::File(path) => {
                let file = open(&path).await.map_err(Failure::new)?;
                lines(file, path.display().to_string())
            }
            Input::Standard => lines(tokio::io::stdin(), "standard input".to_owned()),
        };
        Ok(lines.map(move |line| match line {
            Ok(value) => Argument::Value(value),
            Err(text) => {
                fault.set(text).ok();
                Argument::Fault
            }
        }))
    }
}

async fn open(path: &Path) -> Result<File, String> {
    let file = File::open(path).await;
    file.map_err(|error| format!("{} can't be read: {error}", path.display()))
}

/// One JSON value a line; blank lines are skipped.
fn lines(reader: impl AsyncRead + Unpin + Send + 'static, name: String) -> Lines {
    let reader = BufReader::with_capacity(256 << 10, reader);
    let lines = stream::try_unfold((reader, 0u64), move |(mut reader, mut number)| {
        let name = name.clone();
        async move {
            let mut line = Vec::new();
            loop {
                number += 1;
                let place = |fault: String| format!("line {number} of {name} {fault}");
                line.clear();
                let mut limited = (&mut reader).take(LONGEST + 1);
                let read = limited.read_until(b'\n', &mut line).await;
                let read = read.map_err(|error| place(format!("can't be read: {error}")))?;
                if read == 0 {
                    return Ok(None);
                }
                if read as u64 > LONGEST {
                    return Err(place(format!("is longer than {LONGEST} bytes")));
                }
                let mut text = line.as_slice();
                if number == 1 {
                    text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
                }
                if !text.trim_ascii().is_empty() {
                    let value = value(text).map_err(place)?;
                    return Ok(Some((value, (reader, number))));
                }
            }
        }
    });
    Box::pin(lines.into_stream())
}

/// Exactly one JSON value; numbers keep their digits.
fn value(text: &[u8]) -> Result<Box<RawValue>, String> {
    serde_json::from_slice(text).map_err(|error| {
        let text = String::from_utf8_lossy(text);
        let text = text.trim();
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        let shown = output::shortened(text, 60);
        let quoted = serde_json::Value::from(output::shortened(text, 20));
        format!(
            "is not JSON ({said}, at character {}): {shown} -- a text needs quotes, in a shell \
             '{quoted}'",
            error.column()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &'static str) -> Vec<Result<String, String>> {
        let lines = lines(text.as_bytes(), "test".to_owned());
        lines.map(|line| line.map(|value| value.get().to_owned())).collect().await
    }

    #[tokio::test]
    async fn lines_are_values_as_they_are_written() {
        let read = read("\u{feff}1.50\n\n  [1, -1]\t\r\n\"a\"").await;
        assert_eq!(read, ["1.50", "[1, -1]", "\"a\""].map(|v| Ok(v.to_owned())));
    }

    #[tokio::test]
    async fn a_fault_names_its_line_and_ends_the_input() {
        let read = read("1\n\nfoo\n2\n").await;
        assert_eq!(read.len(), 2);
        let fault = read[1].as_ref().unwrap_err();
        assert!(
            fault.starts_with("line 3 of test is not JSON") && fault.ends_with("'\"foo\"'"),
            "{fault}"
        );
    }

    #[test]
    fn two_values_are_not_one() {
        assert!(value(b"1 2").is_err());
        assert!(value(b"").is_err());
        assert!(value(b"\"\xff\"").is_err());
    }
}
