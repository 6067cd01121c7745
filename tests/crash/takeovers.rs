use jetiter::{GroupId, Options, Settings, math};
use tokio::time::Duration;

use super::{fetch, is_clean, result, values};
use crate::collators::until_works;
use crate::harness::{Engine, eventually, within};
use crate::plain::Plain;
use crate::processes::Process;

fn small(settings: &mut Settings) {
    settings.assets.lease = Duration::from_secs(1);
    settings.collator.chunk = 1024;
}

fn group(id: &str) -> GroupId {
    id.parse().unwrap()
}

async fn submit(engine: &Engine, id: &str, numbers: std::ops::Range<u32>) {
    let options = Options::new().group(group(id));
    within(engine.client.async_iter("math.floor", numbers, &options)).await.unwrap();
}

async fn is_right(engine: &Engine, id: &str, numbers: std::ops::Range<u32>) {
    let fetched = fetch::<u32>(engine, &group(id)).await;
    assert_eq!(values(fetched), numbers.collect::<Vec<_>>());
}

/// A collator that fell asleep while it finished the group `g`, and the one that finished it since.
struct Scene {
    engine: Engine,
    sleeper: Process,
    second: Process,
}

impl Scene {
    async fn at(points: &str) -> Scene {
        let engine = Engine::with(small).await;
        let sleeper = engine.process_until(&["collator"], &format!("{points}1*return(stop)"));
        let first = until_works(&engine, &None).await;
        engine.worker(math::functions()).await;
        submit(&engine, "g", 0..500).await;
        sleeper.is_stopped().await;
        let second = engine.collator_process();
        until_works(&engine, &first).await;
        is_right(&engine, "g", 0..500).await;
        is_clean(&engine).await;
        Scene { engine, sleeper, second }
    }

    /// Its user deletes the result and uses the id again.
    async fn used_again(&self) {
        assert!(self.engine.client.delete(&group("g")).await.unwrap());
        submit(&self.engine, "g", 1_000..1_300).await;
        is_right(&self.engine, "g", 1_000..1_300).await;
        is_clean(&self.engine).await;
    }

    /// The sleeper wakes and learns that it is late. Then the second one dies: the next one, be it
    /// the sleeper, knows what the log says and no more.
    async fn wakes_late(&mut self) {
        self.sleeper.wake();
        let told = async || self.sleeper.log().contains("the lease is lost");
        eventually("it stands by", told).await;
        let collator = self.engine.collator_process();
        std::mem::replace(&mut self.second, collator).kill().await;
    }

    /// All is sound: another group is finished, and nothing is left of any.
    async fn goes_on(&self) {
        submit(&self.engine, "next", 0..100).await;
        is_right(&self.engine, "next", 0..100).await;
        is_clean(&self.engine).await;
    }
}

/// The first one wakes when the second one has finished the group.
async fn finished(points: &str) {
    let mut scene = Scene::at(points).await;
    let before = result(&scene.engine, "g").await;
    scene.wakes_late().await;
    scene.goes_on().await;
    assert_eq!(result(&scene.engine, "g").await, before);
    is_right(&scene.engine, "g", 0..500).await;
}

/// It wakes when the id belongs to another group.
async fn used_again(points: &str) {
    let mut scene = Scene::at(points).await;
    scene.used_again().await;
    let before = result(&scene.engine, "g").await;
    scene.wakes_late().await;
    scene.goes_on().await;
    assert_eq!(result(&scene.engine, "g").await, before);
    is_right(&scene.engine, "g", 1_000..1_300).await;
}

/// It wakes when the result is deleted: that stays so.
async fn deleted(points: &str) {
    let mut scene = Scene::at(points).await;
    assert!(scene.engine.client.delete(&group("g")).await.unwrap());
    scene.wakes_late().await;
    scene.goes_on().await;
    assert_eq!(result(&scene.engine, "g").await, []);
}

/// It wakes while the id is in use again and the new group is not finished.
async fn begun_again(points: &str) {
    let mut scene = Scene::at(points).await;
    assert!(scene.engine.client.delete(&group("g")).await.unwrap());
    let plain = Plain::of(&scene.engine).await;
    plain.items("g", 0..3).await;
    plain.until_kept("item.g.2").await;
    scene.wakes_late().await;
    plain.seal("g", &[], "3").await;
    is_right(&scene.engine, "g", 0..3).await;
    scene.goes_on().await;
}

macro_rules! sleepers {
    ($($name:ident: $wakes:ident at $points:literal;)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            $wakes($points).await;
        }
    )* };
}

sleepers! {
    asleep_between_two_chunks: finished at "collator.chunk=40*off->";
    asleep_before_the_commit: finished at "collator.uploaded=";
    asleep_before_the_records: finished at "collator.committed=";
    asleep_before_the_purge: finished at "collator.purging=";
    asleep_between_two_chunks_until_the_id_is_used_again: used_again at "collator.chunk=40*off->";
    asleep_before_the_commit_until_the_id_is_used_again: used_again at "collator.uploaded=";
    asleep_before_the_records_until_the_id_is_used_again: used_again at "collator.committed=";
    asleep_before_the_purge_until_the_id_is_used_again: used_again at "collator.purging=";
    asleep_between_two_chunks_until_the_result_is_deleted: deleted at "collator.chunk=40*off->";
    asleep_before_the_commit_until_the_result_is_deleted: deleted at "collator.uploaded=";
    asleep_before_the_records_until_the_result_is_deleted: deleted at "collator.committed=";
    asleep_before_the_commit_until_the_id_is_in_use_again: begun_again at "collator.uploaded=";
    asleep_before_the_records_until_the_id_is_in_use_again: begun_again at "collator.committed=";
    asleep_before_the_purge_until_the_id_is_in_use_again: begun_again at "collator.purging=";
}
