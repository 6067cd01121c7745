//! Programs that are served as functions: plain ones, run once for each item.

use std::time::Duration;

use jetiter::{Chunk, Encoding, ErrorKind, Options};
use serde_json::{Value, json};

use crate::commands::{Served, all_gone, failed, lines};

/// A plain program with these keys.
fn once(name: &str, command: &str, keys: &str) -> String {
    format!("[functions.{name:?}]\nmode = 'once'\ncommand = {command}\n{keys}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_argument_on_standard_input() {
    let toml = once("text", "['cat']", "") + &once("json", "['cat']", "output = 'json'");
    let served = Served::new(&toml).await;
    let check = async |function: &str, argument: Value, wanted: Value| {
        for encoding in [Encoding::Cbor, Encoding::Json] {
            let how = Options::new().encoding(encoding);
            let mut outcomes = served.map(function, vec![argument.clone()], &how).await;
            assert_eq!(outcomes.pop().unwrap().unwrap(), wanted, "{function} {argument}");
        }
    };
    check("text", json!("ä b\n"), json!("ä b")).await;
    check("text", json!(1.5), json!("1.5")).await;
    check("text", json!([1, "a"]), json!("[1,\"a\"]")).await;
    check("json", json!([1, {"a": null}]), json!([1, {"a": null}])).await;
    check("json", json!("7"), json!(7)).await;
    failed(served.one("json", json!("a b")).await, ErrorKind::BadValue, &["expected value"]);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_argument_as_words() {
    let toml = once("words", "['printf', '<%s>']", "input = 'words'");
    let served = Served::new(&toml).await;
    for (argument, wanted) in [
        (json!("a b"), "<a b>"),
        (json!(7), "<7>"),
        (json!(["a b", "", "$HOME;", 1.5, true, [1, 2]]), "<a b><><$HOME;><1.5><true><[1,2]>"),
    ] {
        assert_eq!(served.one("words", argument).await.unwrap(), wanted);
    }
    let zero = served.one("words", json!("a\0b")).await;
    failed(zero, ErrorKind::BadArgument, &["words can't take", "zero byte"]);
    let long = served.one("words", json!("x".repeat(500_000))).await;
    failed(long, ErrorKind::BadArgument, &["too long for words", "stdin"]);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_only_where_it_is_asked_for() {
    let shell = "'echo \"$0 $#: $1 $2\"'";
    let toml = once("with.it", shell, "shell = true\ninput = 'words'")
        + &once("without", "['echo', '$0', '|', 'cat']", "input = 'words'")
        + &once("piped", "'tr a-z A-Z | rev'", "shell = true");
    let served = Served::new(&toml).await;
    let with = served.one("with.it", json!(["a  b", "$(id)"])).await.unwrap();
    assert_eq!(with, "with.it 2: a  b $(id)");
    assert_eq!(served.one("without", json!("x")).await.unwrap(), "$0 | cat x");
    assert_eq!(served.one("piped", json!("abc")).await.unwrap(), "CBA");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_the_items_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let hang =
        format!("'echo $$ >> {0}; sleep 1000 & echo $! >> {0}; wait'", file.path().display());
    let toml = once("status", "'echo one; echo two >&2; echo three >&2; exit 4'", "shell = true")
        + &once("bytes", r#"'printf "\377"'"#, "shell = true")
        + &once("long", "['yes']", "output_max_bytes = 10000")
        + &once("signal", "'kill -15 $$'", "shell = true")
        + &once("hang", &hang, "shell = true");
    let served = Served::new(&toml).await;
    let one = async |function: &str| served.one(function, json!("x")).await;
    failed(one("status").await, ErrorKind::Failed, &["exit status: 4", ": two\nthree"]);
    failed(one("bytes").await, ErrorKind::BadValue, &["not UTF-8"]);
    failed(one("long").await, ErrorKind::TooLarge, &["10000 bytes", "output_max_bytes"]);
    failed(one("signal").await, ErrorKind::Failed, &["signal: 15"]);
    let how = Options::new().timeout(Duration::from_secs(1));
    let mut outcomes = served.map("hang", vec![json!(1)], &how).await;
    failed(outcomes.pop().unwrap(), ErrorKind::TimedOut, &["1s"]);
    all_gone(&lines(file.path(), 2).await).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_and_chunks_and_slots() {
    let dir = tempfile::tempdir().unwrap();
    // Only one at a time finds the lock free, and each fails at its first attempt.
    let script = "mkdir lock || exit 9; test -e $1 || { touch $1; rmdir lock; exit 3; }; \
                  rmdir lock; echo $1";
    let keys = format!(
        "shell = true\ninput = 'words'\noutput = 'json'\nslots = 1\ncwd = {:?}",
        dir.path()
    );
    let served = Served::new(&once("x", &format!("'{script}'"), &keys)).await;
    let arguments: Vec<Value> = (0..6).map(Value::from).collect();
    let how = Options::new().retries(1);
    let outcomes = served.map("x", arguments.clone(), &how).await;
    let values: Vec<Value> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, arguments);
    let more: Vec<Value> = (6..12).map(Value::from).collect();
    let outcomes = served.map("x", more.clone(), &how.chunk(Chunk::of(4))).await;
    let values: Vec<Value> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, more);
    served.stop().await;
}
