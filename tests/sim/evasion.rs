//! A client that repeats itself with other words: octets once decided stay, and whatever reaches
//! the server is something that the guard would let through again.

use fastrand::Rng;
use mailguard::counters::{Counters, Event};

use crate::attacker::Attack;
use crate::client::Manners;
use crate::decoys;
use crate::devices::Mode;
use crate::guard::Guard;
use crate::pace::Cut;
use crate::reference::{Streams, judge};
use crate::report::{each_seed, must, scenarios};
use crate::scenario::{Failure, Scenario};
use crate::script;
use crate::trace::{Trace, difference};
use crate::world::World;

fn run(seed: u64, traced: bool) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(seed);
    let mode = Mode::FEW[rng.usize(1..3)];
    let mut scenario = Scenario::seeded(mode, seed);
    scenario.manners = [Manners::Pipelined, Manners::Blast][rng.usize(..2)];
    scenario.taste.message_len = 2_000;
    scenario.taste.wild = false;
    for faults in &mut scenario.faults[1..] {
        (faults.loss, faults.corrupt, faults.late) = (0, 0, 0);
    }
    scenario.faults[0].forge = 3_000;
    scenario.faults[0].lateness = 2_000;
    let guard = Guard::new(mode, scenario.offload, seed, Trace::new(traced));
    let mut world = World::new(guard, &scenario.faults, &mut rng);
    world.begin(scenario.session(0, 5555, &mut rng));
    let result = drive(&mut world, mode);
    result.map_err(|what| Failure::at(&world, &what))
}

fn drive(world: &mut World, mode: Mode) -> Result<(), String> {
    // What the client has heard may not fit what it has said, so it may well hang.
    if let Err(what) = world.run(300_000_000)
        && !what.starts_with("not over")
    {
        return Err(what);
    }
    let session = world.over.pop().or_else(|| world.active.pop()).ok_or("no session")?;
    let reached = &session.server.reader.received;
    let again = judge(mode, Streams::new(reached, &session.server.writer.sent));
    let len = again.to_server.octets.len().min(reached.len());
    match difference(&again.to_server.octets[..len], &reached[..len]) {
        Some(text) => Err(format!("what reached the server would not pass again: {text}")),
        None => Ok(()),
    }
}

/// What clients have tried, each sent at once, so that the server's replies come afterwards.
const TRICKS: &[&[u8]] = &[
    b"DATA\r\nEXPN root\r\n.\r\nEXPN root\r\n",
    b"DATA\nEXPN root\r\n.\r\nEXPN root\r\n",
    b"DATA\r\n\n.\n\r.\r\r\n.\n\n.\r\nEXPN root\r\n.\r\nEXPN root\r\n",
    b"DATA\r\n\r\n.\r\r\nEXPN root\r\n.\r\nEXPN root\r\n",
    b"NOOP\rDATA\r\nEXPN root\r\n.\r\nEXPN root\r\n",
    b"EHLO\rEXPN root\rVRFY root\nHELP\r\r\n\n\r\n",
    b"NOOP\r\r\r\rEXPN root\r\n",
];

/// DATA ends with a lone CR: the octet behind it already belongs to what must wait for the reply.
const TRICKS_BEHIND_A_LONE_CR: &[&[u8]] = &[
    b"DATA\rEXPN root\r\n.\r\nEXPN root\r\n",
    b"DATA\r.\r\nEXPN root\r\n.\r\nEXPN root\r\n",
    b"DATA\rN.\r\nOOP\r\n.\r\nOOP\r\nEXPN root\r\n",
    b"DATA\r\r\n.\r\nEXPN root\r\nVRFY root\r\n\r\n.\r\n",
    b"DATA\r\r.\r\nEXPN root\r\n\r\n.\r\nEXPN root\r\n",
    b"NOOP DATA\rDATA\rEXPN root\r\n.\r\nEXPN root\r\n",
];

/// DATA is accepted or refused; the tricks come whole or in pieces.
fn tricks(name: &str, tricks: &[&[u8]]) {
    each_seed(name, tricks.len() as u64 * 12, |seed, traced| {
        let variant = seed as usize % 12;
        let mode = [Mode::MAILGUARD, Mode::PIX40][variant & 1];
        let mut scenario = Scenario::plain(mode, seed);
        let trick = tricks[seed as usize / 12 % tricks.len()];
        scenario.script = Some(script::blast(trick));
        scenario.manners = Manners::Blast;
        scenario.habits.data_refused = if variant & 2 == 0 { 0 } else { 100 };
        scenario.paces[0].cut = [Cut::Whole, Cut::Octets, Cut::Random(9)][variant / 4];
        scenario.run(traced).map(|_| ())
    });
}

#[test]
fn no_trick_reaches_the_server() {
    tricks("evasion::no_trick_reaches_the_server", TRICKS);
}

#[test]
fn no_trick_behind_a_lone_cr_reaches_the_server() {
    let name = "evasion::no_trick_behind_a_lone_cr_reaches_the_server";
    tricks(name, TRICKS_BEHIND_A_LONE_CR);
}

#[test]
fn other_words_for_the_same_octets_are_ignored() {
    each_seed("evasion::other_words_for_the_same_octets_are_ignored", 120, run);
}

fn attacked(seed: u64) -> Scenario {
    let mut scenario = Scenario::of_any_device(Mode::that_holds_no_line(seed), seed);
    scenario.attack = Attack::Everything;
    scenario
}

#[test]
fn decoys_change_nothing() {
    scenarios("evasion::decoys_change_nothing", 800, attacked);
}

#[test]
fn every_decoy_is_met() {
    let mut counters = Counters::default();
    for seed in 0..60 {
        counters.add(&must("evasion::every_decoy_is_met", &attacked(seed)).counters);
    }
    for reason in decoys::reasons() {
        assert!(counters.drops(reason) > 0, "no decoy was dropped as {}", reason.label());
    }
    for event in [Event::ReservedCleared, Event::TtlRaised, Event::IpCleared, Event::OptionCleared]
    {
        assert!(counters.events(event) > 0, "nothing was counted as {}", event.label());
    }
}
