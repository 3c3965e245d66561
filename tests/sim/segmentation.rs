//! L16: segmentation is invisible; and L19: the same inputs give the same outputs.

use fastrand::Rng;

use crate::devices::Mode;
use crate::reference::without_blanks;
use crate::report::{each_seed, must};
use crate::scenario::{Ends, Failure, Outcome, Scenario};

/// The same words, carried in another way.
fn carried(mode: Mode, words: u64, way: u64) -> Scenario {
    let mut scenario = Scenario::plain(mode, words);
    scenario.say(words);
    // A server that gives up is heard sooner or later, depending on the wires.
    scenario.habits.gives_up = 0;
    scenario.taste.lines = scenario.taste.lines.min(5);
    scenario.taste.message_len = scenario.taste.message_len.min(8_000);
    let taste = scenario.taste.clone();
    scenario.carry(&mut Rng::with_seed(way));
    scenario.let_replies_come_whole();
    scenario.taste = taste;
    scenario.speak_esmtp();
    // Whether there are any depends on how they are carried.
    scenario.taste.nul = false;
    scenario
}

/// Alike, but for blanks behind a refusal whose reply was repeated in pieces.
fn alike(a: &Outcome, b: &Outcome) -> bool {
    let [to_server, to_client] = &a.received;
    let [to_server_too, to_client_too] = &b.received;
    a.sent == b.sent
        && to_server == to_server_too
        && without_blanks(to_client) == without_blanks(to_client_too)
}

#[test]
fn segmentation_is_invisible() {
    let name = "segmentation::segmentation_is_invisible";
    each_seed(name, 250, |words, traced| {
        let mode = Mode::blind_to_packets(words);
        let mut first: Option<Outcome> = None;
        for way in 0..5 {
            let scenario = carried(mode, words, words * 31 + way);
            let outcome = scenario.run(traced)?;
            // But for what a device does with repeats of half a line, and lines that wait.
            if outcome.ends != Ends::Certain || outcome.judged.odd > 0 {
                continue;
            }
            if first.as_ref().is_some_and(|first| !alike(first, &outcome)) {
                return Err(Failure::of(format!("way {way} is not like the first")));
            }
            first.get_or_insert(outcome);
        }
        Ok(())
    });
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let name = "segmentation::the_same_inputs_give_the_same_outputs";
    each_seed(name, 150, |seed, traced| {
        let scenario = Scenario::of_any_device(Mode::nth(seed), seed);
        let (a, b) = (scenario.run(traced)?, scenario.run(traced)?);
        if a.fingerprint == b.fingerprint && a.counters == b.counters && a.received == b.received {
            Ok(())
        } else {
            Err(Failure::of("two runs differ".to_owned()))
        }
    });
}

#[test]
fn super_segments_are_met() {
    let mut scenario = Scenario::plain(Mode::MAILGUARD, 1);
    scenario.offload = true;
    scenario.taste.message_len = 200_000;
    let supers: u64 = (1..20)
        .map(|seed| {
            scenario.seed = seed;
            scenario.words = seed;
            must("segmentation::super_segments_are_met", &scenario).supers
        })
        .sum();
    assert!(supers > 50, "only {supers} super-segments");
}
