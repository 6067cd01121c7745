use super::*;
use futures_util::FutureExt;
use serde_json::json;

fn cache(max_bytes: i64, bytes: u64) -> StreamInfo {
    let state = json!({ "messages": bytes / 100, "bytes": bytes, "first_seq": 1, "last_seq": 1 });
    let config = json!({ "max_bytes": max_bytes });
    let info = json!({ "created": "then", "state": state, "config": config });
    serde_json::from_value(info).unwrap()
}

fn may(place: &Place<'_>) -> bool {
    place.turn().now_or_never().is_some()
}

#[tokio::test]
async fn without_a_limit_there_is_always_room() {
    let room = Room::new(0.9, &cache(-1, 1 << 40));
    assert!((0..10_000).all(|position| may(&room.place(position, 1 << 20))));
    assert_eq!((room.largest(), room.stuck_for()), (usize::MAX, Duration::ZERO));
    let before = room.items();
    room.pulled();
    assert_eq!(room.items(), before);
}

#[tokio::test]
async fn a_part_stays_free_for_marks() {
    let room = Room::new(0.5, &cache(1_000, 400));
    let places = [room.place(1, 20), room.place(2, 20), room.place(3, 20)];
    assert!(may(&places[0]), "a hundred bytes are free, a quarter of them is ours");
    assert!(!may(&places[1]));
    drop(places);
    room.look(&cache(1_000, 480), 0);
    let (large, small) = (room.place(4, 21), room.place(5, 20));
    assert!(!may(&large), "over the soft limit");
    assert!(may(&small), "the first one after a look may take all that is free");
    room.look(&cache(1_000, 500), 0);
    assert!(!may(&room.place(6, 1)));
    assert_eq!(room.items(), 0);
    assert_eq!(room.largest(), 500);
}

#[tokio::test]
async fn the_oldest_go_first() {
    let room = Room::new(0.9, &cache(-1, 0));
    let places: Vec<_> = (0..100).map(|position| room.place(position, 1)).collect();
    assert!(may(&places[99]));
    for place in &places {
        place.refused(Duration::ZERO).await;
    }
    assert_eq!(places.iter().filter(|place| may(place)).count(), AT_ONCE);
    assert!(may(&places[0]) && !may(&places[AT_ONCE]));
    let mut places = places.into_iter();
    drop(places.next());
    assert!(may(&places.as_slice()[AT_ONCE - 1]), "one was stored, the next may try");
    drop(places);
    assert!(room.state().waiting.is_empty());
}

#[tokio::test]
async fn ever_more_go_at_once_as_storing_works_again() {
    let room = Room::new(0.9, &cache(-1, 0));
    let places: Vec<_> = (0..200).map(|position| room.place(position, 1)).collect();
    for place in &places {
        place.refused(Duration::ZERO).await;
    }
    let allowed = |left: &[Place<'_>]| left.iter().filter(|place| may(place)).count();
    let mut left = places.into_iter();
    left.by_ref().take(50).for_each(drop);
    assert_eq!(allowed(left.as_slice()), AT_ONCE + 50);
    left.as_slice()[0].refused(Duration::ZERO).await;
    assert_eq!(allowed(left.as_slice()), AT_ONCE);
}

#[tokio::test]
async fn one_that_comes_later_stands_behind() {
    let room = Room::new(0.9, &cache(-1, 0));
    let old: Vec<_> = (0..AT_ONCE as u64).map(|position| room.place(position, 1)).collect();
    for place in &old {
        place.refused(Duration::ZERO).await;
    }
    let late = room.place(1_000, 1);
    let stored = async {
        tokio::task::yield_now().await;
        drop(old);
    };
    tokio::join!(late.turn(), stored);
}

#[tokio::test(start_paused = true)]
async fn it_tells_for_how_long_nothing_was_stored() {
    let room = Room::new(0.9, &cache(1_000, 1_000));
    let (one, two) = (room.place(1, 10), room.place(2, 10));
    assert!(!may(&one) && !may(&two));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(room.stuck_for(), Duration::from_secs(9));
    drop(one);
    assert_eq!(room.stuck_for(), Duration::ZERO);
    drop(two);
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(room.stuck_for(), Duration::ZERO);
}
