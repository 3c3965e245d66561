//! Judges mail data: where it ends, and what of it may not pass.

use memchr::memchr3_iter;

use super::classes::Stop;
use super::tally::MessageTally;
use super::{Edits, Fault, Indifferent, Notice, Observer};
use crate::policy::{Personality, SplitEnd, Stray};
use crate::smtp::{MailData, Outstanding};

/// The judge of one message's mail data.
#[derive(Debug, Default)]
pub(super) struct DataJudge {
    mail_data: MailData,
    /// The end was split over packets.
    split: bool,
    /// Nothing passes any more (CSCds90792).
    is_withheld: bool,
    /// A CR has left whose LF has not come, for the client would not have gone on.
    cr_has_left: bool,
    /// The last octet was not the end of a line.
    is_inside_line: bool,
    /// The packet in hand is taken for commands.
    corrupts: bool,
    /// Where a policy map asks for it.
    tally: Option<Box<MessageTally>>,
    /// A rate limit does not admit what comes next.
    is_limited: bool,
}

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// So many octets.
    pub(super) octets: usize,
    /// The mail data has ended, and what the server owes for that.
    pub(super) end: Option<Outstanding>,
    /// A rate limit does not admit what comes next.
    pub(super) is_limited: bool,
}

impl DataJudge {
    /// Judges `octets`, with which a packet begins if `is_packet_start`.
    pub(super) fn judge(
        &mut self,
        octets: &[u8],
        is_packet_start: bool,
        is_stuck: bool,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<Taken, Fault> {
        self.is_limited = false;
        if self.is_withheld {
            return Ok(Taken { octets: 0, end: None, is_limited: false });
        }
        if personality.corrupts_mail_data {
            self.corrupts = is_packet_start && self.is_inside_line;
        }
        let is_plain = personality.bare_line_ends == Stray::Pass
            && personality.nul == Stray::Pass
            && !self.corrupts;
        let (taken, ended) = if is_plain {
            self.plain(octets, personality, edits, observer)?
        } else if self.corrupts {
            self.corrupt(octets, edits)
        } else {
            self.strict(octets, is_stuck, personality, edits, observer)?
        };
        if let Some(last) = taken.checked_sub(1).and_then(|last| octets.get(last)) {
            self.is_inside_line = *last != b'\n';
        }
        let hides_reply = self.split && personality.split_end == SplitEnd::WithholdReply;
        let what = if hides_reply { Outstanding::Withheld } else { Outstanding::EndOfData };
        let end = ended.then_some(what);
        if personality.split_end == SplitEnd::WithholdReply {
            // Where the end is not whole in what came, it may come in the next packet.
            self.split = self.mail_data.inside_end() > 0;
        }
        Ok(Taken { octets: taken, end, is_limited: self.is_limited })
    }

    /// All of it passes, up to the end.
    fn plain(
        &mut self,
        octets: &[u8],
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<(usize, bool), Fault> {
        let before = self.mail_data;
        let end = self.mail_data.take(octets);
        let mut taken = end.unwrap_or(octets.len());
        if personality.split_end == SplitEnd::Withhold {
            // The dot waits until it is clear whether it begins the end; then nothing passes any more.
            let held = self.mail_data.inside_end().min(taken);
            if end.is_none() && held > 0 {
                taken -= held;
                self.mail_data = before;
                self.mail_data.take(&octets[..taken]);
                self.split = true;
            } else if end == Some(3) && self.split && before.is_at_line_start() {
                self.is_withheld = true;
                return Ok((0, false));
            } else {
                self.split = false;
            }
        }
        let counted = self.count(&octets[..taken], end.is_some(), personality, edits, observer)?;
        if counted < taken {
            self.mail_data = before;
            self.mail_data.take(&octets[..counted]);
        }
        if counted > 0 {
            edits.pass(&octets[..counted]);
        }
        Ok((counted, end.is_some() && counted == taken))
    }

    /// Holds octets that are to pass, and end the mail data if `ends`, against the policy map: how many pass.
    /// What comes before the one that matches passes before the fault does.
    fn count(
        &mut self,
        octets: &[u8],
        ends: bool,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<usize, Fault> {
        let map = &personality.map;
        if map.is_empty() {
            return Ok(octets.len());
        }
        let tally = self.tally.get_or_insert_default();
        let before = personality.limits_rates().then(|| tally.clone());
        let Err((after, stop)) = tally.count(octets, ends, map, observer) else {
            return Ok(octets.len());
        };
        if let Stop::Fault(fault) = stop {
            if after > 0 {
                edits.pass(&octets[..after]);
            }
            return Err(fault);
        }
        if let Some(before) = before {
            *tally = before;
            // All of it was admitted a moment ago.
            let _ = tally.count(&octets[..after], false, map, &mut Indifferent);
        }
        self.is_limited = true;
        Ok(after)
    }

    /// Octets of the message up to here, as SIZE counts them.
    pub(super) fn message_octets(&self) -> u64 {
        self.mail_data.message_octets()
    }

    /// Whether nothing of a message has come.
    pub(super) fn is_at_rest(&self) -> bool {
        let flags = [self.split, self.is_withheld, self.cr_has_left, self.is_inside_line];
        self.mail_data == MailData::default()
            && !flags.contains(&true)
            && !self.corrupts
            && self.tally.is_none()
    }

    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        self.tally.as_ref().map_or(0, |tally| size_of::<MessageTally>() + tally.memory())
    }

    /// A CR without LF, a LF without CR and NUL become spaces, or end the session: so no server sees an
    /// end of mail data that the guard does not.
    fn strict(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        if self.cr_has_left {
            if octets.first() != Some(&b'\n') {
                return Err(Fault::StrayOctet);
            }
            let ended = self.let_through(octets, &mut at, 1, personality, edits, observer)?;
            self.cr_has_left = self.is_limited;
            if ended || self.is_limited {
                return Ok((at, ended));
            }
        }
        // Specials are few: between two of them nothing has to be looked at, and lines that end as they
        // should pass together.
        let mut behind_pair = at;
        for found in memchr3_iter(b'\r', b'\n', 0, octets) {
            if found < behind_pair {
                continue;
            }
            if octets[found] == b'\r' && octets.get(found + 1) == Some(&b'\n') {
                behind_pair = found + 2;
                continue;
            }
            let ended = self.let_through(octets, &mut at, found, personality, edits, observer)?;
            if ended || self.is_limited {
                self.note_cr(octets, at);
                return Ok((at, ended));
            }
            if octets[found] == b'\r' && found + 1 == octets.len() {
                // Its LF may be in the next packet.
                if is_stuck {
                    let len = octets.len();
                    self.let_through(octets, &mut at, len, personality, edits, observer)?;
                    self.cr_has_left = at == len;
                }
                return Ok((at, false));
            }
            let policy =
                if octets[found] == 0 { personality.nul } else { personality.bare_line_ends };
            match policy {
                Stray::Pass => {
                    self.let_through(octets, &mut at, found + 1, personality, edits, observer)?;
                }
                Stray::Blank => {
                    if self.count(b" ", false, personality, edits, observer)? == 1 {
                        self.mail_data.take(b" ");
                        edits.trade(1, b" ");
                        observer.notice(Notice::OctetBlanked);
                        at += 1;
                    }
                }
                Stray::Reset => return Err(Fault::StrayOctet),
            }
            if self.is_limited {
                return Ok((at, false));
            }
        }
        let len = octets.len();
        let ended = self.let_through(octets, &mut at, len, personality, edits, observer)?;
        self.note_cr(octets, at);
        Ok((at, ended))
    }

    /// Notes whether a rate limit stops between a CR and its LF, `at` octets on.
    fn note_cr(&mut self, octets: &[u8], at: usize) {
        let last = at.checked_sub(1).and_then(|last| octets.get(last));
        self.cr_has_left = self.is_limited && last == Some(&b'\r');
    }

    /// Lets octets from `at` pass, up to `until` or the end of the mail data; whether that was among them.
    fn let_through(
        &mut self,
        octets: &[u8],
        at: &mut usize,
        until: usize,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<bool, Fault> {
        let octets = &octets[*at..until];
        if octets.is_empty() {
            return Ok(false);
        }
        let before = self.mail_data;
        let end = self.mail_data.take(octets);
        let octets = &octets[..end.unwrap_or(octets.len())];
        let counted = self.count(octets, end.is_some(), personality, edits, observer)?;
        if counted < octets.len() {
            self.mail_data = before;
            self.mail_data.take(&octets[..counted]);
        }
        if counted > 0 {
            edits.pass(&octets[..counted]);
        }
        *at += counted;
        Ok(end.is_some() && counted == octets.len())
    }

    /// What PIX 4.2(2) did when it had lost its place: lines of the message become `X`, as commands would.
    fn corrupt(&mut self, octets: &[u8], edits: &mut impl Edits) -> (usize, bool) {
        for (at, &octet) in octets.iter().enumerate() {
            let is_dot = octet == b'.' && self.mail_data.is_at_line_start();
            let out = if is_dot || matches!(octet, b'\r' | b'\n') { octet } else { b'X' };
            let ended = self.mail_data.take(&[out]).is_some();
            if out == octet {
                edits.pass(&[octet]);
            } else {
                edits.trade(1, &[out]);
            }
            if ended {
                return (at + 1, true);
            }
        }
        (octets.len(), false)
    }
}
