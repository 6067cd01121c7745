//! Functions of every shape, and what becomes of each way to fail.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::panic_any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use jetiter_config::encoding::Encoding;
use jetiter_config::names::{GroupId, ItemId};
use tokio::runtime::Handle;

use super::*;

fn item(name: &str, encoding: Encoding, json: &str) -> Item {
    let argument = Encoding::Json.transcode(json.as_bytes(), encoding);
    Item {
        group: GroupId::random(),
        id: ItemId::Index(7),
        function: name.parse().unwrap(),
        argument: argument.unwrap().into(),
        encoding,
        attempt: 1,
        timeout: Duration::from_secs(10),
    }
}

async fn call(functions: &Functions, name: &str, json: &str) -> Result<String, ItemError> {
    let outcome = functions.call(item(name, Encoding::Json, json)).await;
    outcome.map(|value| String::from_utf8(value).unwrap())
}

fn error(kind: ErrorKind, message: &str) -> Result<String, ItemError> {
    Err(ItemError::new(kind, message))
}

fn next(x: i64) -> i64 {
    x + 1
}

fn next_with_attempt(x: i64, context: Context) -> i64 {
    x + i64::from(context.item.attempt)
}

fn try_next(x: i64) -> Result<i64, String> {
    (x >= 0).then_some(x + 1).ok_or("below 0".to_owned())
}

fn try_next_with_attempt(x: i64, context: Context) -> Result<i64, String> {
    try_next(x - 1 + i64::from(context.item.attempt))
}

async fn async_next(x: i64) -> i64 {
    tokio::task::yield_now().await;
    x + 1
}

async fn async_try_next(x: i64) -> Result<i64, String> {
    tokio::task::yield_now().await;
    try_next(x)
}

/// Items of all shapes: plain, async and blocking; a value or a `Result`; a context or none; a
/// closure or a `fn`. Each answers with the next integer.
fn all_shapes() -> Functions {
    Functions::new()
        .function("plain.fn", next)
        .function("plain.context", next_with_attempt)
        .function("plain.closure", |x: i64| x + 1)
        .try_function("try.plain.fn", try_next)
        .try_function("try.plain.closure", |x: i64| (x >= 0).then_some(x + 1).ok_or("below 0"))
        .try_function("try.plain.context", try_next_with_attempt)
        .function("async.fn", async_next)
        .function("async.closure", async |x: i64| async_next(x).await)
        .function("async.block", |x: i64| async move { async_next(x).await })
        .function("async.context", async |x: i64, context: Context| {
            async_next(x - 1).await + i64::from(context.item.attempt)
        })
        .try_function("try.async.fn", async_try_next)
        .try_function("try.async.closure", async |x| async_try_next(x).await)
        .try_function("try.async.context", async |x, context| {
            tokio::task::yield_now().await;
            try_next_with_attempt(x, context)
        })
        .blocking("blocking.fn", next)
        .blocking("blocking.context", next_with_attempt)
        .blocking("blocking.async", async_next)
        .try_blocking("try.blocking.fn", try_next)
        .try_blocking("try.blocking.async", async_try_next)
        .try_blocking("try.blocking.context", try_next_with_attempt)
}

#[tokio::test]
async fn all_shapes_answer() {
    let functions = all_shapes();
    assert!(functions.check().is_ok());
    for name in functions.names() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let outcome = functions.call(item(name, encoding, "2")).await;
            let found = encoding.decode::<i64>(&outcome.unwrap()).unwrap();
            assert_eq!(found, 3, "{name} in {encoding}");
        }
        if name.starts_with("try.") {
            let outcome = call(&functions, name, "-1").await;
            assert_eq!(outcome, error(ErrorKind::Failed, "below 0"), "{name}");
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_outcome() {
    fn panics(how: String) -> u32 {
        match how.as_str() {
            "text" => panic!("a text"),
            "format" => panic!("a {how}"),
            _ => panic_any(how.len()),
        }
    }
    let functions = Functions::new()
        .function("plain", panics)
        .function("async", async |how: String| {
            tokio::task::yield_now().await;
            panics(how)
        })
        .blocking("blocking", panics)
        .function("sound", next);
    for name in ["plain", "async", "blocking"] {
        let says = ["a text", "a format", "panicked"];
        for (how, message) in ["text", "format", "other"].into_iter().zip(says) {
            let outcome = call(&functions, name, &format!("{how:?}")).await;
            assert_eq!(outcome, error(ErrorKind::Panicked, message), "{name}");
        }
        assert_eq!(call(&functions, "sound", "1").await.unwrap(), "2", "{name}");
    }
}

#[tokio::test]
async fn a_time_out_ends_the_wait_and_tells_the_function() {
    let (tell, told) = mpsc::channel();
    let tell_too = tell.clone();
    let functions = Functions::new()
        .function("async", move |_: (), context: Context| {
            tell.send(context.stop).unwrap();
            std::future::pending::<()>()
        })
        .blocking("blocking", move |_: (), context: Context| {
            Handle::current().block_on(context.stop.cancelled());
            tell_too.send(context.stop).unwrap();
        });
    for name in ["async", "blocking"] {
        let mut item = item(name, Encoding::Json, "null");
        item.timeout = Duration::from_millis(50);
        let found = functions.call(item).await.unwrap_err();
        assert_eq!(found.kind, ErrorKind::TimedOut, "{name}");
        assert_eq!(found.message, "took longer than its time-out of 50ms");
        let stop = told.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(stop.is_cancelled(), "{name}");
    }
}

#[tokio::test]
async fn an_unknown_function_tells_what_there_is() {
    let functions =
        Functions::new().function("m.b", next).function("m.a", next).function("x", next);
    let message = "no function m.bb is served here; the nearest are m.b, m.a, x";
    let outcome = call(&functions, "m.bb", "1").await;
    assert_eq!(outcome, error(ErrorKind::UnknownFunction, message));
}

#[tokio::test]
async fn a_bad_argument_tells_the_function() {
    let functions = all_shapes();
    for name in functions.names() {
        for argument in ["\"two\"", "[2]", "2.5", "null"] {
            let found = call(&functions, name, argument).await.unwrap_err();
            assert_eq!(found.kind, ErrorKind::BadArgument, "{name} {argument}");
            let start = format!("{name} can't take this argument: ");
            assert!(found.message.starts_with(&start), "{found}");
        }
    }
}

#[tokio::test]
async fn a_value_that_has_no_encoding_is_an_error() {
    let functions = Functions::new().function("f", |x: i64| BTreeMap::from([((x, x), x)]));
    let outcome = call(&functions, "f", "1").await;
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::BadValue);
}

#[tokio::test]
async fn an_error_tells_its_causes() {
    struct WithCause;
    impl fmt::Display for WithCause {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let causes = if f.alternate() { ": no route" } else { "" };
            write!(f, "no page{causes}")
        }
    }
    let functions = Functions::new()
        .try_function("plain", |_: ()| Err::<(), _>(WithCause))
        .try_blocking("blocking", async |_: ()| Err::<(), _>(WithCause));
    for name in functions.names() {
        let outcome = call(&functions, name, "null").await;
        assert_eq!(outcome, error(ErrorKind::Failed, "no page: no route"));
    }
}

#[tokio::test]
async fn state_is_shared() {
    fn count(_: (), context: Context) -> Option<u32> {
        let counter = context.state::<AtomicU32>()?;
        Some(counter.fetch_add(1, Ordering::Relaxed))
    }
    let new = Functions::new;
    let stateless = new().function("a", count).blocking("b", count);
    assert_eq!(call(&stateless, "a", "null").await.unwrap(), "null");
    // It is for an included set's functions too, and an included set's state is for all.
    let inner = new().state(AtomicU32::new(5)).include(stateless);
    assert_eq!(call(&inner, "a", "null").await.unwrap(), "5");
    assert_eq!(call(&inner.clone(), "b", "null").await.unwrap(), "6");
    let outer = new().function("c", count).include(inner);
    assert_eq!(call(&outer, "c", "null").await.unwrap(), "7");
    assert_eq!(outer.names().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn mistakes_are_refused() {
    let new = Functions::new;
    for wrong in [
        new().function("f", try_next),
        new().function("f", |x: i64, _: Context| try_next(x)),
        new().function("f", async_try_next),
        new().blocking("f", try_next),
        new().include(new().function("f", try_next)),
    ] {
        assert!(matches!(wrong.check(), Err(Error::ReturnsResult { name }) if name == "f"));
    }
    for twice in [
        new().function("f", next).try_blocking("f", try_next),
        new().function("f", next).include(new().function("f", next)),
    ] {
        assert!(matches!(twice.check(), Err(Error::NameTwice { name }) if name == "f"));
    }
    for bad in ["", "a..b", "a b", "a.*", "ü", &"x".repeat(65)] {
        let wrong = new().function(bad, next);
        assert!(matches!(wrong.check(), Err(Error::BadName { name }) if name == bad));
    }
}

#[tokio::test]
async fn blocking_functions_are_not_kept_waiting_by_each_other() {
    // More than tokio's pool has threads.
    let all = Arc::new(std::sync::Barrier::new(600));
    let functions = Functions::new().blocking("meet", move |_: ()| {
        all.wait();
        1
    });
    let calls = (0..600).map(|_| call(&functions, "meet", "null"));
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Ok("1".to_owned())));
}

#[test]
fn signatures_name_types_without_their_paths() {
    let functions = Functions::new()
        .function("a.pair", |(x, y): (f64, Option<String>)| vec![(x, y)])
        .try_blocking("b.read", |_: ()| std::fs::read("x"));
    let signatures = functions.signatures();
    let shown: Vec<_> = signatures
        .iter()
        .map(|one| (&*one.name, one.takes.as_deref().unwrap(), one.returns.as_deref().unwrap()))
        .collect();
    assert_eq!(shown[0], ("a.pair", "(f64, Option<String>)", "Vec<(f64, Option<String>)>"));
    assert_eq!(shown[1], ("b.read", "()", "Vec<u8>"));
}
