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
    (108_006, Severity::Debugging),
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
        let Report { connection, what } = report;
        let nobody =
            Connection { id: 0, client: NOWHERE, server: NOWHERE, client_leg: Leg::Outside };
        let of = connection.unwrap_or(nobody);
        let forward = || from_to(&of, Direction::ToServer);
        let text = match what {
            What::Built => built(&of),
            What::Teardown { ending, by, duration, octets } => {
                teardown(&of, *ending, *by, *duration, *octets)
            }
            What::Refused(verb) => {
                format!("Refused SMTP command {} {}", verb.unwrap_or("unknown"), forward())
            }
            What::AddressBlanked(line) => blanked(&of, line, shows_addresses),
            What::Matched { deed, rule, direction, line } => {
                matched(&of, *deed, rule, *direction, line, device, shows_addresses)
            }
            What::Reset { event, direction } => {
                let (what, ends) = (request(*direction), from_to(&of, *direction));
                let why = sentence(event.meaning());
                format!("Reset connection for SMTP {what} {ends}; {why}")
            }
            What::Terminated { drops } => {
                let reason = if *drops {
                    "inspector disconnected, dropped packet"
                } else {
                    "inspector reset unconditionally"
                };
                let ends = forward();
                format!("tcp flow {ends} terminated by inspection engine, reason - {reason}.")
            }
            What::TlsStarted => {
                let (client, server) = (end(of.client_end()), end(of.server_end()));
                format!("TLS started on ESMTP session between client {client} and server {server}")
            }
            What::SizeViolated { declared, actual } => {
                let ends = forward();
                format!(
                    "Detected ESMTP size violation {ends}; declared size is: {declared}, actual size is {actual}"
                )
            }
            What::Noticed(event, direction) => {
                format!("{} {}", sentence(event.meaning()), from_to(&of, *direction))
            }
            What::DuplicateSyn => {
                format!("Duplicate TCP SYN {} with different initial sequence number", forward())
            }
            What::UrgentCleared(direction) => {
                format!("Cleared TCP urgent flag {}", from_to(&of, *direction))
            }
            What::BufferFull(_) => "Data copy in proxy-mode exceeded the buffer limit".into(),
            What::Denied { ends, flags, reason } => denied(*ends, *flags, *reason),
            What::NoConnection { ends: (from, to), flags } => format!(
                "Deny TCP (no connection) from {} to {} flags {} on interface {}",
                bare(*from),
                bare(*to),
                flag_names(*flags),
                from.0.name()
            ),
            What::LimitReached { worker, name, times, meaning } => {
                format!("Worker {worker}: {name}, {times} times: {}", meaning.trim())
            }
        };
        Self { id: id_of(what), text, connection: *connection }
    }
}

/// The number of the message for what happened. It takes no text, so what the rate limit suppresses costs none.
pub(super) fn id_of(what: &What) -> u32 {
    match what {
        What::Built => 302_013,
        What::Teardown { .. } => 302_014,
        What::Refused(_) => REFUSED,
        What::AddressBlanked(_) => 108_002,
        What::Matched { deed: Deed::Received, .. } => 108_005,
        What::Matched { rule: Rule::SpecialCharacter, .. } => 108_003,
        What::Matched { .. } => 108_004,
        What::Reset { .. } => RESET,
        What::Terminated { .. } => 507_003,
        What::SizeViolated { .. } => 108_006,
        What::TlsStarted => 108_007,
        What::Noticed(..) => NOTICED,
        What::DuplicateSyn => 419_002,
        What::UrgentCleared(_) => 419_003,
        What::BufferFull(_) => 507_002,
        What::Denied { ends: ((Leg::Outside, _), _), .. } => 106_001,
        What::Denied { .. } => DENIED,
        What::NoConnection { .. } => 106_015,
        What::LimitReached { .. } => LIMIT_REACHED,
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

fn denied((from, to): (End, End), flags: u8, reason: DropReason) -> String {
    let ends = format!("from {} to {}", bare(from), bare(to));
    if from.0 == Leg::Outside {
        let flags = flag_names(flags);
        return format!("Inbound TCP connection denied {ends} flags {flags} on interface outside");
    }
    format!("Outbound TCP connection denied {ends}; {}", sentence(reason.meaning()))
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
) -> String {
    let ends = from_to(connection, direction);
    if *rule == Rule::SpecialCharacter && deed != Deed::Received {
        let (protocol, label) = match device {
            Device::Pix => ("ESMTP/SMTP", "Data"),
            Device::Asa => ("ESMTP", "Mail Address"),
        };
        let data = address(line, shows);
        return format!(
            "Terminating {protocol} connection; malicious pattern detected in the mail address {ends}. {label}:{data}"
        );
    }
    let (class, further) = match rule {
        Rule::Class(number, text) => ("Classification", format!("matched Class {number}: {text}")),
        Rule::MailRelay => ("Parameter", "mail-relay: No Mail Relay allowed".into()),
        Rule::SpecialCharacter => {
            ("Parameter", "special-character: Special character in mail address".into())
        }
    };
    let action = match deed {
        Deed::Received => "Received",
        Deed::Dropped => "Dropped",
        Deed::DroppedConnection => "Dropped connection for",
        Deed::ResetConnection => "Reset connection for",
        Deed::Masked => "Masked header flags for",
    };
    let what = request(direction);
    format!("ESMTP {class}: {action} ESMTP {what} {ends}; {further}")
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
mod tests;
