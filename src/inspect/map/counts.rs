//! How often each class has matched: once for each thing, whatever its action, and however often it was looked at.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::testing::Middle;
use super::ASA;
use crate::policy::{Action, Class, Hide, Match, Matched, Personality, RateLimit};
use crate::smtp::{Keyword, KeywordSet, Verb, VerbSet};

/// A session with these classes, counted.
fn start(map: Vec<Class>, personality: Personality) -> (Middle, impl Fn() -> Vec<u64>) {
    let counted = |class| Class { matched: Matched::counted(), ..class };
    let map: Vec<_> = map.into_iter().map(counted).collect();
    let counts: Vec<_> = map.iter().map(|class| class.matched.clone()).collect();
    let mut middle = Middle::new(&Personality { map: Cow::Owned(map), ..personality });
    middle.watch.now = crate::time::Instant::from_millis(5000);
    middle.server("220 m\r\n");
    (middle, move || counts.iter().map(Matched::times).collect())
}

fn verbs(verbs: &[Verb]) -> Match {
    Match::CmdVerb(VerbSet::of(verbs))
}

#[test]
fn every_match_counts_also_a_silent_one_and_one_that_ends_the_connection() {
    let (mut middle, counts) = start(
        vec![
            Class::silent(verbs(&[Verb::Vrfy]), Action::Mask),
            Class::silent(verbs(&[Verb::Help]), Action::DropConnection),
            Class::new(Match::CmdLineLength(8), Action::Log),
            Class::silent(verbs(&[Verb::Noop]), Action::Mask).negated(),
        ],
        ASA,
    );
    assert_eq!(counts(), [0, 0, 0, 0]);
    middle.client("NOOP\r\nVRFY a\r\nVRFY bcdefghi\r\n");
    assert_eq!(counts(), [2, 0, 1, 2]);
    middle.client("HELP\r\nHELP\r\n");
    assert!(middle.fault.is_some());
    assert_eq!(counts(), [2, 1, 1, 2], "behind the end nothing matches");
}

#[test]
fn what_waits_counts_once_it_goes_on_and_so_does_what_matches_with_it() {
    let one = Action::RateLimit(Arc::new(RateLimit::new(1)));
    let (mut middle, counts) = start(
        vec![
            Class::new(verbs(&[Verb::Noop, Verb::Rset]), Action::Log),
            Class::silent(verbs(&[Verb::Noop]), one),
        ],
        ASA,
    );
    middle.client("NOOP\r\nNOOP\r\n");
    for _ in 0..5 {
        middle.repeat();
        assert_eq!(counts(), [1, 1], "the second one waits");
    }
    middle.watch.now = middle.watch.now + core::time::Duration::from_secs(1);
    middle.repeat();
    assert_eq!(counts(), [2, 2]);
}

#[test]
fn what_ends_the_connection_does_not_wait_for_a_limit_behind_it() {
    let one = Action::RateLimit(Arc::new(RateLimit::new(1)));
    let (mut middle, counts) = start(
        vec![
            Class::silent(verbs(&[Verb::Noop]), one.clone()),
            Class::silent(verbs(&[Verb::Noop, Verb::Help]), Action::Reset),
            Class::silent(verbs(&[Verb::Help]), one),
        ],
        ASA,
    );
    middle.client("HELP\r\n");
    assert!(middle.fault.is_some());
    assert_eq!(counts(), [0, 1, 0]);
}

#[test]
fn a_keyword_counts_once_however_its_line_comes() {
    let keywords = |words: &[Keyword]| Match::EhloReplyParameter(KeywordSet::of(words));
    for hide in [Hide::Mask, Hide::Remove] {
        let (mut middle, counts) = start(
            vec![
                Class::silent(keywords(&[Keyword::Size, Keyword::Dsn]), Action::Mask),
                Class::silent(keywords(&[Keyword::Dsn]), Action::Log),
                Class::silent(keywords(&[Keyword::Etrn]), Action::Mask).negated(),
            ],
            Personality { hide, ..ASA },
        );
        middle.client("EHLO a\r\n");
        for octet in "250-m\r\n250-SIZE 9\r\n250-DSN\r\n250-ETRN\r\n250 DSN\r\n".chars() {
            middle.server(&octet.to_string());
        }
        assert_eq!(counts(), [3, 2, 3], "{hide:?}");
    }
}

#[test]
fn mail_data_that_waits_is_measured_again_and_counts_once() {
    let one = Action::RateLimit(Arc::new(RateLimit::new(1)));
    let (mut middle, counts) = start(
        vec![
            Class::silent(Match::BodyLineLength(3), one),
            Class::new(Match::HeaderLineLength(3), Action::Log),
        ],
        ASA,
    );
    middle.client("DATA\r\n");
    middle.server("354 go\r\n");
    middle.got(0);
    assert_eq!(middle.client("A: b\r\n\r\nabcd\r\nefgh\r\n.\r\n"), "A: b\r\n\r\nabcd\r\nefg");
    assert_eq!(counts(), [1, 1]);
    middle.watch.now = middle.watch.now + core::time::Duration::from_secs(1);
    middle.repeat();
    assert_eq!((middle.got(0), counts()), ("h\r\n.\r\n".into(), vec![2, 1]));
}
