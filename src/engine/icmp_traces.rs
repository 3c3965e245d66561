//! Traces of ICMP errors: I19, RFC 5927; and of the segment size in a SYN.

use super::fragment_traces::{Guard, cut, finish, segment};
use super::traces::Trace;
use super::*;
use crate::direction::Leg;
use crate::engine::Arrival;
use crate::policy::Personality;
use crate::wire::checksum;
use crate::wire::packet::flags::ACK;
use crate::wire::packet::seal;

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
fn the_checksum_in_the_quote_stays_as_right_as_it_was() {
    for ipv6 in [false, true] {
        let (mut it, left) = shifted(ipv6);
        let (header, kind) = if ipv6 { (40, (2, 0)) } else { (20, (3, 4)) };
        let mut told = |quoted: &[u8], len: usize| {
            it.give(Leg::Inside, error(kind, 1300, quoted, len)).pop().unwrap()[header + 8..]
                .to_vec()
        };
        let is_right = |quoted: &[u8]| {
            Headers::parse(quoted).unwrap().checksum_is_right(quoted, Offload::default())
        };
        let whole = told(&left, left.len());
        assert!(is_right(&left) && is_right(&whole));
        assert_ne!(whole[header + 16..header + 18], left[header + 16..header + 18]);
        // Cut behind the checksum it says the same, and what is left of one that was cut stays.
        assert_eq!(told(&left, header + 18), whole[..header + 18]);
        assert_eq!(told(&left, header + 17)[header + 12..], left[header + 12..header + 17]);
        // What was changed on its way is still wrong, and right again once that is undone.
        let mut changed = left.clone();
        changed[header + 15] ^= 4;
        let mut quoted = told(&changed, changed.len());
        assert!(!is_right(&quoted));
        quoted[header + 15] ^= 4;
        assert_eq!(quoted, whole);
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

/// A connection with large segments on both sides, and what left for a DATA and 300 lines behind it,
/// which wait for the reply.
fn waiting(ipv6: bool) -> (Guard, Vec<u8>) {
    let mut it = Guard::new(ipv6);
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
    let text = format!("DATA\r\n{}", "EXPN\r\n".repeat(300));
    let left = it.say(true, 100, 507, ACK, &text).pop().unwrap();
    (it, left)
}

/// The reply lets the lines go that waited: the longest packet that the guard makes of them.
fn longest_of_its_own(it: &mut Guard, ipv6: bool) -> usize {
    let left = it.say(false, 507, 106, ACK, "503 no\r\n");
    let own = left[1..].iter().map(Vec::len);
    let headers = if ipv6 { 60 } else { 40 };
    assert_eq!(own.clone().map(|len| len - headers).sum::<usize>(), 1800);
    own.max().unwrap()
}

#[test]
fn what_the_guard_sends_itself_fits_the_path() {
    for (ipv6, mtu, fits) in [(false, 300, 552), (false, 570, 570), (true, 100, 1280)] {
        let (mut it, left) = waiting(ipv6);
        it.give(Leg::Inside, error(if ipv6 { (2, 0) } else { (3, 4) }, mtu, &left, 99));
        assert_eq!(longest_of_its_own(&mut it, ipv6), fits);
    }
}

#[test]
fn a_path_is_narrow_for_ten_minutes_after_the_last_error() {
    const MINUTE: u64 = 60_000;
    let all = |ipv6| 0x530 + if ipv6 { 60 } else { 40 };
    for (ipv6, kind, mtu) in [(false, (3, 4), 570), (true, (2, 0), 1290)] {
        // Errors, each in its minute; when the lines leave; what fits then.
        for (errors, millis, fits) in [
            (&[(0, mtu)][..], 10 * MINUTE - 1, mtu as usize),
            (&[(0, mtu)], 10 * MINUTE, all(ipv6)),
            (&[(0, mtu), (6, mtu)], 15 * MINUTE, mtu as usize),
            (&[(0, mtu), (6, mtu)], 16 * MINUTE, all(ipv6)),
            (&[(0, mtu), (6, mtu + 20)], 9 * MINUTE, mtu as usize),
            (&[(0, mtu), (6, mtu + 20)], 10 * MINUTE, all(ipv6)),
            (&[(0, mtu), (11, mtu + 20)], 12 * MINUTE, mtu as usize + 20),
        ] {
            let (mut it, left) = waiting(ipv6);
            for &(minute, mtu) in errors {
                it.now = Instant::from_millis(minute * MINUTE);
                it.give(Leg::Inside, error(kind, mtu, &left, 99));
            }
            it.now = Instant::from_millis(millis);
            assert_eq!(longest_of_its_own(&mut it, ipv6), fits, "{errors:?} {millis}");
        }
    }
}

#[test]
fn an_unanswered_syn_ack_may_be_refused_by_a_router() {
    let mut it = Guard::new(false);
    it.engine = Engine::new(it.engine.config.clone());
    it.say(true, 99, 0, flags::SYN, "");
    let left = it.say(false, 499, 100, flags::SYN | ACK, "").pop().unwrap();
    let packet = error((3, 1), 0, &left, 28);
    assert_eq!(it.give(Leg::Outside, packet.clone()).concat(), packet);
    it.say(true, 100, 500, ACK, "");
    assert!(it.give(Leg::Outside, packet).is_empty(), "it was answered");
}

#[test]
fn an_acknowledged_fin_counts_in_a_quote() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK | flags::FIN, "220 m\r\n");
    let left = trace.client_raw(1, 9, ACK, "QUIT\r\n");
    let packet = error((3, 1), 0, &left, 99);
    assert_eq!(trace.send_raw(Leg::Inside, &packet), [packet]);
}

#[test]
fn what_the_guard_sends_itself_fits_the_path_with_its_options() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.timestamps = Some((1000, 1000));
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(7, 8, ACK, &"NOOP\r\n".repeat(150));
    let left = trace.client_raw(1, 8, ACK, "QUIT\r\n");
    let left = trace.send_raw(Leg::Inside, &error((3, 4), 552, &left, 28));
    let sizes: Vec<_> = left.iter().map(Vec::len).collect();
    assert_eq!(sizes.iter().max(), Some(&552), "{sizes:?}");
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
        Arrival::new(Leg::Inside, Offload::default()),
        &mut packet,
        &mut outbox,
    );
    let left: Vec<_> = outbox.departures(&packet).map(|d| (d.leg, d.packet.len())).collect();
    assert_eq!(left[0], (Leg::Inside, 40 + 6 + text.len()), "{left:?}");
    assert_eq!(left[1].0, Leg::Outside);
}

#[test]
fn an_error_draws_no_more_than_the_segment_that_it_can_be_about() {
    let mut trace = Trace::with_sack();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(7, 8, ACK, &"NOOP\r\n".repeat(160));
    let mut quoted = trace.client_raw(1, 8, ACK, "QUIT\r\n");
    quoted[2..4].fill(0xff);
    let packet = error((3, 4), 1500, &quoted, 28);
    let left = trace.send_raw(Leg::Inside, &packet);
    let octets: usize = left[..left.len() - 1].iter().map(|packet| packet.len() - 40).sum();
    assert!((1..=536).contains(&octets), "{octets} octets, of 966 that were promised");
}
