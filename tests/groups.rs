//! Groups of numbers: `math.floor` of each index and a half is the index.

use std::io::Write;

use jetiter::{FOREVER, GroupId, Options};

use crate::harness::{Engine, eventually, within};

pub fn arguments(items: u32) -> impl Iterator<Item = f64> {
    (0..items).map(|index| f64::from(index) + 0.5)
}

pub async fn submit(engine: &Engine, items: u32) -> GroupId {
    let options = Options::new();
    within(engine.client.async_iter("math.floor", arguments(items), &options)).await.unwrap()
}

/// The group's list has each value once, and its records name each index once.
pub async fn is_right(engine: &Engine, group: &GroupId, items: u32) {
    let fetched = within(engine.client.fetch::<u32>(group, FOREVER)).await.unwrap().unwrap();
    assert_eq!(fetched.records.len(), items as usize, "{group}");
    let ordered = fetched.into_ordered().into_iter();
    let values: Vec<u32> = ordered.map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, (0..items).collect::<Vec<_>>(), "{group}");
}

/// A file with the same arguments, as `jetiter map --from` reads it.
pub fn arguments_file(items: u32) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    arguments(items).for_each(|argument| writeln!(file, "{argument:?}").unwrap());
    file
}

/// Submits a group and waits for its result.
pub async fn is_mapped(engine: &Engine, items: u32) {
    let group = submit(engine, items).await;
    is_right(engine, &group, items).await;
}

/// What a process has printed is the list of these numbers, in whatever order.
pub fn is_list(printed: &str, items: u32) {
    let mut values: Vec<u32> = serde_json::from_str(printed).expect(printed);
    values.sort_unstable();
    assert_eq!(values, (0..items).collect::<Vec<_>>());
}

/// As [`Engine::is_clean`], where acknowledgements may have been lost: then items come again, find
/// their outcomes stored or their group finished, and go.
pub async fn is_clean_again(engine: &Engine) {
    let items = engine.broker.namespace.items_stream();
    eventually("no item is left", async || {
        let (items, keys) = (engine.broker.stream_info(&items, None).await, engine.cache_keys());
        items.is_ok_and(|info| info.state.messages == 0) && keys.await.is_empty()
    })
    .await;
    engine.is_clean().await;
}
