//! Traces of connections on which nothing happens for a while.

use core::time::Duration;

use super::traces::Trace;
use super::*;
use crate::direction::Leg;
use crate::flow::Folded;
use crate::policy::Personality;
use crate::wire::packet::flags::{ACK, FIN, SYN};

/// Of a guard that folds when it is time.
fn timed() -> Trace {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.folds = false;
    let config = EngineConfig { bounds: Bounds::default(), ..trace.engine.config.clone() };
    trace.engine = Engine::new(config);
    trace.handshake();
    trace
}

/// Three octets of the client became six, fourteen of the server a refusal, and all is acknowledged.
fn edited(trace: &mut Trace) {
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "X\r\n");
    trace.server(8, 7, ACK, "250 2.0.0 Ok\r\n");
    trace.client(4, 34, ACK, "");
}

/// What leaves when the operator clears the connections that are meant.
fn clear(trace: &mut Trace, filter: Filter) -> usize {
    let mut outbox = Outbox::default();
    trace.engine.handle_control(trace.now, Control::ClearFlows(filter), &mut outbox);
    outbox.len()
}

/// So much time goes by.
fn wait(trace: &mut Trace, seconds: u64) -> Vec<String> {
    let end = trace.now + Duration::from_secs(seconds);
    let mut left = Vec::new();
    while let Some(next) = trace.engine.next_deadline().filter(|next| *next <= end) {
        assert!(next >= trace.now, "it has been looked at");
        trace.now = next;
        left.extend(trace.deadline());
    }
    trace.now = end;
    left
}

/// Whether the connection is folded, and since when nothing has come.
fn is_folded(trace: &Trace) -> (bool, u64) {
    let (views, count) = trace.engine.connections(trace.now, Filter::default(), 1);
    assert_eq!(count, 1);
    let is_whole = trace.engine.whole_flows() == 1;
    assert_eq!(views[0].memory >= size_of::<Flow>(), is_whole);
    (views[0].memory < size_of::<Flow>(), views[0].idle.as_secs())
}

#[test]
fn what_is_at_rest_is_folded_and_goes_on_when_something_comes() {
    let mut trace = timed();
    edited(&mut trace);
    assert_eq!(is_folded(&trace), (false, 0));
    assert!(wait(&mut trace, 30).is_empty());
    assert_eq!(is_folded(&trace), (true, 30), "the first look is that for the handshake");
    assert_eq!(trace.client(4, 34, ACK, "NOOP\r\n"), ["inside 7 22 . \"NOOP\\r\\n\""]);
    assert_eq!(trace.server(22, 13, ACK, "250 ok\r\n"), ["outside 34 10 . \"250 ok\\r\\n\""]);
    assert_eq!(trace.client(10, 42, ACK, ""), ["inside 13 30 . \"\""]);
    assert_eq!(is_folded(&trace), (false, 0));
    assert!(wait(&mut trace, 9).is_empty());
    assert_eq!(is_folded(&trace), (false, 9));
    assert!(wait(&mut trace, 1).is_empty());
    assert_eq!(is_folded(&trace), (true, 10));
    // Whoever speaks keeps it awake.
    trace.client(9, 42, ACK, "");
    for _ in 0..5 {
        wait(&mut trace, 8);
        trace.client(9, 42, ACK, "");
        assert_eq!(is_folded(&trace), (false, 0));
    }
    wait(&mut trace, 12);
    assert_eq!(is_folded(&trace), (true, 12));
    // What is dropped does not.
    let forged = trace.craft(Leg::Outside, 500_000, 42, ACK, "NOOP\r\n");
    assert!(trace.send(Leg::Outside, forged).is_empty());
    assert_eq!(trace.engine.whole_flows(), 1);
    assert!(trace.deadline().is_empty());
    assert_eq!(is_folded(&trace), (true, 12));
    // It ends as if nothing had been.
    assert_eq!(trace.client(10, 42, FIN | ACK, ""), ["inside 13 30 F. \"\""]);
    assert_eq!(is_folded(&trace), (false, 0));
}

#[test]
fn what_is_folded_times_out_and_is_cleared_at_the_numbers_that_each_end_expects() {
    let ends = ["inside 7 22 R. \"\"", "outside 34 4 R. \"\""];
    let mut trace = timed();
    edited(&mut trace);
    let idle = trace.engine.config.bounds.timeouts.conn.as_secs();
    assert!(wait(&mut trace, idle - 1).is_empty());
    assert_eq!(is_folded(&trace), (true, idle - 1));
    assert_eq!(wait(&mut trace, 1), ends);
    assert_eq!(trace.engine.counters().events(Event::FlowTimedOut), 1);
    wait(&mut trace, 15);
    assert_eq!(trace.engine.counters().flows, 0);

    let mut trace = timed();
    edited(&mut trace);
    wait(&mut trace, 40);
    assert_eq!(is_folded(&trace), (true, 40));
    let other = Filter { port: Some(26), ..Filter::default() };
    assert_eq!(clear(&mut trace, other), 0);
    assert_eq!(is_folded(&trace), (true, 40), "it was only looked at");
    assert_eq!(clear(&mut trace, Filter::default()), 2);
}

#[test]
fn whatever_is_known_comes_back() {
    // Each packet folds what is at rest, and checks that it unfolds to what it was.
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.sack = true;
    trace.timestamps = Some((1000, 1000));
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.now = trace.now + Duration::from_millis(20);
    trace.client(1, 8, ACK, "");
    assert_eq!(trace.engine.whole_flows(), 0);
    // A hole that was stood in for, and filled.
    trace.client(7, 8, ACK, "NOOP\r\n");
    trace.client(1, 8, ACK, "X\r\nX\r\n");
    trace.now = trace.now + Duration::from_millis(30);
    trace.server(8, 19, ACK, "");
    trace.client(13, 8, ACK, "");
    assert_eq!(trace.engine.whole_flows(), 0);
}

#[test]
fn what_is_waited_for_keeps_it_whole() {
    // Octets that the server has not acknowledged.
    let mut trace = timed();
    edited(&mut trace);
    trace.client(4, 34, ACK, "NOOP\r\n");
    wait(&mut trace, 100);
    assert_eq!(is_folded(&trace), (false, 100));
    // Half a line.
    let mut trace = timed();
    edited(&mut trace);
    trace.client(4, 34, ACK, "NO");
    wait(&mut trace, 100);
    assert_eq!(is_folded(&trace), (false, 100));
    // A FIN.
    let mut trace = timed();
    edited(&mut trace);
    trace.client(4, 34, FIN | ACK, "");
    trace.server(22, 8, ACK, "");
    wait(&mut trace, 100);
    assert_eq!(is_folded(&trace), (false, 100));
    // Another SYN, which the server may yet answer.
    let mut trace = timed();
    edited(&mut trace);
    trace.client(5_000, 0, SYN, "");
    wait(&mut trace, 100);
    assert_eq!(is_folded(&trace), (false, 100));
}

#[test]
fn a_connection_at_rest_takes_half_of_a_live_one() {
    assert!(2 * size_of::<Folded>() <= size_of::<Flow>() + 8, "{}", size_of::<Folded>());
}
