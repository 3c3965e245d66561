//! The engine in its place: fed as a TUN device would feed it, and held to the laws.

use core::hash::Hasher as _;
use std::hash::DefaultHasher;
use std::sync::Arc;

use fastrand::Rng;
use mailguard::counters::Counters;
use mailguard::direction::Leg;
use mailguard::engine::{Engine, EngineConfig, Outbox};
use mailguard::policy::{Bounds, Midstream, Policy};
use mailguard::time::Instant;
use mailguard::wire::offload::Offload;

use crate::decoys;
use crate::kernel::{self, Merge, Super};
use crate::laws::Laws;
use crate::packet::{self, Packet};
use crate::reference::Mode;
use crate::trace::Trace;

/// How long the kernel may hold a segment for coalescing, in microseconds.
const HOLD: u64 = 60;

/// A guard and its two legs.
pub(crate) struct Guard {
    engine: Engine,
    outbox: Outbox,
    offload: bool,
    /// Segments that wait for their like, by leg, and until when.
    held: [Option<(Super, u64)>; 2],
    rng: Rng,
    hash: DefaultHasher,
    pub(crate) laws: Laws,
    pub(crate) trace: Trace,
    /// Packets out, as the checks counted them.
    pub(crate) given: u64,
    pub(crate) taken: u64,
    pub(crate) supers: u64,
    deadlines: (u64, u32),
    /// Draws the decoys that come before packets of the sessions, if any do.
    pub(crate) attacker: Option<Rng>,
    /// Decoys that came.
    pub(crate) decoys: u64,
    /// Cuts one packet of so many into fragments; none if 0.
    cuts: u32,
    cutter: Rng,
    /// Packets that were cut.
    pub(crate) cut: u64,
    /// Every packet that was given to the engine, if they are wanted.
    pub(crate) record: Option<Vec<(Leg, Vec<u8>)>>,
}

/// Packets on their way from the guard.
pub(crate) type Departed = Vec<(Leg, Vec<u8>)>;

impl Guard {
    pub(crate) fn new(mode: Mode, offload: bool, seed: u64, trace: Trace) -> Self {
        let personality = Arc::new(mode.personality().clone());
        let config = EngineConfig {
            policy: Policy { personality, ports: vec![25], mss_max: None },
            seed,
            offload,
            fail_open: false,
            midstream: Midstream::Drop,
            bounds: Bounds::default(),
        };
        Self {
            engine: Engine::new(config),
            outbox: Outbox::default(),
            offload,
            held: [None, None],
            rng: Rng::with_seed(seed ^ 0x6a17),
            hash: DefaultHasher::new(),
            laws: Laws::new(mode, offload),
            trace,
            given: 0,
            taken: 0,
            supers: 0,
            deadlines: (0, 0),
            attacker: None,
            decoys: 0,
            cuts: if mode.inspects() && seed.is_multiple_of(3) { 6 } else { 0 },
            cutter: Rng::with_seed(seed ^ 0xf7a6),
            cut: 0,
            record: None,
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.engine.counters()
    }

    /// A number that stands for all that was ever emitted.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.hash.finish()
    }

    /// When the guard wants to act by itself.
    pub(crate) fn wake(&self) -> Option<u64> {
        let held = self.held.iter().flatten().map(|(_, until)| *until);
        held.chain(self.engine.next_deadline().map(Instant::as_micros)).min()
    }

    /// Whether the engine itself has something to wait for.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.engine.next_deadline().map(Instant::as_micros)
    }

    /// A packet comes over a wire.
    pub(crate) fn arrive(
        &mut self,
        now: u64,
        leg: Leg,
        mut bytes: Vec<u8>,
    ) -> Result<Departed, String> {
        let mut departed = Vec::new();
        self.attack(now, leg, &mut bytes)?;
        if !self.offload {
            self.handle(now, leg, bytes, Offload::default(), &mut departed)?;
            return Ok(departed);
        }
        if let Some((held, _)) = &mut self.held[leg as usize] {
            match held.merge(&bytes) {
                Merge::Taken => return Ok(departed),
                Merge::Last => {
                    self.release(now, leg, &mut departed)?;
                    return Ok(departed);
                }
                Merge::Refused => self.release(now, leg, &mut departed)?,
            }
        }
        if self.rng.u8(..4) > 0
            && let Some(begun) = Super::begin(&bytes)
        {
            let until = now + self.rng.u64(1..=HOLD);
            self.held[leg as usize] = Some((begun, until));
            return Ok(departed);
        }
        let (bytes, offload) = self.as_read(bytes);
        self.handle(now, leg, bytes, offload, &mut departed)?;
        Ok(departed)
    }

    /// A decoy comes before a packet of a session, or the packet is dressed up.
    fn attack(&mut self, now: u64, leg: Leg, bytes: &mut Vec<u8>) -> Result<(), String> {
        let Some(rng) = &mut self.attacker else { return Ok(()) };
        if rng.u8(..3) > 0 {
            return Ok(());
        }
        if rng.u8(..3) == 0 {
            decoys::dress_up(rng, bytes);
            return Ok(());
        }
        let Ok(read) = Packet::read(bytes) else { return Ok(()) };
        let view = self.laws.view(&read, self.engine.counters().flows > 0);
        let Some((mut decoy, reason)) = decoys::decoy(rng, bytes, view) else {
            return Ok(());
        };
        self.given += 1;
        self.decoys += 1;
        self.trace.packet(now, leg, &decoy);
        self.trace.line(now, || format!("{:<7} > a decoy: {}", leg.name(), reason.label()));
        let before = self.engine.counters().drops_total();
        self.outbox.clear();
        let moment = Instant::from_micros(now);
        let none = Offload::default();
        self.engine.handle_packet(moment, leg, &mut decoy, none, &mut self.outbox);
        let dropped = self.engine.counters().drops_total() - before;
        if self.outbox.is_empty() && dropped == 1 {
            return Ok(());
        }
        Err(format!("a decoy, {}: {} leave, {dropped} dropped", reason.label(), self.outbox.len()))
    }

    /// What a TUN device says of a single packet: nothing, that its sum was verified, or that it
    /// has none yet, as when the sender is on the same machine.
    fn as_read(&mut self, mut bytes: Vec<u8>) -> (Vec<u8>, Offload) {
        let mut offload = Offload::default();
        if Packet::read(&bytes).is_ok_and(|packet| packet.complete) {
            match self.rng.u8(..3) {
                0 => offload.checksum_valid = true,
                1 => {
                    packet::finish(&mut bytes, true);
                    offload.partial_checksum = true;
                }
                _ => {}
            }
        }
        (bytes, offload)
    }

    fn release(&mut self, now: u64, leg: Leg, departed: &mut Departed) -> Result<(), String> {
        if let Some((held, _)) = self.held[leg as usize].take() {
            let (bytes, offload) = held.end();
            self.handle(now, leg, bytes, offload, departed)?;
        }
        Ok(())
    }

    fn handle(
        &mut self,
        now: u64,
        leg: Leg,
        mut bytes: Vec<u8>,
        offload: Offload,
        departed: &mut Departed,
    ) -> Result<(), String> {
        self.supers += u64::from(offload.gso_size.is_some());
        self.show(now, leg, '>', &bytes);
        self.laws.input(&bytes);
        let is_good = offload == Offload::default()
            && Packet::read(&bytes).is_ok_and(|packet| packet.complete);
        if self.cuts > 0 && is_good && self.cutter.u32(..self.cuts) == 0 {
            let mut fragments = packet::fragments(&bytes, &mut self.cutter);
            self.cut += u64::from(fragments.len() > 1);
            self.cutter.shuffle(&mut fragments);
            while fragments.len() > 1 {
                let fragment = fragments.pop().unwrap_or_default();
                self.give(now, leg, fragment, offload);
                if !self.outbox.is_empty() {
                    return Err("something left before the last fragment came".into());
                }
            }
            bytes = fragments.pop().unwrap_or(bytes);
        }
        let bytes = self.give(now, leg, bytes, offload);
        self.collect(now, &bytes, departed)
    }

    /// Hands a packet to the engine; returns it as the engine left it.
    fn give(&mut self, now: u64, leg: Leg, mut bytes: Vec<u8>, offload: Offload) -> Vec<u8> {
        self.given += 1;
        if let Some(record) = &mut self.record {
            record.push((leg, bytes.clone()));
        }
        self.outbox.clear();
        let moment = Instant::from_micros(now);
        self.engine.handle_packet(moment, leg, &mut bytes, offload, &mut self.outbox);
        bytes
    }

    /// Time has come to `now`.
    pub(crate) fn tick(&mut self, now: u64) -> Result<Departed, String> {
        let mut departed = Vec::new();
        for leg in [Leg::Outside, Leg::Inside] {
            let due = matches!(self.held[leg as usize], Some((_, until)) if until <= now);
            if due {
                self.release(now, leg, &mut departed)?;
            }
        }
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.deadlines =
                if self.deadlines.0 == now { (now, self.deadlines.1 + 1) } else { (now, 0) };
            if self.deadlines.1 > 10_000 {
                return Err("a deadline that is never satisfied".into());
            }
            self.laws.deadline();
            self.outbox.clear();
            let moment = Instant::from_micros(now);
            self.engine.handle_deadline(moment, &mut self.outbox);
            self.collect(now, &[], &mut departed)?;
        }
        Ok(departed)
    }

    fn collect(&mut self, now: u64, input: &[u8], departed: &mut Departed) -> Result<(), String> {
        let outbox = core::mem::take(&mut self.outbox);
        let mut result = Ok(());
        for departure in outbox.departures(input) {
            self.taken += 1;
            self.hash.write_u8(departure.leg as u8);
            self.hash.write(&departure.vnet_header);
            self.hash.write(departure.packet);
            self.show(now, departure.leg, '<', departure.packet);
            result = self.laws.output(&departure);
            if result.is_err() {
                break;
            }
            for piece in kernel::cut(departure.packet, departure.offload) {
                departed.push((departure.leg, piece));
            }
        }
        self.outbox = outbox;
        result
    }

    fn show(&mut self, now: u64, leg: Leg, sign: char, bytes: &[u8]) {
        if !self.trace.is_on() {
            return;
        }
        self.trace.packet(now, leg, bytes);
        let text = Packet::read(bytes).map_or_else(
            |what| what,
            |packet| {
                let (isn, peer_isn) = self.laws.initial(&packet);
                let port = if packet.target.1 == 25 { packet.source.1 } else { packet.target.1 };
                format!("{port} {}", packet.describe(isn, peer_isn))
            },
        );
        self.trace.line(now, || format!("{:<7} {sign} {text}", leg.name()));
    }
}
