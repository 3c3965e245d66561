//! Judges mail data: where it ends, and what of it may not pass.

use memchr::memchr3_iter;

use super::tally::MessageTally;
use super::{Edits, Fault, Notice};
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
    tally: MessageTally,
}

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// So many octets.
    pub(super) octets: usize,
    /// The mail data has ended, and what the server owes for that.
    pub(super) end: Option<Outstanding>,
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
        notice: &mut impl FnMut(Notice),
    ) -> Result<Taken, Fault> {
        if self.is_withheld {
            return Ok(Taken { octets: 0, end: None });
        }
        if personality.corrupts_mail_data {
            self.corrupts = is_packet_start && self.is_inside_line;
        }
        let is_plain = personality.bare_line_ends == Stray::Pass
            && personality.nul == Stray::Pass
            && !self.corrupts;
        let (taken, ended) = if is_plain {
            self.plain(octets, personality, edits, notice)?
        } else if self.corrupts {
            self.corrupt(octets, edits)
        } else {
            self.strict(octets, is_stuck, personality, edits, notice)?
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
        Ok(Taken { octets: taken, end })
    }

    /// All of it passes, up to the end.
    fn plain(
        &mut self,
        octets: &[u8],
        personality: &Personality,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
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
        if taken > 0 {
            self.count(&octets[..taken], personality, edits, notice)?;
            edits.pass(&octets[..taken]);
        }
        Ok((taken, end.is_some()))
    }

    /// Holds octets that are to pass against the policy map. What comes before the one that matches passes.
    fn count(
        &mut self,
        octets: &[u8],
        personality: &Personality,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
    ) -> Result<(), Fault> {
        if personality.map.is_empty() {
            return Ok(());
        }
        self.tally.count(octets, &personality.map, notice).map_err(|(after, fault)| {
            if after > 0 {
                edits.pass(&octets[..after]);
            }
            fault
        })
    }

    /// A CR without LF, a LF without CR and NUL become spaces, or end the session: so no server sees an
    /// end of mail data that the guard does not.
    fn strict(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        personality: &Personality,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
    ) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        if core::mem::take(&mut self.cr_has_left) {
            if octets.first() != Some(&b'\n') {
                return Err(Fault::StrayOctet);
            }
            let ended = self.let_through(&octets[..1], personality, edits, notice)?;
            at = 1;
            if ended.is_some() {
                return Ok((1, true));
            }
        }
        // Specials are few: between two of them nothing has to be looked at.
        for found in memchr3_iter(b'\r', b'\n', 0, octets) {
            if found < at {
                continue;
            }
            let is_pair = octets[found] == b'\r' && octets.get(found + 1) == Some(&b'\n');
            if is_pair {
                let until = found + 2;
                if let Some(end) =
                    self.let_through(&octets[at..until], personality, edits, notice)?
                {
                    return Ok((at + end, true));
                }
                at = until;
                continue;
            }
            if octets[found] == b'\r' && found + 1 == octets.len() {
                // Its LF may be in the next packet.
                if found > at {
                    self.let_through(&octets[at..found], personality, edits, notice)?;
                }
                if !is_stuck {
                    return Ok((found, false));
                }
                self.let_through(&octets[found..], personality, edits, notice)?;
                self.cr_has_left = true;
                return Ok((octets.len(), false));
            }
            let policy =
                if octets[found] == 0 { personality.nul } else { personality.bare_line_ends };
            if found > at {
                self.let_through(&octets[at..found], personality, edits, notice)?;
            }
            at = found + 1;
            match policy {
                Stray::Pass => {
                    self.let_through(&octets[found..at], personality, edits, notice)?;
                }
                Stray::Blank => {
                    self.mail_data.take(b" ");
                    self.count(b" ", personality, edits, notice)?;
                    edits.trade(1, b" ");
                    notice(Notice::OctetBlanked);
                }
                Stray::Reset => return Err(Fault::StrayOctet),
            }
        }
        if at < octets.len() {
            self.let_through(&octets[at..], personality, edits, notice)?;
        }
        Ok((octets.len(), false))
    }

    /// Lets octets pass up to the end of the mail data, if it is among them.
    fn let_through(
        &mut self,
        octets: &[u8],
        personality: &Personality,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
    ) -> Result<Option<usize>, Fault> {
        let end = self.mail_data.take(octets);
        let octets = &octets[..end.unwrap_or(octets.len())];
        self.count(octets, personality, edits, notice)?;
        edits.pass(octets);
        Ok(end)
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
