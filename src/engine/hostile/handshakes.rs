//! How a connection may not begin.

use super::super::traces::{Trace, sealed};
use super::super::*;
use super::greeted;
use super::segments::{insert_option, refuses, rest, stamped};
use crate::direction::Leg;
use crate::policy::Personality;
use crate::wire::packet::flags::{ACK, FIN, RST, SYN};

/// The SYN has passed.
fn asked() -> Trace {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.client(0, 0, SYN, "");
    trace
}

/// The SYN/ACK has passed.
fn answered() -> Trace {
    let mut trace = asked();
    trace.server(0, 1, SYN | ACK, "");
    trace
}

/// After `decoy` the handshake goes on as if it had not been, from the SYN/ACK or behind it.
#[track_caller]
fn is_a_decoy(reason: DropReason, mut trace: Trace, leg: Leg, decoy: Vec<u8>) {
    refuses(&mut trace, leg, decoy, reason);
    assert_eq!(trace.server(0, 1, SYN | ACK, ""), ["outside 0 1 S. \"\""]);
    assert_eq!(trace.client(1, 1, ACK, ""), ["inside 1 1 . \"\""]);
    trace.server(1, 1, ACK, "220 m\r\n");
    let mut plain = Trace::open(&Personality::MAILGUARD);
    plain.server(1, 1, ACK, "220 m\r\n");
    assert_eq!(rest(&mut trace), rest(&mut plain));
}

/// A reset that the guard believes and the server does not, then a SYN for another connection with the
/// same ports: the old one lives, and goes on to be inspected.
#[test]
fn a_reset_and_a_syn_do_not_end_what_the_server_holds() {
    let mut trace = stamped();
    let built = trace.engine.counters().events(Event::FlowBuilt);
    assert_eq!(trace.client(1, 8, RST | ACK, "").len(), 1);
    assert_eq!(trace.client(0x2000_0000, 0, SYN, "").len(), 1);
    let beyond = trace.client(0x2000_0001, 8, ACK, "EXPN x\r\n");
    assert!(beyond.is_empty(), "no data for a connection that was never answered: {beyond:?}");
    assert_eq!(trace.engine.counters().events(Event::FlowBuilt), built);
    assert_eq!(rest(&mut trace), rest(&mut stamped()));
}

#[test]
fn after_a_reset_the_ports_serve_again_or_are_refused() {
    let mut trace = stamped();
    trace.client(1, 8, RST | ACK, "");
    trace.client(70_000, 0, SYN, "");
    let refused = trace.server(0, 70_001, RST | ACK, "");
    assert_eq!(refused.len(), 1, "the client hears of it");
    trace.client(80_000, 0, SYN, "");
    let answer = trace.server(5_000, 80_001, SYN | ACK, "");
    assert_eq!(answer.len(), 1);
    trace.client(80_001, 5_001, ACK, "");
    trace.server(5_001, 80_001, ACK, "220 m\r\n");
    let left = trace.client(80_001, 5_008, ACK, "EXPN\r\n").concat();
    assert!(left.contains("NOOP"), "{left}");
}

#[test]
fn only_the_third_segment_ends_the_handshake() {
    let no = DropReason::BadHandshake;
    let from = |leg: Leg, seq: u32, ack: u32, flags: u8, payload: &str| {
        Trace::new(&Personality::MAILGUARD).craft(leg, seq, ack, flags, payload)
    };
    let (outside, inside) = (Leg::Outside, Leg::Inside);
    // Octets and acknowledgements before their time, from both sides.
    is_a_decoy(no, asked(), outside, from(outside, 1, 1, ACK, "EXPN x\r\n"));
    is_a_decoy(no, asked(), inside, from(inside, 1, 1, ACK, "220 x\r\n"));
    is_a_decoy(no, asked(), inside, from(inside, 0, 1, ACK, ""));
    is_a_decoy(no, answered(), inside, from(inside, 1, 1, ACK, "220 x\r\n"));
    is_a_decoy(no, answered(), outside, from(outside, 1, 2, ACK, "EXPN x\r\n"));
    is_a_decoy(no, answered(), outside, from(outside, 1, 0, ACK | FIN, ""));
    // A split handshake, a simultaneous open, roles turned round.
    is_a_decoy(no, asked(), inside, from(inside, 0, 0, SYN, ""));
    is_a_decoy(no, answered(), inside, from(inside, 0, 0, SYN, ""));
    is_a_decoy(no, asked(), outside, from(outside, 0, 1, SYN | ACK, ""));
    // A SYN/ACK that answers something else.
    is_a_decoy(no, asked(), inside, from(inside, 0, 0, SYN | ACK, ""));
    is_a_decoy(no, asked(), inside, from(inside, 0, 2, SYN | ACK, ""));
    is_a_decoy(no, answered(), inside, from(inside, 77, 2, SYN | ACK, ""));
    // Resets of a connection that is not there yet.
    let out = DropReason::OutOfWindow;
    is_a_decoy(out, asked(), inside, from(inside, 0, 2, RST | ACK, ""));
    is_a_decoy(out, asked(), inside, from(inside, 0, 0, RST, ""));
    is_a_decoy(out, asked(), outside, from(outside, 9, 0, RST, ""));
    let early = from(outside, 1, 1, ACK, "EXPN x\r\n");
    let mut trace = Trace::new(&Personality::MAILGUARD);
    refuses(&mut trace, outside, early, DropReason::NotSyn);
}

#[test]
fn a_reset_before_the_answer_opens_nothing() {
    let mut trace = asked();
    assert_eq!(trace.client(1, 0, RST, "").len(), 1);
    // The other end's numbers are not known: those of a flow that is empty are zeros.
    let mut packet = trace.craft(Leg::Outside, 1, 1, ACK, "EXPN x\r\n");
    packet[28..32].copy_from_slice(&1u32.to_be_bytes());
    refuses(&mut trace, Leg::Outside, sealed(packet), DropReason::BadHandshake);
    assert_eq!(trace.client(0, 0, SYN, "").len(), 1, "it may begin anew");
}

#[test]
fn nothing_but_the_syn_leaves_of_a_syn_with_octets() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    assert_eq!(trace.client(0, 0, SYN, "EXPN x\r\n"), ["inside 0 4294962296 S \"\""]);
    assert_eq!(trace.server(0, 1, SYN | ACK, "220 x\r\n"), ["outside 0 1 S. \"\""]);
    assert_eq!(trace.engine.counters().events(Event::SynData), 2);
    trace.client(1, 1, ACK, "");
    assert_eq!(trace.server(1, 1, ACK, "220 m\r\n"), ["outside 1 1 . \"220 *\\r\\n\""]);
}

#[test]
fn the_servers_word_counts_when_the_client_asks_twice() {
    // The other SYN may never have got there: whichever is answered counts.
    for iss in [0_u32, 100] {
        let mut trace = asked();
        for _ in 0..2 {
            assert_eq!(trace.client(100, 0, SYN, "").len(), 1);
            assert_eq!(trace.client(0, 0, SYN, "").len(), 1);
        }
        assert_eq!(trace.server(0, iss + 1, SYN | ACK, "").len(), 1);
        assert_eq!(trace.client(iss + 1, 1, ACK, "").len(), 1);
        let left = trace.server(1, iss + 1, ACK, "220 m\r\n");
        assert_eq!(left, [format!("outside 1 {} . \"220 *\\r\\n\"", iss + 1)]);
        let mut trace = asked();
        trace.client(100, 0, SYN, "");
        assert_eq!(trace.server(0, iss + 1, RST | ACK, "").len(), 1, "the port is closed");
    }
    // After the SYN/ACK another SYN changes nothing until it is answered.
    let mut trace = answered();
    assert_eq!(trace.client(100, 0, SYN, "").len(), 1);
    assert_eq!(trace.client(1, 1, ACK, "").len(), 1);
    assert_eq!(trace.server(1, 1, ACK, "220 m\r\n").len(), 1);
}

#[test]
fn what_the_syn_did_not_offer_is_not_agreed_on() {
    let mut trace = asked();
    let mut packet = trace.craft(Leg::Inside, 0, 1, SYN | ACK, "");
    let offered = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 7];
    insert_option(&mut packet, &offered);
    let left = trace.send_raw(Leg::Inside, &sealed(packet));
    let headers = Headers::parse(&left[0]).unwrap();
    assert_eq!(headers.option_list(&left[0])[..4], offered[..4]);
    assert_eq!(headers.option_list(&left[0])[4..], [1; 16]);
    assert_eq!(trace.engine.counters().events(Event::OptionCleared), 1);
    // So a segment without timestamps is none that lacks them, and windows are not scaled.
    assert_eq!(trace.client(1, 1, ACK, "").len(), 1);
    assert_eq!(trace.server(1, 1, ACK, "220 m\r\n").len(), 1);
    assert_eq!(trace.client(1, 8, ACK, "HELO a\r\n").len(), 1);
    let far = trace.craft(Leg::Outside, 1100, 8, ACK, "x");
    refuses(&mut trace, Leg::Outside, far, DropReason::OutOfWindow);
}

#[test]
fn a_second_path_is_refused_and_a_first_one_is_plain() {
    let syn = |option: &[u8]| {
        let mut packet = Trace::new(&Personality::MAILGUARD).craft(Leg::Outside, 0, 0, SYN, "");
        insert_option(&mut packet, option);
        sealed(packet)
    };
    let join = syn(&[30, 12, 0x10, 1, 0, 0, 0, 1, 0, 0, 0, 2]);
    let mut trace = Trace::new(&Personality::MAILGUARD);
    refuses(&mut trace, Leg::Outside, join, DropReason::MptcpJoin);
    assert_eq!(trace.engine.counters().flows, 0);
    for blanked in [&[30, 4, 0x01, 0x81][..], &[34, 2, 1, 1], &[254, 4, 0xf9, 0x89]] {
        let mut trace = Trace::new(&Personality::MAILGUARD);
        let left = trace.send_raw(Leg::Outside, &syn(blanked));
        assert_eq!(Headers::parse(&left[0]).unwrap().option_list(&left[0]), [1; 4]);
    }
}

#[test]
fn a_signed_syn_opens_nothing() {
    let mut md5 = [7; 20];
    md5[..4].copy_from_slice(&[1, 1, 19, 18]);
    for option in [&md5[..], &[29, 4, 0, 0]] {
        let mut trace = Trace::new(&Personality::MAILGUARD);
        let mut packet = trace.craft(Leg::Outside, 0, 0, SYN, "");
        insert_option(&mut packet, option);
        refuses(&mut trace, Leg::Outside, sealed(packet), DropReason::Md5);
        assert_eq!(trace.engine.counters().flows, 0);
        trace.handshake();
    }
}

#[test]
fn accurate_ecn_becomes_classic_ecn() {
    const AE: u8 = 1;
    const ECE_CWR: u8 = 0xc0;
    let mut trace = Trace::new(&Personality::MAILGUARD);
    let bits = |packet: &[u8]| (packet[32] & 0xf, packet[33] & ECE_CWR);
    for (leg, seq, ack, flags) in
        [(Leg::Outside, 0, 0, SYN), (Leg::Inside, 0, 1, SYN | ACK), (Leg::Outside, 1, 1, ACK)]
    {
        let mut packet = trace.craft(leg, seq, ack, flags, "");
        packet[32] |= AE | 0xe;
        packet[33] |= ECE_CWR;
        let left = trace.send_raw(leg, &sealed(packet));
        assert_eq!(bits(&left[0]), (0, ECE_CWR));
    }
    assert_eq!(trace.engine.counters().events(Event::ReservedCleared), 3);
}

#[test]
fn the_handshake_says_who_is_the_client() {
    // Both ports are 25.
    let mut trace = Trace::new(&Personality::MAILGUARD);
    let from_25 = |trace: &mut Trace, leg: Leg, seq: u32, ack: u32, flags: u8, payload: &str| {
        let mut packet = trace.craft(leg, seq, ack, flags, payload);
        let port = if leg == Leg::Outside { 20 } else { 22 };
        packet[port..port + 2].copy_from_slice(&25u16.to_be_bytes());
        trace.send(leg, sealed(packet))
    };
    from_25(&mut trace, Leg::Outside, 0, 0, SYN, "");
    from_25(&mut trace, Leg::Inside, 0, 1, SYN | ACK, "");
    from_25(&mut trace, Leg::Outside, 1, 1, ACK, "");
    let left = from_25(&mut trace, Leg::Inside, 1, 1, ACK, "220 m\r\n");
    assert_eq!(left, ["outside 1 1 . \"220 *\\r\\n\""]);
    let left = from_25(&mut trace, Leg::Outside, 1, 8, ACK, "EXPN x\r\n");
    assert_eq!(left, ["inside 1 8 . \"NOOP  \\r\\n\""]);
}

#[test]
fn a_syn_on_a_live_connection_changes_nothing() {
    for flags in [SYN, SYN | ACK] {
        let mut trace = stamped();
        trace.client(300, 8, flags, "");
        assert_eq!(rest(&mut trace), rest(&mut stamped()));
    }
}

#[test]
fn a_copied_handshake_lets_nothing_be_judged_twice() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    assert_eq!(trace.client(1, 1, ACK, "NOOP\r\n"), ["inside 1 1 . \"NOOP\\r\\n\""]);
    // The client asks again with the same number, and the server, which holds its request for as long
    // as it likes to (accept queue, deferred accept), answers as before.
    trace.client(0, 0, SYN, "");
    assert_eq!(trace.server(0, 1, SYN | ACK, ""), ["outside 0 1 S. \"\""]);
    trace.client(1, 1, ACK, "");
    // Of this the server would take what lies behind its first six octets.
    let left = trace.client(1, 1, ACK, "NOOP  EXPN root\r\n");
    assert_eq!(left, ["inside 1 1 . \"NOOP\\r\\nNOOP     \\r\\n\""]);
}

#[test]
fn a_server_that_still_has_the_old_connection_is_reset_by_the_client_that_asks_anew() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.client(70_000, 0, SYN, "");
    assert_eq!(trace.server(8, 9, ACK, ""), ["inside 9 4294962297 R \"\""]);
    // What may be an answer is none of it, and nothing is made of what comes from the client.
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.client(70_000, 0, SYN, "");
    trace.client(80_000, 0, SYN, "");
    for ack in [70_001, 80_001] {
        assert!(trace.server(8, ack, ACK, "").is_empty());
    }
    assert!(trace.client(70_001, 9, ACK, "").is_empty());
}

#[test]
fn a_challenge_is_heard_beside_octets_that_wait_for_a_hole_to_be_filled() {
    let mut trace = Trace::with_sack();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(500, 8, ACK, "x");
    assert!(trace.server(8, 1, ACK, "").is_empty(), "to a live client a duplicate");
    // The client has lost its memory; what the server says lets it reset the old connection.
    trace.client(70_000, 0, SYN, "");
    assert_eq!(trace.server(8, 1, ACK, ""), ["outside 8 1 . \"\""]);
    assert_eq!(trace.client(1, 0, RST, "").len(), 1);
    trace.client(70_000, 0, SYN, "");
    assert_eq!(trace.server(0, 70_001, SYN | ACK, "").len(), 1);
}

#[test]
fn a_reset_beyond_what_waits_keeps_its_distance() {
    let mut trace = greeted(&Personality::MAILGUARD);
    assert_eq!(trace.client(1, 8, ACK, "DATA\r\nabc"), ["inside 1 8 . \"DATA\\r\\n\""]);
    assert_eq!(trace.client(12, 8, RST | ACK, ""), ["inside 9 8 R. \"\""]);
}
