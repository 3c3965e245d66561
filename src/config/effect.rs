//! What a configuration means for the engine.

use std::borrow::Cow;
use std::sync::Arc;

use super::guarded::Wanted;
use super::settings::{Config, EsmtpMap, Family, MatchClass, MatchLine, RegexName};
use crate::policy::{
    Action, Class, Greeting, Inspection, MailRelay, Match, Matched, Personality, Policy, Regex,
    RegexError, SpecialCharacters,
};
use crate::smtp::{Keyword, Verb};

impl Config {
    /// The policy of the engine.
    pub fn policy(&self) -> Policy {
        let inspection = |wanted: Wanted<'_>| {
            let (first, last) = wanted.ports;
            let personality = match wanted.esmtp {
                None => self.personality_with(Personality::named(self.personality), None),
                Some(map) => self.esmtp(map),
            };
            Inspection { ports: first..=last, personality: Arc::new(personality), tcp: wanted.tcp }
        };
        Policy {
            inspections: self.inspections().into_iter().map(inspection).collect(),
            mss_max: self.mss_max,
        }
    }

    /// The device whose `inspect esmtp` it is.
    fn esmtp_base(&self) -> Option<&'static Personality> {
        match self.family() {
            Family::Inspect | Family::Maps => Personality::named(self.personality),
            Family::Mailhost | Family::Fixup | Family::Own => Some(&Personality::ASA94),
        }
    }

    fn personality_with(
        &self,
        base: Option<&'static Personality>,
        map: Option<&EsmtpMap>,
    ) -> Personality {
        let mut personality = base.unwrap_or(&Personality::MAILGUARD).clone();
        if let Some(map) = map {
            self.follow(map, &mut personality);
        }
        for (knob, value) in &self.knobs {
            // What the knob does not take was refused when it was typed.
            let _ = personality.set(knob, value);
        }
        if let Cow::Borrowed(classes) = personality.map {
            let counted = classes.iter().zip(&self.default_matched);
            let counted =
                counted.map(|(class, matched)| Class { matched: matched.clone(), ..class.clone() });
            personality.map = Cow::Owned(counted.collect());
        }
        personality
    }

    /// What `inspect esmtp` with that map inspects with.
    pub fn esmtp(&self, map: Option<&str>) -> Personality {
        let map = map.and_then(|name| self.esmtp_maps.iter().find(|of| of.name == name));
        self.personality_with(self.esmtp_base(), map)
    }

    /// Counts matches from zero.
    pub fn clear_matched(&self) {
        let lines = self.esmtp_maps.iter().flat_map(|map| &map.classes).map(|of| &of.matched);
        lines.chain(&self.default_matched).for_each(Matched::clear);
    }

    fn follow(&self, map: &EsmtpMap, personality: &mut Personality) {
        personality.map = Cow::Owned(map.classes.iter().filter_map(|of| self.class(of)).collect());
        if !map.masks_banner {
            personality.greeting = Greeting::Pass;
        }
        (personality.verbs, personality.keywords) = if map.allows_tls.is_some() {
            (personality.verbs.and(Verb::StartTls), personality.keywords.and(Keyword::StartTls))
        } else {
            let keywords = personality.keywords.without(Keyword::StartTls);
            (personality.verbs.without(Verb::StartTls), keywords)
        };
        personality.mail_relay = map.mail_relay.as_ref().map(|(domain, action)| MailRelay {
            domain: Cow::Owned(domain.clone()),
            action: if action.drops { Action::DropConnection } else { Action::Log },
            logs: action.logs,
        });
        personality.special_characters = match map.special_character {
            None => SpecialCharacters::Pass,
            Some(action) if action.drops => SpecialCharacters::DropConnection,
            Some(_) => SpecialCharacters::Log,
        };
    }

    /// A class with its expressions; none as long as no action was said.
    fn class(&self, line: &MatchClass) -> Option<Class> {
        let (action, logs) = line.action.clone()?;
        let regex = |name: &RegexName| self.regex(name).ok();
        let matches = match &line.matches {
            MatchLine::Plain(matches) => matches.clone(),
            MatchLine::Sender(name) => Match::SenderAddress(regex(name)?),
            MatchLine::Filetype(name) => Match::MimeFiletype(regex(name)?),
        };
        let matched = line.matched.clone();
        let class = Class { matches, is_negated: line.is_negated, action, logs, matched };
        Some(class)
    }

    /// The expression of that name, or those of the class.
    pub(super) fn regex(&self, name: &RegexName) -> Result<Regex, RegexError> {
        let text = |name: &String| self.regexes.iter().find(|(of, _)| of == name);
        match name {
            RegexName::One(name) => {
                Regex::new(name, text(name).map_or("", |(_, text)| text.as_str()))
            }
            RegexName::Class(name) => {
                let class = self.regex_classes.iter().find(|class| class.name == *name);
                let members = class.into_iter().flat_map(|class| &class.members);
                let texts: Vec<_> =
                    members.filter_map(text).map(|(_, text)| text.as_str()).collect();
                Regex::any(&format!("class {name}"), &texts)
            }
        }
    }
}
