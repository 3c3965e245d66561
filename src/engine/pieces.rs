//! Traces of fragments and of ICMP errors.

use core::time::Duration;

use super::traces::Trace;
use super::*;
use crate::limits::{FRAGMENT_TIMEOUT, FRAGMENTED_PER_SOURCE_MAX};
use crate::policy::Personality;
use crate::wire::checksum;
use crate::wire::packet::flags::ACK;

const IDENTIFICATION: u32 = 7;

/// A packet as it was sent, to be cut.
fn segment(ipv6: bool, from_client: bool, seq: u32, ack: u32, flags: u8, text: &str) -> Vec<u8> {
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
        fragment[6..8].copy_from_slice(&(from as u16 / 8 | more << 13).to_be_bytes());
    }
    fragment.extend_from_slice(payload);
    finish(&mut fragment);
    fragment
}

/// Makes the IPv4 header checksum right.
fn finish(packet: &mut [u8]) {
    if packet[0] >> 4 == 4 {
        packet[10..12].fill(0);
        let sum = checksum::ipv4_header(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The packet in pieces of `size` octets.
fn cut(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let len = packet.len() - if packet[0] >> 4 == 6 { 40 } else { 20 };
    let starts = (0..len).step_by(size);
    starts.map(|from| piece(packet, from, len.min(from + size), IDENTIFICATION)).collect()
}

struct Guard {
    engine: Engine,
    now: Instant,
    ipv6: bool,
}

impl Guard {
    /// A greeted connection; the client has sent 7 octets fewer than have left for the server.
    fn new(ipv6: bool) -> Self {
        Self::with(ipv6, None, false)
    }

    fn with(ipv6: bool, mss_max: Option<u16>, offload: bool) -> Self {
        let policy = Policy { personality: &Personality::MAILGUARD, ports: vec![25], mss_max };
        let config = EngineConfig { policy, seed: 1, offload, fail_open: false };
        let mut new = Self { engine: Engine::new(config), now: Instant::ZERO, ipv6 };
        new.say(true, 99, 0, flags::SYN, "");
        new.say(false, 499, 100, flags::SYN | ACK, "");
        new.say(true, 100, 500, ACK, "");
        new.say(false, 500, 100, ACK, "220 m\r\n");
        new
    }

    fn give(&mut self, leg: Leg, mut packet: Vec<u8>) -> Vec<Vec<u8>> {
        let mut outbox = Outbox::default();
        self.engine.handle_packet(self.now, leg, &mut packet, Offload::default(), &mut outbox);
        outbox.departures(&packet).map(|departure| departure.packet.to_vec()).collect()
    }

    fn say(&mut self, client: bool, seq: u32, ack: u32, flags: u8, text: &str) -> Vec<Vec<u8>> {
        let packet = segment(self.ipv6, client, seq, ack, flags, text);
        self.give(if client { Leg::Outside } else { Leg::Inside }, packet)
    }

    /// The client's segment, to be cut.
    fn line(&self, text: &str) -> Vec<u8> {
        segment(self.ipv6, true, 100, 507, ACK, text)
    }

    fn all(&mut self, fragments: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        fragments.into_iter().flat_map(|fragment| self.give(Leg::Outside, fragment)).collect()
    }

    fn drops(&self, reason: DropReason) -> u64 {
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
            if (from, to) == (32, 48) {
                assert!(left.is_empty());
            }
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
        it.engine.handle_packet(it.now, Leg::Outside, &mut last, Offload::default(), &mut outbox);
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
    let policy = Policy { personality: &Personality::OFF, ports: vec![25], mss_max: None };
    let config = EngineConfig { policy, seed: 1, offload: false, fail_open: false };
    it.engine = Engine::new(config);
    let fragments = cut(&it.line("EXPN staff\r\n"), 8);
    assert_eq!(it.all(fragments.clone()), fragments);
}

/// An ICMP error with `word` for its second half of the header that quotes `len` octets of
/// `packet`.
fn error(kind: (u8, u8), word: u32, packet: &[u8], len: usize) -> Vec<u8> {
    let is_v6 = packet[0] >> 4 == 6;
    let len = len.min(packet.len());
    let mut made = if is_v6 {
        let mut header = vec![0x60, 0, 0, 0, 0, 0, 58, 64];
        header.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        header.extend_from_slice(&packet[8..24]);
        header
    } else {
        let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 203, 0, 113, 1];
        header.extend_from_slice(&packet[12..16]);
        header
    };
    let start = made.len();
    made.extend([kind.0, kind.1, 0, 0]);
    made.extend(word.to_be_bytes());
    made.extend_from_slice(&packet[..len]);
    let total = made.len() as u16;
    if is_v6 {
        made[4..6].copy_from_slice(&(total - 40).to_be_bytes());
    } else {
        made[2..4].copy_from_slice(&total.to_be_bytes());
        finish(&mut made);
    }
    let sum = icmp_sum(&made, start);
    made[start + 2..start + 4].copy_from_slice(&sum.to_be_bytes());
    made
}

fn icmp_sum(packet: &[u8], start: usize) -> u16 {
    let (source, destination) = match etherparse::IpSlice::from_slice(packet).unwrap() {
        ip @ (etherparse::IpSlice::Ipv4(_) | etherparse::IpSlice::Ipv6(_)) => {
            (ip.source_addr(), ip.destination_addr())
        }
    };
    checksum::icmp(source, destination, &packet[start..])
}

/// A connection on which X became NOOP, so that the server's numbers are 3 ahead, and a second
/// line is in flight: what left for that.
fn shifted(ipv6: bool) -> (Guard, Vec<u8>) {
    let mut it = Guard::new(ipv6);
    it.say(true, 100, 507, ACK, "X\r\n");
    it.say(false, 507, 106, ACK, "250 ok\r\n");
    // The refusal is 18 octets longer than the reply.
    let left = it.say(true, 103, 533, ACK, "HELO me\r\n").pop().unwrap();
    let headers = Headers::parse(&left).unwrap();
    assert_eq!((headers.seq, headers.ack), (106, 515));
    (it, left)
}

#[test]
fn i19_an_error_is_told_in_the_numbers_of_its_reader() {
    for ipv6 in [false, true] {
        let (mut it, left) = shifted(ipv6);
        let (header, kinds) = if ipv6 {
            (40, vec![(1, 4), (2, 0), (3, 0), (4, 1)])
        } else {
            (20, vec![(3, 1), (3, 4), (3, 13), (11, 0), (12, 0)])
        };
        for kind in kinds {
            for quoted in [header + 8, header + 11, header + 12, left.len()] {
                let mut told = it.give(Leg::Inside, error(kind, 1300, &left, quoted));
                assert_eq!(told.len(), 1, "{kind:?}");
                let told = told.pop().unwrap();
                assert_eq!(icmp_sum(&told, header), 0);
                let tcp = &told[header + 8 + header..];
                assert_eq!(tcp[4..8], 103_u32.to_be_bytes(), "{kind:?}");
                if quoted >= header + 12 {
                    assert_eq!(tcp[8..12], 533_u32.to_be_bytes());
                }
                assert_eq!(told[header + 4..header + 8], 1300_u32.to_be_bytes());
            }
        }
        assert_eq!(it.engine.counters().drops_total(), 0);
    }
}

#[test]
fn errors_that_cannot_be_about_the_flow_are_dropped() {
    for ipv6 in [false, true] {
        let (mut it, left) = shifted(ipv6);
        let (header, kind) = if ipv6 { (40, (1, 4)) } else { (20, (3, 3)) };
        let mut expected = 0;
        let mut refused = |it: &mut Guard, leg: Leg, packet: Vec<u8>| {
            assert!(it.give(leg, packet).is_empty());
            expected += 1;
            assert_eq!(it.drops(DropReason::IcmpNotInFlow), expected);
        };
        refused(&mut it, Leg::Outside, error(kind, 0, &left, 99));
        // Before and behind what is in flight, and the client's own number.
        for seq in [105_u32, 116, 103] {
            let mut quoted = left.clone();
            quoted[header + 4..header + 8].copy_from_slice(&seq.to_be_bytes());
            refused(&mut it, Leg::Inside, error(kind, 0, &quoted, 99));
        }
        // Another connection to the same server.
        let mut quoted = left.clone();
        quoted[header] ^= 1;
        refused(&mut it, Leg::Inside, error(kind, 0, &quoted, 99));
        // Told to somebody else.
        let mut packet = error(kind, 0, &left, 99);
        packet[header - 1] ^= 1;
        finish(&mut packet);
        refused(&mut it, Leg::Inside, packet);
        // A port that is not inspected, and an echo.
        let mut quoted = left.clone();
        quoted[header + 2..header + 4].copy_from_slice(&[0, 80]);
        let packet = error(kind, 0, &quoted, 99);
        assert_eq!(it.give(Leg::Inside, packet.clone()), [packet]);
        let packet = error(if ipv6 { (128, 0) } else { (8, 0) }, 9, &left, 30);
        assert_eq!(it.give(Leg::Outside, packet.clone()), [packet]);
    }
}

#[test]
fn cut_errors_never_panic_and_never_pass() {
    for ipv6 in [false, true] {
        let (mut it, left) = shifted(ipv6);
        let (header, kind) = if ipv6 { (40, (2, 0)) } else { (20, (3, 4)) };
        for quoted in 0..header + 8 {
            assert!(it.give(Leg::Inside, error(kind, 1300, &left, quoted)).is_empty());
        }
        assert_eq!(it.drops(DropReason::Malformed), header as u64 + 8);
        let whole = error(kind, 1300, &left, left.len());
        for len in 0..whole.len() {
            assert!(it.give(Leg::Inside, whole[..len].to_vec()).is_empty());
        }
        let mut wrong = whole;
        wrong[header + 2] ^= 1;
        assert!(it.give(Leg::Inside, wrong).is_empty());
        assert_eq!(it.drops(DropReason::BadChecksum), 1);
    }
}

#[test]
fn an_unanswered_syn_may_be_refused_by_a_router() {
    let mut it = Guard::new(false);
    let config = it.engine.config.clone();
    it.engine = Engine::new(config);
    let left = it.say(true, 99, 0, flags::SYN, "").pop().unwrap();
    let packet = error((3, 1), 0, &left, 28);
    assert_eq!(it.give(Leg::Inside, packet.clone()), [packet]);
}

#[test]
fn what_the_guard_sends_itself_fits_the_path() {
    for (ipv6, mtu, fits) in [(false, 300, 552), (false, 570, 570), (true, 100, 1280)] {
        let mut it = Guard::new(ipv6);
        // Large segments on both sides.
        it.engine = Engine::new(it.engine.config.clone());
        for (client, seq, ack, flags) in
            [(true, 99, 0, flags::SYN), (false, 499, 100, flags::SYN | ACK)]
        {
            let mut packet = segment(ipv6, client, seq, ack, flags, "\u{2}\u{4}\u{5}\u{30}");
            let tcp = if ipv6 { 40 } else { 20 };
            packet[tcp + 12] = 6 << 4;
            let addresses = Headers::parse(&packet).unwrap();
            seal(&mut packet, tcp, (addresses.source.ip(), addresses.destination.ip()), false);
            it.give(if client { Leg::Outside } else { Leg::Inside }, packet);
        }
        it.say(true, 100, 500, ACK, "");
        it.say(false, 500, 100, ACK, "220 m\r\n");
        let text = format!("DATA\r\n{}", "EXPN\r\n".repeat(200));
        let left = it.say(true, 100, 507, ACK, &text).pop().unwrap();
        it.give(Leg::Inside, error(if ipv6 { (2, 0) } else { (3, 4) }, mtu, &left, 99));
        let left = it.say(false, 507, 106, ACK, "503 no\r\n");
        let sizes: Vec<_> = left.iter().map(Vec::len).collect();
        let flushed = &sizes[1..];
        assert_eq!(
            flushed.iter().max(),
            Some(&fits).filter(|_| flushed.len() > 1).or(flushed.first())
        );
        assert!(flushed.iter().all(|len| *len <= fits), "{sizes:?}");
        let headers = if ipv6 { 60 } else { 40 };
        assert_eq!(flushed.iter().map(|len| len - headers).sum::<usize>(), 1200);
    }
}

#[test]
fn the_segment_size_in_a_syn_is_lowered_and_never_raised() {
    for (most, told) in [(None, 0x530), (Some(1000), 1000), (Some(0x600), 0x530)] {
        let mut it = Guard::with(false, most, false);
        it.engine = Engine::new(it.engine.config.clone());
        for (client, seq, ack, flags) in
            [(true, 99, 0, flags::SYN), (false, 499, 100, flags::SYN | ACK)]
        {
            let mut packet = segment(false, client, seq, ack, flags, "\u{2}\u{4}\u{5}\u{30}");
            packet[32] = 6 << 4;
            let read = Headers::parse(&packet).unwrap();
            seal(&mut packet, 20, (read.source.ip(), read.destination.ip()), false);
            let left = it.give(if client { Leg::Outside } else { Leg::Inside }, packet);
            let read = Headers::parse(&left[0]).unwrap();
            assert!(read.checksum_is_right(&left[0], Offload::default()));
            assert_eq!(read.options.mss, Some(told));
        }
        let clamped = if most == Some(1000) { 2 } else { 0 };
        assert_eq!(it.engine.counters().events(Event::MssClamped), clamped);
    }
    let mut it = Guard::with(false, Some(1000), false);
    it.engine = Engine::new(it.engine.config.clone());
    let left = it.say(true, 99, 0, flags::SYN, "");
    assert_eq!(Headers::parse(&left[0]).unwrap().options.mss, None, "none is added");
}

#[test]
fn fragments_and_errors_go_to_the_worker_of_their_datagram_and_flow() {
    for ipv6 in [false, true] {
        let (it, left) = shifted(ipv6);
        let packet = it.line("HELO me, and more of it\r\n");
        for seed in 0..50 {
            let of_flow = owner(&packet, 7, seed);
            let kind = if ipv6 { (2, 0) } else { (3, 4) };
            assert_eq!(owner(&error(kind, 1300, &left, 99), 7, seed), of_flow);
            let owners: Vec<_> = cut(&packet, 24).iter().map(|f| owner(f, 7, seed)).collect();
            assert!(owners.windows(2).all(|pair| pair[0] == pair[1]), "{owners:?}");
        }
    }
}

#[test]
fn octets_that_only_the_guard_knows_to_be_missing_leave_again() {
    let mut trace = Trace::with_sack();
    trace.server(1, 1, ACK, "220 m\r\n");
    let text = "NOOP\r\n".repeat(20);
    trace.client(7, 8, ACK, &text);
    let left = trace.client_raw(1, 8, ACK, "QUIT\r\n");
    let mut packet = error((3, 4), 552, &left, 28);
    let mut outbox = Outbox::default();
    trace.engine.handle_packet(
        trace.now,
        Leg::Inside,
        &mut packet,
        Offload::default(),
        &mut outbox,
    );
    let left: Vec<_> = outbox.departures(&packet).map(|d| (d.leg, d.packet.len())).collect();
    assert_eq!(left[0], (Leg::Inside, 40 + 6 + text.len()), "{left:?}");
    assert_eq!(left[1].0, Leg::Outside);
}
