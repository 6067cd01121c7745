//! Every function against literal answers in cases.tsv, and Python's own in python.tsv.

use std::collections::BTreeSet;
use std::time::Duration;

use jetiter_config::call::{Call, Item, Outcome};
use jetiter_config::encoding::Encoding;
use jetiter_config::names::{GroupId, ItemId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::functions;

async fn call(name: &str, encoding: Encoding, argument: Vec<u8>) -> Outcome {
    let item = Item {
        group: GroupId::random(),
        id: ItemId::Index(0),
        function: format!("math.{name}").parse().unwrap(),
        argument: argument.into(),
        encoding,
        attempt: 1,
        timeout: Duration::from_secs(10),
    };
    functions().call(item).await
}

/// The same argument in CBOR, with its large integers exact.
fn to_cbor(json: &str) -> Vec<u8> {
    fn encoded<T: Serialize + DeserializeOwned>(json: &str) -> Option<Vec<u8>> {
        let value = serde_json::from_str::<T>(json).ok()?;
        Encoding::Cbor.encode(&value).ok()
    }
    encoded::<i128>(json)
        .or_else(|| encoded::<Vec<i128>>(json))
        .or_else(|| encoded::<Vec<Vec<i128>>>(json))
        .or_else(|| encoded::<Value>(json))
        .unwrap()
}

/// The function, its argument, and its answer or the error's kind and a part of its message.
fn cases() -> impl Iterator<Item = [&'static str; 3]> {
    let lines = include_str!("cases.tsv").lines().chain(include_str!("python.tsv").lines());
    let cells = |line: &'static str| line.split('\t').collect::<Vec<_>>().try_into().unwrap();
    lines.filter(|line| !line.starts_with('#')).map(cells)
}

/// What has one right answer, to the last bit. The other floats may be a little off: no two libms
/// agree.
const EXACT: &[&str] = &[
    "fabs",
    "fma",
    "fmod",
    "frexp",
    "fsum",
    "ldexp",
    "modf",
    "nextafter",
    "prod",
    "remainder",
    "round",
    "sqrt",
    "sum",
    "sumprod",
    "ulp",
];

fn same_value(found: &str, wanted: &str, slack: f64) -> bool {
    let values = |text: &str| match serde_json::from_str(text) {
        Ok(Value::Array(values)) => values,
        value => vec![value.unwrap_or_default()],
    };
    let near = |(x, y): (&Value, &Value)| match (x.as_f64(), y.as_f64()) {
        (Some(x_float), Some(y_float)) if x.is_f64() && y.is_f64() => {
            let same_sign = x_float.is_sign_negative() == y_float.is_sign_negative();
            same_sign && (x_float - y_float).abs() <= slack * y_float.abs()
        }
        _ => x == y,
    };
    let large_integer = wanted.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let (x, y) = (values(found), values(wanted));
    found == wanted || (!large_integer && x.len() == y.len() && x.iter().zip(&y).all(near))
}

fn as_wanted(outcome: &Outcome, encoding: Encoding, wanted: &str, slack: f64) -> bool {
    match (outcome, wanted.split_once(": ")) {
        (Ok(value), None) => {
            let json = encoding.transcode(value, Encoding::Json).unwrap();
            same_value(str::from_utf8(&json).unwrap(), wanted, slack)
        }
        (Err(error), Some((kind, says))) => {
            let found = serde_json::to_value(error.kind).unwrap();
            found == *kind && error.message.contains(says)
        }
        _ => false,
    }
}

#[tokio::test]
async fn answers() {
    let mut wrong = Vec::new();
    for [name, argument, wanted] in cases() {
        let slack = if EXACT.contains(&name) { 0.0 } else { 1e-14 };
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let bytes = match encoding {
                Encoding::Json => argument.into(),
                Encoding::Cbor => to_cbor(argument),
            };
            let outcome = call(name, encoding, bytes).await;
            if !as_wanted(&outcome, encoding, wanted, slack) {
                let found = outcome.map(|value| encoding.transcode(&value, Encoding::Json));
                let found = found.map(|json| String::from_utf8(json.unwrap()).unwrap());
                wrong.push(format!("{encoding} {name} {argument}: {found:?}, not {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_function_is_tested() {
    let tested: BTreeSet<String> = cases().map(|case| format!("math.{}", case[0])).collect();
    let served: BTreeSet<String> = functions().names().map(str::to_owned).collect();
    assert_eq!(served, tested);
    assert!(functions().check().is_ok());
}

/// JSON has neither NaN nor the infinities.
#[tokio::test]
async fn what_only_cbor_can_say() {
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    let cases: &[(&str, &[f64], Result<&str, &str>)] = &[
        ("isnan", &[NAN], Ok("true")),
        ("isinf", &[-INF], Ok("true")),
        ("isfinite", &[INF], Ok("false")),
        ("isclose", &[INF, INF], Ok("true")),
        ("isclose", &[INF, 1.0], Ok("false")),
        ("floor", &[INF], Err("math domain error: floor(inf)")),
        ("round", &[NAN], Err("math domain error: round(NaN)")),
        ("sin", &[INF], Err("math domain error: sin(inf)")),
        ("gamma", &[-INF], Err("math domain error: gamma(-inf)")),
        ("fsum", &[INF, -INF], Err("math domain error: fsum(inf, -inf)")),
        ("exp", &[-INF], Ok("0.0")),
        ("exp", &[INF], Ok("null")),
        ("exp", &[NAN], Ok("null")),
        ("hypot", &[NAN, INF], Ok("null")),
        ("lgamma", &[INF], Ok("null")),
        ("lgamma", &[-INF], Ok("null")),
        ("remainder", &[1.0, INF], Ok("1.0")),
        ("fmod", &[INF, 1.0], Err("math domain error: fmod(inf, 1.0)")),
        ("frexp", &[INF], Ok("[null,0]")),
        ("modf", &[-INF], Ok("[-0.0,null]")),
        ("ulp", &[INF], Ok("null")),
        ("nextafter", &[0.0, -INF], Ok("-5e-324")),
    ];
    for (name, argument, wanted) in cases {
        let argument = Encoding::Cbor.encode(argument).unwrap();
        let outcome = call(name, Encoding::Cbor, argument).await;
        let found = outcome.map(|value| {
            let json = Encoding::Cbor.transcode(&value, Encoding::Json).unwrap();
            String::from_utf8(json).unwrap()
        });
        let found = found.map_err(|error| error.message);
        let found = found.as_deref().map_err(String::as_str);
        assert_eq!(found, *wanted, "{name}");
    }
}
