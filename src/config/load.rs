//! A configuration from text, such as a file.

use super::command::{Editor, Mode, Refused, Run};
use super::language::{Fault, edit, is_of_another_version, read};
use super::settings::Config;
use super::word::words;
use crate::limits::CONFIG_ERRORS_MAX;
use crate::policy::Personality;

/// What was said of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The line, from 1.
    pub line: usize,
    /// The octet of it that is meant, from 0.
    pub column: usize,
    /// The line itself.
    pub text: String,
    /// What is to be said.
    pub what: What,
}

/// What is to be said of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is wrong.
    Error(String),
    /// The device knows it, mailguard does not do it.
    Unsupported(String),
    /// It was done, and something is to be said.
    Note(String),
}

impl Remark {
    /// Whether the line is wrong.
    pub fn is_error(&self) -> bool {
        matches!(self.what, What::Error(_))
    }

    /// For people: where, what, the line, and a caret under what is meant.
    pub fn show(&self, file: &str) -> String {
        let (line, column) = (self.line, self.column + 1);
        let (kind, text) = match &self.what {
            What::Error(text) => ("error", text.strip_prefix("ERROR: ").unwrap_or(text)),
            What::Unsupported(text) => ("unsupported", text.as_str()),
            What::Note(text) => ("note", text.strip_prefix("INFO: ").unwrap_or(text)),
        };
        let text = text.strip_prefix("% ").unwrap_or(text);
        let head = format!("{file}:{line}:{column}: {kind}: {text}\n");
        // A line may hold anything.
        let shown: String =
            self.text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let before = self.text.get(..self.column).map_or(0, |text| text.chars().count());
        if matches!(self.what, What::Note(_)) || before > 200 {
            return head;
        }
        format!("{head}  {shown}\n  {}^\n", " ".repeat(before))
    }
}

/// Words that begin lines of the device which mean nothing here.
const UNSUPPORTED: &[&str] = &[
    "aaa",
    "aaa-server",
    "access-group",
    "access-list",
    "age",
    "alias",
    "arp",
    "asdm",
    "auth-prompt",
    "auto-update",
    "banner",
    "boot",
    "ca",
    "call-home",
    "cipc",
    "clock",
    "command-alias",
    "conduit",
    "config-register",
    "crypto",
    "Cryptochecksum",
    "default-group",
    "dhcp-client",
    "dhcpd",
    "dhcprelay",
    "dns",
    "dns-group",
    "domain-name",
    "dynamic-access-policy-record",
    "dynamic-map",
    "eigrp",
    "encryption",
    "established",
    "failover",
    "filter",
    "fips",
    "firewall",
    "floodguard",
    "flow-export",
    "fragment",
    "ftp",
    "ftp-map",
    "gdoi",
    "global",
    "group-object",
    "group-policy",
    "gtp-map",
    "http",
    "http-map",
    "icmp",
    "icmp-object",
    "ip",
    "ipsec",
    "ipv6",
    "isakmp",
    "key",
    "l2tp",
    "ldap",
    "license",
    "lifetime",
    "lacp",
    "mac-address",
    "management-access",
    "management-only",
    "mgcp-map",
    "mode",
    "monitor-interface",
    "mroute",
    "mtu",
    "multicast-routing",
    "name",
    "name-server",
    "names",
    "nat",
    "nat-control",
    "network-object",
    "ntp",
    "object",
    "object-group",
    "ospf",
    "outbound",
    "apply",
    "pager",
    "pdm",
    "pim",
    "port-object",
    "prefix-list",
    "priority-queue",
    "privilege",
    "prompt",
    "protocol-object",
    "queue-limit",
    "rip",
    "route",
    "route-map",
    "router",
    "rtp-conformance",
    "same-security-traffic",
    "service",
    "service-object",
    "set",
    "setup",
    "shun",
    "sla",
    "smtp-server",
    "snmp",
    "snmp-map",
    "snmp-server",
    "speed",
    "ssh",
    "ssl",
    "static",
    "subject-name",
    "telnet",
    "terminal",
    "tftp-server",
    "threat-detection",
    "track",
    "tunnel-group",
    "url-block",
    "url-cache",
    "url-server",
    "username",
    "user-identity",
    "virtual",
    "vlan",
    "vpdn",
    "vpn",
    "vpnclient",
    "wccp",
    "webvpn",
    "xlate",
    "zonelabs-integrity",
    "duplex",
    "shutdown",
    "subnet",
    "host",
    "range",
    "exit",
    "quit",
    "end",
    "enrollment",
    "certificate",
    "parameters",
    "message-length",
    "keypair",
    "crl",
    "proxy-ldc-issuer",
    "validation-usage",
    "member",
    "user-message",
    "email",
];

/// Longer lines that mean nothing here though their first word does.
const UNSUPPORTED_LINES: &[&str] = &[
    "clear configure",
    "class-map type",
    "description",
    "fixup protocol",
    "inspect",
    "interface",
    "logging",
    "match",
    "policy-map type",
    "security-level",
    "service-policy",
    "sysopt",
    "timeout",
    "passwd",
    "password",
    "enable password",
    "nameif",
    "set",
    "mask",
    "class",
    "no",
];

/// A text read.
#[derive(Debug)]
pub struct Loaded {
    /// What came of it.
    pub config: Config,
    /// What is to be said of lines.
    pub remarks: Vec<Remark>,
}

impl Loaded {
    /// Whether a line is wrong.
    pub fn has_errors(&self) -> bool {
        self.remarks.iter().any(Remark::is_error)
    }
}

/// Reads a configuration: a saved one (`: Saved`, `PIX Version`) is all that there is, another one is what would be
/// typed at a new device. Lines that mean something else are told, all of them; behind too many that are wrong, no line
/// is read any more.
pub fn load(text: &str, hash: fn(&str) -> String) -> Loaded {
    let mut loaded = Loaded { config: Config::default(), remarks: Vec::new() };
    let mut mode = Mode::Config;
    // The block of an unsupported line: what is indented behind it belongs to it.
    let mut skips = false;
    let mut has_begun = false;
    let mut errors = 0;
    // A saved text says all that there is; another one is typed at a new device.
    let is_whole = text.lines().map(str::trim).find(|line| !line.is_empty() && *line != "!");
    let is_saved = is_whole.is_some_and(|line| line.starts_with(": Saved"));
    let is_whole = is_saved || is_whole.is_some_and(|line| version(line).is_some());
    let new = if is_whole { Config::bare } else { Config::factory };
    loaded.config = new(Personality::MAILGUARD.name);
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['!', ':']) {
            continue;
        }
        let is_indented = line.starts_with([' ', '\t']);
        if !is_indented {
            (mode, skips) = (Mode::Config, false);
        }
        let mut remark = |column, what| {
            loaded.remarks.push(Remark { line: at + 1, column, text: line.into(), what });
        };
        if let Some(personality) = version(trimmed) {
            if !has_begun {
                loaded.config = new(personality.name);
            }
            has_begun = true;
            remark(0, What::Note(format!("the personality is {}", personality.name)));
            continue;
        }
        if skips {
            remark(
                line.len() - line.trim_start().len(),
                What::Unsupported("it belongs to the line before".into()),
            );
            continue;
        }
        let family = loaded.config.family();
        let done = match read(line, &mode, family) {
            Ok(command) => match command.command.run {
                Run::Edit(_) => {
                    let is_first = !has_begun && command.args.has("PERSONALITY");
                    if let Some(personality) = command
                        .args
                        .get("PERSONALITY")
                        .and_then(Personality::named)
                        .filter(|_| is_first)
                    {
                        loaded.config = new(personality.name);
                    }
                    has_begun = true;
                    let mut editor = Editor {
                        config: &mut loaded.config,
                        mode: &mut mode,
                        notes: Vec::new(),
                        hash,
                    };
                    let done = edit(&command, &mut editor).map_err(Fault::Refused);
                    // That a level is a default matters to who types, not to a file that goes on to say it.
                    let is_interface = matches!(editor.mode, Mode::Interface(_));
                    for note in editor.notes.into_iter().filter(|_| !is_interface) {
                        remark(0, What::Note(note));
                    }
                    done
                }
                Run::Deed(_) if matches!(trimmed, "exit" | "quit" | "end") => {
                    mode = mode.outer().unwrap_or(Mode::Config);
                    if mode == Mode::Privileged {
                        mode = Mode::Config;
                    }
                    Ok(())
                }
                Run::Deed(_) => Err(Fault::Refused(Refused {
                    column: 0,
                    why: "it does something, and sets nothing: not in a configuration".into(),
                })),
            },
            Err(fault) => Err(fault),
        };
        let Err(fault) = done else { continue };
        let indent = line.len() - line.trim_start().len();
        let is_wrong = matches!(fault, Fault::Refused(_) | Fault::TooLong);
        let (column, what) = if is_wrong {
            (fault.column(), What::Error(fault.text(line)))
        } else if is_of_another_version(line, &mode, family) {
            skips = true;
            (indent, What::Error(format!("{} has it not", loaded.config.personality)))
        } else if is_unsupported(trimmed) {
            // What is indented behind it is its own, unless it is a line inside of a block itself.
            skips = !is_indented;
            (indent, What::Unsupported("mailguard does nothing of this kind".into()))
        } else {
            (fault.column(), What::Error(fault.text(line)))
        };
        errors += usize::from(matches!(what, What::Error(_)));
        if errors > CONFIG_ERRORS_MAX {
            remark(column, What::Error("too many lines are wrong: the rest is not read".into()));
            break;
        }
        remark(column, what);
    }
    if is_saved && !text.lines().any(|line| line.trim() == ": end") {
        // What it lacks may be what is to be guarded.
        let (line, last) = text.lines().enumerate().last().unwrap_or_default();
        let why = "the end is missing: a saved configuration ends with the line ': end'";
        let (line, what) = (line + 1, What::Error(why.into()));
        loaded.remarks.push(Remark { line, column: 0, text: last.into(), what });
    }
    loaded
}

/// Whether the device has a line of that beginning.
fn is_unsupported(line: &str) -> bool {
    let line = line.strip_prefix("no ").unwrap_or(line);
    let first = words(line).first().map_or("", |word| word.text);
    let first = first.split(':').next().unwrap_or_default();
    let begins = |start: &&str| {
        line.strip_prefix(*start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    UNSUPPORTED.contains(&first) || (UNSUPPORTED_LINES.iter().any(begins) && !is_ours(line))
}

/// Whether a line is one of those that mailguard understands but for a word in it: a mistake, not another command.
fn is_ours(line: &str) -> bool {
    const OURS: &[&str] = &[
        "fixup protocol smtp",
        "inspect esmtp",
        "policy-map type inspect esmtp",
        "class-map type regex",
        "timeout conn",
        "timeout half-closed",
        "timeout embryonic",
        "match cmd",
        "match body",
        "match header",
        "match ehlo-reply-parameter",
        "match invalid-recipients",
        "match sender-address",
        "match regex",
        "match not",
        "match port",
        "sysopt connection tcpmss",
        "logging host",
        "logging trap",
        "logging buffered",
        "logging console",
        "logging monitor",
        "logging facility",
        "logging message",
        "enable password",
        "passwd",
        "password",
        "nameif",
        "security-level",
        "service-policy",
        "class ",
        "description",
    ];
    OURS.iter().any(|ours| line.to_ascii_lowercase().starts_with(ours))
}

/// `PIX Version 6.3(5)`: the personality of that version.
fn version(line: &str) -> Option<&'static Personality> {
    let (device, rest) = line.split_once(" Version ")?;
    let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let at = (parts.next()?, parts.next().unwrap_or_default());
    let is_device = matches!(device, "PIX" | "ASA" | "FWSM" | "Cisco PIX");
    let name = match at {
        _ if !is_device => return None,
        (4, 0) => "pix40",
        (4, 1) => "pix41",
        (4, 2 | 3) => "pix42",
        (4, _) | (5, 0) => "pix44",
        (5, _) => "pix5x",
        (6, _) => "pix6x",
        (7, 0 | 1) => "asa70",
        (7 | 8, _) | (9, 0..=3) => "asa72",
        _ => "asa94",
    };
    Personality::named(name)
}
