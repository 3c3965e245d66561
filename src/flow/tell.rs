//! What a flow tells of itself: that it is there, and how it ended.

use super::{Context, Flow, Stage};
use crate::direction::Direction;
use crate::inspect::Notice;
use crate::report::{Ending, Reports, Severity, What};
use crate::smtp::Verb;
use crate::stream::Offset;
use crate::time::Instant;

/// What a flow knows of its own beginning and end.
#[derive(Debug, Clone)]
pub(super) struct Life {
    /// When it began.
    born: Instant,
    /// Why it was ended, if its ends have not done so.
    pub(super) ending: Option<Ending>,
    /// The direction in which the first FIN came.
    pub(super) closer: Option<Direction>,
    /// Its end is told.
    is_told_over: bool,
    /// Times that something was changed.
    pub(super) edits: u32,
    /// The verb that was refused last, if it is known by name.
    pub(super) refused: Option<Option<Verb>>,
}

impl Life {
    /// It begins.
    pub(super) fn new(now: Instant) -> Self {
        Self { born: now, ending: None, closer: None, is_told_over: false, edits: 0, refused: None }
    }

    /// When it began.
    pub(super) fn born(&self) -> Instant {
        self.born
    }

    /// A judge has noticed something.
    pub(super) fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Refused(verb) => self.refused = Some(verb),
            Notice::LineEndMended
            | Notice::GreetingMasked
            | Notice::KeywordHidden
            | Notice::AddressBlanked
            | Notice::OctetBlanked => {}
            Notice::MailDataEnded
            | Notice::ClassMatched(_)
            | Notice::RateLimited(_)
            | Notice::MailRelay
            | Notice::SpecialCharacter
            | Notice::SizeViolated { .. }
            | Notice::TlsStarted => return,
        }
        self.edits = self.edits.saturating_add(1);
    }
}

impl Flow {
    /// Tells that the connection has begun.
    pub fn tell_built(&self, reports: &mut Reports) {
        reports.add(Severity::Informational, Some(&self.connection), || What::Built);
    }

    /// Tells the end of the connection, once; or that it has begun, if it lives on after a reset.
    pub fn tell(&mut self, context: &mut Context<'_>) {
        let is_over = self.is_over();
        if is_over == self.life.is_told_over {
            return;
        }
        self.life.is_told_over = is_over;
        if is_over {
            self.tell_teardown(context.now, context.reports);
        } else {
            self.tell_built(context.reports);
        }
    }

    /// Tells of a connection that is forgotten for a newer one.
    pub fn tell_forgotten(&mut self, now: Instant, reports: &mut Reports) {
        if !self.life.is_told_over {
            self.life.ending.get_or_insert(Ending::SynTimeout);
            self.tell_teardown(now, reports);
        }
    }

    fn tell_teardown(&self, now: Instant, reports: &mut Reports) {
        reports.add(Severity::Informational, Some(&self.connection), || {
            let (ending, by) = match self.stage {
                _ if self.life.ending.is_some() => (self.life.ending, None),
                Stage::Reset { by, .. } => (Some(Ending::Reset), Some(by)),
                Stage::SynSent | Stage::SynReceived | Stage::Established | Stage::Ended => {
                    (Some(Ending::Fins), self.life.closer)
                }
            };
            let sent = |direction: Direction| self.halves[direction].reassembly.end();
            let octets = [Direction::ToServer, Direction::ToClient]
                .map(|direction| sent(direction).past(Offset::ZERO));
            What::Teardown {
                ending: ending.unwrap_or(Ending::Fault),
                by: by.map(|direction| self.connection.ends(direction).0.0),
                duration: now.since(self.life.born),
                octets: octets.iter().sum(),
            }
        });
    }

    /// What a connection dies of that nothing happens on.
    pub(super) fn ending_by_silence(&self) -> Ending {
        let is_half_closed = self.halves.to_server.fin_sent || self.halves.to_client.fin_sent;
        match self.stage {
            Stage::SynSent | Stage::SynReceived => Ending::SynTimeout,
            _ if is_half_closed => Ending::FinTimeout,
            Stage::Established | Stage::Reset { .. } | Stage::Ended => Ending::ConnTimeout,
        }
    }
}
