//! Floods: whoever takes all that can be got finds a limit, and ordinary mail still passes (law L20).

use crate::engine::Arrival;
use std::sync::Arc;

use core::net::SocketAddr;

use super::rescue::faults;
use super::table::octets_a_flow;
use super::*;
use crate::direction::Leg;
use crate::limits::{
    EDITS_MAX, EMBRYONIC_MAX, FLOW_ALLOWANCE_OCTETS, MEMORY_RESERVE_PART, OUTSTANDING_MAX,
};
use crate::policy::Personality;
use crate::wire::mint::Minted;
use crate::wire::packet::flags::{ACK, RST, SYN};
use crate::wire::packet::seal;

const SERVER: &str = "198.51.100.25:25";
const CLIENT_ISS: u32 = 1_000;
const SERVER_ISS: u32 = 5_000;

/// A packet that left: sequence number (from the initial one), flags, payload.
type Left = (u32, u8, Vec<u8>);

struct Guard {
    engine: Engine,
    outbox: Outbox,
    server: SocketAddr,
    window: u16,
}

fn client(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 40_000))
}

impl Guard {
    fn new(bounds: Bounds) -> Self {
        let policy = Policy::new(Arc::new(Personality::MAILGUARD), &[25]);
        let config = EngineConfig {
            policy,
            seed: 1,
            offload: false,
            fail_open: false,
            midstream: Midstream::Drop,
            bounds,
        };
        Self {
            engine: Engine::new(config),
            outbox: Outbox::default(),
            server: SERVER.parse().unwrap(),
            window: u16::MAX,
        }
    }

    fn packet(
        &mut self,
        leg: Leg,
        ends: (SocketAddr, SocketAddr),
        (seq, ack): (u32, u32),
        flags: u8,
        payload: &[u8],
    ) -> Vec<Left> {
        let minted = Minted {
            source: ends.0,
            destination: ends.1,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            seq,
            ack,
            flags: flags & !SYN,
            window: self.window,
            timestamps: None,
            sack_blocks: &[],
        };
        let made = minted.headers();
        let mut packet = made.octets().to_vec();
        packet[made.tcp_start + 13] |= flags & SYN;
        packet.extend_from_slice(payload);
        seal(&mut packet, made.tcp_start, (ends.0.ip(), ends.1.ip()), false);
        self.outbox.clear();
        let offload = Offload::default();
        self.engine.handle_packet(
            Instant::ZERO,
            Arrival::new(leg, offload),
            &mut packet,
            &mut self.outbox,
        );
        let away = |departure: &Departure<'_>| departure.leg != leg;
        let departures = self.outbox.departures(&packet).filter(away);
        let read = departures.map(|departure| {
            let headers = Headers::parse(departure.packet).expect("well-formed");
            let iss = if leg == Leg::Outside { CLIENT_ISS } else { SERVER_ISS };
            let payload = headers.payload(departure.packet).to_vec();
            (headers.seq.wrapping_sub(iss), headers.flags, payload)
        });
        read.collect()
    }

    fn client(&mut self, number: u32, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<Left> {
        let ends = (client(number), self.server);
        self.packet(Leg::Outside, ends, (CLIENT_ISS + seq, SERVER_ISS + ack), flags, payload)
    }

    fn server(&mut self, number: u32, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<Left> {
        let ends = (self.server, client(number));
        self.packet(Leg::Inside, ends, (SERVER_ISS + seq, CLIENT_ISS + ack), flags, payload)
    }

    /// A connection past its greeting, of seven octets.
    fn open(&mut self, number: u32) {
        self.client(number, 0, 0, SYN, b"");
        self.server(number, 0, 1, SYN | ACK, b"");
        self.client(number, 1, 1, ACK, b"");
        self.server(number, 1, 1, ACK, b"220 m\r\n");
        self.client(number, 1, 8, ACK, b"");
    }

    /// A whole mail goes through, on a connection of its own.
    #[track_caller]
    fn mail_passes(&mut self, number: u32) {
        self.open(number);
        let body = [b"x".repeat(1000), b"\r\n.\r\n".to_vec()].concat();
        let (mut seq, mut ack) = (1, 8);
        for (said, reply) in [
            (&b"HELO a\r\n"[..], &b"250 b\r\n"[..]),
            (b"DATA\r\n", b"354 go\r\n"),
            (&body, b"250 ok\r\n"),
        ] {
            let left = self.client(number, seq, ack, ACK, said);
            let left: Vec<u8> = left.into_iter().flat_map(|(_, _, payload)| payload).collect();
            assert!(left == said, "{} octets left of {}", left.len(), said.len());
            seq += said.len() as u32;
            let left = self.server(number, ack, seq, ACK, reply);
            assert_eq!(left.first().map(|(_, _, payload)| &payload[..]), Some(reply));
            ack += reply.len() as u32;
        }
        self.client(number, seq, ack, ACK, b"");
    }

    /// The end of what the last call sent by `leg`.
    fn end(&self, leg: Leg, iss: u32) -> u32 {
        let departures = self.outbox.departures(&[]).filter(|departure| departure.leg == leg);
        let read = departures.filter_map(|departure| {
            let headers = Headers::parse(departure.packet).ok()?;
            Some(headers.seq.wrapping_sub(iss) + headers.payload_len() as u32)
        });
        read.max().unwrap_or(0)
    }

    fn counted(&self, reason: DropReason) -> u64 {
        self.engine.counters().drops(reason)
    }

    fn held(&self) -> usize {
        self.engine.flows.memory()
    }
}

/// Room for sixty windows of 64 KiB.
fn small() -> Bounds {
    Bounds { memory: 4 << 20, ..Bounds::default() }
}

const SHARED: usize = (4 << 20) - (4 << 20) / MEMORY_RESERVE_PART;

#[test]
fn a_million_syns_leave_mail_passing() {
    let mut guard = Guard::new(Bounds::default());
    let honest = 1;
    let mut strangers = 16..1 << 24;
    let mut flood = |guard: &mut Guard, count: usize| {
        for number in strangers.by_ref().take(count) {
            let left = guard.client(number, 0, 0, SYN, b"");
            assert_eq!(left.len(), 1, "a SYN is never held back");
        }
    };
    flood(&mut guard, 500_000);
    // Half the table goes by between the steps of an honest handshake.
    guard.client(honest, 0, 0, SYN, b"");
    flood(&mut guard, EMBRYONIC_MAX / 2);
    assert_eq!(guard.server(honest, 0, 1, SYN | ACK, b"").len(), 1);
    flood(&mut guard, EMBRYONIC_MAX / 2 - 1);
    assert_eq!(guard.client(honest, 1, 1, ACK, b"").len(), 1);
    flood(&mut guard, 500_000);
    assert_eq!(guard.server(honest, 1, 1, ACK, b"220 m\r\n")[0].2, b"220 *\r\n");
    let flows = guard.engine.flows.len();
    assert_eq!(guard.engine.flows.half_open(), EMBRYONIC_MAX);
    assert_eq!(flows, EMBRYONIC_MAX + 1);
    let memory = flows * octets_a_flow() + guard.held();
    assert!(memory < 128 << 20, "{memory} octets, {} a flow", octets_a_flow());
    guard.mail_passes(2);
    let counters = guard.engine.counters();
    let ended = counters.events(Event::FlowEnded);
    assert_eq!(counters.events(Event::FlowBuilt) - ended, counters.flows);
    assert!(counters.events(Event::EmbryonicForgotten) > 900_000);
}

#[test]
fn one_client_has_as_many_connections_as_it_may() {
    let bounds = Bounds { per_client_max: 3, per_client_embryonic_max: 2, ..Bounds::default() };
    let mut guard = Guard::new(bounds);
    let from = |guard: &mut Guard, port: u16, seq: u32, ack: u32, flags| {
        let ends = (SocketAddr::from(([10, 0, 0, 1], port)), guard.server);
        guard.packet(Leg::Outside, ends, (CLIENT_ISS + seq, SERVER_ISS + ack), flags, b"").len()
    };
    let to = |guard: &mut Guard, port: u16, flags| {
        let ends = (guard.server, SocketAddr::from(([10, 0, 0, 1], port)));
        guard.packet(Leg::Inside, ends, (SERVER_ISS, CLIENT_ISS + 1), flags, b"").len()
    };
    assert_eq!([1, 2, 3].map(|port| from(&mut guard, port, 0, 0, SYN)), [1, 1, 0]);
    assert_eq!(guard.counted(DropReason::PerClientEmbryonicMax), 1);
    for port in [1, 2] {
        to(&mut guard, port, SYN | ACK);
        from(&mut guard, port, 1, 1, ACK);
    }
    assert_eq!([3, 4].map(|port| from(&mut guard, port, 0, 0, SYN)), [1, 0]);
    assert_eq!(guard.counted(DropReason::PerClientMax), 1);
    // Others are not concerned, and who ends one may begin another.
    guard.mail_passes(2);
    from(&mut guard, 1, 1, 1, RST | ACK);
    assert_eq!([4, 5].map(|port| from(&mut guard, port, 0, 0, SYN)), [1, 0]);
}

#[test]
fn an_ipv6_client_is_its_network() {
    let mut guard = Guard::new(Bounds { per_client_embryonic_max: 1, ..Bounds::default() });
    let server = SocketAddr::from(([0x2001, 0xdb8, 0, 2, 0, 0, 0, 25], 25));
    let mut opens = |network: u16, host: u16| {
        let client = SocketAddr::from(([0x2001, 0xdb8, 0, network, 0, 0, 0, host], 1025));
        guard.packet(Leg::Outside, (client, server), (CLIENT_ISS, 0), SYN, b"").len()
    };
    assert_eq!([opens(1, 1), opens(1, 2), opens(3, 1)], [1, 0, 1]);
}

#[test]
fn a_half_open_connection_that_gives_way_is_told_if_the_server_has_answered() {
    let mut guard = Guard::new(Bounds { embryonic_max: 2, ..Bounds::default() });
    for number in [1, 2] {
        guard.client(number, 0, 0, SYN, b"");
    }
    guard.server(2, 0, 1, SYN | ACK, b"");
    // The first one is forgotten in silence: its next SYN begins anew. The second one is not.
    assert_eq!(guard.client(3, 0, 0, SYN, b"").len(), 1);
    let left = guard.client(1, 0, 0, SYN, b"");
    assert_eq!(left.iter().map(|left| left.1).collect::<Vec<_>>(), [RST | ACK, SYN]);
    let toward_client = guard.outbox.departures(&[]).filter(|d| d.leg == Leg::Outside).count();
    assert_eq!(toward_client, 1);
}

#[test]
fn holes_fill_the_shared_memory_and_no_more() {
    let mut guard = Guard::new(small());
    guard.mail_passes(0);
    for hog in 1..200 {
        guard.open(hog);
        // One octet at the end of the window makes room for all before it.
        guard.client(hog, 60_000, 8, ACK, b"x");
        assert!(guard.held() <= SHARED + (1 << 17), "hog {hog}: {}", guard.held());
    }
    assert!(guard.held() > SHARED / 2);
    assert!(guard.counted(DropReason::MemoryFull) > 100);
    for honest in 1000..1010 {
        guard.mail_passes(honest);
    }
    // What fills a hole needs nothing new, and passes whoever sends it.
    let left = guard.client(1, 1, 8, ACK, &[b'x'; 100]);
    assert!(!left[0].2.is_empty());
}

#[test]
fn what_was_behind_holes_does_not_burst_the_memory_when_they_are_filled() {
    let mut guard = Guard::new(small());
    let hogs = 1..80;
    for hog in hogs.clone() {
        guard.open(hog);
        for index in 0..40 {
            guard.client(hog, 2 + index * 1400, 8, ACK, &[b'\n'; 1400]);
        }
    }
    assert!(guard.counted(DropReason::MemoryFull) > 0);
    // Each of those octets is a command of its own, an edit that makes six octets of one.
    for hog in hogs {
        guard.client(hog, 1, 8, ACK, b"\n");
        assert!(guard.held() < (4 << 20) + (1 << 19), "hog {hog}: {}", guard.held());
    }
    assert!(guard.held() > 4 << 20, "there was more to come");
}

#[test]
fn a_fault_in_one_flow_leaves_the_others_alone() {
    let mut guard = Guard::new(small());
    guard.open(1);
    guard.open(2);
    faults::want(1);
    assert_eq!(guard.client(1, 1, 8, ACK, b"HELO a\r\n")[0].1, RST | ACK);
    assert_eq!(guard.client(2, 1, 8, ACK, b"HELO a\r\n")[0].2, b"HELO a\r\n");
    guard.mail_passes(3);
    let counters = guard.engine.counters();
    assert_eq!((counters.events(Event::FlowPanic), counters.flows), (1, 3));
}

#[test]
fn a_sender_that_punches_holes_finds_the_limit_of_pieces() {
    let mut guard = Guard::new(small());
    guard.open(1);
    let mut taken = 0;
    while guard.counted(DropReason::BufferFull) == 0 {
        taken += 1;
        assert!(taken <= 4096, "there is a limit");
        guard.client(1, 2 * taken, 8, ACK, b"x");
    }
    assert!(guard.held() < 64 << 10, "{} octets for {taken} pieces", guard.held());
    guard.mail_passes(2);
    // Once the holes are filled, all that was taken leaves, each octet once.
    let left = guard.client(1, 1, 8, ACK, &b"y".repeat(2 * taken as usize));
    let octets: usize = left.iter().map(|(_, _, payload)| payload.len()).sum();
    assert!(octets >= 2 * taken as usize - 2, "{octets}");
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let mut guard = Guard::new(small());
    guard.open(1);
    let piece = [b'a'; 536];
    for index in 0..10_000 {
        let seq = 1 + index * 536;
        let left = guard.client(1, seq, 8, ACK, &piece);
        assert_eq!(left[0].2.len(), 536, "it leaves, though as blanks");
        guard.server(1, 8, seq + 536, ACK, b"");
        assert!(guard.held() < 8192, "{}", guard.held());
    }
    guard.mail_passes(2);
}

#[test]
fn readers_that_never_read_leave_room_for_those_who_do() {
    let mut guard = Guard::new(small());
    for hog in 1..400 {
        guard.open(hog);
        // Commands whose refusals nobody acknowledges, up to the window that was offered.
        for index in 0..40 {
            let line = b"EXPN a\r\n";
            guard.client(hog, 1 + index * 8, 8, ACK, line);
            let said = [b"250-".to_vec(), b"x".repeat(1020), b"\r\n250 ok\r\n".to_vec()].concat();
            guard.server(hog, 8 + index * said.len() as u32, 9 + index * 8, ACK, &said);
        }
    }
    // In order, so each may have its allowance, until the reserve has gone as well.
    assert!(guard.counted(DropReason::MemoryFull) > 0);
    assert!(guard.held() <= (4 << 20) + FLOW_ALLOWANCE_OCTETS, "{}", guard.held());
    // It comes back when they go.
    for hog in 1..400 {
        guard.client(hog, 321, 8, RST | ACK, b"");
    }
    let mut outbox = Outbox::default();
    let later = Instant::from_millis(16_000);
    while guard.engine.next_deadline().is_some_and(|at| at <= later) {
        guard.engine.handle_deadline(later, &mut outbox);
    }
    guard.mail_passes(1000);
}

#[test]
fn edits_that_nobody_acknowledges_are_bounded() {
    let mut guard = Guard::new(small());
    guard.open(1);
    let lines = b"X\r\n".repeat(400);
    let (mut seq, mut to_server, mut to_client) = (1, 1, 8);
    while seq + 1200 < 60_000 {
        for (start, _, payload) in guard.client(1, seq, 8, ACK, &lines) {
            to_server = to_server.max(start + payload.len() as u32);
        }
        seq += 1200;
    }
    // Each line is an edit, three octets that became six, and a command that wants a reply.
    let most = EDITS_MAX.max(OUTSTANDING_MAX) * 64 + 4 * 60_000;
    assert!(guard.held() < most, "{} of {most}", guard.held());
    assert!(guard.held() > 60_000, "they do wait");
    guard.mail_passes(2);
    // Both go on: what waited for room leaves, and in the end every line has.
    for index in 0..200 {
        let replies = b"250 x\r\n".repeat(100);
        guard.server(1, 8 + index * 700, to_server, ACK, &replies);
        to_server = to_server.max(guard.end(Leg::Inside, CLIENT_ISS));
        to_client = to_client.max(guard.end(Leg::Outside, SERVER_ISS));
        guard.client(1, seq, to_client, ACK, b"");
        to_server = to_server.max(guard.end(Leg::Inside, CLIENT_ISS));
    }
    assert_eq!(to_server, 1 + (seq - 1) * 2, "three octets became six");
}

#[test]
fn behind_a_window_of_zero_little_waits() {
    let mut guard = Guard::new(small());
    guard.window = 0;
    guard.open(1);
    for index in 0..100 {
        guard.client(1, 1 + index * 1000, 8, ACK, &[b'a'; 1000]);
        assert!(guard.held() < 4096, "{}", guard.held());
    }
    assert!(guard.counted(DropReason::OutOfWindow) >= 98);
    guard.window = u16::MAX;
    guard.mail_passes(2);
}
