//! One command line: octet by octet, what leaves for it, and at its end what it was.
//!
//! ```text
//! EHLO me CRLF   ->  NOOP    CRLF     nothing had left: NOOP, then blanks
//! HELP me CRLF   ->  HELX    CRLF     HEL had left: the verb is spoilt
//! X CRLF         ->  NOOP CRLF        what the line was short of comes before its end
//! EHLO me CRLF   ->  XXXX me CRLF     refusal x-verb
//! EHLO me CRLF   ->  XXXXXXX CRLF     refusal x-line
//! ```

mod plain;

use core::slice::from_ref;

use super::address::{Address, matter, relayed};
use super::chunk::ChunkSize;
use super::classes::{Stop, act, settle, weigh};
use super::size::DeclaredSize;
use super::traded::Traded;
use super::word::Word;
use super::{Fault, Notice, Observer};
use crate::limits::{AUTH_RESPONSE_OCTETS_MAX, HELD_COMMAND_OCTETS_MAX};
use crate::policy::{Class, Match, PartialLines, Personality, Refusal, SpecialCharacters, Stray};
use crate::smtp::{Outstanding, VERB_LEN_MAX, Verb, VerbSet};

const NOOP: &[u8; 4] = b"NOOP";
const HELO: &[u8; 4] = b"HELO";

/// Where in a line the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// In the verb: so many octets of it, all of them the beginning of an allowed one.
    Verb(usize),
    /// In the verb EHLO, of which so many octets have become HELO.
    Helo(usize),
    /// Behind an allowed verb, and so many octets of the argument.
    Argument(Option<Verb>, usize),
    /// In the answer to a challenge of AUTH.
    Response(usize),
    /// A refused line of which so many octets have been traded for NOOP and blanks.
    Noop(usize),
    /// A refused line whose verb was spoilt, once the first octet has been traded.
    Spoilt { begun: bool },
    /// A refused line that becomes `X`: the whole of it, or its verb, once an octet of that has been seen.
    /// Where the beginning of the verb has left, one `X` at least is owed.
    Masked { whole: bool, in_verb: bool, begun: bool, owes: bool },
}

/// What a line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// What the server owes for it.
    pub(super) sent: Outstanding,
    /// It was refused.
    pub(super) refused: bool,
    /// Its verb, if it was let through.
    pub(super) verb: Option<Verb>,
    /// Its verb, whatever became of it.
    pub(super) word: Option<Verb>,
    /// So many octets that are no commands follow (BDAT).
    pub(super) chunk: u64,
    /// The size of the message that it declares (MAIL).
    pub(super) size: Option<u64>,
}

impl Ended {
    /// Whether the octet behind the CR of the line is no beginning of a command: it is the LF, or what only the reply
    /// will tell, or of a chunk.
    pub(super) fn owns(self, octet: u8) -> bool {
        octet == b'\n' || self.sent.decides() || self.chunk > 0
    }
}

/// What is to be done with what begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It can be judged.
    Go,
    /// It waits for more.
    Wait,
}

/// A command line as it streams by.
#[derive(Debug, Clone)]
pub(super) struct CommandLine {
    line: Line,
    verb: [u8; VERB_LEN_MAX],
    chunk: ChunkSize,
    size: DeclaredSize,
    /// `<` has come in the argument.
    has_opened: bool,
    /// Octets of the line.
    length: u64,
    /// The verb, for the classes of the policy map and for who is told of a refusal.
    word: Word,
    /// The address of MAIL or RCPT, if anything is to be said of it; kept from line to line.
    address: Option<Box<Address>>,
    in_address: bool,
    /// The sender is of the domain of `mail-relay`.
    sender_is_local: bool,
    /// The beginning of a line has come behind a whole one, and waits for the end of its verb.
    waits: bool,
}

impl Default for CommandLine {
    fn default() -> Self {
        Self {
            line: Line::Verb(0),
            verb: [0; VERB_LEN_MAX],
            chunk: ChunkSize::default(),
            size: DeclaredSize::default(),
            has_opened: false,
            length: 0,
            word: Word::default(),
            address: None,
            in_address: false,
            sender_is_local: false,
            waits: false,
        }
    }
}

pub(super) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

pub(super) fn is_end(octet: u8) -> bool {
    matches!(octet, b'\r' | b'\n')
}

impl CommandLine {
    /// Whether nothing of the line has come.
    pub(super) fn is_at_start(&self) -> bool {
        self.line == Line::Verb(0)
    }

    /// Whether nothing is known of this line or of those before.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_blank = !self.has_opened && !self.in_address && !self.waits && self.length == 0;
        let knows_sender = self.sender_is_local || self.address.is_some();
        self.is_at_start() && is_blank && !self.word.has_begun() && !knows_sender
    }

    /// A new line begins.
    pub(super) fn begin(&mut self) {
        self.line = Line::Verb(0);
        (self.chunk, self.size) = (ChunkSize::default(), DeclaredSize::default());
        self.has_opened = false;
        self.waits = false;
        (self.length, self.word, self.in_address) = (0, Word::default(), false);
    }

    /// A line begins that is no command, but the answer to a challenge.
    pub(super) fn begin_response(&mut self) {
        self.begin();
        self.line = Line::Response(0);
    }

    /// Looks at what a line begins with, where the verb has to be whole before anything leaves. `is_alone` when
    /// nothing came before it in what is judged now.
    pub(super) fn look(
        &mut self,
        rest: &[u8],
        is_alone: bool,
        is_stuck: bool,
        verbs: VerbSet,
        personality: &Personality,
    ) -> Result<Look, Fault> {
        let verb_end = rest.iter().position(|octet| is_blank(*octet) || is_end(*octet));
        let verb = rest.get(..verb_end.unwrap_or(rest.len())).unwrap_or_default();
        let may_be_ehlo = personality.ehlo_becomes_helo
            && b"EHLO".get(..verb.len()).is_some_and(|start| start.eq_ignore_ascii_case(verb));
        if may_be_ehlo && verb_end.is_some() && verb.len() == 4 {
            self.line = Line::Helo(0);
            return Ok(Look::Go);
        }
        match personality.partial_lines {
            PartialLines::Stream => {
                let waits = may_be_ehlo && verb_end.is_none() && !is_stuck;
                return Ok(if waits { Look::Wait } else { Look::Go });
            }
            PartialLines::Hold | PartialLines::Discard => {
                let is_whole = rest.iter().any(|octet| is_end(*octet));
                if !is_whole && rest.len() <= HELD_COMMAND_OCTETS_MAX {
                    return Ok(Look::Wait);
                }
            }
            PartialLines::Mask if verb_end.is_none() => {
                // A burst of commands may be cut anywhere; what somebody types is alone in its packet.
                self.waits |= !is_alone;
                if self.waits && rest.len() <= HELD_COMMAND_OCTETS_MAX {
                    return Ok(Look::Wait);
                }
                self.line = masked(true, false);
                return Ok(Look::Go);
            }
            PartialLines::Mask => {}
        }
        if !verbs.allows(verb) {
            self.line = refused(personality)?;
        }
        Ok(Look::Go)
    }

    /// Judges one octet that is not the LF of a CRLF. At a line end, what the line was.
    pub(super) fn octet(
        &mut self,
        octet: u8,
        verbs: VerbSet,
        personality: &Personality,
        out: &mut Traded,
        observer: &mut impl Observer,
    ) -> Result<Option<Ended>, Stop> {
        let is_command = !matches!(self.line, Line::Response(_));
        if is_command {
            let verb_ends = self.word.ends_before(octet);
            if !personality.map.is_empty() {
                self.classify(octet, verb_ends, &personality.map, observer)?;
            }
        }
        if let Line::Verb(len) = self.line {
            self.line = self.verb_octet(octet, len, verbs, personality)?;
        }
        if let Line::Argument(Some(verb @ (Verb::Mail | Verb::Rcpt)), _) = self.line
            && is_end(octet)
        {
            self.address_octet(octet, verb == Verb::Mail, personality, observer)?;
        }
        let ended = if is_end(octet) { Some(self.ended(personality)?) } else { None };
        match &mut self.line {
            Line::Noop(done) if ended.is_some() => {
                out.put(NOOP.get(*done..).unwrap_or_default());
            }
            Line::Noop(done) => {
                out.put(&[NOOP.get(*done).copied().unwrap_or(b' ')]);
                *done += 1;
            }
            Line::Spoilt { begun } => {
                if !*begun {
                    out.put(b"X");
                    *begun = true;
                } else if ended.is_none() {
                    out.put(b" ");
                }
            }
            Line::Masked { owes: true, .. } if ended.is_some() => out.put(b"X"),
            Line::Masked { whole: false, in_verb: false, .. } if ended.is_none() => {
                out.put(from_ref(&octet));
            }
            Line::Masked { whole: false, in_verb, begun: true, .. } if is_blank(octet) => {
                *in_verb = false;
                out.put(from_ref(&octet));
            }
            Line::Masked { begun, owes, .. } if ended.is_none() => {
                *begun |= !is_blank(octet);
                *owes = false;
                out.put(b"X");
            }
            Line::Helo(done) if ended.is_none() => {
                out.put(&[HELO.get(*done).copied().unwrap_or(octet)]);
                *done += 1;
                if *done == HELO.len() {
                    self.line = Line::Argument(Some(Verb::Helo), 0);
                }
            }
            Line::Response(len) if ended.is_none() => {
                *len += 1;
                out.put(if *len > AUTH_RESPONSE_OCTETS_MAX { b" " } else { from_ref(&octet) });
            }
            Line::Argument(verb, len) if ended.is_none() => {
                // A server that cuts long lines must not find a command behind the cut.
                *len += 1;
                let is_long = *len > personality.argument_max;
                let verb = *verb;
                let octet = if is_long { b' ' } else { octet };
                out.put(&[self.argument_octet(verb, octet, personality, observer)?]);
            }
            Line::Verb(_) if ended.is_none() => out.put(&[octet]),
            Line::Verb(_)
            | Line::Helo(_)
            | Line::Argument(..)
            | Line::Response(_)
            | Line::Masked { .. } => {}
        }
        match octet {
            b'\r' => out.put(b"\r"),
            b'\n' => out.put(b"\r\n"),
            _ => {}
        }
        Ok(ended)
    }

    /// One octet behind an allowed verb.
    fn argument_octet(
        &mut self,
        verb: Option<Verb>,
        octet: u8,
        personality: &Personality,
        observer: &mut impl Observer,
    ) -> Result<u8, Stop> {
        if verb == Some(Verb::Bdat) {
            self.chunk = self.chunk.and(octet);
        } else if verb == Some(Verb::Mail) {
            self.size.octet(octet);
        }
        match (octet, personality.nul) {
            (0, Stray::Reset) => return Err(Fault::StrayOctet.into()),
            (0, Stray::Blank) => {
                observer.notice(Notice::OctetBlanked);
                return Ok(b' ');
            }
            _ => {}
        }
        let is_path = matches!(verb, Some(Verb::Mail | Verb::Rcpt));
        let had_opened = self.has_opened;
        if octet == b'<' {
            self.has_opened = true;
        } else if octet == b'>' {
            self.has_opened = false;
        }
        if is_path {
            self.address_octet(octet, verb == Some(Verb::Mail), personality, observer)?;
        }
        if personality.special_characters == SpecialCharacters::Blank && is_path {
            let is_special = octet == b'|' || (octet == b'>' && !had_opened);
            if is_special {
                observer.notice(Notice::AddressBlanked);
                return Ok(b' ');
            }
        }
        Ok(octet)
    }

    /// Holds one octet of a command against the classes of the policy map.
    fn classify(
        &mut self,
        octet: u8,
        verb_ends: bool,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        let length =
            |class: &Match| if let Match::CmdLineLength(most) = class { Some(*most) } else { None };
        if verb_ends {
            let verb = self.word.verb();
            let holds = |class: &Class| {
                let Match::CmdVerb(verbs) = &class.matches else { return None };
                Some(verb.map_or_else(|| verbs.has_others(), |verb| verbs.contains(verb)))
            };
            act(map, holds, observer)?;
        }
        if is_end(octet) {
            return settle(map, self.length, length, observer);
        }
        weigh(map, self.length..self.length + 1, length, observer).map_err(|(_, stop)| stop)?;
        self.length += 1;
        Ok(())
    }

    /// One octet of the argument of MAIL, or of RCPT; the end of the line is one too.
    fn address_octet(
        &mut self,
        octet: u8,
        is_sender: bool,
        personality: &Personality,
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        if !matter(personality, is_sender) {
            return Ok(());
        }
        let address = self.address.get_or_insert_default();
        if !self.in_address {
            address.begin(personality);
            self.in_address = true;
        }
        match address.octet(octet, is_sender, personality, observer)? {
            Some(is_local) if is_sender => self.sender_is_local = is_local,
            Some(false) if !self.sender_is_local => relayed(personality, observer)?,
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        self.address.as_ref().map_or(0, |address| size_of::<Address>() + address.memory())
    }

    /// What the line was that ends here.
    fn ended(&self, personality: &Personality) -> Result<Ended, Fault> {
        let mut ended = Ended {
            sent: Outstanding::Passed,
            refused: false,
            verb: None,
            word: self.word.verb(),
            chunk: 0,
            size: self.size.declared(),
        };
        match self.line {
            Line::Response(_) => ended.sent = Outstanding::Auth,
            Line::Argument(verb, _) => {
                ended.verb = verb;
                let answer = |verb| personality.answers.iter().position(|(of, _)| *of == verb);
                ended.sent = match verb {
                    Some(verb) if answer(verb).is_some() => {
                        Outstanding::Answered(answer(verb).unwrap_or_default() as u8)
                    }
                    Some(Verb::Ehlo) => Outstanding::Ehlo,
                    Some(Verb::Data) => Outstanding::Data,
                    Some(Verb::StartTls) => Outstanding::StartTls,
                    Some(Verb::Auth) => Outstanding::Auth,
                    Some(Verb::Bdat) => {
                        ended.chunk = self.chunk.octets().ok_or(Fault::BadChunkSize)?;
                        Outstanding::Passed
                    }
                    Some(Verb::Mail) => Outstanding::Mail,
                    Some(Verb::Rcpt) => Outstanding::Rcpt,
                    Some(_) | None => Outstanding::Passed,
                };
            }
            Line::Noop(_) | Line::Spoilt { .. } => {
                ended.refused = true;
                if personality.refusal.reply().is_some() {
                    ended.sent = Outstanding::Refused;
                }
            }
            Line::Masked { .. } => ended.refused = true,
            Line::Verb(_) | Line::Helo(_) => {}
        }
        Ok(ended)
    }

    /// Where the line stands after one more octet behind `len` octets of a verb.
    fn verb_octet(
        &mut self,
        octet: u8,
        len: usize,
        verbs: VerbSet,
        personality: &Personality,
    ) -> Result<Line, Fault> {
        let so_far = self.verb.get(..len.min(VERB_LEN_MAX)).unwrap_or_default();
        if is_blank(octet) || is_end(octet) {
            let is_known = len <= VERB_LEN_MAX;
            if if is_known { verbs.allows(so_far) } else { verbs.has_others() } {
                let verb = is_known.then(|| Verb::named(so_far)).flatten();
                return Ok(Line::Argument(verb, 0));
            }
        } else if let Some(slot) = self.verb.get_mut(len) {
            *slot = octet.to_ascii_uppercase();
            let so_far = self.verb.get(..=len).unwrap_or_default();
            if verbs.may_begin(so_far) {
                return Ok(Line::Verb(len + 1));
            }
        } else if verbs.has_others() {
            return Ok(Line::Verb(len + 1));
        }
        if len == 0 {
            return refused(personality);
        }
        match personality.refusal {
            Refusal::Ok | Refusal::Unrecognized | Refusal::Noop => {
                Ok(Line::Spoilt { begun: false })
            }
            Refusal::XVerb | Refusal::XLine => {
                Ok(masked(personality.refusal == Refusal::XLine, true))
            }
            Refusal::Reset => Err(Fault::CommandRefused),
        }
    }
}

/// A line that becomes `X`; `owes` one when the beginning of its verb has left.
fn masked(whole: bool, owes: bool) -> Line {
    Line::Masked { whole, in_verb: true, begun: false, owes }
}

/// How a line is traded of which nothing has left.
fn refused(personality: &Personality) -> Result<Line, Fault> {
    match personality.refusal {
        Refusal::Ok | Refusal::Unrecognized | Refusal::Noop => Ok(Line::Noop(0)),
        Refusal::XVerb | Refusal::XLine => Ok(masked(personality.refusal == Refusal::XLine, false)),
        Refusal::Reset => Err(Fault::CommandRefused),
    }
}
