use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::panic::panic_any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jetiter_config::encoding::Encoding;
use jetiter_config::names::{GroupId, ItemId};
use tokio::runtime::Handle;

use super::*;

fn item(name: &str, encoding: Encoding, argument: &str) -> Item {
    Item {
        group: GroupId::random(),
        id: ItemId::Index(7),
        function: name.parse().unwrap(),
        argument: Encoding::Json
            .transcode(argument.as_bytes(), encoding)
            .unwrap()
            .into(),
        encoding,
        attempt: 1,
        timeout: Duration::from_secs(10),
    }
}

async fn call(functions: &Functions, name: &str, argument: &str) -> Result<String, ItemError> {
    let outcome = functions.call(item(name, Encoding::Json, argument)).await;
    outcome.map(|value| String::from_utf8(value).unwrap())
}

#[track_caller]
fn check_error(outcome: Result<String, ItemError>, kind: ErrorKind, message: &str) {
    assert_eq!(outcome, Err(ItemError::new(kind, message)));
}

fn next(x: i64) -> i64 {
    x + 1
}

fn next_with_attempt(x: i64, context: Context) -> i64 {
    x + i64::from(context.item.attempt)
}

fn try_next(x: i64) -> Result<i64, String> {
    if x < 0 {
        Err("below 0".to_owned())
    } else {
        Ok(x + 1)
    }
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
    let next_of = |x: i64, context: &Context| try_next(x - 1 + i64::from(context.item.attempt));
    Functions::new()
        .function("plain.fn", next)
        .function("plain.fn.context", next_with_attempt)
        .function("plain.closure", |x: i64| x + 1)
        .function("plain.closure.context", |x: i64, context: Context| {
            next_with_attempt(x, context)
        })
        .try_function("try.plain.fn", try_next)
        .try_function("try.plain.closure", |x: i64| try_next(x))
        .try_function("try.plain.context", move |x: i64, context: Context| {
            next_of(x, &context)
        })
        .function("async.fn", async_next)
        .function("async.closure", async |x: i64| async_next(x).await)
        .function("async.block", |x: i64| async move { async_next(x).await })
        .function("async.context", async |x: i64, context: Context| {
            async_next(x - 1).await + i64::from(context.item.attempt)
        })
        .try_function("try.async.fn", async_try_next)
        .try_function("try.async.closure", async |x: i64| async_try_next(x).await)
        .try_function(
            "try.async.context",
            move |x: i64, context: Context| async move {
                tokio::task::yield_now().await;
                next_of(x, &context)
            },
        )
        .blocking("blocking.fn", next)
        .blocking("blocking.context", next_with_attempt)
        .blocking("blocking.async", async_next)
        .try_blocking("try.blocking.fn", try_next)
        .try_blocking("try.blocking.async", async_try_next)
        .try_blocking("try.blocking.context", move |x: i64, context: Context| {
            next_of(x, &context)
        })
}

#[tokio::test]
async fn all_shapes_answer() {
    let functions = all_shapes();
    assert!(functions.check().is_ok());
    assert_eq!(functions.names().count(), 20);
    for name in functions.names() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let value = functions.call(item(name, encoding, "2")).await.unwrap();
            assert_eq!(
                encoding.decode::<i64>(&value).unwrap(),
                3,
                "{name} in {encoding}"
            );
        }
        if name.starts_with("try.") {
            check_error(
                call(&functions, name, "-1").await,
                ErrorKind::Failed,
                "below 0",
            );
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_outcome() {
    fn panics(how: String) -> u32 {
        match how.as_str() {
            "text" => panic!("plain text"),
            "formatted" => panic!("{how} text"),
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
        for (how, message) in [
            ("text", "plain text"),
            ("formatted", "formatted text"),
            ("other", "panicked"),
        ] {
            let outcome = call(&functions, name, &format!("{how:?}")).await;
            check_error(outcome, ErrorKind::Panicked, message);
        }
        assert_eq!(
            call(&functions, "sound", "1").await.as_deref(),
            Ok("2"),
            "after {name}"
        );
    }
}

#[tokio::test]
async fn a_time_out_ends_the_wait_and_tells_the_function() {
    let (tell, told) = mpsc::channel();
    let tell_too = tell.clone();
    let functions = Functions::new()
        .function("async", move |_: (), context: Context| {
            tell.send(context.stop).unwrap();
            pending::<()>()
        })
        .blocking("blocking", move |_: (), context: Context| {
            Handle::current().block_on(context.stop.cancelled());
            tell_too.send(context.stop).unwrap();
        });
    for name in ["async", "blocking"] {
        let began = Instant::now();
        let timeout = Duration::from_millis(50);
        let outcome = functions
            .call(Item {
                timeout,
                ..item(name, Encoding::Json, "null")
            })
            .await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut, "{name}");
        assert_eq!(
            error.message, "took longer than its time-out of 50ms",
            "{name}"
        );
        assert!(began.elapsed() < Duration::from_secs(5), "{name}");
        let stop = told.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(stop.is_cancelled(), "{name}");
    }
}

#[tokio::test]
async fn an_unknown_function_tells_what_there_is() {
    let functions = Functions::new()
        .function("b.next", next)
        .function("a.next", next);
    let message = "no function c.next here: a worker of this queue serves a.next, b.next";
    check_error(
        call(&functions, "c.next", "1").await,
        ErrorKind::UnknownFunction,
        message,
    );
}

#[tokio::test]
async fn a_bad_argument_tells_the_function() {
    let functions = all_shapes();
    for name in functions.names() {
        for argument in ["\"two\"", "[2]", "2.5", "null"] {
            let error = call(&functions, name, argument).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadArgument, "{name} {argument}");
            let start = format!("{name} can't take this argument: ");
            assert!(error.message.starts_with(&start), "{error}");
        }
    }
}

#[tokio::test]
async fn a_value_that_has_no_encoding_is_an_error() {
    let functions = Functions::new().function("pairs", |x: i64| BTreeMap::from([((x, x), x)]));
    let error = call(&functions, "pairs", "1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadValue);
}

#[tokio::test]
async fn an_error_tells_its_causes() {
    struct WithCause;
    impl fmt::Display for WithCause {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(if f.alternate() {
                "no page: no route"
            } else {
                "no page"
            })
        }
    }
    let functions = Functions::new()
        .try_function("plain", |_: ()| Err::<(), _>(WithCause))
        .try_blocking("blocking", async |_: ()| Err::<(), _>(WithCause));
    for name in functions.names() {
        check_error(
            call(&functions, name, "null").await,
            ErrorKind::Failed,
            "no page: no route",
        );
    }
}

#[tokio::test]
async fn state_is_shared() {
    fn count(_: (), context: Context) -> Option<u32> {
        Some(
            context
                .state::<AtomicU32>()?
                .fetch_add(1, Ordering::Relaxed),
        )
    }
    let stateless = Functions::new()
        .function("count", count)
        .blocking("count.too", count);
    assert_eq!(
        call(&stateless, "count", "null").await.as_deref(),
        Ok("null")
    );
    // Given before or after: it is for all functions, and for those of an included set.
    let functions = Functions::new().state(AtomicU32::new(5)).include(stateless);
    assert_eq!(call(&functions, "count", "null").await.as_deref(), Ok("5"));
    assert_eq!(
        call(&functions.clone(), "count.too", "null")
            .await
            .as_deref(),
        Ok("6")
    );
    let outer = Functions::new().function("outer", count).include(functions);
    assert_eq!(call(&outer, "outer", "null").await.as_deref(), Ok("7"));
    assert_eq!(
        outer.names().collect::<Vec<_>>(),
        ["count", "count.too", "outer"]
    );
    assert!(outer.check().is_ok());
}

#[test]
fn mistakes_are_refused() {
    let new = Functions::new;
    for wrong in [
        new().function("f", try_next),
        new().function("f", |x: f64| {
            if x < 0.0 {
                Err("below 0".to_owned())
            } else {
                Ok(x)
            }
        }),
        new().function("f", |x: i64, _: Context| try_next(x)),
        new().function("f", async_try_next),
        new().blocking("f", try_next),
        new().include(new().function("f", try_next)),
    ] {
        assert!(matches!(wrong.check(), Err(Error::ReturnsResult { name }) if name == "f"));
        assert_eq!(wrong.names().count(), 0);
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
