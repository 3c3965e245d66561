//! What `mailguard console` and the guard say to each other on the Unix socket: JSON, one object a line.
//!
//! The client asks, and each question is answered in order: `line` by `said` and then `prompt` (unless
//! the session has ended), `help` by `help`, `complete` by `words`. A first `prompt` comes by itself;
//! `asides` come at any time, and `closed` says why the guard closes the console.

use serde::{Deserialize, Serialize};

use super::connection::{Step, Talk};
use super::session::Session;
use super::text::{bounded_text, complaint, printable};
use crate::limits::CONSOLE_ASK_OCTETS_MAX;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub(super) enum Ask {
    /// The operator has typed a line.
    Line {
        /// Without its end.
        line: String,
    },
    /// He wants to know what may follow.
    Help {
        /// What he has typed so far.
        line: String,
    },
    /// He wants the last word to be completed.
    Complete {
        /// What he has typed so far.
        line: String,
    },
}

/// What the guard says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "lowercase")]
pub(super) enum Say {
    /// The next line may be typed.
    Prompt {
        /// What is shown before it.
        prompt: String,
        /// It is a password.
        secret: bool,
        /// Lines of a page, see [`Session::page_lines`].
        page: Option<u16>,
    },
    /// What a line brought.
    Said {
        /// What is shown.
        text: String,
        /// The line was refused.
        failed: bool,
        /// The session is over.
        ends: bool,
    },
    /// What may follow.
    Help {
        /// What is shown.
        text: String,
    },
    /// What the last word may become.
    Words {
        /// Whole words.
        words: Vec<String>,
    },
    /// Lines that came by themselves.
    Asides {
        /// Without their ends.
        lines: Vec<String>,
    },
    /// The guard closes the console.
    Closed {
        /// One line.
        why: String,
    },
}

impl Say {
    /// The next line of the conversation.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // It fails only for maps whose keys are no strings.
        if let Ok(line) = serde_json::to_string(self) {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }
}

/// The guard's end of one conversation.
#[derive(Debug, Default)]
pub(super) struct Json {
    /// What has come and is no whole line yet, or is one that has to wait.
    came: Vec<u8>,
}

impl Json {
    fn prompt(session: &dyn Session, out: &mut Vec<u8>) {
        let prompt = printable(&session.prompt());
        let (secret, page) = (session.is_secret(), session.page_lines());
        Say::Prompt { prompt, secret, page }.write(out);
    }

    fn answer(ask: Ask, session: &mut dyn Session, out: &mut Vec<u8>) -> Step {
        match ask {
            Ask::Line { line } => {
                let line = line.replace('\t', " ");
                let said = match complaint(&line) {
                    Some(why) => {
                        super::Said { text: format!("% {why}\n"), failed: true, ends: false }
                    }
                    None => session.line(&line),
                };
                let (text, failed, ends) = (bounded_text(said.text), said.failed, said.ends);
                Say::Said { text, failed, ends }.write(out);
                if ends {
                    return Step::Ends;
                }
                Self::prompt(session, out);
            }
            Ask::Help { line } => {
                let text = if complaint(&line).is_some() || session.is_secret() {
                    String::new()
                } else {
                    bounded_text(session.help(&line))
                };
                Say::Help { text }.write(out);
            }
            Ask::Complete { line } => {
                let words = if complaint(&line).is_some() || session.is_secret() {
                    Vec::new()
                } else {
                    session.complete(&line).iter().map(|word| printable(word)).collect()
                };
                Say::Words { words }.write(out);
            }
        }
        Step::Done
    }
}

impl Talk for Json {
    fn begin(&mut self, session: &mut dyn Session, out: &mut Vec<u8>) {
        Self::prompt(session, out);
    }

    fn push(&mut self, octets: &[u8]) {
        self.came.extend_from_slice(octets);
    }

    fn step(&mut self, session: &mut dyn Session, out: &mut Vec<u8>) -> Step {
        let end = memchr::memchr(b'\n', &self.came);
        let line = match end {
            Some(end) if end <= CONSOLE_ASK_OCTETS_MAX => {
                self.came.drain(..=end).take(end).collect::<Vec<_>>()
            }
            None if self.came.len() <= CONSOLE_ASK_OCTETS_MAX => return Step::Waits,
            _ => {
                self.leave("a line was too long", out);
                return Step::Ends;
            }
        };
        match serde_json::from_slice(&line) {
            Ok(ask) => Self::answer(ask, session, out),
            Err(why) => {
                self.leave(&format!("a line was no question: {why}"), out);
                Step::Ends
            }
        }
    }

    fn asides(&mut self, lines: &[String], _session: &mut dyn Session, out: &mut Vec<u8>) {
        Say::Asides { lines: lines.to_vec() }.write(out);
    }

    fn leave(&mut self, why: &str, out: &mut Vec<u8>) {
        Say::Closed { why: why.into() }.write(out);
    }
}
