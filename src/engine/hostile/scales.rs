//! What is told and believed when windows are scaled, segments small, and blocks reported.

use super::super::traces::{Trace, sealed};
use super::super::*;
use super::segments::{insert_option, refuses};
use super::{greeted, later};
use crate::direction::Leg;
use crate::engine::Arrival;
use crate::policy::Personality;
use crate::wire::packet::flags::{ACK, FIN, PSH, RST, SYN};

/// A handshake in which each end adds an option of its own, and the greeting.
fn with_options(mut trace: Trace, client: [u8; 4], server: [u8; 4]) -> Trace {
    let ends = [(Leg::Outside, 0, SYN, client), (Leg::Inside, 1, SYN | ACK, server)];
    for (leg, ack, flags, option) in ends {
        let mut packet = trace.craft(leg, 0, ack, flags, "");
        insert_option(&mut packet, &option);
        assert_eq!(trace.send(leg, sealed(packet)).len(), 1);
    }
    trace.client(1, 1, ACK, "");
    trace.server(1, 1, ACK, "220 m\r\n");
    trace
}

/// The client's window is scaled by 4, the server's by 128.
fn scaled(timestamps: Option<(u32, u32)>) -> Trace {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.sack = timestamps.is_none();
    trace.timestamps = timestamps;
    with_options(trace, [3, 3, 2, 1], [3, 3, 7, 1])
}

/// A packet with a window of its own.
fn opens(trace: &Trace, leg: Leg, seq: u32, ack: u32, window: u16) -> Vec<u8> {
    let mut packet = trace.craft(leg, seq, ack, ACK, "");
    packet[34..36].copy_from_slice(&window.to_be_bytes());
    sealed(packet)
}

/// An acknowledgement of the server's with SACK blocks, as numbers of the client's.
fn reports(trace: &mut Trace, ack: u32, blocks: &[(u32, u32)]) -> Vec<String> {
    let mut packet = trace.craft(Leg::Inside, 8, ack, ACK, "");
    let base = u32::from_be_bytes(packet[28..32].try_into().unwrap()).wrapping_sub(ack);
    let mut option = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
    for &(left, right) in blocks {
        option.extend(base.wrapping_add(left).to_be_bytes());
        option.extend(base.wrapping_add(right).to_be_bytes());
    }
    insert_option(&mut packet, &option);
    trace.send(Leg::Inside, sealed(packet))
}

#[test]
fn a_scaled_window_that_grows_is_news() {
    let mut trace = scaled(None);
    let mut ttl = |window: u16| {
        let mut packet = opens(&trace, Leg::Outside, 1, 8, window);
        packet[8] = 9;
        trace.send_raw(Leg::Outside, &sealed(packet))[0][8]
    };
    assert_eq!([ttl(1000), ttl(1000), ttl(1001), ttl(1001)], [64, 9, 64, 9]);
}

#[test]
fn a_scaled_window_is_as_wide_as_it_says() {
    let mut trace = scaled(None);
    trace.client(128_001 - 6, 8, ACK, "NOOP\r\n");
    assert_eq!(trace.engine.counters().events(Event::Absorbed), 1);
    let beyond = trace.craft(Leg::Outside, 128_001, 8, ACK, "NOOP\r\n");
    refuses(&mut trace, Leg::Outside, beyond, DropReason::OutOfWindow);
    // Behind a change of length the field is that of the sender's numbers, scaled as well.
    let mut trace = scaled(None);
    trace.client(1, 8, ACK, "X\r\n");
    let packet = opens(&trace, Leg::Inside, 8, 7, 900);
    let left = trace.send_raw(Leg::Inside, &packet);
    // The edge stays where it was: 128,000 octets behind the first.
    assert_eq!(Headers::parse(&left[0]).unwrap().window, 999);
}

#[test]
fn a_repeat_may_lie_as_far_behind_as_the_window_was_wide() {
    let mut trace = scaled(None);
    let lines = "NOOP\r\n".repeat(100);
    trace.client(1, 8, ACK, "DATA\r\n");
    trace.server(8, 7, ACK, "354 go\r\n");
    for at in (7..120_000).step_by(600) {
        trace.client(at, 16, ACK, &lines);
        trace.server(16, at + 600, ACK, "");
    }
    assert_eq!(trace.client(1, 16, ACK, "DATA\r\n"), ["outside 16 120007 . \"\" sack 1-7"]);
}

#[test]
fn an_overtaken_acknowledgement_offers_no_wider_window() {
    let mut trace = scaled(Some((1000, 1000)));
    trace.client(1, 8, ACK, "");
    trace.timestamps = Some((900, 1000));
    let old = opens(&trace, Leg::Outside, 1, 8, 1001);
    refuses(&mut trace, Leg::Outside, old, DropReason::Paws);
    let old = opens(&trace, Leg::Outside, 1, 8, 1000);
    assert_eq!(trace.send(Leg::Outside, old).len(), 1);
}

#[test]
fn what_the_guard_has_told_with_a_scaled_window_is_no_news() {
    let mut trace = scaled(None);
    trace.client(9, 8, ACK, "NOOP\r\n");
    trace.client(15, 8, ACK, "NOOP\r\n");
    trace.client(1, 8, ACK, "HELO a\r\n");
    let packet = opens(&trace, Leg::Inside, 8, 12, 999);
    assert!(trace.send(Leg::Inside, packet).is_empty());
}

#[test]
fn segments_fit_both_ends() {
    let lines = "NOOP\r\n".repeat(150);
    for (client, server) in [(500_u16, 1400_u16), (1400, 500)] {
        let mss = |size: u16| [2, 4, size.to_be_bytes()[0], size.to_be_bytes()[1]];
        let trace = Trace::new(&Personality::MAILGUARD);
        let mut trace = with_options(trace, mss(client), mss(server));
        let left = trace.client(1, 8, ACK | PSH, &lines);
        assert_eq!(left.len(), 2);
        assert!(left[0].starts_with("inside 1 8 . "), "only the last is pushed");
        assert!(left[1].starts_with("inside 501 8 P. "));
    }
}

#[test]
fn what_was_reported_beyond_a_promise_draws_a_repeat_at_once() {
    let mut trace = scaled(None);
    let lines = "NOOP\r\n".repeat(100);
    for at in [601, 1201, 1801, 2401, 1] {
        trace.client(at, 8, ACK, &lines);
    }
    let left = reports(&mut trace, 1, &[(601, 3001)]);
    assert_eq!(trace.engine.counters().events(Event::Repaired), 1);
    let again: usize = left.iter().map(|line| line.matches('N').count()).sum();
    assert_eq!(again, 100, "the first 600 octets");
    reports(&mut trace, 1, &[(601, 3001)]);
    assert_eq!(trace.engine.counters().events(Event::Repaired), 1);
}

#[test]
fn an_alarm_that_is_late_repeats_all_the_same_and_another_is_not_early() {
    let mut trace = scaled(None);
    trace.client(7, 8, ACK, "NOOP\r\n");
    trace.client(1, 8, ACK, "RSET\r\n");
    trace.now = trace.engine.next_deadline().unwrap() + core::time::Duration::from_millis(5);
    assert!(trace.deadline()[0].starts_with("inside 1 8 "));
}

#[test]
fn a_report_of_a_repeat_passes_unless_it_may_be_about_the_guards_own() {
    let lines = "NOOP\r\n".repeat(6);
    let mut trace = scaled(None);
    trace.client(1, 8, ACK, &lines);
    assert_eq!(reports(&mut trace, 13, &[(1, 7)]), ["outside 8 13 . \"\" sack 1-7"]);
    // The guard has stood in for the receiver.
    let stood = || {
        let mut trace = scaled(None);
        trace.client(7, 8, ACK, "NOOP\r\n");
        trace.client(1, 8, ACK, "NOOP\r\n");
        trace.server(8, 13, ACK, "");
        trace.client(13, 8, ACK, &lines);
        trace
    };
    // Below the acknowledgement, or inside of the second block.
    let blocks: [(&[_], _); 6] = [
        (&[(1, 7)], ""),
        (&[(7, 13), (25, 31)], " sack 25-31"),
        (&[(25, 31), (19, 37)], " sack 19-37"),
        (&[(25, 31)], " sack 25-31"),
        (&[(19, 25), (31, 37)], " sack 19-25 sack 31-37"),
        (&[(31, 37), (19, 25)], " sack 31-37 sack 19-25"),
    ];
    for (blocks, told) in blocks {
        let left = reports(&mut stood(), 13, blocks);
        assert_eq!(left, [format!("outside 8 13 . \"\"{told}")]);
    }
}

#[test]
fn what_is_reported_is_told_in_the_senders_numbers() {
    let mut trace = scaled(None);
    trace.client(1, 8, ACK, "X\r\nNOOP\r\nNOOP\r\n");
    // The first line has grown by three octets.
    assert_eq!(reports(&mut trace, 1, &[(7, 13)]), ["outside 8 1 . \"\" sack 4-10"]);
}

#[test]
fn who_resets_an_ended_connection_is_not_answered() {
    let mut trace = greeted(&Personality::MAILGUARD);
    later(&mut trace, 100_000);
    assert!(trace.client(1, 8, RST | ACK, "").is_empty());
    assert!(trace.client(1, 8, RST, "").is_empty());
}

#[test]
fn a_repeat_of_what_was_judged_forces_no_verdict() {
    let mut trace = greeted(&Personality::PIX40);
    trace.client(1, 8, ACK, "EHLO me\r\n");
    assert_eq!(trace.server(8, 10, ACK, "250 2.0.0 Ok"), ["outside 8 10 . \"250 OK\""]);
    // It ends where the octets begin that wait for their line end.
    assert_eq!(trace.server(8, 10, ACK, "250 2."), ["outside 8 10 . \"250 OK\""]);
}

/// What leaves for `packet` from a guard whose device takes super-segments: length, segment size,
/// and whether the segments are marked for congestion.
fn offloaded(trace: &mut Trace, leg: Leg, packet: &[u8]) -> Vec<(usize, Option<u16>, bool)> {
    trace.engine.config.offload = true;
    let (mut packet, mut outbox) = (packet.to_vec(), Outbox::default());
    trace.engine.handle_packet(
        trace.now,
        Arrival::new(leg, Offload::default()),
        &mut packet,
        &mut outbox,
    );
    trace.engine.config.offload = false;
    let left = outbox.departures(&packet).filter(|left| left.leg == Leg::Inside);
    left.map(|left| (left.packet.len(), left.offload.gso_size, left.offload.ecn)).collect()
}

#[test]
fn a_super_segment_is_as_long_as_a_packet_can_be() {
    // What waits behind a hole leaves with what fills it, and what waits for a code is minted.
    let mail = "x".repeat(10_000);
    for fills in [true, false] {
        let mut trace = scaled(Some((1000, 1000)));
        trace.client(1, 8, ACK, "DATA\r\n");
        if fills {
            trace.server(8, 7, ACK, "354 go\r\n");
        }
        let ack = if fills { 16 } else { 8 };
        for index in 1..8 {
            trace.client(7 + 10_000 * index, ack, ACK, &mail);
        }
        let first = trace.craft(Leg::Outside, 7, ack, ACK, &mail);
        let left = if fills {
            offloaded(&mut trace, Leg::Outside, &first)
        } else {
            trace.send(Leg::Outside, first);
            let code = trace.craft(Leg::Inside, 8, 7, ACK, "354 go\r\n");
            offloaded(&mut trace, Leg::Inside, &code)
        };
        let sizes: Vec<_> = left.iter().map(|(len, ..)| *len).collect();
        assert_eq!(sizes.iter().map(|len| len - 52).sum::<usize>(), 80_000, "{sizes:?}");
        assert!(sizes.len() == 2 && sizes[0] > 65_000 && sizes[0] <= 65_535, "{sizes:?}");
        assert!(left.iter().all(|&(_, size, ecn)| size == Some(524) && !ecn), "{left:?}");
    }
}

#[test]
fn while_the_guard_answers_the_echo_is_of_what_it_has() {
    let mut trace = scaled(Some((1000, 1000)));
    trace.timestamps = Some((1500, 1000));
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.timestamps = Some((1600, 1000));
    trace.client(15, 8, ACK, "NOOP\r\n");
    // The server has not got that line yet when it answers.
    trace.timestamps = Some((2000, 1000));
    let packet = trace.craft(Leg::Inside, 8, 1, ACK, "250 hi\r\n");
    let left = trace.send_raw(Leg::Inside, &packet);
    let headers = Headers::parse(&left[0]).unwrap();
    assert_eq!(headers.options.timestamps, Some((2000, 1500)));
}

#[test]
fn a_probe_carries_the_oldest_octet_whatever_draws_it() {
    let mut trace = greeted(&Personality::MAILGUARD);
    // 900 octets become 1,800, of which the window took 1,000.
    trace.client(1, 8, ACK, &"X\r\n".repeat(300));
    let packet = opens(&trace, Leg::Inside, 8, 1001, 0);
    trace.send(Leg::Inside, packet);
    assert_eq!(trace.client(901, 8, ACK, "N"), ["inside 1001 8 . \"\\r\""]);
}

#[test]
fn an_acknowledgement_inside_of_an_edit_carries_no_octets() {
    let mut trace = greeted(&Personality::PIX40);
    trace.client(1, 8, ACK, "EHLO me\r\n");
    let left = trace.server(8, 10, ACK, "250 2.0.0 Ok\r\n");
    assert_eq!(left, ["outside 8 10 . \"250 OK\\r\\n\""]);
    // The last eight octets have become a line end.
    assert_eq!(trace.server(16, 10, ACK, ""), ["outside 14 10 . \"\""]);
}

#[test]
fn a_fin_takes_with_it_what_was_held() {
    let mut trace = greeted(&Personality::PIX40);
    trace.client(1, 8, ACK, "EHLO me\r\n");
    assert_eq!(trace.server(8, 10, ACK, "250 2.0.0 Ok"), ["outside 8 10 . \"250 OK\""]);
    let left = trace.server(20, 10, ACK | FIN, "");
    assert_eq!(left, ["outside 14 10 F. \"      \""]);
}
