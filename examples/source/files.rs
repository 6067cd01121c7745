//! Finds the files that `source_stats` maps over.

use std::path::{Path, PathBuf};

use crate::source::Source;

/// With fewer files the run shows little.
const FEWEST: usize = 1000;

/// The `.rs` files under a directory, or in the sources that cargo keeps; and where that was.
pub(crate) fn find(root: Option<PathBuf>, limit: usize) -> Result<(Vec<Source>, PathBuf), String> {
    // Cargo keeps a directory for each registry, and in it one for each crate.
    let (searched, roots) = match root {
        Some(root) => {
            // The workers may stand in another directory.
            let whole = root.canonicalize();
            let whole = whole.map_err(|error| format!("{}: {error}", root.display()))?;
            (whole.clone(), vec![whole])
        }
        None => {
            let sources = cargo_home()?.join("registry/src");
            let registries = match sources.is_dir() {
                true => sorted(&sources)?,
                false => Vec::new(),
            };
            (sources, registries)
        }
    };
    let mut files = Vec::new();
    for root in roots.iter().filter(|root| root.is_dir()) {
        walk(root, root, limit, &mut files)?;
    }
    if files.len() < FEWEST.min(limit) {
        let (found, searched) = (files.len(), searched.display());
        return Err(format!(
            "only {found} .rs files under {searched}, and {FEWEST} are wanted: build something \
             with many dependencies first, since cargo keeps their sources there, or name another \
             directory by --root"
        ));
    }
    Ok((files, searched))
}

#[allow(clippy::disallowed_methods, reason = "cargo's directory is no setting of jetiter")]
fn cargo_home() -> Result<PathBuf, String> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"));
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    cargo.or_else(home).ok_or_else(|| "neither CARGO_HOME nor HOME is set".to_owned())
}

fn walk(root: &Path, at: &Path, limit: usize, files: &mut Vec<Source>) -> Result<(), String> {
    for path in sorted(at)? {
        if files.len() >= limit {
            break;
        }
        // A link could lead round in a circle.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, limit, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inner = path.strip_prefix(root).ok().and_then(Path::to_str);
            // A name that is not UTF-8 can't be said in an argument.
            if let (Some(inner), Some(root)) = (inner, root.to_str()) {
                let (path, root) = (inner.to_owned(), Some(root.to_owned()));
                files.push(Source { path, root });
            }
        }
    }
    Ok(())
}

/// What a directory holds, by name.
fn sorted(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("{} can't be read: {error}", directory.display());
    let entries = std::fs::read_dir(directory).map_err(unreadable)?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}
