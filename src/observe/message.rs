//! A report as a message: its number, its severity and its text, word for word as the device has them.
//!
//! Sources: Cisco Secure Firewall ASA Series Syslog Messages; lines from the field where they differ from it (507003 has
//! severity 4 there, and what lists flags leaves a blank behind each). The numbers 100001 to 100008 are mailguard's own:
//! the device has nothing to say there.

use core::fmt::Write as _;
use core::time::Duration;

use crate::counters::{DropReason, Event};
use crate::direction::{Direction, Leg};
use crate::report::{Connection, Deed, End, Ending, Report, Rule, Severity, What};
use crate::wire::packet::flags;

use super::config::Device;

/// What stands in the place of a mail address.
const REDACTED: &str = "<redacted>";

/// The guard has something to say of itself.
pub(super) const SAID: u32 = 100_001;
/// Messages were suppressed by the rate limit.
pub(super) const SUPPRESSED: u32 = 100_002;
/// Reports were lost because too many came.
pub(super) const LOST: u32 = 100_003;
/// A limit was reached.
pub(super) const LIMIT_REACHED: u32 = 100_004;
/// A command was refused.
pub(super) const REFUSED: u32 = 100_005;
/// A connection was reset for a reason that the device does not know.
pub(super) const RESET: u32 = 100_006;
/// A new connection from inside was denied.
pub(super) const DENIED: u32 = 100_007;
/// Something was edited.
pub(super) const NOTICED: u32 = 100_008;

/// Every message, with the severity that it has by itself.
pub const MESSAGES: &[(u32, Severity)] = &[
    (SAID, Severity::Notifications),
    (SUPPRESSED, Severity::Warnings),
    (LOST, Severity::Warnings),
    (LIMIT_REACHED, Severity::Warnings),
    (REFUSED, Severity::Informational),
    (RESET, Severity::Warnings),
    (DENIED, Severity::Warnings),
    (NOTICED, Severity::Debugging),
    (106_001, Severity::Critical),
    (106_015, Severity::Informational),
    (108_002, Severity::Critical),
    (108_003, Severity::Critical),
    (108_004, Severity::Warnings),
    (108_005, Severity::Informational),
    (108_007, Severity::Informational),
    (302_013, Severity::Informational),
    (302_014, Severity::Informational),
    (419_002, Severity::Warnings),
    (419_003, Severity::Warnings),
    (507_002, Severity::Warnings),
    (507_003, Severity::Warnings),
];

/// The severity that a message has by itself.
pub fn severity_of(id: u32) -> Severity {
    let known = MESSAGES.iter().find(|(number, _)| *number == id);
    known.map_or(Severity::Debugging, |(_, severity)| *severity)
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub id: u32,
    /// What it says.
    pub text: String,
    /// The connection that it is about.
    pub connection: Option<Connection>,
}

impl Message {
    /// A message about no connection.
    pub fn new(id: u32, text: String) -> Self {
        Self { id, text, connection: None }
    }

    /// Whether the device knows it, or only mailguard.
    pub fn is_own(&self) -> bool {
        self.id <= NOTICED
    }

    /// The message that `device` has for a report; mail addresses only if they are to be shown.
    pub fn of(report: &Report, device: Device, shows_addresses: bool) -> Self {
        let connection = report.connection;
        let nobody =
            Connection { id: 0, client: NOWHERE, server: NOWHERE, client_leg: Leg::Outside };
        let of = connection.unwrap_or(nobody);
        let (id, text) = match &report.what {
            What::Built => (302_013, built(&of)),
            What::Teardown { ending, by, duration, octets } => {
                (302_014, teardown(&of, *ending, *by, *duration, *octets))
            }
            What::Refused(verb) => {
                let verb = verb.unwrap_or("unknown");
                (
                    REFUSED,
                    format!("Refused SMTP command {verb} {}", from_to(&of, Direction::ToServer)),
                )
            }
            What::AddressBlanked(line) => (108_002, blanked(&of, line, shows_addresses)),
            What::Matched { deed, rule, direction, line } => {
                matched(&of, *deed, rule, *direction, line, device, shows_addresses)
            }
            What::Reset { event, direction } => {
                let (what, ends) = (request(*direction), from_to(&of, *direction));
                (
                    RESET,
                    format!(
                        "Reset connection for SMTP {what} {ends}; {}",
                        sentence(event.meaning())
                    ),
                )
            }
            What::Terminated { drops } => {
                let reason = if *drops {
                    "inspector disconnected, dropped packet"
                } else {
                    "inspector reset unconditionally"
                };
                let ends = from_to(&of, Direction::ToServer);
                (
                    507_003,
                    format!("tcp flow {ends} terminated by inspection engine, reason - {reason}."),
                )
            }
            What::TlsStarted => {
                let (client, server) = (end(of.client_end()), end(of.server_end()));
                let text = format!(
                    "TLS started on ESMTP session between client {client} and server {server}"
                );
                (108_007, text)
            }
            What::Noticed(event, direction) => {
                (NOTICED, format!("{} {}", sentence(event.meaning()), from_to(&of, *direction)))
            }
            What::DuplicateSyn => {
                let ends = from_to(&of, Direction::ToServer);
                (
                    419_002,
                    format!("Duplicate TCP SYN {ends} with different initial sequence number"),
                )
            }
            What::UrgentCleared(direction) => {
                (419_003, format!("Cleared TCP urgent flag {}", from_to(&of, *direction)))
            }
            What::BufferFull(_) => {
                (507_002, "Data copy in proxy-mode exceeded the buffer limit".into())
            }
            What::Denied { ends, flags, reason } => denied(*ends, *flags, *reason),
            What::NoConnection { ends: (from, to), flags } => (
                106_015,
                format!(
                    "Deny TCP (no connection) from {} to {} flags {} on interface {}",
                    bare(*from),
                    bare(*to),
                    flag_names(*flags),
                    from.0.name()
                ),
            ),
            What::LimitReached { worker, name, times, meaning } => {
                let meaning = meaning.trim();
                (LIMIT_REACHED, format!("Worker {worker}: {name}, {times} times: {meaning}"))
            }
        };
        Self { id, text, connection }
    }
}

const NOWHERE: core::net::SocketAddr =
    core::net::SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED), 0);

/// `<if>:<ip>/<port>`.
fn end((leg, address): End) -> String {
    format!("{}:{}", leg.name(), bare((leg, address)))
}

/// `<ip>/<port>`.
fn bare((_, address): End) -> String {
    format!("{}/{}", address.ip(), address.port())
}

fn from_to(connection: &Connection, direction: Direction) -> String {
    let (from, to) = connection.ends(direction);
    format!("from {} to {}", end(from), end(to))
}

/// The lower security side first, whoever began.
fn by_side(connection: &Connection) -> [End; 2] {
    let mut ends = [connection.client_end(), connection.server_end()];
    ends.sort_by_key(|(leg, _)| *leg);
    ends
}

fn built(connection: &Connection) -> String {
    let way = if connection.client_leg == Leg::Outside { "inbound" } else { "outbound" };
    let [outer, inner] = by_side(connection).map(|side| format!("{} ({})", end(side), bare(side)));
    format!("Built {way} TCP connection {} for {outer} to {inner}", connection.id)
}

fn teardown(
    connection: &Connection,
    ending: Ending,
    by: Option<Leg>,
    duration: Duration,
    octets: u64,
) -> String {
    let reason = match (ending, by) {
        (Ending::Fins, _) => "TCP FINs",
        (Ending::Reset, Some(Leg::Inside)) => "TCP Reset-I",
        (Ending::Reset, Some(Leg::Outside) | None) => "TCP Reset-O",
        (Ending::SynTimeout, _) => "SYN Timeout",
        (Ending::FinTimeout, _) => "FIN Timeout",
        (Ending::ConnTimeout, _) => "Conn-timeout",
        (Ending::Inspection, _) => "Flow closed by inspection",
        (Ending::ReceiverGone, _) => "Flow timed out with reset",
        (Ending::Cleared, _) => "Xlate Clear",
        (Ending::Fault, _) => "Unknown",
    };
    let [outer, inner] = by_side(connection).map(end);
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!(
        "Teardown TCP connection {} for {outer} to {inner} duration {hours}:{minutes:02}:{seconds:02} bytes {octets} {reason}",
        connection.id
    );
    if let Some(leg) = by {
        let _ = write!(text, " from {}", leg.name());
    }
    text
}

/// Cisco prints a blank behind each of them.
fn flag_names(octet: u8) -> String {
    const NAMES: [(u8, &str); 6] = [
        (flags::FIN, "FIN "),
        (flags::SYN, "SYN "),
        (flags::RST, "RST "),
        (flags::PSH, "PSH "),
        (flags::ACK, "ACK "),
        (flags::URG, "URG "),
    ];
    NAMES.iter().filter(|(flag, _)| octet & flag != 0).map(|(_, name)| *name).collect()
}

fn denied((from, to): (End, End), flags: u8, reason: DropReason) -> (u32, String) {
    let ends = format!("from {} to {}", bare(from), bare(to));
    if from.0 == Leg::Outside {
        let flags = flag_names(flags);
        let text =
            format!("Inbound TCP connection denied {ends} flags {flags} on interface outside");
        return (106_001, text);
    }
    (DENIED, format!("Outbound TCP connection denied {ends}; {}", sentence(reason.meaning())))
}

fn request(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "Request",
        Direction::ToClient => "Response",
    }
}

/// What a counter means, inside of another sentence.
fn sentence(meaning: &str) -> &str {
    meaning.trim().trim_end_matches('.')
}

/// What of a line may be printed.
fn printable(octets: &[u8]) -> String {
    let shown =
        |octet: &u8| if octet.is_ascii_graphic() || *octet == b' ' { *octet as char } else { '.' };
    octets.iter().map(shown).collect()
}

/// The address in the line of MAIL or RCPT, and what follows it.
fn address(line: &[u8], shows: bool) -> String {
    if !shows {
        return REDACTED.into();
    }
    let argument = line.iter().position(|octet| *octet == b':').map_or(0, |at| at + 1);
    printable(line.get(argument..).unwrap_or_default().trim_ascii())
}

fn blanked(connection: &Connection, line: &[u8], shows: bool) -> String {
    let character = if line.contains(&b'|') { "|" } else { ">" };
    let [outer, inner] = by_side(connection).map(|(_, address)| address.ip());
    format!("SMTP replaced {character}: out {outer} in {inner} data: {}", address(line, shows))
}

fn matched(
    connection: &Connection,
    deed: Deed,
    rule: &Rule,
    direction: Direction,
    line: &[u8],
    device: Device,
    shows: bool,
) -> (u32, String) {
    let ends = from_to(connection, direction);
    if *rule == Rule::SpecialCharacter && deed != Deed::Received {
        let (protocol, label) = match device {
            Device::Pix => ("ESMTP/SMTP", "Data"),
            Device::Asa => ("ESMTP", "Mail Address"),
        };
        let data = address(line, shows);
        let text = format!(
            "Terminating {protocol} connection; malicious pattern detected in the mail address {ends}. {label}:{data}"
        );
        return (108_003, text);
    }
    let (class, further) = match rule {
        Rule::Class(number, text) => ("Classification", format!("matched Class {number}: {text}")),
        Rule::MailRelay => ("Parameter", "mail-relay: No Mail Relay allowed".into()),
        Rule::SpecialCharacter => {
            ("Parameter", "special-character: Special character in mail address".into())
        }
    };
    let (id, action) = match deed {
        Deed::Received => (108_005, "Received"),
        Deed::Dropped => (108_004, "Dropped"),
        Deed::DroppedConnection => (108_004, "Dropped connection for"),
        Deed::ResetConnection => (108_004, "Reset connection for"),
        Deed::Masked => (108_004, "Masked header flags for"),
    };
    let what = request(direction);
    (id, format!("ESMTP {class}: {action} ESMTP {what} {ends}; {further}"))
}

/// Events that are edits of what one end said: what metrics call so.
pub const EDITS: &[Event] = &[
    Event::GreetingMasked,
    Event::CommandRefused,
    Event::KeywordHidden,
    Event::AddressBlanked,
    Event::OctetBlanked,
    Event::LineEndMended,
    Event::OptionCleared,
    Event::SynData,
    Event::ReservedCleared,
    Event::IpCleared,
    Event::TtlRaised,
    Event::UrgentCleared,
    Event::MssClamped,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(client_leg: Leg) -> Connection {
        let (outside, inside) =
            ("192.0.2.1:35314".parse().unwrap(), "10.0.25.101:25".parse().unwrap());
        match client_leg {
            Leg::Outside => {
                Connection { id: 89_743_274, client: outside, server: inside, client_leg }
            }
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
}
