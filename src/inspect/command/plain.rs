//! What of a command passes as it is, in runs: the same that [`CommandLine::octet`] says octet by octet.

use super::{CommandLine, Line, is_blank, is_end};
use crate::inspect::address::matter;
use crate::inspect::word::Word;
use crate::policy::Personality;
use crate::smtp::{VERB_LEN_MAX, Verb, VerbSet};

/// Octets that end a line, or of which a personality may have something to say.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut at = 0;
    while at < special.len() {
        special[at] = matches!(at as u8, b'\r' | b'\n' | 0 | b'|' | b'<' | b'>');
        at += 1;
    }
    special
};

impl CommandLine {
    /// How many octets pass as they are, without a look at each: a verb that is whole and may pass, or
    /// a piece of an argument of which nothing is to be said.
    pub(in crate::inspect) fn plain(
        &mut self,
        octets: &[u8],
        verbs: VerbSet,
        personality: &Personality,
    ) -> usize {
        if self.is_at_start() && personality.map.is_empty() && !self.word.has_begun() {
            let mut start = octets.iter().take(VERB_LEN_MAX + 1);
            let end = start.position(|octet| is_blank(*octet) || is_end(*octet));
            let name = octets.get(..end.unwrap_or(0)).unwrap_or_default();
            if Verb::named(name).is_some_and(|verb| verbs.contains(verb)) {
                for (slot, octet) in self.verb.iter_mut().zip(name) {
                    *slot = octet.to_ascii_uppercase();
                }
                self.word = Word::of(name);
                self.line = Line::Verb(name.len());
                return name.len();
            }
        }
        let Line::Argument(verb, len) = &mut self.line else { return 0 };
        let is_weighed = !personality.map.is_empty()
            || !self.word.is_over()
            || match *verb {
                Some(Verb::Bdat) => true,
                Some(verb @ (Verb::Mail | Verb::Rcpt)) => matter(personality, verb == Verb::Mail),
                Some(_) | None => false,
            };
        if is_weighed {
            return 0;
        }
        let room = personality.argument_max.saturating_sub(*len).min(octets.len());
        let is_special = |octet: &u8| SPECIAL[usize::from(*octet)];
        let plain = octets[..room].iter().position(is_special).unwrap_or(room);
        *len += plain;
        if *verb == Some(Verb::Mail) {
            self.size.octets(&octets[..plain]);
        }
        plain
    }
}
