//! An end that gives up in the middle: its reset must reach the other end at a number that this
//! one believes, through whatever the edits have added or taken, and the guard must forget.

use fastrand::Rng;

use crate::client::Manners;
use crate::devices::Mode;
use crate::guard::Guard;
use crate::reference::judge;
use crate::report::each_seed;
use crate::scenario::{Failure, Scenario};
use crate::trace::Trace;
use crate::world::World;

const MINUTE: u64 = 60_000_000;

fn run(seed: u64, traced: bool) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(seed);
    let mode = Mode::blind_to_packets(rng.u64(..));
    let mut scenario = Scenario::plain(mode, seed);
    scenario.ipv6 = rng.bool();
    scenario.offload = rng.bool();
    scenario.manners = if rng.bool() { Manners::Strict } else { Manners::Pipelined };
    for build in &mut scenario.builds {
        build.timestamps = seed.is_multiple_of(2);
        build.isn = seed.is_multiple_of(3).then_some(u32::MAX - 40);
    }
    scenario.speak_esmtp();
    let guard = Guard::new(mode, scenario.offload, seed, Trace::new(traced));
    let mut world = World::new(guard, &scenario.faults, &mut rng);
    let session = scenario.session(0, 4444, &mut rng);
    world.begin(session);
    let result = drive(&mut world, mode, &mut rng);
    result.map_err(|what| Failure::at(&world, &what))
}

fn drive(world: &mut World, mode: Mode, rng: &mut Rng) -> Result<(), String> {
    let client_gives_up = rng.bool();
    let after = rng.usize(1..8);
    // Some replies, and then quiet, so that the reset stands where the other end expects it.
    while world.active.first().is_some_and(|session| session.client.replies() < after) {
        if !world.step(MINUTE)? {
            break;
        }
    }
    let Some(session) = world.active.first_mut() else {
        return Ok(());
    };
    session.abort(client_gives_up, world.now);
    let until = world.now + MINUTE / 2;
    while world.step(until)? {}
    let session = match world.active.pop() {
        Some(session) => session,
        None => world.over.pop().ok_or("no session")?,
    };
    let other = if client_gives_up { &session.server.reader } else { &session.client.reader };
    if !other.at_end() {
        return Err(format!("the other end was not reset:\n{}", session.describe()));
    }
    let judged = judge(mode, session.streams());
    let whole = [
        (&judged.to_server.octets, &session.server.reader.received),
        (&judged.to_client.octets, &session.client.reader.received),
    ];
    for (expected, got) in whole {
        if !expected.starts_with(got) {
            return Err("what was received up to the reset is not what the policy says".into());
        }
    }
    world.settle(world.now + 100 * MINUTE)?;
    match world.guard.counters().flows {
        0 => Ok(()),
        flows => Err(format!("{flows} flows are left")),
    }
}

#[test]
fn a_reset_is_believed() {
    each_seed("resets::a_reset_is_believed", 1_000, run);
}
