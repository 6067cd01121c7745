use ciborium::Value;
use proptest::prelude::*;

use super::super::{MAX_DEPTH, walk, well_formed};
use super::*;

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Cbor];

#[test]
fn a_list_is_taken_apart() {
    for encoding in BOTH {
        let values = (1, "a,]", [(), ()], Option::<u8>::None);
        let list = encoding.encode(&values).unwrap();
        let parts = encoding.list_parts(&list, 4).unwrap();
        let read: Vec<serde_json::Value> =
            parts.into_iter().map(|part| encoding.decode(&list[part]).unwrap()).collect();
        assert_eq!(serde_json::to_value(values).unwrap(), serde_json::Value::from(read));
        assert!(encoding.list_parts(&list, 3).is_err() && encoding.list_parts(&list, 5).is_err());
        assert!(encoding.list_parts(&list[..list.len() - 1], 4).is_err());
    }
}

#[test]
fn what_no_list_is_can_not_be_taken_apart() {
    let json = ["", "1", "{}", "[", "[1", "[1,]", "[1 2]", "[,1]", "[1]1", "[1,,2]", "\"[1]\""];
    for bad in json {
        assert!(Encoding::Json.list_parts(bad.as_bytes(), 1).is_err(), "{bad}");
    }
    let cbor = [&[][..], &[0x01], &[0xa0], &[0x81], &[0x9f, 0x01], &[0x81, 0x01, 0x01], &[0xff]];
    let huge = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for bad in cbor.into_iter().chain([&huge[..], &[0x81, 0x5b, 0xff, 0, 0, 0, 0, 0, 0, 0]]) {
        assert!(Encoding::Cbor.list_parts(bad, 1).is_err(), "{bad:x?}");
    }
}

#[test]
fn a_part_that_can_not_be_read_has_an_end() {
    let deep = [vec![b'['; 500], vec![b']'; 500]].concat();
    let json = [b"[1, ", &deep[..], b" , 1e999, \"\xff\", 2]\n"].concat();
    let parts = Encoding::Json.list_parts(&json, 5).unwrap();
    assert_eq!((&json[parts[1].clone()], &json[parts[4].clone()]), (&deep[..], &b"2"[..]));
    let deep = [vec![0x81; 500], vec![0x80]].concat();
    let cbor = [&[0x9f, 0x01], &deep[..], &[0x61, 0xff, 0xe5, 0x02, 0xff]].concat();
    let parts = Encoding::Cbor.list_parts(&cbor, 5).unwrap();
    assert_eq!((&cbor[parts[1].clone()], &cbor[parts[4].clone()]), (&deep[..], &[0x02][..]));
}

#[test]
fn a_map_is_taken_apart() {
    let map = serde_json::json!({"a": [1, 2], "b\n": {"c": null}});
    for encoding in BOTH {
        let bytes = encoding.encode(&map).unwrap();
        for (key, part) in encoding.map_parts(&bytes).unwrap() {
            let value: serde_json::Value = encoding.decode(&bytes[part]).unwrap();
            assert_eq!(map[key.as_str()], value);
        }
        assert!(encoding.map_parts(&encoding.encode(&(1, 2)).unwrap()).is_err());
    }
    assert!(
        Encoding::Json.map_parts(b"{1:2}").is_err()
            && Encoding::Cbor.map_parts(&[0xa1, 1, 2]).is_err()
    );
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        any::<i128>().prop_map(|big| Value::serialized(&big).expect("a big number")),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Value::Array),
            prop::collection::vec((inner.clone(), inner.clone()), 0..30).prop_map(Value::Map),
            (6u64.., inner).prop_map(|(tag, value)| Value::Tag(tag, Box::new(value))),
        ]
    })
}

/// Bytes that look like CBOR more often than random ones: heads, breaks and short numbers.
fn alike() -> impl Strategy<Value = Vec<u8>> {
    let head = (0u8..8, prop_oneof![0u8..6, 20u8..28, Just(31)]);
    let byte = prop_oneof![
        3 => head.prop_map(|(major, minor)| major << 5 | minor),
        1 => Just(0xff),
        1 => 0u8..4,
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..40)
}

proptest! {
    #[test]
    fn every_value_is_walked_to_its_end(value in values()) {
        let bytes = Encoding::Cbor.encode(&value).unwrap();
        prop_assert_eq!(walk::one(&bytes, MAX_DEPTH), well_formed::cbor(&bytes));
        let list = Encoding::Cbor.encode(&[&value, &value]).unwrap();
        let parts = Encoding::Cbor.list_parts(&list, 2).unwrap();
        prop_assert!(parts.into_iter().all(|part| list[part] == bytes));
    }

    #[test]
    fn the_quick_way_accepts_nothing_that_the_readers_refuse(bytes in alike()) {
        if walk::one(&bytes, MAX_DEPTH).is_ok() {
            prop_assert_eq!(well_formed::cbor(&bytes), Ok(()));
            let (mut lax, length) = (Walker::new(&bytes), bytes.len());
            prop_assert_eq!(lax.skip().map(|()| lax.at), Ok(length));
        }
    }

    #[test]
    fn any_bytes_are_taken_apart_or_refused(bytes in alike(), count in 0usize..10) {
        for encoding in BOTH {
            if let Ok(parts) = encoding.list_parts(&bytes, count) {
                prop_assert!(parts.iter().all(|part| part.start < part.end));
                prop_assert!(parts.is_sorted_by_key(|part| part.end));
            }
            encoding.map_parts(&bytes).ok();
        }
    }
}
