//! Replays the inputs that fuzzing has kept through the bodies of the fuzz targets. A file of
//! tests/corpus/TARGET that fails is replayed alone with `MAILGUARD_FUZZ_INPUT=FILE`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use mailguard::fuzz::{Body, TARGETS};

/// Fewer than so many mean that a corpus is not where this test looks for it.
const INPUTS_MIN: usize = 20;

fn replay(name: &str) {
    let (_, body) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut inputs: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= INPUTS_MIN, "{} inputs", inputs.len());
    if let Some(input) = env::var_os("MAILGUARD_FUZZ_INPUT") {
        inputs = vec![input.into()];
    }
    for input in &inputs {
        run(*body, input);
    }
}

fn run(body: Body, input: &Path) {
    let octets = fs::read(input).unwrap();
    let ended = std::panic::catch_unwind(|| body(&octets));
    assert!(ended.is_ok(), "{} does not hold", input.display());
}

macro_rules! replays {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })+

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),+];
            assert_eq!(TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), replayed);
        }
    };
}

replays! { config dialogue fragments options packets sequences streams }
