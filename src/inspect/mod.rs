//! The inspector: judges the client's octets and the server's, and says what leaves instead.
//!
//! Each octet is judged once, as it streams, and nothing depends on how the stream was cut into
//! segments. A judge answers through [`Edits`] for the octets that it took, in order, and says how
//! many those were; the rest is offered again when there is more, or when the other direction has
//! gone on.
//!
//! Must not know: offsets, segments, time.

mod address;
mod chunk;
mod classes;
mod client;
mod command;
mod data;
mod ehlo;
mod greeting;
#[cfg(test)]
mod map;
mod mime;
mod observer;
mod server;
mod size;
mod tally;
mod traded;
mod word;

#[cfg(test)]
mod dialogues;
#[cfg(test)]
mod extensions;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod vectors;

pub use client::ClientJudge;
pub use observer::{Indifferent, Notice, Observer};
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
    /// A class of the policy map has matched, and its action ends the connection.
    ClassMatched {
        /// The number of the class, from 1.
        number: u8,
        /// Nobody is told (`drop-connection`), or both ends are reset.
        drops: bool,
    },
    /// A recipient who is not of the domain of `mail-relay`, and neither is the sender.
    MailRelay,
    /// A special character in an address, and the personality drops the connection then.
    SpecialCharacter,
    /// BDAT without a size that everybody reads alike (RFC 3030 section 2).
    BadChunkSize,
}

impl Fault {
    /// Whether nobody is told (`drop-connection`).
    pub fn drops(self) -> bool {
        matches!(
            self,
            Self::ClassMatched { drops: true, .. } | Self::MailRelay | Self::SpecialCharacter
        )
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{ClientJudge, Edits, Fault, Notice, Observer, ServerJudge};
    use crate::policy::{Personality, RateLimit};
    use crate::smtp::Session;
    use crate::time::Instant;

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

    /// What was noticed, and what time it is.
    #[derive(Debug, Default)]
    pub(crate) struct Watch {
        pub(crate) notices: Vec<Notice>,
        pub(crate) now: Instant,
    }

    impl Observer for Watch {
        fn notice(&mut self, notice: Notice) {
            self.notices.push(notice);
        }

        fn admits(&mut self, limit: &RateLimit) -> bool {
            limit.admits(self.now)
        }
    }

    /// Both judges of one connection, with what each end has said and the other has got.
    #[derive(Debug)]
    pub(crate) struct Middle {
        personality: Personality,
        client_judge: ClientJudge,
        server_judge: ServerJudge,
        pub(crate) session: Session,
        said: [Vec<u8>; 2],
        texts: [Text; 2],
        seen: [usize; 2],
        pub(crate) watch: Watch,
        pub(crate) fault: Option<Fault>,
    }

    impl Middle {
        pub(crate) fn new(personality: &Personality) -> Self {
            Self {
                personality: personality.clone(),
                client_judge: ClientJudge::default(),
                server_judge: ServerJudge::default(),
                session: Session::default(),
                said: Default::default(),
                texts: Default::default(),
                seen: [0; 2],
                watch: Watch::default(),
                fault: None,
            }
        }

        /// A knob of the preset of that name is set otherwise.
        pub(crate) fn with(name: &str, knobs: &[(&str, &str)]) -> Self {
            let mut personality = Personality::named(name).unwrap().clone();
            for (knob, value) in knobs {
                personality.set(knob, value).unwrap();
            }
            Self::new(&personality)
        }

        /// The server has greeted.
        pub(crate) fn greeted(name: &str, knobs: &[(&str, &str)]) -> Self {
            let mut middle = Self::with(name, knobs);
            middle.server("220 m\r\n");
            middle
        }

        /// The client says it in one packet; what the server gets for it.
        pub(crate) fn client(&mut self, text: &str) -> String {
            self.said[0].extend_from_slice(text.as_bytes());
            self.run(false);
            self.got(0)
        }

        /// The server says it in one packet; what the client gets for it.
        pub(crate) fn server(&mut self, text: &str) -> String {
            self.said[1].extend_from_slice(text.as_bytes());
            self.run(false);
            self.got(1)
        }

        /// Whoever waits repeats itself.
        pub(crate) fn repeat(&mut self) {
            self.run(true);
        }

        /// What has come to the server (0) or the client (1) since it was asked last.
        pub(crate) fn got(&mut self, end: usize) -> String {
            let new = &self.texts[end].out[self.seen[end]..];
            self.seen[end] = self.texts[end].out.len();
            String::from_utf8_lossy(new).into_owned()
        }

        /// All that has come to the server (0) or the client (1).
        pub(crate) fn all(&self, end: usize) -> &[u8] {
            &self.texts[end].out
        }

        fn run(&mut self, is_stuck: bool) {
            let Self { personality, session, said, texts, watch, .. } = self;
            for _ in 0..2 {
                if self.fault.is_some() {
                    return;
                }
                let [to_server, to_client] = texts;
                let rest = &said[0][to_server.taken..];
                let judge = &mut self.client_judge;
                if let Err(fault) =
                    judge.judge(rest, is_stuck, session, personality, to_server, watch)
                {
                    self.fault = Some(fault);
                    return;
                }
                let rest = &said[1][to_client.taken..];
                let judge = &mut self.server_judge;
                self.fault =
                    judge.judge(rest, is_stuck, session, personality, to_client, watch).err();
            }
        }
    }
}
