//! An engine, and the two ends of a connection through it, as far as a measurement needs them.

use std::net::SocketAddr;
use std::sync::Arc;

use etherparse::{IpNumber, Ipv4Header, TcpHeader, TcpOptionElement as Element};
use mailguard::direction::Leg;
use mailguard::engine::{Arrival, Engine, EngineConfig, Outbox};
use mailguard::policy::{Bounds, Midstream, Personality, Policy};
use mailguard::stream::Buffer;
use mailguard::time::Instant;
use mailguard::wire::offload::Offload;
use mailguard::wire::packet::{Headers, flags, seal};

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Client = 0,
    Server = 1,
}

impl Who {
    fn other(self) -> Self {
        if self == Self::Client { Self::Server } else { Self::Client }
    }

    fn leg(self) -> Leg {
        if self == Self::Client { Leg::Outside } else { Leg::Inside }
    }
}

/// A packet on its way in.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) leg: Leg,
    pub(crate) room: Buffer,
    pub(crate) len: usize,
    pub(crate) offload: Offload,
}

impl Clone for Packet {
    /// In a buffer of its own, as it comes.
    fn clone(&self) -> Self {
        Self { room: Buffer::from(&*self.room), ..*self }
    }
}

/// What is measured.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) engine: Engine,
    pub(crate) outbox: Outbox,
    pub(crate) now: Instant,
}

impl Guard {
    /// A guard with that personality on port 25, or one that inspects nothing.
    pub(crate) fn new(personality: Option<&str>) -> Self {
        let named = |name| Personality::named(name).expect("a preset").clone();
        let ports: &[u16] = if personality.is_some() { &[25] } else { &[] };
        let policy = Policy::new(Arc::new(named(personality.unwrap_or("off"))), ports);
        let engine = Engine::new(EngineConfig {
            policy,
            seed: 1,
            offload: true,
            fail_open: false,
            midstream: Midstream::Drop,
            bounds: Bounds::default(),
        });
        Self { engine, outbox: Outbox::default(), now: Instant::from_millis(1000) }
    }

    /// One packet, as a worker hands it in.
    pub(crate) fn handle(&mut self, packet: &mut Packet) {
        self.outbox.clear();
        let Packet { leg, room, len, offload } = packet;
        let arrival = Arrival::new(*leg, *offload);
        self.engine.handle_buffer(self.now, arrival, room, *len, &mut self.outbox);
    }

    /// The deadlines that have passed, as a worker calls for them.
    pub(crate) fn deadline(&mut self) {
        self.outbox.clear();
        self.engine.handle_deadline(self.now, &mut self.outbox);
    }
}

/// The two ends of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    ends: [SocketAddr; 2],
    /// The next number of each end.
    seq: [u32; 2],
    /// The next number that each end expects.
    expects: [u32; 2],
    ticks: u32,
}

impl Talk {
    /// The ends of the connection of that number, which have not said anything.
    pub(crate) fn new(number: u32) -> Self {
        let [_, a, b, c] = (number / 16).to_be_bytes();
        let client = SocketAddr::from(([10, a, b, c], 40_000 + (number % 16) as u16));
        let server = SocketAddr::from(([198, 51, 100, 25], 25));
        Self { ends: [client, server], seq: [1000, 5000], expects: [0, 0], ticks: 100 }
    }

    /// A packet that `who` sends next. Its checksum is the kernel's to finish.
    pub(crate) fn packet(&mut self, who: Who, control: u8, payload: &[u8]) -> Packet {
        let at = who as usize;
        let (source, destination) = (self.ends[at], self.ends[1 - at]);
        let mut tcp = TcpHeader::new(source.port(), destination.port(), self.seq[at], 0xffff);
        tcp.syn = control & flags::SYN != 0;
        tcp.ack = control & flags::ACK != 0;
        tcp.psh = !payload.is_empty();
        tcp.acknowledgment_number = self.expects[at];
        // The server is half a minute of ticks ahead, as no two clocks agree.
        let tick = |of: usize, ticks: u32| ticks + 30_000 * of as u32;
        let echo = if tcp.ack { tick(1 - at, self.ticks) } else { 0 };
        let stamps = Element::Timestamp(tick(at, self.ticks), echo);
        let options = if tcp.syn {
            vec![
                Element::MaximumSegmentSize(1460),
                Element::SelectiveAcknowledgementPermitted,
                stamps,
                Element::Noop,
                Element::WindowScale(7),
            ]
        } else {
            vec![Element::Noop, Element::Noop, stamps]
        };
        tcp.set_options(&options).expect("they fit");
        let (from, to) = match (source, destination) {
            (SocketAddr::V4(from), SocketAddr::V4(to)) => (from.ip().octets(), to.ip().octets()),
            _ => unreachable!("the ends are IPv4"),
        };
        let len = tcp.header_len() + payload.len();
        let mut ip = Ipv4Header::new(len as u16, 64, IpNumber::TCP, from, to).expect("it fits");
        ip.dont_fragment = true;
        let mut octets = Vec::new();
        ip.write(&mut octets).expect("a vector takes all");
        let start = octets.len();
        tcp.write(&mut octets).expect("a vector takes all");
        octets.extend_from_slice(payload);
        seal(&mut octets, start, (source.ip(), destination.ip()), true);
        let ends = control & (flags::SYN | flags::FIN) != 0;
        self.seq[at] = self.seq[at].wrapping_add(payload.len() as u32 + u32::from(ends));
        self.ticks += 1;
        let gso_size = (payload.len() > 1448).then_some(1448);
        let offload = Offload { partial_checksum: true, gso_size, ..Offload::default() };
        let (mut room, len) = (Buffer::room(), octets.len());
        room.get_mut().expect("a room of its own")[..len].copy_from_slice(&octets);
        Packet { leg: who.leg(), room, len, offload }
    }

    /// A packet with payload.
    pub(crate) fn says(&mut self, who: Who, payload: &[u8]) -> Packet {
        self.packet(who, flags::ACK, payload)
    }

    /// An acknowledgement alone.
    pub(crate) fn acks(&mut self, who: Who) -> Packet {
        self.packet(who, flags::ACK, &[])
    }

    /// Both ends take what the last call has left for them.
    pub(crate) fn learn(&mut self, guard: &Guard, packet: &Packet) {
        for departure in guard.outbox.departures(&packet.room[..packet.len]) {
            let headers = Headers::parse(departure.packet).expect("well-formed");
            let to = if departure.leg == Leg::Inside { Who::Server } else { Who::Client };
            let ends = headers.has(flags::SYN) || headers.has(flags::FIN);
            let next = headers.seq.wrapping_add(headers.payload_len() as u32 + u32::from(ends));
            let expects = &mut self.expects[to as usize];
            if headers.has(flags::SYN) || next.wrapping_sub(*expects) < 1 << 31 {
                *expects = next;
            }
        }
    }

    /// Hands a packet in, and lets both ends take what comes of it.
    pub(crate) fn pass(&mut self, guard: &mut Guard, mut packet: Packet) {
        guard.handle(&mut packet);
        assert!(!guard.outbox.is_empty(), "the guard has swallowed a packet");
        self.learn(guard, &packet);
    }

    /// `who` says something, and the other end acknowledges it.
    pub(crate) fn exchange(&mut self, guard: &mut Guard, who: Who, payload: &[u8]) {
        let packet = self.says(who, payload);
        self.pass(guard, packet);
        let packet = self.acks(who.other());
        self.pass(guard, packet);
    }

    /// The handshake.
    pub(crate) fn shake_hands(&mut self, guard: &mut Guard) {
        let syn = self.packet(Who::Client, flags::SYN, &[]);
        self.pass(guard, syn);
        let answer = self.packet(Who::Server, flags::SYN | flags::ACK, &[]);
        self.pass(guard, answer);
        let ack = self.acks(Who::Client);
        self.pass(guard, ack);
    }

    /// A connection that has been greeted and has greeted, and is idle.
    pub(crate) fn open(guard: &mut Guard, number: u32) -> Self {
        let mut talk = Self::new(number);
        talk.shake_hands(guard);
        talk.exchange(guard, Who::Server, b"220 mail.example.com ESMTP\r\n");
        talk.exchange(guard, Who::Client, b"HELO client.example.com\r\n");
        talk.exchange(guard, Who::Server, b"250 mail.example.com\r\n");
        talk
    }

    /// A connection in mail data.
    pub(crate) fn in_mail_data(guard: &mut Guard) -> Self {
        let mut talk = Self::open(guard, 1);
        talk.exchange(guard, Who::Client, b"MAIL FROM:<a@example.com>\r\n");
        talk.exchange(guard, Who::Server, b"250 ok\r\n");
        talk.exchange(guard, Who::Client, b"RCPT TO:<b@example.com>\r\n");
        talk.exchange(guard, Who::Server, b"250 ok\r\n");
        talk.exchange(guard, Who::Client, b"DATA\r\n");
        talk.exchange(guard, Who::Server, b"354 go\r\n");
        talk.exchange(guard, Who::Client, b"Subject: measured\r\n\r\n");
        talk
    }
}

/// Mail data as an attachment has it: base64 in lines of 76 octets.
pub(crate) fn mail_lines(len: usize) -> Vec<u8> {
    let line = b"TWFpbGd1YXJkIG1lYXN1cmVzIHdoYXQgYSBsaW5lIG9mIGFuIGF0dGFjaG1lbnQgY29zdHMgaXQu\r\n";
    line.iter().copied().cycle().take(len).collect()
}
