//! One SMTP dialogue as seen from the middle.
//!
//! With pipelining (RFC 2920) there is no single current state: what the client may be sending is
//! decided by the tail of the queue of outstanding commands, what the server is answering by its
//! head.

use super::queue::Queue;
use crate::limits::OUTSTANDING_MAX;

/// A command, or another occasion, that the server owes a reply for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outstanding {
    /// The connection itself: the greeting (RFC 5321 section 4.3.1).
    Greeting,
    /// A command that was let through.
    Passed,
    /// EHLO, whose reply offers extensions.
    Ehlo,
    /// MAIL, which begins a message.
    Mail,
    /// RCPT, whose recipient the reply may refuse.
    Rcpt,
    /// DATA, whose reply decides what the client's next octets are.
    Data,
    /// The end of mail data.
    EndOfData,
    /// The end of mail data, and nobody shall hear of it.
    Withheld,
    /// STARTTLS, whose reply decides what the client's next octets are (RFC 3207).
    StartTls,
    /// AUTH, or a line that answers a challenge, whose reply decides what the client's next octets are
    /// (RFC 4954 section 4).
    Auth,
    /// A refused command, traded for NOOP, whose reply is traded too.
    Refused,
    /// A command whose reply is traded for the answer of that number.
    Answered(u8),
}

impl Outstanding {
    /// Whether only the reply tells what comes behind it.
    pub fn decides(self) -> bool {
        matches!(self, Self::Data | Self::StartTls | Self::Auth)
    }
}

/// What the client's next octets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Commands.
    Commands,
    /// Nobody knows before the reply to DATA, STARTTLS or AUTH.
    AwaitsReply,
    /// Mail data: the server said 354.
    MailData,
    /// A line that answers a challenge: the server said 334.
    AuthResponse,
    /// TLS: the server said 220. Nothing can be read any more, in both directions.
    Tls,
}

/// What the server has offered in its reply to EHLO, as far as it matters here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// PIPELINING (RFC 2920), and the client has seen it.
    pub pipelining: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
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
#[derive(Debug, Clone)]
pub struct Session {
    outstanding: Queue<Outstanding>,
    phase: Phase,
    /// What the server offers.
    pub offers: Offers,
    /// The client has begun with TLS.
    pub has_begun_tls: bool,
    /// Mail data was entered on the command: replies that do not fit are no wonder.
    is_trusting: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            outstanding: Queue::of(Outstanding::Greeting),
            phase: Phase::Commands,
            offers: Offers::default(),
            has_begun_tls: false,
            is_trusting: false,
        }
    }
}

impl Session {
    /// What the client's next octets are.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What the server is answering, if it owes anything.
    pub fn head(&self) -> Option<Outstanding> {
        self.outstanding.front()
    }

    /// What the client has said last, if the server has not answered it.
    pub fn tail(&self) -> Option<Outstanding> {
        self.outstanding.back()
    }

    /// Whether another command may be sent on: the queue has a limit.
    pub fn has_room(&self) -> bool {
        self.outstanding.len() < OUTSTANDING_MAX
    }

    /// Octets of memory that it takes.
    pub fn memory(&self) -> usize {
        self.outstanding.memory()
    }

    /// The client sent something that will be answered.
    pub fn sent(&mut self, what: Outstanding) {
        self.outstanding.push_back(what);
        if what.decides() {
            self.phase = Phase::AwaitsReply;
        } else if matches!(what, Outstanding::EndOfData | Outstanding::Withheld) {
            self.phase = Phase::Commands;
        }
    }

    /// Mail data begins with the command, whatever the server will say: the hole of CVE-2000-1022.
    pub fn begin_mail_data_early(&mut self) {
        self.phase = Phase::MailData;
        self.is_trusting = true;
    }

    /// The server ended the reply to the head of the queue with `code`. Mail data begins here, on a
    /// real 354, and nowhere else: entering it on the command was the hole of CVE-2000-1022.
    pub fn answered(&mut self, code: u16) -> Result<(), Disagreement> {
        let head = self.outstanding.pop_front();
        let next = match (head, code) {
            (Some(Outstanding::Data), 354) => Phase::MailData,
            (Some(Outstanding::StartTls), 220) => Phase::Tls,
            (Some(Outstanding::Auth), 334) => Phase::AuthResponse,
            (Some(what), _) if what.decides() => Phase::Commands,
            (Some(_), 354) if !self.is_trusting => return Err(Disagreement::DataUnasked),
            (Some(_), _) => return Ok(()),
            (None, _) => return self.said_unasked(code),
        };
        if self.phase == Phase::AwaitsReply {
            self.phase = next;
        }
        Ok(())
    }

    /// The server ended a reply that nothing had asked for.
    pub fn said_unasked(&mut self, code: u16) -> Result<(), Disagreement> {
        match code {
            _ if self.is_trusting => Ok(()),
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
        assert_eq!(session.phase(), Phase::AwaitsReply);
        session.answered(503).unwrap();
        assert_eq!(session.phase(), Phase::Commands, "CVE-2000-1022");
        session.sent(Outstanding::Passed);
        session.sent(Outstanding::Data);
        session.answered(250).unwrap();
        assert_eq!(session.phase(), Phase::AwaitsReply);
        session.answered(354).unwrap();
        assert_eq!(session.phase(), Phase::MailData);
        session.sent(Outstanding::EndOfData);
        assert_eq!(session.phase(), Phase::Commands);
    }

    #[test]
    fn replies_to_starttls_and_auth_decide_what_comes_next() {
        let mut session = Session::default();
        session.answered(220).unwrap();
        session.sent(Outstanding::Auth);
        assert_eq!(session.phase(), Phase::AwaitsReply);
        session.answered(334).unwrap();
        assert_eq!(session.phase(), Phase::AuthResponse);
        session.sent(Outstanding::Auth);
        session.answered(235).unwrap();
        assert_eq!(session.phase(), Phase::Commands);
        session.sent(Outstanding::StartTls);
        session.answered(454).unwrap();
        assert_eq!(session.phase(), Phase::Commands);
        session.sent(Outstanding::StartTls);
        session.answered(220).unwrap();
        assert_eq!(session.phase(), Phase::Tls);
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
