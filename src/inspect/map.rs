//! The classes of the default map of the ASA, and others that count and measure.

mod actions;
mod bodies;
mod commands;
mod counts;
mod parts;

use std::borrow::Cow;

use super::testing::Middle;
use super::{Fault, Notice};
use crate::policy::{Action, Class, Match, PartialLines, Personality};

/// An ASA that does not mind how lines are cut.
const ASA: Personality = Personality { partial_lines: PartialLines::Stream, ..Personality::ASA72 };

fn ended(number: u8) -> Option<Fault> {
    Some(Fault::ClassMatched { number, drops: true })
}

fn in_mail_data(name: &str) -> Middle {
    let mut middle = Middle::greeted(name, &[]);
    middle.client("DATA\r\n");
    middle.server("354 go\r\n");
    middle.got(0);
    middle
}

/// Says it whole, then octet by octet; what got through, and what came of it.
fn both(start: impl Fn() -> Middle, text: &str) -> (String, Option<Fault>, usize) {
    let mut whole = start();
    let got = whole.client(text);
    let logged = |middle: &Middle| {
        let is_logged = |notice: &&Notice| matches!(notice, Notice::ClassMatched(_));
        middle.watch.notices.iter().filter(is_logged).count()
    };
    let result = (got, whole.fault, logged(&whole));
    let mut single = start();
    let mut got = String::new();
    for octet in text.chars() {
        got += &single.client(&octet.to_string());
    }
    assert_eq!((got, single.fault, logged(&single)), result, "{text:?}");
    result
}

#[test]
fn class_1_command_lines() {
    let mut knobs = Middle::greeted("asa72", &[]);
    let line = |len: usize| format!("HELO {}\r\n", "a".repeat(len - 5));
    assert_eq!(knobs.client(&line(512)).len(), 514);
    assert_eq!(knobs.fault, None);
    knobs.client(&line(513));
    assert_eq!(knobs.fault, ended(1));
    let mut without = Middle::greeted("asa72", &[("map", "none")]);
    without.client(&line(513));
    assert_eq!(without.fault, None);
}

#[test]
fn class_2_recipients() {
    let mut middle = Middle::greeted("asa72", &[]);
    let many = "RCPT TO:<a@b>\r\n".repeat(100);
    assert_eq!(middle.client(&format!("MAIL FROM:<a>\r\n{many}")).len(), 15 + many.len());
    middle.client("RSET\r\nMAIL FROM:<a>\r\n");
    middle.client(&many);
    assert_eq!(middle.fault, None, "of one message");
    middle.client("RCPT TO:<a@b>\r\n");
    assert_eq!(middle.fault, ended(2));
    assert!(middle.all(0).ends_with(b"RCPT TO:<a@b>"), "the line has no end");
}

#[test]
fn class_3_body_lines_only_log() {
    let text = format!("Subject: x\r\n\r\n{}\r\n{}\r\n.\r\n", "a".repeat(998), "b".repeat(2000));
    let (got, fault, logged) = both(|| in_mail_data("asa72"), &text);
    // Without a blank line in the message it is all header.
    assert_eq!((got.len(), fault, logged), (text.len(), None, 1));
}

#[test]
fn class_4_header_lines() {
    let good = format!("Subject: {}\r\n", "a".repeat(989));
    let (got, fault, _) = both(|| in_mail_data("asa72"), &good);
    assert_eq!((got.len(), fault), (good.len(), None));
    let bad = format!("To: b\r\nSubject: {}\r\n", "a".repeat(990));
    let (got, fault, _) = both(|| in_mail_data("asa72"), &bad);
    assert_eq!((got.len(), fault), (7 + 998, ended(4)));
}

#[test]
fn class_5_senders() {
    let sender = |len: usize| format!("MAIL FROM:<{}> SIZE=1\r\n", "a".repeat(len));
    let mut middle = Middle::greeted("asa72", &[]);
    middle.client(&sender(320));
    middle.client(&sender(320).replace("MAIL FROM", "RCPT TO"));
    assert_eq!(middle.fault, None);
    middle.client(&sender(321));
    assert_eq!(middle.fault, ended(5));
}

#[test]
fn class_6_file_names() {
    let part = |len: usize| {
        format!(
            "Content-Disposition: attachment; filename=\"{}\"\r\n\r\nx\r\n.\r\n",
            "a".repeat(len)
        )
    };
    let (_, fault, _) = both(|| in_mail_data("asa72"), &part(255));
    assert_eq!(fault, None);
    let (got, fault, _) = both(|| in_mail_data("asa72"), &part(256));
    assert_eq!((got.len(), fault), (43 + 255, ended(6)));
    let (_, fault, _) = both(|| in_mail_data("asa70"), &part(256));
    assert_eq!(fault, None, "no map yet");
}

#[test]
fn class_7_keywords() {
    let reply = "250-me\r\n250-SIZE\r\n250-XYZ\r\n250-STARTTLS\r\n250 HELP\r\n";
    for (name, knobs, masked) in [
        ("asa72", &[][..], "250-me\r\n250-SIZE\r\n250-XXA\r\n250-XXXXXXXB\r\n250 XXXC\r\n"),
        ("asa94", &[], "250-me\r\n250-SIZE\r\n250-XXA\r\n250-STARTTLS\r\n250 XXXB\r\n"),
        // Without the class nothing is masked but what is refused.
        (
            "asa72",
            &[("map", "none")],
            "250-me\r\n250-SIZE\r\n250-XYZ\r\n250-XXXXXXXA\r\n250 HELP\r\n",
        ),
        ("asa94", &[("map", "none")], reply),
        (
            "asa70",
            &[("map", "default")],
            "250-me\r\n250-SIZE\r\n250-XXA\r\n250-XXXXXXXB\r\n250 XXXC\r\n",
        ),
    ] {
        let mut middle = Middle::greeted(name, knobs);
        middle.got(1);
        middle.client("EHLO x\r\n");
        assert_eq!(middle.server(reply), masked, "{name}");
    }
}

/// A session that has been greeted, under a map of one's own.
fn under(map: &'static [Class]) -> Middle {
    let mut middle = Middle::new(&Personality { map: Cow::Borrowed(map), ..ASA });
    middle.server("220 m\r\n");
    middle.got(1);
    middle
}

/// The same, with the mail data begun.
fn in_data(map: impl Into<Cow<'static, [Class]>>) -> Middle {
    let mut middle = Middle::new(&Personality { map: map.into(), ..ASA });
    middle.server("220 m\r\n");
    middle.client("DATA\r\n");
    middle.server("354 go\r\n");
    middle.got(0);
    middle
}

fn reset(number: u8) -> Option<Fault> {
    Some(Fault::ClassMatched { number, drops: false })
}

#[test]
fn others_by_their_number_and_action() {
    const MAP: &[Class] = &[
        Class::new(Match::HeaderLength(30), Action::Reset),
        Class::new(Match::HeaderToFieldsCount(1), Action::Reset),
        Class::new(Match::BodyLength(10), Action::Reset),
    ];
    for (text, passed, fault) in [
        ("To: a\r\nFrom: b\r\n\r\nbody\r\n.\r\n", 27, None),
        ("To: a\r\nFrom: b\r\nSubject: long one\r\n", 30, reset(1)),
        ("To: a\r\nTOO: c\r\nto: b\r\n", 17, reset(2)),
        // The server takes the dot away.
        ("To: a\r\n.to: b\r\n", 10, reset(2)),
        ("X: To:\r\n to: b\r\nTo: c\r\n", 23, None),
        ("To: a\r\n\r\nTo: b\r\nTo: c\r\n", 19, reset(3)),
        ("To\r:a\r\nTo:b\r\nTo: c", 15, reset(2)),
    ] {
        let (got, said, _) = both(|| in_data(MAP), text);
        assert_eq!((got.len(), said), (passed, fault), "{text:?}");
    }
}
