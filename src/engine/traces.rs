//! Traces: packets by hand through an engine, read like a capture.

use crate::engine::Arrival;
use core::time::Duration;
use std::sync::Arc;

use super::*;
use crate::direction::Leg;
use crate::policy::Personality;
use crate::wire::mint::Minted;
use crate::wire::packet::flags::{ACK, FIN, PSH, RST, SYN};
use crate::wire::packet::seal;

const CLIENT: &str = "192.0.2.10:40000";
const SERVER: &str = "198.51.100.25:25";
const CLIENT_ISS: u32 = u32::MAX - 20;
const SERVER_ISS: u32 = 5_000;

/// What left, with numbers counted from the initial ones: `leg seq ack flags "payload"`.
fn read(departure: &Departure<'_>) -> String {
    let headers = Headers::parse(departure.packet).expect("what leaves is well-formed");
    assert!(headers.checksum_is_right(departure.packet, Offload::default()));
    let (seq, ack) = match departure.leg {
        Leg::Inside => (CLIENT_ISS, SERVER_ISS),
        Leg::Outside => (SERVER_ISS, CLIENT_ISS),
    };
    let names = [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (PSH, 'P'), (ACK, '.')];
    let flags: String = names.iter().filter(|(f, _)| headers.has(*f)).map(|(_, c)| *c).collect();
    let payload = String::from_utf8_lossy(headers.payload(departure.packet)).into_owned();
    let list = headers.option_list(departure.packet);
    let sack: String = (0..headers.options.sack_blocks.map_or(0, |(_, count)| count))
        .map(|index| headers.options.sack_block(list, index))
        .map(|(left, right)| {
            format!(" sack {}-{}", left.wrapping_sub(ack), right.wrapping_sub(ack))
        })
        .collect();
    format!(
        "{} {} {} {flags} {payload:?}{sack}",
        departure.leg.name(),
        headers.seq.wrapping_sub(seq),
        headers.ack.wrapping_sub(ack),
    )
}

pub(super) struct Trace {
    pub(super) engine: Engine,
    outbox: Outbox,
    pub(super) now: Instant,
    pub(super) sack: bool,
    sack_block: Option<(u32, u32)>,
    /// TSval and TSecr of whatever is sent.
    pub(super) timestamps: Option<(u32, u32)>,
    raw: Vec<u8>,
    /// After each packet what is at rest is folded.
    pub(super) folds: bool,
}

/// Lengths and sums of an IPv4 packet that was edited.
pub(super) fn sealed(mut packet: Vec<u8>) -> Vec<u8> {
    let at = |from: usize| <[u8; 4]>::try_from(&packet[from..from + 4]).unwrap();
    let addresses = (at(12).into(), at(16).into());
    let tcp_start = usize::from(packet[0] & 0xf) * 4;
    seal(&mut packet, tcp_start, addresses, false);
    packet
}

impl Trace {
    pub(super) fn new(personality: &Personality) -> Self {
        let policy = Policy::new(Arc::new(personality.clone()), &[25]);
        let config = EngineConfig {
            policy,
            seed: 1,
            offload: false,
            fail_open: false,
            midstream: Midstream::Drop,
            // What is folded here is checked.
            bounds: Bounds { rest_after: Duration::from_secs(1 << 20), ..Bounds::default() },
        };
        let now = Instant::ZERO;
        Self {
            engine: Engine::new(config),
            outbox: Outbox::default(),
            now,
            sack: false,
            sack_block: None,
            timestamps: None,
            raw: Vec::new(),
            folds: true,
        }
    }

    /// A connection past its handshake.
    pub(super) fn open(personality: &Personality) -> Self {
        let mut trace = Self::new(personality);
        trace.handshake();
        trace
    }

    /// The same where both ends have SACK.
    pub(super) fn with_sack() -> Self {
        let mut trace = Self::new(&Personality::MAILGUARD);
        trace.sack = true;
        trace.handshake();
        trace
    }

    pub(super) fn handshake(&mut self) {
        assert_eq!(self.client(0, 0, SYN, ""), ["inside 0 4294962296 S \"\""]);
        assert_eq!(self.server(0, 1, SYN | ACK, ""), ["outside 0 1 S. \"\""]);
        assert_eq!(self.client(1, 1, ACK, ""), ["inside 1 1 . \"\""]);
    }

    fn fold(&mut self) {
        if self.folds {
            self.engine.flows.fold_and_check();
        }
    }

    /// A packet with numbers counted from the initial ones.
    pub(super) fn craft(&self, leg: Leg, seq: u32, ack: u32, flags: u8, payload: &str) -> Vec<u8> {
        let (seq_start, ack_start) = match leg {
            Leg::Outside => (CLIENT_ISS, SERVER_ISS),
            Leg::Inside => (SERVER_ISS, CLIENT_ISS),
        };
        let (source, destination) = match leg {
            Leg::Outside => (CLIENT, SERVER),
            Leg::Inside => (SERVER, CLIENT),
        };
        let minted = Minted {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            seq: seq_start.wrapping_add(seq),
            ack: if flags & ACK == 0 { 0 } else { ack_start.wrapping_add(ack) },
            flags: flags & !SYN,
            window: 1000,
            timestamps: self.timestamps,
            sack_blocks: self.sack_block.as_slice(),
        };
        let made = minted.headers();
        let mut packet = made.octets().to_vec();
        packet[33] |= flags & SYN;
        if flags & SYN != 0 && self.sack {
            packet[32] += 1 << 4;
            packet.extend([4, 2, 1, 1]);
        }
        packet.extend_from_slice(payload.as_bytes());
        sealed(packet)
    }

    /// What leaves for `packet`.
    pub(super) fn send_raw(&mut self, leg: Leg, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut packet = packet.to_vec();
        self.outbox.clear();
        self.engine.handle_packet(
            self.now,
            Arrival::new(leg, Offload::default()),
            &mut packet,
            &mut self.outbox,
        );
        self.fold();
        self.outbox.departures(&packet).map(|departure| departure.packet.to_vec()).collect()
    }

    /// What leaves for a packet in a buffer.
    pub(super) fn send_buffer(&mut self, leg: Leg, buffer: &mut Buffer, len: usize) -> Vec<String> {
        self.outbox.clear();
        let arrival = Arrival::new(leg, Offload::default());
        self.engine.handle_buffer(self.now, arrival, buffer, len, &mut self.outbox);
        self.outbox.departures(&buffer[..len]).map(|departure| read(&departure)).collect()
    }

    /// What leaves for `packet`, read.
    pub(super) fn send(&mut self, leg: Leg, mut packet: Vec<u8>) -> Vec<String> {
        self.outbox.clear();
        self.engine.handle_packet(
            self.now,
            Arrival::new(leg, Offload::default()),
            &mut packet,
            &mut self.outbox,
        );
        self.fold();
        let first = self.outbox.departures(&packet).next();
        self.raw = first.map_or_else(Vec::new, |departure| departure.packet.to_vec());
        self.outbox.departures(&packet).map(|departure| read(&departure)).collect()
    }

    pub(super) fn server_with_sack(
        &mut self,
        seq: u32,
        ack: u32,
        block: (u32, u32),
    ) -> Vec<String> {
        let number = |offset: u32| CLIENT_ISS.wrapping_add(offset);
        self.sack_block = Some((number(block.0), number(block.1)));
        let left = self.server(seq, ack, ACK, "");
        self.sack_block = None;
        left
    }

    /// What leaves when the time has come.
    pub(super) fn deadline(&mut self) -> Vec<String> {
        self.outbox.clear();
        self.engine.handle_deadline(self.now, &mut self.outbox);
        self.outbox.departures(&[]).map(|departure| read(&departure)).collect()
    }

    /// The same as octets.
    pub(super) fn deadline_raw(&mut self) -> Vec<Vec<u8>> {
        self.outbox.clear();
        self.engine.handle_deadline(self.now, &mut self.outbox);
        let departures: Vec<_> = self.outbox.departures(&[]).map(|d| d.packet.to_vec()).collect();
        assert!(!departures.is_empty());
        departures
    }

    pub(super) fn client(&mut self, seq: u32, ack: u32, flags: u8, payload: &str) -> Vec<String> {
        let packet = self.craft(Leg::Outside, seq, ack, flags, payload);
        self.send(Leg::Outside, packet)
    }

    /// The first packet that leaves, as it is.
    pub(super) fn client_raw(&mut self, seq: u32, ack: u32, flags: u8, payload: &str) -> Vec<u8> {
        self.client(seq, ack, flags, payload);
        self.raw.clone()
    }

    pub(super) fn server(&mut self, seq: u32, ack: u32, flags: u8, payload: &str) -> Vec<String> {
        let packet = self.craft(Leg::Inside, seq, ack, flags, payload);
        self.send(Leg::Inside, packet)
    }
}

#[test]
fn a_refused_command_becomes_noop_and_its_reply_the_refusal() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    assert_eq!(trace.server(1, 1, ACK | PSH, "220 mx2\r\n"), ["outside 1 1 P. \"220 **2\\r\\n\""]);
    assert_eq!(trace.client(1, 10, ACK | PSH, "EHLO me\r\n"), ["inside 1 10 P. \"NOOP   \\r\\n\""]);
    assert_eq!(
        trace.server(10, 10, ACK | PSH, "250 OK\r\n"),
        ["outside 10 10 P. \"500 Command unrecognized\\r\\n\""]
    );
    // The refusal is 18 octets longer than the reply: 36 here is 18 there.
    assert_eq!(trace.client(10, 36, ACK | PSH, "HELO a\r\n"), ["inside 10 18 P. \"HELO a\\r\\n\""]);
    assert_eq!(
        trace.server(18, 18, ACK | PSH, "250 hi\r\n"),
        ["outside 36 18 P. \"250 hi\\r\\n\""]
    );
    assert_eq!(trace.client(18, 44, ACK | FIN, ""), ["inside 18 26 F. \"\""]);
    assert_eq!(trace.server(26, 19, ACK | FIN, ""), ["outside 44 19 F. \"\""]);
    assert_eq!(trace.client(19, 45, ACK, ""), ["inside 19 27 . \"\""]);
    let events = trace.engine.counters();
    assert_eq!((events.events(Event::CommandRefused), events.drops_total()), (1, 0));
    trace.now = Instant::from_millis(60_000);
    trace.engine.handle_deadline(trace.now, &mut trace.outbox);
    assert_eq!(trace.engine.counters().flows, 0);
}

#[test]
fn x_alone_grows_and_both_sides_agree_on_the_numbers() {
    let mut trace = Trace::open(&Personality::PIX40);
    trace.server(1, 1, ACK, "220 m\r\n");
    // Character by character: X is traded for N, its CR for OOP and CR.
    assert_eq!(trace.client(1, 8, ACK, "X"), ["inside 1 8 . \"N\""]);
    assert_eq!(trace.client(2, 8, ACK, "\r"), ["inside 2 8 . \"OOP\\r\""]);
    assert_eq!(trace.client(3, 8, ACK, "\n"), ["inside 6 8 . \"\\n\""]);
    assert_eq!(trace.server(8, 7, ACK, "250 2.0.0 Ok\r\n"), ["outside 8 4 . \"250 OK\\r\\n\""]);
    // Inside of the grown edit the acknowledgement stands still; the window goes on.
    let mut trace = Trace::open(&Personality::PIX40);
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "X\r\n");
    assert_eq!(trace.server(8, 4, ACK, ""), ["outside 8 2 . \"\""]);
    assert_eq!(trace.server(8, 5, ACK, ""), ["outside 8 2 . \"\""]);
    assert_eq!(trace.server(8, 7, ACK, ""), ["outside 8 4 . \"\""]);
}

#[test]
fn a_repeat_leaves_as_the_first_copy_did_however_it_is_cut() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    assert_eq!(trace.client(1, 8, ACK, "X\r\nNOOP\r\n"), ["inside 1 8 . \"NOOP\\r\\nNOOP\\r\\n\""]);
    assert_eq!(trace.client(1, 8, ACK, "X\r\nNOOP\r\n"), ["inside 1 8 . \"NOOP\\r\\nNOOP\\r\\n\""]);
    assert_eq!(trace.client(2, 8, ACK, "\r\nNO"), ["inside 2 8 . \"OOP\\r\\nNO\""]);
    assert_eq!(trace.client(4, 8, ACK, "EVIL\r\n"), ["inside 7 8 . \"NOOP\\r\\n\""]);
    assert_eq!(trace.engine.counters().events(Event::Replayed), 3);
    // Once acknowledged, a repeat is answered at once, with what the receiver has said.
    assert_eq!(trace.server(8, 13, ACK, ""), ["outside 8 10 . \"\""]);
    assert_eq!(trace.client(1, 8, ACK, "X\r\nNOOP\r\n"), ["outside 8 10 . \"\""]);
}

#[test]
fn what_comes_early_waits_and_the_sender_is_told() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.sack = true;
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    assert_eq!(
        trace.client(9, 8, ACK, "EXPN\r\n"),
        ["inside 1 8 . \"\"", "outside 8 1 . \"\" sack 9-15"]
    );
    // The receiver says nothing of it, and what it repeats is not the sender's to hear.
    assert!(trace.server(8, 1, ACK, "").is_empty());
    assert_eq!(trace.client(15, 8, ACK, "NOOP\r\n"), ["outside 8 1 . \"\" sack 9-21"]);
    // What waits already and comes again is called a repeat, inside of its island (RFC 2883 section 4).
    assert_eq!(trace.client(11, 8, ACK, "PN\r\n"), ["outside 8 1 . \"\" sack 11-15 sack 9-21"]);
    assert_eq!(
        trace.client(1, 8, ACK, "HELO a\r\n"),
        ["inside 1 8 . \"HELO a\\r\\nNOOP\\r\\nNOOP\\r\\n\"", "outside 8 21 . \"\""]
    );
    // The receiver's acknowledgement inside of what was promised says nothing, but for its window.
    assert_eq!(trace.server(8, 12, ACK, ""), ["outside 8 21 . \"\""]);
    assert!(trace.server(8, 12, ACK, "").is_empty());
    // From there on it speaks for itself.
    assert_eq!(trace.client(21, 8, ACK, "NOOP\r\n"), ["inside 21 8 . \"NOOP\\r\\n\""]);
    assert_eq!(trace.server(8, 27, ACK, ""), ["outside 8 27 . \"\""]);
    // A repeat is called one (RFC 2883 section 4).
    let repeat = trace.client(21, 8, ACK, "NOOP\r\n");
    assert_eq!(repeat, ["outside 8 27 . \"\" sack 21-27"]);
}

#[test]
fn what_was_promised_and_got_lost_is_repeated_out_of_the_store() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.sack = true;
    trace.handshake();
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(7, 8, ACK, "NOOP\r\n");
    trace.client(13, 8, ACK, "RSET\r\n");
    trace.client(1, 8, ACK, "QUIT\r\n");
    // The middle one was lost behind the guard, or is late.
    let left = trace.server_with_sack(8, 7, (13, 19)).concat();
    assert!(!left.contains("NOOP"), "{left}");
    let due = trace.engine.next_deadline().unwrap();
    assert!(due - trace.now <= Duration::from_millis(2));
    trace.now = due;
    assert_eq!(trace.deadline(), ["inside 7 8 P. \"NOOP\\r\\n\""]);
    assert!(trace.server(8, 19, ACK, "").len() <= 1);
    trace.now = due + Duration::from_secs(60);
    assert!(trace.deadline().is_empty(), "it has arrived");
}

#[test]
fn without_sack_each_segment_behind_the_hole_gets_its_duplicate() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "HELO a\r\n");
    // The first one acknowledges what came before the hole, for the receiver may be delaying that: as
    // there it is no duplicate then, and what is late by three draws no needless repeat.
    assert_eq!(trace.client(15, 8, ACK, "NOOP\r\n"), ["outside 8 9 . \"\""]);
    assert_eq!(trace.client(21, 8, ACK, "NOOP\r\n"), ["outside 8 9 . \"\""]);
    assert!(trace.server(8, 9, ACK, "").is_empty(), "it would look like a duplicate");
    assert_eq!(trace.client(27, 8, ACK, "NOOP\r\n"), ["outside 8 9 . \"\""]);
}

#[test]
fn octets_behind_data_wait_for_the_code() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    assert_eq!(trace.client(1, 8, ACK, "DATA\r\nEXPN\r\n"), ["inside 1 8 . \"DATA\\r\\n\""]);
    assert_eq!(
        trace.server(8, 7, ACK, "503 no\r\n"),
        ["outside 8 7 . \"503 no\\r\\n\"", "inside 7 8 P. \"NOOP\\r\\n\""]
    );
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "DATA\r\nEXPN\r\n");
    assert_eq!(
        trace.server(8, 7, ACK, "354 go\r\n"),
        ["outside 8 7 . \"354 go\\r\\n\"", "inside 7 8 P. \"EXPN\\r\\n\""]
    );
}

#[test]
fn the_fin_waits_behind_what_waits() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    assert_eq!(trace.client(1, 8, ACK | FIN, "DATA\r\nEXPN\r\n"), ["inside 1 8 . \"DATA\\r\\n\""]);
    assert_eq!(
        trace.server(8, 7, ACK, "503 no\r\n"),
        ["outside 8 7 . \"503 no\\r\\n\"", "inside 7 8 FP. \"NOOP\\r\\n\""]
    );
    assert_eq!(trace.server(16, 14, ACK, ""), ["outside 16 14 . \"\""]);
}

#[test]
fn nothing_leaves_beyond_the_receivers_window_but_a_probe() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    let line = "X\r\n".repeat(300);
    let left = trace.client(1, 8, ACK, &line);
    assert_eq!(left.len(), 2, "1,800 octets into a window of 1,000, in segments of 536");
    let whole: usize = left.iter().map(|line| line.matches("NOOP").count()).sum();
    assert_eq!(whole, 166);
    let left = trace.server(8, 1001, ACK, "");
    assert!(left[0].starts_with("outside 8 500 "), "{left:?}");
    assert!(left[1].starts_with("inside 1001 8 "), "{left:?}");
}

#[test]
fn resets_pass_at_the_number_that_the_receiver_expects() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "X\r\n");
    assert!(trace.client(5000, 8, RST | ACK, "").is_empty());
    assert_eq!(trace.client(4, 8, RST | ACK, ""), ["inside 7 8 R. \"\""]);
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.client(0, 0, SYN, "");
    assert_eq!(trace.server(0, 1, RST | ACK, ""), ["outside 0 1 R. \"\""]);
}

#[test]
fn strangers_are_dropped_and_the_inside_is_told() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    assert!(trace.client(1, 1, ACK, "EHLO\r\n").is_empty());
    assert_eq!(trace.server(1, 1, ACK, "250 OK\r\n").len(), 1);
    assert_eq!(trace.engine.counters().drops(DropReason::NotSyn), 2);
    let mut trace = Trace::new(&Personality::OFF);
    assert_eq!(trace.client(1, 1, ACK, "EHLO\r\n"), ["inside 1 1 . \"EHLO\\r\\n\""]);
}

#[test]
fn a_server_that_takes_mail_data_for_a_refused_command_ends_the_flow() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.client(1, 8, ACK, "DATAX\r\n");
    let left = trace.server(8, 8, ACK, "354 go\r\n");
    assert_eq!(left[1..], ["inside 8 8 R. \"\"", "outside 34 8 R. \"\"", "outside 8 8 R. \"\""]);
    assert_eq!(trace.client(8, 8, ACK, "EHLO\r\n"), ["outside 8 8 R \"\""]);
    assert_eq!(trace.engine.counters().drops(DropReason::FlowEnded), 1);
}

#[test]
fn a_connection_that_a_class_drops_is_dropped_in_silence() {
    let mut trace = Trace::open(&Personality::ASA72);
    trace.server(1, 1, ACK, "220 m\r\n");
    let line = format!("HELO {}\r\n", "a".repeat(600));
    let left = trace.client(1, 8, ACK, &line);
    assert!(left.iter().all(|line| line.starts_with("inside") && !line.contains('R')), "{left:?}");
    assert!(!left.concat().contains("\\r"), "the line has no end: {left:?}");
    assert!(trace.client(1, 8, ACK, &line).is_empty() && trace.server(8, 1, ACK, "").is_empty());
    let counters = trace.engine.counters();
    assert_eq!(
        (counters.events(Event::ClassMatched), counters.drops(DropReason::FlowEnded)),
        (1, 2)
    );
}
