//! The inspector: judges the client's octets and the server's, and says what leaves instead.
//!
//! Each octet is judged once, as it streams, and nothing depends on how the stream was cut into
//! segments. A judge answers through [`Edits`] for the octets that it took, in order, and says how
//! many those were; the rest is offered again when there is more, or when the other direction has
//! gone on.
//!
//! Must not know: offsets, segments, time.

mod client;
mod command;
mod data;
mod ehlo;
mod greeting;
mod server;

#[cfg(test)]
mod strict;

pub use client::ClientJudge;
pub use server::ServerJudge;

use crate::smtp::Disagreement;

/// What is to leave for the octets that were judged.
pub trait Edits {
    /// These octets leave as they are.
    fn pass(&mut self, octets: &[u8]);

    /// `octets` leave in the place of the next `original` octets; neither is empty.
    fn trade(&mut self, original: usize, octets: &[u8]);

    /// Whether more may be judged now: what waits for an acknowledgement has a limit.
    fn has_room(&self) -> bool;
}

/// What a judge noticed, for the counters.
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
    /// The server has agreed to TLS: nothing is inspected any more.
    TlsStarted,
}

/// Why a judge cannot go on: the flow is to be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Server and guard disagree on what the client said.
    Server(Disagreement),
    /// A command that may not pass, and the personality resets then.
    CommandRefused,
    /// The client spoke before the greeting.
    EarlyTalk,
    /// The client did not wait for a reply where it has to (RFC 2920).
    UnauthorizedPipelining,
    /// Plain text behind STARTTLS, or behind the reply to it (CVE-2011-0411, CVE-2021-38371).
    StartTlsInjection,
    /// A CR, LF or NUL that should not be there, and the personality resets then.
    StrayOctet,
    /// BDAT without a size that everybody reads alike (RFC 3030 section 2).
    BadChunkSize,
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Edits;

    /// Edits applied to nothing but text.
    #[derive(Debug, Default)]
    pub(crate) struct Text {
        pub(crate) out: Vec<u8>,
        pub(crate) taken: usize,
    }

    impl Edits for Text {
        fn pass(&mut self, octets: &[u8]) {
            assert!(!octets.is_empty());
            self.out.extend_from_slice(octets);
            self.taken += octets.len();
        }

        fn trade(&mut self, original: usize, octets: &[u8]) {
            assert!(original > 0 && !octets.is_empty(), "a trade has two sides");
            self.out.extend_from_slice(octets);
            self.taken += original;
        }

        fn has_room(&self) -> bool {
            true
        }
    }
}
