//! The knobs of a personality by name: what they are, their values as text, and how to set them.

use core::fmt::Write;
use std::borrow::Cow;

use super::map::{Action, Class, DEFAULT_ESMTP_MAP, MailRelay, SpecialCharacters};
use super::personality::{
    DataPhase, Greeting, Hide, PartialLines, Personality, Pipelining, Refusal, SplitEnd, Stray,
};
use crate::limits::{ARGUMENT_OCTETS_MAX, GREETING_TEXT_MAX};
use crate::smtp::{Keyword, KeywordSet, Verb, VerbSet};

/// One knob.
#[derive(Debug)]
pub struct Knob {
    /// Its name.
    pub name: &'static str,
    /// The values that it takes.
    pub values: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    get: fn(&Personality) -> String,
    set: fn(&mut Personality, &str) -> Option<()>,
}

impl Knob {
    /// The knob of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KNOBS.iter().find(|knob| knob.name == name)
    }

    /// Its value in a personality.
    pub fn value(&self, personality: &Personality) -> String {
        (self.get)(personality)
    }
}

/// Why a knob was not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnobError {
    /// There is none of that name.
    Unknown(String),
    /// It does not take that value.
    Value(&'static str, String, &'static str),
}

impl core::fmt::Display for KnobError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "there is no knob {name}; mailguard personality NAME lists them")
            }
            Self::Value(name, value, values) => write!(f, "{name} cannot be {value}, but {values}"),
        }
    }
}

impl core::error::Error for KnobError {}

impl Personality {
    /// Sets the knob of that name.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), KnobError> {
        let knob = Knob::named(name).ok_or_else(|| KnobError::Unknown(name.into()))?;
        (knob.set)(self, value)
            .ok_or_else(|| KnobError::Value(knob.name, value.into(), knob.values))
    }
}

macro_rules! concat_words {
    ($first:literal $(, $next:literal)*) => { concat!($first $(, "|", $next)*) };
}

/// A knob whose values are words.
macro_rules! words {
    ($name:literal, $about:literal, $field:ident, { $($word:literal => $value:expr,)+ }) => {
        Knob {
            name: $name,
            values: concat_words!($($word),+),
            about: $about,
            get: |personality| {
                $(if personality.$field == $value { return $word.into(); })+
                String::new()
            },
            set: |personality, word| {
                personality.$field = match word { $($word => $value,)+ _ => return None };
                Some(())
            },
        }
    };
}

/// All of them, in the order in which they are shown.
pub const KNOBS: &[Knob] = &[
    words!("inspection", "whether streams are inspected at all", inspect, { "on" => true, "off" => false, }),
    Knob {
        name: "greeting",
        values: "none|keep20|all|esmtp|cmap|text TEXT|host TEXT",
        about: "what the client sees of the greeting: all of it, stars but for 2 and 0, stars, stars but for ESMTP, SMTP/cmap, TEXT, the name of the host and TEXT",
        get: |personality| match &personality.greeting {
            Greeting::Pass => "none".into(),
            Greeting::Keep20 => "keep20".into(),
            Greeting::All => "all".into(),
            Greeting::Esmtp => "esmtp".into(),
            Greeting::Cmap => "cmap".into(),
            Greeting::Text(text) => format!("text {text}"),
            Greeting::Host(text) => format!("host {text}"),
        },
        set: |personality, value| {
            let text = |text: &str| {
                let is_good = (1..=GREETING_TEXT_MAX).contains(&text.len())
                    && text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic());
                is_good.then(|| Cow::Owned(text.to_owned()))
            };
            personality.greeting = match value.split_once(' ').unwrap_or((value, "")) {
                ("none", "") => Greeting::Pass,
                ("keep20", "") => Greeting::Keep20,
                ("all", "") => Greeting::All,
                ("esmtp", "") => Greeting::Esmtp,
                ("cmap", "") => Greeting::Cmap,
                ("text", rest) => Greeting::Text(text(rest)?),
                ("host", rest) => Greeting::Host(text(rest)?),
                _ => return None,
            };
            Some(())
        },
    },
    words!("greeting-separator", "the octet behind the code of a masked greeting", keeps_separator, {
        "keep" => true, "mask" => false,
    }),
    words!("greeting-continuation", "code and separator of the lines of a masked greeting behind its first", keeps_continuation, {
        "keep" => true, "mask" => false,
    }),
    Knob {
        name: "ehlo",
        values: "pass|refuse|helo",
        about: "what becomes of EHLO: it is one of the verbs, it is not, it becomes HELO",
        get: |personality| match (
            personality.ehlo_becomes_helo,
            personality.verbs.contains(Verb::Ehlo),
        ) {
            (true, _) => "helo".into(),
            (false, true) => "pass".into(),
            (false, false) => "refuse".into(),
        },
        set: |personality, value| {
            personality.ehlo_becomes_helo = value == "helo";
            personality.verbs = match value {
                "pass" => personality.verbs.and(Verb::Ehlo),
                "refuse" => personality.verbs.without(Verb::Ehlo),
                "helo" => personality.verbs,
                _ => return None,
            };
            Some(())
        },
    },
    Knob {
        name: "starttls",
        values: "allow|refuse",
        about: "whether STARTTLS is one of verbs and keywords; after the server's 220 nothing is inspected",
        get: |personality| {
            if personality.verbs.contains(Verb::StartTls) { "allow" } else { "refuse" }.into()
        },
        set: |personality, value| {
            let is_allowed = allows(value)?;
            (personality.verbs, personality.keywords) = if is_allowed {
                (personality.verbs.and(Verb::StartTls), personality.keywords.and(Keyword::StartTls))
            } else {
                (
                    personality.verbs.without(Verb::StartTls),
                    personality.keywords.without(Keyword::StartTls),
                )
            };
            Some(())
        },
    },
    Knob {
        name: "auth",
        values: "allow|refuse",
        about: "whether AUTH is one of verbs and keywords",
        get: |personality| {
            if personality.verbs.contains(Verb::Auth) { "allow" } else { "refuse" }.into()
        },
        set: |personality, value| {
            let is_allowed = allows(value)?;
            (personality.verbs, personality.keywords) = if is_allowed {
                (personality.verbs.and(Verb::Auth), personality.keywords.and(Keyword::Auth))
            } else {
                let keywords =
                    personality.keywords.without(Keyword::Auth).without(Keyword::AuthEquals);
                (personality.verbs.without(Verb::Auth), keywords)
            };
            Some(())
        },
    },
    Knob {
        name: "verbs",
        values: "any|VERB[,VERB...]|any,-VERB[,-VERB...]",
        about: "the commands that reach the server",
        get: |personality| {
            list(
                personality.verbs.has_others(),
                Verb::ALL.iter().map(|verb| (verb.name(), personality.verbs.contains(*verb))),
            )
        },
        set: |personality, value| {
            let (others, words) = words_of(value);
            let mut set = if others { VerbSet::ANY } else { VerbSet::of(&[]) };
            for word in words {
                set = match word.strip_prefix('-') {
                    Some(word) => set.without(Verb::named(word.as_bytes())?),
                    None => set.and(Verb::named(word.as_bytes())?),
                };
            }
            personality.verbs = set;
            Some(())
        },
    },
    words!("refusal", "what becomes of the others: NOOP and 250 OK, NOOP and 500 Command unrecognized, NOOP, letters of the verb X, all of the line X, both ends reset", refusal, {
        "ok" => Refusal::Ok,
        "unrecognized" => Refusal::Unrecognized,
        "noop" => Refusal::Noop,
        "x-verb" => Refusal::XVerb,
        "x-line" => Refusal::XLine,
        "reset" => Refusal::Reset,
    }),
    Knob {
        name: "keywords",
        values: "any|KEYWORD[,KEYWORD...]|any,-KEYWORD[,-KEYWORD...]",
        about: "the keywords of the reply to EHLO that the client sees",
        get: |personality| {
            list(
                personality.keywords.has_others(),
                Keyword::ALL.iter().map(|word| (word.name(), personality.keywords.contains(*word))),
            )
        },
        set: |personality, value| {
            let named = |name: &str| {
                Keyword::ALL.iter().copied().find(|word| word.name().eq_ignore_ascii_case(name))
            };
            let (others, words) = words_of(value);
            let mut set = if others { KeywordSet::ANY } else { KeywordSet::of(&[]) };
            for word in words {
                set = match word.strip_prefix('-') {
                    Some(word) => set.without(named(word)?),
                    None => set.and(named(word)?),
                };
            }
            personality.keywords = set;
            Some(())
        },
    },
    words!("hidden-keywords", "what becomes of the others: XXXA, or nothing is left", hide, {
        "mask" => Hide::Mask, "remove" => Hide::Remove,
    }),
    words!("special-characters", "| in the address of MAIL and RCPT, and > without < before it: they pass, or become spaces; or |, a back quote and NUL: the connection is dropped, or they are counted", special_characters, {
        "pass" => SpecialCharacters::Pass,
        "blank" => SpecialCharacters::Blank,
        "drop" => SpecialCharacters::DropConnection,
        "log" => SpecialCharacters::Log,
    }),
    Knob {
        name: "mail-relay",
        values: "none|DOMAIN drop|DOMAIN log",
        about: "mail that is neither from DOMAIN nor for it: the connection is dropped at RCPT, or it is counted",
        get: |personality| match &personality.mail_relay {
            None => "none".into(),
            Some(MailRelay { domain, action: Action::DropConnection, .. }) => {
                format!("{domain} drop")
            }
            Some(MailRelay { domain, .. }) => format!("{domain} log"),
        },
        set: |personality, value| {
            personality.mail_relay = match value.split_once(' ') {
                None if value == "none" => None,
                Some((domain, action)) if is_domain(domain) => {
                    let action = match action {
                        "drop" => Action::DropConnection,
                        "log" => Action::Log,
                        _ => return None,
                    };
                    Some(MailRelay { domain: Cow::Owned(domain.to_owned()), action, logs: true })
                }
                None | Some(_) => return None,
            };
            Some(())
        },
    },
    words!("partial-lines", "a command line in pieces: judged as it streams, held until it is whole, X for a verb without its end, forgotten", partial_lines, {
        "stream" => PartialLines::Stream,
        "hold" => PartialLines::Hold,
        "mask" => PartialLines::Mask,
        "discard" => PartialLines::Discard,
    }),
    words!("split-end", "an end of mail data that is split inside of .CRLF over packets: it passes, it does not (CSCds90792), or the reply to it does not", split_end, {
        "pass" => SplitEnd::Pass,
        "withhold" => SplitEnd::Withhold,
        "withhold-reply" => SplitEnd::WithholdReply,
    }),
    words!("data-phase", "when mail data begins: with the reply 354, or with the command DATA (CVE-2000-1022)", data_phase, {
        "reply" => DataPhase::Reply, "command" => DataPhase::Command,
    }),
    words!("mail-data", "whether mail data in a packet that begins inside of a line is taken for commands (PIX 4.2(2))", corrupts_mail_data, {
        "pass" => false, "corrupt" => true,
    }),
    words!("bare-line-ends", "CR without LF and LF without CR in mail data: they pass, become spaces, or both ends are reset", bare_line_ends, {
        "pass" => Stray::Pass, "blank" => Stray::Blank, "reset" => Stray::Reset,
    }),
    words!("nul", "NUL in commands and mail data: it passes, becomes a space, or both ends are reset", nul, {
        "pass" => Stray::Pass, "blank" => Stray::Blank, "reset" => Stray::Reset,
    }),
    words!("early-talk", "a client that speaks before the greeting: it is heard, or both ends are reset", resets_early_talkers, {
        "pass" => false, "reset" => true,
    }),
    words!("pipelining", "commands before the replies to those before them: always, or as the server has offered (RFC 2920), else both ends are reset", pipelining, {
        "any" => Pipelining::Any, "offered" => Pipelining::Offered,
    }),
    words!("map", "the classes of the policy map (type inspect esmtp): none, or those of _default_esmtp_map", map, {
        "none" => Cow::<[Class]>::Borrowed(&[]),
        "default" => Cow::Borrowed(DEFAULT_ESMTP_MAP),
    }),
    Knob {
        name: "argument-max",
        values: "OCTETS, 0 to 65535",
        about: "octets of a command behind its verb; what is longer becomes spaces",
        get: |personality| personality.argument_max.to_string(),
        set: |personality, value| {
            personality.argument_max = value.parse().ok().filter(|octets| *octets <= 65_535)?;
            Some(())
        },
    },
];

const _: () = assert!(ARGUMENT_OCTETS_MAX <= 65_535);

fn is_domain(text: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
    (1..=255).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn allows(value: &str) -> Option<bool> {
    match value {
        "allow" => Some(true),
        "refuse" => Some(false),
        _ => None,
    }
}

/// The words of a list, and whether it begins with all there are.
fn words_of(value: &str) -> (bool, impl Iterator<Item = &str>) {
    let others = value == "any" || value.starts_with("any,");
    let rest = if others { value.get(4..).unwrap_or_default() } else { value };
    (others, rest.split(',').filter(|word| !word.is_empty()))
}

/// A list as text: those that are in it, or those that are not if all others are.
fn list<'a>(others: bool, words: impl Iterator<Item = (&'a str, bool)>) -> String {
    let mut text = if others { String::from("any") } else { String::new() };
    for (word, _) in words.filter(|(_, is_in)| *is_in != others) {
        let comma = if text.is_empty() { "" } else { "," };
        let minus = if others { "-" } else { "" };
        let _ = write!(text, "{comma}{minus}{word}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_of_every_preset_reads_back() {
        for preset in Personality::ALL {
            let mut copy = Personality {
                about: preset.about,
                answers: preset.answers,
                ..Personality::NEUTRAL
            };
            copy.name = preset.name;
            for knob in KNOBS {
                let value = knob.value(preset);
                copy.set(knob.name, &value)
                    .unwrap_or_else(|error| panic!("{}: {error}", preset.name));
            }
            assert_eq!(&copy, *preset);
        }
    }

    #[test]
    fn what_a_knob_does_not_take_is_refused() {
        let mut personality = Personality::NEUTRAL;
        for (name, value) in [
            ("greeting", "stars"),
            ("greeting", "text"),
            ("greeting", "text a\r\nb"),
            ("greeting", "all of it"),
            ("verbs", "HELO,EVIL"),
            ("keywords", "any,-EVIL"),
            ("ehlo", "maybe"),
            ("starttls", "yes"),
            ("argument-max", "65536"),
            ("argument-max", "-1"),
            ("nul", ""),
            ("mail-relay", "example.org"),
            ("mail-relay", "a b"),
            ("mail-relay", "a@b drop"),
        ] {
            assert!(
                matches!(personality.set(name, value), Err(KnobError::Value(..))),
                "{name} {value}"
            );
        }
        assert_eq!(personality, Personality::NEUTRAL, "nothing has changed");
        assert!(matches!(personality.set("colour", "red"), Err(KnobError::Unknown(_))));
    }

    #[test]
    fn each_preset_is_found_and_what_it_changes_has_a_source() {
        for preset in Personality::ALL {
            assert_eq!(Personality::named(preset.name), Some(*preset));
            for (name, ..) in Personality::evidence(preset.name) {
                assert!(
                    *name == "answers" || Knob::named(name).is_some(),
                    "{}: {name}",
                    preset.name
                );
            }
        }
        assert_eq!(Personality::named("pix"), None);
    }
}
