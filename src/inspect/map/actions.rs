//! What makes wait: `rate-limit`.

use std::borrow::Cow;
use std::sync::Arc;

use core::time::Duration;

use super::super::Notice;
use super::super::testing::Middle;
use super::{ASA, in_data};
use crate::policy::{Action, Class, Match, MimeEncoding, MimeEncodings, Personality, RateLimit};
use crate::smtp::{Keyword, KeywordSet, Verb, VerbSet};
use crate::time::Instant;

fn limited(matches: Match, rate: u32) -> Vec<Class> {
    vec![Class::new(matches, Action::RateLimit(Arc::new(RateLimit::new(rate))))]
}

fn start(map: Vec<Class>) -> Middle {
    let mut middle = Middle::new(&Personality { map: Cow::Owned(map), ..ASA });
    middle.watch.now = Instant::from_millis(5000);
    middle.server("220 m\r\n");
    middle.got(1);
    middle
}

/// A second later the client repeats what waits.
fn later(middle: &mut Middle, end: usize) -> String {
    middle.watch.now = middle.watch.now + Duration::from_secs(1);
    middle.repeat();
    middle.got(end)
}

#[test]
fn commands_wait_for_their_turn() {
    let noop = Match::CmdVerb(VerbSet::of(&[Verb::Noop]));
    let mut middle = start(limited(noop, 2));
    assert_eq!(
        middle.client("NOOP\r\nRSET\r\nNOOP\r\nNOOP a\r\nRSET\r\n"),
        "NOOP\r\nRSET\r\nNOOP\r\nNOOP"
    );
    middle.repeat();
    assert_eq!(middle.got(0), "", "not yet");
    assert_eq!(later(&mut middle, 0), " a\r\nRSET\r\n");
    assert_eq!(middle.fault, None);
    assert!(middle.watch.notices.contains(&Notice::RateLimited(1)));
    let matched = middle.watch.notices.iter().filter(|n| **n == Notice::ClassMatched(1)).count();
    assert_eq!(matched, 3, "each once");
}

#[test]
fn whatever_matches_can_wait() {
    let size = Match::EhloReplyParameter(KeywordSet::of(&[Keyword::Size]));
    let mut middle = start(limited(size, 1));
    middle.client("EHLO a\r\nEHLO b\r\n");
    let reply = "250-m\r\n250-SIZE\r\n250 DSN\r\n";
    assert_eq!(middle.server(&reply.repeat(2)), format!("{reply}250-m\r\n"));
    assert_eq!(later(&mut middle, 1), "250-SIZE\r\n250 DSN\r\n");

    let mut middle = start(limited(Match::CmdRcptCount(1), 1));
    assert_eq!(
        middle.client("RCPT TO:<a>\r\nRCPT TO:<b>\r\nRSET\r\nRCPT TO:<c>\r\nRCPT TO:<d>\r\n"),
        "RCPT TO:<a>\r\nRCPT TO:<b>\r\nRSET\r\nRCPT TO:<c>\r\nRCPT TO:<d>"
    );
    assert_eq!(later(&mut middle, 0), "\r\n");

    let mut middle = start(limited(Match::CmdLineLength(5), 1));
    assert_eq!(middle.client("NOOP a\r\nNOOP bcd\r\n"), "NOOP a\r\nNOOP ");
    assert_eq!(later(&mut middle, 0), "bcd\r\n", "a line matches once");

    let mut middle = start(limited(Match::InvalidRecipientsCount(0), 1));
    middle.client("RCPT TO:<a>\r\nMAIL FROM:<>\r\nRCPT TO:<b>\r\n");
    assert_eq!(middle.server("550 no\r\n250 ok\r\n550 no\r\n"), "550 no\r\n250 ok\r\n");
    assert_eq!(later(&mut middle, 1), "550 no\r\n");
}

#[test]
fn mail_data_waits_and_goes_on_where_it_stood() {
    let base64 = Match::MimeEncoding(MimeEncodings::of(&[MimeEncoding::Base64]));
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let part = "--b\r\nContent-Transfer-Encoding: base64\r\n\r\nQQ==\r\n";
    for strict in ["pass", "blank"] {
        let mut map = limited(base64.clone(), 1);
        map.extend(limited(Match::BodyLineLength(8), 7));
        let mut personality = Personality { map: Cow::Owned(map), ..ASA };
        personality.set("bare-line-ends", strict).unwrap();
        let mut middle = Middle::new(&personality);
        middle.server("220 m\r\n");
        middle.client("DATA\r\n");
        middle.server("354 go\r\n");
        middle.got(0);
        let text = format!("{head}{}123456789\r\n.\r\nNOOP\r\n", part.repeat(3));
        let mut got = middle.client(&text);
        assert!(got.len() < text.len() && text.starts_with(&got));
        let mut rounds = 0;
        while got.len() < text.len() && rounds < 9 {
            let more = later(&mut middle, 0);
            assert!(!more.is_empty());
            got += &more;
            rounds += 1;
        }
        assert_eq!((got, rounds, middle.fault), (text, 2, None), "{strict}");
        let matched =
            middle.watch.notices.iter().filter(|n| **n == Notice::ClassMatched(1)).count();
        assert_eq!(matched, 3, "each once");
    }
}

#[test]
fn an_end_of_mail_data_that_waits_is_still_one() {
    let mut middle = in_data(limited(Match::BodyLength(9), 1));
    middle.watch.now = Instant::from_millis(5000);
    assert_eq!(middle.client("\r\nabcdef\r\n.\r\nNOOP\r\n"), "\r\nabcdef\r\n.\r\nNOOP\r\n");
    let mut middle = in_data(limited(Match::BodyLength(5), 1));
    middle.client("\r\nabcdef\r\n.\r\nDATA\r\n");
    middle.server("250 ok\r\n354 go\r\n");
    middle.got(0);
    assert_eq!(middle.client("\r\n123\r\n.\r\nNOOP\r\n"), "\r\n123\r\n");
    assert_eq!(later(&mut middle, 0), ".\r\nNOOP\r\n");
}
