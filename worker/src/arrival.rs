//! An item's message, read.

use jetiter_config::call::Item;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{Delivery, ItemId, Span};
use jetiter_config::wire::{self, ErrorKind, ItemError};

use crate::chunk_run::Given;
use crate::executor::Executor;

/// What a message says.
pub(crate) struct Arrival {
    pub(crate) item: Item,
    pub(crate) kind: Kind,
    pub(crate) retries: u32,
    pub(crate) delivered: u64,
    /// Its sequence in the items stream.
    pub(crate) position: u64,
}

/// What kind of message it is.
pub(crate) enum Kind {
    Item,
    /// The argument is a list of arguments.
    Chunk(Given),
    /// Something is wrong with it: it gets an error outcome unrun.
    Faulty(ItemError),
}

impl Executor {
    /// Reads a message; `None` when its subject names no group that an outcome could be stored under.
    pub(crate) fn read(&self, message: &async_nats::Message) -> Option<Arrival> {
        let delivery = Delivery::parse(message.reply.as_deref()?)?;
        let work = self.broker.namespace.parse_work(&message.subject)?;
        let headers = message.headers.as_ref();
        let (sequence, timestamp) = (delivery.sequence, delivery.timestamp);
        let stored = ItemId::Stored { sequence, timestamp };
        let mut fault = None;
        let mut sound = |error: String| fault = Some(ItemError::new(ErrorKind::BadHeader, error));
        let index = wire::header(headers, wire::INDEX);
        let span = index.and_then(Span::parse);
        let id = match (index, span) {
            (None, _) => stored,
            (_, Some(span)) => ItemId::Index(span.first()),
            (Some(text), None) => ItemId::index(text).unwrap_or_else(|| {
                let wanted = "a plain number from 0 on, or <first>-<count> for a chunk";
                sound(format!("{} is {text:?}: use {wanted}", wire::INDEX));
                stored
            }),
        };
        let encoding = Encoding::from_content_type(wire::header(headers, wire::CONTENT_TYPE));
        let encoding = encoding.map_err(|e| sound(e.to_string())).unwrap_or_default();
        let timeout = wire::header_millis(headers, wire::TIMEOUT);
        let timeout = timeout.map_err(|e| sound(e.to_string())).unwrap_or_default();
        let retries = wire::header_count(headers, wire::RETRIES);
        let retries = retries.map_err(|e| sound(e.to_string())).unwrap_or_default();
        let item = Item {
            group: work.group.parse().ok()?,
            id,
            function: work.function.parse().ok()?,
            argument: message.payload.clone(),
            encoding,
            attempt: u32::try_from(delivery.delivered).unwrap_or(u32::MAX),
            timeout: timeout.unwrap_or(self.settings.timeout),
        };
        let (delivered, retries) = (delivery.delivered, retries.unwrap_or(0));
        let kind = match (span, fault) {
            (Some(span), fault) => Kind::Chunk(Given { span, retries, delivered, fault }),
            (None, Some(fault)) => Kind::Faulty(fault),
            (None, None) => Kind::Item,
        };
        Some(Arrival { item, kind, retries, delivered, position: sequence })
    }
}
