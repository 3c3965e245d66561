//! Traces of ends that the guard brings about itself: time-outs, connections that it has not seen
//! begin, and its own faults.

use core::time::Duration;

use super::rescue::faults;
use super::traces::Trace;
use super::*;
use crate::policy::{Personality, Timeouts};
use crate::wire::packet::flags::{ACK, FIN, RST, SYN};

fn with_timeouts() -> Trace {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.engine.config.bounds.timeouts = Timeouts {
        embryonic: Duration::from_secs(2),
        conn: Duration::from_secs(5),
        half_closed: Duration::from_secs(3),
    };
    trace
}

fn after(trace: &mut Trace, seconds: u64) -> Vec<String> {
    trace.now = trace.now + Duration::from_secs(seconds);
    trace.deadline()
}

/// The client has said three octets that became six, and the server has acknowledged them.
fn edited() -> Trace {
    let mut trace = with_timeouts();
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "X\r\n");
    trace.server(8, 7, ACK, "250 2.0.0 Ok\r\n");
    trace.client(4, 34, ACK, "");
    trace
}

#[test]
fn an_idle_connection_is_reset_at_the_numbers_that_each_end_expects() {
    let mut trace = edited();
    assert!(after(&mut trace, 4).is_empty());
    // The server has got six octets, and the client a refusal of 26 for a reply of 14.
    assert_eq!(after(&mut trace, 1), ["inside 7 22 R. \"\"", "outside 34 4 R. \"\""]);
    assert_eq!(trace.engine.counters().events(Event::FlowTimedOut), 1);
    // Who asks again is told again; a new connection takes the place.
    assert_eq!(trace.server(22, 7, ACK, "421 bye\r\n"), ["inside 7 22 R \"\""]);
    assert_eq!(trace.client(4, 34, ACK, "NOOP\r\n"), ["outside 34 4 R \"\""]);
    assert_eq!(trace.client(0, 0, SYN, "").len(), 1);
    assert_eq!(trace.engine.counters().flows, 1);
    let mut trace = edited();
    after(&mut trace, 5);
    assert!(after(&mut trace, 16).is_empty());
    assert_eq!(trace.engine.counters().flows, 0);
}

#[test]
fn what_may_still_be_on_its_way_is_reset_at_both_of_its_ends() {
    let mut trace = edited();
    assert_eq!(trace.client(4, 34, ACK, "NOOP\r\n"), ["inside 7 22 . \"NOOP\\r\\n\""]);
    let left = after(&mut trace, 5);
    assert_eq!(left, ["inside 13 22 R. \"\"", "inside 7 22 R. \"\"", "outside 34 4 R. \"\""]);
    // A server that has got half of it says so, and is told where it stands.
    assert_eq!(trace.server(22, 9, ACK, ""), ["inside 9 22 R \"\""]);
}

#[test]
fn who_has_ended_a_connection_is_told_nothing_more() {
    // Neither a client whose server has never said anything.
    let mut trace = with_timeouts();
    trace.client(0, 0, SYN, "");
    assert_eq!(trace.client(1, 0, RST, "").len(), 1);
    assert!(after(&mut trace, 60).is_empty());
    // Nor two ends that have closed.
    let mut trace = edited();
    trace.client(4, 34, ACK | FIN, "");
    trace.server(22, 8, ACK | FIN, "");
    trace.client(5, 35, ACK, "");
    assert!(after(&mut trace, 60).is_empty());
    assert_eq!(trace.engine.counters().flows, 0);
}

#[test]
fn a_half_closed_connection_has_a_time_of_its_own() {
    let mut trace = edited();
    assert_eq!(trace.client(4, 34, ACK | FIN, ""), ["inside 7 22 F. \"\""]);
    trace.server(22, 8, ACK, "");
    assert!(after(&mut trace, 2).is_empty());
    // The FIN took a number on both sides.
    assert_eq!(after(&mut trace, 1), ["inside 8 22 R. \"\"", "outside 34 5 R. \"\""]);
}

/// A reset in the name of a server that has never said a word gets further than to the next router.
#[test]
fn a_reset_for_who_is_not_known_has_a_hop_limit() {
    let mut trace = with_timeouts();
    trace.client(0, 0, SYN, "");
    trace.now = trace.now + Duration::from_secs(2);
    let left = trace.deadline_raw();
    let hops: Vec<_> = left.iter().map(|left| Headers::parse(left).unwrap().hop_limit).collect();
    assert!(hops.len() == 2 && hops.iter().all(|hops| *hops >= 63), "{hops:?}");
}

#[test]
fn an_embryonic_connection_is_reset_as_far_as_its_ends_know_each_other() {
    let mut trace = with_timeouts();
    trace.client(0, 0, SYN, "");
    assert!(after(&mut trace, 1).is_empty());
    let left = after(&mut trace, 1);
    // The server may be in SYN-RECEIVED: nothing that it said can be acknowledged. The client is in
    // SYN-SENT: only an acknowledgement of its SYN makes a reset believable.
    assert_eq!(left, ["inside 1 4294962297 R \"\"", "outside 4294962297 1 R. \"\""]);
    let mut trace = with_timeouts();
    trace.client(0, 0, SYN, "");
    trace.server(0, 1, SYN | ACK, "");
    assert_eq!(after(&mut trace, 2), ["inside 1 1 R. \"\"", "outside 1 1 R. \"\""]);
}

#[test]
fn the_operator_clears_connections_with_the_same_resets() {
    let mut trace = edited();
    let mut outbox = Outbox::default();
    trace.engine.handle_control(trace.now, Control::ClearFlows(Filter::default()), &mut outbox);
    assert_eq!(outbox.len(), 2);
    assert_eq!(trace.server(22, 7, ACK, "421 bye\r\n"), ["inside 7 22 R \"\""]);
}

#[test]
fn connections_of_before_pass_or_not_whatever_becomes_of_what_finds_no_place() {
    for fail_open in [false, true] {
        let mut trace = Trace::new(&Personality::MAILGUARD);
        trace.engine.config.fail_open = fail_open;
        assert!(trace.client(1, 1, ACK, "EHLO\r\n").is_empty());
        assert_eq!(trace.server(1, 1, ACK, "250 OK\r\n"), ["inside 1 4294962296 R \"\""]);
        assert_eq!(trace.engine.counters().drops(DropReason::NotSyn), 2);
        trace.engine.config.midstream = Midstream::Pass;
        assert_eq!(trace.client(1, 1, ACK, "EHLO\r\n"), ["inside 1 1 . \"EHLO\\r\\n\""]);
        assert_eq!(trace.server(1, 1, ACK, "250 OK\r\n"), ["outside 1 1 . \"250 OK\\r\\n\""]);
        // What begins now is inspected all the same.
        trace.handshake();
        trace.server(1, 1, ACK, "220 m\r\n");
        assert_eq!(trace.client(1, 8, ACK, "EHLO me\r\n"), ["inside 1 8 . \"NOOP   \\r\\n\""]);
    }
}

#[test]
fn what_finds_no_place_passes_only_where_its_next_segment_would() {
    for (fail_open, midstream, left) in [
        (false, Midstream::Drop, 0),
        (true, Midstream::Drop, 0),
        (false, Midstream::Pass, 0),
        (true, Midstream::Pass, 1),
    ] {
        let mut trace = Trace::new(&Personality::MAILGUARD);
        trace.engine.config.fail_open = fail_open;
        trace.engine.config.midstream = midstream;
        trace.engine.config.bounds.flows_max = 0;
        assert_eq!(trace.client(0, 0, SYN, "").len(), left);
        assert_eq!(trace.engine.counters().drops(DropReason::TableFull), 1 - left as u64);
    }
}

#[test]
fn a_fault_of_the_guard_ends_the_one_flow() {
    let mut trace = edited();
    faults::want(1);
    let left = trace.client(4, 34, ACK, "VRFY a\r\n");
    // What was to leave has been taken back; the ends are reset, the speaker at its own word.
    assert!(left.iter().all(|line| line.contains(" R") && line.ends_with("\"\"")), "{left:?}");
    assert!(left.iter().any(|line| line.starts_with("inside 7 ")), "{left:?}");
    assert!(left.iter().any(|line| line.starts_with("outside 34 ")), "{left:?}");
    assert_eq!(trace.engine.counters().events(Event::FlowPanic), 1);
    assert!(trace.client(4, 34, ACK, "VRFY a\r\n")[0].starts_with("outside 34 "));
    assert!(trace.server(22, 7, ACK, "250 x\r\n")[0].starts_with("inside 7 "));
    // The box lives, and the next connection of the same ends is inspected.
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    assert_eq!(trace.client(1, 8, ACK, "EHLO me\r\n"), ["inside 1 8 . \"NOOP   \\r\\n\""]);
}

#[test]
fn a_flow_that_cannot_even_be_reset_ends_in_silence_but_for_who_speaks() {
    let mut trace = edited();
    faults::want(2);
    for _ in 0..2 {
        let left = trace.client(4, 34, ACK, "VRFY a\r\n");
        assert!(left.len() == 1 && left[0].starts_with("outside 34 "), "{left:?}");
    }
    assert_eq!(trace.engine.counters().events(Event::FlowPanic), 1);
    let left = trace.server(22, 7, ACK, "250 x\r\n");
    assert!(left.len() == 1 && left[0].starts_with("inside 7 "), "{left:?}");
}

#[test]
fn a_fault_at_a_deadline_ends_the_flow_and_not_the_guard() {
    let mut trace = edited();
    faults::want(1);
    let left = after(&mut trace, 5);
    assert_eq!(trace.engine.counters().events(Event::FlowPanic), 1);
    assert!(left.iter().all(|line| line.contains(" R")), "{left:?}");
    assert!(after(&mut trace, 16).is_empty());
    assert_eq!(trace.engine.counters().flows, 0);
    assert!(trace.engine.next_deadline().is_none());
}

#[test]
fn a_syn_on_a_live_connection_keeps_nothing_alive() {
    let mut trace = edited();
    assert!(after(&mut trace, 4).is_empty());
    assert_eq!(trace.client(5000, 0, SYN, "").len(), 1);
    assert_eq!(after(&mut trace, 1).len(), 2, "both are reset");
}
