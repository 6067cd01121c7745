//! What one outcome costs the collator, in allocations: times are too noisy to guard.

use allocation_counter::measure;
use futures_util::FutureExt;
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{ItemId, Span};
use jetiter_config::wire::{OutcomesWriter, Ran};

use super::buffer::{Batch, Buffer};
use super::draft::{Draft, Manner};
use super::outcome::{Of, Stored};
use crate::hot_path_tests::{broker, runtime};
use crate::tally::{Event, Logged, Tally};

const MANY: u32 = 1000;

fn stored(of: Of, payload: &[u8]) -> Stored<'_> {
    let content_type = Some(Encoding::Cbor.content_type());
    Stored { of, failed: false, content_type, run: "1 1700000000000 250 host-1234", payload }
}

/// Outcomes one by one, in their buffer.
fn kept() -> Batch {
    let mut buffer = Buffer::new(1 << 30);
    for index in 0..MANY {
        buffer.keep("g1", &stored(Of::Item(ItemId::Index(index)), &[7]));
    }
    buffer.take("g1").unwrap()
}

/// The allocations of adding this to a draft that holds something, and sends nothing yet.
fn drafted(batch: &Batch) -> u64 {
    let runtime = runtime();
    let _inside = runtime.enter();
    let broker = runtime.block_on(broker());
    let manner = Manner { encoding: Encoding::Cbor, keep_ms: None };
    let mut draft = Draft::begin(&broker, "g1", 1 << 30, None, manner);
    measure(|| {
        for stored in batch.iter() {
            draft.add(&stored).now_or_never().unwrap().unwrap();
        }
    })
    .count_total
}

#[test]
fn an_outcome_in_the_log_costs_next_to_no_allocation() {
    let (mut buffer, mut tally) = (Buffer::new(1 << 30), Tally::default());
    let found = measure(|| {
        for index in 0..MANY {
            let id = ItemId::Index(index);
            let event = Event::Outcome { id, failed: false };
            tally.take(Logged { seq: u64::from(index), at: 1, group: "g1", event });
            buffer.keep("g1", &stored(Of::Item(id), &[7]));
        }
    });
    // For all of them 36 when this was written: they grow.
    assert!(found.count_total <= 50, "{found:?}");
}

#[test]
fn an_outcome_in_the_list_costs_one_allocation() {
    let found = drafted(&kept());
    // For all of them 1033 when this was written: who ran it is read from each.
    assert!(found <= 1050, "{found}");
}

#[test]
fn an_outcome_of_a_chunk_costs_next_to_no_allocation_in_the_list() {
    let mut writer = OutcomesWriter::new(Encoding::Cbor);
    for at in 0..u64::from(MANY) {
        writer.push(Ok(&[7]), Ran { attempts: 1, started: 1_700_000_000_000 + at, took: at });
    }
    let (_, payload) = writer.finish("host-1234".to_owned()).unwrap();
    let mut buffer = Buffer::new(1 << 30);
    buffer.keep("g1", &stored(Of::Items(Span::new(0, MANY).unwrap()), &payload));
    let found = drafted(&buffer.take("g1").unwrap());
    // For all of them 52 when this was written: they grow.
    assert!(found <= 70, "{found}");
}
