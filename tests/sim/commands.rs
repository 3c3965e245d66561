//! What of the client's octets reaches the server: line by line, each line whole.

use core::ops::Range;
use std::collections::BTreeSet;

use crate::devices::{Device, Pieces, Refusal, SplitEnd};
use crate::reference::{Edited, Judged, Slot, Streams};

/// Octets of an argument that pass, and of an answer to a challenge.
const ARGUMENT: usize = 2_000;
const RESPONSE: usize = 12_288;
/// So many octets of a line wait for its end at most.
const HELD: usize = 2_048;

const END: &[u8] = b"\r\n.\r\n";

/// Both judges' common knowledge, as the client's stream goes on.
pub(crate) struct Commands<'a> {
    device: &'static Device,
    client: &'a [u8],
    server: &'a [u8],
    replies: &'a [Range<usize>],
    got: &'a [u8],
    cuts: Option<&'a BTreeSet<usize>>,
    /// Where in the client's stream.
    at: usize,
    /// A lone CR has left: its LF comes with the next octet.
    owes_lf: bool,
    pub(crate) slots: Vec<Slot>,
    pub(crate) judged: Judged,
}

/// What one line becomes.
#[derive(Default)]
struct Line {
    /// For each of its octets.
    octets: Vec<Vec<u8>>,
    /// What comes before its end.
    rest: &'static [u8],
    is_refused: bool,
    slot: Option<Slot>,
    /// Octets behind it that are no commands.
    chunk: usize,
    addresses: u64,
    strays: u64,
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

fn is_end(octet: u8) -> bool {
    matches!(octet, b'\r' | b'\n')
}

fn blanks(octets: usize) -> Vec<Vec<u8>> {
    vec![b" ".to_vec(); octets]
}

impl<'a> Commands<'a> {
    pub(crate) fn judge(
        device: &'static Device,
        streams: Streams<'a>,
        replies: &'a [Range<usize>],
    ) -> Self {
        let mut commands = Self {
            device,
            client: streams.sent[0],
            server: streams.sent[1],
            replies,
            got: streams.got[0],
            cuts: streams.cuts,
            at: 0,
            owes_lf: false,
            slots: vec![Slot::Greeting],
            judged: Judged { to_server: Edited::new(), ..Judged::default() },
        };
        while commands.at < commands.client.len() && commands.judged.quirk.is_none() {
            if !commands.go_on() {
                break;
            }
        }
        commands
    }

    /// The next octets become this.
    fn take(&mut self, octets: &[u8]) {
        let lf = if core::mem::take(&mut self.owes_lf) { &b"\n"[..] } else { b"" };
        self.judged.to_server.take(&[lf, octets].concat());
        self.at += 1;
    }

    fn rest(&self) -> &'a [u8] {
        &self.client[self.at..]
    }

    /// Whether a packet ends within these places.
    fn cut_in(&self, mut places: Range<usize>) -> bool {
        places.any(|at| self.cuts.is_some_and(|cuts| cuts.contains(&at)))
    }

    /// Does what comes next; false if that has to wait for a reply or for octets that never came.
    fn go_on(&mut self) -> bool {
        let last = *self.slots.last().expect("a greeting at least");
        let is_behind_more = self.at > 0 && !self.cut_in(self.at..self.at + 1);
        if last.decides() && is_behind_more && self.device.pieces == Pieces::Discard {
            // What would wait for the reply is forgotten as well.
            self.judged.quirk = Some("partial-lines");
            return false;
        }
        if !last.decides() {
            return self.command();
        }
        if last == Slot::Data && self.device.trusts_data {
            return self.mail_data();
        }
        let Some(reply) = self.replies.get(self.slots.len() - 1) else { return false };
        match (last, &self.server[reply.start..reply.start + 3]) {
            (Slot::Data, b"354") => self.mail_data(),
            (Slot::StartTls, b"220") => {
                self.judged.to_server.pass(self.rest());
                self.at = self.client.len();
                true
            }
            (Slot::Auth, b"334") => {
                let end = self.end_of_line();
                let octets = self.rest()[..end]
                    .iter()
                    .enumerate()
                    .map(|(n, octet)| vec![if n < RESPONSE { *octet } else { b' ' }]);
                let octets = octets.collect();
                self.line(Line { octets, slot: Some(Slot::Auth), ..Line::default() })
            }
            _ => self.command(),
        }
    }

    /// Where the line ends that begins here, or what there is of it.
    fn end_of_line(&self) -> usize {
        let rest = self.rest();
        rest.iter().position(|octet| is_end(*octet)).unwrap_or(rest.len())
    }

    /// A command line.
    fn command(&mut self) -> bool {
        let len = self.end_of_line();
        let line = &self.rest()[..len];
        let is_whole = len < self.rest().len();
        let word_len = line.iter().position(|octet| is_blank(*octet)).unwrap_or(len);
        let waits = self.device.pieces != Pieces::Stream && !is_whole && len <= HELD;
        if self.device.pieces == Pieces::Mask {
            // What comes with nothing before it is masked when the end of its verb is not there.
            let is_behind_reply = self.slots.last().is_some_and(|slot| slot.decides());
            let is_alone = self.at == 0 || is_behind_reply || self.cut_in(self.at..self.at + 1);
            if is_alone && self.cut_in(self.at + 1..self.at + word_len + 1) {
                self.judged.quirk = Some("partial-lines");
                return false;
            }
            if waits && word_len == len {
                return false;
            }
        } else if self.device.pieces != Pieces::Stream {
            let is_cut = self.cut_in(self.at + 1..self.at + len + 1);
            if is_cut && self.device.pieces == Pieces::Discard {
                self.judged.quirk = Some("partial-lines");
                return false;
            }
            // Nothing of it is acknowledged before its end has come, which may then never come.
            self.judged.may_hang |= is_cut;
            if waits {
                return false;
            }
        }
        let is_word_whole = is_whole || word_len < len;
        let judged = self.verb(line, word_len, is_word_whole);
        self.line(judged)
    }

    /// What becomes of a command line.
    fn verb(&mut self, line: &[u8], word_len: usize, is_word_whole: bool) -> Line {
        let word = &line[..word_len];
        let upper = word.to_ascii_uppercase();
        // For a server that does not know BDAT what comes behind it is commands.
        let offers = self.offers_chunking();
        let usual =
            self.known_verb(line, word_len, is_word_whole, if offers { "" } else { "BDAT" });
        if offers && upper.starts_with(b"B") && !self.fits(&usual) {
            // The server has repeated a part of the line that said CHUNKING: nobody has read it.
            let other = self.known_verb(line, word_len, is_word_whole, "BDAT");
            if self.fits(&other) {
                self.judged.odd += 1;
                return other;
            }
        }
        if self.device.takes_ehlo_for_helo && upper == b"EHLO" && is_word_whole {
            let out = self.judged.to_server.octets.len() + usize::from(self.owes_lf);
            let there = self.got.get(out..out + 4).unwrap_or(b"HELO");
            if there == b"HELO" {
                let name = b"HELO".iter().map(|octet| vec![*octet]);
                let argument = line[4..].iter().enumerate();
                let argument =
                    argument.map(|(n, octet)| vec![if n < ARGUMENT { *octet } else { b' ' }]);
                return Line { octets: name.chain(argument).collect(), ..Line::default() };
            }
            // Its beginning was let through when the client repeated it.
            self.judged.odd += 1;
        }
        usual
    }

    /// Whether that is what the server got.
    fn fits(&self, line: &Line) -> bool {
        let out = self.judged.to_server.octets.len() + usize::from(self.owes_lf);
        let seen = self.got.get(out..).unwrap_or_default();
        let octets = [&line.octets.concat(), line.rest].concat();
        seen.starts_with(&octets) || octets.starts_with(seen)
    }

    /// The same, if the verbs that may pass are those of the device `but` one.
    fn known_verb(&self, line: &[u8], word_len: usize, is_word_whole: bool, but: &str) -> Line {
        let word = &line[..word_len];
        let upper = word.to_ascii_uppercase();
        let is_allowed = self.device.verbs.has(word) && upper != but.as_bytes();
        let passes = self.device.verbs.may_pass(word, but);
        if is_allowed && is_word_whole {
            return self.allowed(&upper, line, word_len);
        }
        if !is_word_whole && passes == word_len {
            return Line {
                octets: line.iter().map(|octet| vec![*octet]).collect(),
                ..Line::default()
            };
        }
        let has_left = if self.device.pieces == Pieces::Stream { passes } else { 0 };
        self.refused(line, has_left)
    }

    /// A line that may not pass; `has_left` octets of it have.
    fn refused(&self, line: &[u8], has_left: usize) -> Line {
        let mut octets: Vec<_> = line[..has_left].iter().map(|octet| vec![*octet]).collect();
        let behind = &line[has_left..];
        let mut rest: &'static [u8] = b"";
        let mut slot = Slot::Passed;
        match self.device.refusal {
            Refusal::Noop(reply) => {
                if let Some(reply) = reply {
                    slot = Slot::Traded(reply);
                }
                if has_left == 0 {
                    let noop = b"NOOP".iter().chain(core::iter::repeat(&b' '));
                    octets.extend(behind.iter().zip(noop).map(|(_, octet)| vec![*octet]));
                    rest = &b"NOOP"[behind.len().min(4)..];
                } else if behind.is_empty() {
                    rest = b"X";
                } else {
                    octets.push(b"X".to_vec());
                    octets.extend(blanks(behind.len() - 1));
                }
            }
            Refusal::XVerb | Refusal::XLine => {
                if has_left > 0 && behind.is_empty() {
                    rest = b"X";
                }
                // The verb behind blanks, or what of it has not left.
                let from = behind.iter().take_while(|octet| is_blank(**octet)).count();
                let verb = behind[from..].iter().take_while(|octet| !is_blank(**octet)).count();
                let is_x = |n: usize| self.device.refusal == Refusal::XLine || n < from + verb;
                let masked = behind.iter().enumerate();
                octets.extend(masked.map(|(n, octet)| vec![if is_x(n) { b'X' } else { *octet }]));
            }
        }
        Line { octets, rest, is_refused: true, slot: Some(slot), ..Line::default() }
    }

    /// A line that may pass.
    fn allowed(&self, verb: &[u8], line: &[u8], word_len: usize) -> Line {
        let mut judged = Line::default();
        judged.octets.extend(line[..word_len].iter().map(|octet| vec![*octet]));
        let is_path = self.device.blanks_addresses && matches!(verb, b"MAIL" | b"RCPT");
        let mut is_open = false;
        for (n, octet) in line[word_len..].iter().enumerate() {
            let octet = if n < ARGUMENT { *octet } else { b' ' };
            let is_special = octet == b'|' || octet == b'>' && !is_open;
            is_open = octet == b'<' || is_open && octet != b'>';
            let is_stray = self.device.cleans && octet == 0;
            judged.strays += u64::from(is_stray);
            judged.addresses += u64::from(is_path && is_special);
            judged.octets.push(vec![if is_path && is_special || is_stray { b' ' } else { octet }]);
        }
        let answer = self.device.answers.iter().find(|(of, _)| of.as_bytes() == verb);
        judged.slot = Some(match (answer, verb) {
            (Some((_, answer)), _) => Slot::Traded(answer),
            (None, b"EHLO") => Slot::Ehlo,
            (None, b"DATA") => Slot::Data,
            (None, b"STARTTLS") => Slot::StartTls,
            (None, b"AUTH") => Slot::Auth,
            (None, _) => Slot::Passed,
        });
        if verb == b"BDAT" {
            let size = String::from_utf8_lossy(&line[word_len..]);
            let size = size.split_ascii_whitespace().next().and_then(|size| size.parse().ok());
            judged.chunk = size.unwrap_or(0);
        }
        judged
    }

    /// Whether the server has said CHUNKING in its last reply to EHLO.
    fn offers_chunking(&self) -> bool {
        let known = self.slots.iter().zip(self.replies).rev();
        let ehlo = known.into_iter().find(|(slot, _)| **slot == Slot::Ehlo);
        let reply = ehlo.map_or(&b""[..], |(_, reply)| &self.server[reply.clone()]);
        let mut lines = reply.split(|octet| *octet == b'\n').skip(1);
        lines.any(|line| {
            let text = line.get(4..).unwrap_or_default().trim_ascii_end();
            line.starts_with(b"250") && text.eq_ignore_ascii_case(b"CHUNKING")
        })
    }

    /// A line that was judged leaves, with its end.
    fn line(&mut self, line: Line) -> bool {
        let counts = &mut self.judged.counts;
        counts.addresses += line.addresses;
        counts.strays += line.strays;
        for octets in &line.octets {
            self.take(octets);
        }
        let Some(end) = self.rest().first().copied() else { return true };
        let is_cr = end == b'\r';
        if is_cr {
            self.take(&[line.rest, b"\r"].concat());
            match self.rest().first() {
                None => return true,
                Some(b'\n') => self.take(b"\n"),
                Some(_) => {
                    self.judged.counts.mended += 1;
                    self.owes_lf = true;
                }
            }
        } else {
            self.judged.counts.mended += 1;
            self.take(&[line.rest, b"\r\n"].concat());
        }
        let slot = line.slot.unwrap_or(Slot::Passed);
        self.judged.counts.refused += u64::from(line.is_refused);
        if slot.decides() && self.owes_lf {
            // Nobody can tell yet what this octet is: it is spent on the line end.
            self.take(b"");
        }
        self.slots.push(slot);
        let trusts = slot == Slot::Data && self.device.trusts_data;
        if slot.decides()
            && !trusts
            && let Some(reply) = self.replies.get(self.slots.len() - 1)
        {
            self.judged.gates.push((self.judged.to_server.octets.len(), reply.start + 3));
            if slot == Slot::StartTls && self.server[reply.clone()].starts_with(b"220") {
                self.judged.counts.tls += 1;
            }
        }
        for _ in 0..line.chunk.min(self.rest().len()) {
            let octet = self.rest()[0];
            self.take(&[octet]);
        }
        true
    }

    /// Mail data, up to its end or to what there is of it.
    fn mail_data(&mut self) -> bool {
        let rest = self.rest();
        let text = [b"\r\n", rest].concat();
        let end = text.windows(END.len()).position(|five| five == END).map(|at| at + END.len() - 2);
        let data = &rest[..end.unwrap_or(rest.len())];
        if self.device.split_end == SplitEnd::Withhold {
            // A dot that may begin the end is not acknowledged before more has come, which may then never come.
            let waits = |n: usize| {
                self.cut_in(self.at + n..self.at + n + 1)
                    && [b"\r\n.", &b"\r\n.\r"[..]].iter().any(|dot| text[..n + 2].ends_with(dot))
            };
            self.judged.may_hang |= (1..data.len()).any(waits);
        }
        if let Some(quirk) = self.quirk_in(data, end.is_some()) {
            self.judged.quirk = Some(quirk);
            let before = self.judged.to_server.octets.len();
            let is_lost = self.device.split_end == SplitEnd::Withhold;
            self.judged.most = is_lost.then_some(before + data.len() - 3);
            return false;
        }
        for (n, octet) in data.iter().enumerate() {
            let is_stray = match octet {
                0 => true,
                b'\r' => data.get(n + 1) != Some(&b'\n'),
                b'\n' => n == 0 || data[n - 1] != b'\r',
                _ => false,
            };
            let is_stray = is_stray && self.device.cleans;
            self.judged.may_reset |=
                is_stray && *octet == b'\r' && self.cut_in(self.at + 1..self.at + 2);
            self.judged.counts.strays += u64::from(is_stray);
            self.take(&[if is_stray { b' ' } else { *octet }]);
        }
        if end.is_some() {
            self.judged.counts.messages += 1;
            self.slots.push(Slot::Message);
        }
        end.is_some()
    }

    /// Whether a quirk of the device looks at where that mail data was cut.
    fn quirk_in(&self, data: &[u8], is_whole: bool) -> Option<&'static str> {
        let is_after = |n: usize, what: &[u8]| {
            let before = [b"\r\n", &data[..n]].concat();
            before.ends_with(what)
        };
        let cut = |n: &usize| self.cut_in(self.at + n..self.at + n + 1);
        let mut inside = (1..data.len()).filter(cut);
        if self.device.corrupts && inside.any(|n| !is_after(n, b"\n")) {
            return Some("mail-data");
        }
        let splits = |n: &usize| is_after(*n, b"\r\n.") || is_after(*n, b"\r\n.\r");
        let mut inside = (1..data.len()).filter(cut);
        let is_met = match self.device.split_end {
            SplitEnd::Pass => false,
            SplitEnd::Withhold => is_whole && inside.any(|n| n + 3 > data.len()),
            // Also the dots of lines that only begin like the end.
            SplitEnd::WithholdReply => inside.any(|n| splits(&n)),
        };
        is_met.then_some("split-end")
    }
}
