//! Where messages go.

/// How a log host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426.
    Udp,
    /// RFC 6587.
    Tcp,
}

/// `logging host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHost {
    /// The interface behind which it is.
    pub interface: String,
    /// Its address.
    pub address: core::net::IpAddr,
    /// How it is reached.
    pub transport: Transport,
    /// Its port.
    pub port: u16,
}

/// `logging`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// `logging enable` (`logging on`).
    pub is_enabled: bool,
    /// `logging timestamp`.
    pub timestamp: bool,
    /// Severities up to which messages go to each destination.
    pub console: Option<u8>,
    /// To sessions (`terminal monitor`).
    pub monitor: Option<u8>,
    /// To the buffer of `show logging`.
    pub buffered: Option<u8>,
    /// To the log hosts.
    pub trap: Option<u8>,
    /// `logging facility`, 16 to 23.
    pub facility: u8,
    /// `logging host`.
    pub hosts: Vec<LogHost>,
    /// `logging message ID level LEVEL`, and `no logging message ID`.
    pub messages: Vec<(u32, Option<u8>)>,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            is_enabled: false,
            timestamp: false,
            console: None,
            monitor: None,
            buffered: None,
            trap: None,
            facility: 20,
            hosts: Vec::new(),
            messages: Vec::new(),
        }
    }
}

/// Names of severities, from 0.
pub const SEVERITIES: [&str; 8] = [
    "emergencies",
    "alerts",
    "critical",
    "errors",
    "warnings",
    "notifications",
    "informational",
    "debugging",
];

/// A severity: its number or its name.
pub(super) fn severity(word: &str) -> Option<u8> {
    let by_name = SEVERITIES.iter().position(|name| name.eq_ignore_ascii_case(word));
    let by_number = || word.parse().ok().filter(|number: &usize| *number < 8);
    by_name.or_else(by_number).and_then(|number| u8::try_from(number).ok())
}
