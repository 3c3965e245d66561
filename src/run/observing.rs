//! The options of `mailguard run` for logs and metrics.

use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crossbeam_channel::Sender;

use crate::config::{Config, Logging};
use crate::jail::{Cell, Warden};
use crate::observe::{
    Device, Host, LogConfig, Logger, RATE, Sources, Stamp, Transport, answer_prometheus,
};
use crate::report::Severity;

/// Where `--syslog` sends to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Destination {
    Host(Transport, String),
    Journald,
}

/// Logs and metrics.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logs and metrics")]
pub(super) struct ObserveArgs {
    /// Messages up to this severity are logged: 0 to 7, or emergencies, alerts, critical, errors, warnings,
    /// notifications, informational (the default), debugging.
    ///
    /// The messages are those of the PIX and ASA (%ASA-6-302013: Built inbound TCP connection ...), those that they do
    /// not have begin with %MAILGUARD-. Without another destination they go to standard error; without any of these
    /// options nothing is logged.
    #[arg(long, value_name = "LEVEL", value_parser = severity)]
    log_level: Option<Severity>,

    /// Logs to standard error.
    #[arg(long)]
    log_stderr: bool,

    /// Logs to the end of this file. It is opened once: rotate it by copying and truncating.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,

    /// Logs to a syslog host, udp:HOST[:PORT] (514) or tcp:HOST[:PORT] (1470), or to journald. Repeat it for more.
    ///
    /// An IPv6 address stands in brackets; a name is looked up once, at the start. Facility local4. A host over TCP
    /// that is away is tried again after 1 to 60 seconds; up to 256 KiB wait for it, what is more is counted and lost.
    #[arg(long = "syslog", value_name = "WHERE", value_parser = destination)]
    syslog: Vec<Destination>,

    /// Standard error and file get JSON, one object a line.
    #[arg(long)]
    log_json: bool,

    /// Mail addresses are shown in messages. Without this word they are <redacted>.
    #[arg(long)]
    log_addresses: bool,

    /// Messages of one number within a second, 0 for no limit. How many more there were is said when it is over.
    #[arg(long, value_name = "N", default_value_t = RATE)]
    log_rate: u32,

    /// Answers Prometheus on this address: GET /metrics. There is no password: choose one that only it can reach.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::named(text).ok_or_else(|| {
        let names: Vec<_> = Severity::ALL.iter().map(|severity| severity.name()).collect();
        format!("a level is 0 to 7, or one of {}", names.join(", "))
    })
}

fn destination(text: &str) -> Result<Destination, String> {
    if text == "journald" {
        return Ok(Destination::Journald);
    }
    let (transport, default, host) = match text.split_once(':') {
        Some(("udp", host)) => (Transport::Udp, 514, host),
        Some(("tcp", host)) => (Transport::Tcp, 1470, host),
        _ => return Err("give udp:HOST:PORT, tcp:HOST:PORT or journald".into()),
    };
    let bare = host.strip_suffix(']').map_or(host, |_| "");
    let (name, port) = bare.rsplit_once(':').unwrap_or((host, ""));
    let is_bracketed = name.starts_with('[') == name.ends_with(']');
    if name.is_empty() || !is_bracketed || (name.contains(':') && !name.starts_with('[')) {
        return Err("a host is a name, an IPv4 address, or an IPv6 address in brackets".into());
    }
    let port = if port.is_empty() { Ok(default) } else { port.parse::<u16>() };
    match port {
        Ok(port @ 1..) => Ok(Destination::Host(transport, format!("{name}:{port}"))),
        Ok(0) | Err(_) => Err("a port is between 1 and 65535".into()),
    }
}

impl ObserveArgs {
    /// What is logged, if anything; `personality` says whose messages.
    fn config(&self, personality: &str) -> Result<Option<LogConfig>, String> {
        let has_destination = self.log_file.is_some() || !self.syslog.is_empty();
        if !has_destination && !self.log_stderr && self.log_level.is_none() {
            return Ok(None);
        }
        let level = Some(self.log_level.unwrap_or(Severity::Informational));
        let mut hosts = Vec::new();
        for destination in &self.syslog {
            if let Destination::Host(transport, name) = destination {
                let looked_up = name.to_socket_addrs().map(|mut found| found.next());
                let address = looked_up
                    .map_err(|why| format!("--syslog: {name}: {why}"))?
                    .ok_or_else(|| format!("--syslog: {name} has no address"))?;
                hosts.push(Host { transport: *transport, address });
            }
        }
        let only = |wanted: bool| level.filter(|_| wanted);
        Ok(Some(LogConfig {
            enable: true,
            timestamp: Stamp::Cisco,
            device: Device::of_personality(personality),
            console: only(self.log_stderr || !has_destination),
            trap: only(!hosts.is_empty()),
            file: only(self.log_file.is_some()),
            journal: only(self.syslog.contains(&Destination::Journald)),
            hosts,
            shows_addresses: self.log_addresses,
            json: self.log_json,
            rate: self.log_rate,
            ..LogConfig::default()
        }))
    }

    /// Starts the logger. What it is to do may be said later.
    pub(super) fn logger(&self, wanted: &Config, warden: &mut Warden) -> Result<Logger, String> {
        let device = Device::of_personality(wanted.personality);
        let told = self.config(wanted.personality)?;
        let mut config = told.unwrap_or_else(|| LogConfig { device, ..LogConfig::default() });
        if wanted.logging != Logging::default() {
            config = config.following(&wanted.logging, device);
        }
        let file = self.log_file.as_ref().map(|path| {
            let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
            opened.map_err(|why| format!("--log-file: cannot open {}: {why}", path.display()))
        });
        let file: Option<File> = file.transpose()?;
        let logger = Logger::start(config, file, warden.settle(Cell::Logger));
        logger.map_err(|why| format!("cannot start the logger: {why}"))
    }

    /// Starts who answers Prometheus, if that is wanted; with where it listens.
    pub(super) fn metrics(
        &self,
        warden: &mut Warden,
    ) -> Result<Option<(SocketAddr, Sender<Sources>)>, String> {
        let Some(address) = self.metrics else { return Ok(None) };
        let bound = TcpListener::bind(address);
        let listener =
            bound.map_err(|why| format!("--metrics: cannot listen on {address}: {why}"))?;
        let address = listener.local_addr().unwrap_or(address);
        let sources = answer_prometheus(listener, warden.settle(Cell::Metrics));
        let sources = sources.map_err(|why| format!("cannot answer Prometheus: {why}"))?;
        Ok(Some((address, sources)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ObserveArgs,
    }

    fn config(words: &[&str]) -> Option<LogConfig> {
        let line = Line::try_parse_from([&["x"], words].concat()).expect("a good line");
        line.args.config("pix6x").expect("hosts that can be looked up")
    }

    #[test]
    fn without_options_nothing_is_logged() {
        assert_eq!(config(&[]), None);
        assert_eq!(config(&["--log-json", "--log-addresses", "--metrics", "127.0.0.1:9"]), None);
    }

    #[test]
    fn destinations_get_what_the_level_says() {
        let (informational, errors) = (Some(Severity::Informational), Some(Severity::Errors));
        let alone = config(&["--log-level", "3"]).expect("a destination");
        assert_eq!(
            (alone.console, alone.file, alone.trap, alone.journal),
            (errors, None, None, None)
        );
        assert_eq!((alone.device, alone.shows_addresses, alone.rate), (Device::Pix, false, RATE));
        let file = config(&["--log-file", "/dev/null"]).expect("a destination");
        assert_eq!((file.console, file.file), (None, informational));
        let words = [
            "--log-stderr",
            "--syslog",
            "journald",
            "--syslog",
            "udp:127.0.0.1",
            "--log-level",
            "errors",
        ];
        let all = config(&words).expect("destinations");
        assert_eq!((all.console, all.file, all.trap, all.journal), (errors, None, errors, errors));
        let address = "127.0.0.1:514".parse().expect("an address");
        assert_eq!(all.hosts, [Host { transport: Transport::Udp, address }]);
    }

    #[test]
    fn hosts_are_read_with_and_without_port() {
        let host = |transport, name: &str| Ok(Destination::Host(transport, name.into()));
        for (text, read) in [
            ("udp:log.example", host(Transport::Udp, "log.example:514")),
            ("tcp:192.0.2.1", host(Transport::Tcp, "192.0.2.1:1470")),
            ("tcp:192.0.2.1:601", host(Transport::Tcp, "192.0.2.1:601")),
            ("udp:[2001:db8::1]", host(Transport::Udp, "[2001:db8::1]:514")),
            ("udp:[2001:db8::1]:5140", host(Transport::Udp, "[2001:db8::1]:5140")),
            ("journald", Ok(Destination::Journald)),
        ] {
            assert_eq!(destination(text), read, "{text}");
        }
        for wrong in [
            "",
            "udp",
            "udp:",
            "tls:a",
            "udp:a:0",
            "udp:a:65536",
            "udp:2001:db8::1",
            "udp:[::1",
            "udp::514",
        ] {
            assert!(destination(wrong).is_err(), "{wrong}");
        }
        assert!(severity("8").is_err_and(|why| why.contains("debugging")));
    }
}
