//! What the guard has acknowledged in the receiver's place, and receivers that make it hard to deliver.

use core::time::Duration;

use super::super::traces::{Trace, sealed};
use super::super::*;
use crate::direction::Leg;
use crate::limits::{CLOSED_TIMEOUT, REPAIR_AFTER_MAX};
use crate::policy::Personality;
use crate::wire::packet::flags::{ACK, RST};

/// A greeted session whose ends agree on SACK.
fn with_sack() -> Trace {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.sack = true;
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace
}

/// An acknowledgement of the server's with a window of its own.
fn server_opens(trace: &mut Trace, ack: u32, window: u16) -> Vec<String> {
    let mut packet = trace.craft(Leg::Inside, 8, ack, ACK, "");
    packet[34..36].copy_from_slice(&window.to_be_bytes());
    trace.send(Leg::Inside, sealed(packet))
}

/// The window of the last packet that leaves for `packet`.
fn told_window(trace: &mut Trace, leg: Leg, packet: &[u8]) -> Option<u16> {
    let left = trace.send_raw(leg, packet);
    left.last().map(|packet| Headers::parse(packet).unwrap().window)
}

/// Lets the next alarm go off.
fn ring(trace: &mut Trace) -> Vec<String> {
    trace.now = trace.engine.next_deadline().unwrap();
    trace.deadline()
}

/// 1,000 octets come, the first last, and leave as 1,998, of which the window takes 1,000.
fn promised_beyond_the_window() -> Trace {
    let mut trace = with_sack();
    let line = "X\r\n".repeat(333);
    trace.client(4, 8, ACK, &line[3..]);
    let left = trace.client(1, 8, ACK, &line[..3]);
    assert_eq!(left.last().unwrap(), "outside 8 1000 . \"\"");
    trace
}

#[test]
fn a_repeat_of_what_waits_for_a_verdict_is_reported_as_no_hole() {
    // RFC 2883 section 4: what is beyond the acknowledgement has come again only if it is in a block.
    let mut trace = with_sack();
    trace.client(1, 8, ACK, "DATA\r\nX\r\n");
    trace.server(8, 7, ACK, "");
    assert_eq!(trace.client(7, 8, ACK, "X\r\n"), ["outside 8 7 . \"\""]);
    assert_eq!(trace.client(1, 8, ACK, "DATA\r\nX\r\n"), ["outside 8 7 . \"\" sack 1-7"]);
    // Nor because something lies behind a hole.
    trace.client(19, 8, ACK, "NOOP\r\n");
    assert_eq!(trace.client(7, 8, ACK, "X\r\n"), ["outside 8 7 . \"\" sack 19-25"]);
}

#[test]
fn an_old_report_reaches_back_into_no_promise() {
    // It would look like the report of a repeat (RFC 2883 section 4).
    let mut trace = with_sack();
    trace.client(7, 8, ACK, "NOOP\r\n");
    trace.client(1, 8, ACK, "RSET\r\n");
    trace.client(13, 8, ACK, "NOOP\r\nNOOP\r\n");
    assert_eq!(trace.server(8, 25, ACK, ""), ["outside 8 25 . \"\""]);
    for start in [7, 13] {
        assert_eq!(trace.server_with_sack(8, 1, (start, 25)), ["outside 8 13 . \"\""]);
    }
}

#[test]
fn a_receiver_that_discards_what_it_has_reported_gets_it_again() {
    // RFC 2018 section 8: it may.
    let mut trace = with_sack();
    trace.client(7, 8, ACK, "NOOP\r\n");
    trace.client(13, 8, ACK, "RSET\r\n");
    trace.client(1, 8, ACK, "QUIT\r\n");
    trace.server_with_sack(8, 1, (7, 19));
    trace.server(8, 7, ACK, "");
    let left = (0..3).flat_map(|_| ring(&mut trace)).collect::<Vec<_>>().concat();
    assert!(left.contains("inside 7 8 P. \"NOOP"), "{left}");
    trace.server(8, 19, ACK, "");
    assert_eq!(trace.client(19, 8, ACK, "NOOP\r\n"), ["inside 19 8 . \"NOOP\\r\\n\""]);
}

#[test]
fn a_receiver_whose_window_stays_closed_is_not_gone_while_it_answers() {
    // RFC 9293 section 3.8.6.1 (MUST-37).
    let mut trace = promised_beyond_the_window();
    server_opens(&mut trace, 1001, 0);
    for _ in 0..60 {
        assert_eq!(ring(&mut trace).len(), 1, "a probe");
        assert!(server_opens(&mut trace, 1001, 0).is_empty());
    }
    assert_eq!(trace.engine.counters().events(Event::ReceiverGone), 0);
    // It has thrown the probes away, and gets their octet soon.
    let left = server_opens(&mut trace, 1001, 998);
    assert!(left.iter().any(|line| line.starts_with("inside 1002 ")), "{left:?}");
    assert!(trace.engine.next_deadline().unwrap() - trace.now <= REPAIR_AFTER_MAX);
    assert!(ring(&mut trace)[0].starts_with("inside 1001 "));
    // One that says nothing is.
    let mut trace = promised_beyond_the_window();
    server_opens(&mut trace, 1001, 0);
    for _ in 0..19 {
        ring(&mut trace);
    }
    assert_eq!(trace.engine.counters().events(Event::ReceiverGone), 1);
}

#[test]
fn probes_of_a_closed_window_come_ever_more_slowly() {
    let mut trace = promised_beyond_the_window();
    for _ in 0..12 {
        server_opens(&mut trace, 1001, 0);
        ring(&mut trace);
    }
    assert!(trace.engine.next_deadline().unwrap() - trace.now >= 4 * REPAIR_AFTER_MAX);
}

#[test]
fn what_a_receiver_reports_behind_a_promise_joins_it() {
    let mut trace = with_sack();
    trace.client(7, 8, ACK, "NOOP\r\n");
    trace.client(1, 8, ACK, "QUIT\r\n");
    trace.client(13, 8, ACK, "RSET\r\n");
    // One that begins at the acknowledgement is none.
    assert_eq!(trace.server_with_sack(8, 1, (1, 19)), ["outside 8 13 . \"\" sack 13-19"]);
    assert_eq!(trace.server_with_sack(8, 1, (7, 19)), ["outside 8 19 . \"\""]);
}

#[test]
fn a_connection_that_is_given_up_is_forgotten_soon() {
    let mut trace = promised_beyond_the_window();
    while trace.engine.counters().events(Event::ReceiverGone) == 0 {
        ring(&mut trace);
    }
    assert!(trace.client(1001, 8, ACK, "").concat().contains(" R "), "who asks is told");
    let mut trace = promised_beyond_the_window();
    while trace.engine.counters().events(Event::ReceiverGone) == 0 {
        ring(&mut trace);
    }
    assert!(trace.engine.next_deadline().unwrap() - trace.now <= CLOSED_TIMEOUT);
    trace.now = trace.now + CLOSED_TIMEOUT + Duration::from_secs(1);
    trace.deadline();
    assert_eq!(trace.engine.counters().flows, 0);
}

#[test]
fn a_sender_that_asks_behind_what_it_was_told_is_answered() {
    // The receiver's answer says less than the sender knows.
    for payload in ["", "\n"] {
        let mut trace = promised_beyond_the_window();
        server_opens(&mut trace, 1001, 0);
        let left = trace.client(999, 8, ACK, payload);
        assert!(left.contains(&"outside 8 1000 . \"\"".to_owned()), "{left:?}");
    }
    // One that asks nothing is not.
    let mut trace = promised_beyond_the_window();
    let left = trace.client(1000, 8, ACK, "").concat();
    assert!(!left.contains("outside"), "{left}");
}

#[test]
fn a_window_that_goes_on_with_what_was_promised_is_told() {
    let mut trace = with_sack();
    trace.client(7, 8, ACK, "NOOP\r\n");
    let fills = trace.craft(Leg::Outside, 1, 8, ACK, "QUIT\r\n");
    assert_eq!(told_window(&mut trace, Leg::Outside, &fills), Some(988));
    // The field is that of the first octet, the edge is not.
    let mut packet = trace.craft(Leg::Inside, 8, 7, ACK, "");
    packet[34..36].copy_from_slice(&1006_u16.to_be_bytes());
    assert_eq!(told_window(&mut trace, Leg::Inside, &sealed(packet)), Some(1000));
}

#[test]
fn a_window_that_opens_again_as_wide_as_it_was_is_told() {
    let mut trace = with_sack();
    let line = "RSET\r\n".repeat(166) + "NOOP";
    trace.client(7, 8, ACK, &line[6..]);
    let fills = trace.craft(Leg::Outside, 1, 8, ACK, &line[..6]);
    assert_eq!(told_window(&mut trace, Leg::Outside, &fills), Some(0));
    assert_eq!(trace.server(8, 1001, ACK, ""), ["outside 8 1001 . \"\""]);
}

#[test]
fn a_late_segment_that_the_receiver_reports_is_no_hole_any_more() {
    let mut trace = with_sack();
    trace.client(7, 8, ACK, "NOOP\r\n");
    trace.client(1, 8, ACK, "QUIT\r\n");
    trace.client(13, 8, ACK, "RSET\r\n");
    trace.client(19, 8, ACK, "RSET\r\n");
    trace.server_with_sack(8, 1, (19, 25));
    let left = trace.client(31, 8, ACK, "NOOP\r\n");
    assert_eq!(left.last().unwrap(), "outside 8 13 . \"\" sack 31-37 sack 19-25");
    // A block that begins at the acknowledgement would look as if it had been thrown away.
    let left = trace.server_with_sack(8, 1, (13, 25));
    assert_eq!(left[0], "outside 8 25 . \"\"");
}

#[test]
fn a_reset_reaches_a_receiver_that_lacks_what_was_promised() {
    let mut trace = with_sack();
    trace.client(7, 8, ACK, "NOOP\r\n");
    trace.client(1, 8, ACK, "QUIT\r\n");
    assert_eq!(trace.client(13, 8, RST, "").len(), 1);
    // Both commands were lost. The server challenges the reset, and gets them.
    trace.server(8, 1, ACK, "");
    let left = ring(&mut trace).concat();
    assert!(left.contains("inside 1 8 P. \"QUIT"), "{left}");
    // What it says then draws a reset of the client's where it is believed.
    assert_eq!(trace.server(8, 13, ACK, ""), ["outside 8 13 . \"\""]);
    assert!(trace.client(13, 8, RST, "")[0].starts_with("inside 13 "));
}
