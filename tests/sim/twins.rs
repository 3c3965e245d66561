//! Two runs that must not differ in one octet of what leaves: with decoys and without (I13, I36), with the
//! client on either side (I32), among others and alone (I31), with changes of policy and without.

use core::time::Duration;

use fastrand::Rng;
use mailguard::engine::{Arrival, Engine, EngineConfig, Outbox};
use mailguard::time::Instant;

use crate::attacker::Attack;
use crate::devices::Mode;
use crate::guard::{Given, Guard, Left};
use crate::laws::{Key, who};
use crate::packet::Packet;
use crate::report::each_seed;
use crate::scenario::{Failure, Scenario, check_session};
use crate::trace::Trace;
use crate::world::{World, address};

const HOUR: u64 = 3_600_000_000;

fn twins(name: &str, usual: u64, one: impl Fn(u64) -> Scenario, change: impl Fn(&mut Scenario)) {
    each_seed(name, usual, |seed, traced| {
        let one = one(seed);
        let mut other = one.clone();
        change(&mut other);
        let (one, other) = (one.run(traced)?, other.run(traced)?);
        if one.fingerprint == other.fingerprint && one.received == other.received {
            Ok(())
        } else {
            Err(Failure::of("the two runs differ".to_owned()))
        }
    });
}

#[test]
fn decoys_leave_no_trace() {
    twins(
        "twins::decoys_leave_no_trace",
        200,
        |seed| Scenario::of_any_device(Mode::that_holds_no_line(seed), seed),
        |other| other.attack = Attack::Decoys,
    );
}

/// A connection keeps the policy of its beginning, whatever is put into force before each of its packets.
#[test]
fn changes_of_policy_leave_no_trace() {
    each_seed("twins::changes_of_policy_leave_no_trace", 200, |seed, traced| {
        let scenario = Scenario::of_any_device(Mode::that_inspects(seed), seed);
        let one = scenario.run(traced)?;
        let other = Scenario { changes: true, ..scenario }.run(traced)?;
        if (one.fingerprint, one.received) != (other.fingerprint, other.received) {
            return Err(Failure::of("the two runs differ".to_owned()));
        }
        // Handshakes and ends are packets enough.
        if other.changed < 3 {
            return Err(Failure::of(format!("{} changes", other.changed)));
        }
        Ok(())
    });
}

/// Ports tell nothing either: the client's is that of the server.
#[test]
fn the_client_may_be_on_either_side() {
    twins(
        "twins::the_client_may_be_on_either_side",
        150,
        |seed| Scenario { port: 25, ..Scenario::of_any_device(Mode::that_inspects(seed), seed) },
        |other| other.turned = true,
    );
}

/// Sessions at once from hosts of IPv4 and IPv6 that use the same ports; what the guard was given, and
/// what left.
fn crowd(seed: u64, traced: bool) -> Result<(Guard, usize), Failure> {
    let mut rng = Rng::with_seed(seed);
    let mode = Mode::that_waits_for_nothing(seed);
    let mut scenario = Scenario::of_any_device(mode, seed);
    scenario.taste.message_len = scenario.taste.message_len.min(4_000);
    scenario.taste.messages = 1;
    for build in &mut scenario.builds {
        build.mtu = build.mtu.max(1280);
    }
    let mut guard = Guard::new(scenario.mode, scenario.offload, seed, Trace::new(traced));
    // Of a fragment nobody knows whose it is.
    guard.cuts = 0;
    guard.record = Some(Vec::new());
    let mut world = World::new(guard, &scenario.faults, &mut rng);
    let hosts = [(false, 1), (false, 3), (true, 1), (true, 3)];
    for port in 0..2 {
        for (ipv6, host) in hosts {
            scenario.words = rng.u64(..);
            let session = scenario.session_of((address(ipv6, host), 4000 + port), 0, &mut rng);
            world.begin(session);
        }
    }
    let checked = world.run(HOUR).and_then(|()| {
        for session in core::mem::take(&mut world.over) {
            let judged = check_session(scenario.mode, &session)?;
            world.guard.laws.end(session.key).conclude(scenario.mode, &judged)?;
        }
        world.settle(world.now + HOUR)
    });
    checked.map_err(|what| Failure::at(&world, &what))?;
    Ok((world.guard, 2 * hosts.len()))
}

fn key_of(bytes: &[u8]) -> Option<Key> {
    Packet::read(bytes).ok().map(|packet| who(&packet).0)
}

/// What leaves when an engine of its own is given nothing but the packets that are meant.
fn again(config: EngineConfig, given: &[Given], is_meant: impl Fn(&[u8]) -> bool) -> Vec<Left> {
    let mut engine = Engine::new(config);
    let mut outbox = Outbox::default();
    let mut left = Vec::new();
    let mut note = |at: u64, outbox: &Outbox, input: &[u8]| {
        left.extend(outbox.departures(input).map(|departure| Left {
            at,
            leg: departure.leg,
            bytes: departure.packet.to_vec(),
        }));
    };
    for Given { at, leg, bytes, offload } in given {
        let moment = Instant::from_micros(*at);
        if bytes.is_empty() && engine.next_deadline().is_some_and(|next| next <= moment) {
            outbox.clear();
            engine.handle_deadline(moment, &mut outbox);
            note(*at, &outbox, &[]);
        }
        if is_meant(bytes) {
            let mut bytes = bytes.clone();
            outbox.clear();
            engine.handle_packet(moment, Arrival::new(*leg, *offload), &mut bytes, &mut outbox);
            note(*at, &outbox, &bytes);
        }
    }
    left
}

#[test]
fn flows_do_not_know_of_each_other() {
    each_seed("twins::flows_do_not_know_of_each_other", 60, |seed, traced| {
        let (mut guard, sessions) = crowd(seed, traced)?;
        let given = guard.record.take().unwrap_or_default();
        let mut keys: Vec<_> = given.iter().filter_map(|given| key_of(&given.bytes)).collect();
        keys.sort_unstable();
        keys.dedup();
        // A bit that flipped in an address or a port makes a connection that there is none of.
        if keys.len() < sessions {
            return Err(Failure::of(format!("{} connections", keys.len())));
        }
        for key in keys {
            let config = EngineConfig { seed: !guard.config().seed, ..guard.config().clone() };
            let alone = again(config, &given, |bytes| key_of(bytes) == Some(key));
            let among = guard.emitted.iter().filter(|left| key_of(&left.bytes) == Some(key));
            if !alone.iter().eq(among) {
                return Err(Failure::of(format!("{key:?} alone is served otherwise")));
            }
        }
        Ok(())
    });
}

/// A guard that folds what is at rest at every chance, and one that never does so.
#[test]
fn folding_leaves_no_trace() {
    each_seed("twins::folding_leaves_no_trace", 60, |seed, traced| {
        let (mut guard, _) = crowd(seed, traced)?;
        let given = guard.record.take().unwrap_or_default();
        let mut config = guard.config().clone();
        let folds = config.bounds.rest_after == Duration::ZERO;
        config.bounds.rest_after = if folds { Duration::from_micros(HOUR) } else { Duration::ZERO };
        let other = again(config, &given, |bytes| !bytes.is_empty());
        if !guard.emitted.iter().eq(&other) {
            return Err(Failure::of(format!("folding: {folds}, and it is told")));
        }
        Ok(())
    });
}
