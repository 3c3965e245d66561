//! Traces over a link layer: which addresses and VLAN tags have the packets that leave.

use super::traces::Trace;
use super::*;
use crate::direction::Leg;
use crate::policy::Personality;
use crate::wire::link::Link;
use crate::wire::packet::flags::{ACK, SYN};

/// The header of a frame from the station `from` to the station `to` in a VLAN.
fn link(from: u8, to: u8, vlan: u8) -> Link {
    let frame = [2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x81, 0, 0, vlan, 8, 0];
    Link::parse(&frame).expect("a header")
}

/// The legs and headers of what leaves for a packet.
fn send(trace: &mut Trace, leg: Leg, link: Link, mut packet: Vec<u8>) -> Vec<(Leg, Link)> {
    let mut outbox = Outbox::default();
    let arrival = Arrival { leg, offload: Offload::default(), link };
    trace.engine.handle_packet(trace.now, arrival, &mut packet, &mut outbox);
    outbox.departures(&packet).map(|left| (left.leg, left.link)).collect()
}

/// A handshake between the stations 1 and 2 in a VLAN.
fn opened(vlan: u8) -> Trace {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    for (leg, link, seq, ack, flags) in [
        (Leg::Outside, link(1, 2, vlan), 0, 0, SYN),
        (Leg::Inside, link(2, 1, vlan), 0, 1, SYN | ACK),
        (Leg::Outside, link(1, 2, vlan), 1, 1, ACK),
    ] {
        let packet = trace.craft(leg, seq, ack, flags, "");
        assert_eq!(send(&mut trace, leg, link, packet), [(!leg, link)], "as it came");
    }
    trace
}

/// The headers of the resets that an operator's word causes.
fn cleared(trace: &mut Trace) -> Vec<(Leg, Link)> {
    let mut outbox = Outbox::default();
    let order = Control::ClearFlows(Filter::default());
    trace.engine.handle_control(trace.now, order, &mut outbox);
    outbox.departures(&[]).map(|left| (left.leg, left.link)).collect()
}

#[test]
fn what_is_minted_goes_where_the_ends_were_heard() {
    let mut trace = opened(5);
    let resets = [(Leg::Inside, link(1, 2, 5)), (Leg::Outside, link(2, 1, 5))];
    assert_eq!(cleared(&mut trace), resets);
}

#[test]
fn an_end_that_moves_is_followed_when_it_is_believed() {
    let mut trace = opened(5);
    // The client's gateway fails over to another station.
    let moved = link(3, 2, 5);
    let packet = trace.craft(Leg::Outside, 1, 1, ACK, "HELO client\r\n");
    assert_eq!(send(&mut trace, Leg::Outside, moved, packet), [(Leg::Inside, moved)]);
    // A stranger that knows no number is answered where the client was heard, and moves nothing.
    let packet = trace.craft(Leg::Inside, 900_000, 1, ACK, "250 no\r\n");
    for (leg, link) in send(&mut trace, Leg::Inside, link(9, 9, 5), packet) {
        assert_eq!((leg, link), (Leg::Inside, moved));
    }
    for (leg, link) in cleared(&mut trace) {
        assert_eq!(link, if leg == Leg::Inside { moved } else { self::link(2, 1, 5) });
    }
}

#[test]
fn the_same_endpoints_in_two_vlans_are_two_connections() {
    let mut trace = opened(5);
    let packet = trace.craft(Leg::Outside, 0, 0, SYN, "");
    let other = link(1, 2, 6);
    assert_eq!(send(&mut trace, Leg::Outside, other, packet), [(Leg::Inside, other)]);
    assert_eq!(trace.engine.counters().flows, 2);
    let packet = trace.craft(Leg::Outside, 1, 1, ACK, "HELO client\r\n");
    assert_eq!(send(&mut trace, Leg::Outside, link(1, 2, 7), packet), []);
    assert_eq!(trace.engine.counters().drops(DropReason::NotSyn), 1, "in a third there is none");
}

#[test]
fn a_stranger_is_reset_where_it_came_from() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    let packet = trace.craft(Leg::Inside, 1, 1, ACK, "");
    let reset = send(&mut trace, Leg::Inside, link(2, 1, 5), packet);
    assert_eq!(reset, [(Leg::Inside, link(1, 2, 5))]);
}
