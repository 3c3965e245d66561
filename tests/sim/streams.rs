//! Whatever is said and however it gets there, each end receives what the policy says.

use core::cell::RefCell;

use crate::devices::Mode;
use crate::report::{each_seed, scenarios};
use crate::scenario::{Ends, Failure, Scenario};
use crate::wire::Faults;

#[test]
fn off_changes_nothing() {
    scenarios("streams::off_changes_nothing", 500, |seed| Scenario::seeded(Mode::OFF, seed));
}

#[test]
fn mailguard_edits_as_the_policy_says() {
    scenarios("streams::mailguard_edits_as_the_policy_says", 1500, |seed| {
        Scenario::seeded(Mode::MAILGUARD, seed)
    });
}

#[test]
fn pix40_edits_as_the_policy_says() {
    scenarios("streams::pix40_edits_as_the_policy_says", 600, |seed| {
        Scenario::seeded(Mode::PIX40, seed)
    });
}

/// What is certain where a knob weakens a law.
const QUIRKS: &str = include_str!("quirks.md");

/// How the sessions of one device ended.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    certain: u64,
    quirks: u64,
    resets: u64,
    /// Sessions with an outcome that only repeats bring about.
    odd: u64,
    refused: u64,
    hidden: u64,
    messages: u64,
    tls: u64,
    errors: [u64; 2],
}

/// Every personality, and values of knobs that none has: the seed picks one. Where a quirk looks at packets, what
/// comes before the first cut at which it looks is certain.
#[test]
fn every_personality_edits_as_the_policy_says() {
    let name = "streams::every_personality_edits_as_the_policy_says";
    let seen = RefCell::new(vec![Seen::default(); Mode::all().len()]);
    each_seed(name, 1_840, |seed, traced| {
        let scenario = Scenario::of_any_device(Mode::nth(seed), seed);
        let outcome = scenario.run(traced)?;
        if let Some(quirk) = outcome.judged.quirk
            && !QUIRKS.contains(&format!("| `{quirk} "))
        {
            return Err(Failure::of(format!("{quirk} is a quirk that quirks.md does not name")));
        }
        let mut seen = seen.borrow_mut();
        let seen = &mut seen[seed as usize % Mode::all().len()];
        match outcome.ends {
            Ends::Certain => seen.certain += 1,
            Ends::Quirk => seen.quirks += 1,
            Ends::Reset => seen.resets += 1,
        }
        if outcome.judged.odd > 0
            && scenario.faults.iter().all(Faults::are_none)
            && scenario.is_whole()
        {
            return Err(Failure::of("nothing was lost, and half a line was repeated".to_owned()));
        }
        let counts = outcome.judged.counts;
        seen.odd += u64::from(outcome.judged.odd > 0);
        seen.refused += counts.refused;
        seen.hidden += counts.keywords;
        seen.messages += counts.messages;
        seen.tls += counts.tls;
        seen.errors = [0, 1].map(|n: usize| seen.errors[n] + outcome.errors[n]);
        Ok(())
    });
    let seen = seen.into_inner();
    for (mode, seen) in Mode::all().zip(&seen) {
        println!("{mode:?}: {seen:?}");
    }
    let sum = |of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>();
    let all = sum(|seen| seen.certain + seen.quirks + seen.resets);
    if all >= 1_840 {
        for (mode, seen) in Mode::all().zip(&seen) {
            let all = seen.certain + seen.quirks + seen.resets;
            assert!(seen.certain * 3 >= all, "{mode:?}: {seen:?}");
            assert!(mode.is_blind_to_packets() || seen.quirks > 0, "{mode:?} has shown no quirk");
            assert!(!mode.inspects() || seen.messages > 0, "{mode:?}: {seen:?}");
        }
        assert!(sum(|seen| seen.errors[1]) > 1_000, "{seen:?}");
        assert!(sum(|seen| seen.tls) > 20 && sum(|seen| seen.hidden) > 200, "{seen:?}");
    }
}
