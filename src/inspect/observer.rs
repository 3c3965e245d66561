//! Who is told of what a judge noticed.

use crate::policy::RateLimit;

/// What a judge noticed, for counters and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A command was refused.
    Refused,
    /// A lone CR or LF was made a CRLF.
    LineEndMended,
    /// The greeting was masked.
    GreetingMasked,
    /// The mail data has ended.
    MailDataEnded,
    /// A line of the reply to EHLO was hidden.
    KeywordHidden,
    /// A character of an address became a space.
    AddressBlanked,
    /// A CR, LF or NUL that should not be there became a space.
    OctetBlanked,
    /// The class of that number, from 1, of the policy map has matched, and the session goes on.
    ClassMatched(u8),
    /// Something waits for the rate limit of the class of that number.
    RateLimited(u8),
    /// Mail that is neither from the domain of `mail-relay` nor for it.
    MailRelay,
    /// A special character in an address.
    SpecialCharacter,
    /// The server has agreed to TLS: nothing is inspected any more.
    TlsStarted,
}

/// The one who watches a judge: told what was noticed, asked what only somebody with a clock knows.
pub trait Observer {
    /// Something was noticed.
    fn notice(&mut self, notice: Notice);

    /// Whether one more of what the limit counts may pass now.
    fn admits(&mut self, limit: &RateLimit) -> bool;
}

/// One who does not care.
#[derive(Debug, Default)]
pub struct Indifferent;

impl Observer for Indifferent {
    fn notice(&mut self, _notice: Notice) {}

    fn admits(&mut self, _limit: &RateLimit) -> bool {
        true
    }
}
