//! Reads a result's bytes; a server that dies or lags meanwhile costs time and no error.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use async_nats::jetstream::object_store::{GetErrorKind, ObjectInfo};
use jetiter_config::names::GroupId;
use jetiter_config::wire::Summary;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Remote;
use crate::error::Error;
use crate::result::Raw;
use crate::wait;

/// Without a byte for so long a download is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// A replica that lags hands out a part of an object as if it were all of it: for so long a damage
/// may be no more than that.
const LAG: Duration = Duration::from_secs(5);
/// How long between two downloads.
const AGAIN: Duration = Duration::from_millis(500);

/// Why an object was not read.
#[derive(Debug)]
enum Unread {
    /// No leader, no connection: the same again may work.
    Unanswered(String),
    /// What came is not the object.
    Damaged(String),
}

fn unanswered(error: impl fmt::Display) -> Unread {
    Unread::Unanswered(error.to_string())
}

impl Remote {
    /// An object of a group as soon as it is there; `None` when the time is over.
    pub(crate) async fn read(
        &self,
        group: &GroupId,
        object: &str,
        wait: Duration,
    ) -> Result<Option<Raw>, Error> {
        let Some(info) = wait::for_object(&self.broker, group, object, wait).await? else {
            return Ok(None);
        };
        let damaged = |reason: String| Error::Damaged { group: group.to_string(), reason };
        let summary = Summary::from_metadata(&info.metadata)
            .ok_or_else(|| damaged("its metadata is not jetiter's".to_owned()))?;
        let (began, patience) = (Instant::now(), wait.min(wait::UNANSWERED));
        loop {
            let unread = match self.download(object).await {
                Ok(bytes) => return Ok(bytes.map(|bytes| Raw { summary, bytes })),
                Err(unread) => unread,
            };
            tracing::debug!(object, ?unread, "not read, reading again");
            match unread {
                Unread::Damaged(reason) if began.elapsed() > LAG => return Err(damaged(reason)),
                Unread::Unanswered(reason) if began.elapsed() > patience => {
                    return Err(Error::Api { what: format!("the result {object}"), reason });
                }
                _ => sleep(AGAIN).await,
            }
        }
    }

    /// The object's bytes; `None` when it has gone since it was looked for.
    async fn download(&self, object: &str) -> Result<Option<Vec<u8>>, Unread> {
        let bucket = self.broker.namespace.results_bucket();
        let store = self.broker.jetstream.get_object_store(bucket).await;
        let store = store.map_err(unanswered)?;
        let mut tries = 0;
        let mut reader = loop {
            tries += 1;
            match store.get(object).await {
                Ok(reader) => break reader,
                Err(error) if error.kind() == GetErrorKind::NotFound && tries < 20 => {
                    let found = wait::look(&self.broker, object).await;
                    if found.map_err(unanswered)?.is_none() {
                        return Ok(None);
                    }
                    // A replica may lag behind the leader, which has it.
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(unanswered(error)),
            }
        };
        let mut bytes = Vec::with_capacity(reader.info().size);
        loop {
            let read = timeout(SILENCE, reader.read_buf(&mut bytes)).await;
            let came = bytes.len();
            match read {
                Ok(Ok(0)) => return Ok(Some(bytes)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => {
                    return Err(Unread::Damaged(error.to_string()));
                }
                Ok(Err(error)) => return Err(unanswered(error)),
                Err(_) => return Err(self.silent(reader.info(), came).await),
            }
        }
    }

    /// Chunks that somebody removed, or that expired, never come; nor does anything from a server
    /// that is frozen. The leader knows which it is.
    async fn silent(&self, info: &ObjectInfo, came: usize) -> Unread {
        let ns = &self.broker.namespace;
        let subject = ns.chunk_subject(&info.nuid);
        let found = self.broker.stream_info(&ns.results_stream(), Some(&subject)).await;
        let reason = format!("only {came} of its {} bytes are there", info.size);
        match found {
            Ok(found) if found.state.subjects.get(&subject) != Some(&(info.chunks as u64)) => {
                Unread::Damaged(reason)
            }
            _ => Unread::Unanswered(reason),
        }
    }
}
