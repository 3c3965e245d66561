//! What the flow hears from its judges, as counters.

use crate::counters::{Counters, Event};
use crate::inspect::{Fault, Notice, Observer};
use crate::policy::RateLimit;
use crate::time::Instant;

/// Watches a judge: counts what it noticed, and knows what time it is.
pub(super) struct Watch<'a> {
    pub(super) now: Instant,
    pub(super) counters: &'a mut Counters,
}

impl Observer for Watch<'_> {
    fn notice(&mut self, notice: Notice) {
        self.counters.happened(match notice {
            Notice::Refused => Event::CommandRefused,
            Notice::LineEndMended => Event::LineEndMended,
            Notice::GreetingMasked => Event::GreetingMasked,
            Notice::MailDataEnded => Event::MailData,
            Notice::KeywordHidden => Event::KeywordHidden,
            Notice::AddressBlanked => Event::AddressBlanked,
            Notice::OctetBlanked => Event::OctetBlanked,
            Notice::ClassMatched(_) => Event::ClassLogged,
            Notice::RateLimited(_) => Event::RateLimited,
            Notice::MailRelay | Notice::SpecialCharacter => Event::ParameterLogged,
            Notice::TlsStarted => Event::TlsStarted,
        });
    }

    fn admits(&mut self, limit: &RateLimit) -> bool {
        limit.admits(self.now)
    }
}

/// Why the inspector gives up, for the counters.
pub(super) fn event_of(fault: Fault) -> Event {
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
