use proptest::prelude::*;

use super::*;

/// Reads a script: `2` an outcome, `2!` a failed one, `n2` one without an index, `2-3` those of three
/// items from 2 on, `2-3!` the same of which the first failed, `/3` a seal,
/// `x` an end, `.` something else. Returns the tally and the verdicts, in order.
fn play(script: &str) -> (Tally, Vec<Verdict>) {
    let mut tally = Tally::default();
    let verdicts = script.split_whitespace().zip(1..).filter_map(|(word, seq)| {
        tally.take(Logged { seq, at: seq * 10, group: "g", event: event(word) })
    });
    let verdicts = verdicts.collect();
    (tally, verdicts)
}

fn event(word: &str) -> Event {
    if let Some(total) = word.strip_prefix('/') {
        return Event::Sealed(Seal::of(total.parse().unwrap()));
    }
    match word {
        "x" => return Event::Ended(State::Cancelled),
        "." => return Event::Other,
        _ => {}
    }
    let plain = word.trim_end_matches('!');
    if let Some(span) = Span::parse(plain) {
        let failed = if word.ends_with('!') { vec![span.first()] } else { Vec::new() };
        return Event::Outcomes { span, failed };
    }
    let id = match plain.strip_prefix('n') {
        Some(n) => ItemId::Stored { sequence: n.parse().unwrap(), timestamp: 0 },
        None => ItemId::index(plain).unwrap(),
    };
    Event::Outcome { id, failed: word.ends_with('!') }
}

/// The group is decided once, by the entry at `cut`, with so many items in its list.
#[track_caller]
fn check(script: &str, state: State, cut: u64, counted: u64) {
    let (_, verdicts) = play(script);
    assert_eq!(verdicts.len(), 1, "{script}: {verdicts:?}");
    let verdict = &verdicts[0];
    assert_eq!((verdict.state, verdict.cut, verdict.counted), (state, cut, counted), "{script}");
}

#[track_caller]
fn undecided(script: &str) {
    assert_eq!(play(script).1, [], "{script}");
}

#[test]
fn the_last_outcome_or_the_seal_completes() {
    check("0 1 2 /3", State::Complete, 4, 3);
    check("/3 2 0 1", State::Complete, 4, 3);
    check("1 /2 0 1 0", State::Complete, 3, 2);
}

#[test]
fn an_empty_group_completes_with_its_seal() {
    check("/0", State::Complete, 1, 0);
}

#[test]
fn a_duplicate_never_counts() {
    undecided("0 0 0 /2 0");
    check("0 0 /2 1 1", State::Complete, 4, 2);
}

#[test]
fn a_failed_item_counts_as_an_item() {
    check("0 1! /2", State::Complete, 3, 2);
    assert_eq!(play("0 1! 1! /3").0.get("g").unwrap().failed, 1);
}

#[test]
fn an_index_over_the_total_does_not_count() {
    undecided("0 5 6 /3 7");
    check("0 5 /2 1", State::Complete, 4, 2);
    let (_, verdicts) = play("0 5 /1");
    assert_eq!((verdicts[0].counted, verdicts[0].entries), (1, 2));
    assert!(!in_range(verdicts[0].seal.as_ref(), ItemId::Index(5)));
}

#[test]
fn items_without_index_count_too() {
    check("n1 n2 n1 /3 n7", State::Complete, 5, 3);
    check("n1 n2 n3 /2", State::Complete, 4, 3);
}

#[test]
fn a_span_counts_as_its_items() {
    check("0-3 /3", State::Complete, 2, 3);
    check("/5 0-3 3-2", State::Complete, 3, 5);
    check("1 0-2 /3 2", State::Complete, 4, 3);
    check("2-4 0 /4 1", State::Complete, 4, 4);
    undecided("0-3 1-2 /4 0-1 2");
    assert_eq!(play("0-3! 0 0-3! 5!").0.get("g").unwrap().failed, 2);
    assert_eq!(play("0 0-3! /9").0.get("g").unwrap().failed, 0);
    let (tally, _) = play("0-3 2-4 7 n1 /5");
    assert_eq!(tally.get("g").unwrap().counted(), 6);
}

#[test]
fn the_first_seal_counts() {
    undecided("0 /3 /1");
    check("0 /3 /1 1 2", State::Complete, 5, 3);
}

#[test]
fn never_sealed_is_never_complete() {
    undecided("0 1 2 3 . .");
}

#[test]
fn an_end_decides_with_what_is_there() {
    check("0 1 x 2", State::Cancelled, 3, 2);
    check("x", State::Cancelled, 1, 0);
    check("0 /1 x", State::Complete, 2, 1);
    check("0 /2 x 1", State::Cancelled, 3, 1);
}

#[test]
fn after_the_verdict_nothing_is_decided_again() {
    let (tally, verdicts) = play("0 /1 0 1 /1 /5 x .");
    assert_eq!(verdicts.len(), 1);
    assert_eq!(tally.get("g").unwrap().last, 8, "late entries are still known, to be removed");
}

#[test]
fn the_floor_is_the_first_entry_of_any_group() {
    let mut tally = Tally::default();
    assert_eq!(tally.floor(), None);
    for (group, seq) in [("a", 3), ("b", 5), ("a", 9)] {
        tally.take(Logged { seq, at: 0, group, event: Event::Other });
    }
    assert_eq!(tally.floor(), Some(3));
    tally.forget("a");
    assert_eq!(tally.floor(), Some(5));
}

/// Every order of four items, their seal, a duplicate and an index out of range.
#[test]
fn every_order_completes_once_and_at_the_last_entry_that_counts() {
    let words = ["0", "1", "2", "3", "/4", "2", "9"];
    let mut orders = 0;
    permute(&mut words.to_vec(), 0, &mut |order| {
        orders += 1;
        let position = |word| order.iter().position(|w| *w == word).unwrap();
        let cut = ["0", "1", "2", "3", "/4"].map(position).into_iter().max().unwrap() as u64 + 1;
        check(&order.join(" "), State::Complete, cut, 4);
    });
    assert_eq!(orders, 5040);
}

fn permute<'a>(words: &mut Vec<&'a str>, from: usize, visit: &mut impl FnMut(&[&'a str])) {
    if from == words.len() {
        return visit(words);
    }
    for i in from..words.len() {
        words.swap(from, i);
        permute(words, from + 1, visit);
        words.swap(from, i);
    }
}

proptest! {
    /// Against a model that keeps plain sets and looks at everything after each entry.
    #[test]
    fn agrees_with_the_plain_model(
        total in 0u32..12,
        entries in prop::collection::vec((0u32..16, 1u32..5, any::<bool>()), 0..60),
        sealed_at in 0usize..60,
    ) {
        let mut tally = Tally::default();
        let (mut seen, mut sealed, mut expected) = (HashSet::new(), false, None);
        let mut verdicts = Vec::new();
        for step in 0..=entries.len() {
            let mut take = |event| {
                let seq = 2 * step as u64 + u64::from(matches!(event, Event::Sealed(_)));
                verdicts.extend(tally.take(Logged { seq, at: 0, group: "g", event }));
                seq
            };
            let mut last = None;
            if let Some((index, count, failed)) = entries.get(step) {
                seen.extend(*index..*index + *count);
                last = Some(take(match Span::new(*index, *count) {
                    Some(span) if *count > 1 => Event::Outcomes { span, failed: vec![*index] },
                    _ => Event::Outcome { id: ItemId::Index(*index), failed: *failed },
                }));
            }
            let complete = |seen: &HashSet<u32>| (0..total).all(|index| seen.contains(&index));
            if let Some(seq) = last.filter(|_| sealed && complete(&seen)) {
                expected.get_or_insert((seq, u64::from(total)));
            }
            if step == sealed_at.min(entries.len()) {
                sealed = true;
                let seq = take(Event::Sealed(Seal::of(total)));
                if complete(&seen) {
                    expected.get_or_insert((seq, u64::from(total)));
                }
            }
        }
        let found: Vec<_> = verdicts.iter().map(|v| (v.cut, v.counted)).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
