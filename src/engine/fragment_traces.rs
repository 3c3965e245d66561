//! Traces of fragments: I39, RFC 5722, RFC 6946, RFC 7112.

use crate::engine::Arrival;
use std::sync::Arc;

use core::time::Duration;

use super::*;
use crate::direction::Leg;
use crate::limits::{FRAGMENT_TIMEOUT, FRAGMENTED_PER_SOURCE_MAX};
use crate::policy::Personality;
use crate::wire::checksum;
use crate::wire::mint::Minted;
use crate::wire::packet::flags::ACK;
use crate::wire::packet::seal;

const IDENTIFICATION: u32 = 7;

/// A packet as it was sent, to be cut.
pub(super) fn segment(
    ipv6: bool,
    from_client: bool,
    seq: u32,
    ack: u32,
    flags: u8,
    text: &str,
) -> Vec<u8> {
    let (client, server) = if ipv6 {
        ("[2001:db8:1::a]:40000", "[2001:db8:2::19]:25")
    } else {
        ("192.0.2.10:40000", "198.51.100.25:25")
    };
    let (source, destination) = if from_client { (client, server) } else { (server, client) };
    let minted = Minted {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        seq,
        ack,
        flags: flags & !flags::SYN,
        window: 5000,
        timestamps: None,
        sack_blocks: &[],
    };
    let made = minted.headers();
    let mut packet = made.octets().to_vec();
    packet[made.tcp_start + 13] |= flags & flags::SYN;
    packet.extend_from_slice(text.as_bytes());
    let addresses = (minted.source.ip(), minted.destination.ip());
    seal(&mut packet, made.tcp_start, addresses, false);
    packet
}

/// The octets `from..to` of what is behind the IP header, as a fragment.
fn piece(packet: &[u8], from: usize, to: usize, identification: u32) -> Vec<u8> {
    let is_v6 = packet[0] >> 4 == 6;
    let header_len = if is_v6 { 40 } else { 20 };
    let more = u16::from(header_len + to < packet.len());
    let payload = &packet[header_len + from..header_len + to];
    let mut fragment = packet[..header_len].to_vec();
    if is_v6 {
        fragment.extend([packet[6], 0]);
        fragment.extend((from as u16 | more).to_be_bytes());
        fragment.extend(identification.to_be_bytes());
        fragment[6] = 44;
        fragment[4..6].copy_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    } else {
        fragment[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        fragment[4..6].copy_from_slice(&(identification as u16).to_be_bytes());
        fragment[6..8].copy_from_slice(&((from as u16 / 8) | (more << 13)).to_be_bytes());
    }
    fragment.extend_from_slice(payload);
    finish(&mut fragment);
    fragment
}

/// Makes the IPv4 header checksum right.
pub(super) fn finish(packet: &mut [u8]) {
    if packet[0] >> 4 == 4 {
        packet[10..12].fill(0);
        let sum = checksum::ipv4_header(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The packet in pieces of `size` octets.
pub(super) fn cut(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let len = packet.len() - if packet[0] >> 4 == 6 { 40 } else { 20 };
    let starts = (0..len).step_by(size);
    starts.map(|from| piece(packet, from, len.min(from + size), IDENTIFICATION)).collect()
}

pub(super) struct Guard {
    pub(super) engine: Engine,
    pub(super) now: Instant,
    ipv6: bool,
}

fn config(policy: Policy) -> EngineConfig {
    EngineConfig {
        policy,
        seed: 1,
        offload: false,
        fail_open: false,
        midstream: Midstream::Drop,
        bounds: Bounds::default(),
    }
}

impl Guard {
    /// A greeted connection.
    pub(super) fn new(ipv6: bool) -> Self {
        Self::with(ipv6, None, false)
    }

    pub(super) fn with(ipv6: bool, mss_max: Option<u16>, offload: bool) -> Self {
        let policy = Policy { mss_max, ..Policy::new(Arc::new(Personality::MAILGUARD), &[25]) };
        let config = EngineConfig { offload, ..config(policy) };
        let mut new = Self { engine: Engine::new(config), now: Instant::ZERO, ipv6 };
        new.say(true, 99, 0, flags::SYN, "");
        new.say(false, 499, 100, flags::SYN | ACK, "");
        new.say(true, 100, 500, ACK, "");
        new.say(false, 500, 100, ACK, "220 m\r\n");
        new
    }

    pub(super) fn give(&mut self, leg: Leg, mut packet: Vec<u8>) -> Vec<Vec<u8>> {
        let mut outbox = Outbox::default();
        self.engine.handle_packet(
            self.now,
            Arrival::new(leg, Offload::default()),
            &mut packet,
            &mut outbox,
        );
        outbox.departures(&packet).map(|departure| departure.packet.to_vec()).collect()
    }

    pub(super) fn say(
        &mut self,
        client: bool,
        seq: u32,
        ack: u32,
        flags: u8,
        text: &str,
    ) -> Vec<Vec<u8>> {
        let packet = segment(self.ipv6, client, seq, ack, flags, text);
        self.give(if client { Leg::Outside } else { Leg::Inside }, packet)
    }

    /// The client's segment, to be cut.
    pub(super) fn line(&self, text: &str) -> Vec<u8> {
        segment(self.ipv6, true, 100, 507, ACK, text)
    }

    fn all(&mut self, fragments: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        fragments.into_iter().flat_map(|fragment| self.give(Leg::Outside, fragment)).collect()
    }

    pub(super) fn drops(&self, reason: DropReason) -> u64 {
        self.engine.counters().drops(reason)
    }
}

/// What left, as text.
fn payloads(left: &[Vec<u8>]) -> Vec<String> {
    let read = |packet: &Vec<u8>| {
        let headers = Headers::parse(packet).expect("what leaves is well-formed");
        assert!(headers.checksum_is_right(packet, Offload::default()));
        assert_eq!(headers.end, packet.len());
        String::from_utf8_lossy(headers.payload(packet)).into_owned()
    };
    left.iter().map(read).collect()
}

#[test]
fn i39_fragments_are_judged_as_the_packet_that_they_make() {
    for ipv6 in [false, true] {
        for size in [8, 24, 40] {
            // RFC 7112: only IPv4 may cut within the headers.
            for order in 0..3 {
                let mut it = Guard::new(ipv6);
                let mut fragments = cut(&it.line("HELO me\r\nEXPN staff\r\nNOOP\r\n"), size);
                match order {
                    0 => {}
                    1 => fragments.reverse(),
                    _ => fragments.rotate_left(1),
                }
                let left = payloads(&it.all(fragments));
                if ipv6 && size < 20 {
                    assert!(left.is_empty() && it.drops(DropReason::FragmentMalformed) == 1);
                    continue;
                }
                assert_eq!(left, ["HELO me\r\nNOOP      \r\nNOOP\r\n"], "{size} {order}");
                assert_eq!(it.engine.counters().events(Event::DatagramRebuilt), 1);
                assert_eq!(it.engine.counters().drops_total(), 0);
                assert_eq!(it.engine.next_deadline(), it.engine.flows.next_deadline());
            }
        }
    }
}

#[test]
fn an_overlap_ends_the_datagram_and_what_follows_of_it() {
    for ipv6 in [false, true] {
        for (from, to) in [(24, 40), (16, 32), (0, 24), (32, 48), (24, 32)] {
            let mut it = Guard::new(ipv6);
            let packet = it.line("HELO me, and more of it\r\nNOOP\r\n");
            let len = packet.len() - if ipv6 { 40 } else { 20 };
            let pieces = [(0, 24), (24, 40), (from, to), (40, len)];
            let fragments = pieces.map(|(from, to)| piece(&packet, from, to, IDENTIFICATION));
            let left = it.all(fragments);
            assert!(left.is_empty(), "{from}-{to}");
            assert_eq!(it.drops(DropReason::FragmentOverlap), 4);
            it.now = it.now + FRAGMENT_TIMEOUT;
            // Another one of the same number is none of it, once its time is over.
            assert_eq!(it.all(cut(&packet, 24)).len(), 1);
        }
    }
}

#[test]
fn an_atomic_fragment_is_a_packet_of_its_own() {
    let mut it = Guard::new(true);
    let packet = it.line("EXPN staff\r\n");
    it.give(Leg::Outside, piece(&packet, 0, 24, IDENTIFICATION));
    let mut atomic = packet[..40].to_vec();
    atomic[6] = 44;
    let len = (packet.len() - 40 + 8) as u16;
    atomic[4..6].copy_from_slice(&len.to_be_bytes());
    atomic.extend([6, 0, 0, 0, 0, 0, 0, IDENTIFICATION as u8]);
    atomic.extend_from_slice(&packet[40..]);
    assert_eq!(payloads(&it.give(Leg::Outside, atomic)), ["NOOP      \r\n"]);
}

#[test]
fn what_no_datagram_can_contain_is_dropped() {
    let mut it = Guard::new(false);
    let packet = it.line("HELO me, and more of it\r\nNOOP\r\n");
    let first = piece(&packet, 0, 24, 1);
    let edit = |at: usize, value: u16| {
        let mut fragment = first.clone();
        fragment[at..at + 2].copy_from_slice(&value.to_be_bytes());
        finish(&mut fragment);
        fragment
    };
    let mut bad = vec![
        piece(&packet, 0, 20, 1), // more follows, but it ends between two units of 8
        edit(6, 0x6000),          // DF
        edit(6, 0xa000),          // the reserved bit
        edit(6, 0x1ffe),          // ends beyond 65,535
        edit(2, 20),              // empty
    ];
    let count = bad.len() as u64;
    assert!(it.all(bad.drain(..)).is_empty());
    assert_eq!(it.drops(DropReason::FragmentMalformed), count);
    let mut sum = first.clone();
    sum[10] ^= 1;
    assert!(it.give(Leg::Outside, sum).is_empty());
    assert_eq!(it.drops(DropReason::BadChecksum), 1);
    // The end lies before what has come already.
    let len = packet.len() - 20;
    it.give(Leg::Outside, piece(&packet, 40, 48, 2));
    let mut last = piece(&packet, 24, 40, 2);
    last[6] &= !0x20;
    finish(&mut last);
    it.give(Leg::Outside, last);
    assert_eq!(it.drops(DropReason::FragmentMalformed), count + 2);
    assert!(it.give(Leg::Outside, piece(&packet, 48, len, 2)).is_empty());
}

#[test]
fn cut_fragments_never_panic_and_never_pass() {
    for ipv6 in [false, true] {
        let mut it = Guard::new(ipv6);
        for fragment in cut(&it.line("HELO me, and more\r\n"), 24) {
            for len in 0..fragment.len() {
                assert!(it.give(Leg::Outside, fragment[..len].to_vec()).is_empty());
            }
        }
    }
}

#[test]
fn a_flood_leaves_room_for_others_and_passes_with_time() {
    let mut it = Guard::new(false);
    let packet = it.line("HELO me, and more of it\r\nNOOP\r\n");
    let mut other = packet.clone();
    other[12..16].copy_from_slice(&[192, 0, 2, 66]);
    for number in 0..2 * FRAGMENTED_PER_SOURCE_MAX as u32 {
        it.give(Leg::Outside, piece(&other, 0, 24, number));
    }
    let refused = FRAGMENTED_PER_SOURCE_MAX as u64;
    assert_eq!(it.drops(DropReason::FragmentLimit), refused);
    assert_eq!(it.all(cut(&packet, 24)).len(), 1, "another sender has room");
    let due = it.engine.next_deadline().unwrap();
    assert!(due <= it.now + Duration::from_secs(30));
    it.engine.handle_deadline(due, &mut Outbox::default());
    assert_eq!(it.drops(DropReason::FragmentTimeout), refused);
    assert_eq!(it.engine.next_deadline(), it.engine.flows.next_deadline(), "nothing waits");
}

#[test]
fn a_datagram_longer_than_a_segment_leaves_as_segments() {
    for offload in [false, true] {
        let mut it = Guard::with(false, None, offload);
        let text = "NOOP\r\n".repeat(300);
        let packet = it.line(&text);
        let mut outbox = Outbox::default();
        let mut fragments = cut(&packet, 800);
        let mut last = fragments.pop().unwrap();
        it.all(fragments);
        it.engine.handle_packet(
            it.now,
            Arrival::new(Leg::Outside, Offload::default()),
            &mut last,
            &mut outbox,
        );
        let left: Vec<_> = outbox.departures(&last).collect();
        let sizes: Vec<_> = left.iter().map(|departure| departure.packet.len() - 40).collect();
        if offload {
            assert_eq!((sizes, left[0].offload.gso_size), (vec![1800], Some(536)));
        } else {
            let packets: Vec<_> = left.iter().map(|departure| departure.packet.to_vec()).collect();
            assert_eq!(sizes, [536, 536, 536, 192]);
            assert_eq!(payloads(&packets).concat(), text);
        }
    }
}

#[test]
fn without_inspection_fragments_pass_as_they_came() {
    let mut it = Guard::new(false);
    let policy = Policy::new(Arc::new(Personality::OFF), &[25]);
    it.engine = Engine::new(config(policy));
    let fragments = cut(&it.line("EXPN staff\r\n"), 8);
    assert_eq!(it.all(fragments.clone()), fragments);
}
