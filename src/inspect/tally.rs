//! What the classes of a policy map count and measure, in constant memory.

use core::ops::Range;

use memchr::memchr;

use super::{Fault, Notice};
use crate::policy::{Action, Class, Match};

/// Holds something that grows over `values` against the classes for which `most` says how much of it is allowed. The
/// error says after how many of the values the connection ends.
pub(super) fn weigh(
    map: &[Class],
    values: Range<u64>,
    most: impl Fn(Match) -> Option<u32>,
    notice: &mut impl FnMut(Notice),
) -> Result<(), (usize, Fault)> {
    let mut end = None;
    for (at, class) in map.iter().enumerate() {
        let Some(most) = most(class.matches).map(u64::from) else { continue };
        if !values.contains(&most) {
            continue;
        }
        let after = (most - values.start) as usize;
        let drops = match class.action {
            Action::Log => {
                notice(Notice::ClassMatched);
                continue;
            }
            Action::Reset => false,
            Action::DropConnection => true,
        };
        if end.is_none_or(|(before, _)| after < before) {
            end = Some((after, Fault::ClassMatched { number: at as u8 + 1, drops }));
        }
    }
    end.map_or(Ok(()), Err)
}

/// How much of one message has come.
#[derive(Debug, Default)]
pub(super) struct MessageTally {
    in_body: bool,
    /// Octets of the line in hand.
    line: u64,
    /// The last of them was a CR: it is none of them if a LF follows.
    after_cr: bool,
    /// Octets of the header, or of the body.
    octets: u64,
    to_fields: u64,
    /// So many octets of `To:` began the line.
    to: usize,
}

impl MessageTally {
    /// Counts octets of mail data; the error says after how many of them the connection ends.
    pub(super) fn count(
        &mut self,
        octets: &[u8],
        map: &[Class],
        notice: &mut impl FnMut(Notice),
    ) -> Result<(), (usize, Fault)> {
        let mut at = 0;
        while at < octets.len() {
            let end = memchr(b'\n', &octets[at..]).map_or(octets.len(), |found| at + found + 1);
            self.piece(&octets[at..end], map, notice)
                .map_err(|(after, fault)| (at + after, fault))?;
            at = end;
        }
        Ok(())
    }

    /// Octets of one line, of which the last may be its end.
    fn piece(
        &mut self,
        octets: &[u8],
        map: &[Class],
        notice: &mut impl FnMut(Notice),
    ) -> Result<(), (usize, Fault)> {
        let in_body = self.in_body;
        let ends = octets.ends_with(b"\n");
        let text = octets.strip_suffix(b"\n").unwrap_or(octets);
        let (text, has_cr) = text.strip_suffix(b"\r").map_or((text, false), |text| (text, true));
        // A CR that ended the piece before was one of the line, if no LF follows.
        let bare_cr = u64::from(self.after_cr && octets != b"\n");
        let before = self.line;
        self.line += bare_cr + text.len() as u64;
        self.after_cr = has_cr && !ends;
        let of_line = |class| match (class, in_body) {
            (Match::HeaderLineLength(most), false) | (Match::BodyLineLength(most), true) => {
                Some(most)
            }
            (_, false | true) => None,
        };
        weigh(map, before..self.line, of_line, notice)
            .map_err(|(after, fault)| (after.saturating_sub(bare_cr as usize), fault))?;
        self.field(text, before + bare_cr, map, notice)?;
        let before = self.octets;
        self.octets += octets.len() as u64;
        let of_part = |class| match (class, in_body) {
            (Match::HeaderLength(most), false) | (Match::BodyLength(most), true) => Some(most),
            (_, false | true) => None,
        };
        weigh(map, before..self.octets, of_part, notice)?;
        if ends {
            if self.line == 0 && !self.in_body {
                (self.in_body, self.octets) = (true, 0);
            }
            (self.line, self.to) = (0, 0);
        }
        Ok(())
    }

    /// Counts To fields by the name that begins a line, of which `before` octets had come.
    fn field(
        &mut self,
        text: &[u8],
        before: u64,
        map: &[Class],
        notice: &mut impl FnMut(Notice),
    ) -> Result<(), (usize, Fault)> {
        const TO: &[u8] = b"TO:";
        if self.in_body || self.to as u64 != before {
            return Ok(());
        }
        for (at, octet) in text.iter().enumerate() {
            if TO.get(self.to) != Some(&octet.to_ascii_uppercase()) {
                return Ok(());
            }
            self.to += 1;
            if self.to == TO.len() {
                let before = self.to_fields;
                self.to_fields += 1;
                let of_fields = |class| {
                    if let Match::HeaderToFieldsCount(most) = class { Some(most) } else { None }
                };
                weigh(map, before..self.to_fields, of_fields, notice)
                    .map_err(|(_, fault)| (at, fault))?;
            }
        }
        Ok(())
    }
}
