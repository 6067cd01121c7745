//! Reads an object's bytes, through whatever befalls the server meanwhile.

use std::time::Duration;

use async_nats::jetstream::object_store::ObjectInfo;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use jetiter_config::broker::Broker;
use jetiter_config::wire::Summary;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};

use crate::wait::{UNANSWERED, look};

/// Without a byte for so long the download begins anew.
const SILENCE: Duration = Duration::from_secs(10);
/// Memory that is asked for before the first byte of a download.
const MOST_AT_ONCE: usize = 16 << 20;
/// How long between two tries.
const AGAIN: Duration = Duration::from_millis(250);
/// So often a whole object with a wrong digest may come from a replica that lags.
const WRONG: u32 = 8;

/// The object's bytes; `None` when it has gone since it was looked for. An error says why it will
/// not come, or did not come for a minute.
pub(crate) async fn download(
    broker: &Broker,
    info: &ObjectInfo,
) -> Result<Option<Vec<u8>>, String> {
    if let Some(bytes) = only_chunk(broker, info).await {
        return Ok(Some(bytes));
    }
    let object = &info.name;
    let began = Instant::now();
    let mut wrong = 0;
    loop {
        let failed = match read(broker, object).await {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(failed) => failed,
        };
        // A replica may lag behind the leader, a server may die in between: the leader's word
        // says whether it is worth another try.
        match look(broker, object).await {
            Ok(None) => return Ok(None),
            Ok(Some(info)) => whole(broker, &info).await?,
            Err(error) => tracing::debug!(object, %error, "no answer, trying again"),
        }
        wrong += u32::from(failed.wrong);
        if wrong == WRONG || began.elapsed() > UNANSWERED {
            return Err(failed.reason);
        }
        tracing::debug!(object, reason = failed.reason, "not read yet, trying again");
        sleep(AGAIN).await;
    }
}

/// The bytes of an object of one chunk, in one round trip; `None` where that is not all there is to
/// it.
async fn only_chunk(broker: &Broker, info: &ObjectInfo) -> Option<Vec<u8>> {
    if info.chunks != 1 {
        return None;
    }
    let ns = &broker.namespace;
    let stream = broker.jetstream.get_stream_no_info(ns.results_stream()).await.ok()?;
    let chunk = stream.direct_get_last_for_subject(ns.chunk_subject(&info.nuid)).await.ok()?;
    let digest = format!("SHA-256={}", URL_SAFE.encode(Sha256::digest(&chunk.payload)));
    (info.digest.as_deref() == Some(&*digest)).then(|| chunk.payload.into())
}

/// Why one try brought nothing.
struct Failed {
    reason: String,
    /// All bytes came, and they are not what was committed.
    wrong: bool,
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed { reason: error.to_string(), wrong: false }
    }
}

async fn read(broker: &Broker, object: &str) -> Result<Vec<u8>, Failed> {
    let bucket = broker.namespace.results_bucket();
    let store = broker.jetstream.get_object_store(bucket).await?;
    let mut reader = store.get(object).await?;
    let size = reader.info().size;
    // The metadata may tell of any size: what comes decides.
    let mut bytes = Vec::with_capacity(size.min(MOST_AT_ONCE));
    loop {
        let came = bytes.len();
        match timeout(SILENCE, reader.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => return Ok(bytes),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let wrong = error.kind() == std::io::ErrorKind::InvalidData;
                return Err(Failed { wrong, ..error.into() });
            }
            Err(_) => {
                let reason = format!("only {came} of its {size} bytes came");
                return Err(Failed { reason, wrong: false });
            }
        }
    }
}

/// Chunks that somebody removed, or that expired, never come.
async fn whole(broker: &Broker, info: &ObjectInfo) -> Result<(), String> {
    match chunks(broker, &info.nuid).await {
        Some(there) if there < info.chunks as u64 => {
            let (chunks, size) = (info.chunks, info.size);
            Err(format!("{there} of the {chunks} chunks of its {size} bytes are there"))
        }
        _ => Ok(()),
    }
}

/// Whether the records' chunks are there: they are stored before the list is, so whoever finds it
/// can still make an object of them. No answer says nothing against it.
pub(crate) async fn has_records(broker: &Broker, summary: &Summary) -> bool {
    let nuid = summary.records.split(' ').next().unwrap_or_default();
    chunks(broker, nuid).await.is_none_or(|there| there > 0)
}

/// How many chunks of one upload are there; `None` without an answer.
async fn chunks(broker: &Broker, nuid: &str) -> Option<u64> {
    let ns = &broker.namespace;
    let subject = ns.chunk_subject(nuid);
    let stored = broker.stream_info(&ns.results_stream(), Some(&subject)).await.ok()?;
    Some(stored.state.subjects.values().sum())
}
