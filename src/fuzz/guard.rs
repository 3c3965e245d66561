//! An engine, and what must hold of each call into it, whatever it was given.

use std::sync::Arc;

use core::time::Duration;

use crate::counters::Event;
use crate::direction::Leg;
use crate::engine::{Arrival, Departure, Engine, EngineConfig, Outbox};
use crate::limits::{DUPLICATES_MAX, PACKET_OCTETS_MAX, STORE_OCTETS_MAX, WAITING_OCTETS_MAX};
use crate::policy::{Bounds, Midstream, Personality, Policy};
use crate::stream::Buffer;
use crate::time::Instant;
use crate::wire::checksum;
use crate::wire::icmp::Message;
use crate::wire::offload::Offload;
use crate::wire::packet::{Headers, flags};

use super::cursor::Cursor;

/// A packet that left.
#[derive(Debug, Clone)]
pub(super) struct Left {
    pub(super) leg: Leg,
    pub(super) packet: Vec<u8>,
    pub(super) headers: Option<Headers>,
}

/// What one flow can hold: both directions wait and keep as much as they may, with room to grow.
const FLOW_OCTETS_MAX: u64 = 4 * (WAITING_OCTETS_MAX + STORE_OCTETS_MAX) as u64 + (1 << 20);

/// Packets that a call may cause however small what it concerns.
const DEPARTURES_MIN: u64 = 16 + DUPLICATES_MAX as u64;

/// The engine under test.
#[derive(Debug)]
pub(super) struct Guard {
    engine: Engine,
    outbox: Outbox,
    pub(super) now: Instant,
    inspects: bool,
    relays: bool,
    offload: bool,
    given: u64,
    left: u64,
}

impl Guard {
    /// An engine as the input wants it.
    pub(super) fn new(cursor: &mut Cursor<'_>) -> Self {
        let setup = cursor.octet();
        let personality: &'static Personality = match setup & 3 {
            0 | 1 => &Personality::MAILGUARD,
            2 => &Personality::PIX40,
            _ => &Personality::OFF,
        };
        let relays = setup & 0x30 == 0x30;
        let mut bounds = Bounds { rest_after: Duration::ZERO, ..Bounds::default() };
        if setup & 0x40 != 0 {
            (bounds.memory, bounds.flows_max, bounds.embryonic_max) = (1 << 20, 4, 2);
        }
        let offload = setup & 4 != 0;
        let mss_max = (setup & 0x80 != 0).then_some(100);
        let engine = Engine::new(EngineConfig {
            policy: Policy { mss_max, ..Policy::new(Arc::new(personality.clone()), &[25]) },
            seed: 1,
            offload,
            fail_open: relays,
            midstream: if relays { Midstream::Pass } else { Midstream::Drop },
            bounds,
        });
        Self {
            engine,
            outbox: Outbox::default(),
            now: Instant::ZERO,
            inspects: personality.inspect,
            relays: relays || !personality.inspect,
            offload,
            given: 0,
            left: 0,
        }
    }

    /// An engine that inspects and relays nothing else.
    pub(super) fn strict(cursor: &mut Cursor<'_>) -> Self {
        let setup = match cursor.octet() & !0x10 {
            off if off & 3 == 3 => off & !1,
            setup => setup,
        };
        Self::new(&mut Cursor::new(&[setup]))
    }

    /// Connections that have begun.
    pub(super) fn built(&self) -> u64 {
        self.engine.counters().events(Event::FlowBuilt)
    }

    /// Hands a packet in; what leaves for it.
    pub(super) fn give(&mut self, leg: Leg, packet: &[u8], offload: Offload) -> Vec<Left> {
        let held = self.engine.counters().octets_held;
        let drops = self.engine.counters().drops_total();
        let is_fragment = !matches!(crate::wire::fragment::Fragment::read(packet), Ok(None));
        self.outbox.clear();
        let (now, arrival) = (self.now, Arrival::new(leg, offload));
        // The flow may go on to hold what it was given: it must not matter.
        let mut octets = Buffer::from(packet);
        if self.given.is_multiple_of(2) {
            self.engine.handle_buffer(now, arrival, &mut octets, packet.len(), &mut self.outbox);
        } else {
            let octets = octets.get_mut().unwrap_or_default();
            self.engine.handle_packet(now, arrival, octets, &mut self.outbox);
        }
        self.given += 1;
        let counters = self.engine.counters();
        assert_eq!(counters.packets_in, self.given, "packets in");
        let dropped = counters.drops_total() - drops;
        // What was put together may be longer, and its fragments are counted one by one.
        let len = if is_fragment { PACKET_OCTETS_MAX } else { packet.len() };
        assert!(is_fragment || dropped <= 1 || self.has_expired(drops), "{dropped} drops");
        self.check(&octets, offload, held + len as u64)
    }

    /// Fragments whose time has passed are dropped with whatever packet comes next.
    fn has_expired(&self, drops: u64) -> bool {
        let late = self.engine.counters().drops(crate::counters::DropReason::FragmentTimeout);
        late > 0 && drops > 0
    }

    /// Lets time pass; what leaves meanwhile.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<Left> {
        let until = self.now + time;
        let mut left = Vec::new();
        for round in 0.. {
            let Some(due) = self.engine.next_deadline().filter(|due| *due <= until) else {
                break;
            };
            assert!(round < 10_000, "a deadline that is never satisfied");
            self.now = self.now.max(due);
            let held = self.engine.counters().octets_held;
            self.outbox.clear();
            self.engine.handle_deadline(self.now, &mut self.outbox);
            left.extend(self.check(&[], Offload::default(), held));
        }
        self.now = until;
        left
    }

    /// What must hold after a call that concerns so many octets.
    fn check(&mut self, input: &[u8], offload: Offload, octets: u64) -> Vec<Left> {
        let counters = self.engine.counters();
        self.left += self.outbox.len() as u64;
        assert_eq!(counters.packets_out, self.left, "packets out");
        let ended = counters.events(Event::FlowEnded);
        assert_eq!(counters.events(Event::FlowBuilt) - ended, counters.flows, "flows");
        assert!(counters.half_open <= counters.flows, "half-open flows");
        assert_eq!(counters.events(Event::FlowPanic), 0, "a flow has panicked");
        assert!(counters.octets_held <= counters.flows * FLOW_OCTETS_MAX, "octets held");
        // One octet becomes six at most, and eight fit the smallest segment beside its options; a
        // super-segment of smaller ones leaves in as small ones.
        let fit = offload.gso_size.map_or(8, |size| u64::from(size).clamp(1, 8));
        let most = DEPARTURES_MIN + 4 * counters.flows + octets * 6 / fit;
        assert!(self.outbox.len() as u64 <= most, "{} packets left", self.outbox.len());
        let is_honest = !offload.partial_checksum && !offload.checksum_valid;
        let departures: Vec<_> = self.outbox.departures(input).collect();
        departures
            .into_iter()
            .map(|departure| {
                let is_sure = self.inspects && !self.relays && is_honest;
                let headers = if is_sure { self.check_departure(&departure) } else { None };
                Left { leg: departure.leg, packet: departure.packet.to_vec(), headers }
            })
            .collect()
    }

    /// What leaves can be read, and its lengths, checksums and virtio header fit.
    fn check_departure(&self, departure: &Departure<'_>) -> Option<Headers> {
        let (packet, offload) = (departure.packet, departure.offload);
        let is_inspected =
            |headers: &Headers| headers.source.port() == 25 || headers.destination.port() == 25;
        if Headers::parse(packet).is_ok_and(|headers| !is_inspected(&headers)) {
            // Of what is not inspected nobody says what it is like.
            return None;
        }
        let vnet = Offload::parse(departure.vnet_header);
        assert_eq!(vnet.partial_checksum, offload.partial_checksum, "virtio header");
        assert_eq!(vnet.gso_size, offload.gso_size, "virtio header");
        assert!(self.offload || vnet == Offload::default(), "{vnet:?} without offload");
        let Ok(headers) = Headers::parse(packet) else {
            let message = Message::read(packet).expect("TCP or ICMP leaves");
            assert_eq!(message.end, packet.len(), "octets behind the ICMP message");
            assert!(message.checksum_is_right(packet, offload), "the ICMP checksum");
            return None;
        };
        assert_eq!(headers.end, packet.len(), "octets behind the segment");
        assert!(headers.flags & flags::URG == 0 && headers.reserved == 0, "bits to be cleared");
        let addresses = (headers.source.ip(), headers.destination.ip());
        let segment = &packet[headers.tcp_start..];
        if offload.partial_checksum {
            let sum = checksum::partial(addresses.0, addresses.1, segment.len());
            assert_eq!(segment[16..18], sum.to_be_bytes(), "the partial checksum");
            let start = u16::from_ne_bytes([departure.vnet_header[6], departure.vnet_header[7]]);
            assert_eq!(usize::from(start), headers.tcp_start, "where the sum starts");
        } else {
            assert!(checksum::tcp_is_right(addresses.0, addresses.1, segment), "the TCP checksum");
            assert_eq!(offload.gso_size, None, "a super-segment without a partial checksum");
        }
        Some(headers)
    }
}
