//! IP packets that die on the way, that hosts refuse, or that mean something else to each of them.

use super::super::traces::{Trace, sealed};
use super::super::*;
use super::segments::{is_a_decoy, rest, stamped};
use crate::direction::Leg;
use crate::wire::mint::Minted;
use crate::wire::packet::flags::{ACK, FIN, RST, SYN};
use crate::wire::packet::seal;

const TTL: usize = 8;
const TOS: usize = 1;
const CE: u8 = 3;
const ECT: u8 = 2;

/// A command that the client never gave, with `edit` done to its packet.
fn evil(edit: impl Fn(&mut Vec<u8>)) -> impl Fn(&Trace) -> Vec<u8> {
    move |trace| {
        let mut packet = trace.craft(Leg::Outside, 1, 8, ACK, "EXPN x\r\n");
        edit(&mut packet);
        sealed(packet)
    }
}

fn insert_ip_options(packet: &mut Vec<u8>, options: &[u8]) {
    packet.splice(20..20, options.iter().copied());
    packet[0] += options.len() as u8 / 4;
}

#[test]
fn source_routes_and_malformed_options() {
    let lists: [&[u8]; 5] = [
        &[131, 7, 4, 192, 0, 2, 1, 0],
        &[137, 7, 4, 192, 0, 2, 1, 0],
        &[1, 131, 3, 4],
        &[148, 9, 0, 0],
        &[7, 0, 0, 0],
    ];
    for list in lists {
        let insert = evil(|packet| insert_ip_options(packet, list));
        is_a_decoy(DropReason::IpOptions, Leg::Outside, insert);
    }
}

#[test]
fn other_options_and_the_reserved_flag_are_blanked() {
    let mut trace = stamped();
    let mut packet = trace.craft(Leg::Outside, 1, 8, ACK, "HELO a\r\n");
    packet[6] |= 0x80;
    // Router alert, end of the list, and something behind it.
    insert_ip_options(&mut packet, &[148, 4, 0, 0, 0, 131, 3, 4]);
    let left = trace.send_raw(Leg::Outside, &sealed(packet));
    assert_eq!((&left[0][20..28], left[0][6] & 0x80), (&[1; 8][..], 0));
    let headers = Headers::parse(&left[0]).expect("its header sum is right");
    assert_eq!(headers.payload(&left[0]), b"HELO a\r\n");
    assert_eq!(trace.engine.counters().events(Event::IpCleared), 1);
}

#[test]
fn authenticated_packets() {
    is_a_decoy(DropReason::IpAuthentication, Leg::Outside, |trace| {
        let mut packet = trace.craft(Leg::Outside, 1, 8, ACK, "EXPN x\r\n");
        packet[9] = 51;
        // Next header TCP, four words, and then the TCP header with the sum that it has.
        packet.splice(20..20, [6, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[10..12].fill(0);
        let sum = crate::wire::checksum::ipv4_header(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    });
}

#[test]
fn martians_open_nothing() {
    let martians = [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]];
    for at in [12, 16] {
        for martian in martians {
            let mut trace = stamped();
            let mut packet = trace.craft(Leg::Outside, 0, 0, SYN, "");
            packet[at..at + 4].copy_from_slice(&martian);
            super::segments::refuses(
                &mut trace,
                Leg::Outside,
                sealed(packet),
                DropReason::IpMartian,
            );
            assert_eq!(trace.engine.counters().flows, 1);
        }
    }
    // From a host to itself.
    let mut trace = stamped();
    let mut packet = trace.craft(Leg::Outside, 0, 0, SYN, "");
    packet.copy_within(16..20, 12);
    packet.copy_within(22..24, 20);
    super::segments::refuses(&mut trace, Leg::Outside, sealed(packet), DropReason::IpMartian);
    assert_eq!(trace.engine.counters().flows, 1);
}

#[test]
fn a_packet_that_dies_behind_the_guard() {
    for ttl in [0, 1] {
        is_a_decoy(DropReason::IpTtlExpired, Leg::Outside, evil(|packet| packet[TTL] = ttl));
    }
    // Those that come farther come as far as all others of their sender.
    let mut trace = stamped();
    let mut send = |seq: u32, ttl: u8, value: u32| {
        trace.timestamps = Some((value, 1000));
        let mut packet = trace.craft(Leg::Outside, seq, 8, ACK, "NOOP\r\n");
        packet[TTL] = ttl;
        trace.send_raw(Leg::Outside, &sealed(packet))[0][TTL]
    };
    for (index, (ttl, expected)) in
        [(2, 64), (63, 64), (64, 64), (200, 200), (64, 200)].into_iter().enumerate()
    {
        assert_eq!(send(1 + 6 * index as u32, ttl, 1000), expected);
    }
    // What repeats the last one in every word changes nothing, and may die; what says it later does.
    assert_eq!([send(25, 3, 1000), send(25, 3, 1001)], [3, 200]);
    assert_eq!(trace.engine.counters().events(Event::TtlRaised), 4);
    trace.client(37, 8, ACK, "NOOP\r\n");
    trace.now = trace.engine.next_deadline().unwrap();
    assert!(trace.deadline_raw().iter().all(|packet| packet[TTL] == 200), "repeats in its name");
    // A SYN leaves as it came: one that goes in circles has to die.
    let mut trace = Trace::new(&crate::policy::Personality::MAILGUARD);
    trace.client(0, 0, SYN, "");
    let mut packet = trace.craft(Leg::Outside, 0, 0, SYN, "");
    packet[TTL] = 9;
    assert_eq!(trace.send_raw(Leg::Outside, &sealed(packet))[0][TTL], 9);
}

/// The TTL with which the client's packet leaves that came with 9, when others came with 64.
fn ttl_of(trace: &mut Trace, mut packet: Vec<u8>, window: u16) -> u8 {
    packet[TTL] = 9;
    packet[34..36].copy_from_slice(&window.to_be_bytes());
    trace.send_raw(Leg::Outside, &sealed(packet))[0][TTL]
}

#[test]
fn what_says_anything_new_comes_as_far_as_others() {
    let mut trace = stamped();
    trace.client(1, 8, ACK, "");
    let acknowledges = trace.craft(Leg::Outside, 1, 8, ACK, "");
    assert_eq!(ttl_of(&mut trace, acknowledges.clone(), 1000), 9, "it is known");
    assert_eq!(ttl_of(&mut trace, acknowledges.clone(), 1001), 64, "a wider window");
    assert_eq!(ttl_of(&mut trace, acknowledges, 1000), 9, "windows do not shrink");
    // An acknowledgement, with a window that has become as much smaller.
    trace.server(8, 1, ACK, "220 m\r\n");
    let acknowledges = trace.craft(Leg::Outside, 1, 15, ACK, "");
    assert_eq!(ttl_of(&mut trace, acknowledges, 1001 - 7), 64);
    let fin = trace.craft(Leg::Outside, 1, 15, ACK | FIN, "");
    assert_eq!(ttl_of(&mut trace, fin.clone(), 994), 64);
    assert_eq!(ttl_of(&mut trace, fin, 994), 9, "a FIN again");
}

/// A packet comes back by the leg by which it came in, as it left, two hops older each time (the kernel
/// lowers the TTL in front of the guard and behind it): how many rounds it makes.
fn rounds(trace: &mut Trace, mut packet: Vec<u8>) -> usize {
    for round in 0..100 {
        packet[TTL] -= 2;
        let left = trace.send_raw(Leg::Outside, &sealed(packet));
        match left.into_iter().find(|packet| packet[16..20] == [198, 51, 100, 25]) {
            Some(next) if next[TTL] > 2 => packet = next,
            _ => return round,
        }
    }
    100
}

#[test]
fn a_packet_that_goes_in_circles_dies() {
    for (flags, text) in
        [(ACK, "NOOP\r\n"), (ACK, ""), (ACK | FIN, "QUIT\r\n"), (ACK | FIN, ""), (RST | ACK, "")]
    {
        for has_timestamps in [false, true] {
            let mut trace = if has_timestamps { stamped() } else { Trace::with_sack() };
            trace.client(1, 1, ACK, "NOOP\r\n");
            let packet = trace.client_raw(7, 1, flags, text);
            assert_eq!(packet[TTL], 64);
            let rounds = rounds(&mut trace, packet);
            assert!(rounds < 32, "{flags} {text:?}: {rounds}");
        }
    }
}

#[test]
fn a_congestion_mark_is_not_lost_with_a_packet_that_waits() {
    let mut trace = stamped();
    let send = |trace: &mut Trace, seq: u32, ecn: u8, payload: &str| {
        let mut packet = trace.craft(Leg::Outside, seq, 8, ACK, payload);
        packet[TOS] |= ecn;
        let left = trace.send_raw(Leg::Outside, &sealed(packet));
        left.iter().map(|packet| packet[TOS] & CE).collect::<Vec<_>>()
    };
    assert_eq!(send(&mut trace, 7, CE, "NOOP\r\n").last(), Some(&0), "minted: Not-ECT");
    let filled = send(&mut trace, 1, 0, "NOOP\r\n");
    assert_eq!(filled, [0, 0], "Not-ECT stays so, and so is the guard's acknowledgement");
    assert_eq!(send(&mut trace, 13, ECT, "NOOP\r\n"), [CE], "the next one bears the mark");
    assert_eq!(send(&mut trace, 19, ECT, "NOOP\r\n"), [ECT], "once");
}

#[test]
fn only_a_congestion_mark_on_octets_that_wait_is_carried_on() {
    let mut trace = stamped();
    let send = |trace: &mut Trace, seq: u32, ecn: u8, payload: &str| {
        let mut packet = trace.craft(Leg::Outside, seq, 8, ACK, payload);
        packet[TOS] |= ecn;
        let left = trace.send_raw(Leg::Outside, &sealed(packet));
        left[0][TOS] & CE
    };
    send(&mut trace, 7, ECT, "NOOP\r\n");
    assert_eq!(send(&mut trace, 1, ECT, "NOOP\r\n"), ECT, "what waited bore none");
    send(&mut trace, 13, CE, "");
    assert_eq!(send(&mut trace, 13, ECT, "NOOP\r\n"), ECT, "an acknowledgement has left");
}

/// An IPv6 packet of the client, with extension headers of which the first is of `kind`.
fn ipv6(flags: u8, seq: u32, kind: u8, extensions: &[u8], payload: &str) -> Vec<u8> {
    let minted = Minted {
        source: "[2001:db8::10]:40000".parse().unwrap(),
        destination: "[2001:db8::25]:25".parse().unwrap(),
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        seq,
        ack: 0,
        flags: flags & !SYN,
        window: 1000,
        timestamps: None,
        sack_blocks: &[],
    };
    let made = minted.headers();
    let mut packet = made.octets().to_vec();
    packet[53] |= flags & SYN;
    packet.extend_from_slice(payload.as_bytes());
    packet.splice(40..40, extensions.iter().copied());
    packet[6] = kind;
    let addresses = (minted.source.ip(), minted.destination.ip());
    seal(&mut packet, 40 + extensions.len(), addresses, false);
    packet
}

#[test]
fn extension_headers() {
    let syn = |kind: u8, extensions: &[u8]| ipv6(SYN, 7, kind, extensions, "");
    let refused = |kind: u8, extensions: &[u8], reason: DropReason| {
        let mut trace = Trace::new(&crate::policy::Personality::MAILGUARD);
        assert!(trace.send_raw(Leg::Outside, &syn(kind, extensions)).is_empty());
        assert_eq!(trace.engine.counters().drops(reason), 1, "{extensions:?}");
        assert_eq!(trace.engine.counters().flows, 0);
        assert_eq!(trace.send_raw(Leg::Outside, &syn(6, &[])).len(), 1);
    };
    let mut routing = [0; 24];
    (routing[0], routing[1], routing[2], routing[3]) = (6, 2, 4, 1);
    refused(43, &routing, DropReason::IpRoutingHeader);
    routing[2..4].fill(0);
    refused(43, &routing, DropReason::IpRoutingHeader);
    let mut authentication = [0; 16];
    (authentication[0], authentication[1]) = (6, 2);
    refused(51, &authentication, DropReason::IpAuthentication);
    // Options that hosts drop if they do not know them, a jumbogram, one that is cut.
    refused(0, &[6, 0, 0x80, 4, 0, 0, 0, 0], DropReason::IpOptions);
    refused(60, &[6, 0, 0x4f, 4, 0, 0, 0, 0], DropReason::IpOptions);
    refused(0, &[6, 0, 0xc2, 4, 0, 1, 0, 0], DropReason::IpOptions);
    refused(60, &[6, 0, 1, 9, 0, 0, 0, 0], DropReason::IpOptions);
    let chain: Vec<u8> =
        (0..9).flat_map(|n| [if n < 8 { 60 } else { 6 }, 0, 1, 4, 0, 0, 0, 0]).collect();
    refused(60, &chain, DropReason::IpOptions);
    // Padding, router alert and what may be skipped pass, and are relayed.
    for (kind, extension) in [
        (0, [6, 0, 5, 2, 0, 0, 1, 0]),
        (60, [6, 0, 0, 0, 0, 0, 0, 0]),
        (60, [6, 0, 1, 4, 0, 0, 0, 0]),
    ] {
        let mut trace = Trace::new(&crate::policy::Personality::MAILGUARD);
        let packet = syn(kind, &extension);
        assert_eq!(trace.send_raw(Leg::Outside, &packet), [packet]);
    }
}

#[test]
fn nothing_follows_a_payload_length_of_zero() {
    let mut packet = ipv6(SYN, 7, 6, &[], "");
    packet[4..6].fill(0);
    let mut trace = Trace::new(&crate::policy::Personality::MAILGUARD);
    assert!(trace.send_raw(Leg::Outside, &packet).is_empty());
    assert_eq!(trace.engine.counters().drops(DropReason::Malformed), 1);
}

#[test]
fn the_conversation_that_decoys_are_held_against_is_one() {
    let left = rest(&mut stamped()).concat();
    assert!(left.contains("HELO a") && left.contains("NOOP") && left.contains("221 bye"), "{left}");
    assert_eq!(left.matches(" F").count(), 2, "{left}");
}
