//! What happened, and with whom: what the engine has to tell besides packets and counters.
//!
//! A report is a plain value. Whoever drives the engine drains them after each call and makes
//! messages of them; with nobody listening none is made.
//!
//! Must not know: message numbers, templates, destinations.

use core::net::SocketAddr;
use core::time::Duration;

use crate::counters::{DropReason, Event};
use crate::direction::{Direction, Leg};
use crate::limits::{QUOTED_OCTETS_MAX, REPORTS_MAX};

/// How serious it is (RFC 5424 section 6.2.1, under Cisco's names).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Severity {
    /// 0.
    Emergencies,
    /// 1.
    Alerts,
    /// 2.
    Critical,
    /// 3.
    Errors,
    /// 4.
    Warnings,
    /// 5.
    Notifications,
    /// 6.
    Informational,
    /// 7.
    Debugging,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 8] = [
        Self::Emergencies,
        Self::Alerts,
        Self::Critical,
        Self::Errors,
        Self::Warnings,
        Self::Notifications,
        Self::Informational,
        Self::Debugging,
    ];

    /// The word for it, as Cisco's `logging` commands take it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emergencies => "emergencies",
            Self::Alerts => "alerts",
            Self::Critical => "critical",
            Self::Errors => "errors",
            Self::Warnings => "warnings",
            Self::Notifications => "notifications",
            Self::Informational => "informational",
            Self::Debugging => "debugging",
        }
    }

    /// The severity of that number or name.
    pub fn named(text: &str) -> Option<Self> {
        let is_named = |severity: &Self| {
            severity.name().eq_ignore_ascii_case(text) || (*severity as u8).to_string() == text
        };
        Self::ALL.into_iter().find(is_named)
    }
}

/// A connection, as reports name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Its number.
    pub id: u64,
    /// Who opened it.
    pub client: SocketAddr,
    /// To whom.
    pub server: SocketAddr,
    /// The leg of the client.
    pub client_leg: Leg,
}

/// An address and the leg behind which it is.
pub type End = (Leg, SocketAddr);

impl Connection {
    /// The client.
    pub fn client_end(&self) -> End {
        (self.client_leg, self.client)
    }

    /// The server.
    pub fn server_end(&self) -> End {
        (!self.client_leg, self.server)
    }

    /// Who sends in that direction, and to whom.
    pub fn ends(&self, direction: Direction) -> (End, End) {
        match direction {
            Direction::ToServer => (self.client_end(), self.server_end()),
            Direction::ToClient => (self.server_end(), self.client_end()),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both ends have closed.
    Fins,
    /// An end has reset.
    Reset,
    /// The handshake did not end in time, or the connection gave way to a newer one before it did.
    SynTimeout,
    /// One end has closed, the other did not in time.
    FinTimeout,
    /// Nothing happened for too long.
    ConnTimeout,
    /// The inspector ended it.
    Inspection,
    /// What was promised to an end was not acknowledged for too long.
    ReceiverGone,
    /// The operator ended it.
    Cleared,
    /// The guard failed on it.
    Fault,
}

/// What was done to what matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It passed and is told.
    Received,
    /// It was not let through yet.
    Dropped,
    /// The connection was dropped: nobody was told.
    DroppedConnection,
    /// Both ends were reset.
    ResetConnection,
    /// It became `X`.
    Masked,
}

/// What of a policy map has matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A class: its number, and the line of the map without the word `match`.
    Class(u8, String),
    /// `mail-relay`.
    MailRelay,
    /// `special-character`.
    SpecialCharacter,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A connection began.
    Built,
    /// A connection is over.
    Teardown {
        /// Why.
        ending: Ending,
        /// The side that brought it about.
        by: Option<Leg>,
        /// How long it was there.
        duration: Duration,
        /// Octets of payload that both ends have sent.
        octets: u64,
    },
    /// A command was refused, with the verb if it is known by name.
    Refused(Option<&'static str>),
    /// A character of a mail address became a space; the line as far as it is at hand.
    AddressBlanked(Vec<u8>),
    /// A rule of the policy map has matched.
    Matched {
        /// What was done.
        deed: Deed,
        /// Which one.
        rule: Rule,
        /// Whose octets matched.
        direction: Direction,
        /// The line, as far as it is at hand, where the rule is about an address.
        line: Vec<u8>,
    },
    /// The guard resets a connection for a reason of its own.
    Reset {
        /// What is counted.
        event: Event,
        /// Whose octets it was about.
        direction: Direction,
    },
    /// The inspector has ended the connection.
    Terminated {
        /// Nobody was told.
        drops: bool,
    },
    /// TLS begins.
    TlsStarted,
    /// A message was longer than its SIZE has declared.
    SizeViolated {
        /// What it declared.
        declared: u64,
        /// What came.
        actual: u64,
    },
    /// Something was edited, or came to its end, that nobody need know but who looks for it.
    Noticed(Event, Direction),
    /// Another SYN came for a connection, with another number.
    DuplicateSyn,
    /// The urgent flag was cleared.
    UrgentCleared(Direction),
    /// What came early, or all in all, would be more than may be held.
    BufferFull(DropReason),
    /// A new connection was denied.
    Denied {
        /// From whom, and to whom.
        ends: (End, End),
        /// The flags of its packet.
        flags: u8,
        /// Why.
        reason: DropReason,
    },
    /// A packet came that belongs to no connection.
    NoConnection {
        /// From whom, and to whom.
        ends: (End, End),
        /// Its flags.
        flags: u8,
    },
    /// A limit was reached so many times.
    LimitReached {
        /// The worker that it is of.
        worker: usize,
        /// The counter.
        name: &'static str,
        /// How often since it was told last.
        times: u64,
        /// What it means.
        meaning: &'static str,
    },
}

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The connection that it is about, if it is about one.
    pub connection: Option<Connection>,
    /// What happened.
    pub what: What,
}

/// The reports of one call, as far as somebody wants them.
#[derive(Debug, Default)]
pub struct Reports {
    level: Option<Severity>,
    list: Vec<Report>,
    lost: u64,
}

impl Reports {
    /// From now on reports of up to that severity are made.
    pub fn set_level(&mut self, level: Option<Severity>) {
        self.level = level;
    }

    /// Whether reports of that severity are made.
    pub fn wants(&self, severity: Severity) -> bool {
        self.level.is_some_and(|level| severity <= level)
    }

    /// Adds a report that is made only if somebody wants it.
    pub fn add(
        &mut self,
        severity: Severity,
        connection: Option<&Connection>,
        what: impl FnOnce() -> What,
    ) {
        if !self.wants(severity) {
            return;
        }
        if !self.has_room() {
            self.lost += 1;
            return;
        }
        self.list.push(Report { connection: connection.copied(), what: what() });
    }

    /// Whether there is room for another one.
    pub fn has_room(&self) -> bool {
        self.list.len() < REPORTS_MAX
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes back all but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// Hands them out.
    pub fn drain(&mut self) -> impl Iterator<Item = Report> + '_ {
        self.list.drain(..)
    }

    /// How many found no room since this was asked last.
    pub fn take_lost(&mut self) -> u64 {
        core::mem::take(&mut self.lost)
    }
}

/// What may be quoted of a line.
pub fn quoted(line: &[u8]) -> &[u8] {
    line.get(..QUOTED_OCTETS_MAX).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_by_number_and_name() {
        assert_eq!(Severity::named("6"), Some(Severity::Informational));
        assert_eq!(Severity::named("Warnings"), Some(Severity::Warnings));
        for wrong in ["8", "-1", "", "06", "info"] {
            assert_eq!(Severity::named(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_is_made_that_nobody_wants_and_no_more_than_there_is_room_for() {
        let mut reports = Reports::default();
        reports.add(Severity::Emergencies, None, || panic!("nobody wants it"));
        reports.set_level(Some(Severity::Warnings));
        reports.add(Severity::Notifications, None, || panic!("nobody wants it"));
        for _ in 0..REPORTS_MAX + 3 {
            reports.add(Severity::Warnings, None, || What::Built);
        }
        assert_eq!((reports.drain().count(), reports.take_lost()), (REPORTS_MAX, 3));
        assert!(reports.is_empty());
        assert_eq!(reports.take_lost(), 0);
    }

    #[test]
    fn a_connection_knows_its_ends() {
        let (client, server) =
            ("192.0.2.1:4000".parse().unwrap(), "198.51.100.1:25".parse().unwrap());
        let connection = Connection { id: 1, client, server, client_leg: Leg::Inside };
        let ends = ((Leg::Inside, client), (Leg::Outside, server));
        assert_eq!(connection.ends(Direction::ToServer), ends);
        assert_eq!(connection.ends(Direction::ToClient), (ends.1, ends.0));
    }
}
