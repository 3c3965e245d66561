//! Traces of what is told: connections from beginning to end, and what happens in between.

use core::time::Duration;
use std::sync::Arc;

use super::rescue::faults;
use super::traces::{Trace, sealed};
use super::*;
use crate::direction::Direction;
use crate::direction::Leg;
use crate::policy::{
    Action, Class, MailRelay, Match, Personality, RateLimit, Refusal, SpecialCharacters,
};
use crate::report::{Connection, Deed, Ending, Report, Rule};
use crate::smtp::{Verb, VerbSet};
use crate::wire::packet::flags::{ACK, FIN, PSH, RST, SYN, URG};

fn told(trace: &mut Trace) -> Vec<What> {
    trace.engine.reports().drain().map(|report| report.what).collect()
}

/// A connection past its handshake, whose beginning was told.
fn open(personality: &Personality) -> Trace {
    let mut trace = Trace::new(personality);
    trace.engine.report(Some(Severity::Debugging));
    trace.handshake();
    assert_eq!(told(&mut trace), [What::Built]);
    trace
}

fn greeted(personality: &Personality) -> Trace {
    let mut trace = open(personality);
    trace.server(1, 1, ACK, "220 m\r\n");
    told(&mut trace);
    trace
}

fn teardown(ending: Ending, by: Option<Leg>, millis: u64, octets: u64) -> What {
    What::Teardown { ending, by, duration: Duration::from_millis(millis), octets }
}

fn after(trace: &mut Trace, millis: u64) {
    trace.now = trace.now + Duration::from_millis(millis);
    trace.deadline();
}

#[test]
fn a_connection_is_told_with_its_number_its_ends_and_what_it_carried() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.engine.number_connections(3, 4);
    trace.engine.report(Some(Severity::Informational));
    trace.handshake();
    let built: Vec<_> = trace.engine.reports().drain().collect();
    let connection = Connection {
        id: 3,
        client: "192.0.2.10:40000".parse().unwrap(),
        server: "198.51.100.25:25".parse().unwrap(),
        client_leg: Leg::Outside,
    };
    assert_eq!(built, [Report { connection: Some(connection), what: What::Built }]);
    trace.server(1, 1, ACK, "220 m\r\n");
    trace.now = trace.now + Duration::from_millis(2500);
    trace.client(1, 8, ACK, "QUIT\r\n");
    trace.server(8, 7, FIN | ACK, "221 bye\r\n");
    trace.client(7, 18, FIN | ACK, "");
    assert_eq!(told(&mut trace), []);
    trace.server(18, 8, ACK, "");
    assert_eq!(told(&mut trace), [teardown(Ending::Fins, Some(Leg::Inside), 2500, 22)]);
    trace.server(18, 8, ACK, "");
    after(&mut trace, 20_000);
    assert_eq!(told(&mut trace), [], "an end is told once");
    trace.handshake();
    let ids: Vec<_> = trace.engine.reports().drain().map(|r| r.connection.unwrap().id).collect();
    assert_eq!(ids, [7]);
}

#[test]
fn a_class_that_masks_or_limits_is_a_warning_and_one_that_only_logs_is_none() {
    let class = |verb, action| Class::new(Match::CmdVerb(VerbSet::of(&[verb])), action);
    let limit = Action::RateLimit(Arc::new(RateLimit::new(1)));
    let map = vec![
        class(Verb::Noop, limit),
        class(Verb::Rset, Action::Log),
        class(Verb::Vrfy, Action::Mask),
    ];
    let asa = Personality::named("asa94").unwrap().clone();
    let mut trace = greeted(&Personality { map: map.into(), ..asa });
    trace.engine.report(Some(Severity::Warnings));
    let mut matched = |seq: u32, line: &str| {
        trace.client(seq, 8, ACK, line);
        !told(&mut trace).is_empty()
    };
    assert!(!matched(1, "NOOP\r\n"), "the first one in a second passes");
    assert!(!matched(7, "RSET\r\n"));
    assert!(matched(13, "VRFY x\r\n"));
    assert!(matched(21, "NOOP\r\n"));
}

#[test]
fn a_command_that_ends_the_connection_counts_as_refused_and_nothing_else_that_does() {
    let refused = |personality: &Personality, line: &str| {
        let mut trace = greeted(personality);
        trace.client(1, 8, ACK, line);
        assert_eq!(trace.engine.counters().events(Event::InspectionReset), 1);
        trace.engine.counters().refusals(None)
    };
    let resets = Personality { refusal: Refusal::Reset, ..Personality::MAILGUARD };
    assert_eq!(refused(&resets, "EHLO me\r\n"), 1);
    let map = vec![Class::new(Match::CmdLineLength(5), Action::Reset)];
    let asa = Personality::named("asa94").unwrap().clone();
    assert_eq!(refused(&Personality { map: map.into(), ..asa }, "HELO me\r\n"), 0);
}

#[test]
fn octets_that_find_no_room_are_told() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.engine.config.bounds.memory = 1;
    trace.client(7, 8, ACK, "NOOP\r\n");
    assert_eq!(told(&mut trace), [What::BufferFull(DropReason::MemoryFull)]);
}

#[test]
fn with_nobody_listening_nothing_is_told() {
    let mut trace = Trace::open(&Personality::MAILGUARD);
    trace.client(1, 1, RST, "");
    assert!(trace.engine.reports().is_empty());
    // Who begins to listen hears of what happens from then on.
    trace.engine.report(Some(Severity::Informational));
    trace.client(1, 1, RST, "");
    assert_eq!(told(&mut trace), []);
    trace.engine.report(Some(Severity::Warnings));
    after(&mut trace, 20_000);
    trace.handshake();
    assert_eq!(told(&mut trace), []);
}

#[test]
fn resets_are_told_with_their_side_and_a_connection_that_lives_on_is_built_again() {
    let mut trace = open(&Personality::MAILGUARD);
    trace.server(1, 1, RST, "");
    assert_eq!(told(&mut trace), [teardown(Ending::Reset, Some(Leg::Inside), 0, 0)]);
    trace.server(1, 1, ACK, "220 m\r\n");
    assert_eq!(told(&mut trace).last(), Some(&What::Built));
    trace.client(1, 8, RST, "");
    assert_eq!(told(&mut trace), [teardown(Ending::Reset, Some(Leg::Outside), 0, 7)]);
}

#[test]
fn time_outs_are_told_by_what_was_waited_for() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.engine.report(Some(Severity::Informational));
    trace.client(0, 0, SYN, "");
    after(&mut trace, 30_000);
    assert_eq!(told(&mut trace)[1..], [teardown(Ending::SynTimeout, None, 30_000, 0)]);
    let mut trace = open(&Personality::MAILGUARD);
    after(&mut trace, 3_600_000);
    assert_eq!(told(&mut trace), [teardown(Ending::ConnTimeout, None, 3_600_000, 0)]);
    let mut trace = open(&Personality::MAILGUARD);
    trace.server(1, 1, FIN | ACK, "");
    after(&mut trace, 600_000);
    assert_eq!(told(&mut trace), [teardown(Ending::FinTimeout, None, 600_000, 0)]);
    let mut trace = open(&Personality::MAILGUARD);
    let now = trace.now;
    trace.engine.handle_control(
        now,
        Control::ClearFlows(Filter::default()),
        &mut Outbox::default(),
    );
    assert_eq!(told(&mut trace), [teardown(Ending::Cleared, None, 0, 0)]);
}

#[test]
fn a_half_open_connection_that_gives_way_is_told() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.engine.config.bounds.embryonic_max = 1;
    trace.engine.report(Some(Severity::Informational));
    trace.client(0, 0, SYN, "");
    let mut other = trace.craft(Leg::Outside, 0, 0, SYN, "");
    other[20] ^= 1;
    trace.send(Leg::Outside, sealed(other));
    let wanted = [What::Built, teardown(Ending::SynTimeout, None, 0, 0), What::Built];
    assert_eq!(told(&mut trace), wanted);
}

#[test]
fn a_fault_of_the_guard_takes_back_what_was_told_and_tells_the_end() {
    let mut trace = greeted(&Personality::MAILGUARD);
    faults::want(1);
    trace.client(1, 8, ACK, "VRFY a\r\n");
    assert_eq!(told(&mut trace), [teardown(Ending::Fault, None, 0, 0)]);
}

#[test]
fn refusals_are_told_and_counted_by_their_verb() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, "EHLO a\r\nHELP\r\nsugar\r\nX\r\nVRFYVRFYVRFYVRFY\r\n");
    let wanted = [Some("EHLO"), Some("HELP"), None, None, None].map(What::Refused);
    assert_eq!(told(&mut trace), wanted);
    let count =
        |verb: Option<Verb>| trace.engine.counters().refusals(verb.map(|verb| verb as usize));
    assert_eq!(count(Some(Verb::Help)), 1);
    assert_eq!(count(Some(Verb::Vrfy)), 0);
    assert_eq!(count(None), 3);
}

#[test]
fn a_class_that_drops_is_told_then_the_termination_then_the_end() {
    let mut trace = greeted(&Personality::ASA72);
    trace.client(1, 8, ACK, &format!("HELO {}\r\n", "a".repeat(600)));
    let rule = Rule::Class(1, "cmd line length gt 512".into());
    let (deed, direction) = (Deed::DroppedConnection, Direction::ToServer);
    let wanted = [
        What::Matched { deed, rule, direction, line: Vec::new() },
        What::Terminated { drops: true },
        teardown(Ending::Inspection, None, 0, 7),
    ];
    assert_eq!(told(&mut trace), wanted);
}

#[test]
fn classes_that_log_are_told_and_silent_ones_are_not() {
    let mut trace = greeted(&Personality::ASA72);
    trace.client(1, 8, ACK, "EHLO a\r\n");
    trace.server(8, 9, ACK, "250-m\r\n250 XYZZY\r\n");
    // Class 7 masks without a word; that a keyword is hidden is seen by who looks for it.
    assert_eq!(told(&mut trace), [What::Noticed(Event::KeywordHidden, Direction::ToClient)]);
    trace.client(9, 26, ACK, "DATA\r\n");
    trace.server(26, 15, ACK, "354 go\r\n");
    trace.client(15, 34, ACK, &format!("A: b\r\n\r\n{}", "a".repeat(700)));
    trace.server(34, 723, ACK, "");
    trace.client(723, 34, ACK, &"a".repeat(300));
    let rule = Rule::Class(3, "body line length gt 998".into());
    let (deed, direction) = (Deed::Received, Direction::ToServer);
    assert_eq!(told(&mut trace), [What::Matched { deed, rule, direction, line: Vec::new() }]);
}

#[test]
fn addresses_are_quoted_with_their_line() {
    let mut trace = greeted(&Personality::PIX6X);
    trace.client(1, 8, ACK, "NOOP\r\nMAIL FROM:<a|b@c>\r\nNOOP\r\n");
    assert_eq!(told(&mut trace), [What::AddressBlanked(b"MAIL FROM:<a|b@c>".to_vec())]);
    let dropping = Personality {
        special_characters: SpecialCharacters::DropConnection,
        ..Personality::MAILGUARD
    };
    let mut trace = greeted(&dropping);
    trace.client(1, 8, ACK, "MAIL FROM:<`id`@c>\r\n");
    let (rule, direction) = (Rule::SpecialCharacter, Direction::ToServer);
    let line = b"MAIL FROM:<`id`@c>".to_vec();
    let deed = Deed::DroppedConnection;
    assert_eq!(told(&mut trace)[0], What::Matched { deed, rule, direction, line });
    let relay = MailRelay { domain: "c".into(), action: Action::DropConnection, logs: true };
    for logs in [true, false] {
        let mail_relay = Some(MailRelay { logs, ..relay.clone() });
        let mut trace = greeted(&Personality { mail_relay, ..Personality::MAILGUARD });
        trace.client(1, 8, ACK, "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n");
        let first = told(&mut trace).swap_remove(0);
        assert_eq!(matches!(first, What::Matched { rule: Rule::MailRelay, .. }), logs);
        assert_eq!(first == What::Terminated { drops: true }, !logs);
    }
}

#[test]
fn a_flood_of_notices_fills_the_list_and_no_more() {
    let mut trace = greeted(&Personality::MAILGUARD);
    trace.client(1, 8, ACK, &"X\r\n".repeat(200));
    let (listed, lost) = (told(&mut trace).len(), trace.engine.reports().take_lost());
    assert_eq!(listed, crate::limits::REPORTS_MAX);
    assert!(lost > 0, "{lost}");
}

#[test]
fn packets_that_are_wrong_with_their_connection() {
    let mut trace = Trace::new(&Personality::MAILGUARD);
    trace.engine.report(Some(Severity::Informational));
    trace.server(1, 1, RST | ACK, "");
    let ends = (
        (Leg::Inside, "198.51.100.25:25".parse().unwrap()),
        (Leg::Outside, "192.0.2.10:40000".parse().unwrap()),
    );
    assert_eq!(told(&mut trace), [What::NoConnection { ends, flags: RST | ACK }]);
    trace.engine.config.bounds.per_client_embryonic_max = 1;
    trace.client(0, 0, SYN, "");
    trace.client(5, 0, SYN, "");
    assert_eq!(told(&mut trace), [What::Built, What::DuplicateSyn]);
    let mut other = trace.craft(Leg::Outside, 0, 0, SYN, "");
    other[20] ^= 1;
    trace.send(Leg::Outside, sealed(other));
    let denied = told(&mut trace);
    let reason = DropReason::PerClientEmbryonicMax;
    assert!(
        matches!(denied[..], [What::Denied { flags: SYN, reason: told, .. }] if told == reason),
        "{denied:?}"
    );
    let mut trace = greeted(&Personality::MAILGUARD);
    let mut urgent = trace.craft(Leg::Outside, 1, 8, ACK | PSH, "NOOP\r\n");
    urgent[33] |= URG;
    trace.send(Leg::Outside, sealed(urgent));
    assert_eq!(told(&mut trace), [What::UrgentCleared(Direction::ToServer)]);
}

#[test]
fn resets_for_reasons_of_the_guards_own_and_tls() {
    let mut trace = open(&Personality::MODERN);
    trace.client(1, 1, ACK, "EHLO a\r\n");
    let reset = What::Reset { event: Event::EarlyTalk, direction: Direction::ToServer };
    assert_eq!(told(&mut trace)[..2], [reset, What::Terminated { drops: false }]);
    let mut trace = greeted(&Personality::MODERN);
    trace.client(1, 8, ACK, "STARTTLS\r\n");
    trace.server(8, 11, ACK, "220 go\r\n");
    assert_eq!(told(&mut trace), [What::TlsStarted]);
}
