//! The type inspect esmtp policy map of the ASA: `match` and action of each class.
//!
//! Source: the ASA Firewall CLI guide, *SMTP and Extended SMTP Inspection*. What the guide leaves open is our choice:
//! what exactly is counted in a length (the octets of a line without its end; for a header or a body all octets as they
//! are sent), that `rate-limit` counts for all connections together and makes what is too much wait, and
//! that `not` is decided when the thing in question is over.

use std::borrow::Cow;
use std::sync::Arc;

use super::matched::Matched;
use super::rate::RateLimit;
use super::regex::Regex;
use crate::smtp::{Keyword, KeywordSet, Verb, VerbSet};

/// What a class matches: more of it than the number says, or one of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// `cmd line length gt`: octets of a command line.
    CmdLineLength(u32),
    /// `cmd RCPT count gt`: RCPT commands for one message.
    CmdRcptCount(u32),
    /// `cmd verb`.
    CmdVerb(VerbSet),
    /// `ehlo-reply-parameter`.
    EhloReplyParameter(KeywordSet),
    /// `sender-address length gt`: octets of the address of MAIL.
    SenderAddressLength(u32),
    /// `sender-address regex`.
    SenderAddress(Regex),
    /// `invalid-recipients count gt`: RCPT commands of one message that the server refused.
    InvalidRecipientsCount(u32),
    /// `header length gt`: octets of all header lines, their ends and the blank line behind them included.
    HeaderLength(u32),
    /// `header line length gt`: octets of one.
    HeaderLineLength(u32),
    /// `header to-fields count gt`: To fields.
    HeaderToFieldsCount(u32),
    /// `body length gt`: octets behind the header.
    BodyLength(u32),
    /// `body line length gt`: octets of a line behind the header.
    BodyLineLength(u32),
    /// `mime encoding`: a Content-Transfer-Encoding of the message or of a part of it.
    MimeEncoding(MimeEncodings),
    /// `mime filename length gt`: octets of the parameter `filename` or `name` of a part.
    MimeFilenameLength(u32),
    /// `mime filetype regex`: the media type of a part, or its file name.
    MimeFiletype(Regex),
}

/// Transfer encodings (RFC 2045 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MimeEncoding {
    /// `7bit`.
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `base64`.
    Base64,
    /// `binary`.
    Binary,
    /// What is not one of the rest.
    Others,
    /// `quoted-printable`.
    QuotedPrintable,
}

impl MimeEncoding {
    /// All of them, in the order in which the ASA lists them.
    pub const ALL: [Self; 6] = [
        Self::SevenBit,
        Self::EightBit,
        Self::Base64,
        Self::Binary,
        Self::Others,
        Self::QuotedPrintable,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::Base64 => "base64",
            Self::Binary => "binary",
            Self::Others => "others",
            Self::QuotedPrintable => "quoted-printable",
        }
    }

    /// The encoding of that name, in any case.
    pub fn named(name: &[u8]) -> Self {
        let is_named = |encoding: &Self| encoding.name().as_bytes().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is_named).unwrap_or(Self::Others)
    }
}

/// Some transfer encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MimeEncodings(u8);

impl MimeEncodings {
    /// These.
    pub fn of(encodings: &[MimeEncoding]) -> Self {
        Self(encodings.iter().fold(0, |set, encoding| set | 1 << *encoding as u8))
    }

    /// Whether it is one of them.
    pub fn contains(self, encoding: MimeEncoding) -> bool {
        self.0 & 1 << encoding as u8 != 0
    }
}

/// What is done when a class matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `drop-connection`: the connection is forgotten, nobody is told.
    DropConnection,
    /// `mask`: the verb, or the line of the reply to EHLO, becomes `X`.
    Mask,
    /// `reset`: both ends are reset.
    Reset,
    /// `rate-limit`: what is too much waits.
    RateLimit(Arc<RateLimit>),
    /// Nothing but the log.
    Log,
}

impl Action {
    /// Whether the connection ends by it.
    pub fn ends(&self) -> bool {
        matches!(self, Self::DropConnection | Self::Reset)
    }
}

/// One class: the first is number 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// What it matches.
    pub matches: Match,
    /// It matches all else (`match not`).
    pub is_negated: bool,
    /// What is done then.
    pub action: Action,
    /// It is told as well (`log`).
    pub logs: bool,
    /// How often it has matched, if somebody counts.
    pub matched: Matched,
}

impl Class {
    /// `match MATCH` with an action, that is told.
    pub const fn new(matches: Match, action: Action) -> Self {
        Self { matches, is_negated: false, action, logs: true, matched: Matched::UNCOUNTED }
    }

    /// The same, untold.
    #[must_use]
    pub const fn silent(matches: Match, action: Action) -> Self {
        Self { matches, is_negated: false, action, logs: false, matched: Matched::UNCOUNTED }
    }

    /// The same for all that does not match.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { is_negated: true, ..self }
    }

    /// The line of the map without the word `match`, as message 108004 prints it.
    pub fn text(&self) -> String {
        let not = if self.is_negated { "not " } else { "" };
        format!("{not}{}", self.matches.text())
    }

    /// The line of its action.
    pub fn action_text(&self) -> String {
        let action = match &self.action {
            Action::DropConnection => "drop-connection".into(),
            Action::Mask => "mask".into(),
            Action::Reset => "reset".into(),
            Action::RateLimit(limit) => return format!("rate-limit {}", limit.per_second()),
            Action::Log => return "log".into(),
        };
        if self.logs { action + " log" } else { action }
    }
}

/// A keyword of the reply to EHLO that is none of those that the ASA names.
pub const OTHERS: KeywordSet = KeywordSet::all_but(&[
    Keyword::EightBitMime,
    Keyword::Auth,
    Keyword::AuthEquals,
    Keyword::BinaryMime,
    Keyword::Checkpoint,
    Keyword::Dsn,
    Keyword::EnhancedStatusCodes,
    Keyword::Etrn,
    Keyword::Pipelining,
    Keyword::Size,
    Keyword::Vrfy,
]);

/// `_default_esmtp_map` of ASA 7.2 and later.
pub const DEFAULT_ESMTP_MAP: &[Class] = &[
    Class::new(Match::CmdLineLength(512), Action::DropConnection),
    Class::new(Match::CmdRcptCount(100), Action::DropConnection),
    Class::new(Match::BodyLineLength(998), Action::Log),
    Class::new(Match::HeaderLineLength(998), Action::DropConnection),
    Class::new(Match::SenderAddressLength(320), Action::DropConnection),
    Class::new(Match::MimeFilenameLength(255), Action::DropConnection),
    Class::silent(Match::EhloReplyParameter(OTHERS), Action::Mask),
];

impl Match {
    /// The words behind `match`, capitals where the ASA prints them.
    pub fn text(&self) -> String {
        match self {
            Self::CmdLineLength(most) => format!("cmd line length gt {most}"),
            Self::CmdRcptCount(most) => format!("cmd RCPT count gt {most}"),
            Self::CmdVerb(verbs) => format!("cmd verb{}", words(verbs.iter().map(Verb::name))),
            Self::EhloReplyParameter(keywords) => {
                let others = if keywords.has_others() { " others" } else { "" };
                let named = keywords.iter().filter(|word| !OTHERS.contains(*word));
                format!("ehlo-reply-parameter{}{others}", words(named.filter_map(parameter)))
            }
            Self::SenderAddressLength(most) => format!("sender-address length gt {most}"),
            Self::SenderAddress(regex) => format!("sender-address regex {}", regex.name()),
            Self::InvalidRecipientsCount(most) => format!("invalid-recipients count gt {most}"),
            Self::HeaderLength(most) => format!("header length gt {most}"),
            Self::HeaderLineLength(most) => format!("header line length gt {most}"),
            Self::HeaderToFieldsCount(most) => format!("header to-fields count gt {most}"),
            Self::BodyLength(most) => format!("body length gt {most}"),
            Self::BodyLineLength(most) => format!("body line length gt {most}"),
            Self::MimeEncoding(encodings) => {
                let named = MimeEncoding::ALL.into_iter().filter(|word| encodings.contains(*word));
                format!("MIME encoding{}", words(named.map(MimeEncoding::name)))
            }
            Self::MimeFilenameLength(most) => format!("MIME filename length gt {most}"),
            Self::MimeFiletype(regex) => format!("MIME filetype regex {}", regex.name()),
        }
    }

    /// Whether it looks into the parts of a message.
    pub fn is_mime(&self) -> bool {
        matches!(self, Self::MimeEncoding(_) | Self::MimeFilenameLength(_) | Self::MimeFiletype(_))
    }
}

/// The word that the ASA has for a keyword.
fn parameter(keyword: Keyword) -> Option<&'static str> {
    PARAMETERS.iter().find(|(_, of)| *of == keyword).map(|(word, _)| *word)
}

/// The words of `ehlo-reply-parameter` besides `others`.
pub const PARAMETERS: &[(&str, Keyword)] = &[
    ("8bitmime", Keyword::EightBitMime),
    ("auth", Keyword::Auth),
    ("binaryname", Keyword::BinaryMime),
    ("checkpoint", Keyword::Checkpoint),
    ("dsn", Keyword::Dsn),
    ("ecode", Keyword::EnhancedStatusCodes),
    ("etrn", Keyword::Etrn),
    ("pipelining", Keyword::Pipelining),
    ("size", Keyword::Size),
    ("vrfy", Keyword::Vrfy),
];

fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.fold(String::new(), |text, word| text + " " + word)
}

/// What becomes of mail that is neither from the domain nor for it (`mail-relay`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRelay {
    /// The domain that is one's own.
    pub domain: Cow<'static, str>,
    /// `drop-connection`, or `log` alone.
    pub action: Action,
    /// It is told as well.
    pub logs: bool,
}

/// What becomes of special characters in the addresses of MAIL and RCPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecialCharacters {
    /// They pass.
    Pass,
    /// `|`, and `>` without `<` before it, become spaces (`fixup protocol smtp`).
    Blank,
    /// `|`, a back quote or NUL: the connection is dropped (`special-character action drop-connection`).
    DropConnection,
    /// The same are told (`special-character action log`).
    Log,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_map_reads_as_the_device_prints_it() {
        let texts: Vec<_> = DEFAULT_ESMTP_MAP.iter().map(Class::text).collect();
        assert_eq!(
            texts,
            [
                "cmd line length gt 512",
                "cmd RCPT count gt 100",
                "body line length gt 998",
                "header line length gt 998",
                "sender-address length gt 320",
                "MIME filename length gt 255",
                "ehlo-reply-parameter others",
            ]
        );
    }

    #[test]
    fn actions_read_as_the_device_prints_them() {
        let class = |action| Class::new(Match::BodyLength(1), action).action_text();
        assert_eq!(class(Action::DropConnection), "drop-connection log");
        assert_eq!(class(Action::Reset), "reset log");
        assert_eq!(class(Action::Log), "log");
        assert_eq!(class(Action::RateLimit(Arc::new(RateLimit::new(9)))), "rate-limit 9");
        assert_eq!(DEFAULT_ESMTP_MAP[6].action_text(), "mask");
    }

    #[test]
    fn every_match_has_its_words() {
        let regex = Regex::new("evil", "evil").unwrap();
        for (matches, text) in [
            (Match::CmdVerb(VerbSet::of(&[Verb::Vrfy, Verb::Help])), "cmd verb VRFY HELP"),
            (
                Match::EhloReplyParameter(KeywordSet::of(&[Keyword::BinaryMime, Keyword::Dsn])),
                "ehlo-reply-parameter binaryname dsn",
            ),
            (Match::SenderAddress(regex.clone()), "sender-address regex evil"),
            (Match::InvalidRecipientsCount(5), "invalid-recipients count gt 5"),
            (Match::HeaderLength(1), "header length gt 1"),
            (Match::HeaderToFieldsCount(2), "header to-fields count gt 2"),
            (Match::BodyLength(3), "body length gt 3"),
            (
                Match::MimeEncoding(MimeEncodings::of(&[
                    MimeEncoding::Others,
                    MimeEncoding::Base64,
                ])),
                "MIME encoding base64 others",
            ),
            (Match::MimeFiletype(regex), "MIME filetype regex evil"),
        ] {
            assert!(matches.text().eq_ignore_ascii_case(text), "{}", matches.text());
            let not = Class::new(matches, Action::Log).negated();
            assert_eq!(not.text().to_lowercase(), format!("not {}", text.to_lowercase()));
        }
    }

    #[test]
    fn encodings_by_name() {
        assert_eq!(MimeEncoding::named(b"Base64"), MimeEncoding::Base64);
        assert_eq!(MimeEncoding::named(b"uuencode"), MimeEncoding::Others);
        assert_eq!(MimeEncoding::named(b""), MimeEncoding::Others);
    }
}
