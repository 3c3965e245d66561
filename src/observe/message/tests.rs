//! Each message against what the device prints.

use super::*;

fn connection(client_leg: Leg) -> Connection {
    let (outside, inside) = ("192.0.2.1:35314".parse().unwrap(), "10.0.25.101:25".parse().unwrap());
    match client_leg {
        Leg::Outside => Connection { id: 89_743_274, client: outside, server: inside, client_leg },
        Leg::Inside => Connection { id: 7, client: inside, server: outside, client_leg },
    }
}

fn shown(what: What, leg: Leg, device: Device, shows: bool) -> String {
    let report = Report { connection: Some(connection(leg)), what };
    let message = Message::of(&report, device, shows);
    assert!(MESSAGES.iter().any(|(id, _)| *id == message.id), "{message:?}");
    format!("{}-{}: {}", severity_of(message.id) as u8, message.id, message.text)
}

fn inbound(what: What) -> String {
    shown(what, Leg::Outside, Device::Asa, false)
}

fn class(deed: Deed, number: u8, text: &str, direction: Direction) -> What {
    What::Matched { deed, rule: Rule::Class(number, text.into()), direction, line: Vec::new() }
}

#[test]
fn lines_from_the_field_octet_for_octet() {
    let dropped =
        class(Deed::DroppedConnection, 4, "header line length gt 998", Direction::ToServer);
    assert_eq!(
        inbound(dropped),
        "4-108004: ESMTP Classification: Dropped connection for ESMTP Request from outside:192.0.2.1/35314 to inside:10.0.25.101/25; matched Class 4: header line length gt 998"
    );
    assert_eq!(
        inbound(What::Terminated { drops: true }),
        "4-507003: tcp flow from outside:192.0.2.1/35314 to inside:10.0.25.101/25 terminated by inspection engine, reason - inspector disconnected, dropped packet."
    );
    let teardown = What::Teardown {
        ending: Ending::Fins,
        by: Some(Leg::Outside),
        duration: Duration::from_millis(30_999),
        octets: 10_316,
    };
    assert_eq!(
        inbound(teardown),
        "6-302014: Teardown TCP connection 89743274 for outside:192.0.2.1/35314 to inside:10.0.25.101/25 duration 0:00:30 bytes 10316 TCP FINs from outside"
    );
}

#[test]
fn connections() {
    assert_eq!(
        inbound(What::Built),
        "6-302013: Built inbound TCP connection 89743274 for outside:192.0.2.1/35314 (192.0.2.1/35314) to inside:10.0.25.101/25 (10.0.25.101/25)"
    );
    assert_eq!(
        shown(What::Built, Leg::Inside, Device::Pix, false),
        "6-302013: Built outbound TCP connection 7 for outside:192.0.2.1/35314 (192.0.2.1/35314) to inside:10.0.25.101/25 (10.0.25.101/25)"
    );
    for (ending, by, words) in [
        (Ending::Reset, Some(Leg::Inside), "TCP Reset-I from inside"),
        (Ending::Reset, Some(Leg::Outside), "TCP Reset-O from outside"),
        (Ending::SynTimeout, None, "SYN Timeout"),
        (Ending::FinTimeout, None, "FIN Timeout"),
        (Ending::ConnTimeout, None, "Conn-timeout"),
        (Ending::Inspection, None, "Flow closed by inspection"),
        (Ending::ReceiverGone, None, "Flow timed out with reset"),
        (Ending::Cleared, None, "Xlate Clear"),
        (Ending::Fault, None, "Unknown"),
    ] {
        let (duration, octets) = (Duration::from_secs(36_610), 0);
        let text = inbound(What::Teardown { ending, by, duration, octets });
        assert!(text.ends_with(&format!(" duration 10:10:10 bytes 0 {words}")), "{text}");
    }
}

#[test]
fn what_the_policy_map_does() {
    let ends = "from outside:192.0.2.1/35314 to inside:10.0.25.101/25";
    let back = "from inside:10.0.25.101/25 to outside:192.0.2.1/35314";
    for (deed, direction, wanted) in [
        (
            Deed::ResetConnection,
            Direction::ToServer,
            format!(
                "4-108004: ESMTP Classification: Reset connection for ESMTP Request {ends}; matched Class 2: cmd RCPT count gt 100"
            ),
        ),
        (
            Deed::Masked,
            Direction::ToClient,
            format!(
                "4-108004: ESMTP Classification: Masked header flags for ESMTP Response {back}; matched Class 2: cmd RCPT count gt 100"
            ),
        ),
        (
            Deed::Dropped,
            Direction::ToServer,
            format!(
                "4-108004: ESMTP Classification: Dropped ESMTP Request {ends}; matched Class 2: cmd RCPT count gt 100"
            ),
        ),
        (
            Deed::Received,
            Direction::ToServer,
            format!(
                "6-108005: ESMTP Classification: Received ESMTP Request {ends}; matched Class 2: cmd RCPT count gt 100"
            ),
        ),
    ] {
        assert_eq!(inbound(class(deed, 2, "cmd RCPT count gt 100", direction)), wanted);
    }
    let parameter = |deed, rule, line: &str| {
        let (direction, line) = (Direction::ToServer, line.into());
        What::Matched { deed, rule, direction, line }
    };
    assert_eq!(
        inbound(parameter(Deed::DroppedConnection, Rule::MailRelay, "")),
        format!(
            "4-108004: ESMTP Parameter: Dropped connection for ESMTP Request {ends}; mail-relay: No Mail Relay allowed"
        )
    );
    assert_eq!(
        inbound(parameter(Deed::Received, Rule::SpecialCharacter, "MAIL FROM:<`a`@b>")),
        format!(
            "6-108005: ESMTP Parameter: Received ESMTP Request {ends}; special-character: Special character in mail address"
        )
    );
}

#[test]
fn mail_addresses_are_shown_only_if_they_are_asked_for() {
    let line = b"MAIL FROM: <a|\x07b@example.com> SIZE=1".to_vec();
    let blanked = || What::AddressBlanked(line.clone());
    let hostile = || What::Matched {
        deed: Deed::DroppedConnection,
        rule: Rule::SpecialCharacter,
        direction: Direction::ToServer,
        line: line.clone(),
    };
    let ends = "from outside:192.0.2.1/35314 to inside:10.0.25.101/25";
    assert_eq!(
        inbound(blanked()),
        "2-108002: SMTP replaced |: out 192.0.2.1 in 10.0.25.101 data: <redacted>"
    );
    assert_eq!(
        inbound(hostile()),
        format!(
            "2-108003: Terminating ESMTP connection; malicious pattern detected in the mail address {ends}. Mail Address:<redacted>"
        )
    );
    let show = |what, device| shown(what, Leg::Outside, device, true);
    assert_eq!(
        show(blanked(), Device::Pix),
        "2-108002: SMTP replaced |: out 192.0.2.1 in 10.0.25.101 data: <a|.b@example.com> SIZE=1"
    );
    assert_eq!(
        show(hostile(), Device::Pix),
        format!(
            "2-108003: Terminating ESMTP/SMTP connection; malicious pattern detected in the mail address {ends}. Data:<a|.b@example.com> SIZE=1"
        )
    );
    for device in [Device::Pix, Device::Asa] {
        for what in [blanked(), hostile()] {
            assert!(!shown(what, Leg::Outside, device, false).contains("example"));
        }
    }
}

#[test]
fn packets() {
    let ends = (connection(Leg::Outside).client_end(), connection(Leg::Outside).server_end());
    assert_eq!(
        inbound(What::NoConnection { ends, flags: flags::RST | flags::ACK }),
        "6-106015: Deny TCP (no connection) from 192.0.2.1/35314 to 10.0.25.101/25 flags RST ACK  on interface outside"
    );
    let reason = DropReason::PerClientMax;
    assert_eq!(
        inbound(What::Denied { ends, flags: flags::SYN, reason }),
        "2-106001: Inbound TCP connection denied from 192.0.2.1/35314 to 10.0.25.101/25 flags SYN  on interface outside"
    );
    assert_eq!(
        inbound(What::Denied { ends: (ends.1, ends.0), flags: flags::SYN, reason }),
        "4-100007: Outbound TCP connection denied from 10.0.25.101/25 to 192.0.2.1/35314; The client has as many connections as it may (Cisco per-client-max)"
    );
    assert_eq!(
        inbound(What::DuplicateSyn),
        "4-419002: Duplicate TCP SYN from outside:192.0.2.1/35314 to inside:10.0.25.101/25 with different initial sequence number"
    );
    assert_eq!(
        inbound(What::UrgentCleared(Direction::ToClient)),
        "4-419003: Cleared TCP urgent flag from inside:10.0.25.101/25 to outside:192.0.2.1/35314"
    );
    assert_eq!(
        inbound(What::BufferFull(DropReason::MemoryFull)),
        "4-507002: Data copy in proxy-mode exceeded the buffer limit"
    );
}

#[test]
fn tls_and_what_the_device_does_not_know() {
    assert_eq!(
        inbound(What::TlsStarted),
        "6-108007: TLS started on ESMTP session between client outside:192.0.2.1/35314 and server inside:10.0.25.101/25"
    );
    assert_eq!(
        inbound(What::SizeViolated { declared: 500, actual: 501 }),
        "7-108006: Detected ESMTP size violation from outside:192.0.2.1/35314 to inside:10.0.25.101/25; declared size is: 500, actual size is 501"
    );
    assert_eq!(
        inbound(What::Refused(Some("EHLO"))),
        "6-100005: Refused SMTP command EHLO from outside:192.0.2.1/35314 to inside:10.0.25.101/25"
    );
    let (event, direction) = (Event::EarlyTalk, Direction::ToServer);
    assert_eq!(
        inbound(What::Reset { event, direction }),
        "4-100006: Reset connection for SMTP Request from outside:192.0.2.1/35314 to inside:10.0.25.101/25; A client that spoke before the greeting was reset"
    );
    assert_eq!(
        inbound(What::Noticed(Event::GreetingMasked, Direction::ToClient)),
        "7-100008: A greeting was masked from inside:10.0.25.101/25 to outside:192.0.2.1/35314"
    );
    let (worker, name, times, meaning) = (1, "memory-full", 3, " All of it.");
    assert_eq!(
        inbound(What::LimitReached { worker, name, times, meaning }),
        "4-100004: Worker 1: memory-full, 3 times: All of it."
    );
}

#[test]
fn an_ipv6_address_is_printed_as_it_is() {
    let mut connection = connection(Leg::Outside);
    connection.client = "[2001:db8:1::10]:40000".parse().unwrap();
    let report = Report { connection: Some(connection), what: What::TlsStarted };
    let text = Message::of(&report, Device::Asa, false).text;
    assert!(text.contains("client outside:2001:db8:1::10/40000 and"), "{text}");
}
