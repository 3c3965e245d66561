//! A scripted SMTP client.

use fastrand::Rng;
use smoltcp::socket::tcp::{Socket, State};

use crate::esmtp;
use crate::pace::{Cut, Pace, Reader, Writer};
use crate::script::{Kind, Step};

/// When the client waits for replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// After every command.
    Strict,
    /// Where pipelining asks for it (RFC 2920 section 3.1): after DATA, messages and QUIT.
    Pipelined,
    /// The same, if the server has offered it.
    Offered,
    /// Never: everything goes out at once, message and all.
    Blast,
}

/// When the client closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// Behind QUIT, without waiting for the reply.
    WithQuit,
    /// When QUIT was answered.
    AfterReply,
    /// When the server has closed.
    AfterServer,
}

/// One SMTP client.
#[derive(Debug)]
pub(crate) struct Client {
    steps: Vec<Step>,
    at: usize,
    manners: Manners,
    close: Close,
    pace: Pace,
    rng: Rng,
    /// Replies that the steps up to now are worth.
    expected: usize,
    /// Whether the next step has to wait for them.
    blocked: bool,
    seen: Replies,
    /// Whether the last reply to EHLO said PIPELINING and CHUNKING.
    offers: [bool; 2],
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    /// The messages sent, with their ends.
    pub(crate) messages: Vec<Vec<u8>>,
}

/// Counts whole replies.
#[derive(Debug, Default)]
struct Replies {
    at: usize,
    line: Vec<u8>,
    codes: Vec<[u8; 3]>,
    /// Lines that are still to come of the greeting. A client that does not know how many there are would wait for
    /// ever behind a device that masks their codes.
    greeting: usize,
    /// The lines of the last reply, and of the one in hand.
    last: Vec<Vec<u8>>,
    lines: Vec<Vec<u8>>,
    /// Under TLS what was said ends with a mark.
    is_tls: bool,
}

impl Replies {
    fn read(&mut self, received: &[u8]) {
        while let Some(octet) = received.get(self.at) {
            self.at += 1;
            if self.is_tls {
                if *octet >= esmtp::LAST_ROUND {
                    self.codes.push(*b"TLS");
                }
                continue;
            }
            self.line.push(*octet);
            if self.line.ends_with(b"\r\n") {
                let line = core::mem::take(&mut self.line);
                let is_last = line.get(3) != Some(&b'-');
                let code = line.first_chunk().copied().unwrap_or_default();
                self.lines.push(line);
                self.greeting = self.greeting.saturating_sub(1);
                if self.greeting == 0 && (is_last || self.codes.is_empty()) {
                    self.codes.push(code);
                    self.last = core::mem::take(&mut self.lines);
                }
            }
        }
    }
}

impl Client {
    pub(crate) fn new(
        steps: Vec<Step>,
        manners: Manners,
        close: Close,
        pace: Pace,
        rng: Rng,
        greeting_lines: usize,
    ) -> Self {
        Self {
            steps,
            at: 0,
            manners,
            close,
            pace,
            rng,
            expected: 1,
            blocked: manners != Manners::Blast,
            seen: Replies { greeting: greeting_lines, ..Replies::default() },
            offers: [false; 2],
            writer: Writer::new(),
            reader: Reader::default(),
            messages: Vec::new(),
        }
    }

    /// Does what is due, writing at most `room` octets; true if something was done.
    pub(crate) fn poll(&mut self, now: u64, socket: &mut Socket<'_>, room: usize) -> bool {
        if matches!(socket.state(), State::SynSent | State::SynReceived) {
            return false;
        }
        let mut busy = self.reader.poll(now, socket, &self.pace, &mut self.rng);
        self.seen.read(&self.reader.received);
        if self.reader.eof || self.reader.reset || self.seen.codes.last() == Some(b"421") {
            self.at = self.steps.len();
            self.writer.close();
        }
        // Who writes in pieces writes all that may go, so that a piece may end anywhere.
        let is_in_bursts = matches!(self.pace.cut, Cut::Random(_));
        let may_write = self.writer.idle();
        while may_write && (self.writer.idle() || is_in_bursts) && self.step() {}
        let is_hasty = self.close == Close::WithQuit || self.manners == Manners::Blast;
        if self.at == self.steps.len() && is_hasty {
            self.writer.close();
        }
        if self.close == Close::AfterReply
            && self.at == self.steps.len()
            && self.seen.codes.len() >= self.expected
        {
            self.writer.close();
        }
        busy |= self.writer.poll(now, socket, room, &self.pace, &mut self.rng);
        busy
    }

    /// Puts the next step into the writer, if it may go.
    fn step(&mut self) -> bool {
        let Some(step) = self.steps.get(self.at) else {
            return false;
        };
        if self.blocked {
            if self.seen.codes.len() < self.expected {
                return false;
            }
            self.blocked = false;
        }
        let code = self.seen.codes.get(self.expected.wrapping_sub(1));
        let is_blast = self.manners == Manners::Blast;
        let last = self.at.checked_sub(1).map(|at| self.steps[at].kind);
        match last {
            Some(Kind::Ehlo) if !is_blast => {
                let says = |word: &[u8]| {
                    let lines = self.seen.last.iter().skip(1);
                    let mut words = lines.filter_map(|line| line.strip_prefix(b"250"));
                    words.any(|line| line[1..].trim_ascii().eq_ignore_ascii_case(word))
                };
                self.offers = [says(b"PIPELINING"), says(b"CHUNKING")];
            }
            Some(Kind::StartTls) if !is_blast && step.kind == Kind::Tls => {
                self.seen.is_tls |= code == Some(b"220");
            }
            _ => {}
        }
        self.at += 1;
        let is_sent = match step.kind {
            Kind::Tls => self.seen.is_tls,
            Kind::Response => !is_blast && code == Some(b"334"),
            Kind::Line
            | Kind::Data
            | Kind::Message
            | Kind::Quit
            | Kind::Ehlo
            | Kind::Auth
            | Kind::StartTls
            | Kind::Chunk => !self.seen.is_tls,
        };
        if !is_sent {
            return true;
        }
        let after_data = self.at >= 2 && self.steps[self.at - 2].kind == Kind::Data;
        if step.kind == Kind::Message && after_data && self.manners != Manners::Blast {
            let code = self.seen.codes.get(self.expected - 1);
            if code != Some(b"354") {
                return true;
            }
        }
        self.expected += step.replies;
        let is_unwanted = step.kind == Kind::Chunk && !self.offers[1];
        let line = step.octets.iter().position(|octet| *octet == b'\n').map_or(0, |at| at + 1);
        let len = if is_unwanted { line } else { step.octets.len() };
        self.writer.put(&step.octets[..len], 0);
        if step.kind == Kind::Message {
            self.messages.push(step.octets.clone());
        }
        self.blocked = match self.manners {
            Manners::Strict => true,
            Manners::Offered if !self.offers[0] => true,
            Manners::Pipelined | Manners::Offered => !matches!(step.kind, Kind::Line | Kind::Chunk),
            Manners::Blast => false,
        };
        true
    }

    /// How many whole replies it has read.
    pub(crate) fn replies(&self) -> usize {
        self.seen.codes.len()
    }

    /// Where it is, for the report of a run that does not end.
    pub(crate) fn describe(&self) -> String {
        format!(
            "client: step {} of {}, {} replies of {} expected, {} octets sent, {} received, eof {}",
            self.at,
            self.steps.len(),
            self.seen.codes.len(),
            self.expected,
            self.writer.sent.len(),
            self.reader.received.len(),
            self.reader.eof
        )
    }

    pub(crate) fn wake(&self, now: u64) -> Option<u64> {
        earliest(self.writer.wake(now), self.reader.wake(now))
    }
}

/// The earlier of two moments, if any.
pub(crate) fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
