//! `jetiter config`

use jetiter_config::settings::{self, Settings};
use serde_json::json;

use crate::cli::{Exit, Failure, Global, output};

/// Show each setting, its value and where it came from; secrets are hidden
///
/// Shows what was said also where it is not valid, and then fails.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// As JSON, one object a key
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let figment = global.figment();
    let all = settings::explain(&figment);
    if args.json {
        let rows = all
            .iter()
            .map(|one| json!({"key": one.key, "value": one.value, "source": one.source}))
            .collect::<Vec<_>>();
        output::line(serde_json::to_vec_pretty(&rows)?)?;
    } else {
        let heading = ["KEY", "VALUE", "SOURCE"].map(str::to_owned).to_vec();
        let rows = all.into_iter().map(|one| vec![one.key, one.value, one.source]);
        let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
        output::line(output::table(&rows))?;
    }
    Settings::load(&figment)?;
    Ok(Exit::Done)
}
