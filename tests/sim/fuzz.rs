//! L21: no input panics. Packets of real sessions are replayed cut, flipped, with other flags,
//! numbers, options and virtio headers, on either leg, at odd moments.

use fastrand::Rng;
use mailguard::counters::Event;
use mailguard::direction::Leg;
use mailguard::engine::{Arrival, Engine, EngineConfig, Outbox};
use mailguard::policy::{Bounds, Midstream, Policy};
use mailguard::time::Instant;
use mailguard::wire::offload::{Offload, VNET_HEADER_LEN};

use crate::devices::Mode;
use crate::guard::Given;
use crate::packet::{self, Packet};
use crate::report::each_seed;
use crate::scenario::{Failure, Scenario};

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(0..4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(..9) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << rng.u8(..8),
            2 => bytes[at] = rng.u8(..),
            3 => bytes.extend((0..rng.usize(..40)).map(|_| 1)),
            4 => {
                let head = at.min(80);
                bytes[head] = rng.u8(..);
            }
            _ => edit(rng, bytes),
        }
    }
    // Mostly with right lengths and sums, or little of it is ever read.
    if rng.u8(..4) > 0 && Packet::read_lengths(bytes) {
        packet::finish(bytes, false);
    }
}

/// Edits a field of the TCP header.
fn edit(rng: &mut Rng, bytes: &mut [u8]) {
    let Some((tcp, payload)) = Packet::read(bytes).ok().map(|read| (read.tcp_at, read.payload_at))
    else {
        return;
    };
    let near = |rng: &mut Rng, bytes: &mut [u8], at: usize| {
        let delta = *rng.choice(&[1, 2, 10, 1460, 65_535, 1 << 20, 1 << 30, 1 << 31]).unwrap_or(&1);
        let value = packet::u32_at(bytes, at);
        let value = if rng.bool() { value.wrapping_add(delta) } else { value.wrapping_sub(delta) };
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    };
    match rng.u8(..7) {
        0 => near(rng, bytes, tcp + 4),
        1 => near(rng, bytes, tcp + 8),
        2 => bytes[tcp + 13] = rng.u8(..),
        3 => bytes[tcp + 13] ^= 1 << rng.u8(..8),
        4 => bytes[tcp + 14..tcp + 16].fill(rng.u8(..)),
        5 => bytes[tcp + 12] = rng.u8(..),
        _ if payload > tcp + 20 => {
            let at = rng.usize(tcp + 20..payload);
            bytes[at] = rng.u8(..);
        }
        _ => bytes[tcp + 18..tcp + 20].fill(rng.u8(..)),
    }
}

fn offload(rng: &mut Rng) -> Offload {
    if rng.u8(..3) > 0 {
        return Offload::default();
    }
    let mut header = [0; VNET_HEADER_LEN];
    for octet in &mut header {
        *octet = *rng.choice(&[0, 0, 1, 2, 4, 0x80, 0xff]).unwrap_or(&0);
    }
    Offload::parse(header)
}

fn engine(seed: u64, mode: Mode) -> Engine {
    Engine::new(EngineConfig {
        policy: Policy::new(mode.personality(), &[25]),
        seed,
        offload: seed.is_multiple_of(2),
        fail_open: seed.is_multiple_of(3),
        midstream: if seed.is_multiple_of(3) { Midstream::Pass } else { Midstream::Drop },
        bounds: Bounds::default(),
    })
}

/// Replays `given`, mutated, in order but for some that are moved.
fn replay(seed: u64, mode: Mode, given: &[Given]) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let mut engine = engine(seed, mode);
    let mut outbox = Outbox::default();
    let mut now = 0;
    // How often packets are harmed: a flow that never comes to be is not tested.
    let harm = *rng.choice(&[2, 10, 50]).unwrap_or(&10);
    let (mut taken_in, mut sent) = (0, 0);
    for n in 0..given.len() {
        let n = if rng.u8(..12) == 0 { rng.usize(..given.len()) } else { n };
        let Given { leg, mut bytes, .. } = given[n].clone();
        now += rng.u64(..3_000);
        let mut meta = Offload::default();
        let mut leg = leg;
        if rng.usize(..100) < harm {
            mutate(&mut rng, &mut bytes);
            meta = offload(&mut rng);
            leg = if rng.u8(..20) == 0 { !leg } else { leg };
            now += *rng.choice(&[0, 0, 0, 1 << 20, 1 << 36]).unwrap_or(&0);
        }
        // A device that lies about sums gets wrong sums back, and an open guard relays what it
        // cannot read.
        let honest = meta == Offload::default() && !seed.is_multiple_of(3);
        outbox.clear();
        engine.handle_packet(
            Instant::from_micros(now),
            Arrival::new(leg, meta),
            &mut bytes,
            &mut outbox,
        );
        taken_in += 1;
        for departure in outbox.departures(&bytes) {
            sent += 1;
            if mode.inspects()
                && honest
                && let Ok(read) = Packet::read(departure.packet)
                && !read.complete
                && !read.partial
            {
                return Err(format!("a wrong sum leaves: {}", read.describe(0, 0)));
            }
        }
        while let Some(at) = engine.next_deadline().filter(|at| at.as_micros() <= now) {
            outbox.clear();
            engine.handle_deadline(Instant::from_micros(now), &mut outbox);
            sent += outbox.len() as u64;
            if engine.next_deadline() == Some(at) {
                return Err("a deadline that is never satisfied".into());
            }
        }
    }
    let counters = engine.counters();
    // The engine catches what a flow throws and goes on.
    if counters.events(Event::FlowPanic) > 0 {
        return Err("the guard has panicked over a flow".into());
    }
    if mode.inspects() && (counters.packets_in, counters.packets_out) != (taken_in, sent) {
        return Err(format!("{taken_in} packets came and {sent} left, but\n{counters}"));
    }
    Ok(())
}

#[test]
fn no_packet_panics() {
    each_seed("fuzz::no_packet_panics", 400, |seed, traced| {
        let mode = Mode::nth(seed);
        let mut scenario = Scenario::of_any_device(mode, seed);
        scenario.taste.message_len = scenario.taste.message_len.min(3_000);
        let (given, _) = scenario.run_and_record(traced)?;
        for round in 0..10 {
            replay(seed * 10 + round, mode, &given).map_err(Failure::of)?;
        }
        Ok(())
    });
}

#[test]
fn no_noise_panics() {
    let mut rng = Rng::with_seed(21);
    let mut engine = engine(21, Mode::MAILGUARD);
    let mut outbox = Outbox::default();
    for n in 0..20_000 {
        let mut bytes: Vec<u8> = (0..rng.usize(..120)).map(|_| rng.u8(..)).collect();
        if let Some(first) = bytes.first_mut() {
            *first = [0x45, 0x46, 0x60, *first][rng.usize(..4)];
        }
        let leg = [Leg::Outside, Leg::Inside][rng.usize(..2)];
        outbox.clear();
        let meta = offload(&mut rng);
        engine.handle_packet(
            Instant::from_micros(n),
            Arrival::new(leg, meta),
            &mut bytes,
            &mut outbox,
        );
    }
    assert_eq!(engine.counters().events(Event::FlowPanic), 0);
}
