//! A session with a handful of commands, which the transports are tested with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Said, Session};

const WORDS: &[&str] = &["configure", "echo", "enable", "exit", "shout", "show"];

/// A session with modes, a password, long answers and lines that come by themselves.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    modes: Vec<&'static str>,
    /// The next line is the password of that mode.
    asked: Option<&'static str>,
    asides: Vec<String>,
    page: Option<u16>,
    /// `hang` waits for it.
    released: Arc<AtomicBool>,
}

impl Fake {
    /// One that asks for a password before anything else.
    pub(crate) fn locked() -> Self {
        Self { asked: Some(">"), ..Self::default() }
    }

    /// One whose `hang` lasts until `released` is set.
    pub(crate) fn held(released: Arc<AtomicBool>) -> Self {
        Self { released, ..Self::default() }
    }

    fn password(&mut self, mode: &'static str, line: &str) -> Said {
        if line != "cisco" {
            // Who has not come in yet may try again.
            self.asked = (mode == ">").then_some(mode);
            return Said { text: "% Bad password\n".into(), failed: true, ends: false };
        }
        if mode != ">" {
            self.modes.push(mode);
        }
        Said::default()
    }

    fn exit(&mut self) -> Said {
        let ends = self.modes.pop().is_none();
        let text = if ends { "Goodbye.\n".into() } else { String::new() };
        Said { text, ends, ..Said::default() }
    }
}

fn text(text: impl Into<String>) -> Said {
    Said { text: text.into(), ..Said::default() }
}

impl Session for Fake {
    fn prompt(&self) -> String {
        if self.asked.is_some() {
            return "Password: ".into();
        }
        format!("fake{} ", self.modes.last().unwrap_or(&">"))
    }

    fn is_secret(&self) -> bool {
        self.asked.is_some()
    }

    fn line(&mut self, line: &str) -> Said {
        if let Some(mode) = self.asked.take() {
            return self.password(mode, line);
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "" => Said::default(),
            "echo" => text(format!("{rest}\n")),
            "enable" => {
                self.asked = Some("#");
                Said::default()
            }
            "configure" => {
                self.modes.push("(config)#");
                Said::default()
            }
            "exit" => self.exit(),
            "show" => {
                let lines = rest.parse::<usize>().unwrap_or(1);
                text((1..=lines).map(|line| format!("line {line}\n")).collect::<String>())
            }
            "octets" => text("x".repeat(rest.parse().unwrap_or(1))),
            "page" => {
                self.page = rest.parse().ok();
                Said::default()
            }
            "aside" => {
                self.asides.push(rest.into());
                Said::default()
            }
            "panic" => panic!("on purpose"),
            "hang" => {
                while !self.released.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                Said::default()
            }
            _ => Said { text: format!("% Invalid input: {line}\n"), failed: true, ends: false },
        }
    }

    fn help(&self, line: &str) -> String {
        self.complete(line).iter().map(|word| format!("  {word}\n")).collect()
    }

    fn complete(&self, line: &str) -> Vec<String> {
        let known = WORDS.iter().filter(|word| word.starts_with(line));
        known.map(|word| (*word).into()).collect()
    }

    fn asides(&mut self) -> Vec<String> {
        std::mem::take(&mut self.asides)
    }

    fn page_lines(&self) -> Option<u16> {
        self.page
    }
}
