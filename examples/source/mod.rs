//! What a source file holds: `source_worker` serves it as a function, `source_stats` maps that over
//! thousands of files and computes the same in a plain loop to compare.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The argument: one file. Anything that serde can read is an argument.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// The file, seen from `root`.
    pub(crate) path: String,
    /// The worker's current directory when none is given.
    pub(crate) root: Option<String>,
}

/// The value: what the file holds. Anything that serde can write is a value.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) blank_lines: u64,
    /// Bytes of the longest line.
    pub(crate) longest_line: u64,
    /// How often `fn ` stands in it.
    pub(crate) functions: u64,
    /// How often `unsafe ` does.
    pub(crate) unsafes: u64,
    /// FNV-1a of the bytes, as text: JSON readers often can't hold 64 bits in a number.
    pub(crate) checksum: String,
}

/// An ordinary function that may fail; it knows nothing of jetiter.
pub(crate) fn stats(source: Source) -> Result<Stats, String> {
    let Source { path, root } = source;
    let file = Path::new(root.as_deref().unwrap_or(".")).join(&path);
    // An error goes into the item's record, to somebody elsewhere: it says which file.
    let unreadable = |error| format!("{} can't be read: {error}", file.display());
    if !fs::metadata(&file).map_err(unreadable)?.is_file() {
        // Reading a device or a pipe might never end.
        return Err(format!("{} is not a regular file", file.display()));
    }
    let bytes = fs::read(&file).map_err(unreadable)?;
    let mut stats = Stats {
        path,
        bytes: bytes.len() as u64,
        lines: 0,
        blank_lines: 0,
        longest_line: 0,
        functions: count(&bytes, b"fn "),
        unsafes: count(&bytes, b"unsafe "),
        checksum: format!("{:016x}", fnv_1a(&bytes)),
    };
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        stats.lines += 1;
        stats.blank_lines += u64::from(line.is_empty());
        stats.longest_line = stats.longest_line.max(line.len() as u64);
    }
    Ok(stats)
}

fn count(bytes: &[u8], word: &[u8]) -> u64 {
    bytes.windows(word.len()).filter(|at| *at == word).count() as u64
}

fn fnv_1a(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}
