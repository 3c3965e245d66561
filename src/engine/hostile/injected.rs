//! Segments that somebody else slips in beside a session: what its receiver would throw away changes
//! nothing, and what it would keep does not silence the guard.

use super::super::traces::Trace;
use super::super::*;
use super::segments::stamped;
use super::{greeted, in_mail_data, later};
use crate::direction::Leg;
use crate::policy::Personality;
use crate::wire::packet::flags::{ACK, RST};

/// The same with another timestamp.
fn at_tick(trace: &mut Trace, tick: u32, seq: u32, ack: u32, payload: &str) -> Vec<u8> {
    let before = trace.timestamps.replace((tick, 1000));
    let packet = trace.craft(Leg::Outside, seq, ack, ACK, payload);
    trace.timestamps = before;
    packet
}

#[test]
fn a_repeat_of_what_was_acknowledged_does_not_move_the_clock() {
    let mut trace = stamped();
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.server(8, 9, ACK, "250 hi\r\n");
    for (seq, payload) in [(1, "HELO a\r\n"), (8, "\n"), (8, ""), (0, ""), (0, "x")] {
        let old = at_tick(&mut trace, 1000 + (1 << 30), seq, 8, payload);
        assert_eq!(trace.send(Leg::Outside, old).len(), 1);
    }
    let left = trace.client(9, 16, ACK, "NOOP\r\n");
    assert_eq!(left, ["inside 9 16 . \"NOOP\\r\\n\""]);
    // Nor that of what the guard sends by itself.
    trace.client(21, 16, ACK, "RSET\r\n");
    trace.client(15, 16, ACK, "QUIT\r\n");
    trace.now = trace.engine.next_deadline().unwrap();
    for packet in trace.deadline_raw() {
        assert_eq!(Headers::parse(&packet).unwrap().options.timestamps.unwrap().0, 1000);
    }
}

#[test]
fn a_repeat_of_what_was_acknowledged_acknowledges_nothing() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 1, ACK, "HELO a\r\n");
    trace.server(8, 9, ACK, "");
    // The client lacks the greeting, and somebody else says that it has it.
    let left = trace.client(1, 8, ACK, "HELO a\r\n");
    assert_eq!(left, ["outside 8 9 . \"\""]);
    assert_eq!(trace.server(1, 9, ACK, "220 m\r\n"), ["outside 1 9 . \"220 *\\r\\n\""]);
}

#[test]
fn a_stray_octet_ahead_does_not_keep_a_keep_alive_from_its_answer() {
    let mut trace = Trace::with_sack();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.server(8, 9, ACK, "250 hi\r\n");
    trace.client(500, 16, ACK, "x");
    for payload in ["", "\n"] {
        let asked = trace.client(8, 16, ACK, payload).concat();
        let answered = trace.server(16, 9, ACK, "").concat();
        assert!((asked + &answered).contains("outside 16 9 "), "{payload:?} got no answer");
    }
}

#[test]
fn a_reset_that_the_server_did_not_believe_does_not_end_a_silent_session() {
    let mut trace = in_mail_data();
    trace.client(7, 16, ACK, "mail\r\n.\r\n");
    // It has these octets already, and the number lies behind what it expects.
    assert_eq!(trace.client(7, 16, RST, "").len(), 1);
    trace.server(16, 16, ACK, "");
    later(&mut trace, 60);
    assert_eq!(trace.server(16, 16, ACK, "250 ok\r\n"), ["outside 16 16 . \"250 ok\\r\\n\""]);
}

#[test]
fn who_did_not_send_the_reset_is_told_before_it_is_forgotten() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "HELO a\r\n");
    trace.client(9, 8, RST, "");
    let left = later(&mut trace, 16).concat();
    assert!(left.contains("inside 9 ") && left.contains("outside 8 "), "{left}");
    assert_eq!(trace.engine.counters().flows, 0);
}

#[test]
fn a_reset_between_octets_that_wait_for_a_verdict_is_not_made_one_that_is_believed() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "DATA\r\nEXPN x\r\n");
    assert!(trace.client(9, 8, RST, "")[0].starts_with("inside 9 "), "the server expects 7");
    let left = trace.server(8, 7, ACK, "503 no\r\n");
    assert_eq!(left[1], "inside 7 8 P. \"NOOP  \\r\\n\"");
    // The client's own comes at either end of them.
    for at in [7, 15] {
        let mut trace = greeted(&Personality::MAILGUARD);
        trace.client(1, 8, ACK, "DATA\r\nEXPN x\r\n");
        assert!(trace.client(at, 8, RST, "")[0].starts_with("inside 7 "));
    }
}
