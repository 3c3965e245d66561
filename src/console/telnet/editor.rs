//! The line that is being typed, and what its keys show.

use std::collections::VecDeque;

use crate::limits::CONSOLE_LINE_OCTETS_MAX;

/// Lines that are remembered for the arrow keys.
const REMEMBERED_LINES: usize = 20;

const CTRL_N: u8 = 0x0e;
const CTRL_P: u8 = 0x10;
const CTRL_U: u8 = 0x15;
const CTRL_V: u8 = 0x16;
const CTRL_W: u8 = 0x17;
const BELL: u8 = 0x07;
const BACKSPACE: u8 = 0x08;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// What has begun with an escape character.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// The escape character alone.
    Begun,
    /// `ESC [` or `ESC O`, and maybe parameters.
    Sequence,
    /// The next octet is meant as it is (Ctrl-V).
    Literal,
}

/// A line that is being typed.
#[derive(Debug, Default)]
pub(super) struct Editor {
    line: Vec<u8>,
    is_too_long: bool,
    escape: Escape,
    history: VecDeque<Vec<u8>>,
    /// How many lines back the arrow keys have gone.
    back: usize,
}

impl Editor {
    /// What has been typed so far, as far as it is text.
    pub(super) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Whether the next octet means what it means by itself.
    pub(super) fn is_plain(&self) -> bool {
        self.escape == Escape::None
    }

    /// One octet was typed. What is to be shown for it goes to `echo`.
    pub(super) fn take(&mut self, octet: u8, echo: &mut Vec<u8>) {
        match std::mem::take(&mut self.escape) {
            Escape::Begun if matches!(octet, b'[' | b'O') => self.escape = Escape::Sequence,
            Escape::Begun => {}
            Escape::Sequence => match octet {
                b'A' => self.recall(self.back + 1, echo),
                b'B' => self.recall(self.back.saturating_sub(1), echo),
                // Other keys that send such a sequence do nothing here.
                0x40..=0x7e => {}
                _ => self.escape = Escape::Sequence,
            },
            Escape::Literal => self.insert(octet, echo),
            Escape::None => match octet {
                BACKSPACE | DELETE => self.erase_character(echo),
                CTRL_U => self.erase_line(echo),
                CTRL_W => self.erase_word(echo),
                CTRL_P => self.recall(self.back + 1, echo),
                CTRL_N => self.recall(self.back.saturating_sub(1), echo),
                CTRL_V => self.escape = Escape::Literal,
                ESCAPE => self.escape = Escape::Begun,
                // As a client without an editor sends it.
                b'\t' => self.insert(b' ', echo),
                0..0x20 => echo.push(BELL),
                _ => self.insert(octet, echo),
            },
        }
    }

    fn insert(&mut self, octet: u8, echo: &mut Vec<u8>) {
        if self.line.len() < CONSOLE_LINE_OCTETS_MAX {
            self.line.push(octet);
            echo.push(if octet < 0x20 { b'?' } else { octet });
        } else {
            self.is_too_long = true;
            echo.push(BELL);
        }
    }

    /// Puts `word` in the place of what stands from `from` on.
    pub(super) fn replace_from(&mut self, from: usize, word: &str, echo: &mut Vec<u8>) {
        let old = self.line.get(from..).unwrap_or_default();
        let same = old.iter().zip(word.bytes()).take_while(|(old, new)| **old == *new).count();
        let kept = word.floor_char_boundary(same);
        while self.line.len() > from + kept {
            self.erase_character(echo);
        }
        for octet in word.bytes().skip(kept) {
            self.insert(octet, echo);
        }
    }

    pub(super) fn erase_character(&mut self, echo: &mut Vec<u8>) {
        self.is_too_long = false;
        while let Some(octet) = self.line.pop() {
            // The octets of one character go together.
            if octet & 0xc0 != 0x80 {
                echo.extend_from_slice(b"\x08 \x08");
                break;
            }
        }
    }

    pub(super) fn erase_line(&mut self, echo: &mut Vec<u8>) {
        while !self.line.is_empty() {
            self.erase_character(echo);
        }
        self.is_too_long = false;
    }

    fn erase_word(&mut self, echo: &mut Vec<u8>) {
        while self.line.last() == Some(&b' ') {
            self.erase_character(echo);
        }
        while self.line.last().is_some_and(|octet| *octet != b' ') {
            self.erase_character(echo);
        }
    }

    fn recall(&mut self, back: usize, echo: &mut Vec<u8>) {
        if back > self.history.len() {
            echo.push(BELL);
            return;
        }
        self.back = back;
        self.erase_line(echo);
        if let Some(line) = back.checked_sub(1).and_then(|back| self.history.get(back)) {
            self.line.clone_from(line);
            echo.extend_from_slice(&self.line);
        }
    }

    /// The line is whole: what it is, or what is wrong with it. A secret one is not remembered.
    pub(super) fn finish(&mut self, is_secret: bool) -> Result<String, &'static str> {
        let line = std::mem::take(&mut self.line);
        self.escape = Escape::None;
        self.back = 0;
        if std::mem::take(&mut self.is_too_long) {
            return Err("The line is too long.");
        }
        let line = String::from_utf8(line).map_err(|_| "The line is no UTF-8.")?;
        if !is_secret && !line.is_empty() {
            self.history.push_front(line.clone().into_bytes());
            self.history.truncate(REMEMBERED_LINES);
        }
        Ok(line)
    }

    /// The line is given up.
    pub(super) fn cancel(&mut self) {
        self.line.clear();
        self.is_too_long = false;
        self.escape = Escape::None;
        self.back = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal shows of an echo behind `line`.
    fn shown(line: &str, echo: &[u8]) -> String {
        let mut line: Vec<char> = line.chars().collect();
        let mut column = line.len();
        for c in String::from_utf8_lossy(echo).chars() {
            match c {
                '\x08' => column -= 1,
                '\x07' => {}
                c => {
                    line.truncate(column);
                    line.push(c);
                    column += 1;
                }
            }
        }
        line[..column].iter().collect()
    }

    fn type_in(editor: &mut Editor, keys: &str) -> String {
        let (before, mut echo) = (editor.so_far(), Vec::new());
        for octet in keys.bytes() {
            editor.take(octet, &mut echo);
        }
        shown(&before, &echo)
    }

    #[test]
    fn keys_edit_and_the_echo_shows_it() {
        for (keys, line) in [
            ("show", "show"),
            ("shot\x7fw", "show"),
            ("grün\x08\x08u", "gru"),
            ("\x7f\x7fa", "a"),
            ("wrong\x15right", "right"),
            ("show the  \x17version", "show version"),
            ("a\tb", "a b"),
            ("a\x16?b", "a?b"),
            ("a\x1b[Cb\x1bOHc\x1b[3~d\x1bxe", "abcde"),
            ("a\x01b", "ab"),
        ] {
            let mut editor = Editor::default();
            assert_eq!(type_in(&mut editor, keys), line, "{keys:?}");
            assert_eq!(editor.finish(false).as_deref(), Ok(line), "{keys:?}");
            assert!(editor.is_empty());
        }
    }

    #[test]
    fn arrows_bring_lines_back_but_no_password() {
        let mut editor = Editor::default();
        for (line, secret) in [("first", false), ("hush", true), ("", false), ("second", false)] {
            type_in(&mut editor, line);
            assert_eq!(editor.finish(secret).as_deref(), Ok(line));
        }
        assert_eq!(type_in(&mut editor, "x\x1b[A"), "second");
        type_in(&mut editor, "\x10");
        assert_eq!(editor.so_far(), "first");
        type_in(&mut editor, "\x1b[A");
        assert_eq!(editor.so_far(), "first", "there is no more");
        type_in(&mut editor, "\x1b[B!");
        assert_eq!(editor.finish(false).as_deref(), Ok("second!"));
        for number in 0..100 {
            type_in(&mut editor, &number.to_string());
            editor.finish(false).expect("a line");
        }
        assert_eq!(editor.history.len(), REMEMBERED_LINES);
    }

    #[test]
    fn a_line_has_a_bound_and_is_text() {
        let mut editor = Editor::default();
        type_in(&mut editor, &"a".repeat(1 << 20));
        assert_eq!(editor.line.len(), CONSOLE_LINE_OCTETS_MAX);
        assert_eq!(editor.finish(false), Err("The line is too long."));
        assert_eq!(type_in(&mut editor, "ok"), "ok");
        assert_eq!(editor.finish(false).as_deref(), Ok("ok"), "the next one is its own");
        editor.take(0xff, &mut Vec::new());
        assert_eq!(editor.finish(false), Err("The line is no UTF-8."));
    }

    #[test]
    fn a_word_is_replaced() {
        let mut editor = Editor::default();
        type_in(&mut editor, "show ver");
        for (word, line) in [
            ("version ", "show version "),
            ("grün", "show grün"),
            ("grün", "show grün"),
            ("grön", "show grön"),
        ] {
            let (before, mut echo) = (editor.so_far(), Vec::new());
            editor.replace_from(5, word, &mut echo);
            assert_eq!((shown(&before, &echo), editor.so_far()), (line.into(), line.into()));
        }
        editor.cancel();
        assert!(editor.is_empty());
    }
}
