//! What stands for a word of one's own in the syntax of a command: its name, how it looks, and what it is.

use core::time::Duration;

use super::logging::{SEVERITIES, Transport, severity};
use crate::policy::{Knob, MimeEncoding, PARAMETERS, Personality};
use crate::smtp::Verb;

/// A kind of word.
pub struct Kind {
    /// The name in the syntax, in capitals.
    pub name: &'static str,
    /// What it is, for `?`.
    pub about: &'static str,
    /// Whether a word is one.
    pub accepts: fn(&str) -> bool,
    /// All that it can be, if they can be counted.
    pub words: fn() -> Vec<&'static str>,
    /// It goes up to the end of the line.
    pub is_rest: bool,
}

fn none() -> Vec<&'static str> {
    Vec::new()
}

const fn kind(name: &'static str, about: &'static str, accepts: fn(&str) -> bool) -> Kind {
    Kind { name, about, accepts, words: none, is_rest: false }
}

/// All kinds.
pub static KINDS: &[Kind] = &[
    kind("NAME", "a name of up to 40 characters", is_name),
    kind("MAP", "the name of a policy map", is_name),
    kind("CLASS", "the name of a class map", is_name),
    kind("IFNAME", "the name of an interface: outside, inside", is_name),
    kind("HARDWARE", "the interface itself: ethernet0", is_name),
    kind("HOST", "the name of the device, up to 63 characters", is_host),
    kind("PASSWORD", "a password of up to 127 characters, or its hash", |word| {
        (1..=512).contains(&word.len())
    }),
    kind("PORT", "a TCP port, 1 to 65535", |word| port(word).is_some()),
    kind("PORTS", "a TCP port, or a range of them: 25-26", |word| ports(word).is_some()),
    kind("COUNT", "a number, 0 to 4294967295", |word| number(word).is_some()),
    kind("OCTETS", "octets, 1 to 4294967295", |word| number(word).is_some_and(|n| n > 0)),
    kind("RATE", "messages a second, 1 to 4294967295", |word| number(word).is_some_and(|n| n > 0)),
    kind("MSS", "octets, 48 to 65535", |word| {
        number(word).is_some_and(|n| (48..=65_535).contains(&n))
    }),
    kind("LEVEL", "a security level, 0 to 100", |word| number(word).is_some_and(|n| n <= 100)),
    kind("PRIVILEGE", "a privilege level, 0 to 15", |word| number(word).is_some_and(|n| n <= 15)),
    kind("SECURITY", "the word security and a level: security100", |word| security(word).is_some()),
    kind("TIME", "hours, minutes and seconds: 1:00:00", |word| time(word).is_some()),
    kind("ADDRESS", "an IPv4 or IPv6 address", |word| word.parse::<core::net::IpAddr>().is_ok()),
    kind("INTERFACES", "two interfaces: (inside,outside)", is_interfaces),
    kind("DOMAIN", "a mail domain", is_domain),
    kind("REGEX", "a regular expression of up to 100 characters", |word| {
        (1..=100).contains(&word.len())
    }),
    kind("LINES", "lines, 0 to 512; 0 is no pause", |word| number(word).is_some_and(|n| n <= 512)),
    Kind {
        name: "SEVERITY",
        about: "a severity, 0 to 7 or its name: messages up to it",
        accepts: |word| severity(word).is_some(),
        words: || SEVERITIES.to_vec(),
        is_rest: false,
    },
    kind("FACILITY", "16 to 23: local0 to local7", |word| {
        number(word).is_some_and(|facility| (16..=23).contains(&facility))
    }),
    kind("TRANSPORT", "udp/PORT or tcp/PORT", |word| transport(word).is_some()),
    kind("MESSAGE", "the number of a message: 106015", |word| {
        word.len() == 6 && number(word).is_some()
    }),
    Kind {
        name: "TEXT",
        about: "text up to the end of the line",
        accepts: |_| true,
        words: none,
        is_rest: true,
    },
    Kind {
        name: "VALUE",
        about: "its value; mailguard personality NAME lists them",
        accepts: |_| true,
        words: none,
        is_rest: true,
    },
    Kind {
        name: "VERB",
        about: "an SMTP command",
        accepts: |word| Verb::named(word.as_bytes()).is_some(),
        words: || Verb::ALL.iter().map(|verb| verb.name()).collect(),
        is_rest: false,
    },
    Kind {
        name: "PARAMETER",
        about: "a keyword of the reply to EHLO, or others",
        accepts: |word| {
            word.eq_ignore_ascii_case("others")
                || PARAMETERS.iter().any(|(name, _)| name.eq_ignore_ascii_case(word))
        },
        words: || PARAMETERS.iter().map(|(name, _)| *name).chain(["others"]).collect(),
        is_rest: false,
    },
    Kind {
        name: "ENCODING",
        about: "a MIME transfer encoding",
        accepts: |word| MimeEncoding::ALL.iter().any(|e| e.name().eq_ignore_ascii_case(word)),
        words: || MimeEncoding::ALL.iter().map(|encoding| encoding.name()).collect(),
        is_rest: false,
    },
    Kind {
        name: "PERSONALITY",
        about: "a personality",
        accepts: |word| Personality::named(word).is_some(),
        words: || Personality::ALL.iter().map(|personality| personality.name).collect(),
        is_rest: false,
    },
    Kind {
        name: "KNOB",
        about: "a knob of the personality",
        accepts: |word| Knob::named(word).is_some(),
        words: || crate::policy::KNOBS.iter().map(|knob| knob.name).collect(),
        is_rest: false,
    },
];

/// The kind of that name.
pub(super) fn kind_named(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

fn is_name(word: &str) -> bool {
    (1..=40).contains(&word.len()) && word.bytes().all(|octet| octet.is_ascii_graphic())
}

fn is_host(word: &str) -> bool {
    let is_allowed =
        |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    (1..=63).contains(&word.len()) && word.bytes().all(is_allowed)
}

fn is_domain(word: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
    (1..=255).contains(&word.len()) && word.bytes().all(is_allowed)
}

fn is_interfaces(word: &str) -> bool {
    let pair = word.strip_prefix('(').and_then(|word| word.strip_suffix(')'));
    pair.and_then(|pair| pair.split_once(','))
        .is_some_and(|(one, other)| is_name(one) && is_name(other))
}

/// `udp/514`; Cisco writes 17 and 6 too.
pub(super) fn transport(word: &str) -> Option<(Transport, u16)> {
    let (transport, port) = word.split_once('/')?;
    let transport = match transport {
        "udp" | "UDP" | "17" => Transport::Udp,
        "tcp" | "TCP" | "6" => Transport::Tcp,
        _ => return None,
    };
    Some((transport, self::port(port)?))
}

/// A number.
pub(super) fn number(word: &str) -> Option<u32> {
    word.parse().ok().filter(|_| word.bytes().all(|octet| octet.is_ascii_digit()))
}

/// A port: its number, or `smtp`.
pub fn port(word: &str) -> Option<u16> {
    if word.eq_ignore_ascii_case("smtp") {
        return Some(25);
    }
    number(word).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

/// A range of ports, or one.
pub(super) fn ports(word: &str) -> Option<(u16, u16)> {
    match word.split_once('-') {
        Some((first, last)) => {
            Some((port(first)?, port(last)?)).filter(|(first, last)| first <= last)
        }
        None => port(word).map(|port| (port, port)),
    }
}

/// `security100`.
pub(super) fn security(word: &str) -> Option<u32> {
    number(word.strip_prefix("security")?).filter(|level| *level <= 100)
}

/// `1:00:00`; 0:00:01 to 1193:00:00.
pub(super) fn time(word: &str) -> Option<Duration> {
    let mut parts = word.splitn(3, ':').map(number);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    let seconds = u64::from(hours) * 3600 + u64::from(minutes * 60 + seconds);
    let time = Duration::from_secs(seconds);
    (crate::limits::TIMEOUT_MIN..=crate::limits::TIMEOUT_MAX).contains(&time).then_some(time)
}

/// The same as text.
pub(super) fn time_text(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_look_like() {
        assert_eq!(ports("25"), Some((25, 25)));
        assert_eq!(ports("25-30"), Some((25, 30)));
        assert_eq!(ports("smtp"), Some((25, 25)));
        for wrong in ["", "0", "65536", "30-25", "25-", "-25", "+25", "2 5"] {
            assert_eq!(ports(wrong), None, "{wrong}");
        }
        assert_eq!(time("1:00:00"), Some(Duration::from_secs(3600)));
        assert_eq!(time_text(Duration::from_secs(3725)), "1:02:05");
        for wrong in ["1", "1:00", "0:00:00", "0:60:00", "0:0:60", "1194:0:0", "1:2:3:4", "::"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
        assert_eq!(security("security100"), Some(100));
        assert_eq!(security("security101"), None);
        assert!(is_interfaces("(inside,outside)") && !is_interfaces("(inside)"));
        assert!(!is_name(&"a".repeat(41)) && !is_name("") && is_name("a-b"));
    }

    #[test]
    fn what_can_be_counted_is_accepted() {
        for kind in KINDS {
            assert!((kind.words)().into_iter().all(kind.accepts), "{}", kind.name);
            assert_eq!(kind.name, kind.name.to_uppercase());
        }
    }
}
