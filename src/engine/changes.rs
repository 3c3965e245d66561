//! Traces of what a change of policy does to connections: nothing, but to those that begin after it.

use std::sync::Arc;

use core::time::Duration;

use super::traces::Trace;
use crate::counters::DropReason;
use crate::engine::{Arrival, Control, Filter};
use crate::policy::{Personality, Policy, Timeouts};
use crate::wire::outbox::Outbox;
use crate::wire::packet::flags::{ACK, FIN, SYN};

fn inspecting(ports: &[u16]) -> Control {
    Control::Install(Policy::new(Arc::new(Personality::MAILGUARD), ports))
}

fn order(trace: &mut Trace, control: Control) {
    let mut outbox = Outbox::default();
    trace.engine.handle_control(trace.now, control, &mut outbox);
    assert_eq!(outbox.len(), 0, "nobody is told of it");
}

#[test]
fn an_inspected_connection_stays_inspected_and_the_next_one_is_not() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    order(&mut trace, inspecting(&[]));
    assert_eq!(trace.server(1, 1, ACK, "220 m\r\n"), ["outside 1 1 . \"220 *\\r\\n\""]);
    assert_eq!(trace.client(1, 8, ACK, "EHLO\r\n"), ["inside 1 8 . \"NOOP\\r\\n\""]);
    // It ends, and the same ports are used again.
    trace.client(7, 8, ACK | FIN, "");
    trace.server(8, 8, ACK | FIN, "");
    trace.client(8, 9, ACK, "");
    assert_eq!(trace.client(500_000, 0, SYN, "").len(), 1);
    assert_eq!(trace.client(500_001, 1, ACK, "EHLO\r\n"), ["inside 500001 1 . \"EHLO\\r\\n\""]);
    assert_eq!(trace.engine.counters().flows, 0);
    assert_eq!(trace.engine.counters().drops_total(), 0);
}

#[test]
fn a_connection_that_began_uninspected_goes_on_so_and_the_next_one_does_not() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    order(&mut trace, inspecting(&[587]));
    trace.handshake();
    order(&mut trace, inspecting(&[25]));
    assert_eq!(trace.client(1, 1, ACK, "EHLO\r\n"), ["inside 1 1 . \"EHLO\\r\\n\""]);
    assert_eq!(trace.server(1, 7, ACK, "250 m\r\n"), ["outside 1 7 . \"250 m\\r\\n\""]);
    assert_eq!(trace.engine.counters().drops_total(), 0);
    // A new one from the same ports is inspected.
    assert_eq!(trace.client(500_000, 0, SYN, "").len(), 1);
    assert_eq!(trace.engine.counters().flows, 1);
    // And so is not forgotten what is a stranger: nothing of an old one passes any more.
    order(&mut trace, inspecting(&[]));
    order(&mut trace, inspecting(&[25]));
    assert!(!trace.server(1, 7, ACK, "250 m\r\n").concat().contains("250"));
}

#[test]
fn a_stranger_is_one_though_policies_have_changed() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    for _ in 0..3 {
        order(&mut trace, inspecting(&[]));
        order(&mut trace, inspecting(&[25]));
    }
    assert!(trace.client(1, 1, ACK, "EHLO\r\n").is_empty());
    assert_eq!(trace.engine.counters().drops(DropReason::NotSyn), 1);
}

#[test]
fn time_outs_are_those_of_the_beginning() {
    let short = Timeouts { conn: Duration::from_secs(60), ..Timeouts::default() };
    let flows_a_while_later = |mut trace: Trace| {
        for _ in 0..4 {
            trace.now = trace.now + Duration::from_secs(31);
            trace.engine.handle_deadline(trace.now, &mut Outbox::default());
        }
        trace.engine.counters().flows
    };
    let mut before = Trace::open(&Personality::MAILGUARD);
    order(&mut before, Control::SetTimeouts(short));
    assert_eq!(flows_a_while_later(before), 1);
    let mut after = Trace::new(&Personality::MAILGUARD);
    order(&mut after, Control::SetTimeouts(short));
    after.handshake();
    assert_eq!(flows_a_while_later(after), 0);
}

#[test]
fn a_connection_is_shown_from_its_beginning_to_its_end() {
    let shown = |trace: &Trace| {
        let (views, _) = trace.engine.connections(trace.now, Filter::default(), 9);
        views.first().map(|view| (view.state, view.flags.clone(), view.uptime.as_secs()))
    };
    let is = |state, flags: &str, uptime| Some((state, flags.to_owned(), uptime));
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.now = trace.now + Duration::from_secs(5);
    trace.handshake();
    assert_eq!(shown(&trace), is("commands", "UB", 0), "nobody has said anything");
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.now = trace.now + Duration::from_secs(2);
    trace.client(1, 8, ACK | FIN, "QUIT\r\n");
    assert_eq!(shown(&trace), is("closing", "UFIOB", 2));
    trace.server(8, 8, ACK | FIN, "");
    assert_eq!(shown(&trace), is("closing", "UfFIOB", 2));
    trace.client(8, 9, ACK, "");
    assert_eq!(shown(&trace), None);
}

#[test]
fn connections_are_shown_as_they_stand_and_cleared_by_whom_they_concern() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "EHLO x\r\n");
    trace.now = trace.now + Duration::from_secs(7);
    let (views, count) = trace.engine.connections(trace.now, Filter::default(), 9);
    let [view] = &views[..] else { panic!("{views:?}") };
    assert_eq!((count, view.state, &view.flags[..]), (1, "commands", "UIOB"));
    assert_eq!((view.octets, view.edits, view.refused), ((8, 7), 2, Some("EHLO")));
    assert_eq!((view.idle.as_secs(), view.uptime.as_secs()), (7, 7));
    assert_eq!(trace.engine.connections(trace.now, Filter::default(), 0).1, 1);
    let elsewhere = Filter { port: Some(26), ..Filter::default() };
    order(&mut trace, Control::ClearFlows(elsewhere));
    assert_eq!(trace.engine.connections(trace.now, elsewhere, 9).1, 0);
    assert_eq!(trace.engine.connections(trace.now, Filter::default(), 9).1, 1);
    let here = Filter { port: Some(25), ..Filter::default() };
    let mut outbox = Outbox::default();
    trace.engine.handle_control(trace.now, Control::ClearFlows(here), &mut outbox);
    assert!(outbox.len() >= 2, "both ends are told");
    assert_eq!(trace.engine.connections(trace.now, Filter::default(), 9).1, 0);
}

#[test]
fn what_a_tcp_map_clears_is_not_agreed_on() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    let mut policy = Policy::new(Arc::new(Personality::MAILGUARD), &[25]);
    policy.inspections[0].tcp.clears_timestamps = true;
    order(&mut trace, Control::Install(policy));
    trace.timestamps = Some((7, 0));
    let syn = trace.craft(crate::direction::Leg::Outside, 0, 0, SYN, "");
    let mut outbox = Outbox::default();
    let mut packet = syn.clone();
    trace.engine.handle_packet(
        trace.now,
        Arrival::new(crate::direction::Leg::Outside, crate::wire::offload::Offload::default()),
        &mut packet,
        &mut outbox,
    );
    let left: Vec<_> = outbox.departures(&packet).map(|left| left.packet.to_vec()).collect();
    let read = |octets: &[u8]| crate::wire::packet::Headers::parse(octets).unwrap();
    assert!(read(&syn).options.timestamps.is_some());
    assert_eq!(left.len(), 1);
    let headers = read(&left[0]);
    assert!(headers.has(SYN) && headers.options.timestamps.is_none());
    assert!(headers.checksum_is_right(&left[0], crate::wire::offload::Offload::default()));
}
