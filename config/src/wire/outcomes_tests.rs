use proptest::prelude::*;

use super::super::{OutcomesWriter, Ran, Run};
use super::*;

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Cbor];

fn read(encoding: Encoding, payload: impl Into<Bytes>, count: u32) -> Result<Outcomes, Error> {
    Outcomes::read(encoding, &payload.into(), count)
}

fn json(text: &str, count: u32) -> Result<Outcomes, Error> {
    read(Encoding::Json, text.as_bytes().to_vec(), count)
}

#[test]
fn what_a_plain_worker_writes_is_read() {
    let outcomes = json(
        r#" {"values": [1, null, "a"], "errors": [[1, {"kind": "failed", "message": "no"}]]} "#,
        3,
    );
    let outcomes = outcomes.unwrap();
    assert_eq!((outcomes.value(0), outcomes.value(2)), (Ok(&b"1"[..]), Ok(&b"\"a\""[..])));
    assert_eq!(outcomes.value(1), Err(&ItemError::new(ErrorKind::Failed, "no")));
    assert_eq!((outcomes.attempts(0), outcomes.began(0), outcomes.took(0)), (None, 0, None));
}

#[test]
fn what_can_not_be_used_as_a_whole_is_an_error() {
    let same = r#"{"values": [1], "values": [1]}"#;
    let twice = r#"{"values": [1, 2], "attempts": [[1, 2], [1, 2]]}"#;
    for bad in [
        "",
        "1",
        "[1, 2]",
        "{}",
        r#"{"values": [1]}"#,
        r#"{"values": [1, 2, 3]}"#,
        same,
        twice,
        r#"{"values": [1, 2], "errors": [[2, {"kind": "failed", "message": ""}]]}"#,
        r#"{"values": [1, 2], "errors": [1]}"#,
        r#"{"values": [1, 2], "errors": [[-1, {"kind": "failed", "message": ""}]]}"#,
        r#"{"values": [1, 2], "took": [1]}"#,
        r#"{"values": [1, 2], "began": [1, -2]}"#,
        r#"{"values": [1, 2], "attempts": [[4294967296, 1]]}"#,
        r#"{"values": [1, 2]"#,
        r#"{"values": [1, 2]} 1"#,
    ] {
        assert!(json(bad, 2).is_err(), "{bad}");
    }
    let huge = [&[0xa1, 0x66][..], b"values", &[0x9b, 0, 0, 0, 0xff, 0, 0, 0, 0]].concat();
    assert!(read(Encoding::Cbor, huge, 65_536).is_err());
}

#[test]
fn one_unusable_value_or_error_leaves_its_neighbours() {
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let outcomes =
        json(&format!(r#"{{"values": [1, {deep}, 1e999, null, 5], "errors": [[3, 7]]}}"#), 5);
    let outcomes = outcomes.unwrap();
    assert_eq!((outcomes.value(0), outcomes.value(4)), (Ok(&b"1"[..]), Ok(&b"5"[..])));
    assert_eq!(outcomes.failed(), 3);
    for bad in 1..4 {
        assert_eq!(outcomes.value(bad).unwrap_err().kind, ErrorKind::BadValue);
    }
}

#[test]
fn a_value_that_is_not_well_formed_breaks_no_entry() {
    for encoding in BOTH {
        let mut writer = OutcomesWriter::new(encoding);
        let good = encoding.encode(&7).unwrap();
        for value in [&good[..], b"", &[0x82, 0x01], &good] {
            writer.push(Ok(value), Ran::default());
        }
        let outcomes = read(encoding, writer.finish(String::new()).unwrap().1, 4).unwrap();
        assert_eq!((outcomes.value(0), outcomes.value(3)), (Ok(&good[..]), Ok(&good[..])));
        assert_eq!(outcomes.failed(), 2);
    }
}

fn outcome() -> impl Strategy<Value = Result<String, String>> {
    prop_oneof![3 => ".{0,30}".prop_map(Ok), 1 => any::<String>().prop_map(Err)]
}

fn ran() -> impl Strategy<Value = Ran> {
    let number = || prop_oneof![0u64..3, any::<u64>()];
    (prop_oneof![1u32..3, any::<u32>()], number(), number())
        .prop_map(|(attempts, started, took)| Ran { attempts, started, took })
}

proptest! {
    #[test]
    fn what_is_written_is_read(items in prop::collection::vec((outcome(), ran()), 1..20)) {
        for encoding in BOTH {
            let mut writer = OutcomesWriter::new(encoding);
            let mut most = 128;
            for (outcome, ran) in &items {
                let value = outcome.clone().map(|text| encoding.encode(&text).unwrap());
                let value = value.as_deref().map_err(|m| ItemError::new(ErrorKind::Lost, m));
                most += OutcomesWriter::most(&value.clone().map(<[u8]>::to_vec));
                writer.push(value, *ran);
            }
            let (run, payload) = writer.finish("w".to_owned()).unwrap();
            prop_assert!(payload.len() <= most, "{} {most}", payload.len());
            prop_assert_eq!(Run::parse(&run.to_string()), Some(run.clone()));
            let outcomes = read(encoding, payload, items.len() as u32).unwrap();
            for (at, (outcome, ran)) in items.iter().enumerate() {
                match outcome {
                    Ok(text) => prop_assert_eq!(&encoding.decode::<String>(outcomes.value(at).unwrap()).unwrap(), text),
                    Err(message) => prop_assert_eq!(outcomes.value(at), Err(&ItemError::new(ErrorKind::Lost, message))),
                }
                let attempts = outcomes.attempts(at).unwrap_or(run.attempts);
                let started = run.started + outcomes.began(at);
                prop_assert_eq!(Ran { attempts, started, took: outcomes.took(at).unwrap() }, *ran);
            }
        }
    }

    #[test]
    fn a_cut_or_changed_entry_is_read_or_refused(cut in 0usize..200, at in 0usize..200, byte: u8) {
        for encoding in BOTH {
            let mut writer = OutcomesWriter::new(encoding);
            let value = encoding.encode(&("ab", [1.5; 3])).unwrap();
            writer.push(Ok(&value), Ran { attempts: 2, started: 5, took: 7 });
            writer.push(Err(ItemError::new(ErrorKind::Failed, "no")), Ran::default());
            let mut payload = writer.finish(String::new()).unwrap().1;
            payload.truncate(payload.len().saturating_sub(cut.saturating_sub(150)));
            if let Some(there) = payload.get_mut(at) {
                *there = byte;
            }
            if let Ok(outcomes) = read(encoding, payload, 2) {
                for offset in 0..2 {
                    if let Ok(value) = outcomes.value(offset) {
                        prop_assert!(encoding.check(value).is_ok());
                    }
                }
            }
        }
    }
}
