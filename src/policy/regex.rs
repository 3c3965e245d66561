//! Regular expressions of the policy map: searched octet by octet, in the memory of one number.
//!
//! The language is that of the ASA (*Create a regular expression*, Firewall CLI guide): `. ( ) | ? * + {n,m} [ ] ^ $ \`,
//! octal and hexadecimal escapes. It is octets that are matched, case counts, and what matches anywhere matches.

use core::fmt;
use std::sync::Arc;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};

use crate::limits::{REGEX_OCTETS_MAX, REGEX_TEXT_MAX};

/// One expression, or several of which one has to match (`class-map type regex match-any`).
#[derive(Clone)]
pub struct Regex {
    name: Box<str>,
    texts: Box<[Box<str>]>,
    automaton: Arc<dense::DFA<Vec<u32>>>,
}

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexError(String);

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for RegexError {}

/// How far a search has come.
#[derive(Debug, Clone, Copy)]
pub struct Search(Option<StateID>);

impl Regex {
    /// The expression `text`, known by that name.
    ///
    /// # Errors
    ///
    /// It is none, it is too long, or its automaton would be too large.
    pub fn new(name: &str, text: &str) -> Result<Self, RegexError> {
        Self::any(name, &[text])
    }

    /// One of several expressions, known by the name of their class.
    ///
    /// # Errors
    ///
    /// One is none, there is none, or the automaton of all would be too large.
    pub fn any(name: &str, texts: &[&str]) -> Result<Self, RegexError> {
        if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
            return Err(RegexError("an empty expression matches everything".into()));
        }
        if texts.iter().any(|text| text.len() > REGEX_TEXT_MAX) {
            return Err(RegexError(format!("longer than {REGEX_TEXT_MAX} characters")));
        }
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(REGEX_OCTETS_MAX))
            .determinize_size_limit(Some(REGEX_OCTETS_MAX));
        let syntax = syntax::Config::new().unicode(false).utf8(false).octal(true);
        let automaton = dense::Builder::new()
            .configure(config)
            .syntax(syntax)
            .build_many(texts)
            .map_err(|error| RegexError(reason(&error)))?;
        Ok(Self {
            name: name.into(),
            texts: texts.iter().map(|text| Box::from(*text)).collect(),
            automaton: Arc::new(automaton),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A search that has seen nothing.
    pub fn search(&self) -> Search {
        let config = start::Config::new().anchored(Anchored::No);
        Search(self.automaton.start_state(&config).ok())
    }

    /// The search goes on with one octet.
    pub fn step(&self, search: Search, octet: u8) -> Search {
        // Matches are one octet late in these automata; a state of a match has to be kept.
        let next = |state| {
            if self.automaton.is_match_state(state) {
                state
            } else {
                self.automaton.next_state(state, octet)
            }
        };
        Search(search.0.map(next))
    }

    /// Whether what was seen matches, now that it is over.
    pub fn matches(&self, search: Search) -> bool {
        search.0.is_some_and(|state| {
            self.automaton.is_match_state(state)
                || self.automaton.is_match_state(self.automaton.next_eoi_state(state))
        })
    }
}

/// The innermost cause is what an operator can do something about. It may draw a picture; its last line says what is wrong.
fn reason(error: &dense::BuildError) -> String {
    let mut cause: &dyn core::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regex").field("name", &self.name).field("texts", &self.texts).finish()
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.texts) == (&other.name, &other.texts)
    }
}

impl Eq for Regex {}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(regex: &Regex, text: &[u8]) -> bool {
        regex.matches(text.iter().fold(regex.search(), |search, octet| regex.step(search, *octet)))
    }

    #[test]
    fn what_is_wrong_is_said_in_a_line() {
        let said = |text| Regex::new("a", text).unwrap_err().to_string();
        assert_eq!(said("*x"), "repetition operator missing expression");
        assert_eq!(said("(a"), "unclosed group");
        for text in ["[", "a{9999}{9999}", "\\", "(?u)\\pX", "a\nb(", "[z-a]"] {
            assert_eq!(said(text).lines().count(), 1, "{text}: {}", said(text));
        }
    }

    #[test]
    fn the_language_of_the_device() {
        for (text, matches, others) in [
            ("exe", &["a.exe", "exe", "exec"][..], &["EXE", "ex", ""][..]),
            (r"\.exe$", &["a.exe", ".exe"], &["a.exe ", "aexe", "a.exe.txt"]),
            ("^spam", &["spammer@x"], &["a-spam", ""]),
            ("(cat|dog)s?@", &["cat@x", "bigdogs@x"], &["catz@x"]),
            ("lo{2}se", &["loose"], &["lose", "looose"]),
            ("a{2,}b", &["aab", "xaaaab"], &["ab"]),
            ("[a-c]x", &["bx"], &["dx"]),
            ("[^a-c]x", &["dx"], &["bx", "x"]),
            (r"\x41\102", &["AB"], &["ab"]),
            (r"a\?b", &["a?b"], &["ab"]),
            (".", &["x", "\u{e9}"], &[""]),
        ] {
            let regex = Regex::new("r", text).unwrap();
            for subject in matches {
                assert!(found(&regex, subject.as_bytes()), "{text} {subject}");
            }
            for subject in others {
                assert!(!found(&regex, subject.as_bytes()), "{text} {subject}");
            }
        }
        assert!(found(&Regex::new("r", r"\xff").unwrap(), b"a\xffb"), "octets");
    }

    #[test]
    fn one_of_a_class_is_enough() {
        let class = Regex::any("c", &["^a$", "b"]).unwrap();
        assert!(found(&class, b"a") && found(&class, b"xbx") && !found(&class, b"ax"));
        assert_ne!(class, Regex::new("c", "b").unwrap());
        assert_eq!(class, class.clone());
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        for text in ["(", "[z-a]", "", "a{100}{100}{100}", &"a".repeat(REGEX_TEXT_MAX + 1)] {
            assert!(Regex::new("r", text).is_err(), "{text:.20}");
        }
        assert!(Regex::any("c", &[]).is_err());
        let huge = Regex::new("r", "[ab]*a[ab]{99}").unwrap_err().to_string();
        assert!(huge.contains("limit"), "{huge}");
    }
}
