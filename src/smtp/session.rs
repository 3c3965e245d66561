//! One SMTP dialogue as seen from the middle.
//!
//! With pipelining (RFC 2920) there is no single current state: what the client may be sending is
//! decided by the tail of the queue of outstanding commands, what the server is answering by its
//! head.

use std::collections::VecDeque;

use crate::limits::{KEPT_CAPACITY_EDITS, OUTSTANDING_MAX};

/// A command, or another occasion, that the server owes a reply for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outstanding {
    /// The connection itself: the greeting (RFC 5321 section 4.3.1).
    Greeting,
    /// A command that was let through.
    Passed,
    /// DATA, whose reply decides what the client's next octets are.
    Data,
    /// The end of mail data.
    EndOfData,
    /// A refused command, traded for NOOP.
    Refused,
}

/// What the client's next octets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Commands.
    Commands,
    /// Nobody knows before the reply to DATA.
    AwaitsDataReply,
    /// Mail data: the server said 354.
    MailData,
}

/// A reply that shows that server and guard disagree on what the client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disagreement {
    /// 354 for something else than DATA: the server waits for mail data, the guard does not.
    DataUnasked,
    /// A reply in the middle of mail data: the server saw an end of mail data that the guard did
    /// not (SMTP smuggling), and takes the rest of the message for commands.
    EndOfDataUnseen,
}

/// The session: its outstanding commands and the phase of the client's stream.
#[derive(Debug)]
pub struct Session {
    outstanding: VecDeque<Outstanding>,
    phase: Phase,
}

impl Default for Session {
    fn default() -> Self {
        Self { outstanding: VecDeque::from([Outstanding::Greeting]), phase: Phase::Commands }
    }
}

impl Session {
    /// What the client's next octets are.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What the server is answering, if it owes anything.
    pub fn head(&self) -> Option<Outstanding> {
        self.outstanding.front().copied()
    }

    /// Whether another command may be sent on: the queue has a limit.
    pub fn has_room(&self) -> bool {
        self.outstanding.len() < OUTSTANDING_MAX
    }

    /// Octets of memory that it takes.
    pub fn memory(&self) -> usize {
        self.outstanding.capacity() * size_of::<Outstanding>()
    }

    /// The client sent something that will be answered.
    pub fn sent(&mut self, what: Outstanding) {
        self.outstanding.push_back(what);
        match what {
            Outstanding::Data => self.phase = Phase::AwaitsDataReply,
            Outstanding::EndOfData => self.phase = Phase::Commands,
            Outstanding::Greeting | Outstanding::Passed | Outstanding::Refused => {}
        }
    }

    /// The server ended the reply to the head of the queue with `code`. Mail data begins here, on a
    /// real 354, and nowhere else: entering it on the command was the hole of CVE-2000-1022.
    pub fn answered(&mut self, code: u16) -> Result<(), Disagreement> {
        let head = self.outstanding.pop_front();
        if self.outstanding.is_empty() {
            self.outstanding.shrink_to(KEPT_CAPACITY_EDITS);
        }
        match head {
            Some(Outstanding::Data) => {
                self.phase = if code == 354 { Phase::MailData } else { Phase::Commands };
                Ok(())
            }
            Some(_) if code == 354 => Err(Disagreement::DataUnasked),
            Some(_) => Ok(()),
            None => self.said_unasked(code),
        }
    }

    /// The server ended a reply that nothing had asked for.
    pub fn said_unasked(&mut self, code: u16) -> Result<(), Disagreement> {
        match code {
            // A server that gives up says so at any time (RFC 5321 section 3.8).
            421 => Ok(()),
            354 => Err(Disagreement::DataUnasked),
            _ if self.phase == Phase::MailData => Err(Disagreement::EndOfDataUnseen),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_data_begins_on_354_only() {
        let mut session = Session::default();
        session.answered(220).unwrap();
        session.sent(Outstanding::Data);
        assert_eq!(session.phase(), Phase::AwaitsDataReply);
        session.answered(503).unwrap();
        assert_eq!(session.phase(), Phase::Commands, "CVE-2000-1022");
        session.sent(Outstanding::Passed);
        session.sent(Outstanding::Data);
        session.answered(250).unwrap();
        assert_eq!(session.phase(), Phase::AwaitsDataReply);
        session.answered(354).unwrap();
        assert_eq!(session.phase(), Phase::MailData);
        session.sent(Outstanding::EndOfData);
        assert_eq!(session.phase(), Phase::Commands);
    }

    #[test]
    fn a_server_that_disagrees_is_found_out() {
        let mut session = Session::default();
        session.answered(220).unwrap();
        session.sent(Outstanding::Refused);
        assert_eq!(session.answered(354), Err(Disagreement::DataUnasked));
        session.sent(Outstanding::Data);
        session.answered(354).unwrap();
        assert_eq!(session.answered(250), Err(Disagreement::EndOfDataUnseen));
        assert_eq!(session.answered(554), Err(Disagreement::EndOfDataUnseen));
        assert_eq!(session.answered(421), Ok(()), "a server may always give up");
    }
}
