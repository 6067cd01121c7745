//! Standard output and standard error. Neither panics when its reader is gone.

use std::io::{self, ErrorKind, Write};

use super::exit::{Exit, Failure};

/// Writes a result, and a line end if it has none.
pub(crate) fn line(bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
    let bytes = bytes.as_ref();
    let end: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\n" };
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.write_all(end)).and_then(|()| out.flush());
    match written {
        // `jetiter ... | head`: whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(format!("standard output can't be written: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Tells a person something. It may hold words from outside, so it is made [`plain`].
pub(crate) fn note(text: impl AsRef<str>) {
    writeln!(io::stderr().lock(), "{}", plain(text.as_ref())).ok();
}

/// Tells why a command failed.
pub(crate) fn failure(failure: &Failure) -> Exit {
    note(match failure.exit {
        Exit::Failed | Exit::UnknownGroup => format!("error: {}", failure.text),
        _ => failure.text.clone(),
    });
    failure.exit
}

/// With control characters escaped: a label or an error message must not move the cursor, or
/// turn the direction of the text.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\u{2028}' | '\u{2029}' => plain.extend(c.escape_unicode()),
            c if c.is_control() || turns => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    plain
}

/// At most so many characters of a text.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Rows with their columns aligned; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let line: String = cells.map(|(cell, w)| format!("{cell:<w$}  ")).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(plain("a\x1b[31mb\n\u{9b}ü"), "a\\u{1b}[31mb\\n\\u{9b}ü");
        assert_eq!(plain("\u{202e}x"), "\\u{202e}x");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = [row(["A", "B"]), row(["long", ""])];
        assert_eq!(table(&rows), "A     B\nlong");
    }
}
