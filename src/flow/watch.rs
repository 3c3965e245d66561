//! What the flow hears from its judges, as counters and reports.

use super::tell::Life;
use crate::counters::{Counters, Event};
use crate::direction::Direction;
use crate::inspect::{Fault, Notice, Observer};
use crate::policy::{Action, Class, Personality, RateLimit};
use crate::report::{Connection, Deed, Reports, Rule, Severity, What, quoted};
use crate::smtp::Verb;
use crate::time::Instant;

/// Watches a judge: counts and tells what it noticed, and knows what time it is.
pub(super) struct Watch<'a> {
    pub(super) now: Instant,
    pub(super) counters: &'a mut Counters,
    pub(super) reports: &'a mut Reports,
    pub(super) connection: &'a Connection,
    pub(super) life: &'a mut Life,
    pub(super) direction: Direction,
    pub(super) personality: &'a Personality,
    /// What was quoted last, for the notice or the fault behind it.
    pub(super) line: Vec<u8>,
}

impl Observer for Watch<'_> {
    fn notice(&mut self, notice: Notice) {
        self.life.note(notice);
        self.counters.happened(event_of(notice));
        if let Notice::Refused(verb) = notice {
            self.counters.refused(verb.map(|verb| verb as usize));
        }
        let Some(severity) = self.severity_of(notice) else { return };
        let Self { reports, connection, direction, personality, line, .. } = self;
        reports.add(severity, Some(connection), || {
            what_of(notice, *direction, personality, core::mem::take(line))
        });
    }

    fn quote(&mut self, line: &[u8]) {
        if self.reports.wants(Severity::Critical) && self.reports.has_room() {
            self.line = quoted(line).to_vec();
        }
    }

    fn admits(&mut self, limit: &RateLimit) -> bool {
        limit.admits(self.now)
    }
}

impl Watch<'_> {
    /// The judge cannot go on.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.counters.happened(event_of_fault(fault));
        if fault == Fault::CommandRefused {
            self.counters.refused(None);
        }
        let direction = self.direction;
        let line = core::mem::take(&mut self.line);
        let matched = |deed, rule, line| What::Matched { deed, rule, direction, line };
        match fault {
            Fault::ClassMatched { number, drops } => {
                let class = class_of(self.personality, number).filter(|class| class.logs);
                let Some(class) = class else { return };
                let deed = if drops { Deed::DroppedConnection } else { Deed::ResetConnection };
                self.reports.add(Severity::Warnings, Some(self.connection), || {
                    matched(deed, Rule::Class(number, class.text()), Vec::new())
                });
            }
            Fault::MailRelay => {
                if self.personality.mail_relay.as_ref().is_some_and(|relay| relay.logs) {
                    self.reports.add(Severity::Warnings, Some(self.connection), || {
                        matched(Deed::DroppedConnection, Rule::MailRelay, Vec::new())
                    });
                }
            }
            Fault::SpecialCharacter => {
                self.reports.add(Severity::Critical, Some(self.connection), || {
                    matched(Deed::DroppedConnection, Rule::SpecialCharacter, line)
                });
            }
            Fault::Server(_)
            | Fault::CommandRefused
            | Fault::EarlyTalk
            | Fault::UnauthorizedPipelining
            | Fault::StartTlsInjection
            | Fault::StrayOctet
            | Fault::BadChunkSize => {
                let event = event_of_fault(fault);
                self.reports.add(Severity::Warnings, Some(self.connection), || What::Reset {
                    event,
                    direction,
                });
            }
        }
    }

    /// How serious what was noticed is; nothing if it is not to be told.
    fn severity_of(&self, notice: Notice) -> Option<Severity> {
        match notice {
            Notice::AddressBlanked => Some(Severity::Critical),
            Notice::RateLimited(number) => class_of(self.personality, number)
                .filter(|class| class.logs)
                .map(|_| Severity::Warnings),
            Notice::ClassMatched(number) => class_of(self.personality, number).map(|class| {
                if class.action == Action::Mask {
                    Severity::Warnings
                } else {
                    Severity::Informational
                }
            }),
            Notice::Refused(_)
            | Notice::MailRelay
            | Notice::SpecialCharacter
            | Notice::TlsStarted => Some(Severity::Informational),
            Notice::LineEndMended
            | Notice::GreetingMasked
            | Notice::MailDataEnded
            | Notice::KeywordHidden
            | Notice::SizeViolated { .. }
            | Notice::OctetBlanked => Some(Severity::Debugging),
        }
    }
}

/// The class of that number, from 1.
fn class_of(personality: &Personality, number: u8) -> Option<&Class> {
    personality.map.get(usize::from(number).checked_sub(1)?)
}

fn what_of(notice: Notice, direction: Direction, personality: &Personality, line: Vec<u8>) -> What {
    let class = |number: u8| {
        let class = class_of(personality, number);
        let is_mask = class.is_some_and(|class| class.action == Action::Mask);
        (Rule::Class(number, class.map(Class::text).unwrap_or_default()), is_mask)
    };
    let matched = |deed, rule, line| What::Matched { deed, rule, direction, line };
    match notice {
        Notice::Refused(verb) => What::Refused(verb.map(Verb::name)),
        Notice::AddressBlanked => What::AddressBlanked(line),
        Notice::TlsStarted => What::TlsStarted,
        Notice::SizeViolated { declared, actual } => What::SizeViolated { declared, actual },
        Notice::RateLimited(number) => matched(Deed::Dropped, class(number).0, Vec::new()),
        Notice::ClassMatched(number) => {
            let (rule, is_mask) = class(number);
            let deed = if is_mask { Deed::Masked } else { Deed::Received };
            matched(deed, rule, Vec::new())
        }
        Notice::MailRelay => matched(Deed::Received, Rule::MailRelay, Vec::new()),
        Notice::SpecialCharacter => matched(Deed::Received, Rule::SpecialCharacter, line),
        Notice::LineEndMended
        | Notice::GreetingMasked
        | Notice::MailDataEnded
        | Notice::KeywordHidden
        | Notice::OctetBlanked => What::Noticed(event_of(notice), direction),
    }
}

fn event_of(notice: Notice) -> Event {
    match notice {
        Notice::Refused(_) => Event::CommandRefused,
        Notice::LineEndMended => Event::LineEndMended,
        Notice::GreetingMasked => Event::GreetingMasked,
        Notice::MailDataEnded => Event::MailData,
        Notice::KeywordHidden => Event::KeywordHidden,
        Notice::AddressBlanked => Event::AddressBlanked,
        Notice::OctetBlanked => Event::OctetBlanked,
        Notice::ClassMatched(_) => Event::ClassLogged,
        Notice::RateLimited(_) => Event::RateLimited,
        Notice::SizeViolated { .. } => Event::SizeViolated,
        Notice::MailRelay | Notice::SpecialCharacter => Event::ParameterLogged,
        Notice::TlsStarted => Event::TlsStarted,
    }
}

/// Why the inspector gives up, for the counters.
fn event_of_fault(fault: Fault) -> Event {
    match fault {
        Fault::Server(_) => Event::ServerDisagrees,
        Fault::CommandRefused => Event::CommandRefused,
        Fault::EarlyTalk => Event::EarlyTalk,
        Fault::UnauthorizedPipelining => Event::UnauthorizedPipelining,
        Fault::StartTlsInjection => Event::StartTlsInjection,
        Fault::StrayOctet => Event::StrayOctet,
        Fault::ClassMatched { .. } => Event::ClassMatched,
        Fault::MailRelay | Fault::SpecialCharacter => Event::ParameterMatched,
        Fault::BadChunkSize => Event::BadChunkSize,
    }
}
