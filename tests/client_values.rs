use std::time::Duration;

use jetiter::{Encoding, FOREVER, Functions, Options};
use serde::{Deserialize, Serialize};

use crate::harness::{Engine, within};

#[tokio::test(flavor = "multi_thread")]
async fn null_results_are_not_the_same_as_not_finished_or_failed() {
    let engine = Engine::bare().await;
    let id = engine.client.async_iter("t.quiet", [0, 1], &Options::new()).await.unwrap();
    assert_eq!(engine.client.result::<()>(&id, Duration::ZERO).await.unwrap(), None);
    let functions = Functions::new().try_function("t.quiet", |x: u8| match x {
        0 => Ok(()),
        _ => Err("loud"),
    });
    engine.worker(functions).await;
    engine.collator().await;
    let fetched = within(engine.client.fetch::<()>(&id, FOREVER)).await.unwrap().unwrap();
    assert_eq!(fetched.list.iter().flatten().count(), 1, "a null value is a value");
    let ordered = fetched.into_ordered();
    assert_eq!(ordered[0].1, Ok(()));
    assert_eq!(ordered[1].1.as_ref().unwrap_err().message, "loud");
    let options = engine.client.fetch::<Option<u8>>(&id, FOREVER).await.unwrap().unwrap();
    assert_eq!(options.into_ordered()[0].1, Ok(None));
    let numbers = engine.client.fetch::<u8>(&id, FOREVER).await.unwrap().unwrap();
    let error = numbers.into_ordered()[0].1.clone().unwrap_err();
    assert_eq!(error.message, "the value is null");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Text {
    name: String,
    lines: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Count {
    name: String,
    words: usize,
    longest: Option<String>,
}

fn count(text: Text) -> Count {
    let words = || text.lines.iter().flat_map(|line| line.split_whitespace());
    Count {
        words: words().count(),
        longest: words().max_by_key(|word| word.len()).map(str::to_owned),
        name: text.name,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn structs_travel_both_ways_in_both_encodings() {
    let engine = Engine::bare().await;
    engine.worker(Functions::new().function("text.count", count)).await;
    engine.collator().await;
    let texts = [
        Text { name: "a".into(), lines: vec!["one three".into(), "of".into()] },
        Text { name: "é\u{0}\"".into(), lines: vec![] },
    ];
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let options = Options::new().encoding(encoding);
        let id = engine.client.async_iter("text.count", &texts, &options).await.unwrap();
        let fetched = within(engine.client.fetch::<Count>(&id, FOREVER)).await.unwrap().unwrap();
        let counts = fetched.into_ordered().into_iter().map(|(_, value)| value.unwrap());
        assert!(counts.eq(texts.iter().cloned().map(count)));
    }
    engine.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_type_is_named_with_the_way_out() {
    let engine = Engine::start().await;
    let id = engine.client.async_iter("math.sqrt", [4, -4], &Options::new()).await.unwrap();
    let error = within(engine.client.result::<f64>(&id, FOREVER)).await.unwrap_err().to_string();
    for part in [id.as_str(), "list of f64", "1 items failed", "Option<T>", "fetch"] {
        assert!(error.contains(part), "{part:?} in {error}");
    }
    let mut list: Vec<Option<f64>> = engine.client.result(&id, FOREVER).await.unwrap().unwrap();
    list.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(list, [None, Some(2.0)]);
    let error = engine.client.result::<Option<String>>(&id, FOREVER).await.unwrap_err();
    assert!(error.to_string().contains("Option<alloc::string::String>"), "{error}");
}
