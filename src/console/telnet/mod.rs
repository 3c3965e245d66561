//! A console by telnet, for who must have it: keys in, a terminal's text out.
//!
//! A client that lets the server echo sends every key as it is pressed, as with a PIX: passwords are not
//! shown, `?` and TAB answer at once, and text comes in pages. One that does not sends whole lines: a
//! `?` at the end of one asks for help, and text comes in one piece.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod editor;
mod parser;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::attempts::Attempts;
use super::connection::{Step, Talk};
use super::session::Session;
use super::text::{MORE, Pager, bounded_text, common_prefix, complaint, last_word, printable};
use editor::Editor;
use parser::{Key, Parser};

/// The first line, whoever comes.
const WARNING: &str =
    "Warning: telnet is plain text: whoever is on the way reads it, passwords included.";

/// Why a source that has guessed too often is not served.
pub(super) const TOO_MANY_ATTEMPTS: &str = "Too many wrong passwords: come again later.";

/// Rows and columns of a terminal that says nothing of them.
const ROWS: u16 = 24;
const COLUMNS: usize = 80;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;

/// The server's end of one telnet connection.
#[derive(Debug)]
pub(super) struct Telnet {
    from: IpAddr,
    attempts: Arc<Mutex<Attempts>>,
    parser: Parser,
    editor: Editor,
    came: VecDeque<u8>,
    /// Text that waits for a key.
    pages: Pager,
}

/// Puts text on the way to a terminal.
fn show(text: &str, out: &mut Vec<u8>) {
    for (place, line) in text.split('\n').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\r\n");
        }
        // UTF-8 has no octet 255, which telnet would have escaped.
        out.extend_from_slice(line.as_bytes());
    }
}

impl Telnet {
    pub(super) fn new(from: IpAddr, attempts: Arc<Mutex<Attempts>>) -> Self {
        Self {
            from,
            attempts,
            parser: Parser::default(),
            editor: Editor::default(),
            came: VecDeque::new(),
            pages: Pager::default(),
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_paused(&self) -> bool {
        self.attempts().is_paused(self.from, Instant::now())
    }

    /// The prompt, and what has been typed behind it.
    fn prompt(&self, session: &dyn Session, out: &mut Vec<u8>) {
        show(&printable(&session.prompt()), out);
        if self.parser.echoes() && !session.is_secret() {
            show(&printable(&self.editor.so_far()), out);
        }
    }

    /// Shows text, page by page if that is possible, and then the prompt.
    fn answer(&mut self, text: &str, session: &dyn Session, out: &mut Vec<u8>) {
        self.pages = Pager::new(text);
        if self.parser.echoes() && session.page_lines() != Some(0) {
            self.turn(1, session, out);
        } else {
            show(&self.pages.take_all(), out);
            self.prompt(session, out);
        }
    }

    /// Shows one more page, of which `kept` lines are not for text.
    fn turn(&mut self, kept: u16, session: &dyn Session, out: &mut Vec<u8>) {
        let rows = session.page_lines().unwrap_or(ROWS).saturating_sub(kept);
        self.scroll(rows.max(1).into(), session, out);
    }

    fn scroll(&mut self, rows: usize, session: &dyn Session, out: &mut Vec<u8>) {
        show(&self.pages.take(rows, COLUMNS), out);
        if self.pages.is_empty() {
            self.prompt(session, out);
        } else {
            out.extend_from_slice(MORE.as_bytes());
        }
    }

    /// A key that was pressed at `<--- More --->`.
    fn page(&mut self, key: Key, session: &dyn Session, out: &mut Vec<u8>) {
        let blank = " ".repeat(MORE.len());
        let wipe = |out: &mut Vec<u8>| show(&format!("\r{blank}\r"), out);
        match key {
            Key::Octet(b' ') => {
                wipe(out);
                self.turn(1, session, out);
            }
            Key::End => {
                wipe(out);
                self.scroll(1, session, out);
            }
            Key::Octet(b'q' | b'Q' | CTRL_C) | Key::Interrupt | Key::Eof => {
                wipe(out);
                self.pages = Pager::default();
                self.prompt(session, out);
            }
            Key::Octet(_) | Key::EraseCharacter | Key::EraseLine => {}
        }
    }

    /// A key that was pressed at the prompt.
    fn press(&mut self, key: Key, session: &mut dyn Session, out: &mut Vec<u8>) -> Step {
        let echoes = self.parser.echoes();
        let is_secret = session.is_secret();
        let asks = echoes && !is_secret && self.editor.is_plain();
        let mut echo = Vec::new();
        match key {
            Key::End => return self.submit(session, out),
            Key::Octet(CTRL_D) | Key::Eof if self.editor.is_empty() => return Step::Ends,
            Key::Interrupt | Key::Octet(CTRL_C) => {
                self.editor.cancel();
                show("\n", out);
                self.prompt(session, out);
            }
            Key::Octet(b'?') if asks => {
                show("?\n", out);
                let line = self.editor.so_far();
                self.help(&line, session, out);
                return Step::Done;
            }
            Key::Octet(b'\t') if asks => {
                self.complete(session, out);
                return Step::Done;
            }
            Key::Octet(octet) => self.editor.take(octet, &mut echo),
            Key::EraseCharacter => self.editor.erase_character(&mut echo),
            Key::EraseLine => self.editor.erase_line(&mut echo),
            Key::Eof => {}
        }
        if echoes && !is_secret {
            out.append(&mut echo);
        }
        Step::Waits
    }

    fn help(&mut self, line: &str, session: &dyn Session, out: &mut Vec<u8>) {
        let text = if complaint(line).is_some() {
            String::new()
        } else {
            bounded_text(session.help(line))
        };
        self.answer(&text, session, out);
    }

    fn complete(&mut self, session: &dyn Session, out: &mut Vec<u8>) {
        let line = self.editor.so_far();
        let words = if complaint(&line).is_some() { vec![] } else { session.complete(&line) };
        let words: Vec<String> = words.iter().map(|word| printable(word)).collect();
        let from = last_word(&line);
        let (word, is_only) = match &words[..] {
            [word] => (format!("{word} "), true),
            words => (common_prefix(words).to_owned(), false),
        };
        if is_only || word.len() > line.len() - from {
            self.editor.replace_from(from, &word, out);
        } else if words.is_empty() {
            out.push(0x07);
        } else {
            show("\n", out);
            self.answer(&format!("{}\n", words.join("  ")), session, out);
        }
    }

    /// The line is whole.
    fn submit(&mut self, session: &mut dyn Session, out: &mut Vec<u8>) -> Step {
        let echoes = self.parser.echoes();
        if echoes {
            show("\n", out);
        }
        let is_secret = session.is_secret();
        if is_secret && self.is_paused() {
            self.leave(TOO_MANY_ATTEMPTS, out);
            return Step::Ends;
        }
        let line = self.editor.finish(is_secret);
        let line = line.and_then(|line| complaint(&line).map_or(Ok(line), Err));
        let line = match line {
            Ok(line) => line,
            Err(why) => {
                self.answer(&format!("% {why}\n"), session, out);
                return Step::Done;
            }
        };
        if let Some(line) = line.strip_suffix('?').filter(|_| !echoes && !is_secret) {
            self.help(line, session, out);
            return Step::Done;
        }
        let said = session.line(&line);
        let text = bounded_text(said.text);
        if is_secret && said.failed {
            self.attempts().failed(self.from, Instant::now());
            if self.is_paused() {
                show(&text, out);
                self.leave(TOO_MANY_ATTEMPTS, out);
                return Step::Ends;
            }
        }
        if said.ends {
            show(&text, out);
            return Step::Ends;
        }
        self.answer(&text, session, out);
        Step::Done
    }
}

impl Talk for Telnet {
    fn begin(&mut self, session: &mut dyn Session, out: &mut Vec<u8>) {
        self.parser.begin(out);
        show(&format!("{WARNING}\n\n"), out);
        self.prompt(session, out);
    }

    fn push(&mut self, octets: &[u8]) {
        self.came.extend(octets);
    }

    fn step(&mut self, session: &mut dyn Session, out: &mut Vec<u8>) -> Step {
        while let Some(octet) = self.came.pop_front() {
            let Some(key) = self.parser.take(octet, out) else { continue };
            if !self.pages.is_empty() {
                self.page(key, session, out);
                return Step::Done;
            }
            match self.press(key, session, out) {
                Step::Waits => {}
                step @ (Step::Done | Step::Ends) => return step,
            }
        }
        Step::Waits
    }

    fn takes_asides(&self) -> bool {
        self.pages.is_empty()
    }

    fn asides(&mut self, lines: &[String], session: &mut dyn Session, out: &mut Vec<u8>) {
        show("\n", out);
        for line in lines {
            show(line, out);
            show("\n", out);
        }
        self.prompt(session, out);
    }

    fn leave(&mut self, why: &str, out: &mut Vec<u8>) {
        show(&format!("\n% {why}\n"), out);
    }

    fn is_remote(&self) -> bool {
        true
    }
}
