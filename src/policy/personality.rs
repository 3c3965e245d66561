//! Personalities: which device, and which version of it, the guard behaves like. Values, not code.

use std::borrow::Cow;

use super::map::{Action, Class, MailRelay, Match, SpecialCharacters};
use crate::limits::ARGUMENT_OCTETS_MAX;
use crate::smtp::{KeywordSet, VerbSet};

/// What becomes of the text of the greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// It is shown.
    Pass,
    /// Every octet except `2`, `0`, CR and LF becomes `*`.
    Keep20,
    /// Every octet except CR and LF becomes `*`.
    All,
    /// Every octet except those of the word `ESMTP`, CR and LF becomes `*`.
    Esmtp,
    /// It becomes `SMTP/cmap ready` and underscores up to its length.
    Cmap,
    /// It becomes this.
    Text(Cow<'static, str>),
    /// Its first word, the name of the host, stays; the rest becomes this.
    Host(Cow<'static, str>),
}

/// What becomes of a command that may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The server gets NOOP, and its reply is traded for `250 OK`.
    Ok,
    /// The server gets NOOP, and its reply is traded for `500 Command unrecognized`.
    Unrecognized,
    /// The server gets NOOP and answers for itself.
    Noop,
    /// The letters of the verb become `X`; the server answers for itself.
    XVerb,
    /// All octets of the line become `X`; the server answers for itself.
    XLine,
    /// Both ends are reset.
    Reset,
}

impl Refusal {
    /// What the client reads instead of the server's reply, if that is traded.
    pub const fn reply(self) -> Option<&'static str> {
        match self {
            Self::Ok => Some("250 OK"),
            Self::Unrecognized => Some("500 Command unrecognized"),
            Self::Noop | Self::XVerb | Self::XLine | Self::Reset => None,
        }
    }
}

/// How a line of the reply to EHLO is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hide {
    /// Its text becomes `X`, its last octet a letter, A, B, C and so on in the order of such lines.
    Mask,
    /// The line vanishes; a last one becomes `250 OK`.
    Remove,
}

/// What becomes of a command line that comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialLines {
    /// It is judged as it streams: what may still become an allowed verb passes.
    Stream,
    /// It waits for its end, unacknowledged: a session typed by character may hang.
    Hold,
    /// A verb whose end is not there yet becomes `X`, and so does the rest of its line.
    Mask,
    /// It is forgotten, and its sender repeats it.
    Discard,
}

/// What becomes of an end of mail data (`.` CRLF) that is split over packets (CSCds90792).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitEnd {
    /// It passes.
    Pass,
    /// It is not forwarded: the session ends by a time-out.
    Withhold,
    /// It is forwarded, and the server's reply is not: the client sends the message again.
    WithholdReply,
}

/// When mail data begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPhase {
    /// With a reply 354 of the server.
    Reply,
    /// With the command DATA, whatever its reply (CVE-2000-1022, CSCdu47003).
    Command,
}

/// What becomes of octets that should not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// They pass.
    Pass,
    /// Each becomes a space.
    Blank,
    /// Both ends are reset.
    Reset,
}

/// Whether commands may come before the replies to those before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipelining {
    /// Always.
    Any,
    /// When the client has seen that the server offers it, and not behind a command that has to be the last of
    /// its group (RFC 2920 section 3.1); else both ends are reset.
    Offered,
}

/// One device's behaviour, as named knobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Personality {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Whether streams are inspected at all.
    pub inspect: bool,
    /// What becomes of the greeting.
    pub greeting: Greeting,
    /// Whether the octet behind the code of a masked greeting stays.
    pub keeps_separator: bool,
    /// Whether the lines of a masked greeting behind its first keep code and separator.
    pub keeps_continuation: bool,
    /// The commands that reach the server.
    pub verbs: VerbSet,
    /// What becomes of the others.
    pub refusal: Refusal,
    /// EHLO becomes HELO.
    pub ehlo_becomes_helo: bool,
    /// The keywords of the reply to EHLO that the client sees.
    pub keywords: KeywordSet,
    /// How the others are hidden.
    pub hide: Hide,
    /// What becomes of special characters in addresses.
    pub special_characters: SpecialCharacters,
    /// What becomes of mail that is neither from a domain nor for it.
    pub mail_relay: Option<MailRelay>,
    /// What becomes of command lines in pieces.
    pub partial_lines: PartialLines,
    /// What becomes of a split end of mail data.
    pub split_end: SplitEnd,
    /// When mail data begins.
    pub data_phase: DataPhase,
    /// Lines of mail data in a packet that begins inside of a line are taken for commands (PIX 4.2(2)).
    pub corrupts_mail_data: bool,
    /// CR without LF and LF without CR in mail data.
    pub bare_line_ends: Stray,
    /// NUL in commands and mail data.
    pub nul: Stray,
    /// Whether a client that speaks before the greeting is reset, with the server.
    pub resets_early_talkers: bool,
    /// Whether commands may be pipelined.
    pub pipelining: Pipelining,
    /// Octets of a command's argument; what is longer leaves as blanks.
    pub argument_max: usize,
    /// The classes of the policy map (`policy-map type inspect esmtp`), in order.
    pub map: Cow<'static, [Class]>,
    /// Replies that the device gives in the server's place: the command, and the whole reply without its last
    /// line end.
    pub answers: &'static [(crate::smtp::Verb, &'static str)],
}

impl Personality {
    /// Nothing is masked, refused or changed. What a preset does not say is as here.
    pub(super) const NEUTRAL: Self = Self {
        name: "neutral",
        about: "",
        inspect: true,
        greeting: Greeting::Pass,
        keeps_separator: true,
        keeps_continuation: true,
        verbs: VerbSet::ANY,
        refusal: Refusal::Unrecognized,
        ehlo_becomes_helo: false,
        keywords: KeywordSet::ANY,
        hide: Hide::Mask,
        special_characters: SpecialCharacters::Pass,
        mail_relay: None,
        partial_lines: PartialLines::Stream,
        split_end: SplitEnd::Pass,
        data_phase: DataPhase::Reply,
        corrupts_mail_data: false,
        bare_line_ends: Stray::Pass,
        nul: Stray::Pass,
        resets_early_talkers: false,
        pipelining: Pipelining::Any,
        argument_max: ARGUMENT_OCTETS_MAX,
        map: Cow::Borrowed(&[]),
        answers: &[],
    };

    /// Whether nothing of what it does depends on how streams are cut into packets (law L16).
    pub fn is_blind_to_packets(&self) -> bool {
        let looks_at_lines =
            matches!(self.partial_lines, PartialLines::Mask | PartialLines::Discard);
        !looks_at_lines && self.split_end == SplitEnd::Pass && !self.corrupts_mail_data
    }

    /// The verbs that pass and that no class of the map masks.
    pub fn unmasked_verbs(&self) -> VerbSet {
        self.map.iter().fold(self.verbs, |verbs, class| {
            let (Match::CmdVerb(some), Action::Mask) = (&class.matches, &class.action) else {
                return verbs;
            };
            if class.is_negated { verbs.meet(*some) } else { verbs.minus(*some) }
        })
    }

    /// Whether a class of the map may make something wait.
    pub fn limits_rates(&self) -> bool {
        self.map.iter().any(|class| matches!(class.action, Action::RateLimit(_)))
    }

    /// The personality of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().copied().find(|personality| personality.name == name)
    }
}
