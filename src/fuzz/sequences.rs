//! Packets of a live connection: each step of the input is one packet with fields near those that
//! its sender would use, or a span of time. The server is a real one, and never lies about what it
//! has said; the client may say anything.

use core::time::Duration;

use super::craft::{Segment, cut, icmp_error, mend};
use super::cursor::Cursor;
use super::guard::{Guard, Left};
use super::laws::Laws;
use super::server::Server;
use crate::direction::{ByDirection, Direction, Leg};
use crate::wire::offload::Offload;
use crate::wire::packet::{Headers, flags};

use flags::{ACK, FIN, PSH, RST, SYN};

/// Steps that count, so that no input takes long.
const STEPS_MAX: usize = 400;

/// What a client says.
const WORDS: [&[u8]; 32] = [
    b"HELO a\r\n",
    b"EHLO a\r\n",
    b"MAIL FROM:<a@b>\r\n",
    b"RCPT TO:<c@d>\r\n",
    b"DATA\r\n",
    b"DATA\r",
    b"data \r\n",
    b"\r\n.\r\n",
    b".\r\n",
    b"QUIT\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"EXPN root\r\n",
    b"X\r\n",
    b"X\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"NO",
    b"OP",
    b"E",
    b"XPN",
    b"H",
    b" ",
    b"\t",
    b"HELP\r\n",
    b"D",
    b"ATA",
    b"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    b"\0\xff",
    b"a line of mail data that is long enough to be cut into pieces\r\n",
    b"..\r\n.\n.\r.\r\n",
];

/// One end, as the sender in a direction.
#[derive(Debug, Default)]
struct End {
    /// All that it says.
    said: Vec<u8>,
    /// How much of it was sent.
    next: usize,
    iss: u32,
    options: u8,
    /// The newest timestamp of the other end.
    echo: u32,
}

/// A packet in the making.
#[derive(Debug, Clone, Copy)]
struct Draft {
    /// Its number, counted from the sender's first octet.
    at: i64,
    len: usize,
    flags: u8,
    /// Octets that are not what the sender said there before.
    is_other: bool,
    /// Added to the acknowledgement.
    ack: i32,
    /// Reports what lies behind a hole.
    sack: bool,
}

impl Draft {
    const fn new(at: i64, len: usize, flags: u8) -> Self {
        Self { at, len, flags, is_other: false, ack: 0, sack: false }
    }
}

struct Play<'a> {
    cursor: Cursor<'a>,
    guard: Guard,
    laws: Laws,
    ends: ByDirection<End>,
    mood: &'a [u8],
    server: Server<'a>,
    /// What the server has read.
    eaten: usize,
    /// The server was reset, or has reset: it remembers nothing of the connection.
    is_server_dead: bool,
    ipv6: bool,
    window: u16,
    /// What left last by each leg.
    last: [Vec<u8>; 2],
    identification: u32,
}

/// How the guard and both ends are set up, then the steps.
pub fn sequences(octets: &[u8]) {
    let mut cursor = Cursor::new(octets);
    let guard = Guard::strict(&mut cursor);
    let ends = cursor.octet();
    let options = cursor.octet();
    let mood = cursor.slice(8);
    let near_wrap = ends & 2 != 0;
    let end = |iss, options| End { iss, options, ..End::default() };
    let mut play = Play {
        guard,
        laws: Laws::default(),
        ends: ByDirection {
            to_server: end(if near_wrap { u32::MAX - 9 } else { 1000 }, options & 15),
            to_client: end(if near_wrap { u32::MAX - 99 } else { 70_000 }, options >> 4),
        },
        mood,
        server: Server::new(mood),
        eaten: 0,
        is_server_dead: false,
        ipv6: ends & 1 != 0,
        window: [60, 500, 20_000, 65_535][usize::from(ends >> 2 & 3)],
        last: [Vec::new(), Vec::new()],
        identification: 0,
        cursor,
    };
    if ends & 16 == 0 {
        play.handshake();
    }
    for _ in 0..STEPS_MAX {
        if play.cursor.is_done() {
            break;
        }
        play.step();
    }
}

impl Play<'_> {
    fn handshake(&mut self) {
        self.syn(Direction::ToServer, 0);
        self.syn(Direction::ToClient, 0);
        self.send(Direction::ToServer, Draft::new(0, 0, ACK), 0);
    }

    fn step(&mut self) {
        let op = self.cursor.octet();
        let direction = if op & 0x80 == 0 { Direction::ToServer } else { Direction::ToClient };
        let twist = op >> 4 & 7;
        let next = self.ends[direction].next;
        match op & 15 {
            0..=2 => self.say(direction, twist, 0),
            3 => {
                let skipped = self.cursor.below(8) + 1;
                self.say(direction, twist, skipped);
            }
            4 | 5 => {
                let (back, len) = (self.cursor.below(64), self.cursor.below(80));
                let at = next.saturating_sub(back);
                let len = len.min(self.ends[direction].said.len() - at);
                let mut draft = Draft::new(at as i64, len, ACK);
                draft.is_other = op & 15 == 5 && direction == Direction::ToServer;
                self.send(direction, draft, twist);
            }
            6 | 7 => {
                let mut draft = Draft::new(next as i64, 0, ACK);
                draft.sack = op & 15 == 7;
                draft.ack = if twist == 7 { self.delta() } else { 0 };
                self.send(direction, draft, twist);
            }
            8 => self.send(direction, Draft::new(next as i64, 0, ACK | FIN), twist),
            9 => {
                let delta = i64::from(self.delta());
                let flags = if twist & 1 == 0 { RST } else { RST | ACK };
                let draft = Draft::new(next as i64 + delta, 0, flags);
                self.send(direction, draft, twist & 6);
            }
            10 => self.syn(direction, twist),
            11 => {
                let left = self.guard.wait(Duration::from_millis(1 << (self.cursor.octet() % 23)));
                self.hear(left);
            }
            12 => self.icmp(direction),
            13 => {
                let mut draft = Draft::new(next as i64 - 1, usize::from(twist & 1), ACK);
                draft.is_other = direction == Direction::ToServer;
                draft.len = if draft.is_other { draft.len } else { 0 };
                self.send(direction, draft, twist & 6);
            }
            14 => {
                let delta = i64::from(self.delta());
                let len = self.cursor.below(40);
                let mut draft = Draft::new(next as i64 + delta, len, ACK | PSH);
                draft.is_other = direction == Direction::ToServer;
                draft.len = if draft.is_other { len } else { 0 };
                self.send(direction, draft, twist);
            }
            _ => {
                let whole = self.ends[direction].said.len() - next;
                self.send(direction, Draft::new(next as i64, whole, ACK | PSH), twist);
            }
        }
    }

    /// A number that is often small, and sometimes not.
    fn delta(&mut self) -> i32 {
        let (octet, sign) = (self.cursor.octet(), self.cursor.octet());
        let size = if octet < 192 { i32::from(octet % 64) } else { 1 << (octet % 31) };
        if sign & 1 == 0 { size } else { -size }
    }

    /// The next words, some of them held back.
    fn say(&mut self, direction: Direction, twist: u8, skipped: usize) {
        let how = self.cursor.octet();
        let end = &mut self.ends[direction];
        if direction == Direction::ToServer && how & 0x80 == 0 {
            end.said.extend_from_slice(WORDS[usize::from(how & 31)]);
        }
        let start = (end.next + skipped).min(end.said.len());
        let most = if how & 0x60 == 0x60 { 1 } else { usize::from(how & 0x1f) + 3 };
        let len = (end.said.len() - start).min(if how & 0x80 == 0 { 600 } else { most });
        self.send(direction, Draft::new(start as i64, len, ACK | PSH), twist);
    }

    fn syn(&mut self, direction: Direction, twist: u8) {
        let is_other = twist & 1 != 0 || (self.is_server_dead && direction == Direction::ToClient);
        if direction == Direction::ToClient && is_other {
            self.ends.to_client.iss = self.ends.to_client.iss.wrapping_add(0x0101_0101);
            self.is_server_dead = false;
        }
        let mut iss = self.ends[direction].iss;
        if direction == Direction::ToServer && is_other {
            iss = iss.wrapping_add(0x0030_0000 * u32::from(twist));
        }
        let flags = if direction == Direction::ToServer { SYN } else { SYN | ACK };
        let mut ack = self.ends[!direction].iss.wrapping_add(1);
        if let Ok(heard) = Headers::parse(&self.last[1]) {
            // It answers the SYN that it has heard last, if that was one.
            let is_syn = heard.has(SYN) && direction == Direction::ToClient;
            ack = if is_syn { heard.seq.wrapping_add(1) } else { ack };
        }
        let bits = self.ends[direction].options;
        let mut options = vec![2, 4, 2, 24];
        if bits & 1 != 0 {
            options.extend([4, 2]);
        }
        if bits & 2 != 0 {
            options.extend([3, 3, bits & 12]);
        }
        self.stamp(direction, &mut options, 0);
        let packet = Segment {
            direction,
            ipv6: self.ipv6,
            seq: iss,
            ack: if direction == Direction::ToServer { 0 } else { ack },
            flags,
            window: self.window,
            options: &options,
            payload: if twist & 4 != 0 { b"early" } else { b"" },
        };
        self.give(direction, &packet.packet());
    }

    /// Timestamps, if the end has them; old ones on a twist.
    fn stamp(&self, direction: Direction, options: &mut Vec<u8>, age: u32) {
        if self.ends[direction].options & 4 == 0 {
            return;
        }
        let value = 1000 + (self.guard.now.as_micros() / 1000) as u32;
        options.extend([1, 1, 8, 10]);
        options.extend(value.wrapping_sub(age).to_be_bytes());
        options.extend(self.ends[direction].echo.to_be_bytes());
    }

    fn send(&mut self, direction: Direction, draft: Draft, twist: u8) {
        let other = &self.laws.ways[!direction];
        let their_iss = other.iss.unwrap_or_else(|| self.ends[!direction].iss);
        let at = |iss: u32, offset: i64| iss.wrapping_add(1).wrapping_add(offset as u32);
        let ack = at(their_iss, other.acknowledged() as i64);
        let mut options = Vec::new();
        self.stamp(direction, &mut options, if twist == 6 { 400 } else { 0 });
        if draft.sack
            && let Some((left, right)) = other.island()
        {
            options.extend([1, 1, 5, 10]);
            options.extend(at(their_iss, left as i64).to_be_bytes());
            options.extend(at(their_iss, right as i64).to_be_bytes());
        }
        let end = &self.ends[direction];
        let (start, len) = (usize::try_from(draft.at).unwrap_or(0), draft.len);
        let payload: Vec<u8> = if draft.is_other {
            let salt = self.cursor.octet();
            WORDS[usize::from(salt & 31)].iter().copied().cycle().take(len).collect()
        } else {
            end.said.get(start..start + len).unwrap_or_default().to_vec()
        };
        let window = match twist {
            3 => 0,
            4 => u16::from(self.cursor.octet()),
            _ => self.window,
        };
        let segment = Segment {
            direction,
            ipv6: self.ipv6,
            seq: at(end.iss, draft.at),
            ack: ack.wrapping_add_signed(draft.ack),
            flags: draft.flags,
            window,
            options: &options,
            payload: &payload,
        };
        let mut packet = segment.packet();
        let end = &mut self.ends[direction];
        if !draft.is_other && !payload.is_empty() {
            end.next = end.next.max(start + payload.len());
        }
        if twist == 5 {
            self.twist(direction, &mut packet, payload.is_empty());
        }
        if twist == 1 {
            self.identification += 1;
            let size = self.cursor.below(12) + 1;
            let mut pieces = cut(&packet, size, self.identification);
            if size & 1 == 0 {
                pieces.reverse();
            }
            self.note(direction, &packet);
            for piece in pieces {
                self.hand_in(direction, &piece);
            }
        } else {
            self.give(direction, &packet);
        }
    }

    /// Edits a header. What the server says stays where it is.
    fn twist(&mut self, direction: Direction, packet: &mut [u8], is_empty: bool) {
        let start = if self.ipv6 { 40 } else { 20 };
        let fields: &[usize] = if direction == Direction::ToServer || is_empty {
            &[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18, 19, 20, 21, 22, 23, 24, 25, 26]
        } else {
            &[8, 9, 10, 11, 14, 15, 18, 19]
        };
        let (which, bits) = (self.cursor.below(fields.len()), self.cursor.octet());
        if let Some(octet) = packet.get_mut(start + fields[which]) {
            // Another connection begins with a SYN that is made as one.
            *octet ^= if fields[which] == 13 { bits & !SYN } else { bits };
        }
        mend(packet);
    }

    fn icmp(&mut self, direction: Direction) {
        let (how, word) = (self.cursor.octet(), u32::from(self.cursor.u16()));
        let quoted = &self.last[usize::from(direction == Direction::ToServer)];
        let header_len = if self.ipv6 { 40 } else { 20 };
        let len = [header_len + 8, header_len + 11, header_len + 12, 600][usize::from(how >> 6)];
        let (kind, code) = match (self.ipv6, how & 3) {
            (false, 0) => (3, 4),
            (false, 1) => (11, 0),
            (true, 0) => (2, 0),
            (true, 1) => (3, 0),
            (_, kind) => (kind + 1, how >> 2 & 7),
        };
        let packet = icmp_error(kind, code, word, quoted, len);
        // It comes back to where the segment came from.
        self.hand_in(!direction, &packet);
    }

    fn note(&mut self, direction: Direction, packet: &[u8]) {
        let Ok(headers) = Headers::parse(packet) else { return };
        self.laws.input(direction, &headers);
        if headers.has(RST) && direction == Direction::ToClient {
            self.is_server_dead = true;
        }
    }

    fn give(&mut self, direction: Direction, packet: &[u8]) {
        self.note(direction, packet);
        self.hand_in(direction, packet);
    }

    fn hand_in(&mut self, direction: Direction, packet: &[u8]) {
        let leg = match direction {
            Direction::ToServer => Leg::Outside,
            Direction::ToClient => Leg::Inside,
        };
        let left = self.guard.give(leg, packet, Offload::default());
        self.hear(left);
    }

    /// Both ends get what left.
    fn hear(&mut self, left: Vec<Left>) {
        self.laws.called(self.guard.built());
        for left in left {
            let begins = self.laws.output(&left);
            let is_to_server = left.leg == Leg::Inside;
            if let Some(headers) = &left.headers {
                self.is_server_dead |= is_to_server && headers.has(RST);
                let reader = if is_to_server { Direction::ToClient } else { Direction::ToServer };
                if let Some((value, _)) = headers.options.timestamps {
                    self.ends[reader].echo = value;
                }
                self.last[usize::from(is_to_server)] = left.packet;
            }
            if begins {
                self.begin();
            }
        }
        let read = &self.laws.ways.to_server;
        if read.got < self.eaten {
            return;
        }
        for octet in read.out[self.eaten..read.got].iter().flatten() {
            self.server.take(*octet);
        }
        self.eaten = read.got;
        self.ends.to_client.said.clone_from(&self.server.said);
    }

    /// The server has agreed to a connection: both ends begin anew.
    fn begin(&mut self) {
        self.server = Server::new(self.mood);
        self.eaten = 0;
        self.is_server_dead = false;
        for direction in [Direction::ToServer, Direction::ToClient] {
            let iss = self.laws.ways[direction].iss;
            let end = &mut self.ends[direction];
            end.iss = iss.unwrap_or(end.iss);
            end.said.clear();
            end.next = 0;
        }
    }
}
