//! What is logged, and where to: a plain value that can be replaced while the guard runs.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use crate::config::{Logging, Transport as Wanted};
use crate::report::Severity;

use super::message::{MESSAGES, severity_of};

/// The device that speaks: what messages begin with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// `%PIX-`.
    Pix,
    /// `%ASA-`.
    #[default]
    Asa,
}

impl Device {
    /// The device that a personality is of.
    pub fn of_personality(name: &str) -> Self {
        if name.starts_with("pix") { Self::Pix } else { Self::Asa }
    }

    /// The word in the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pix => "PIX",
            Self::Asa => "ASA",
        }
    }
}

/// The time in each message (`logging timestamp`), always UTC.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// None.
    #[default]
    Off,
    /// `Nov 25 2026 20:44:01`.
    Cisco,
    /// `logging timestamp rfc5424`: `2026-11-25T20:44:01Z`.
    Rfc5424,
}

/// How messages travel to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A datagram each.
    Udp,
    /// Lines (RFC 6587 section 3.4.2).
    Tcp,
}

/// Who gets messages (`logging host`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Host {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// What is said otherwise of one message (`logging message`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It is not made (`no logging message`).
    Off,
    /// It has another severity (`logging message ID level`).
    Level(Severity),
}

/// Octets of the buffer unless said otherwise (`logging buffer-size 4096`).
pub(super) const BUFFER_OCTETS: usize = 4096;

/// Facility local4.
pub(super) const FACILITY: u8 = 20;

/// Messages of one number within a second, unless said otherwise.
pub const RATE: u32 = 100;

/// The `logging` of the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Without it, nothing is logged anywhere (`logging enable`).
    pub enable: bool,
    /// Whether messages have the time.
    pub timestamp: Stamp,
    /// Who sends, if it is to be said (`logging device-id string`).
    pub device_id: Option<String>,
    /// What messages begin with.
    pub device: Device,
    /// Up to what goes to the buffer that can be read (`logging buffered`).
    pub buffered: Option<Severity>,
    /// How much of it is kept (`logging buffer-size`).
    pub buffer_octets: usize,
    /// Up to what goes to standard error (`logging console`).
    pub console: Option<Severity>,
    /// Up to what goes to those who look on (`logging monitor`).
    pub monitor: Option<Severity>,
    /// Up to what goes to the hosts (`logging trap`).
    pub trap: Option<Severity>,
    /// Up to what goes to the file that was opened at the start.
    pub file: Option<Severity>,
    /// Up to what goes to journald.
    pub journal: Option<Severity>,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Facility of messages to hosts, 16 to 23 (`logging facility`).
    pub facility: u8,
    /// What is said otherwise of single messages.
    pub messages: BTreeMap<u32, Rule>,
    /// Mail addresses are shown.
    pub shows_addresses: bool,
    /// Standard error and file get JSON, one object a line.
    pub json: bool,
    /// Messages of one number within a second; 0 is no limit. What is more is counted and said.
    pub rate: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            enable: false,
            timestamp: Stamp::Off,
            device_id: None,
            device: Device::Asa,
            buffered: None,
            buffer_octets: BUFFER_OCTETS,
            console: None,
            monitor: None,
            trap: None,
            file: None,
            journal: None,
            hosts: Vec::new(),
            facility: FACILITY,
            messages: BTreeMap::new(),
            shows_addresses: false,
            json: false,
            rate: RATE,
        }
    }
}

impl LogConfig {
    /// What the configuration language says, for a device; what it has no words for is as it was in `self`: the file,
    /// journald, JSON, mail addresses, the rate, the buffer's size.
    #[must_use]
    pub fn following(&self, logging: &Logging, device: Device) -> Self {
        let level = |number: u8| Severity::ALL.get(usize::from(number)).copied();
        let host = |host: &crate::config::LogHost| Host {
            transport: match host.transport {
                Wanted::Udp => Transport::Udp,
                Wanted::Tcp => Transport::Tcp,
            },
            address: SocketAddr::new(host.address, host.port),
        };
        let rule = |(id, severity): &(u32, Option<u8>)| {
            (*id, severity.and_then(level).map_or(Rule::Off, Rule::Level))
        };
        Self {
            enable: logging.is_enabled,
            timestamp: if logging.timestamp { Stamp::Cisco } else { Stamp::Off },
            device,
            buffered: logging.buffered.and_then(level),
            console: logging.console.and_then(level),
            monitor: logging.monitor.and_then(level),
            trap: logging.trap.and_then(level),
            hosts: logging.hosts.iter().map(host).collect(),
            facility: logging.facility,
            messages: logging.messages.iter().map(rule).collect(),
            ..self.clone()
        }
    }

    /// The severity of a message; nothing if it is off.
    pub fn severity(&self, id: u32) -> Option<Severity> {
        match self.messages.get(&id) {
            Some(Rule::Off) => None,
            Some(Rule::Level(severity)) => Some(*severity),
            None => Some(severity_of(id)),
        }
    }

    /// Up to which severity of their own messages have to be made, if `others` want those up to theirs.
    pub fn wanted(&self, others: Option<Severity>) -> Option<Severity> {
        let own = [self.buffered, self.console, self.trap, self.file, self.journal];
        let own = own.into_iter().flatten().max().filter(|_| self.enable);
        let level = own.max(others)?;
        // A message that was made more serious is wanted although by itself it would not be.
        let raised =
            MESSAGES.iter().filter(|(id, _)| self.severity(*id).is_some_and(|s| s <= level));
        raised.map(|(_, severity)| *severity).max().max(Some(level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_that_of_the_device() {
        let config = LogConfig::default();
        assert_eq!((config.enable, config.facility, config.buffer_octets), (false, 20, 4096));
        assert_eq!(config.wanted(None), None);
        assert!(!config.shows_addresses);
    }

    #[test]
    fn as_much_is_wanted_as_somebody_hears() {
        let mut config = LogConfig { console: Some(Severity::Errors), ..LogConfig::default() };
        config.trap = Some(Severity::Warnings);
        assert_eq!(config.wanted(None), None, "it is not enabled");
        assert_eq!(config.wanted(Some(Severity::Debugging)), Some(Severity::Debugging));
        config.enable = true;
        assert_eq!(config.wanted(None), Some(Severity::Warnings));
        assert_eq!(config.wanted(Some(Severity::Errors)), Some(Severity::Warnings));
    }

    #[test]
    fn a_message_can_be_made_more_serious_or_turned_off() {
        let mut config = LogConfig { enable: true, ..LogConfig::default() };
        config.console = Some(Severity::Errors);
        assert_eq!(config.severity(302_013), Some(Severity::Informational));
        config.messages.insert(302_013, Rule::Level(Severity::Alerts));
        assert_eq!(config.severity(302_013), Some(Severity::Alerts));
        assert_eq!(config.wanted(None), Some(Severity::Informational));
        config.messages.insert(302_013, Rule::Off);
        assert_eq!(config.severity(302_013), None);
        assert_eq!(config.wanted(None), Some(Severity::Errors));
    }

    #[test]
    fn the_configuration_language_is_followed_and_the_rest_stays() {
        let was = LogConfig { json: true, file: Some(Severity::Errors), ..LogConfig::default() };
        let host = crate::config::LogHost {
            interface: "inside".into(),
            address: "2001:db8::1".parse().unwrap(),
            transport: Wanted::Tcp,
            port: 1470,
        };
        let logging = Logging {
            is_enabled: true,
            timestamp: true,
            trap: Some(6),
            facility: 23,
            hosts: vec![host],
            messages: vec![(302_013, None), (106_015, Some(7))],
            ..Logging::default()
        };
        let config = was.following(&logging, Device::Pix);
        assert_eq!((config.enable, config.timestamp, config.facility), (true, Stamp::Cisco, 23));
        assert_eq!((config.trap, config.console), (Some(Severity::Informational), None));
        assert_eq!((config.json, config.file, config.device), (true, was.file, Device::Pix));
        let address = "[2001:db8::1]:1470".parse().unwrap();
        assert_eq!(config.hosts, [Host { transport: Transport::Tcp, address }]);
        assert_eq!(config.severity(302_013), None);
        assert_eq!(config.severity(106_015), Some(Severity::Debugging));
        let back = config.following(&Logging::default(), Device::Asa);
        assert_eq!(back, was);
    }

    #[test]
    fn devices_by_personality() {
        for (name, device) in
            [("pix40", "PIX"), ("pix6x", "PIX"), ("asa94", "ASA"), ("mailguard", "ASA")]
        {
            assert_eq!(Device::of_personality(name).name(), device);
        }
    }
}
