//! Traces of attacks and accidents: what once went wrong, or would.

mod borders;
mod handshakes;
mod injected;
mod packets;
mod promises;
mod scales;
mod segments;

use super::traces::Trace;
use super::*;
use crate::policy::Personality;
use crate::wire::packet::flags::{ACK, RST, SYN};

fn greeted(personality: &Personality) -> Trace {
    let mut trace = Trace::open(personality);
    trace.server(1, 1, ACK, "220 m\r\n");
    trace
}

pub(super) fn in_mail_data() -> Trace {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "DATA\r\n");
    trace.server(8, 7, ACK, "354 go\r\n");
    trace
}

fn later(trace: &mut Trace, seconds: u64) -> Vec<String> {
    trace.now = trace.now + core::time::Duration::from_secs(seconds);
    trace.deadline()
}

#[test]
fn a_lone_cr_behind_data_opens_no_hole() {
    let mut trace = greeted(&Personality::MAILGUARD);
    assert_eq!(trace.client(1, 8, ACK, "DATA\r\r"), ["inside 1 8 . \"DATA\\r\\n\""]);
    trace.server(8, 7, ACK, "354 go\r\n");
    let left = trace.client(7, 16, ACK, "\n.\r\nEHLO me\r\n.\r\nEXPN root\r\n").concat();
    assert!(left.contains("EHLO me\\r\\n.\\r\\nNOOP"), "mail data, then a command: {left}");
}

#[test]
fn an_end_of_mail_data_that_only_the_server_sees_ends_the_flow() {
    for reply in ["250 ok\r\n", "554 spam\r\n", "354 more\r\n"] {
        let mut trace = in_mail_data();
        trace.client(7, 16, ACK, "spam\n.\n");
        let left = trace.server(16, 14, ACK, reply);
        assert!(left[0].contains(reply.trim_end()), "the reply is still heard: {left:?}");
        assert!(left.iter().any(|line| line.starts_with("inside 14 16 R.")), "{left:?}");
        assert!(left.iter().any(|line| line.starts_with("outside 16 14 R.")), "{left:?}");
        assert!(!trace.client(14, 26, ACK, "EXPN root\r\n").concat().contains("EXPN"));
    }
}

#[test]
fn a_server_that_writes_its_reply_in_two_with_nagle_goes_on() {
    let mut trace = greeted(&Personality::PIX40);
    trace.client(1, 8, ACK, "EHLO me\r\n");
    assert_eq!(trace.server(8, 10, ACK, "250 2.0.0 Ok"), ["outside 8 10 . \"250 OK\""]);
    assert_eq!(trace.client(10, 14, ACK, ""), ["inside 10 14 . \"\""]);
    // Its second write waits for the acknowledgement of the whole first one, which it repeats.
    assert_eq!(trace.server(8, 10, ACK, "250 2.0.0 Ok"), ["outside 14 10 . \"      \""]);
    assert_eq!(trace.client(10, 20, ACK, ""), ["inside 10 20 . \"\""]);
    assert_eq!(trace.server(20, 10, ACK, "\r\n"), ["outside 20 10 . \"\\r\\n\""]);
}

#[test]
fn a_reset_beyond_what_was_sent_stays_beyond() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "X\r\n");
    assert_eq!(trace.client(504, 8, RST, ""), ["inside 507 4294962296 R \"\""]);
    assert_eq!(trace.server(8, 7, ACK, ""), ["outside 8 4 . \"\""], "the challenge goes back");
    assert_eq!(trace.client(4, 8, ACK, "QUIT\r\n"), ["inside 7 8 . \"QUIT\\r\\n\""]);
}

#[test]
fn a_segment_that_crosses_a_reset_does_not_keep_the_tuple() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.client(1, 1, RST | ACK, "");
    assert_eq!(trace.server(1, 1, ACK, "220 m\r\n").len(), 1);
    later(&mut trace, 16);
    assert_eq!(trace.engine.counters().flows, 0);
    assert_eq!(trace.engine.counters().events(Event::FlowEnded), 1);
}

#[test]
fn an_end_that_goes_on_after_its_reset_did_not_send_it() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, RST | ACK, "");
    assert_eq!(trace.client(1, 8, ACK, "NOOP\r\n").len(), 1);
    later(&mut trace, 60);
    assert_eq!(trace.engine.counters().flows, 1);
}

#[test]
fn a_syn_for_a_dead_connection_is_answered() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "X\r\n");
    later(&mut trace, 3000);
    // Client and server have both lost their memory, and the client takes the same port again.
    assert_eq!(trace.client(100_000, 0, SYN, "").len(), 1);
    assert_eq!(trace.server(700_000, 100_001, SYN | ACK, "").len(), 1);
    assert_eq!(trace.client(100_001, 700_001, ACK, "").len(), 1);
    let left = trace.server(700_001, 100_001, ACK, "220 m\r\n");
    assert_eq!(left, ["outside 700001 100001 . \"220 *\\r\\n\""]);
    // A live server only challenges, and nothing has changed.
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "X\r\n");
    trace.client(100_000, 0, SYN, "");
    assert_eq!(trace.server(8, 7, ACK, ""), ["outside 8 4 . \"\""]);
    later(&mut trace, 3601);
    later(&mut trace, 16);
    assert_eq!(trace.engine.counters().flows, 0, "the SYN kept nothing alive");
}

#[test]
fn a_reply_that_nobody_asked_for_is_not_taken_for_another() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.server(8, 1, ACK, "42");
    trace.client(1, 10, ACK, "EHLO me\r\n");
    assert_eq!(trace.server(10, 10, ACK, "1 timeout\r\n"), ["outside 10 10 . \"1 timeout\\r\\n\""]);
}

#[test]
fn where_strangers_pass_nobody_is_forgotten_in_silence() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.engine.config.midstream = Midstream::Pass;
    trace.client(1, 8, ACK, "X\r\n");
    let left = later(&mut trace, 3601).concat();
    assert!(left.contains("inside 7 ") && left.contains("outside 8 "), "both are reset: {left}");
}

#[test]
fn what_an_ended_flow_still_says_is_answered() {
    let mut trace = in_mail_data();
    trace.client(7, 16, ACK, "a\n.\n");
    trace.server(16, 7, ACK, "250 ok\r\n");
    // Between the two numbers that were reset, an end challenges, and is told again.
    let left = trace.server(24, 11, ACK, "");
    assert!(left[0].starts_with("inside 11 ") && left[0].contains(" R "), "{left:?}");
}

#[test]
fn one_repeat_does_not_send_the_whole_window_again() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, &"X\r\n".repeat(300));
    assert_eq!(trace.client(1, 8, ACK, "X\r\n"), ["inside 1 8 . \"NOOP\\r\\n\""]);
}

#[test]
fn one_tuple_takes_one_place() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    for _ in 0..1000 {
        trace.client(0, 0, SYN, "");
        trace.client(1, 0, RST, "");
    }
    assert_eq!(trace.engine.flows.places().len(), 1);
    let counters = trace.engine.counters();
    assert_eq!((counters.events(Event::FlowBuilt), counters.events(Event::FlowEnded)), (1000, 999));
}
