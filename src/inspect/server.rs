//! Judges what the server sends: the greeting and the replies.

use std::borrow::Cow;

use super::classes::{Stop, settle, weigh};
use super::ehlo::EhloReply;
use super::{Edits, Fault, Indifferent, Notice, Observer, greeting};
use crate::limits::{GREETING_TEXT_MAX, HELD_REPLY_OCTETS_MAX};
use crate::policy::{Greeting, Match, Personality};
use crate::smtp::{Outstanding, Phase, ReplyLine, Session};

/// How far the trade of a reply has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Trade {
    /// Not begun.
    #[default]
    Not,
    /// The server's own words stay.
    Passes,
    /// The name of the host stays, and is not over.
    Host,
    /// So many octets of the new text have left.
    Text(usize),
    /// The new text and the CR behind it have left.
    Cr,
    /// More surplus came than may be held: it leaves as blanks.
    Blanks,
}

/// The judge of the direction server to client.
#[derive(Debug, Default)]
pub struct ServerJudge {
    line: ReplyLine,
    trade: Trade,
    ehlo: EhloReply,
    /// What the reply that has begun answers, if anything: a command that passes meanwhile does
    /// not make it its own.
    answers: Option<Option<Outstanding>>,
    /// Recipients of the message in hand that the server has refused.
    invalid_recipients: u64,
}

impl ServerJudge {
    /// Whether it knows nothing that a new one does not.
    pub fn is_at_rest(&self) -> bool {
        !self.line.has_begun()
            && self.trade == Trade::Not
            && self.ehlo.is_at_rest()
            && self.invalid_recipients == 0
    }

    /// Judges `octets` as far as can be; returns how many it took. `is_stuck` when nothing may
    /// follow before these are acknowledged: the server has closed, or it repeats itself.
    pub fn judge(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while at < octets.len() && edits.has_room() {
            let rest = &octets[at..];
            if session.phase() == Phase::Tls {
                if !session.has_begun_tls {
                    // It would be taken for what came encrypted by a client that has read it already
                    // (CVE-2021-38371).
                    return Err(Fault::StartTlsInjection);
                }
                edits.pass(rest);
                return Ok(octets.len());
            }
            if !self.line.has_begun() && self.trade == Trade::Not {
                self.answers = None;
            }
            let answers = *self.answers.get_or_insert_with(|| session.head());
            let taken = match answers {
                Some(Outstanding::Withheld) => 0,
                Some(Outstanding::Refused | Outstanding::Answered(_)) => {
                    self.trade(rest, is_stuck, session, personality, edits)?
                }
                Some(Outstanding::Greeting) => match personality.greeting {
                    Greeting::Pass => self.pass(rest, session, personality, edits, observer)?,
                    Greeting::Text(_) | Greeting::Host(_) => {
                        self.trade(rest, is_stuck, session, personality, edits)?
                    }
                    Greeting::Keep20 | Greeting::All | Greeting::Esmtp | Greeting::Cmap => {
                        self.mask(rest, is_stuck, session, personality, edits, observer)?
                    }
                },
                Some(Outstanding::Ehlo) => {
                    let (line, ehlo) = (&mut self.line, &mut self.ehlo);
                    let (taken, code) =
                        ehlo.judge(line, rest, is_stuck, session, personality, edits, observer)?;
                    if let Some(code) = code {
                        self.ended(code, session, observer)?;
                    }
                    taken
                }
                _ => self.pass(rest, session, personality, edits, observer)?,
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        Ok(at)
    }

    /// The reply has ended.
    fn ended(
        &mut self,
        code: u16,
        session: &mut Session,
        observer: &mut impl Observer,
    ) -> Result<(), Fault> {
        let said = match self.answers.take() {
            Some(Some(_)) => session.answered(code),
            Some(None) | None => session.said_unasked(code),
        };
        if session.phase() == Phase::Tls {
            observer.notice(Notice::TlsStarted);
        }
        said.map_err(Fault::Server)
    }

    /// Lets one reply through.
    fn pass(
        &mut self,
        octets: &[u8],
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<usize, Fault> {
        let before = self.line.clone();
        let mut end = None;
        let mut taken = 0;
        for octet in octets {
            end = self.line.take(*octet);
            taken += 1;
            // Behind a line that is no reply another one may be answered.
            if end.is_some() || !self.line.has_begun() {
                break;
            }
        }
        if let Some(code) = end {
            match self.count_recipients(code, personality, observer) {
                Ok(()) => {}
                Err(Stop::Wait) => {
                    self.line = before;
                    return Ok(0);
                }
                Err(Stop::Fault(fault)) => {
                    if taken > 1 {
                        edits.pass(&octets[..taken - 1]);
                    }
                    return Err(fault);
                }
            }
        }
        edits.pass(&octets[..taken]);
        if let Some(code) = end {
            self.ended(code, session, observer)?;
        }
        Ok(taken)
    }

    /// Counts the recipients that the server refuses, before the end of the reply leaves.
    fn count_recipients(
        &mut self,
        code: u16,
        personality: &Personality,
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        let map = &personality.map;
        let of_message = |class: &Match| {
            if let Match::InvalidRecipientsCount(most) = class { Some(*most) } else { None }
        };
        let count = self.invalid_recipients;
        match self.answers.flatten() {
            Some(Outstanding::Mail) => self.invalid_recipients = 0,
            Some(Outstanding::Rcpt) if code >= 400 => {
                weigh(map, count..count + 1, of_message, observer).map_err(|(_, stop)| stop)?;
                self.invalid_recipients += 1;
            }
            Some(Outstanding::Data) if code == 354 => settle(map, count, of_message, observer)?,
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Masks the greeting, octet for octet.
    fn mask(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<usize, Fault> {
        let mut clear = 0;
        for (at, &octet) in octets.iter().enumerate() {
            if clear == 0 && personality.greeting == Greeting::Esmtp {
                match greeting::esmtp(&octets[at..]) {
                    greeting::Esmtp::Here => clear = greeting::ESMTP.len(),
                    greeting::Esmtp::Perhaps if !is_stuck => return Ok(at),
                    greeting::Esmtp::Perhaps | greeting::Esmtp::Not => {}
                }
            }
            let masked =
                if clear > 0 { octet } else { greeting::mask(&self.line, octet, personality) };
            clear = clear.saturating_sub(1);
            if masked == octet {
                edits.pass(&[octet]);
            } else {
                edits.trade(1, &[masked]);
            }
            if let Some(code) = self.line.take(octet) {
                observer.notice(Notice::GreetingMasked);
                self.ended(code, session, observer)?;
                return Ok(at + 1);
            }
        }
        Ok(octets.len())
    }

    /// Trades a reply for another text: octet for octet as long as the text lasts; what the reply has
    /// beyond that is held and traded with its line end.
    fn trade(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
    ) -> Result<usize, Fault> {
        let what = self.answers.flatten();
        if self.trade == Trade::Not {
            // 4yz says that the server cannot go on (RFC 5321 section 4.2.1), and the greeting of one that can does
            // not stand in for another. What the device answers by itself is its own, known to the server or not.
            let stays = match what {
                Some(Outstanding::Refused | Outstanding::Answered(_)) => {
                    octets.first() == Some(&b'4')
                }
                _ => octets.first() != Some(&b'2'),
            };
            let is_greeting = what == Some(Outstanding::Greeting);
            let keeps_host = is_greeting && matches!(personality.greeting, Greeting::Host(_));
            self.trade = match stays {
                true => Trade::Passes,
                false if keeps_host => Trade::Host,
                false => Trade::Text(0),
            };
        }
        let text = text_for(what, personality);
        let mut held = 0;
        let mut line = self.line.clone();
        for (at, &octet) in octets.iter().enumerate() {
            let is_last_line = line.is_last();
            let column = line.column();
            let code = line.take(octet);
            held += 1;
            match self.trade {
                Trade::Passes | Trade::Not => edits.pass(&[octet]),
                Trade::Host if column == 3 && octet == b'-' => edits.trade(1, b" "),
                Trade::Host if column > 3 && octet == b' ' => {
                    edits.pass(b" ");
                    self.trade = Trade::Text(1);
                }
                Trade::Host if column >= 3 && matches!(octet, b'\r' | b'\n') => {
                    self.trade = if is_last_line && octet == b'\r' {
                        put(held, &text, b"\r", edits);
                        Trade::Cr
                    } else {
                        edits.trade(1, b" ");
                        Trade::Text(1)
                    };
                }
                Trade::Host => edits.pass(&[octet]),
                Trade::Text(done) if code.is_some() => {
                    put(held, text.get(done..).unwrap_or_default(), b"\r\n", edits);
                }
                Trade::Text(done) if octet == b'\r' && is_last_line => {
                    put(held, text.get(done..).unwrap_or_default(), b"\r", edits);
                    self.trade = Trade::Cr;
                }
                Trade::Text(done) => match text.get(done) {
                    Some(next) => {
                        edits.trade(1, &[*next]);
                        self.trade = Trade::Text(done + 1);
                    }
                    None if held >= HELD_REPLY_OCTETS_MAX => {
                        blank(held, edits);
                        self.trade = Trade::Blanks;
                    }
                    None => continue,
                },
                Trade::Cr if code.is_some() => edits.trade(held, b"\n"),
                Trade::Cr if held >= HELD_REPLY_OCTETS_MAX => {
                    edits.trade(held, b"\n");
                    self.trade = Trade::Blanks;
                }
                Trade::Cr => continue,
                Trade::Blanks if code.is_some() => edits.trade(held, b"\r\n"),
                Trade::Blanks => blank(1, edits),
            }
            held = 0;
            self.line = line.clone();
            if let Some(code) = code {
                self.trade = Trade::Not;
                self.ended(code, session, &mut Indifferent)?;
                return Ok(at + 1);
            }
        }
        if is_stuck && held > 0 {
            // Better blanks behind the text than a server that waits for ever, as one does that
            // writes its text and its line end apart, with Nagle's algorithm (RFC 1122 section
            // 4.2.3.4).
            blank(held, edits);
            self.line = line;
            held = 0;
        }
        Ok(octets.len() - held)
    }
}

/// What the client reads in the place of the server's words.
fn text_for(what: Option<Outstanding>, personality: &Personality) -> Cow<'_, [u8]> {
    match what {
        Some(Outstanding::Answered(number)) => {
            let answer = personality.answers.get(usize::from(number));
            Cow::Borrowed(answer.map_or(&b""[..], |(_, text)| text.as_bytes()))
        }
        Some(Outstanding::Greeting) => match &personality.greeting {
            Greeting::Text(text) => Cow::Owned([b"220 ", text.as_bytes()].concat()),
            Greeting::Host(text) => Cow::Owned([b" ", text.as_bytes()].concat()),
            Greeting::Pass
            | Greeting::Keep20
            | Greeting::All
            | Greeting::Esmtp
            | Greeting::Cmap => Cow::Borrowed(b""),
        },
        _ => Cow::Borrowed(personality.refusal.reply().unwrap_or_default().as_bytes()),
    }
}

/// Trades `original` octets for `text` and `end`.
fn put(original: usize, text: &[u8], end: &[u8], edits: &mut impl Edits) {
    let mut whole = [0; GREETING_TEXT_MAX + 8];
    let len = text.len().min(whole.len() - end.len());
    whole[..len].copy_from_slice(&text[..len]);
    whole[len..len + end.len()].copy_from_slice(end);
    edits.trade(original, &whole[..len + end.len()]);
}

fn blank(mut octets: usize, edits: &mut impl Edits) {
    const BLANKS: [u8; 256] = [b' '; 256];
    while octets > 0 {
        let part = octets.min(BLANKS.len());
        edits.trade(part, &BLANKS[..part]);
        octets -= part;
    }
}

#[cfg(test)]
mod tests;
