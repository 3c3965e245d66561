//! Connections of before: late packets of an earlier one between the same ports (I29), and connections that
//! the guard has not seen begin (I30).

use fastrand::Rng;
use mailguard::counters::DropReason;

use crate::attacker::{Attack, Attacker};
use crate::devices::Mode;
use crate::guard::Guard;
use crate::report::each_seed;
use crate::scenario::{Failure, Scenario, check_session};
use crate::trace::Trace;
use crate::wire::Faults;
use crate::world::World;

const HOUR: u64 = 3_600_000_000;

fn scenario(seed: u64) -> Scenario {
    let mut scenario = Scenario::of_any_device(Mode::that_waits_for_nothing(seed), seed);
    scenario.taste.message_len = scenario.taste.message_len.min(3_000);
    scenario
}

fn world(scenario: &Scenario, rng: &mut Rng, traced: bool) -> World {
    let mut guard = Guard::new(scenario.mode, scenario.offload, scenario.seed, Trace::new(traced));
    guard.cuts = 0;
    World::new(guard, &scenario.faults, rng)
}

/// Three connections in a row between the same ports, each as soon as the one before is over; while one
/// lives, packets of those before come again.
fn again(world: &mut World, scenario: &mut Scenario, rng: &mut Rng) -> Result<(), String> {
    world.guard.attacker = Attacker::new(Attack::Decoys, scenario.seed);
    for _ in 0..3 {
        world.guard.record = Some(Vec::new());
        scenario.words = rng.u64(..);
        world.begin(scenario.session(world.now, 4242, rng));
        world.run(world.now + HOUR)?;
        // What is on the way is of the old one; the engine's own end of it is not waited for.
        while !world.quiet() {
            world.step(world.now + HOUR)?;
        }
        let session = world.over.pop().ok_or("no session")?;
        let judged = check_session(scenario.mode, &session)?;
        world.guard.laws.end(session.key).conclude(scenario.mode, &judged)?;
        let given = world.guard.record.take().unwrap_or_default();
        let packets = given.into_iter().filter(|given| !given.bytes.is_empty());
        if let Some(attacker) = &mut world.guard.attacker {
            attacker.past.extend(packets.map(|given| (given.leg, given.bytes)));
        }
    }
    Ok(())
}

#[test]
fn what_is_late_of_an_earlier_connection_changes_nothing() {
    let name = "tuples::what_is_late_of_an_earlier_connection_changes_nothing";
    each_seed(name, 120, |seed, traced| {
        let mut rng = Rng::with_seed(seed);
        let mut scenario = scenario(seed);
        for build in &mut scenario.builds {
            // Each connection has numbers of its own.
            build.isn = None;
        }
        let mut world = world(&scenario, &mut rng, traced);
        let result = again(&mut world, &mut scenario, &mut rng);
        result.map_err(|what| Failure::at(&world, &what))
    });
}

/// The guard is started anew in the middle of a session: the laws see to it that
/// nothing of it passes any more; a new one does.
fn restarted(world: &mut World, scenario: &Scenario, rng: &mut Rng) -> Result<(), String> {
    world.begin(scenario.session(0, 4243, rng));
    let steps = rng.usize(5..200);
    for _ in 0..steps {
        if !world.active.is_empty() {
            world.step(HOUR)?;
        }
    }
    if world.active.is_empty() {
        return Ok(());
    }
    world.guard.restart();
    let until = world.now + 20 * 60_000_000;
    while world.step(until)? {}
    world.active.clear();
    world.over.clear();
    world.begin(scenario.session(world.now, 4244, rng));
    world.run(world.now + HOUR)?;
    let session = world.over.pop().ok_or("no session")?;
    check_session(scenario.mode, &session).map(|_| ())
}

#[test]
fn what_the_guard_has_not_seen_begin_does_not_pass() {
    let name = "tuples::what_the_guard_has_not_seen_begin_does_not_pass";
    each_seed(name, 150, |seed, traced| {
        let mut rng = Rng::with_seed(seed);
        let mut scenario = scenario(seed);
        scenario.faults = [Faults::NONE, Faults::NONE, Faults::NONE, Faults::NONE];
        scenario.offload = false;
        let mut world = world(&scenario, &mut rng, traced);
        let result = restarted(&mut world, &scenario, &mut rng);
        result.map_err(|what| Failure::at(&world, &what))
    });
}

#[test]
fn a_restart_is_met_in_the_middle_of_sessions() {
    let strangers = (0..30).filter(|seed| {
        let mut rng = Rng::with_seed(*seed);
        let scenario = scenario(*seed);
        let mut world = world(&scenario, &mut rng, false);
        let result = restarted(&mut world, &scenario, &mut rng);
        result.is_ok() && world.guard.counters().drops(DropReason::NotSyn) > 0
    });
    assert!(strangers.count() > 5);
}
