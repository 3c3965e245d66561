//! The server's side of one SMTP connection (RFC 5321), without its socket.

use std::sync::atomic::Ordering;

use super::Shared;
use super::data::Verdict;
use super::message::Message;
use super::totals::Totals;

/// The longest command line that is taken. RFC 5321 4.5.3.1.4 has 512, and extensions add to it.
const COMMAND_MAX: usize = 2048;
/// Replies waiting for a client that does not read; then it is not heard any more.
pub(super) const REPLIES_MAX: usize = 16 * 1024;

const UNKNOWN: &[u8] = b"500 Command unrecognized\r\n";
const OK: &[u8] = b"250 OK\r\n";
const NO_PARAMETER: &[u8] = b"501 No parameter allowed\r\n";
const TOO_LARGE: &[u8] = b"552 Message exceeds fixed maximum message size\r\n";

/// What a session counts in and asks of the rest of the sink.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) shared: &'a Shared,
    pub(super) totals: &'a mut Totals,
    /// Lines for the transcript.
    pub(super) transcript: &'a mut Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Commands,
    Data,
    /// Inside a BDAT chunk.
    Chunk {
        left: u64,
        last: bool,
        refused: bool,
    },
    Closed,
}

/// One connection's session.
#[derive(Debug)]
pub(super) struct Session {
    number: u64,
    phase: Phase,
    greeted: bool,
    has_sender: bool,
    recipients: u32,
    /// The beginning of a command line, at most `COMMAND_MAX` octets of it.
    line: Vec<u8>,
    overlong: bool,
    last_octet: u8,
    message: Option<Box<Message>>,
}

impl Session {
    /// The session of connection `number`.
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            phase: Phase::Commands,
            greeted: false,
            has_sender: false,
            recipients: 0,
            line: Vec::new(),
            overlong: false,
            last_octet: 0,
            message: None,
        }
    }

    /// Whether the connection is to be closed once its replies are written.
    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether mail data is under way.
    pub(super) fn in_data(&self) -> bool {
        self.phase != Phase::Commands
    }

    /// Counts what ends with the connection.
    pub(super) fn end(&self, totals: &mut Totals) {
        totals.aborted_messages += u64::from(self.message.is_some());
    }

    /// Takes octets and appends the replies to them; how many it took. It leaves some when
    /// enough replies wait to be written.
    pub(super) fn feed(
        &mut self,
        octets: &[u8],
        out: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) -> usize {
        let enough = if context.shared.script.slow.is_some() { 1 } else { REPLIES_MAX };
        let mut at = 0;
        while at < octets.len() && out.len() < enough {
            let rest = &octets[at..];
            at += match self.phase {
                Phase::Commands => self.line(rest, out, context),
                Phase::Data => self.data(rest, out, context),
                Phase::Chunk { left, last, refused } => {
                    let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if let Some(message) = self.message.as_mut().filter(|_| !refused) {
                        message.feed_chunk(&rest[..taken]);
                    }
                    let left = left - taken as u64;
                    self.phase = Phase::Chunk { left, last, refused };
                    taken
                }
                Phase::Closed => rest.len(),
            };
            self.end_chunk(out, context);
        }
        at
    }

    /// Takes octets up to the end of a command line, or all.
    fn line(&mut self, octets: &[u8], out: &mut Vec<u8>, context: &mut Context<'_>) -> usize {
        let lf_alone = context.shared.script.lf_ends_command;
        let mut from = 0;
        let end = loop {
            let Some(lf) = memchr::memchr(b'\n', &octets[from..]).map(|lf| from + lf) else {
                break None;
            };
            let before = if lf > 0 { octets[lf - 1] } else { self.last_octet };
            // RFC 5321 2.3.8: LF alone ends no line.
            if before == b'\r' || lf_alone {
                break Some(lf + 1);
            }
            from = lf + 1;
        };
        let piece = &octets[..end.unwrap_or(octets.len())];
        if end.is_some() && self.line.is_empty() && piece.len() <= COMMAND_MAX {
            self.command(piece, false, out, context);
        } else {
            let kept = piece.len().min(COMMAND_MAX - self.line.len());
            self.line.extend_from_slice(&piece[..kept]);
            self.overlong |= kept < piece.len();
            self.last_octet = piece.last().copied().unwrap_or_default();
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                let overlong = std::mem::take(&mut self.overlong);
                self.last_octet = 0;
                self.command(&line, overlong, out, context);
            }
        }
        piece.len()
    }

    fn command(
        &mut self,
        line: &[u8],
        overlong: bool,
        out: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        context.totals.commands += 1;
        if context.shared.script.transcript {
            let entry = format!("{} {}\n", self.number, line.escape_ascii());
            context.transcript.extend_from_slice(entry.as_bytes());
        }
        if overlong {
            context.totals.unknown_commands += 1;
            out.extend_from_slice(b"500 Line too long\r\n");
            return;
        }
        let (verb, parameter) = match memchr::memchr(b' ', line) {
            Some(space) => (&line[..space], line[space + 1..].trim_ascii()),
            None => (line.trim_ascii_end(), &[][..]),
        };
        let reply = self.obey(&verb.to_ascii_uppercase(), parameter, out, context);
        out.extend_from_slice(reply);
    }

    /// Does what a command says; the reply.
    fn obey<'a>(
        &mut self,
        verb: &[u8],
        parameter: &[u8],
        out: &mut Vec<u8>,
        context: &mut Context<'a>,
    ) -> &'a [u8] {
        let script = &context.shared.script;
        match (verb, &script.ehlo) {
            (b"HELO", _) | (b"EHLO", Some(_)) if parameter.is_empty() => b"501 Say your name\r\n",
            (b"HELO", _) => self.hello(&script.helo),
            (b"EHLO", Some(ehlo)) => self.hello(ehlo),
            (b"MAIL", _) => self.mail(parameter, context),
            (b"RCPT", _) if !self.has_sender => b"503 Say MAIL first\r\n",
            (b"RCPT", _) if argument(parameter, b"TO:").is_none() => b"501 Say RCPT TO:<path>\r\n",
            (b"RCPT", _) => {
                self.recipients = self.recipients.saturating_add(1);
                b"250 Recipient OK\r\n"
            }
            (b"DATA" | b"RSET" | b"QUIT", _) if !parameter.is_empty() => NO_PARAMETER,
            (b"DATA", _) => self.begin_data(context),
            (b"BDAT", _) if script.chunking => self.begin_chunk(parameter, context),
            (b"RSET", _) => {
                self.reset();
                OK
            }
            (b"NOOP", _) => OK,
            (b"VRFY", _) => b"252 Cannot verify, but mail will be taken\r\n",
            (b"EXPN", _) => b"250 <list@sink.example.net>\r\n",
            (b"HELP", _) => b"214 See RFC 5321\r\n",
            (b"QUIT", _) => {
                self.phase = Phase::Closed;
                out.extend_from_slice(b"221 Closing connection\r\n");
                &[]
            }
            _ => {
                context.totals.unknown_commands += 1;
                UNKNOWN
            }
        }
    }

    /// RFC 5321 4.1.4: a greeting also resets.
    fn hello<'a>(&mut self, reply: &'a [u8]) -> &'a [u8] {
        self.reset();
        self.greeted = true;
        reply
    }

    fn reset(&mut self) {
        self.has_sender = false;
        self.recipients = 0;
        self.message = None;
    }

    fn mail(&mut self, parameter: &[u8], context: &Context<'_>) -> &'static [u8] {
        let script = &context.shared.script;
        if context.shared.is_draining() {
            // RFC 5321 3.8.
            self.phase = Phase::Closed;
            return b"421 Closing, all messages are here\r\n";
        }
        if !self.greeted {
            return b"503 Say HELO first\r\n";
        }
        if self.has_sender {
            return b"503 Sender already given\r\n";
        }
        let Some(argument) = argument(parameter, b"FROM:") else {
            return b"501 Say MAIL FROM:<path>\r\n";
        };
        if script.max_size > 0 && declared_size(argument).is_some_and(|size| size > script.max_size)
        {
            return TOO_LARGE;
        }
        self.has_sender = true;
        b"250 Sender OK\r\n"
    }

    fn begin_message(&mut self, context: &Context<'_>) -> Option<&'static [u8]> {
        let script = &context.shared.script;
        match Message::begin(script.save.as_deref(), script.max_size, self.number) {
            Ok(message) => {
                self.message = Some(Box::new(message));
                None
            }
            Err(error) => {
                eprintln!("connection {}: cannot save: {error}", self.number);
                Some(b"452 Insufficient system storage\r\n")
            }
        }
    }

    fn begin_data(&mut self, context: &mut Context<'_>) -> &'static [u8] {
        // RFC 3030 2: DATA and BDAT do not mix in one transaction.
        if self.recipients == 0 || self.message.is_some() {
            return b"503 Say MAIL and RCPT first\r\n";
        }
        if let Some(refusal) = self.begin_message(context) {
            context.totals.save_failures += 1;
            return refusal;
        }
        self.phase = Phase::Data;
        b"354 Start mail input; end with <CRLF>.<CRLF>\r\n"
    }

    fn begin_chunk(&mut self, parameter: &[u8], context: &mut Context<'_>) -> &'static [u8] {
        let text = String::from_utf8_lossy(parameter);
        let mut words = text.split_ascii_whitespace();
        let size = words.next().and_then(|word| word.parse::<u64>().ok());
        let last = match words.next() {
            None => Some(false),
            Some(word) => word.eq_ignore_ascii_case("LAST").then_some(true),
        };
        let (Some(left), Some(last)) = (size, last) else {
            return b"501 Say BDAT octets [LAST]\r\n";
        };
        let mut refused = self.recipients == 0;
        if !refused && self.message.is_none() {
            refused = self.begin_message(context).is_some();
            context.totals.save_failures += u64::from(refused);
        }
        // The reply comes behind the chunk, which follows even if it is refused.
        self.phase = Phase::Chunk { left, last, refused };
        &[]
    }

    fn end_chunk(&mut self, out: &mut Vec<u8>, context: &mut Context<'_>) {
        if let Phase::Chunk { left: 0, last, refused } = self.phase {
            self.phase = Phase::Commands;
            if refused {
                out.extend_from_slice(b"503 Say MAIL and RCPT first\r\n");
            } else if last {
                self.end_message(out, context);
            } else {
                out.extend_from_slice(OK);
            }
        }
    }

    fn data(&mut self, octets: &[u8], out: &mut Vec<u8>, context: &mut Context<'_>) -> usize {
        let Some(message) = &mut self.message else {
            self.phase = Phase::Commands;
            return 0;
        };
        let (taken, ended) = message.feed(octets);
        if ended {
            self.phase = Phase::Commands;
            self.end_message(out, context);
        }
        taken
    }

    fn end_message(&mut self, out: &mut Vec<u8>, context: &mut Context<'_>) {
        let Some(message) = self.message.take() else {
            return;
        };
        self.reset();
        if message.is_too_large() {
            out.extend_from_slice(TOO_LARGE);
            return;
        }
        let shared = context.shared;
        let number = shared.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let (verdict, saved) = message.finish(number, context.totals);
        let failure = match verdict {
            Verdict::Unaltered => {
                context.totals.checked += 1;
                None
            }
            Verdict::Unchecked if shared.script.expect_load => {
                Some("it has no check header".to_owned())
            }
            Verdict::Unchecked => None,
            Verdict::Altered(why) => Some(why),
        };
        if let Some(why) = failure {
            context.totals.check_failures += 1;
            shared.complain(&format!("connection {}, message {number}: {why}", self.number));
        }
        match saved {
            Ok(()) => {
                context.totals.accept();
                out.extend_from_slice(b"250 Message accepted\r\n");
            }
            Err(error) => {
                context.totals.save_failures += 1;
                shared.complain(&format!("message {number}: cannot save: {error}"));
                out.extend_from_slice(b"452 Insufficient system storage\r\n");
            }
        }
        if shared.script.count.is_some_and(|count| number >= count) {
            shared.finish();
        }
    }
}

/// What stands behind `FROM:` or `TO:`, if anything. A space there is common and harmless.
fn argument<'a>(parameter: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, argument) = parameter.split_at_checked(word.len())?;
    (head.eq_ignore_ascii_case(word) && !argument.trim_ascii().is_empty()).then_some(argument)
}

/// The SIZE parameter of MAIL (RFC 1870 5).
fn declared_size(argument: &[u8]) -> Option<u64> {
    argument.split(|&octet| octet == b' ').find_map(|word| {
        let (name, value) = word.split_at_checked(5)?;
        let digits = name.eq_ignore_ascii_case(b"SIZE=").then_some(value)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests;
