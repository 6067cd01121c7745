//! Replays the fuzz targets' corpus: what once broke, and what leads into every corner. `make fuzz`
//! looks for more.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

use crate::fuzzing::{self, TARGETS};

fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name)
}

fn replay(name: &str) {
    let mut files: Vec<_> =
        fs::read_dir(corpus(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has a corpus");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let run = catch_unwind(|| fuzzing::run(name, &bytes));
        assert!(run.is_ok(), "{} broke it, see above", file.display());
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed_and_fuzzed() {
            let named: BTreeSet<_> = [$(stringify!($name)),*].into();
            let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(named, targets);
            let manifest = include_str!("../fuzz/Cargo.toml");
            for name in targets {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            }
        }
    };
}

replays!(addresses cbor commands context deep functions item json names outcome outcomes result seal settings);
