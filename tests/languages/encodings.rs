//! Values on their way from one encoding to the other: the tables of docs/protocol.md, row by row.

use ciborium::Value as Cbor;
use jetiter::Functions;
use serde_json::Value;
use tokio::process::Command;

use super::program::{Language, Program, root};
use crate::harness::Engine;
use crate::plain::Plain;

/// The rows below a heading of the protocol's page: two columns, whose cells are code.
fn rows(heading: &str) -> Vec<(String, String)> {
    let page = std::fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let (_, table) = page.split_once(heading).unwrap();
    let lines = table.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let row = |line: &str| {
        let mut code = line.split('`').skip(1).step_by(2).map(str::to_owned);
        Some((code.next()?, code.next()?))
    };
    let rows: Vec<_> = lines.take_while(|line| line.starts_with('|')).map(row).collect();
    assert!(rows.len() > 8 && rows.iter().all(Option::is_some), "{rows:?}");
    rows.into_iter().flatten().collect()
}

/// A worker that hands back what it is given, in Rust or in Python.
async fn echo(engine: &Engine, language: Option<Language>) -> Option<Program> {
    let Some(language) = language else {
        let functions = Functions::new()
            .function("test.echo_cbor", |value: Cbor| value)
            // Not the other type: it writes some floats as if they had 32 bits, and in JSON these are others.
            .function("test.echo_json", |value: Value| value);
        engine.worker(functions).await;
        return None;
    };
    let mut command = Command::new(language.program().unwrap());
    command.arg(root().join("tests/languages/odd_worker.py")).arg("/dev/null");
    command.env("PYTHONPATH", root().join("examples/python"));
    Some(Program::start(&engine.settings, command))
}

/// Whether a client in Python reads what each row says, with a worker in this language.
async fn check(worker: Option<Language>) {
    let Some(python) = Language::Python.program() else { return };
    let engine = Engine::bare().await;
    engine.collator().await;
    let _worker = echo(&engine, worker).await;
    for (heading, encoding) in
        [("### From CBOR to JSON", "cbor"), ("### From JSON to CBOR", "json")]
    {
        let rows = rows(heading);
        let text: String = rows.iter().map(|(from, to)| format!("{from} -> {to}\n")).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut command = Command::new("sh");
        let script = r#"exec "$1" "$2" "$3" "test.echo_$4" "$4" < "$5""#;
        command.args(["-c", script, "sh", &python]);
        command.arg(root().join("tests/languages/encodings.py")).args([encoding, encoding]);
        command.arg(file.path()).env("PYTHONPATH", root().join("examples/python"));
        let found = Program::start(&engine.settings, command).rest().await;
        assert_eq!(found.len(), rows.len());
        for row in found {
            assert_eq!(row[2], row[3], "{heading}: {row}");
        }
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_keep_what_the_table_says_with_a_worker_in_python() {
    check(Some(Language::Python)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_keep_what_the_table_says_with_a_worker_in_rust() {
    check(None).await;
}

fn cbor(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

const CBOR: (&str, &str) = ("Content-Type", "application/cbor");

#[tokio::test(flavor = "multi_thread")]
async fn values_keep_what_the_table_says_byte_by_byte() {
    let engine = Engine::bare().await;
    engine.collator().await;
    echo(&engine, None).await;
    let plain = Plain::of(&engine).await;
    let big = |bytes: &[u8]| Cbor::Tag(2, Box::new(Cbor::Bytes(bytes.to_vec())));
    let key = |key: Cbor| Cbor::Map(vec![(key, Cbor::from("a"))]);
    let to_json = [
        (Cbor::from(u64::MAX), "18446744073709551615"),
        (Cbor::from(i64::MIN), "-9223372036854775808"),
        (big(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), "18446744073709551616"),
        (Cbor::from(0.1), "0.1"),
        (Cbor::from(3.0), "3.0"),
        (Cbor::from(f64::NAN), "null"),
        (Cbor::from(f64::NEG_INFINITY), "null"),
        (Cbor::Bytes(vec![0, 255]), "\"AP8=\""),
        (Cbor::from("ü\u{0}\u{1f600}"), "\"ü\\u0000\u{1f600}\""),
        (Cbor::Tag(1, Box::new(Cbor::from(5))), "5"),
        (key(Cbor::from(1)), "{\"1\":\"a\"}"),
    ];
    for (index, (value, _)) in to_json.iter().enumerate() {
        let headers = [("Jetiter-Index", &*index.to_string()), CBOR];
        plain.item("json", "test.echo_cbor", &headers, cbor(value)).await;
        plain.until_kept(&format!("item.json.{index}")).await;
    }
    plain.seal("json", &[], to_json.len().to_string()).await;
    let list = to_json.map(|(_, json)| json).join(",\n");
    assert_eq!(String::from_utf8(plain.bytes("json").await).unwrap(), format!("[{list}]\n"));

    let to_cbor = [
        ("18446744073709551615", Cbor::from(u64::MAX)),
        ("-9223372036854775808", Cbor::from(i64::MIN)),
        ("18446744073709551616", Cbor::from(18446744073709551616.0)),
        ("0.1", Cbor::from(0.1)),
        ("3.0", Cbor::from(3.0)),
        ("\"ü\\u0000\"", Cbor::from("ü\u{0}")),
        (
            "{\"a\":[null,true]}",
            Cbor::Map(vec![(Cbor::from("a"), Cbor::Array(vec![Cbor::Null, true.into()]))]),
        ),
    ];
    for (index, (json, _)) in to_cbor.iter().enumerate() {
        plain
            .item("cbor", "test.echo_json", &[("Jetiter-Index", &*index.to_string())], *json)
            .await;
        plain.until_kept(&format!("item.cbor.{index}")).await;
    }
    plain.seal("cbor", &[CBOR], to_cbor.len().to_string()).await;
    let list: Vec<u8> = to_cbor.iter().flat_map(|(_, value)| cbor(value)).collect();
    assert_eq!(plain.bytes("cbor").await, [&[0x9f], &*list, &[0xff]].concat());
    let metadata = plain.metadata("cbor").await;
    assert_eq!((&*metadata["encoding"], Value::from(&*metadata["failed"])), ("cbor", "0".into()));
    engine.is_clean().await;
}
