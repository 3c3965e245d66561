//! Conversations by telnet, octet by octet.

use std::time::Duration;

use super::parser::{DO, DONT, ECHO, IAC, SGA, WILL};
use super::*;
use crate::console::fake::Fake;
use crate::limits::{CONSOLE_LINE_OCTETS_MAX, CONSOLE_TEXT_OCTETS_MAX};

const PASSWORD: &str = "Password: ";

struct Dialogue {
    telnet: Telnet,
    session: Fake,
    is_over: bool,
}

impl Dialogue {
    fn begin(session: Fake, attempts: &Arc<Mutex<Attempts>>) -> (Self, Vec<u8>) {
        let from = "192.0.2.1".parse().expect("an address");
        let mut telnet = Telnet::new(from, Arc::clone(attempts));
        let mut out = Vec::new();
        let mut session = session;
        telnet.begin(&mut session, &mut out);
        (Self { telnet, session, is_over: false }, out)
    }

    /// With a client that lets the server echo, behind the prompt.
    fn by_key(session: Fake) -> Self {
        let mut new = Self::begin(session, &attempts()).0;
        assert_eq!(new.says(&[IAC, DO, ECHO, IAC, DO, SGA]), "");
        new
    }

    /// What the server answers, as text.
    fn says(&mut self, octets: &[u8]) -> String {
        let mut out = Vec::new();
        self.telnet.push(octets);
        loop {
            match self.telnet.step(&mut self.session, &mut out) {
                Step::Done => {}
                Step::Waits => break,
                Step::Ends => {
                    self.is_over = true;
                    break;
                }
            }
        }
        String::from_utf8(out).expect("no telnet command")
    }

    fn types(&mut self, keys: &str) -> String {
        self.says(keys.as_bytes())
    }
}

fn attempts() -> Arc<Mutex<Attempts>> {
    Arc::new(Mutex::new(Attempts::new(Duration::from_secs(3600))))
}

#[test]
fn it_warns_first_and_offers_to_echo() {
    let (_, out) = Dialogue::begin(Fake::locked(), &attempts());
    let text = format!("{WARNING}\r\n\r\n{PASSWORD}");
    assert_eq!(out, [&[IAC, WILL, ECHO, IAC, WILL, SGA], text.as_bytes()].concat());
    assert!(WARNING.contains("plain text"));
}

#[test]
fn a_password_is_not_echoed_and_all_else_is() {
    let mut dialogue = Dialogue::by_key(Fake::locked());
    assert_eq!(dialogue.types("cis"), "");
    assert_eq!(dialogue.types("k\x7fco?\x7f"), "", "? belongs to it");
    assert_eq!(dialogue.types("\r\0"), "\r\nfake> ");
    assert_eq!(dialogue.types("echo hello"), "echo hello");
    assert_eq!(dialogue.types("\r\n"), "\r\nhello\r\nfake> ");
    assert_eq!(dialogue.types("enable\r\n"), "enable\r\nPassword: ");
    assert_eq!(dialogue.types("cisco\r\n"), "\r\nfake# ");
    assert_eq!(dialogue.types("\x1b[A"), "enable", "the password is not remembered");
    dialogue.types("\x15");
    assert_eq!(dialogue.types("configure\r\n"), "configure\r\nfake(config)# ", "prompts nest");
    assert_eq!(dialogue.types("exit\r\n"), "exit\r\nfake# ");
    dialogue.types("exit\r\n");
    assert_eq!(dialogue.types("exit\r\n"), "exit\r\nGoodbye.\r\n");
    assert!(dialogue.is_over);
}

#[test]
fn a_question_mark_and_a_tab_answer_at_once() {
    let mut dialogue = Dialogue::by_key(Fake::default());
    assert_eq!(dialogue.types("sh?"), "sh?\r\n  shout\r\n  show\r\nfake> sh");
    assert_eq!(dialogue.types("\t"), "o", "as far as all agree");
    assert_eq!(dialogue.types("\t"), "\r\nshout  show\r\nfake> sho");
    assert_eq!(dialogue.types("w\t"), "w ");
    assert_eq!(dialogue.types("2\r"), "2\r\nline 1\r\nline 2\r\nfake> ");
    assert_eq!(dialogue.types("nothing\t"), "nothing\x07");
    assert_eq!(dialogue.types("\x15echo \x16?\r").lines().last(), Some("fake> "));
    assert_eq!(dialogue.types("\x1b[A"), "echo ?", "Ctrl-V makes it a character");
}

#[test]
fn long_text_comes_in_pages() {
    let mut dialogue = Dialogue::by_key(Fake::default());
    let wiped = format!("\r{}\r", " ".repeat(MORE.len()));
    let lines = |from: usize, to: usize| {
        (from..=to).map(|line| format!("line {line}\r\n")).collect::<String>()
    };
    let first = format!("show 60\r\n{}{MORE}", lines(1, 23));
    assert_eq!(dialogue.types("show 60\r"), first);
    assert_eq!(dialogue.types("\0x?"), "", "no other key does anything");
    assert_eq!(dialogue.types("\r"), format!("{wiped}{}{MORE}", lines(24, 24)));
    assert_eq!(dialogue.types(" "), format!("{wiped}{}{MORE}", lines(25, 47)));
    assert!(!dialogue.telnet.takes_asides());
    assert_eq!(dialogue.types(" "), format!("{wiped}{}fake> ", lines(48, 60)));
    assert!(dialogue.telnet.takes_asides());
    dialogue.types("show 60\r");
    assert_eq!(dialogue.types("q"), format!("{wiped}fake> "));
    dialogue.types("page 0\r");
    assert_eq!(dialogue.types("show 60\r"), format!("show 60\r\n{}fake> ", lines(1, 60)));
    dialogue.types("page 3\r");
    assert_eq!(dialogue.types("show 60\r"), format!("show 60\r\n{}{MORE}", lines(1, 2)));
}

#[test]
fn a_client_that_echoes_by_itself_is_served_by_line() {
    let mut dialogue = Dialogue::begin(Fake::default(), &attempts()).0;
    assert_eq!(dialogue.says(&[IAC, DONT, ECHO, IAC, DONT, SGA]), "");
    assert_eq!(dialogue.types("echo what? yes\r\n"), "what? yes\r\nfake> ");
    assert_eq!(dialogue.types("sh?\r\n"), "  shout\r\n  show\r\nfake> ");
    assert_eq!(dialogue.types("show 60\r\n").lines().count(), 61, "no pages");
    // One that does not know telnet at all.
    let mut dialogue = Dialogue::begin(Fake::default(), &attempts()).0;
    assert_eq!(dialogue.types("echo\ta\nexit\n"), "a\r\nfake> Goodbye.\r\n");
}

#[test]
fn lines_are_given_up_and_sessions_left() {
    let mut dialogue = Dialogue::by_key(Fake::default());
    assert_eq!(dialogue.types("abc\x03"), "abc\r\nfake> ");
    assert_eq!(
        dialogue.says(&[b'x', IAC, 247, b'y', IAC, 248, IAC, 244]),
        "x\x08 \x08y\x08 \x08\r\nfake> "
    );
    assert_eq!(dialogue.types("a\x04\x7f"), "a\x07\x08 \x08");
    assert_eq!(dialogue.types("\x04"), "");
    assert!(dialogue.is_over);
}

#[test]
fn a_line_that_is_none_is_refused() {
    let mut dialogue = Dialogue::by_key(Fake::default());
    let long = dialogue.types(&format!("{}\r", "a".repeat(1 << 20)));
    assert!(long.ends_with("\r\n% The line is too long.\r\nfake> "));
    assert!(
        dialogue
            .types("\x16\x01\r")
            .ends_with("% The line has a control character in it.\r\nfake> ")
    );
    dialogue.types("echo \x1bok");
    assert_eq!(dialogue.types("\r"), "\r\nk\r\nfake> ");
}

#[test]
fn what_strangers_wrote_does_not_command_the_terminal() {
    let mut dialogue = Dialogue::by_key(Fake::default());
    let mut out = Vec::new();
    dialogue.types("ec");
    let (telnet, session) = (&mut dialogue.telnet, &mut dialogue.session);
    telnet.asides(&["one".into(), "two".into()], session, &mut out);
    assert_eq!(String::from_utf8(out).as_deref(), Ok("\r\none\r\ntwo\r\nfake> ec"));
    assert_eq!(
        dialogue.types("ho \x16\x1b[2J\r").lines().nth(1),
        Some("% The line has a control character in it.")
    );
}

#[test]
fn three_wrong_passwords_end_it_and_the_next_ones_of_that_source() {
    let attempts = attempts();
    let mut dialogue = Dialogue::begin(Fake::locked(), &attempts).0;
    let mut other = Dialogue::begin(Fake::locked(), &attempts).0;
    let wrong = "% Bad password\r\nPassword: ";
    assert_eq!(dialogue.types("guess\r\n"), wrong);
    assert_eq!(dialogue.types("guess\r\n"), wrong);
    assert!(dialogue.types("guess\r\n").ends_with(&format!("% {TOO_MANY_ATTEMPTS}\r\n")));
    assert!(dialogue.is_over);
    // One that was there before is not asked any more, whatever it says.
    assert_eq!(other.types("cisco\r\n"), format!("\r\n% {TOO_MANY_ATTEMPTS}\r\n"));
    assert!(other.is_over);
}

#[test]
fn a_login_does_not_forgive_wrong_enable_passwords() {
    let attempts = attempts();
    for _ in 0..2 {
        let mut dialogue = Dialogue::begin(Fake::locked(), &attempts).0;
        dialogue.types("cisco\r\nenable\r\nguess\r\n");
        assert!(!dialogue.is_over);
    }
    let mut dialogue = Dialogue::begin(Fake::locked(), &attempts).0;
    dialogue.types("cisco\r\nenable\r\nguess\r\n");
    assert!(dialogue.is_over);
}

#[test]
fn whatever_comes_it_keeps_little_and_goes_on() {
    let words =
        ["show 60\r", "enable\r", "cisco\r", "?", "\t", " ", "q", "\x1b[A", "\x16", "page 2\r"];
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let attempts = Arc::new(Mutex::new(Attempts::new(Duration::ZERO)));
        let mut dialogue = Dialogue::begin(Fake::default(), &attempts).0;
        let mut out = Vec::new();
        for _ in 0..200 {
            let octets = match random.u8(..4) {
                0 => (0..random.usize(..40)).map(|_| random.u8(..)).collect(),
                1 => vec![IAC, random.u8(WILL..=DONT), random.u8(..5)],
                _ => words[random.usize(..words.len())].as_bytes().to_vec(),
            };
            dialogue.telnet.push(&octets);
            while dialogue.telnet.step(&mut dialogue.session, &mut out) == Step::Done {}
            assert!(
                out.len() < CONSOLE_TEXT_OCTETS_MAX && dialogue.telnet.came.len() <= octets.len()
            );
            assert!(dialogue.telnet.editor.so_far().len() <= 3 * CONSOLE_LINE_OCTETS_MAX);
            out.clear();
        }
    }
}
