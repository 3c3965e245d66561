//! The laws of a connection, held against what left: only by what the guard was given and gave.

use super::guard::Left;
use crate::direction::{ByDirection, Direction, Leg};
use crate::wire::packet::{Headers, flags};

/// Offsets beyond this are those of another connection.
const FAR: i64 = 1 << 28;

/// One direction: a sender's octets as its receiver got them.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// The initial number of its sender, once it was told to the receiver.
    pub(super) iss: Option<u32>,
    /// What left for each offset.
    pub(super) out: Vec<Option<u8>>,
    /// What the receiver has without a hole.
    pub(super) got: usize,
    /// Where its FIN is.
    pub(super) fin: Option<usize>,
    /// The right edge of the receiver's window.
    edge: i64,
    /// Behind the last number that its sender used.
    in_end: i64,
}

/// Both directions of the one connection.
#[derive(Debug, Default)]
pub(super) struct Laws {
    pub(super) ways: ByDirection<Way>,
    built: u64,
    /// Window and shift in the SYNs of the end that sends in a direction.
    syns: ByDirection<(i64, Option<u8>)>,
}

fn offset(number: u32, iss: u32) -> i64 {
    i64::from(number.wrapping_sub(iss).wrapping_sub(1).cast_signed())
}

impl Way {
    fn begin(iss: u32, window: i64) -> Self {
        Self { iss: Some(iss), edge: window, ..Self::default() }
    }

    /// What its receiver acknowledges: the FIN counts as one.
    pub(super) fn acknowledged(&self) -> usize {
        self.got + usize::from(self.fin == Some(self.got))
    }

    /// Octets behind the first hole, as offsets.
    pub(super) fn island(&self) -> Option<(usize, usize)> {
        let start = (self.got..self.out.len()).find(|at| self.out[*at].is_some())?;
        let len = self.out[start..].iter().take_while(|octet| octet.is_some()).count();
        Some((start, start + len))
    }

    fn leaves(&mut self, start: i64, payload: &[u8], is_fin: bool) {
        let end = start + payload.len() as i64;
        let is_keep_alive = payload.len() == 1 && self.fin.is_some_and(|fin| fin as i64 == start);
        if is_keep_alive {
            return;
        }
        if !payload.is_empty() {
            assert!(end <= self.edge + 1, "L10: up to {end}, the window ends at {}", self.edge);
            assert!(self.fin.is_none_or(|fin| end <= fin as i64), "L14: octets behind the FIN");
            let known = self.out.len() as i64;
            assert!((-1..=known).contains(&start), "from {start}, the stream ends at {known}");
        }
        for (at, octet) in (start..).zip(payload) {
            let Ok(at) = usize::try_from(at) else { continue };
            if at >= self.out.len() {
                self.out.resize(at + 1, None);
            }
            let before = *self.out[at].get_or_insert(*octet);
            assert_eq!(before, *octet, "L9: octet {at} leaves otherwise than before");
        }
        while self.out.get(self.got).is_some_and(Option::is_some) {
            self.got += 1;
        }
        if is_fin {
            let is_end = end == self.out.len() as i64 && self.got == self.out.len();
            assert!(is_end, "L14: a FIN at {end} of {}", self.out.len());
            self.fin = Some(self.out.len());
        }
    }
}

impl Laws {
    /// The guard reads a packet.
    pub(super) fn input(&mut self, direction: Direction, headers: &Headers) {
        let (syn, window) = (headers.has(flags::SYN), i64::from(headers.window));
        if syn {
            let known = &mut self.syns[direction];
            *known = (known.0.max(window), headers.options.window_shift.or(known.1));
        }
        let shift = match (syn, self.syns.to_server.1, self.syns.to_client.1) {
            (false, Some(_), Some(_)) => self.syns[direction].1.unwrap_or(0),
            _ => 0,
        };
        let (this, other) = self.ways.both_mut(direction);
        if let Some(iss) = this.iss {
            let start = offset(headers.seq, iss) + i64::from(syn);
            let end = start + headers.payload_len() as i64 + i64::from(headers.has(flags::FIN));
            if start.abs() < FAR {
                this.in_end = this.in_end.max(end);
            }
        }
        if let Some(iss) = other.iss.filter(|_| headers.has(flags::ACK)) {
            let edge = offset(headers.ack, iss) + (window << shift);
            if edge.abs() < FAR << 3 {
                other.edge = other.edge.max(edge);
            }
        }
    }

    /// A call has ended: connections that have begun since then make the old one forgotten.
    pub(super) fn called(&mut self, built: u64) {
        if built != self.built {
            self.built = built;
            self.ways = ByDirection::default();
        }
    }

    /// A packet leaves. Whether a new connection begins with it.
    pub(super) fn output(&mut self, left: &Left) -> bool {
        let Some(headers) = &left.headers else { return false };
        if headers.has(flags::RST) {
            return false;
        }
        let direction = match left.leg {
            Leg::Inside => Direction::ToServer,
            Leg::Outside => Direction::ToClient,
        };
        if headers.has(flags::SYN) {
            return self.syn(direction, headers);
        }
        let (this, other) = self.ways.both_mut(direction);
        let (Some(mine), Some(theirs)) = (this.iss, other.iss) else {
            panic!("a segment leaves before its handshake");
        };
        let ack = offset(headers.ack, theirs);
        assert!(ack <= other.in_end, "L11: {ack} is told, {} was sent", other.in_end);
        let payload = headers.payload(&left.packet);
        this.leaves(offset(headers.seq, mine), payload, headers.has(flags::FIN));
        false
    }

    fn syn(&mut self, direction: Direction, headers: &Headers) -> bool {
        if direction == Direction::ToServer {
            self.ways.to_server.iss.get_or_insert(headers.seq);
            return false;
        }
        let isses = (headers.ack.wrapping_sub(1), headers.seq);
        if (self.ways.to_server.iss, self.ways.to_client.iss) == (Some(isses.0), Some(isses.1)) {
            return false;
        }
        self.ways.to_server = Way::begin(isses.0, self.syns.to_client.0);
        self.ways.to_client = Way::begin(isses.1, self.syns.to_server.0);
        true
    }
}
