//! Segments that the receiver refuses: each is dropped under its name, and what comes after it is
//! as if it had not been.

use super::super::traces::{Trace, sealed};
use super::super::*;
use super::greeted;
use crate::direction::Leg;
use crate::policy::{PartialLines, Personality};
use crate::wire::packet::flags::{ACK, FIN, PSH, RST, SYN};

/// Where the flags of a packet without IP options are.
const FLAGS: usize = 33;

/// A greeted session with timestamps and SACK, at tick 1,000.
pub(super) fn stamped() -> Trace {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.sack = true;
    trace.timestamps = Some((1000, 1000));
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace
}

/// The rest of a session, with edits and both closes: all that leaves.
pub(super) fn rest(trace: &mut Trace) -> Vec<String> {
    [
        trace.client(1, 8, ACK, "HELO a\r\n"),
        trace.server(8, 9, ACK, "250 hi\r\n"),
        trace.client(9, 16, ACK, "X\r\n"),
        trace.server(16, 15, ACK, "250 ok\r\n"),
        trace.client(12, 34, ACK | FIN, "QUIT\r\n"),
        trace.server(24, 22, ACK | FIN, "221 bye\r\n"),
        trace.client(19, 62, ACK, ""),
    ]
    .concat()
}

/// What is left of a session after `decoy` is what is left of it without.
#[track_caller]
pub(super) fn refuses(trace: &mut Trace, leg: Leg, decoy: Vec<u8>, reason: DropReason) {
    let (drops, all) =
        (trace.engine.counters().drops(reason), trace.engine.counters().drops_total());
    let left = trace.send(leg, decoy);
    assert!(left.is_empty(), "{}: {left:?}", reason.label());
    let counters = trace.engine.counters();
    assert_eq!(counters.drops(reason), drops + 1, "{}:\n{counters}", reason.label());
    assert_eq!(counters.drops_total(), all + 1);
}

#[track_caller]
pub(super) fn is_a_decoy(reason: DropReason, leg: Leg, craft: impl Fn(&Trace) -> Vec<u8>) {
    let mut trace = stamped();
    let decoy = craft(&trace);
    refuses(&mut trace, leg, decoy, reason);
    assert_eq!(rest(&mut trace), rest(&mut stamped()), "after {}", reason.label());
}

/// A command that the client never gave, with `edit` done to its packet.
fn evil(edit: impl Fn(&mut Vec<u8>)) -> impl Fn(&Trace) -> Vec<u8> {
    move |trace| {
        let mut packet = trace.craft(Leg::Outside, 1, 8, ACK, "EXPN x\r\n");
        edit(&mut packet);
        sealed(packet)
    }
}

/// Puts `option` in the place of the timestamps' padding and makes room for it.
pub(super) fn insert_option(packet: &mut Vec<u8>, option: &[u8]) {
    assert_eq!(option.len() % 4, 0);
    packet.splice(40..40, option.iter().copied());
    packet[32] += (option.len() as u8 / 4) << 4;
}

fn with_option(trace: &Trace, flags: u8, option: &[u8]) -> Vec<u8> {
    let mut packet = trace.craft(Leg::Outside, 1, 8, flags, "EXPN x\r\n");
    insert_option(&mut packet, option);
    sealed(packet)
}

#[test]
fn a_wrong_sum_and_flags_that_nobody_sends() {
    is_a_decoy(DropReason::BadChecksum, Leg::Outside, |trace| {
        let mut packet = trace.craft(Leg::Outside, 1, 8, ACK, "EXPN x\r\n");
        packet[36] ^= 1;
        packet
    });
    for flags in [0, PSH, FIN, FIN | PSH, SYN | FIN, SYN | RST, SYN | FIN | RST | ACK, 0xff] {
        is_a_decoy(DropReason::BadFlags, Leg::Outside, evil(|packet| packet[FLAGS] = flags));
    }
}

#[test]
fn an_old_timestamp_is_refused_and_nothing_that_a_receiver_takes() {
    let at = |trace: &Trace, value: u32, seq: u32, payload: &str| {
        let mut packet = trace.craft(Leg::Outside, seq, 8, ACK, payload);
        packet[44..48].copy_from_slice(&value.to_be_bytes());
        sealed(packet)
    };
    is_a_decoy(DropReason::Paws, Leg::Outside, |trace| at(trace, 998, 1, "EXPN x\r\n"));
    is_a_decoy(DropReason::Paws, Leg::Outside, |trace| {
        at(trace, (1 << 31) + 2000, 1, "EXPN x\r\n")
    });
    // Linux forgives one tick, and an acknowledgement that was overtaken.
    let mut trace = stamped();
    trace.client(1, 8, ACK, "");
    assert_eq!(trace.send(Leg::Outside, at(&trace, 900, 1, "")), ["inside 1 8 . \"\""]);
    let packet = at(&trace, 799, 1, "");
    refuses(&mut trace, Leg::Outside, packet, DropReason::Paws);
    assert_eq!(trace.send(Leg::Outside, at(&trace, 999, 1, "HELO a\r\n")).len(), 1);
    // What was sent before and comes late: TS.Recent moves with what was acknowledged only.
    assert_eq!(trace.send(Leg::Outside, at(&trace, 2000, 15, "NOOP\r\n")).len(), 1);
    assert_eq!(trace.send(Leg::Outside, at(&trace, 1500, 9, "NOOP\r\n")).len(), 2);
    // A reset is exempt.
    trace.server(8, 21, ACK, "");
    trace.timestamps = Some((1, 1));
    assert_eq!(trace.client(21, 8, RST | ACK, "").len(), 1);
}

#[test]
fn timestamps_say_nothing_after_24_days() {
    let mut trace = stamped();
    trace.timestamps = Some((900, 1000));
    trace.now = trace.now + core::time::Duration::from_secs(24 * 24 * 3600);
    assert_eq!(trace.client(1, 8, ACK, "HELO a\r\n").len(), 1);
}

#[test]
fn a_repeat_does_not_make_what_follows_old() {
    let mut trace = stamped();
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.timestamps = Some((3000, 1000));
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.timestamps = Some((2000, 1000));
    assert_eq!(trace.client(9, 8, ACK, "NOOP\r\n"), ["inside 9 8 . \"NOOP\\r\\n\""]);
}

#[test]
fn a_keep_alive_leaves_with_timestamps_that_are_known_and_no_flags_of_its_own() {
    let mut trace = stamped();
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.server(8, 9, ACK, "");
    assert_eq!(relayed_stamps(&mut trace, 8, 8, (2000, 1500)), (1000, 1000));
    assert_eq!(trace.client(8, 8, ACK | PSH, ""), ["inside 8 8 . \"\""]);
}

#[test]
fn a_keep_alive_echoes_what_the_guard_has_answered_for() {
    let mut trace = stamped();
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.server(8, 9, ACK, "");
    trace.timestamps = Some((1500, 1000));
    trace.server(8, 9, ACK, "250 a\r\n");
    trace.server(20, 9, ACK, "250 b\r\n");
    assert_eq!(relayed_stamps(&mut trace, 8, 8, (1000, 1000)), (1000, 1500));
}

/// The timestamps of what leaves when the client acknowledges `ack` at `seq`, with `timestamps`.
fn relayed_stamps(trace: &mut Trace, seq: u32, ack: u32, timestamps: (u32, u32)) -> (u32, u32) {
    trace.timestamps = Some(timestamps);
    let packet = trace.craft(Leg::Outside, seq, ack, ACK, "");
    let left = trace.send_raw(Leg::Outside, &packet);
    Headers::parse(&left[0]).unwrap().options.timestamps.unwrap()
}

#[test]
fn what_follows_a_fin_is_ahead_of_no_hole() {
    let mut trace = stamped();
    trace.client(1, 8, ACK | FIN, "QUIT\r\n");
    assert_eq!(relayed_stamps(&mut trace, 8, 8, (2000, 1500)), (2000, 1500));
}

#[test]
fn what_is_echoed_ahead_of_a_hole_counts() {
    let mut trace = stamped();
    // Octets from 1 to 7 are missing.
    assert_eq!(relayed_stamps(&mut trace, 7, 8, (2000, 1500)), (1000, 1500));
    // The server repeats what is acknowledged, and the guard answers.
    trace.timestamps = Some((1600, 1000));
    let packet = trace.craft(Leg::Inside, 1, 1, ACK, "220 m\r\n");
    let left = trace.send_raw(Leg::Inside, &packet);
    let stamps = Headers::parse(left.last().unwrap()).unwrap().options.timestamps;
    assert_eq!(stamps, Some((1000, 1500)));
}

#[test]
fn what_waits_behind_a_hole_does_not_make_what_fills_it_old() {
    let mut trace = stamped();
    trace.timestamps = Some((3000, 1000));
    let packet = trace.craft(Leg::Outside, 9, 8, ACK, "NOOP\r\n");
    let left = trace.send_raw(Leg::Outside, &packet);
    assert!(!left.is_empty());
    for packet in left {
        let headers = Headers::parse(&packet).unwrap();
        assert_eq!(headers.options.timestamps.unwrap().0, 1000);
    }
    trace.timestamps = Some((2000, 1000));
    let packet = trace.craft(Leg::Outside, 1, 8, ACK, "HELO a\r\n");
    let left = trace.send_raw(Leg::Outside, &packet);
    let headers = Headers::parse(&left[0]).unwrap();
    assert_eq!((headers.payload_len(), headers.options.timestamps.unwrap().0), (14, 2000));
}

#[test]
fn a_segment_without_the_timestamps_that_were_agreed_on() {
    is_a_decoy(DropReason::TimestampMissing, Leg::Outside, evil(|packet| packet[40..52].fill(1)));
    let mut trace = stamped();
    trace.timestamps = None;
    assert_eq!(trace.client(1, 8, RST | ACK, "").len(), 1, "a reset needs none");
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_or_is_long_over() {
    let acks = |ack| move |trace: &Trace| trace.craft(Leg::Outside, 1, ack, ACK, "EXPN x\r\n");
    is_a_decoy(DropReason::BadAck, Leg::Outside, acks(9));
    is_a_decoy(DropReason::BadAck, Leg::Outside, acks(0));
    is_a_decoy(DropReason::BadAck, Leg::Outside, acks(1 << 31));
    let mut trace = Trace::open(&Personality::MAILGUARD);
    let mut at = 1;
    for _ in 0..100 {
        trace.server(at, 1, ACK, &"220-x\r\n".repeat(100));
        at += 700;
        assert_eq!(trace.client(1, at, ACK, "").len(), 1);
    }
    // 66,000 octets may lie between, for old segments come late.
    let old = trace.craft(Leg::Outside, 1, at - 66_001, ACK, "EXPN x\r\n");
    refuses(&mut trace, Leg::Outside, old, DropReason::BadAck);
    let left = trace.client(1, at - 66_000, ACK, "HELO a\r\n");
    assert!(left[0].contains("HELO a"), "{left:?}");
}

#[test]
fn numbers_outside_of_the_window() {
    let from = |seq: u32, len: usize| {
        move |trace: &Trace| trace.craft(Leg::Outside, seq, 8, ACK, &"EXPN\r\n".repeat(len))
    };
    for seq in [1001, 1002, 5000, 1 << 31, 0u32.wrapping_sub(1), 0u32.wrapping_sub(5000)] {
        is_a_decoy(DropReason::OutOfWindow, Leg::Outside, from(seq, 1));
    }
    for seq in [1003, 1 << 30, 0u32.wrapping_sub(1), 0u32.wrapping_sub(1 << 30)] {
        is_a_decoy(DropReason::OutOfWindow, Leg::Outside, from(seq, 0));
    }
    let mut trace = super::in_mail_data();
    let mut at = 7;
    for _ in 0..100 {
        trace.client(at, 16, ACK, &"x".repeat(700));
        at += 700;
        trace.server(16, at, ACK, "");
    }
    let old = trace.craft(Leg::Outside, at - 66_011, 16, ACK, "old octets");
    refuses(&mut trace, Leg::Outside, old, DropReason::OutOfWindow);
    let left = trace.client(at - 66_010, 16, ACK, "old octets");
    assert_eq!(left, [format!("outside 16 {at} . \"\"")], "a repeat is answered");
}

#[test]
fn what_lies_beyond_the_window_is_cut_before_it_is_taken() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.sack = true;
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "DATA\r\n");
    trace.server(8, 7, ACK, "354 go\r\n");
    // The window ends at 1007: what lies beyond is not vouched for.
    let left = trace.client(997, 16, ACK | FIN, "0123456789abcdef");
    assert_eq!(left.last().unwrap(), "outside 16 7 . \"\" sack 997-1007");
    assert_eq!(trace.engine.counters().events(Event::WindowTrimmed), 1);
    let left = trace.client(7, 16, ACK, &"x".repeat(990)).concat();
    assert!(left.contains("0123456789") && !left.contains('a'), "{left}");
    // A probe of the closed window brings one octet.
    let mut closed = trace.craft(Leg::Inside, 16, 1007, ACK, "");
    closed[34..36].fill(0);
    assert!(trace.send(Leg::Inside, sealed(closed)).is_empty(), "the client was told");
    assert_eq!(trace.client(1007, 16, ACK, "abcdef"), ["inside 1007 16 . \"a\""]);
    let beyond = trace.craft(Leg::Outside, 1008, 16, ACK, "bcdef");
    refuses(&mut trace, Leg::Outside, beyond, DropReason::OutOfWindow);
    trace.server(16, 1008, ACK, "");
    assert_eq!(trace.client(1008, 16, ACK, "bcdef"), ["inside 1008 16 . \"bcdef\""]);
}

#[test]
fn signed_segments_and_malformed_lists() {
    let mut md5 = [7; 20];
    md5[..4].copy_from_slice(&[1, 1, 19, 18]);
    for flags in [ACK, ACK | FIN, RST, RST | ACK, SYN] {
        is_a_decoy(DropReason::Md5, Leg::Outside, |trace| with_option(trace, flags, &md5));
        is_a_decoy(DropReason::Md5, Leg::Outside, |trace| {
            with_option(trace, flags, &[29, 4, 0, 0])
        });
    }
    let lists: [&[u8]; 5] = [
        &[8, 0, 1, 1],
        &[1, 1, 1, 9],
        &[77, 40, 1, 1],
        &[5, 3, 1, 1],
        &[8, 10, 0, 0, 7, 0xcf, 0, 0, 7, 0xcf, 1, 1],
    ];
    for list in lists {
        is_a_decoy(DropReason::BadOptions, Leg::Outside, |trace| with_option(trace, ACK, list));
    }
}

#[test]
fn options_that_were_not_agreed_on_become_nop() {
    let mut trace = stamped();
    // Window scale, SACK-permitted, the user time-out and an experiment.
    let foreign = [3, 3, 14, 1, 4, 2, 28, 4, 0, 1, 254, 2];
    let packet = {
        let mut packet = trace.craft(Leg::Outside, 1, 8, ACK, "HELO a\r\n");
        insert_option(&mut packet, &foreign);
        sealed(packet)
    };
    let left = trace.send_raw(Leg::Outside, &packet);
    assert_eq!(left[0][40..52], [1; 12]);
    let headers = Headers::parse(&left[0]).unwrap();
    assert_eq!(headers.options.timestamps, Some((1000, 1000)));
    assert_eq!(headers.payload(&left[0]), b"HELO a\r\n");
    assert_eq!(trace.engine.counters().events(Event::OptionCleared), 1);
    // Neither timestamps nor SACK were agreed on here.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.timestamps = Some((1, 2));
    let packet = trace.craft(Leg::Outside, 1, 8, ACK, "HELO a\r\n");
    let left = trace.send_raw(Leg::Outside, &packet);
    assert_eq!(left[0][40..52], [1; 12]);
}

#[test]
fn a_fin_that_contradicts_and_octets_behind_it() {
    // A FIN before octets that have come.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "HELO a\r\n");
    let decoy = trace.craft(Leg::Outside, 5, 8, ACK | FIN, "");
    refuses(&mut trace, Leg::Outside, decoy, DropReason::BadFin);
    assert_eq!(trace.client(9, 8, ACK | FIN, ""), ["inside 9 8 F. \"\""]);
    // Another FIN, and octets behind it.
    for seq in [5, 10, 20] {
        let decoy = trace.craft(Leg::Outside, seq, 8, ACK | FIN, "");
        refuses(&mut trace, Leg::Outside, decoy, DropReason::BadFin);
    }
    for seq in [8, 9, 10] {
        let decoy = trace.craft(Leg::Outside, seq, 8, ACK, "EXPN x\r\n");
        refuses(&mut trace, Leg::Outside, decoy, DropReason::AfterFin);
    }
    assert_eq!(trace.client(9, 8, ACK | FIN, ""), ["inside 9 8 F. \"\""], "a repeat");
    assert_eq!(trace.server(8, 10, ACK, "250 hi\r\n"), ["outside 8 10 . \"250 hi\\r\\n\""]);
}

#[test]
fn a_fin_may_come_with_octets_that_wait_already() {
    let mut trace = stamped();
    trace.client(7, 8, ACK, "QUIT\r\n");
    trace.client(7, 8, ACK | FIN, "QUIT\r\n");
    let left = trace.client(1, 8, ACK, "NOOP\r\n").concat();
    assert!(left.contains("F") && left.contains("QUIT"), "{left}");
    assert_eq!(trace.engine.counters().events(Event::Inconsistent), 0);
}

#[test]
fn half_a_line_is_forgotten_where_it_is_to_be() {
    let partial_lines = PartialLines::Discard;
    let mut trace = Trace::open(&Personality { partial_lines, ..Personality::MAILGUARD });
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "NO");
    assert!(!trace.client(3, 8, ACK, "OP\r\n").concat().contains("NOOP"));
    assert!(trace.client(1, 8, ACK, "NOOP\r\n").concat().contains("NOOP"));
}

#[test]
fn a_fin_ahead_of_a_hole_is_a_rumour() {
    // Its sender goes on behind it: there was none.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(5, 8, ACK | FIN, "");
    assert_eq!(trace.client(1, 8, ACK, "EXPN x\r\n").concat().matches("NOOP").count(), 1);
    assert_eq!(trace.client(9, 8, ACK, "HELO a\r\n"), ["inside 9 8 . \"HELO a\\r\\n\""]);
    assert_eq!(trace.engine.counters().events(Event::Inconsistent), 1);
    // Nothing comes behind it: it ends the stream, and then what comes is refused.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(9, 8, ACK | FIN, "");
    let decoy = trace.craft(Leg::Outside, 12, 8, ACK | FIN, "");
    refuses(&mut trace, Leg::Outside, decoy, DropReason::BadFin);
    assert_eq!(trace.client(1, 8, ACK, "HELO a\r\n"), ["inside 1 8 F. \"HELO a\\r\\n\""]);
    let decoy = trace.craft(Leg::Outside, 9, 8, ACK, "EXPN x\r\n");
    refuses(&mut trace, Leg::Outside, decoy, DropReason::AfterFin);
    // One in order comes before it: a receiver believes that at once.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(500, 8, ACK | FIN, "");
    assert_eq!(trace.client(1, 8, ACK | FIN, "QUIT\r\n"), ["inside 1 8 F. \"QUIT\\r\\n\""]);
    assert_eq!(trace.server(8, 8, ACK | FIN, ""), ["outside 8 8 F. \"\""]);
}

#[test]
fn resets_that_nobody_believes() {
    for seq in [5000, 1003, 0u32.wrapping_sub(1), 1 << 31] {
        is_a_decoy(DropReason::OutOfWindow, Leg::Outside, |trace| {
            trace.craft(Leg::Outside, seq, 8, RST | ACK, "EXPN x\r\n")
        });
    }
    is_a_decoy(DropReason::BadChecksum, Leg::Outside, |trace| {
        let mut packet = trace.craft(Leg::Outside, 1, 8, RST, "");
        packet[36] ^= 1;
        packet
    });
    // In the window, not exact: it passes as far off as it came, to be challenged.
    let mut trace = stamped();
    assert_eq!(trace.client(500, 8, RST | ACK, ""), ["inside 500 8 R. \"\""]);
    assert_eq!(rest(&mut trace), rest(&mut stamped()));
}

#[test]
fn a_reset_passes_exactly_and_without_payload_from_each_side() {
    let edited = || {
        let mut trace = greeted(&Personality::MAILGUARD);
        trace.client(1, 8, ACK, "X\r\n");
        trace.server(8, 7, ACK, "250 ok\r\n");
        trace
    };
    // 4 there is 7 here, and 34 there is 16 here.
    let mut trace = edited();
    assert_eq!(trace.client(4, 34, RST | ACK, "bye"), ["inside 7 16 R. \"\""]);
    assert_eq!(trace.server(16, 7, RST, "bye"), ["outside 34 21 R \"\""]);
    later_forgotten(trace);
    let mut trace = edited();
    assert_eq!(trace.server(16, 7, RST | ACK, ""), ["outside 34 4 R. \"\""]);
    later_forgotten(trace);
}

fn later_forgotten(mut trace: Trace) {
    super::later(&mut trace, 16);
    assert_eq!(trace.engine.counters().flows, 0);
}
