//! The engine in its place: fed as a TUN device would feed it, and held to the laws.

use core::hash::Hasher as _;
use core::time::Duration;
use std::hash::DefaultHasher;

use fastrand::Rng;
use mailguard::counters::Counters;
use mailguard::direction::Leg;
use mailguard::engine::{Arrival, Control, Engine, EngineConfig, Outbox};
use mailguard::limits;
use mailguard::policy::{Bounds, Midstream, Policy, Timeouts};
use mailguard::stream::Buffer;
use mailguard::time::Instant;
use mailguard::wire::offload::Offload;

use crate::attacker::Attacker;
use crate::balance::Before;
use crate::devices::Mode;
use crate::kernel::{self, Merge, Super};
use crate::laws::{Laws, who};
use crate::packet::{self, Packet, SYN};
use crate::router::{self, Router};
use crate::trace::Trace;

/// How long the kernel may hold a segment for coalescing, in microseconds.
const HOLD: u64 = 60;

/// A guard and its two legs.
pub(crate) struct Guard {
    engine: Engine,
    config: EngineConfig,
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
    /// Attacks the packets of the sessions, if there is one.
    pub(crate) attacker: Option<Attacker>,
    /// Its packets that were dropped.
    pub(crate) decoys: u64,
    /// Draws what an operator changes between the packets of connections that are open, if there is one.
    pub(crate) changes: Option<Rng>,
    /// Policies that were put into force so.
    pub(crate) changed: u64,
    /// Cuts one packet of so many into fragments; none if 0.
    pub(crate) cuts: u32,
    cutter: Rng,
    /// Packets that were cut.
    pub(crate) cut: u64,
    /// Every packet that was given to the engine, if they are wanted.
    pub(crate) record: Option<Vec<Given>>,
    /// Every packet that left, likewise.
    pub(crate) emitted: Vec<Left>,
    /// The clients are on the inside.
    pub(crate) turned: bool,
    /// Says now and then that a packet could not go on.
    pub(crate) router: Option<Router>,
    /// What it said, and of that what was told to who it was for.
    pub(crate) errors: [u64; 2],
}

/// A packet that was given to the engine; an empty one when it was told the time.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) at: u64,
    pub(crate) leg: Leg,
    pub(crate) bytes: Vec<u8>,
    pub(crate) offload: Offload,
}

/// A packet that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) at: u64,
    pub(crate) leg: Leg,
    pub(crate) bytes: Vec<u8>,
}

/// Packets on their way from the guard.
pub(crate) type Departed = Vec<(Leg, Vec<u8>)>;

/// Half of the guards fold what is at rest at every chance.
fn rest_after(seed: u64) -> Duration {
    if seed.is_multiple_of(2) { Duration::ZERO } else { limits::REST_AFTER }
}

impl Guard {
    pub(crate) fn new(mode: Mode, offload: bool, seed: u64, trace: Trace) -> Self {
        let personality = mode.personality();
        let config = EngineConfig {
            policy: Policy::new(personality, &[25]),
            seed,
            offload,
            fail_open: false,
            midstream: Midstream::Drop,
            bounds: Bounds { rest_after: rest_after(seed), ..Bounds::default() },
        };
        Self {
            engine: Engine::new(config.clone()),
            config,
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
            changes: None,
            changed: 0,
            cuts: if mode.inspects() && seed.is_multiple_of(3) { 6 } else { 0 },
            cutter: Rng::with_seed(seed ^ 0xf7a6),
            cut: 0,
            record: None,
            emitted: Vec::new(),
            turned: false,
            router: None,
            errors: [0; 2],
        }
    }

    /// The guard is started anew: it knows of no connection.
    pub(crate) fn restart(&mut self) {
        self.engine = Engine::new(self.config.clone());
        self.laws.restart();
    }

    /// The guard is started anew, with these limits.
    pub(crate) fn limit(&mut self, bounds: Bounds) {
        self.config.bounds = bounds;
        self.engine = Engine::new(self.config.clone());
    }

    /// How the engine is set up.
    pub(crate) fn config(&self) -> &EngineConfig {
        &self.config
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

    /// Decoys come before a packet of a session, or the packet is dressed up.
    fn attack(&mut self, now: u64, leg: Leg, bytes: &mut Vec<u8>) -> Result<(), String> {
        let Some(attacker) = &mut self.attacker else { return Ok(()) };
        let is_alive = self.engine.counters().flows > 0;
        let Some(decoy) = attacker.attack(leg, bytes, |read| self.laws.view(read, is_alive)) else {
            return Ok(());
        };
        if decoy.reason.is_none() && !self.laws.is_of_another(&decoy.packets[0]) {
            return Ok(());
        }
        let before = self.engine.counters().drops_total();
        for packet in &decoy.packets {
            self.trace.packet(now, decoy.leg, packet);
            self.trace
                .line(now, || format!("{:<7} > a decoy: {:?}", decoy.leg.name(), decoy.reason));
            self.give(now, decoy.leg, packet.clone(), Offload::default());
            if !self.outbox.is_empty() {
                let what =
                    Packet::read(packet).map_or_else(|what| what, |read| read.describe(0, 0));
                return Err(format!("I13, I36: {:?}, and something leaves: {what}", decoy.reason));
            }
        }
        // A datagram that contradicts itself is dropped as soon as it does.
        let dropped = self.engine.counters().drops_total() - before;
        self.decoys += dropped;
        if dropped == 0 {
            return Err(format!("I13: a decoy, {:?}, was not dropped", decoy.reason));
        }
        Ok(())
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
        self.laws.input(&bytes, offload);
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
        let before = Before::of(self.counters());
        let came = (!self.laws.inspects()).then(|| bytes.clone());
        let bytes = self.give(now, leg, bytes, offload);
        if let Some(came) = came
            && !self.outbox.departures(&bytes).map(|left| left.packet).eq([&came[..]])
        {
            return Err("I33: what leaves uninspected is not what came".into());
        }
        self.collect(now, &bytes, departed)?;
        self.laws.called(&before.until(self.engine.counters()))?;
        self.complain(now, departed)
    }

    /// A router has taken the last packet that left, and cannot bring it on (I19).
    fn complain(&mut self, now: u64, departed: &Departed) -> Result<(), String> {
        let Some((leg, lost)) = departed.last() else { return Ok(()) };
        let error = self.router.as_mut().and_then(|router| router.error(lost));
        let (Some(error), Ok(read)) = (error, Packet::read(lost)) else { return Ok(()) };
        let flight = self.laws.flight(&read);
        let drops = self.counters().drops_total();
        let error = self.give(now, *leg, error, Offload::default());
        let back = if self.turned { *leg } else { !*leg };
        let left: Vec<_> = self.outbox.departures(&error).collect();
        self.errors[0] += 1;
        self.errors[1] += left.len() as u64;
        self.taken += left.len() as u64;
        match (flight, &left[..]) {
            (Some(_), []) => Err("I19: an error about what is under way is lost".into()),
            (_, []) => {
                self.decoys += self.engine.counters().drops_total() - drops;
                Ok(())
            }
            (_, [told]) if told.leg == back => {
                let seq = router::told(told.packet, lost)?;
                if let Some(at) = flight {
                    self.laws.quote(&read, at, seq);
                }
                Ok(())
            }
            _ => Err(format!("I19: an error makes {} packets", left.len())),
        }
    }

    /// Hands a packet to the engine; returns it as the engine left it.
    fn give(&mut self, now: u64, leg: Leg, mut bytes: Vec<u8>, offload: Offload) -> Vec<u8> {
        self.given += 1;
        if let Some(record) = &mut self.record {
            record.push(Given { at: now, leg, bytes: bytes.clone(), offload });
        }
        self.outbox.clear();
        let moment = Instant::from_micros(now);
        self.change(moment, &bytes);
        let leg = if self.turned { !leg } else { leg };
        let arrival = Arrival::new(leg, offload);
        if self.given.is_multiple_of(2) {
            self.engine.handle_packet(moment, arrival, &mut bytes, &mut self.outbox);
            return bytes;
        }
        // The flow may go on to hold what it was given: it must not matter.
        let mut buffer = Buffer::from(&*bytes);
        self.engine.handle_buffer(moment, arrival, &mut buffer, bytes.len(), &mut self.outbox);
        buffer.to_vec()
    }

    /// Puts another policy into force before a packet of a connection that is open, and the first one before
    /// any other packet: that may begin a connection, or is of none.
    fn change(&mut self, now: Instant, bytes: &[u8]) {
        let Some(rng) = &mut self.changes else { return };
        let is_open = self.engine.counters().flows > 0;
        let is_of_it = |read: Packet<'_>| (read.complete || read.partial) && !read.has(SYN);
        let (mut policy, mut timeouts) = (self.config.policy.clone(), self.config.bounds.timeouts);
        if is_open && Packet::read(bytes).is_ok_and(is_of_it) {
            let mode = Mode::nth(rng.u64(..));
            let ports = [&[25][..], &[25, 587], &[587], &[]][rng.usize(..4)];
            policy = Policy::new(mode.personality(), ports);
            policy.mss_max = rng.bool().then(|| rng.u16(48..1460));
            let mut short = || Duration::from_secs(rng.u64(1..60));
            timeouts = Timeouts { conn: short(), half_closed: short(), embryonic: short() };
            self.changed += 1;
        }
        for control in [Control::Install(policy), Control::SetTimeouts(timeouts)] {
            self.engine.handle_control(now, control, &mut self.outbox);
        }
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
            if let Some(record) = &mut self.record {
                let offload = Offload::default();
                record.push(Given { at: now, leg: Leg::Outside, bytes: Vec::new(), offload });
            }
            self.outbox.clear();
            let moment = Instant::from_micros(now);
            let before = Before::of(self.counters());
            self.engine.handle_deadline(moment, &mut self.outbox);
            self.collect(now, &[], &mut departed)?;
            self.laws.called(&before.until(self.engine.counters()))?;
        }
        Ok(departed)
    }

    fn collect(&mut self, now: u64, input: &[u8], departed: &mut Departed) -> Result<(), String> {
        let outbox = core::mem::take(&mut self.outbox);
        let mut result = Ok(());
        for mut departure in outbox.departures(input) {
            self.taken += 1;
            departure.leg = if self.turned { !departure.leg } else { departure.leg };
            if self.record.is_some() {
                let (leg, bytes) = (departure.leg, departure.packet.to_vec());
                self.emitted.push(Left { at: now, leg, bytes });
            }
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
                let (key, _) = who(&packet);
                format!("{} {}", key.1, packet.describe(isn, peer_isn))
            },
        );
        self.trace.line(now, || format!("{:<7} {sign} {text}", leg.name()));
    }
}
