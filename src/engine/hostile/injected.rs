//! Segments that somebody else slips in beside a session: what its receiver would throw away changes
//! nothing, and what it would keep does not silence the guard.

use super::super::traces::Trace;
use super::super::*;
use super::greeted;
use super::segments::stamped;
use crate::policy::Personality;
use crate::wire::packet::flags::ACK;

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
