//! What lies just on this side of a border, and just beyond it.

use super::super::traces::{Trace, sealed};
use super::super::*;
use super::greeted;
use super::segments::{insert_option, refuses, stamped};
use crate::direction::Leg;
use crate::policy::Personality;
use crate::wire::packet::flags::{ACK, FIN, RST, SYN};

const WINDOW: core::ops::Range<usize> = 34..36;

/// `packet` with a window of its own.
fn with_window(mut packet: Vec<u8>, window: u16) -> Vec<u8> {
    packet[WINDOW].copy_from_slice(&window.to_be_bytes());
    sealed(packet)
}

/// A packet of the client's with a TSval of its own.
fn at_tick(trace: &mut Trace, tick: u32, seq: u32, flags: u8, payload: &str) -> Vec<u8> {
    let now = trace.timestamps.replace((tick, 1000));
    let packet = trace.craft(Leg::Outside, seq, 8, flags, payload);
    trace.timestamps = now;
    packet
}

#[test]
fn only_an_acknowledgement_that_says_nothing_new_may_be_a_little_old() {
    let mut trace = stamped();
    trace.client(1, 8, ACK, "");
    for (flags, payload, window) in
        [(ACK, "EXPN x\r\n", 1000), (ACK | FIN, "", 1000), (ACK, "", 1001)]
    {
        let old = with_window(at_tick(&mut trace, 900, 1, flags, payload), window);
        refuses(&mut trace, Leg::Outside, old, DropReason::Paws);
    }
    let old = with_window(at_tick(&mut trace, 900, 1, ACK, ""), 1000);
    assert_eq!(trace.send(Leg::Outside, old).len(), 1);
}

#[test]
fn what_was_taken_makes_older_timestamps_old() {
    let mut trace = stamped();
    trace.client(1, 8, ACK, "");
    let newer = at_tick(&mut trace, 2000, 1, ACK, "HELO a\r\n");
    trace.send(Leg::Outside, newer);
    let old = at_tick(&mut trace, 1500, 9, ACK, "EXPN x\r\n");
    refuses(&mut trace, Leg::Outside, old, DropReason::Paws);
    // What the guard says in the client's name bears the client's newest tick, and echoes what the
    // server has sent in order.
    trace.timestamps = Some((1500, 2000));
    trace.server(8, 9, ACK, "250-a\r\n");
    trace.timestamps = Some((1600, 2000));
    let early = trace.craft(Leg::Inside, 22, 9, ACK, "250 c\r\n");
    let left = trace.send_raw(Leg::Inside, &early);
    let headers = Headers::parse(left.last().unwrap()).unwrap();
    assert_eq!(headers.options.timestamps, Some((2000, 1500)));
}

#[test]
fn a_fin_passes_behind_the_last_octet_of_the_window() {
    let mut trace = greeted(&Personality::MAILGUARD);
    let text = "NOOP\r\n".repeat(166) + "NOOP";
    let left = trace.client(1, 8, ACK | FIN, &text);
    assert!(left[1].starts_with("inside 537 8 F. "), "{left:?}");
}

#[test]
fn an_acknowledgement_passes_behind_the_window_and_its_fin() {
    let mut trace = greeted(&Personality::MAILGUARD);
    for seq in [1001, 1002] {
        assert_eq!(trace.client(seq, 8, ACK, ""), ["inside 1 8 . \"\""]);
    }
    let decoy = trace.craft(Leg::Outside, 1003, 8, ACK, "");
    refuses(&mut trace, Leg::Outside, decoy, DropReason::OutOfWindow);
}

#[test]
fn a_keep_alive_goes_on_where_it_asks() {
    // Before the first octet, at the number of the SYN, with an octet or without.
    let mut trace = Trace::open(&Personality::MAILGUARD);
    for payload in ["", "x"] {
        assert_eq!(trace.client(0, 1, ACK, payload), ["inside 0 1 . \"\""]);
    }
    for (flags, payload) in [(ACK, "xx"), (ACK | FIN, "")] {
        let decoy = trace.craft(Leg::Outside, 0, 1, flags, payload);
        refuses(&mut trace, Leg::Outside, decoy, DropReason::OutOfWindow);
    }
    // Before the next one.
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.server(8, 9, ACK, "");
    for payload in ["", "\n"] {
        assert_eq!(trace.client(8, 8, ACK, payload), ["inside 8 8 . \"\""]);
    }
    // A longer repeat is none, and its receiver would not read what it acknowledges.
    trace.server(8, 9, ACK, "250 hi\r\n");
    assert_eq!(trace.client(1, 16, ACK, "HELO a\r\n"), ["outside 16 9 . \"\""]);
}

#[test]
fn behind_a_fin_comes_nothing_but_what_repeats_it() {
    let mut trace = greeted(&Personality::MAILGUARD);
    assert_eq!(trace.client(1, 8, ACK | FIN, "QUIT\r\n"), ["inside 1 8 F. \"QUIT\\r\\n\""]);
    // The octets alone, and a keep-alive at the number of the FIN.
    assert_eq!(trace.client(1, 8, ACK, "QUIT\r\n"), ["inside 1 8 . \"QUIT\\r\\n\""]);
    assert_eq!(trace.client(7, 8, ACK, "x"), ["inside 7 8 . \"\""]);
    let decoy = trace.craft(Leg::Outside, 8, 8, ACK, "x");
    refuses(&mut trace, Leg::Outside, decoy, DropReason::AfterFin);
    assert_eq!(trace.engine.counters().events(Event::Inconsistent), 0);
}

#[test]
fn one_octet_or_many_a_sender_may_go_on_where_a_fin_was_said_to_be() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(20, 8, ACK | FIN, "");
    trace.client(7, 8, ACK, "NOOP\r\n");
    let counters = trace.engine.counters();
    assert_eq!((counters.events(Event::Absorbed), counters.drops_total()), (1, 0));
    trace.client(20, 8, ACK, "N");
    assert_eq!(trace.engine.counters().events(Event::Inconsistent), 1);
}

#[test]
fn a_fin_below_what_waits_behind_a_hole_is_none() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(10, 8, ACK, "P x\r\n");
    trace.client(11, 8, ACK | FIN, "");
    let left = trace.client(1, 8, ACK, "NOOP\r\nHEL");
    assert_eq!(left[0], "inside 1 8 . \"NOOP\\r\\nHELX  \\r\\n\"", "and no FIN in the middle");
    assert_eq!(trace.engine.counters().events(Event::Inconsistent), 1);
    // The one at the end is one.
    assert_eq!(trace.client(15, 8, ACK | FIN, ""), ["inside 15 8 F. \"\""]);
}

#[test]
fn a_reset_counts_the_fin_and_keeps_its_distance() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK | FIN, "QUIT\r\n");
    assert_eq!(trace.client(8, 8, RST, ""), ["inside 8 4294962296 R \"\""]);
    let mut trace = greeted(&Personality::MAILGUARD);
    assert_eq!(trace.client(1002, 8, RST, ""), ["inside 1002 4294962296 R \"\""]);
    let decoy = trace.craft(Leg::Outside, 1003, 8, RST, "");
    refuses(&mut trace, Leg::Outside, decoy, DropReason::OutOfWindow);
}

#[test]
fn a_reset_without_an_acknowledgement_acknowledges_no_new_connection() {
    let mut trace = greeted(&Personality::MAILGUARD);
    assert_eq!(trace.client(5000, 0, SYN, "").len(), 1);
    let mut decoy = trace.craft(Leg::Inside, 90_000, 5001, ACK, "");
    decoy[33] = RST;
    let decoy = sealed(decoy);
    refuses(&mut trace, Leg::Inside, decoy, DropReason::OutOfWindow);
}

#[test]
fn what_the_answer_did_not_agree_on_is_not_agreed_on() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    (trace.sack, trace.timestamps) = (true, Some((1000, 0)));
    trace.client(0, 0, SYN, "");
    (trace.sack, trace.timestamps) = (false, None);
    trace.server(0, 1, SYN | ACK, "");
    trace.client(1, 1, ACK, "");
    trace.timestamps = Some((1000, 1000));
    let stamped = trace.craft(Leg::Outside, 1, 1, ACK, "HELO a\r\n");
    assert_eq!(trace.send_raw(Leg::Outside, &stamped)[0][40..52], [1; 12]);
    // SACK blocks, where an edit would have to translate them.
    trace.timestamps = None;
    trace.server(1, 9, ACK, "220 m\r\n");
    trace.client(9, 8, ACK, "X\r\nNOOP\r\n");
    let mut packet = trace.craft(Leg::Inside, 8, 9, ACK, "");
    let number = u32::from_be_bytes(packet[28..32].try_into().unwrap());
    let mut option = vec![1, 1, 5, 10];
    option.extend(number.wrapping_add(6).to_be_bytes());
    option.extend(number.wrapping_add(12).to_be_bytes());
    insert_option(&mut packet, &option);
    assert_eq!(trace.send_raw(Leg::Inside, &sealed(packet))[0][40..52], [1; 12]);
}

#[test]
fn a_copy_of_the_answer_changes_nothing_and_another_answer_counts() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.sack = true;
    trace.client(0, 0, SYN, "");
    trace.server(0, 1, SYN | ACK, "");
    trace.sack = false;
    assert_eq!(trace.server(0, 1, SYN | ACK, "").len(), 1);
    trace.client(1, 1, ACK, "");
    trace.server(1, 1, ACK, "220 m\r\n");
    let left = trace.client(9, 8, ACK, "NOOP\r\n");
    assert_eq!(left.last().unwrap(), "outside 8 1 . \"\" sack 9-15", "SACK is agreed on");
    // Until the client has acknowledged one, the latest counts; then no other does.
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.client(0, 0, SYN, "");
    trace.server(0, 1, SYN | ACK, "");
    trace.server(700, 1, SYN | ACK, "");
    assert_eq!(trace.client(1, 701, ACK, ""), ["inside 1 701 . \"\""]);
    let decoy = trace.craft(Leg::Inside, 0, 1, SYN | ACK, "");
    refuses(&mut trace, Leg::Inside, decoy, DropReason::BadHandshake);
}

#[test]
fn a_syn_counts_octets_that_it_has_only() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    assert_eq!(trace.engine.counters().events(Event::SynData), 0);
    trace.client(5000, 0, SYN, "x");
    assert_eq!(trace.engine.counters().events(Event::SynData), 1);
}

#[test]
fn a_sender_that_only_acknowledges_draws_no_answer_of_the_guards() {
    let mut trace = Trace::with_sack();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(9, 8, ACK, "EXPN\r\n");
    assert_eq!(trace.client(1, 8, ACK, ""), ["inside 1 8 . \"\""]);
    // Nor does a keep-alive of one octet that the receiver answers itself.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.server(8, 9, ACK, "");
    assert_eq!(trace.client(8, 8, ACK, "\n"), ["inside 8 8 . \"\""]);
}

#[test]
fn a_syn_that_was_said_again_is_answered_anew_by_a_server_that_lost_the_connection() {
    // The same number again, another one of the server's.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(0, 0, SYN, "");
    assert_eq!(trace.server(700, 1, SYN | ACK, "").len(), 1);
    assert_eq!(trace.client(1, 701, ACK, ""), ["inside 1 701 . \"\""]);
    // Another number, the same one of the server's.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(5000, 0, SYN, "");
    assert_eq!(trace.server(0, 5001, SYN | ACK, "").len(), 1);
    assert_eq!(trace.client(5001, 1, ACK, ""), ["inside 5001 1 . \"\""]);
    // Before the client has acknowledged anything.
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.client(0, 0, SYN, "");
    trace.server(0, 1, SYN | ACK, "");
    trace.client(5000, 0, SYN, "");
    assert_eq!(trace.server(700, 5001, SYN | ACK, "").len(), 1);
    assert_eq!(trace.client(5001, 701, ACK, ""), ["inside 5001 701 . \"\""]);
}

#[test]
fn a_server_that_refuses_what_it_has_answered_ends_it_though_the_syn_came_twice() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.client(0, 0, SYN, "");
    trace.server(0, 1, SYN | ACK, "");
    trace.client(0, 0, SYN, "");
    assert_eq!(trace.server(1, 1, RST | ACK, "").len(), 1);
    super::later(&mut trace, 16);
    assert_eq!(trace.engine.counters().flows, 0);
}
