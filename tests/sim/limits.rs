//! I26: where a limit is reached the guard fails closed. Whoever gets through gets what the policy says, and whoever
//! does not has got no octet that it does not say.

use core::time::Duration;
use std::cell::Cell;

use fastrand::Rng;
use mailguard::counters::{DropReason, Event};
use mailguard::policy::Bounds;

use crate::devices::Mode;
use crate::guard::Guard;
use crate::reference::judge;
use crate::report::each_seed;
use crate::scenario::{Failure, Scenario, check_session};
use crate::trace::Trace;
use crate::world::{World, address};

const HOUR: u64 = 3_600_000_000;

/// Limits of which the sessions of a run reach some.
fn bounds(rng: &mut Rng) -> Bounds {
    let mut one_of = |most: &[usize]| *rng.choice(most).unwrap_or(&0);
    Bounds {
        memory: one_of(&[20_000, 60_000, 1 << 30]),
        flows_max: one_of(&[3, 8, 1 << 20]),
        embryonic_max: one_of(&[0, 1, 4]),
        per_client_max: one_of(&[0, 0, 2]),
        per_client_embryonic_max: one_of(&[0, 0, 1]),
        rest_after: Duration::from_secs(one_of(&[0, 10]) as u64),
        ..Bounds::default()
    }
}

/// How sessions ended, and which limits were reached.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    certain: u64,
    cut_off: u64,
    limits: [u64; 5],
}

fn run(seed: u64, traced: bool) -> Result<Seen, Failure> {
    let mut rng = Rng::with_seed(seed);
    let mode = Mode::that_waits_for_nothing(rng.u64(..));
    let mut scenario = Scenario::of_any_device(mode, seed);
    scenario.taste.message_len = scenario.taste.message_len.min(12_000);
    for build in &mut scenario.builds {
        build.mtu = build.mtu.max(1_280);
    }
    let mut guard = Guard::new(mode, scenario.offload, seed, Trace::new(traced));
    guard.limit(bounds(&mut rng));
    guard.cuts = 0;
    let mut world = World::new(guard, &scenario.faults, &mut rng);
    for port in 0..4 {
        for (ipv6, host) in [(false, 1), (false, 3), (true, 1)] {
            scenario.words = rng.u64(..);
            let key = (address(ipv6, host), 4000 + port);
            world.begin(scenario.session_of(key, rng.u64(..50_000), &mut rng));
        }
    }
    drive(&mut world, mode).map_err(|what| Failure::at(&world, &what))
}

fn drive(world: &mut World, mode: Mode) -> Result<Seen, String> {
    if let Err(what) = world.run(HOUR)
        && !what.starts_with("not over")
    {
        return Err(what);
    }
    let mut seen = Seen::default();
    let over = core::mem::take(&mut world.over);
    for session in over.into_iter().chain(core::mem::take(&mut world.active)) {
        let flow = world.guard.laws.end(session.key);
        let readers = [&session.client.reader, &session.server.reader];
        if readers.iter().all(|reader| reader.eof) {
            let judged = check_session(mode, &session)?;
            flow.conclude(mode, &judged)?;
            seen.certain += 1;
            continue;
        }
        seen.cut_off += 1;
        // A server that was cut off within a line would have ended it: the reference judges whole replies.
        let mut streams = session.streams();
        let mut replies = streams.sent[1].to_vec();
        if !replies.ends_with(b"\n") {
            replies.extend(b"\r\n");
        }
        streams.sent[1] = &replies;
        let judged = judge(mode, streams);
        for (edited, got) in [&judged.to_server, &judged.to_client].iter().zip(streams.got) {
            if !edited.octets.starts_with(got) {
                return Err(format!("I26: other octets have passed: {}", session.describe()));
            }
        }
    }
    world.settle(world.now + 100 * HOUR)?;
    let counters = world.guard.counters();
    seen.limits = [
        counters.drops(DropReason::MemoryFull),
        counters.drops(DropReason::TableFull),
        counters.drops(DropReason::PerClientMax),
        counters.drops(DropReason::PerClientEmbryonicMax),
        counters.events(Event::EmbryonicForgotten),
    ];
    match counters.flows {
        0 => Ok(seen),
        flows => Err(format!("{flows} flows are left")),
    }
}

#[test]
fn at_a_limit_nothing_passes_that_should_not() {
    let sum = Cell::new(Seen::default());
    each_seed("limits::at_a_limit_nothing_passes_that_should_not", 40, |seed, traced| {
        let (mut all, seen) = (sum.get(), run(seed, traced)?);
        all.certain += seen.certain;
        all.cut_off += seen.cut_off;
        all.limits = core::array::from_fn(|n| all.limits[n] + seen.limits[n]);
        sum.set(all);
        Ok(())
    });
    let sum = sum.get();
    println!("{sum:?}");
    if sum.certain + sum.cut_off >= 480 {
        assert!(sum.limits.iter().all(|limit| *limit > 0), "a limit was never reached: {sum:?}");
        assert!(sum.certain > sum.cut_off, "{sum:?}");
    }
}
