//! What chunks bring: many arguments in one message against one in each.

use serde_json::json;

use super::engine::Engine;
use super::figures::{rate, whole};
use super::machine::Machine;
use super::options::{Chunked, Options};
use super::phases::{HEADING, Rates};
use super::stage::Stage;
use crate::cli::{Failure, output};

const ITEMS: u32 = 1_000_000;
const ROUNDS: u32 = 3;
const CHUNK: u32 = 1000;
/// Items of the first groups, which are not counted.
const WARM_UP: u32 = 10_000;

pub(super) async fn run(options: &Options, stage: &Stage) -> Result<String, Failure> {
    let (items, rounds) = (options.items.unwrap_or(ITEMS), options.rounds.unwrap_or(ROUNDS));
    let chunk = options.chunk.clone().unwrap_or_else(|| Chunked::of(CHUNK));
    let single = options.work().chunked(None);
    let chunked = single.clone().chunked(Some(chunk.clone()));
    let workers = options.one_number_of_workers()?;
    let engine = Engine::start(stage, &single, workers, options.concurrency).await?;
    let (mut singles, mut chunks) = (Vec::new(), Vec::new());
    for work in [&single, &chunked] {
        engine.map(work, items.min(WARM_UP)).await?;
    }
    for round in 1..=rounds {
        let (one, many) = (engine.map(&single, items).await?, engine.map(&chunked, items).await?);
        let shown = |time| whole(rate(items, time));
        let (single, chunked) = (shown(one.whole), shown(many.whole));
        output::note(format!("round {round} of {rounds}: single {single}/s, chunks {chunked}/s"));
        singles.push(one);
        chunks.push(many);
    }
    let machine = Machine::of(stage);
    let (one, many) = (Rates::of(items, &singles), Rates::of(items, &chunks));
    let ratio = many.engine.median / one.engine.median;
    let bests = many.engine.best / one.engine.best;
    let chunk = chunk.said;
    if options.json {
        let measured = json!({
            "machine": machine, "items": items, "rounds": rounds, "chunk": chunk,
            "single": one, "chunked": many, "ratio_of_medians": ratio, "ratio_of_bests": bests,
        });
        return Ok(json!({ "options": options.shown(&single), "measured": measured }).to_string());
    }
    let mut rows = vec![HEADING.map(str::to_owned).to_vec()];
    rows.extend(one.rows("one in a message"));
    rows.extend(many.rows(&format!("chunks of {chunk}")));
    Ok(format!(
        "{}\n{}\n\n{}\n\nchunks / one in a message: {ratio:.1} (medians), {bests:.1} (bests)",
        machine.shown(),
        options.described(&single, items, rounds),
        output::table(&rows),
    ))
}
