//! A scripted SMTP server.

use fastrand::Rng;
use smoltcp::socket::tcp::{Socket, State};

use crate::client::earliest;
use crate::esmtp;
use crate::pace::{Pace, Reader, Writer};
use crate::script;

/// What kind of server.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// Out of a hundred DATA commands, how many are refused with 503.
    pub(crate) data_refused: u32,
    /// Out of a hundred commands, how many are answered 421 and the end.
    pub(crate) gives_up: u32,
    /// Longest time to think, in microseconds.
    pub(crate) think: u64,
    /// It knows ESMTP, challenges who wants to log in, and takes those at their word who ask for TLS.
    pub(crate) esmtp: bool,
}

/// One SMTP server, for one connection.
#[derive(Debug)]
pub(crate) struct Server {
    habits: Habits,
    pace: Pace,
    /// Decides what is said.
    words: Rng,
    /// Decides when, and in which pieces.
    rng: Rng,
    at: usize,
    line: Vec<u8>,
    /// The message that is being received.
    data: Option<Vec<u8>>,
    /// CHUNKING is in the last reply to EHLO.
    is_chunking: bool,
    /// Octets that are still to come of a chunk.
    chunk: Option<usize>,
    /// Challenges that are still to come; the next line is the answer to one.
    challenges: Option<u8>,
    is_tls: bool,
    greeting: Vec<u8>,
    greeted: bool,
    over: bool,
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    /// The messages received, with their ends.
    pub(crate) messages: Vec<Vec<u8>>,
    /// The command lines received, without their ends.
    pub(crate) commands: Vec<Vec<u8>>,
}

impl Server {
    pub(crate) fn new(habits: Habits, pace: Pace, mut words: Rng, rng: Rng) -> Self {
        let greeting = script::reply(220, &mut words);
        Self {
            habits,
            pace,
            words,
            rng,
            at: 0,
            line: Vec::new(),
            data: None,
            is_chunking: false,
            chunk: None,
            challenges: None,
            is_tls: false,
            greeting,
            greeted: false,
            over: false,
            writer: Writer::new(),
            reader: Reader::default(),
            messages: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// Does what is due, writing at most `room` octets; true if something was done.
    pub(crate) fn poll(&mut self, now: u64, socket: &mut Socket<'_>, room: usize) -> bool {
        if matches!(socket.state(), State::Listen | State::SynReceived) {
            return false;
        }
        if !self.greeted {
            self.greeted = true;
            let greeting = core::mem::take(&mut self.greeting);
            self.put(&greeting, now);
        }
        let mut busy = self.reader.poll(now, socket, &self.pace, &mut self.rng);
        while let Some(octet) = self.reader.received.get(self.at) {
            let octet = *octet;
            if !self.octet(octet, now) {
                break;
            }
        }
        if self.reader.eof || self.reader.reset {
            self.writer.close();
        }
        busy |= self.writer.poll(now, socket, room, &self.pace, &mut self.rng);
        busy
    }

    fn octet(&mut self, octet: u8, now: u64) -> bool {
        if self.over {
            self.at = self.reader.received.len();
            return false;
        }
        if self.is_tls {
            self.at += 1;
            if octet >= esmtp::LAST_ROUND {
                let text = esmtp::opaque(octet, &mut self.words);
                self.put(&text, now);
            }
            if octet == esmtp::LAST_ROUND {
                self.over = true;
                self.writer.close();
            }
            return true;
        }
        if let Some(left) = &mut self.chunk {
            self.at += 1;
            *left -= 1;
            if *left == 0 {
                self.chunk = None;
                self.reply(250, now);
            }
            return true;
        }
        if let Some(data) = &mut self.data {
            self.at += 1;
            data.push(octet);
            if data == b".\r\n" || data.ends_with(b"\r\n.\r\n") {
                self.messages.extend(self.data.take());
                self.reply(250, now);
            }
            return true;
        }
        // A line ends with CRLF, a lone LF, or a lone CR: the one that the guard mends and the
        // others that it lets reach the server when it is off.
        let cr = self.line.last() == Some(&b'\r');
        if octet == b'\n' {
            self.at += 1;
            if cr {
                self.line.pop();
            }
            self.command(now);
        } else if cr {
            self.line.pop();
            self.command(now);
        } else {
            self.at += 1;
            self.line.push(octet);
        }
        true
    }

    fn command(&mut self, now: u64) {
        let line = core::mem::take(&mut self.line);
        if let Some(challenges) = self.challenges.take() {
            self.challenge(challenges, now);
            return;
        }
        let verb: Vec<u8> = line
            .iter()
            .take_while(|octet| !matches!(octet, b' ' | b'\t'))
            .map(u8::to_ascii_uppercase)
            .collect();
        self.commands.push(line);
        if self.words.u32(..100) < self.habits.gives_up {
            self.reply(421, now);
            self.over = true;
            self.writer.close();
            return;
        }
        match verb.as_slice() {
            b"DATA" if self.words.u32(..100) < self.habits.data_refused => self.reply(503, now),
            b"DATA" => {
                self.reply(354, now);
                self.data = Some(Vec::new());
            }
            b"EHLO" if self.habits.esmtp => self.offer(now),
            b"AUTH" if self.habits.esmtp => {
                let is_long = self.commands.last().is_some_and(|line| line.ends_with(b"LOGIN"));
                let challenges = if is_long { self.words.u8(0..3) } else { 0 };
                self.challenge(challenges, now);
            }
            b"BDAT" if self.is_chunking => {
                let line = self.commands.last().map(|line| String::from_utf8_lossy(line));
                let size = line.as_ref().and_then(|line| line.split(' ').nth(1));
                match size.and_then(|size| size.parse().ok()) {
                    Some(0) => self.reply(250, now),
                    Some(size) => self.chunk = Some(size),
                    None => self.reply(501, now),
                }
            }
            b"STARTTLS" if self.habits.esmtp && self.is_meant() => {
                self.reply(220, now);
                self.is_tls = true;
            }
            b"ETRN" | b"SEND" | b"SOML" | b"SAML" => self.reply(250, now),
            b"HELO" | b"EHLO" | b"MAIL" | b"RCPT" | b"RSET" | b"NOOP" => self.reply(250, now),
            b"VRFY" | b"EXPN" => self.reply(252, now),
            b"HELP" => self.reply(214, now),
            b"STARTTLS" => self.reply(454, now),
            b"QUIT" => {
                self.reply(221, now);
                self.over = true;
                self.writer.close();
            }
            _ => self.writer.put(b"500 Command unrecognized\r\n", now),
        }
    }

    fn reply(&mut self, code: u16, now: u64) {
        let reply = script::reply(code, &mut self.words);
        self.put(&reply, now);
    }

    fn put(&mut self, reply: &[u8], now: u64) {
        let think = self.rng.u64(0..=self.habits.think);
        self.writer.put(reply, now + think);
    }

    /// Whether a client asks for TLS that does not go on before it has the reply.
    fn is_meant(&self) -> bool {
        self.commands.last().is_some_and(|line| line == b"StartTLS")
    }

    /// The reply to EHLO.
    fn offer(&mut self, now: u64) {
        self.is_chunking = false;
        if self.words.u8(..8) == 0 {
            self.reply(502, now);
            return;
        }
        let (reply, is_chunking) = esmtp::offer(&mut self.words);
        self.is_chunking = is_chunking;
        self.put(&reply, now);
    }

    /// The reply to AUTH or to an answer, when so many challenges are still to come.
    fn challenge(&mut self, challenges: u8, now: u64) {
        match challenges.checked_sub(1) {
            Some(left) => {
                self.challenges = Some(left);
                self.reply(334, now);
            }
            None => {
                let code = if self.words.bool() { 235 } else { 535 };
                self.reply(code, now);
            }
        }
    }

    /// How many lines its greeting has.
    pub(crate) fn greeting_lines(&self) -> usize {
        self.greeting.iter().filter(|octet| **octet == b'\n').count()
    }

    /// Where it is, for the report of a run that does not end.
    pub(crate) fn describe(&self) -> String {
        format!(
            "server: {} commands, {} messages, in data {}, {} octets sent, {} received, eof {}",
            self.commands.len(),
            self.messages.len(),
            self.data.is_some(),
            self.writer.sent.len(),
            self.reader.received.len(),
            self.reader.eof
        )
    }

    pub(crate) fn wake(&self, now: u64) -> Option<u64> {
        earliest(self.writer.wake(now), self.reader.wake(now))
    }
}
