//! What of the server's octets reaches the client: reply by reply, each whole.

use core::ops::Range;

use crate::devices::{Device, Greeting};
use crate::reference::{Edited, Judged, Slot, Streams};

/// A reply that is longer than the text for which it is traded, by so much, leaves blanks behind it.
const HELD: usize = 128;
/// A line of a reply to EHLO that is longer is not read whole.
const HELD_LINE: usize = 512;

/// Where each whole reply lies.
pub(crate) fn split(server: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut line) = (0, 0);
    for end in 1..=server.len() {
        if !server[..end].ends_with(b"\r\n") {
            continue;
        }
        if server.get(line + 3) != Some(&b'-') {
            found.push(start..end);
            start = end;
        }
        line = end;
    }
    found
}

/// Edits each reply as what it answers asks for.
pub(crate) fn judge(
    device: &Device,
    streams: Streams<'_>,
    replies: &[Range<usize>],
    slots: &[Slot],
    judged: &mut Judged,
) {
    let (server, got) = (streams.sent[1], streams.got[1]);
    let mut edited = Edited::new();
    let mut at = 0;
    for (n, range) in replies.iter().enumerate() {
        let reply = &server[range.clone()];
        let slot = slots.get(n).copied().unwrap_or(Slot::Passed);
        match slot {
            Slot::Greeting => greet(device, reply, got, &mut edited, judged),
            Slot::Traded(text) if !reply.starts_with(b"4") => {
                trade(text.as_bytes(), 0, reply, got, &mut edited);
            }
            Slot::Ehlo => ehlo(device, reply, got, &mut edited, judged),
            Slot::Passed
            | Slot::Data
            | Slot::Message
            | Slot::StartTls
            | Slot::Auth
            | Slot::Traded(_) => edited.pass(reply),
        }
        at = range.end;
        if slot == Slot::StartTls && reply.starts_with(b"220") {
            break;
        }
    }
    edited.pass(&server[at..]);
    judged.to_client = edited;
}

/// The reply from its octet `from` on becomes `text`: octet for octet as long as that lasts; a surplus of less than
/// 128 octets leaves no trace, a longer one becomes blanks. What a server has repeated of a surplus without its end
/// has become blanks as well.
fn trade(text: &[u8], from: usize, reply: &[u8], got: &[u8], edited: &mut Edited) {
    let body = &reply[from..reply.len() - 2];
    let surplus = body.len().saturating_sub(text.len());
    edited.pass(&text[..text.len().min(body.len())]);
    let at = edited.octets.len();
    let usual = if surplus >= HELD { surplus + 1 } else { 0 };
    let seen = got.get(at..).unwrap_or_default();
    let there = seen.iter().take_while(|octet| **octet == b' ').count();
    let there = match there {
        _ if seen.len() == there => usual,
        _ if body.len() < text.len() => 0,
        _ => there.min(surplus + 1),
    };
    for n in 0..surplus {
        edited.take(if n < there { b" " } else { b"" });
    }
    let rest = text.get(body.len()..).unwrap_or_default();
    if there > surplus {
        edited.take(b" ");
        edited.take(b"\r\n");
    } else {
        edited.take(&[rest, b"\r"].concat());
        edited.take(b"\n");
    }
    if usual + there > 0 {
        edited.vague.push(at..at + there);
    }
}

fn greet(device: &Device, reply: &[u8], got: &[u8], edited: &mut Edited, judged: &mut Judged) {
    match device.greeting {
        Greeting::Pass => edited.pass(reply),
        Greeting::Text(_) | Greeting::Host(_) if !reply.starts_with(b"2") => edited.pass(reply),
        Greeting::Text(text) => trade(&[b"220 ", text.as_bytes()].concat(), 0, reply, got, edited),
        Greeting::Host(text) => {
            let text = [b" ", text.as_bytes()].concat();
            let name = reply[3..].iter().skip(1).position(|octet| b" \r\n".contains(octet));
            let end = if reply[3] == b'\r' { 3 } else { 4 + name.unwrap_or(0) };
            let host = reply[..end].iter().enumerate();
            let host = host.map(|(at, octet)| if at == 3 { b' ' } else { *octet });
            edited.pass(&host.collect::<Vec<_>>());
            trade(&text, end, reply, got, edited);
        }
        Greeting::Keep20 | Greeting::All | Greeting::Esmtp | Greeting::Cmap => {
            judged.counts.greetings += 1;
            for (n, line) in reply.split_inclusive(|octet| *octet == b'\n').enumerate() {
                let has_code = n == 0 || device.keeps_codes;
                mask(device.greeting, line, has_code, got, edited, judged);
            }
        }
    }
}

/// One line of a greeting becomes stars, or what the device shows instead.
fn mask(
    greeting: Greeting,
    line: &[u8],
    has_code: bool,
    got: &[u8],
    edited: &mut Edited,
    judged: &mut Judged,
) {
    const SHOWN: &[u8] = b"SMTP/cmap ready";
    const ESMTP: &[u8] = b"ESMTP";
    for (at, octet) in line.iter().copied().enumerate() {
        let is_code = at < 3 && octet.is_ascii_digit() || at == 3 && b" -".contains(&octet);
        // The octets of the word ESMTP around this one.
        let word = (0..ESMTP.len()).filter_map(|n| at.checked_sub(n));
        let is_word = word.into_iter().any(|from| line[from..].starts_with(ESMTP));
        let masked = match greeting {
            _ if b"\r\n".contains(&octet) || is_code && has_code => octet,
            Greeting::Keep20 if b"20".contains(&octet) => octet,
            // Half of it, repeated, was not known for what it is.
            Greeting::Esmtp if is_word && got.get(edited.octets.len()) == Some(&b'*') => {
                judged.odd += 1;
                b'*'
            }
            Greeting::Esmtp if is_word => octet,
            Greeting::Cmap => {
                let at = at.checked_sub(4);
                at.and_then(|at| SHOWN.get(at)).copied().unwrap_or(b'_')
            }
            Greeting::Keep20 | Greeting::All | Greeting::Esmtp => b'*',
            Greeting::Pass | Greeting::Text(_) | Greeting::Host(_) => octet,
        };
        edited.take(&[masked]);
    }
}

/// A part of a reply to EHLO: how many octets of the server's become this, and whether one by one.
type Part = (usize, Vec<u8>, bool);

/// What may become of the lines of one reply to EHLO.
struct Ehlo<'a> {
    device: &'a Device,
    lines: Vec<&'a [u8]>,
    got: &'a [u8],
    /// Lines that were hidden as they should be, and in another way because the server repeated a part of them.
    hidden: u64,
    odd: usize,
}

fn ehlo(device: &Device, reply: &[u8], got: &[u8], edited: &mut Edited, judged: &mut Judged) {
    let lines: Vec<_> = reply.split_inclusive(|octet| *octet == b'\n').collect();
    let got = got.get(edited.octets.len() + lines[0].len()..).unwrap_or_default();
    let mut ehlo = Ehlo { device, lines, got, hidden: 0, odd: 0 };
    // The first line names the host.
    edited.pass(ehlo.lines[0]);
    let usual = ehlo.parts(1, 0, 0, 0, false);
    let parts = usual.or_else(|| ehlo.parts(1, 0, 0, 0, true));
    ehlo.got = b"";
    let parts = parts.or_else(|| ehlo.parts(1, 0, 0, 0, false)).unwrap_or_default();
    let start = edited.octets.len();
    for (originals, octets, is_one_by_one) in parts.into_iter().rev() {
        if is_one_by_one {
            edited.pass(&octets);
        } else {
            edited.take_all(originals, &octets);
        }
    }
    if ehlo.odd > 0 {
        edited.vague.push(start..edited.octets.len());
    }
    judged.odd += ehlo.odd;
    judged.counts.keywords += ehlo.hidden;
}

impl Ehlo<'_> {
    /// The parts that line `n` and those behind it become, last first, if that is what was got from `at` on. `gone`
    /// octets before it have vanished. Other outcomes than the usual only if `is_odd`.
    fn parts(
        &mut self,
        n: usize,
        at: usize,
        gone: usize,
        letter: u8,
        is_odd: bool,
    ) -> Option<Vec<Part>> {
        let Some(line) = self.lines.get(n).copied() else {
            (self.hidden, self.odd) = (0, 0);
            return Some(Vec::new());
        };
        let is_last = n + 1 == self.lines.len();
        let text = line.get(4..line.len() - 2).unwrap_or_default();
        let is_long = line.len() > HELD_LINE;
        let shows = !line.starts_with(b"250")
            || self.device.keywords.has(keyword(text))
            || self.is_nameless(text);
        let in_pieces = [
            &line[..4.min(line.len())],
            &vec![b'X'; text.len()],
            &line[(4 + text.len()).min(line.len())..],
        ]
        .concat();
        let in_pieces = if line.len() < 6 { line.to_vec() } else { in_pieces };
        let mut found = None;
        if is_long && line.starts_with(b"250") {
            let passes = shows && text[..text.len().min(HELD_LINE - 4)].contains(&b' ');
            let out = if passes { line.to_vec() } else { in_pieces.clone() };
            let first = (gone > 0).then(|| (gone, b"250-OK\r\n".to_vec(), false));
            found = self.and(n, at, first, (line.len(), out, true), letter, is_odd);
        } else if shows {
            let mut out = line.to_vec();
            let first = (gone > 0).then(|| (gone + 1, vec![out.remove(0)], false));
            found = self.and(n, at, first, (out.len(), out, true), letter, is_odd);
        } else if !self.device.removes {
            let mut out = line.to_vec();
            let count = if text.is_empty() { 0 } else { 1 };
            for (n, octet) in out[4..].iter_mut().take(text.len()).enumerate() {
                *octet = if n + 1 == text.len() { b'A' + letter % 26 } else { b'X' };
            }
            // Code, text and end are edited each as a whole.
            let code = out[..4].to_vec();
            let end = out[4 + text.len()..].to_vec();
            let text = out[4..4 + text.len()].to_vec();
            if self.fits(at, &out) {
                found = self.parts(n + 1, at + out.len(), 0, letter + count, is_odd);
                if let Some(parts) = &mut found {
                    parts.push((end.len(), end, true));
                    if !text.is_empty() {
                        parts.push((text.len(), text, false));
                    }
                    parts.push((4, code, true));
                    self.hidden += 1;
                }
            }
        } else if is_last {
            let out = b"250 OK\r\n".to_vec();
            found = self.and(n, at, None, (gone + line.len(), out, false), letter, is_odd);
            self.hidden += u64::from(found.is_some());
        } else {
            found = self.parts(n + 1, at, gone + line.len(), letter, is_odd);
            self.hidden += u64::from(found.is_some());
        }
        if found.is_none() && is_odd {
            if gone > 0 {
                // The server has repeated what was to vanish.
                let out = b"250-OK\r\n".to_vec();
                if self.fits(at, &out) {
                    found = self.parts(n, at + out.len(), 0, letter, is_odd);
                    if let Some(parts) = &mut found {
                        parts.push((gone, out, false));
                    }
                }
            } else {
                // It has repeated a part of the line, too short to be known.
                found = self.and(n, at, None, (line.len(), in_pieces, true), letter, is_odd);
            }
            self.odd += usize::from(found.is_some());
        }
        found
    }

    /// A line without a keyword is one of those that are not known by name.
    fn is_nameless(&self, text: &[u8]) -> bool {
        keyword(text).is_empty() && matches!(self.device.keywords, crate::devices::Words::AllBut(_))
    }

    fn fits(&self, at: usize, out: &[u8]) -> bool {
        let seen = self.got.get(at..).unwrap_or_default();
        seen.starts_with(out) || out.starts_with(seen)
    }

    /// These parts and those of the lines behind them.
    fn and(
        &mut self,
        n: usize,
        at: usize,
        first: Option<Part>,
        part: Part,
        letter: u8,
        is_odd: bool,
    ) -> Option<Vec<Part>> {
        let octets = [first.as_ref().map_or(&b""[..], |(_, octets, _)| octets), &part.1].concat();
        if !self.fits(at, &octets) {
            return None;
        }
        let mut parts = self.parts(n + 1, at + octets.len(), 0, letter, is_odd)?;
        parts.push(part);
        parts.extend(first);
        Some(parts)
    }
}

/// The first word of a line, `AUTH=` up to the sign.
fn keyword(text: &[u8]) -> &[u8] {
    let word = text.split(|octet| b" \t".contains(octet)).next().unwrap_or_default();
    match word.iter().position(|octet| *octet == b'=') {
        Some(at) => &word[..=at],
        None => word,
    }
}
