//! Classes and parameters that look at commands, and at the replies to them.

use std::borrow::Cow;

use super::super::testing::Middle;
use super::super::{Fault, Notice};
use super::{ASA, both, ended, reset, under};
use crate::policy::{Action, Class, MailRelay, Match, Personality, Regex, SpecialCharacters};
use crate::smtp::{Keyword, KeywordSet, Verb, VerbSet};

const VRFY: Match = Match::CmdVerb(VerbSet::of(&[Verb::Vrfy, Verb::Help]));

#[test]
fn a_verb_by_each_action() {
    const DROP: &[Class] = &[Class::new(VRFY, Action::DropConnection)];
    const RESET: &[Class] = &[Class::new(VRFY, Action::Reset)];
    const LOG: &[Class] = &[Class::new(VRFY, Action::Log)];
    const MASK: &[Class] = &[Class::new(VRFY, Action::Mask)];
    let logged = |middle: &Middle| middle.watch.notices.contains(&Notice::ClassMatched(1));
    for (map, got, fault, logs) in [
        (DROP, "NOOP\r\nVRFY", ended(1), false),
        (RESET, "NOOP\r\nVRFY", reset(1), false),
        (LOG, "NOOP\r\nVRFY a\r\nHELP\r\n", None, true),
        (MASK, "NOOP\r\nXXXXXX\r\nHELX\r\n", None, true),
    ] {
        let mut middle = under(map);
        assert_eq!(middle.client("NOOP\r\nVRFY a\r\nHELP\r\n"), got);
        assert_eq!((middle.fault, logged(&middle)), (fault, logs));
    }
    let (got, fault, _) = both(|| under(DROP), "vrfy\ta\r\n");
    assert_eq!((&got[..], fault), ("vrfy", ended(1)));
}

#[test]
fn a_refused_verb_can_match_too() {
    const MAP: &[Class] = &[Class::new(Match::CmdVerb(VerbSet::of(&[Verb::Expn])), Action::Reset)];
    let mut middle = under(MAP);
    assert_eq!(middle.client("TURN\r\nexpn root\r\n"), "XXXX\r\neXXX", "up to the end of the verb");
    assert_eq!(middle.fault, reset(1));
}

#[test]
fn every_verb_but_some() {
    let few = Match::CmdVerb(VerbSet::of(&[Verb::Noop, Verb::Quit]));
    let map = |action| vec![Class::new(few.clone(), action).negated()];
    let personality = |action| Personality { map: Cow::Owned(map(action)), ..ASA };
    let mut middle = Middle::new(&personality(Action::Mask));
    middle.server("220 m\r\n");
    assert_eq!(middle.client("NOOP\r\nHELO\r\nquit\r\n"), "NOOP\r\nXXXX\r\nquit\r\n");
    for unknown in ["HELO\r\n", "ZZZ\r\n"] {
        let mut middle = Middle::new(&personality(Action::DropConnection));
        middle.server("220 m\r\n");
        middle.client("NOOP\r\n");
        assert_eq!(middle.fault, None);
        middle.client(unknown);
        assert_eq!(middle.fault, ended(1));
    }
}

#[test]
fn short_lines_and_few_recipients_are_what_not_matches() {
    let map = vec![
        Class::new(Match::CmdLineLength(6), Action::Log).negated(),
        Class::new(Match::CmdRcptCount(1), Action::Reset).negated(),
    ];
    let personality = Personality { map: Cow::Owned(map), ..ASA };
    let start = || {
        let mut middle = Middle::new(&personality);
        middle.server("220 m\r\n");
        middle
    };
    let (got, fault, logged) = both(start, "NOOP a\r\nNOOP ab\r\nNOOP\r\n");
    assert_eq!((got.len(), fault, logged), (23, None, 2));
    let two = "RCPT TO:<a>\r\nRCPT TO:<b>\r\nDATA\r\n";
    assert_eq!(both(start, two), (two.into(), None, 1));
    let (_, fault, _) = both(start, "RCPT TO:<a>\r\nDATA\r\n");
    assert_eq!(fault, reset(2));
}

#[test]
fn senders_by_expression() {
    let regex = Regex::new("spam", r"^(spam|x+)@example\.(org|com)$").unwrap();
    let of = |action| Class::new(Match::SenderAddress(regex.clone()), action);
    let start = |map: Vec<Class>| {
        let mut middle = Middle::new(&Personality { map: Cow::Owned(map), ..ASA });
        middle.server("220 m\r\n");
        middle
    };
    for (line, matches) in [
        ("MAIL FROM:<spam@example.org> SIZE=1", true),
        ("MAIL FROM: <xxx@example.com>", true),
        ("MAIL FROM:xx@example.com", true),
        ("mail from:  spam@example.org BODY=8BITMIME", true),
        ("MAIL FROM:<\"a>b\"@example.org>", false),
        ("MAIL FROM:<aspam@example.org>", false),
        ("MAIL FROM:<spam@example.orgs>", false),
        ("MAIL FROM:<>", false),
        ("RCPT TO:<spam@example.org>", false),
    ] {
        let line = format!("{line}\r\n");
        let (_, fault, _) = both(|| start(vec![of(Action::DropConnection)]), &line);
        assert_eq!(fault.is_some(), matches, "{line}");
        let (_, fault, _) = both(|| start(vec![of(Action::Reset).negated()]), &line);
        assert_eq!(fault.is_some(), !matches && line.contains("MAIL"), "not: {line}");
    }
}

#[test]
fn quotes_hide_nothing_of_a_sender() {
    let line = |name: usize| format!("MAIL FROM:<\">\\\"{}\"@b>\r\n", "a".repeat(name));
    let mut middle = Middle::greeted("asa72", &[]);
    middle.client(&line(313));
    assert_eq!(middle.fault, None);
    middle.client(&line(314));
    assert_eq!(middle.fault, ended(5));
    let mut bare = Middle::greeted("asa72", &[]);
    bare.client(&format!("MAIL FROM:{}\r\n", "a".repeat(321)));
    assert_eq!(bare.fault, ended(5));
}

#[test]
fn recipients_that_the_server_refuses() {
    const MAP: &[Class] = &[Class::new(Match::InvalidRecipientsCount(2), Action::DropConnection)];
    let mut middle = under(MAP);
    middle.client("MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nRCPT TO:<d>\r\n");
    middle.server("250 ok\r\n550 no\r\n250 ok\r\n450-not\r\n450 now\r\n");
    assert_eq!(middle.fault, None);
    middle.client("RSET\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nNOOP\r\nRCPT TO:<b>\r\nRCPT TO:<b>\r\n");
    middle.got(1);
    middle.server("250 ok\r\n250 ok\r\n550 no\r\n500 what\r\n550 no\r\n");
    assert_eq!(middle.fault, None, "of one message, and RCPT alone");
    middle.got(1);
    assert_eq!(middle.server("553-no\r\n553 no\r\n"), "553-no\r\n553 no\r", "no end");
    assert_eq!(middle.fault, ended(1));
}

#[test]
fn few_invalid_recipients_are_what_not_matches() {
    let map = vec![Class::new(Match::InvalidRecipientsCount(0), Action::Reset).negated()];
    let personality = Personality { map: Cow::Owned(map), ..ASA };
    for (reply, fault) in [("550 no\r\n354 go\r\n", None), ("250 ok\r\n354 go\r\n", reset(1))] {
        let mut middle = Middle::new(&personality);
        middle.server("220 m\r\n");
        middle.client("RCPT TO:<b>\r\nDATA\r\n");
        middle.server(reply);
        assert_eq!(middle.fault, fault, "{reply}");
    }
}

#[test]
fn keywords_by_each_action() {
    const SIZE: Match = Match::EhloReplyParameter(KeywordSet::of(&[Keyword::Size]));
    const MASK: &[Class] = &[Class::new(SIZE, Action::Mask)];
    const RESET: &[Class] = &[Class::new(SIZE, Action::Reset)];
    const LOG: &[Class] = &[Class::new(SIZE, Action::Log)];
    let reply = "250-SIZE\r\n250-DSN\r\n250-SIZE 10\r\n250 XYZ\r\n";
    for (map, got, fault, logged) in [
        (MASK, "250-SIZE\r\n250-DSN\r\n250-XXXXXXA\r\n250 XYZ\r\n", None, 1),
        (RESET, "250-SIZE\r\n250-DSN\r\n", reset(1), 0),
        (LOG, reply, None, 1),
    ] {
        let mut middle = under(map);
        middle.client("EHLO x\r\n");
        assert_eq!(middle.server(reply), got, "the first line names the host");
        let notices = middle.watch.notices.iter();
        let count = notices.filter(|notice| **notice == Notice::ClassMatched(1)).count();
        assert_eq!((middle.fault, count), (fault, logged));
    }
    let map = vec![Class::silent(SIZE, Action::Mask).negated()];
    let personality =
        Personality { map: Cow::Owned(map), hide: crate::policy::Hide::Remove, ..ASA };
    let mut middle = Middle::new(&personality);
    middle.server("220 m\r\n");
    middle.got(1);
    middle.client("EHLO x\r\n");
    assert_eq!(middle.server(reply), "250-SIZE\r\n250-SIZE 10\r\n250 OK\r\n");
    assert!(!middle.watch.notices.contains(&Notice::ClassMatched(1)), "nobody wants to know");
}

fn relay(action: Action) -> Middle {
    let relay = MailRelay { domain: Cow::Borrowed("example.org"), action, logs: true };
    let mut middle = Middle::new(&Personality { mail_relay: Some(relay), ..ASA });
    middle.server("220 m\r\n");
    middle
}

#[test]
fn mail_relay_is_mail_from_elsewhere_to_elsewhere() {
    for (sender, recipient, relays) in [
        ("<a@example.org>", "<b@example.net>", false),
        ("<a@example.net>", "<b@Example.ORG>", false),
        ("<a@example.net>", "<postmaster>", false),
        ("<a@example.net>", "<b@example.com>", true),
        ("<a@example.net>", "b@example.com", true),
        ("<a@example.net>", "<b@sub.example.org>", true),
        ("<a@example.net>", "<b@example.org.net>", true),
        ("<a@example.net>", "<\"@example.org\"@example.com>", true),
        ("<a@example.net>", "<@example.org:b@example.com>", true),
        ("<>", "<b@example.com>", true),
        ("<root>", "<b@example.com>", false),
    ] {
        let text = format!("MAIL FROM:{sender}\r\nRCPT TO:{recipient}\r\n");
        let (got, fault, _) = both(|| relay(Action::DropConnection), &text);
        assert_eq!(fault, relays.then_some(Fault::MailRelay), "{text}");
        assert_eq!(got.ends_with("\r\n"), !relays);
        let mut middle = relay(Action::Log);
        assert_eq!(middle.client(&text), text);
        assert_eq!(middle.watch.notices.contains(&Notice::MailRelay), relays, "{text}");
    }
    assert!(Fault::MailRelay.drops());
}

#[test]
fn special_characters_by_each_action() {
    let start = |special_characters: SpecialCharacters| {
        let mut middle = Middle::new(&Personality { special_characters, ..ASA });
        middle.server("220 m\r\n");
        middle
    };
    for (line, has) in [
        ("MAIL FROM:<|a>", true),
        ("RCPT TO:<a`b`>", true),
        ("RCPT TO:a\0b", true),
        ("MAIL FROM:<a> X=|", false),
        ("HELO |", false),
        ("RCPT TO:<a>b>", false),
    ] {
        let text = format!("{line}\r\n");
        let (_, fault, _) = both(|| start(SpecialCharacters::DropConnection), &text);
        assert_eq!(fault, has.then_some(Fault::SpecialCharacter), "{line}");
        let mut middle = start(SpecialCharacters::Log);
        assert_eq!(middle.client(&text), text);
        let noticed = middle.watch.notices.contains(&Notice::SpecialCharacter);
        assert_eq!((noticed, middle.fault), (has, None), "{line}");
        let mut middle = start(SpecialCharacters::Pass);
        assert_eq!(middle.client(&text), text);
        assert_eq!(middle.watch.notices, [Notice::GreetingMasked]);
    }
}
