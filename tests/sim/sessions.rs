//! Thousands of connections through one engine: one after the other on few ports, and many at
//! once.

use fastrand::Rng;
use mailguard::counters::Event;

use crate::client::{Close, Manners};
use crate::devices::Mode;
use crate::guard::Guard;
use crate::report::each_seed;
use crate::scenario::{Failure, Scenario, check_session};
use crate::trace::Trace;
use crate::world::World;

const HOUR: u64 = 3_600_000_000;

/// Short sessions.
#[derive(Debug, Clone, Copy)]
struct Many {
    count: u64,
    /// Ports of the client that they take in turn.
    ports: u16,
    /// How many go on at a time.
    at_once: usize,
}

fn run(seed: u64, many: Many, traced: bool) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(seed);
    let mode = Mode::blind_to_packets(rng.u64(..));
    let mut template = Scenario::plain(mode, seed);
    template.offload = rng.bool();
    template.taste.message_len = 600;
    let guard = Guard::new(mode, template.offload, seed, Trace::new(traced));
    let mut world = World::new(guard, &template.faults, &mut rng);
    let result = drive(&mut world, &template, &mut rng, many);
    result.map_err(|what| Failure::at(&world, &what))
}

fn drive(world: &mut World, template: &Scenario, rng: &mut Rng, many: Many) -> Result<(), String> {
    let count = many.count;
    let (mut begun, mut finished) = (0, 0);
    while finished < count {
        let room = begun < count && world.active.len() < many.at_once;
        // With few ports a new connection follows the last packet of the one before.
        if room && (world.quiet() || many.at_once > 1) {
            let port = 10_000 + (begun % u64::from(many.ports)) as u16;
            let mut scenario = template.clone();
            scenario.ipv6 = rng.u8(..3) == 0;
            scenario.words = rng.u64(..);
            scenario.manners = [Manners::Strict, Manners::Pipelined][rng.usize(..2)];
            scenario.close =
                [Close::WithQuit, Close::AfterReply, Close::AfterServer][rng.usize(..3)];
            scenario.speak_esmtp();
            world.begin(scenario.session(world.now, port, rng));
            begun += 1;
        }
        if !world.step(HOUR)? {
            return Err(format!("stuck after {finished} sessions"));
        }
        for session in core::mem::take(&mut world.over) {
            let judged = check_session(template.mode, &session)
                .map_err(|what| format!("session {finished} of {:?}: {what}", session.key))?;
            world.guard.laws.end(session.key).conclude(template.mode, &judged)?;
            finished += 1;
        }
    }
    let counters = world.guard.counters().clone();
    let built = counters.events(Event::FlowBuilt);
    if built != count {
        return Err(format!("{built} flows were built for {count} sessions"));
    }
    world.settle(100 * HOUR)?;
    let counters = world.guard.counters();
    let ended = counters.events(Event::FlowEnded) + counters.events(Event::FlowTimedOut);
    if counters.flows != 0 || ended != count || counters.drops_total() != 0 {
        return Err(format!("of {count} sessions {ended} ended:\n{counters}"));
    }
    Ok(())
}

/// One after the other, each at the port of the one before or one of few.
fn in_a_row(seed: u64) -> Many {
    Many { count: 1_000, ports: 1 + (seed as u16 % 50) * 3, at_once: 1 }
}

#[test]
fn ports_are_used_again_at_once() {
    each_seed("sessions::ports_are_used_again_at_once", 3, |seed, traced| {
        run(seed, in_a_row(seed), traced)
    });
}

#[test]
fn many_sessions_share_an_engine() {
    each_seed("sessions::many_sessions_share_an_engine", 3, |seed, traced| {
        let many = Many { count: 600, ports: 2_000, at_once: 60 };
        run(seed, many, traced)
    });
}
