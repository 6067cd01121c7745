//! Finds the end of a CBOR value without reading it: quick, and without memory of its own,
//! whatever lengths the bytes announce.

/// How deep a value may nest whose end is still found: its neighbours in a list shall be read,
/// although it is not.
const FINDABLE: usize = 1000;

/// Checks that this is exactly one value, that the usual readers can read it, and that it nests at
/// most so deep.
pub(super) fn one(bytes: &[u8], depth: usize) -> Result<(), String> {
    let mut walker = Walker { bytes, at: 0, strict: true };
    walker.value(depth)?;
    walker.end()
}

/// Walks over CBOR.
pub(super) struct Walker<'a> {
    bytes: &'a [u8],
    /// Where it stands.
    pub(super) at: usize,
    strict: bool,
}

/// A value's first byte and the number behind it; `None` for an indefinite length.
struct Head {
    major: u8,
    minor: u8,
    number: Option<u64>,
}

const BREAK: u8 = 0xff;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

impl<'a> Walker<'a> {
    /// Finds ends, and asks for nothing more: no readable text, no known simple values.
    pub(super) fn new(bytes: &'a [u8]) -> Walker<'a> {
        Walker { bytes, at: 0, strict: false }
    }

    /// Steps over one value.
    pub(super) fn skip(&mut self) -> Result<(), String> {
        self.value(FINDABLE)
    }

    /// Steps into a list; its length, if it says one.
    pub(super) fn open_list(&mut self) -> Result<Option<u64>, String> {
        self.open(LIST, "a list")
    }

    /// Steps into a map; its length, if it says one.
    pub(super) fn open_map(&mut self) -> Result<Option<u64>, String> {
        self.open(MAP, "a map")
    }

    fn open(&mut self, major: u8, what: &str) -> Result<Option<u64>, String> {
        let head = self.head()?;
        if head.major == major { Ok(head.number) } else { Err(format!("this is not {what}")) }
    }

    /// Whether a list or map that says no length ends here; if so, steps over its end.
    pub(super) fn closes(&mut self) -> bool {
        let closes = self.bytes.get(self.at) == Some(&BREAK);
        self.at += usize::from(closes);
        closes
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), String> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            more => Err(format!("{more} bytes too many")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        let head = self.head()?;
        match head.major {
            0 | 1 => head.number.map(drop).ok_or_else(|| self.malformed()),
            BYTES => self.string(&head, |_| true),
            TEXT => {
                let strict = self.strict;
                self.string(&head, |part| !strict || std::str::from_utf8(part).is_ok())
            }
            LIST => self.values(head.number, below(depth, 1)?),
            MAP => match head.number {
                Some(pairs) => {
                    let values = pairs.checked_mul(2).ok_or_else(|| self.malformed())?;
                    self.values(Some(values), below(depth, 1)?)
                }
                None => self.pairs(below(depth, 1)?),
            },
            TAG => self.tagged(head.number, depth),
            _ => self.simple(&head),
        }
    }

    fn values(&mut self, count: Option<u64>, depth: usize) -> Result<(), String> {
        match count {
            // Each takes a byte at least, so a count that lies ends with the bytes.
            Some(count) => (0..count).try_for_each(|_| self.value(depth)),
            None => {
                while !self.closes() {
                    self.value(depth)?;
                }
                Ok(())
            }
        }
    }

    fn pairs(&mut self, depth: usize) -> Result<(), String> {
        while !self.closes() {
            self.value(depth)?;
            self.value(depth)?;
        }
        Ok(())
    }

    /// A tag and its value count as two levels, as the readers see it; a big number as none, and
    /// it must be one that they can read.
    fn tagged(&mut self, tag: Option<u64>, depth: usize) -> Result<(), String> {
        let tag = tag.ok_or_else(|| self.malformed())?;
        if let (2 | 3, Some(big)) = (tag, self.short_bytes()) {
            let too_low = tag == 3 && big.len() == 16 && big[0] >= 0x80;
            return match self.strict && too_low {
                true => Err("an integer is too large".to_owned()),
                false => self.value(0),
            };
        }
        self.value(below(depth, 2)?)
    }

    /// The bytes that stand here, if they are at most 16.
    fn short_bytes(&self) -> Option<&'a [u8]> {
        let mut ahead = Walker { bytes: self.bytes, at: self.at, strict: false };
        let head = ahead.head().ok()?;
        let length = head.number.filter(|length| head.major == BYTES && *length <= 16)?;
        ahead.take(length).ok()
    }

    fn string(&mut self, head: &Head, sound: impl Fn(&[u8]) -> bool) -> Result<(), String> {
        let part = |walker: &mut Self, length| match sound(walker.take(length)?) {
            true => Ok(()),
            false => Err("a text is not UTF-8".to_owned()),
        };
        if let Some(length) = head.number {
            return part(self, length);
        }
        while !self.closes() {
            let inner = self.head()?;
            let length = inner.number.filter(|_| inner.major == head.major);
            part(self, length.ok_or_else(|| self.malformed())?)?;
        }
        Ok(())
    }

    fn simple(&self, head: &Head) -> Result<(), String> {
        let known = matches!(head.minor, 20..=23 | 25..=27);
        let sound = known || !self.strict && head.minor <= 24;
        if sound { Ok(()) } else { Err(self.malformed()) }
    }

    fn head(&mut self) -> Result<Head, String> {
        let first = self.take(1)?[0];
        let (major, minor) = (first >> 5, first & 0x1f);
        let number = match minor {
            0..24 => Some(u64::from(minor)),
            24..28 => {
                let bytes = self.take(1 << (minor - 24))?;
                Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            31 => None,
            _ => return Err(self.malformed()),
        };
        Ok(Head { major, minor, number })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
        let length = length.ok_or("it ends too early")?;
        self.at += length;
        Ok(&rest[..length])
    }

    fn malformed(&self) -> String {
        format!("malformed before byte {}", self.at)
    }
}

fn below(depth: usize, levels: usize) -> Result<usize, String> {
    depth.checked_sub(levels).ok_or_else(|| "nested too deep".to_owned())
}
