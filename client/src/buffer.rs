//! The next message in the making: arguments that are written one behind the other.

use std::mem;

use bytes::Bytes;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::Span;
use serde::Serialize;

use crate::options::Chunk;
use crate::submit::check_size;

/// The arguments of the next message.
pub(crate) struct Buffer {
    encoding: Encoding,
    chunk: Chunk,
    /// The most bytes of one message.
    limit: usize,
    /// What opens a list, then the arguments.
    bytes: Vec<u8>,
    first: u32,
    count: u32,
}

/// The payload of one message, and whose it is.
pub(crate) struct Filled {
    pub(crate) span: Span,
    pub(crate) payload: Bytes,
}

impl Buffer {
    pub(crate) fn new(encoding: Encoding, chunk: Chunk, limit: usize) -> Buffer {
        let bytes = encoding.list_open().to_vec();
        Buffer { encoding, chunk, limit, bytes, first: 0, count: 0 }
    }

    /// The index of the next argument.
    pub(crate) fn next(&self) -> u32 {
        self.first + self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the message has as many arguments as it shall have.
    pub(crate) fn is_full(&self) -> bool {
        self.count >= self.chunk.count(self.first)
    }

    /// Adds the next argument; what was there before is returned if both do not fit one message.
    /// Alone it may be as large as a message without a list around it.
    pub(crate) fn add<A: Serialize>(&mut self, argument: &A) -> Result<Option<Filled>, String> {
        let end = self.bytes.len();
        if self.count > 0 {
            self.bytes.extend_from_slice(self.encoding.list_separator());
        }
        let start = self.bytes.len();
        let written = self.encoding.encode_into(argument, &mut self.bytes);
        written.map_err(|error| error.to_string())?;
        check_size(self.bytes.len() - start, self.limit)?;
        let whole = self.bytes.len() + self.encoding.list_close().len();
        let mut before = None;
        if self.count > 0 && whole > self.chunk.bytes(self.limit) {
            let argument = self.bytes.split_off(start);
            self.bytes.truncate(end);
            before = self.take();
            self.bytes.extend_from_slice(&argument);
        }
        self.count += 1;
        Ok(before)
    }

    /// The arguments so far, if there are any. One alone stands for itself, without a list.
    pub(crate) fn take(&mut self) -> Option<Filled> {
        let span = Span::new(self.first, self.count)?;
        let open = self.encoding.list_open();
        let next = Vec::with_capacity(self.bytes.len() + open.len());
        let mut bytes = mem::replace(&mut self.bytes, next);
        self.bytes.extend_from_slice(open);
        (self.first, self.count) = (self.next(), 0);
        if span.count() == 1 {
            return Some(Filled { span, payload: Bytes::from(bytes).slice(open.len()..) });
        }
        bytes.extend_from_slice(self.encoding.list_close());
        Some(Filled { span, payload: bytes.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The spans and payloads of these arguments.
    fn messages<A: Serialize>(mut buffer: Buffer, arguments: &[A]) -> Vec<(String, Bytes)> {
        let mut messages = Vec::new();
        for argument in arguments {
            messages.extend(buffer.add(argument).unwrap());
            if buffer.is_full() {
                messages.extend(buffer.take());
            }
        }
        messages.extend(buffer.take());
        messages.into_iter().map(|filled| (filled.span.to_string(), filled.payload)).collect()
    }

    #[test]
    fn arguments_go_so_many_at_a_time() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let sent = messages(Buffer::new(encoding, Chunk::of(3), 1000), &[1, 2, 3, 4, 5, 6, 7]);
            let lists: Vec<Vec<u8>> =
                sent[..2].iter().map(|(_, payload)| encoding.decode(payload).unwrap()).collect();
            assert_eq!(lists, [[1, 2, 3], [4, 5, 6]]);
            assert_eq!(encoding.decode::<u8>(&sent[2].1), Ok(7), "one alone is no list");
            let spans: Vec<_> = sent.iter().map(|(span, _)| span.as_str()).collect();
            assert_eq!(spans, ["0-3", "3-3", "6-1"]);
        }
    }

    #[test]
    fn what_does_not_fit_one_message_goes_in_several() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let texts = ["a".repeat(40), "b".repeat(40), "c".repeat(96), "d".repeat(10)];
            let sent = messages(Buffer::new(encoding, Chunk::of(10), 100), &texts);
            let spans: Vec<_> = sent.iter().map(|(span, _)| span.as_str()).collect();
            assert_eq!(spans, ["0-2", "2-1", "3-1"], "{encoding}");
            assert!(sent.iter().all(|(_, payload)| payload.len() <= 100));
            let mut buffer = Buffer::new(encoding, Chunk::of(10), 100);
            assert!(buffer.add(&"e".repeat(100)).is_err_and(|reason| reason.contains("100")));
        }
    }
}
