//! The address in the argument of MAIL or RCPT, octet by octet.

use super::classes::{Searches, Stop, act, settle, weigh};
use super::{Fault, Notice, Observer};
use crate::policy::{Action, Class, Match, Personality, Regex, SpecialCharacters};

/// Where in the argument the client is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the colon of `FROM:` or `TO:`.
    #[default]
    Word,
    /// Behind it.
    Blank,
    /// Between `<` and `>`.
    Path,
    /// In a path without brackets.
    Bare,
    /// Behind the address.
    Behind,
}

/// One address as it streams by.
#[derive(Debug, Default, Clone)]
pub(super) struct Address {
    at: At,
    is_quoted: bool,
    is_escaped: bool,
    length: u64,
    /// So many octets behind the last `@` are those of the domain of `mail-relay`.
    domain: Option<usize>,
    searches: Searches,
}

fn sender(matches: &Match) -> Option<&Regex> {
    if let Match::SenderAddress(regex) = matches { Some(regex) } else { None }
}

fn sender_length(matches: &Match) -> Option<u32> {
    if let Match::SenderAddressLength(most) = matches { Some(*most) } else { None }
}

/// Whether a personality wants to know of the address of MAIL, or of RCPT.
pub(super) fn matter(personality: &Personality, is_sender: bool) -> bool {
    let of_sender = |class: &Class| {
        matches!(class.matches, Match::SenderAddress(_) | Match::SenderAddressLength(_))
    };
    personality.mail_relay.is_some()
        || matches!(
            personality.special_characters,
            SpecialCharacters::DropConnection | SpecialCharacters::Log
        )
        || (is_sender && personality.map.iter().any(of_sender))
}

impl Address {
    /// An address begins.
    pub(super) fn begin(&mut self, personality: &Personality) {
        *self = Self { searches: Searches::begin(&personality.map, sender), ..Self::default() };
    }

    /// One octet of the argument; of MAIL if `is_sender`. When the address ends with it, whether it is of the
    /// domain of `mail-relay`.
    pub(super) fn octet(
        &mut self,
        octet: u8,
        is_sender: bool,
        personality: &Personality,
        observer: &mut impl Observer,
    ) -> Result<Option<bool>, Stop> {
        let is_blank = matches!(octet, b' ' | b'\t');
        let is_end = matches!(octet, b'\r' | b'\n');
        let ends = match self.at {
            At::Word => {
                if octet == b':' {
                    self.at = At::Blank;
                }
                return Ok(None);
            }
            At::Blank if is_blank => return Ok(None),
            At::Blank if octet == b'<' => {
                self.at = At::Path;
                return Ok(None);
            }
            At::Blank => {
                self.at = At::Bare;
                is_end
            }
            At::Path => is_end || (octet == b'>' && !self.is_quoted),
            At::Bare => is_end || (is_blank && !self.is_quoted),
            At::Behind => return Ok(None),
        };
        if ends {
            self.at = At::Behind;
            return self.ended(is_sender, personality, observer).map(Some);
        }
        if matches!(octet, b'|' | b'`' | 0) {
            match personality.special_characters {
                SpecialCharacters::DropConnection => return Err(Fault::SpecialCharacter.into()),
                SpecialCharacters::Log => observer.notice(Notice::SpecialCharacter),
                SpecialCharacters::Pass | SpecialCharacters::Blank => {}
            }
        }
        if is_sender {
            let grown = self.length..self.length + 1;
            weigh(&personality.map, grown, sender_length, observer).map_err(|(_, stop)| stop)?;
            self.searches.step(&personality.map, sender, octet);
        }
        self.length += 1;
        let domain = personality.mail_relay.as_ref().map_or("", |relay| &relay.domain).as_bytes();
        self.domain = match (octet, self.domain) {
            (b'@', _) if !self.is_quoted => Some(0),
            (octet, Some(len))
                if domain.get(len).is_some_and(|d| d.eq_ignore_ascii_case(&octet)) =>
            {
                Some(len + 1)
            }
            (_, Some(_)) => Some(usize::MAX),
            (_, None) => None,
        };
        if self.is_escaped {
            self.is_escaped = false;
        } else if octet == b'"' {
            self.is_quoted = !self.is_quoted;
        } else if octet == b'\\' && self.is_quoted {
            self.is_escaped = true;
        }
        Ok(None)
    }

    /// The address is over: whether it is of the domain.
    fn ended(
        &self,
        is_sender: bool,
        personality: &Personality,
        observer: &mut impl Observer,
    ) -> Result<bool, Stop> {
        if is_sender {
            let map = &personality.map;
            settle(map, self.length, sender_length, observer)?;
            act(map, |class| self.searches.found(map, sender, class), observer)?;
        }
        let domain = personality.mail_relay.as_ref().map_or("", |relay| &relay.domain);
        Ok(match self.domain {
            Some(len) => len == domain.len(),
            // The server's own users have no domain (RFC 5321 section 4.5.1); nobody (`<>`) is from nowhere.
            None => self.length > 0,
        })
    }

    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        self.searches.memory()
    }
}

/// A recipient who is not of the domain, and neither is the sender (`mail-relay`).
pub(super) fn relayed(personality: &Personality, observer: &mut impl Observer) -> Result<(), Stop> {
    let Some(relay) = &personality.mail_relay else { return Ok(()) };
    if relay.action == Action::DropConnection {
        return Err(Fault::MailRelay.into());
    }
    observer.notice(Notice::MailRelay);
    Ok(())
}
