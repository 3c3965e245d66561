//! How an application writes and reads its socket: in which pieces, and how fast.

use fastrand::Rng;
use smoltcp::socket::tcp::{RecvError, Socket};

/// Where writes are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Whole,
    Lines,
    /// One octet a segment, as when a person types.
    Octets,
    /// Pieces of up to so many octets.
    Random(usize),
}

/// The habits of one application.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) cut: Cut,
    /// Longest pause between two writes, in microseconds.
    pub(crate) gap: u64,
    /// Most octets that one read takes.
    pub(crate) read: usize,
    /// Longest pause between two reads, in microseconds.
    pub(crate) read_gap: u64,
}

impl Pace {
    /// As fast as it goes.
    pub(crate) const PLAIN: Self = Self { cut: Cut::Whole, gap: 0, read: usize::MAX, read_gap: 0 };

    pub(crate) fn seeded(rng: &mut Rng) -> Self {
        let most = rng.usize(1..400);
        let (cut, gap) = *rng
            .choice(&[
                (Cut::Whole, 0),
                (Cut::Whole, 20_000),
                (Cut::Lines, 0),
                (Cut::Lines, 3_000),
                (Cut::Octets, 0),
                (Cut::Octets, 200),
                (Cut::Random(most), 0),
                (Cut::Random(most), 2_000),
            ])
            .unwrap_or(&(Cut::Whole, 0));
        let slow = rng.u8(..4) == 0;
        Self {
            cut,
            gap,
            read: if slow { rng.usize(200..3000) } else { usize::MAX },
            read_gap: if slow { rng.u64(0..20_000) } else { 0 },
        }
    }
}

/// The writing side of an application.
#[derive(Debug)]
pub(crate) struct Writer {
    /// What is to be written from here on.
    queue: Vec<u8>,
    at: usize,
    next: u64,
    close: bool,
    closed: bool,
    /// What the socket has taken.
    pub(crate) sent: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { queue: Vec::new(), at: 0, next: 0, close: false, closed: false, sent: Vec::new() }
    }

    pub(crate) fn put(&mut self, octets: &[u8], not_before: u64) {
        if self.at == self.queue.len() {
            self.queue.clear();
            self.at = 0;
            self.next = self.next.max(not_before);
        }
        self.queue.extend_from_slice(octets);
    }

    /// Closes after what was put.
    pub(crate) fn close(&mut self) {
        self.close = true;
    }

    pub(crate) fn idle(&self) -> bool {
        self.at == self.queue.len()
    }

    /// Writes at most one piece, and at most `room` octets; true if it did something.
    pub(crate) fn poll(
        &mut self,
        now: u64,
        socket: &mut Socket<'_>,
        room: usize,
        pace: &Pace,
        rng: &mut Rng,
    ) -> bool {
        if self.idle() {
            if self.close && !self.closed {
                socket.close();
                self.closed = true;
                return true;
            }
            return false;
        }
        if now < self.next || !socket.may_send() {
            return false;
        }
        let rest = &self.queue[self.at..];
        let len = match pace.cut {
            Cut::Whole => rest.len(),
            Cut::Lines => {
                rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |at| at + 1)
            }
            // Bulk is not typed.
            Cut::Octets if rest.len() > 3000 => rest.len() - 3000,
            Cut::Octets => 1,
            Cut::Random(most) => rng.usize(1..=most.max(rest.len() / 50)).min(rest.len()),
        };
        let taken = socket.send_slice(&rest[..len.min(room)]).unwrap_or(0);
        self.sent.extend_from_slice(&rest[..taken]);
        self.at += taken;
        if taken == len {
            self.next = now + rng.u64(0..=pace.gap);
        }
        taken > 0
    }

    pub(crate) fn wake(&self, now: u64) -> Option<u64> {
        (!self.idle() && self.next > now).then_some(self.next)
    }
}

/// The reading side of an application.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    next: u64,
    /// All that was read.
    pub(crate) received: Vec<u8>,
    /// The peer closed, in order.
    pub(crate) eof: bool,
    /// The connection was reset.
    pub(crate) reset: bool,
}

impl Reader {
    /// Reads once; true if something came.
    pub(crate) fn poll(
        &mut self,
        now: u64,
        socket: &mut Socket<'_>,
        pace: &Pace,
        rng: &mut Rng,
    ) -> bool {
        if now < self.next || self.at_end() {
            return false;
        }
        let result = socket.recv(|octets| {
            let len = octets.len().min(pace.read);
            self.received.extend_from_slice(&octets[..len]);
            (len, len)
        });
        match result {
            Ok(0) => false,
            Ok(_) => {
                self.next = now + rng.u64(0..=pace.read_gap);
                true
            }
            Err(RecvError::Finished) => {
                self.eof = true;
                true
            }
            Err(RecvError::InvalidState) => {
                self.reset = true;
                true
            }
        }
    }

    /// Nothing more will come.
    pub(crate) fn at_end(&self) -> bool {
        self.eof || self.reset
    }

    pub(crate) fn wake(&self, now: u64) -> Option<u64> {
        (!self.at_end() && self.next > now).then_some(self.next)
    }
}
