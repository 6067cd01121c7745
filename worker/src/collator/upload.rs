//! Writes one object in the object-store format (ADR-20): chunks in flight, metadata apart.
//!
//! async-nats's own `put` waits for each chunk. This one keeps a window of them in flight, and
//! leaves the metadata to its caller: publishing that is the commit.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::object_store::{ObjectInfo, ObjectOptions};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use jetiter_config::broker::{Broker, Outgoing, Publishing};
use jetiter_config::encoding::Encoding;
use jetiter_config::wire::Done;
use jetiter_config::{crash_point, wire};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// How many chunks may be unacknowledged.
const WINDOW: usize = 8;
/// How much longer chunks are kept than the metadata that leads to them.
const CHUNK_MARGIN: Duration = Duration::from_secs(600);

/// An upload under way.
pub(crate) struct Upload {
    broker: Broker,
    nuid: String,
    subject: String,
    chunk: usize,
    ttl: Option<String>,
    buffer: Vec<u8>,
    digest: Sha256,
    size: usize,
    chunks: usize,
    in_flight: VecDeque<Publishing>,
    /// The only chunk so far, if it is small.
    small: Option<Bytes>,
}

/// An upload whose every chunk is stored, but for one that goes with the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uploaded {
    pub(crate) nuid: String,
    pub(crate) chunks: usize,
    pub(crate) size: usize,
    pub(crate) digest: String,
    /// All of it, if it is small.
    pub(crate) small: Option<Bytes>,
}

impl Upload {
    /// Begins an upload for a group, of a result that is kept for so many milliseconds.
    pub(crate) fn begin(
        broker: &Broker,
        group: &str,
        chunk: usize,
        keep_ms: Option<u64>,
    ) -> Upload {
        let ttl = keep_ms.map(|keep| wire::ttl(Duration::from_millis(keep) + CHUNK_MARGIN));
        let nuid =
            format!("{group}.{}", broker.client.new_inbox().rsplit('.').next().unwrap_or("0"));
        Upload {
            subject: broker.namespace.chunk_subject(&nuid),
            broker: broker.clone(),
            nuid,
            chunk,
            ttl,
            buffer: Vec::new(),
            digest: Sha256::new(),
            size: 0,
            chunks: 0,
            in_flight: VecDeque::new(),
            small: None,
        }
    }

    /// The upload's own part of the chunks' subject.
    pub(crate) fn nuid(&self) -> &str {
        &self.nuid
    }

    /// Adds bytes; nothing is sent yet.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Adds a value that neither encoding can refuse.
    pub(crate) fn write_value(&mut self, encoding: Encoding, value: &impl Serialize) {
        encoding.encode_into(value, &mut self.buffer).ok();
    }

    /// Sends what fills chunks. An error makes the whole upload void: a chunk sent again would
    /// stand behind later ones.
    pub(crate) async fn send_full(&mut self) -> Result<(), String> {
        while self.buffer.len() >= self.chunk {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what is held back to fill a chunk.
    pub(crate) async fn flush(&mut self) -> Result<(), String> {
        if self.buffer.is_empty() { Ok(()) } else { self.send().await }
    }

    /// Sends the rest and waits for every chunk's acknowledgement. An only chunk is returned instead, to
    /// be published with the metadata behind it.
    pub(crate) async fn finish(mut self) -> Result<(Uploaded, Option<Outgoing>), String> {
        self.send_full().await?;
        let mut only = None;
        if self.chunks == 0 && !self.buffer.is_empty() {
            only = Some(self.next());
            crash_point("collator.chunk");
        }
        self.flush().await?;
        while !self.in_flight.is_empty() {
            self.acknowledged().await?;
        }
        let uploaded = Uploaded {
            nuid: self.nuid,
            chunks: self.chunks,
            size: self.size,
            digest: format!("SHA-256={}", URL_SAFE.encode(self.digest.finalize())),
            small: self.small,
        };
        Ok((uploaded, only))
    }

    async fn send(&mut self) -> Result<(), String> {
        if self.in_flight.len() >= WINDOW {
            self.acknowledged().await?;
        }
        let Outgoing { subject, headers, payload } = self.next();
        let sent = self.broker.publish(subject, headers, payload).await;
        self.in_flight.push_back(sent.map_err(|error| error.to_string())?);
        crash_point("collator.chunk");
        Ok(())
    }

    /// Takes the next chunk.
    fn next(&mut self) -> Outgoing {
        let later = self.buffer.split_off(self.chunk.min(self.buffer.len()));
        let chunk = Bytes::from(std::mem::replace(&mut self.buffer, later));
        self.digest.update(&chunk);
        self.size += chunk.len();
        self.chunks += 1;
        self.small = (self.chunks == 1 && chunk.len() <= Done::MAX_LIST).then(|| chunk.clone());
        let mut headers = HeaderMap::new();
        if let Some(ttl) = &self.ttl {
            headers.insert(wire::TTL, ttl.as_str());
        }
        Outgoing { subject: self.subject.as_str().into(), headers, payload: chunk }
    }

    async fn acknowledged(&mut self) -> Result<(), String> {
        match self.in_flight.pop_front() {
            Some(sent) => sent.await.map(drop).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}

impl Uploaded {
    /// `<nuid> <chunks> <bytes> <digest>`
    pub(crate) fn to_text(&self) -> String {
        format!("{} {} {} {}", self.nuid, self.chunks, self.size, self.digest)
    }

    /// Reads [`to_text`](Self::to_text).
    pub(crate) fn from_text(text: &str) -> Option<Uploaded> {
        let mut parts = text.splitn(4, ' ');
        Some(Uploaded {
            nuid: parts.next()?.to_owned(),
            chunks: parts.next()?.parse().ok()?,
            size: parts.next()?.parse().ok()?,
            digest: parts.next()?.to_owned(),
            small: None,
        })
    }

    /// The object's metadata.
    pub(crate) fn info(
        &self,
        bucket: String,
        name: &str,
        description: String,
        chunk: usize,
        metadata: HashMap<String, String>,
    ) -> ObjectInfo {
        ObjectInfo {
            name: name.to_owned(),
            description: Some(description),
            metadata,
            headers: None,
            options: Some(ObjectOptions { link: None, max_chunk_size: Some(chunk) }),
            bucket,
            nuid: self.nuid.clone(),
            size: self.size,
            chunks: self.chunks,
            modified: None,
            digest: Some(self.digest.clone()),
            deleted: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_told_in_one_line() {
        let uploaded = Uploaded {
            nuid: "g.1".into(),
            chunks: 2,
            size: 3,
            digest: "SHA-256=abc=".into(),
            small: None,
        };
        assert_eq!(Uploaded::from_text(&uploaded.to_text()), Some(uploaded));
        assert_eq!(Uploaded::from_text("g.1 2"), None);
    }
}
