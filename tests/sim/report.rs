//! Running many seeds, and saying what failed so that it can be repeated.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::devices::Mode;
use crate::packet::Packet;
use crate::scenario::{Failure, Outcome, Scenario};
use crate::trace::Record;

/// After so many failures a test stops looking for more.
const ENOUGH: usize = 12;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The seeds to run: `MAILGUARD_SIM_SEED` alone, or `MAILGUARD_SIM_SEEDS`, or `usual` of them, from
/// `MAILGUARD_SIM_FROM` on.
pub(crate) fn seeds(usual: u64) -> Vec<u64> {
    match number("MAILGUARD_SIM_SEED") {
        Some(seed) => vec![seed],
        None => {
            let from = number("MAILGUARD_SIM_FROM").unwrap_or(0);
            (from..from + number("MAILGUARD_SIM_SEEDS").unwrap_or(usual)).collect()
        }
    }
}

/// Runs the scenario of each seed, and fails with the first that fails.
pub(crate) fn scenarios(name: &str, usual: u64, scenario: impl Fn(u64) -> Scenario) {
    each_seed(name, usual, |seed, traced| scenario(seed).run(traced).map(|_| ()));
}

/// Runs `run` for each seed, and fails with the first that fails. The second argument asks for a
/// trace.
pub(crate) fn each_seed(name: &str, usual: u64, run: impl Fn(u64, bool) -> Result<(), Failure>) {
    #[expect(clippy::disallowed_methods, reason = "a test may know how long it took")]
    let began = Instant::now();
    let seeds = seeds(usual);
    let mut failed = Vec::new();
    for seed in &seeds {
        if let Err(what) = quietly(|| run(*seed, false)) {
            failed.push((*seed, what));
            if failed.len() == ENOUGH {
                break;
            }
        }
    }
    println!("{name}: {} seeds in {:.1?}", seeds.len(), began.elapsed());
    let Some((seed, what)) = failed.first() else {
        return;
    };
    let mut text = format!("{name}, seed {seed}: {what}\n");
    text += &explain(name, *seed, || quietly(|| run(*seed, true)));
    for (seed, what) in &failed[1..] {
        let line = what.lines().next().unwrap_or_default();
        text += &format!("also seed {seed}: {line}\n");
    }
    panic!("{text}repeat with: MAILGUARD_SIM_SEED={seed} cargo test --test sim {name}");
}

/// Runs, and turns a panic into a failure.
fn quietly<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|failure| failure.what),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

/// The last packets of a run, and where its captures are: `again` runs it with a trace.
pub(crate) fn explain<T>(
    name: &str,
    seed: u64,
    again: impl FnOnce() -> Result<T, String>,
) -> String {
    let file = format!("{}-{seed}", name.replace("::", "-"));
    drop(Record::take());
    let again = again().err();
    let record = Record::take();
    let mut text = format!("the last packets at the guard:\n{}", record.lines());
    if again.is_none() {
        text += "run again, it succeeds\n";
    }
    for path in record.save(&file) {
        text += &format!("capture: {}\n", path.display());
    }
    text
}

/// Runs one scenario that must succeed.
pub(crate) fn must(name: &str, scenario: &Scenario) -> Outcome {
    match quietly(|| scenario.run(false)) {
        Ok(outcome) => outcome,
        Err(what) => {
            let mut text = format!("{name}: {what}\n{scenario:#?}\n");
            text += &explain(name, scenario.seed, || quietly(|| scenario.run(true)));
            panic!("{text}repeat with: cargo test --test sim {name}");
        }
    }
}

/// A run that fails, by a law or by a panic, prints the one line that repeats it and leaves a
/// capture of each leg that holds its packets.
#[test]
fn a_failure_can_be_repeated_and_leaves_captures() {
    let name = "report::on_purpose";
    for panics in [false, true] {
        let failed = catch_unwind(|| {
            each_seed(name, 3, |seed, traced| {
                let scenario = Scenario::plain(Mode::MAILGUARD, seed);
                scenario.run(traced)?;
                assert!(!panics, "on purpose");
                Err(Failure::of("on purpose".to_owned()))
            });
        });
        let panic = failed.expect_err("every seed fails");
        let text = panic.downcast_ref::<String>().expect("a text").as_str();
        let seed = seeds(3)[0];
        let again = format!("MAILGUARD_SIM_SEED={seed} cargo test --test sim {name}");
        assert_eq!(text.lines().filter(|line| line.ends_with(&again)).count(), 1, "{text}");
        assert!(text.contains("outside > 2525 "), "{text}");
        let captures: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("capture: ")).collect();
        assert_eq!(captures.len(), 2, "{text}");
        for path in captures {
            let capture = std::fs::read(path).expect("a capture");
            assert_eq!(capture[..4], 0xa1b2_c3d4_u32.to_le_bytes());
            let (mut at, mut packets) = (24, 0);
            while at < capture.len() {
                let len = capture[at + 8..at + 12].try_into().map(u32::from_le_bytes);
                let packet = &capture[at + 16..at + 16 + len.expect("four octets") as usize];
                assert!(Packet::read(packet).is_ok(), "{path}: packet {packets}");
                (at, packets) = (at + 16 + packet.len(), packets + 1);
            }
            assert!(packets > 10, "{path}: {packets} packets");
        }
    }
}
