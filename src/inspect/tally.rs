//! What the classes of a policy map count and measure of a message, in constant memory.

use memchr::{memchr, memrchr};

use super::Observer;
use super::classes::{Stop, next_match, settle, weigh};
use super::mime::Mime;
use crate::policy::{Class, Match};

/// The name of the field, and the colon.
const TO: &[u8] = b"TO:";

/// Octets of lines that are looked at together: what is looked at in vain is not more.
const PLAIN_OCTETS_MAX: usize = 4096;

/// How much of one message has come.
#[derive(Debug, Default, Clone)]
pub(super) struct MessageTally {
    has_begun: bool,
    in_body: bool,
    /// Octets of the line in hand, as they are sent.
    line: u64,
    /// The last of them was a CR: it is none of them if a LF follows.
    after_cr: bool,
    /// Octets of the header, or of the body.
    octets: u64,
    to_fields: u64,
    /// So many octets of `To:` began the line.
    to: usize,
    mime: Option<Box<Mime>>,
}

impl MessageTally {
    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        self.mime.as_ref().map_or(0, |mime| mime.memory())
    }

    /// Counts octets of mail data, with which it ends if `ends`; the error says after how many of them it stops.
    pub(super) fn count(
        &mut self,
        octets: &[u8],
        ends: bool,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), (usize, Stop)> {
        if !self.has_begun {
            self.has_begun = true;
            self.mime = Mime::begin(map);
        }
        let mut at = 0;
        while at < octets.len() {
            at += self.plain_lines(&octets[at..], map);
            if at == octets.len() {
                break;
            }
            let end = memchr(b'\n', &octets[at..]).map_or(octets.len(), |found| at + found + 1);
            let len = self.until_match(&octets[at..end], map);
            self.piece(&octets[at..at + len], map, observer)
                .map_err(|(after, stop)| (at + after, stop))?;
            at += len;
        }
        if ends {
            self.finish(map, observer).map_err(|stop| (octets.len().saturating_sub(1), stop))?;
        }
        Ok(())
    }

    /// How many octets are whole lines of the body of which no class has anything to say: nearly all of a message.
    /// They are counted.
    fn plain_lines(&mut self, octets: &[u8], map: &[Class]) -> usize {
        let is_between_lines = self.in_body && self.line == 0 && !self.after_cr;
        if !is_between_lines || !self.mime.as_ref().is_none_or(|mime| mime.is_between_lines()) {
            return 0;
        }
        let (mut longest, mut room) = (PLAIN_OCTETS_MAX, octets.len());
        for class in map {
            if let Some(most) = Self::of_line(&class.matches, true) {
                if class.is_negated {
                    return 0;
                }
                longest = longest.min(most as usize);
            }
            let most = of_part(&class.matches, true).filter(|_| !class.is_negated);
            if let Some(more) = most.and_then(|most| u64::from(most).checked_sub(self.octets)) {
                room = room.min(usize::try_from(more).unwrap_or(usize::MAX));
            }
        }
        let octets = &octets[..room];
        let mut at = 0;
        // No line in this window is longer than the longest one, its end included: none crosses its last LF.
        while let Some(end) = memrchr(b'\n', &octets[at..octets.len().min(at + longest)]) {
            let lines = &octets[at..=at + end];
            let plain = self.mime.as_ref().map_or(lines.len(), |mime| mime.plain_lines(lines));
            at += plain;
            if plain < lines.len() {
                break;
            }
        }
        self.octets += at as u64;
        at
    }

    /// What a class says of the line, or of the part of the message, that is in hand.
    fn of_line(class: &Match, in_body: bool) -> Option<u32> {
        match (class, in_body) {
            (Match::HeaderLineLength(most), false) | (Match::BodyLineLength(most), true) => {
                Some(*most)
            }
            (_, false | true) => None,
        }
    }

    /// Octets of a line without its end; whether a CR before it was one of the line; whether one follows.
    fn text<'a>(&self, octets: &'a [u8]) -> (&'a [u8], usize, bool) {
        let text = octets.strip_suffix(b"\n").unwrap_or(octets);
        let (text, has_cr) = text.strip_suffix(b"\r").map_or((text, false), |text| (text, true));
        // A CR that ended the piece before was one of the line, if no LF follows.
        (text, usize::from(self.after_cr && octets != b"\n"), has_cr)
    }

    /// How many octets of a line come before one, behind the first, that makes a class match: so what
    /// matches first is found first, however the line is cut.
    fn until_match(&self, octets: &[u8], map: &[Class]) -> usize {
        let in_body = self.in_body;
        let (text, bare_cr, _) = self.text(octets);
        let line = self.line + bare_cr as u64;
        let line = line..line + text.len() as u64;
        let part = self.octets..self.octets + octets.len() as u64;
        let of_line = next_match(map, line, |class| Self::of_line(class, in_body));
        let of_part = next_match(map, part, |class| of_part(class, in_body));
        // A lone CR is one of the line as soon as something else comes.
        let lone_cr = memchr(b'\r', text).map(|at| at + 1);
        of_line.into_iter().chain(of_part).chain(lone_cr).min().unwrap_or(octets.len())
    }

    /// Octets of one line, of which the last may be its end.
    fn piece(
        &mut self,
        octets: &[u8],
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), (usize, Stop)> {
        let in_body = self.in_body;
        let ends = octets.ends_with(b"\n");
        let (text, bare_cr, has_cr) = self.text(octets);
        let before = self.line;
        self.line += (bare_cr + text.len()) as u64;
        self.after_cr = has_cr && !ends;
        let at_start = |(_, stop)| (0, stop);
        weigh(map, before..self.line, |class| Self::of_line(class, in_body), observer)
            .map_err(at_start)?;
        let so_far = self.octets;
        self.octets += octets.len() as u64;
        weigh(map, so_far..self.octets, |class| of_part(class, in_body), observer)
            .map_err(at_start)?;
        if bare_cr > 0 {
            self.to = TO.len();
            if let Some(mime) = &mut self.mime {
                mime.octets(b"\r", map, observer).map_err(at_start)?;
            }
        }
        // The server takes a dot away that begins a line (RFC 5321 section 4.5.2): what it hides counts.
        let begins = before == 0 && bare_cr == 0;
        let dot = usize::from(begins && text.first() == Some(&b'.'));
        let content = text.get(dot..).unwrap_or_default();
        let shift = |(after, stop): (usize, Stop)| (dot + after, stop);
        if in_body {
            if let Some(mime) = &mut self.mime {
                mime.octets(content, map, observer).map_err(shift)?;
            }
        } else {
            for (at, octet) in content.iter().enumerate() {
                self.field(*octet, map, observer).map_err(|stop| shift((at, stop)))?;
                if let Some(mime) = &mut self.mime {
                    let octet = core::slice::from_ref(octet);
                    mime.octets(octet, map, observer).map_err(|(_, stop)| shift((at, stop)))?;
                }
            }
        }
        if ends {
            self.line_end(map, observer).map_err(|stop| (octets.len() - 1, stop))?;
        }
        Ok(())
    }

    /// A line is over.
    fn line_end(&mut self, map: &[Class], observer: &mut impl Observer) -> Result<(), Stop> {
        let in_body = self.in_body;
        if let Some(mime) = &mut self.mime {
            mime.line_end(map, observer)?;
        }
        if self.line == 0 && !self.in_body {
            self.header_end(map, observer)?;
            (self.in_body, self.octets) = (true, 0);
        } else {
            settle(map, self.line, |class| Self::of_line(class, in_body), observer)?;
        }
        (self.line, self.to) = (0, 0);
        Ok(())
    }

    fn header_end(&self, map: &[Class], observer: &mut impl Observer) -> Result<(), Stop> {
        settle(map, self.octets, |class| of_part(class, false), observer)?;
        settle(map, self.to_fields, to_fields, observer)
    }

    /// The mail data is over.
    fn finish(&mut self, map: &[Class], observer: &mut impl Observer) -> Result<(), Stop> {
        if let Some(mime) = &mut self.mime {
            mime.finish(map, observer)?;
        }
        if !self.in_body {
            self.header_end(map, observer)?;
            self.octets = 0;
        }
        settle(map, self.octets, |class| of_part(class, true), observer)
    }

    /// Counts To fields by the name that begins a line.
    fn field(
        &mut self,
        octet: u8,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        match TO.get(self.to) {
            Some(next) if *next == octet.to_ascii_uppercase() => self.to += 1,
            // Nothing of it is one any more.
            _ => {
                self.to = TO.len() + 1;
                return Ok(());
            }
        }
        if self.to < TO.len() {
            return Ok(());
        }
        let before = self.to_fields;
        self.to_fields += 1;
        weigh(map, before..self.to_fields, to_fields, observer).map_err(|(_, stop)| stop)
    }
}

fn to_fields(class: &Match) -> Option<u32> {
    if let Match::HeaderToFieldsCount(most) = class { Some(*most) } else { None }
}

fn of_part(class: &Match, in_body: bool) -> Option<u32> {
    match (class, in_body) {
        (Match::HeaderLength(most), false) | (Match::BodyLength(most), true) => Some(*most),
        (_, false | true) => None,
    }
}
