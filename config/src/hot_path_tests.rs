//! What every item costs, in allocations: times are too noisy to guard.

use allocation_counter::measure;
use bytes::Bytes;

use crate::encoding::Encoding;
use crate::names::{Delivery, Entry, ItemId, Namespace};
use crate::wire::{
    CONTENT_TYPE, Outcomes, OutcomesWriter, RUN, Ran, Run, STATUS, header, outcome_headers,
};

fn allocations(of: impl FnOnce()) -> u64 {
    measure(of).count_total
}

fn namespace() -> Namespace {
    "jetiter".parse().unwrap()
}

#[test]
fn subjects_are_read_without_an_allocation() {
    let ns = namespace();
    let read = || {
        let reply = "$JS.ACK._.szMpdrwD.jetiter-items.worker-default-0.3.100.7.1790.42";
        assert!(Delivery::parse(reply).is_some());
        assert!(ns.parse_work("jetiter.work.default.0.g1.math.floor").is_some());
        assert!(ns.parse_entry("$KV.jetiter-cache.item.g1.7").is_some());
        assert!(ns.parse_entry("$KV.jetiter-cache.item.g1.3000-1000").is_some());
        assert!(ns.parse_entry("$KV.jetiter-cache.item.g1.n12-1790").is_some());
    };
    assert_eq!(allocations(read), 0);
}

#[test]
fn headers_are_looked_up_without_an_allocation() {
    let run = Run { attempts: 1, started: 1_700_000_000_000, took: 250, worker: "w".into() };
    let headers = outcome_headers(Encoding::Cbor, &run, false);
    let look = || {
        for name in [RUN, CONTENT_TYPE, STATUS] {
            assert_eq!(header(Some(&headers), name).is_some(), name != STATUS);
        }
    };
    let found = allocations(look);
    assert_eq!(found, 0);
}

#[test]
fn subject_and_headers_of_an_outcome_cost_few_allocations() {
    let ns = namespace();
    let worker = "host-1234".to_owned();
    let run = Run { attempts: 1, started: 1_700_000_000_000, took: 250, worker };
    let key = Entry::Outcome(ItemId::Index(1_000_000));
    let subject = allocations(|| drop(ns.entry_subject("g1", key)));
    let headers = allocations(|| drop(outcome_headers(Encoding::Cbor, &run, false)));
    // 1 and 7 when this was written: the map, and of three headers the value and the list it stands
    // in.
    assert!(subject <= 1 && headers <= 7, "{subject}, {headers}");
}

#[test]
fn a_number_is_written_with_one_allocation() {
    for encoding in [Encoding::Cbor, Encoding::Json] {
        assert_eq!(allocations(|| drop(encoding.encode(&0.1))), 1, "{encoding}");
    }
}

#[test]
fn an_outcome_among_a_thousand_costs_next_to_no_allocation() {
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let value = encoding.encode(&0.1).unwrap();
        let mut payload = Bytes::new();
        let written = allocations(|| {
            let mut writer = OutcomesWriter::new(encoding);
            for at in 0..1000 {
                writer.push(
                    Ok(&value),
                    Ran { attempts: 1, started: 1_700_000_000_000 + at, took: at },
                );
            }
            payload = writer.finish(String::new()).unwrap().1.into();
        });
        let read = allocations(|| drop(Outcomes::read(encoding, &payload, 1000).unwrap()));
        // Up to 50 and 32 when this was written: they grow.
        assert!(written <= 60 && read <= 40, "{encoding}: {written}, {read}");
    }
}
