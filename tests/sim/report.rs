//! Running many seeds, and saying what failed so that it can be repeated.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::scenario::{Failure, Outcome, Scenario};
use crate::trace::Trace;

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
    if let Ok(Err(failure)) = catch_unwind(AssertUnwindSafe(|| run(*seed, true))) {
        text += &explain(name, *seed, &failure.trace);
    }
    for (seed, what) in &failed[1..] {
        let line = what.lines().next().unwrap_or_default();
        text += &format!("also seed {seed}: {line}\n");
    }
    text += &format!("repeat with: MAILGUARD_SIM_SEED={seed} cargo test --test sim {name}");
    panic!("{text}");
}

/// Runs, and turns a panic into a failure.
fn quietly(run: impl FnOnce() -> Result<(), Failure>) -> Result<(), String> {
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

/// The last packets of a run, and where its captures are.
pub(crate) fn explain(name: &str, seed: u64, trace: &Trace) -> String {
    let file = format!("{}-{seed}", name.replace("::", "-"));
    let mut text = format!("the last packets at the guard:\n{}", trace.lines());
    for path in trace.save(&file) {
        text += &format!("capture: {}\n", path.display());
    }
    text
}

/// Runs one scenario that must succeed.
pub(crate) fn must(name: &str, scenario: &Scenario) -> Outcome {
    match scenario.run(false) {
        Ok(outcome) => outcome,
        Err(failure) => {
            let mut text = format!("{name}: {}\n{scenario:#?}\n", failure.what);
            if let Err(failure) = scenario.run(true) {
                text += &explain(name, scenario.seed, &failure.trace);
            }
            panic!("{text}");
        }
    }
}
