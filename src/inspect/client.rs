//! Judges what the client sends: commands, answers to challenges, mail data, chunks, and TLS, which cannot be
//! judged.
//!
//! A command line is judged octet by octet ([`super::command`]). While it is the beginning of an allowed verb
//! it passes; the octet that makes it refusable and the rest of the line are traded in place. So a
//! session typed by hand, one character a packet, is never held up, and no cut matters, unless a knob of the
//! personality says otherwise.

use super::classes::{Stop, settle, weigh};
use super::command::{CommandLine, Ended, Look};
use super::data::{DataJudge, Taken};
use super::observer::InLine;
use super::traded::Traded;
use super::{Edits, Fault, Notice, Observer};
use crate::policy::{DataPhase, Match, Personality, Pipelining};
use crate::smtp::{Outstanding, Phase, Session, Verb, VerbSet};

/// The first octet of a TLS record that opens a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// The judge of the direction client to server.
#[derive(Debug, Default)]
pub struct ClientJudge {
    line: CommandLine,
    /// A CR has left; only LF may follow.
    after_cr: Option<Ended>,
    data: DataJudge,
    /// Octets that are no commands and are still to come (BDAT).
    chunk: u64,
    /// RCPT commands for the message in hand.
    recipients: u64,
    /// The size that MAIL has declared of it.
    declared: Option<u64>,
    /// Octets have waited behind STARTTLS for the reply.
    waits_behind_starttls: bool,
    /// A rate limit does not admit what comes next.
    is_limited: bool,
}

impl ClientJudge {
    /// Judges `octets` as far as can be; returns how many it took. `is_stuck` when the client repeats what
    /// waits.
    pub fn judge(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<usize, Fault> {
        if personality.resets_early_talkers
            && !octets.is_empty()
            && session.head() == Some(Outstanding::Greeting)
        {
            return Err(Fault::EarlyTalk);
        }
        let mut at = 0;
        self.is_limited = false;
        while at < octets.len() && edits.has_room() && !self.is_limited {
            let rest = &octets[at..];
            let taken = match session.phase() {
                Phase::AwaitsReply => {
                    self.wait(session, personality)?;
                    break;
                }
                Phase::Tls => self.tls(rest, session, edits)?,
                Phase::MailData => {
                    let Taken { octets, end, is_limited } =
                        self.data.judge(rest, at == 0, is_stuck, personality, edits, observer)?;
                    self.is_limited = is_limited;
                    if let Some(end) = end {
                        let actual = core::mem::take(&mut self.data).message_octets();
                        self.recipients = 0;
                        let declared = self.declared.take().filter(|declared| *declared < actual);
                        // Of a device that lets no EHLO pass nobody learns what SIZE is.
                        if let Some(declared) = declared
                            && personality.verbs.contains(Verb::Ehlo)
                        {
                            observer.notice(Notice::SizeViolated { declared, actual });
                        }
                        session.sent(end);
                        observer.notice(Notice::MailDataEnded);
                    }
                    octets
                }
                Phase::Commands | Phase::AuthResponse if self.chunk > 0 => {
                    let len = usize::try_from(self.chunk).unwrap_or(usize::MAX).min(rest.len());
                    edits.pass(&rest[..len]);
                    self.chunk -= len as u64;
                    len
                }
                Phase::Commands | Phase::AuthResponse => {
                    self.waits_behind_starttls = false;
                    if !session.has_room() {
                        break;
                    }
                    match self.before_line(rest, at == 0, is_stuck, session, personality)? {
                        Look::Wait => break,
                        Look::Go => self.commands(rest, session, personality, edits, observer)?,
                    }
                }
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        Ok(at)
    }

    /// Whether it knows nothing that a new one does not.
    pub fn is_at_rest(&self) -> bool {
        self.line.is_at_rest()
            && self.after_cr.is_none()
            && self.data.is_at_rest()
            && (self.chunk, self.recipients) == (0, 0)
            && !self.waits_behind_starttls
            && !self.is_limited
            && self.declared.is_none()
    }

    /// Octets of memory beyond its own size.
    pub fn memory(&self) -> usize {
        self.line.memory() + self.data.memory()
    }

    /// Octets have come that only a reply makes something.
    fn wait(&mut self, session: &Session, personality: &Personality) -> Result<(), Fault> {
        // Behind a lone CR of such a command the LF is still to come: it is no octet of its own.
        if self.after_cr.is_some() {
            return Ok(());
        }
        let is_behind_starttls = session.tail() == Some(Outstanding::StartTls);
        if personality.pipelining == Pipelining::Offered {
            return Err(if is_behind_starttls {
                Fault::StartTlsInjection
            } else {
                Fault::UnauthorizedPipelining
            });
        }
        self.waits_behind_starttls = is_behind_starttls;
        Ok(())
    }

    /// The server has said that TLS may begin.
    fn tls(
        &mut self,
        octets: &[u8],
        session: &mut Session,
        edits: &mut impl Edits,
    ) -> Result<usize, Fault> {
        if !session.has_begun_tls {
            // What came in plain text behind STARTTLS would be taken for what came encrypted by a server
            // that has read it already (CVE-2011-0411).
            if self.waits_behind_starttls || octets.first() != Some(&TLS_HANDSHAKE) {
                return Err(Fault::StartTlsInjection);
            }
            session.has_begun_tls = true;
        }
        edits.pass(octets);
        Ok(octets.len())
    }

    /// Whether a line may begin, and whether its beginning must be whole.
    fn before_line(
        &mut self,
        rest: &[u8],
        is_alone: bool,
        is_stuck: bool,
        session: &Session,
        personality: &Personality,
    ) -> Result<Look, Fault> {
        if let Some(ended) = self.after_cr {
            if ended.owns(rest[0]) {
                return Ok(Look::Go);
            }
            // A line begins, and brings the LF with it that the one before is short of.
            if !self.line.is_at_start() {
                self.line.begin();
            }
            let verbs = verbs(session, personality);
            return self.line.look(rest, is_alone, is_stuck, verbs, personality);
        }
        if !self.line.is_at_start() {
            return Ok(Look::Go);
        }
        if session.phase() == Phase::AuthResponse {
            self.line.begin_response();
            return Ok(Look::Go);
        }
        if personality.pipelining == Pipelining::Offered
            && let Some(tail) = session.tail()
            && (!session.offers.pipelining || tail == Outstanding::Ehlo)
        {
            return Err(Fault::UnauthorizedPipelining);
        }
        let verbs = verbs(session, personality);
        self.line.look(rest, is_alone, is_stuck, verbs, personality)
    }

    /// Judges command octets up to the end of a line at most.
    fn commands(
        &mut self,
        octets: &[u8],
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<usize, Fault> {
        let verbs = verbs(session, personality);
        let limits_rates = personality.limits_rates();
        let (mut passed, mut next) = (0, 0);
        while let Some(&octet) = octets.get(next) {
            let at = next;
            if self.after_cr.is_none() {
                let plain = self.line.plain(&octets[at..], verbs, personality);
                if plain > 0 {
                    passed += plain;
                    next += plain;
                    continue;
                }
            }
            next += 1;
            if at > 0 && self.after_cr.is_some_and(|ended| !ended.owns(octet)) {
                if passed > 0 {
                    edits.pass(&octets[at - passed..at]);
                }
                return Ok(at);
            }
            let before = limits_rates.then(|| (self.line.clone(), self.after_cr, self.recipients));
            let mut traded = Traded::default();
            let mut ended = None;
            if let Some(end) = self.after_cr.take() {
                ended = Some(end);
                if octet != b'\n' {
                    // Whether a lone CR ends a line is every server's own opinion; a CRLF is not.
                    traded.put(b"\n");
                    observer.notice(Notice::LineEndMended);
                    if end.owns(octet) {
                        self.line.begin();
                    }
                }
            }
            let is_spent = ended.is_some_and(|ended| ended.sent.decides());
            if is_spent && octet != b'\n' {
                // Only the reply will tell what this octet is: it is spent on the line end.
            } else if let Some(end) = &mut ended
                && end.chunk > 0
                && octet != b'\n'
            {
                traded.put(&[octet]);
                end.chunk -= 1;
            } else if ended.is_none() || octet != b'\n' {
                let mut place = InLine { observer: &mut *observer, octets, at };
                let line = self.line.octet(octet, verbs, personality, &mut traded, &mut place);
                if matches!(line, Err(Stop::Fault(Fault::SpecialCharacter))) {
                    place.quote_line();
                }
                let line = line.and_then(|line| self.number(line, personality, observer));
                let line = match line {
                    Ok(line) => line,
                    Err(stop) => {
                        // What was judged before is still heard.
                        if passed > 0 {
                            edits.pass(&octets[at - passed..at]);
                        }
                        let Stop::Fault(fault) = stop else {
                            if let Some(before) = before {
                                (self.line, self.after_cr, self.recipients) = before;
                            }
                            self.is_limited = true;
                            return Ok(at);
                        };
                        return Err(fault);
                    }
                };
                match (octet, line) {
                    (b'\r', Some(end)) => self.after_cr = Some(end),
                    (_, Some(end)) => {
                        // A lone LF: the same.
                        observer.notice(Notice::LineEndMended);
                        if let Some(end) = ended.replace(end) {
                            self.finish(end, session, personality, observer);
                        }
                    }
                    (_, None) => {}
                }
            } else {
                traded.put(b"\n");
            }
            if traded.octets[..traded.len] == [octet] {
                passed += 1;
            } else {
                if passed > 0 {
                    edits.pass(&octets[at - passed..at]);
                    passed = 0;
                }
                edits.trade(1, &traded.octets[..traded.len]);
            }
            if let Some(end) = ended {
                if octet == b'\n' {
                    self.line.begin();
                }
                self.finish(end, session, personality, observer);
                if passed > 0 {
                    edits.pass(&octets[at + 1 - passed..=at]);
                }
                return Ok(at + 1);
            }
        }
        if passed > 0 {
            edits.pass(&octets[octets.len() - passed..]);
        }
        Ok(octets.len())
    }

    /// Counts the recipients of a message, before the end of their line leaves.
    fn number(
        &mut self,
        line: Option<Ended>,
        personality: &Personality,
        observer: &mut impl Observer,
    ) -> Result<Option<Ended>, Stop> {
        let map = &personality.map;
        let of_message =
            |class: &Match| if let Match::CmdRcptCount(most) = class { Some(*most) } else { None };
        match line.and_then(|ended| ended.verb) {
            Some(Verb::Rcpt) => {
                self.recipients += 1;
                let grown = self.recipients - 1..self.recipients;
                weigh(map, grown, of_message, observer).map_err(|(_, stop)| stop)?;
            }
            Some(Verb::Data) => settle(map, self.recipients, of_message, observer)?,
            Some(Verb::Mail | Verb::Rset | Verb::Helo | Verb::Ehlo) => {
                (self.recipients, self.declared) = (0, line.and_then(|ended| ended.size));
            }
            Some(_) | None => {}
        }
        Ok(line)
    }

    /// A line has ended.
    fn finish(
        &mut self,
        ended: Ended,
        session: &mut Session,
        personality: &Personality,
        observer: &mut impl Observer,
    ) {
        session.sent(ended.sent);
        self.chunk = ended.chunk;
        if ended.sent == Outstanding::Data && personality.data_phase == DataPhase::Command {
            session.begin_mail_data_early();
        }
        if ended.refused {
            observer.notice(Notice::Refused(ended.word));
        }
    }
}

/// The verbs that may pass now: BDAT only if the server knows it, for what comes behind it is commands for one
/// that does not.
fn verbs(session: &Session, personality: &Personality) -> VerbSet {
    let verbs = personality.unmasked_verbs();
    if session.offers.chunking { verbs } else { verbs.without(Verb::Bdat) }
}

#[cfg(test)]
mod tests;
