//! Who is told of what a judge noticed.

use crate::policy::{Class, RateLimit};
use crate::smtp::Verb;

/// What a judge noticed, for counters and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A command was refused; its verb, if it is known by name.
    Refused(Option<Verb>),
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
    /// A message was longer than MAIL has declared it.
    SizeViolated {
        /// What it declared.
        declared: u64,
        /// What came.
        actual: u64,
    },
    /// The server has agreed to TLS: nothing is inspected any more.
    TlsStarted,
}

/// The one who watches a judge: told what was noticed, asked what only somebody with a clock knows.
pub trait Observer {
    /// Something was noticed.
    fn notice(&mut self, notice: Notice);

    /// A class of the policy map has matched.
    fn matched(&mut self, class: &Class) {
        class.matched.count();
    }

    /// The line that the next notice or the fault is about, as far as it is at hand.
    fn quote(&mut self, _line: &[u8]) {}

    /// Whether one more of what the limit counts may pass now.
    fn admits(&mut self, limit: &RateLimit) -> bool;
}

/// One who does not care.
#[derive(Debug, Default)]
pub struct Indifferent;

impl Observer for Indifferent {
    fn notice(&mut self, _notice: Notice) {}

    fn matched(&mut self, _class: &Class) {}

    fn admits(&mut self, _limit: &RateLimit) -> bool {
        true
    }
}

/// How far before and behind an octet its line is looked for.
const LINE_REACH: usize = 320;

/// Tells an observer the line that an octet is in, when it is an address that something is noticed of.
pub(super) struct InLine<'a, O> {
    pub(super) observer: &'a mut O,
    pub(super) octets: &'a [u8],
    pub(super) at: usize,
}

impl<O: Observer> InLine<'_, O> {
    pub(super) fn quote_line(&mut self) {
        let (before, behind) = self.octets.split_at(self.at.min(self.octets.len()));
        let is_end = |octet: &u8| matches!(octet, b'\r' | b'\n');
        let reach = before.len().saturating_sub(LINE_REACH);
        let near = before.get(reach..).unwrap_or_default();
        let start = near.iter().rposition(is_end).map_or(reach, |end| reach + end + 1);
        let near = behind.get(..LINE_REACH).unwrap_or(behind);
        let end = before.len() + near.iter().position(is_end).unwrap_or(near.len());
        self.observer.quote(self.octets.get(start..end).unwrap_or_default());
    }
}

impl<O: Observer> Observer for InLine<'_, O> {
    fn notice(&mut self, notice: Notice) {
        if matches!(notice, Notice::AddressBlanked | Notice::SpecialCharacter) {
            self.quote_line();
        }
        self.observer.notice(notice);
    }

    fn matched(&mut self, class: &Class) {
        self.observer.matched(class);
    }

    fn admits(&mut self, limit: &RateLimit) -> bool {
        self.observer.admits(limit)
    }
}
