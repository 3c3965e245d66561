//! A configuration as text: what it differs in from a device as delivered, so that the text makes it again.

use super::logging::{LogHost, SEVERITIES, Transport};
use super::settings::{Config, EsmtpMap, Family, MatchLine, ParameterAction, RegexName, Traffic};
use super::tcp::NamedTcpMap;
use super::value::time_text;
use crate::policy::{Action, Class, Match, Timeouts};

impl Config {
    /// The lines of `show running-config`. `hides` passwords behind asterisks.
    pub fn text(&self, hides: bool) -> String {
        let mut text = String::from(": Saved\n:\n");
        let mut line = |of: String| {
            text += &of;
            text.push('\n');
        };
        line(format!("personality {}", self.personality));
        for (knob, value) in &self.knobs {
            line(format!("knob {knob} {value}"));
        }
        line(format!("hostname {}", self.hostname()));
        for (words, password) in
            [("enable password", &self.enable_password), ("passwd", &self.login_password)]
        {
            if let Some(secret) = password {
                line(format!("{words} {}", secret.text(hides)));
            }
        }
        self.interface_lines(&mut line);
        for (name, expression) in &self.regexes {
            // A word that has a quote was typed without any around it: then it has no blank.
            let quote = if expression.contains('"') { "" } else { "\"" };
            line(format!("regex {name} {quote}{expression}{quote}"));
        }
        for class in &self.regex_classes {
            line(format!("class-map type regex match-any {}", class.name));
            for member in &class.members {
                line(format!(" match regex {member}"));
            }
        }
        self.guard_lines(&mut line);
        self.logging_lines(&mut line);
        if let Some(mss) = self.mss_max {
            line(format!("sysopt connection tcpmss {mss}"));
        }
        let Timeouts { conn, half_closed, embryonic } = self.timeouts;
        line(format!(
            "timeout conn {} half-closed {} embryonic {}",
            time_text(conn),
            time_text(half_closed),
            time_text(embryonic)
        ));
        line(": end".into());
        text
    }

    fn interface_lines(&self, line: &mut impl FnMut(String)) {
        for of in &self.interfaces {
            let (hardware, name, level) = (&of.hardware, &of.name, of.level);
            if matches!(self.family(), Family::Mailhost | Family::Fixup) {
                line(format!("nameif {hardware} {name} security{level}"));
                continue;
            }
            line("!".into());
            line(format!("interface {hardware}"));
            if !name.is_empty() {
                line(format!(" nameif {name}"));
            }
            line(format!(" security-level {level}"));
        }
        if !matches!(self.family(), Family::Mailhost | Family::Fixup) {
            line("!".into());
        }
    }

    fn guard_lines(&self, line: &mut impl FnMut(String)) {
        let family = self.family();
        for host in &self.mailhosts {
            let interfaces = host.interfaces.as_ref().map_or(String::new(), |of| format!("{of} "));
            let (outer, inner) = &host.addresses;
            let limits: String = host.limits.iter().map(|limit| format!(" {limit}")).collect();
            line(format!("mailhost {interfaces}{outer} {inner}{limits}"));
        }
        if matches!(family, Family::Fixup | Family::Own) {
            if !self.fixups.contains(&(25, 25)) {
                line("no fixup protocol smtp 25".into());
            }
            for (first, last) in &self.fixups {
                let last = if first == last { String::new() } else { format!("-{last}") };
                line(format!("fixup protocol smtp {first}{last}"));
            }
        }
        for class in &self.class_maps {
            line(format!("class-map {}", class.name));
            if let Some(text) = &class.description {
                line(format!(" description {text}"));
            }
            match class.traffic {
                Some(Traffic::Default) => line(" match default-inspection-traffic".into()),
                Some(Traffic::Any) => line(" match any".into()),
                Some(Traffic::Ports(first, last)) if first == last => {
                    line(format!(" match port tcp eq {first}"));
                }
                Some(Traffic::Ports(first, last)) => {
                    line(format!(" match port tcp range {first} {last}"));
                }
                None => {}
            }
        }
        for map in &self.esmtp_maps {
            esmtp_lines(map, line);
        }
        for NamedTcpMap { name, map } in &self.tcp_maps {
            line(format!("tcp-map {name}"));
            for (word, is_cleared) in [
                ("selective-ack", map.clears_sack),
                ("timestamp", map.clears_timestamps),
                ("window-scale", map.clears_window_scale),
            ] {
                if is_cleared {
                    line(format!("  tcp-options {word} clear"));
                }
            }
        }
        for map in &self.policy_maps {
            line(format!("policy-map {}", map.name));
            if let Some(text) = &map.description {
                line(format!(" description {text}"));
            }
            for class in &map.classes {
                line(format!(" class {}", class.class));
                match &class.inspect {
                    Some(Some(name)) => line(format!("  inspect esmtp {name}")),
                    Some(None) => line("  inspect esmtp".into()),
                    None => {}
                }
                if let Some(name) = &class.tcp_map {
                    line(format!("  set connection advanced-options {name}"));
                }
            }
        }
        for service in &self.service_policies {
            match &service.interface {
                Some(name) => line(format!("service-policy {} interface {name}", service.policy)),
                None => line(format!("service-policy {} global", service.policy)),
            }
        }
    }

    fn logging_lines(&self, line: &mut impl FnMut(String)) {
        let logging = &self.logging;
        if logging.is_enabled {
            let is_old = matches!(self.family(), Family::Mailhost | Family::Fixup);
            line(if is_old { "logging on" } else { "logging enable" }.into());
        }
        if logging.timestamp {
            line("logging timestamp".into());
        }
        for (word, level) in [
            ("console", logging.console),
            ("monitor", logging.monitor),
            ("buffered", logging.buffered),
            ("trap", logging.trap),
        ] {
            if let Some(name) = level.and_then(|level| SEVERITIES.get(usize::from(level))) {
                line(format!("logging {word} {name}"));
            }
        }
        if logging.facility != 20 {
            line(format!("logging facility {}", logging.facility));
        }
        for LogHost { interface, address, transport, port } in &logging.hosts {
            let transport = match (transport, port) {
                (Transport::Udp, 514) => String::new(),
                (Transport::Udp, port) => format!(" udp/{port}"),
                (Transport::Tcp, port) => format!(" tcp/{port}"),
            };
            line(format!("logging host {interface} {address}{transport}"));
        }
        for (id, level) in &logging.messages {
            match level.and_then(|level| SEVERITIES.get(usize::from(level))) {
                Some(name) => line(format!("logging message {id:06} level {name}")),
                None => line(format!("no logging message {id:06}")),
            }
        }
    }
}

fn esmtp_lines(map: &EsmtpMap, line: &mut impl FnMut(String)) {
    line(format!("policy-map type inspect esmtp {}", map.name));
    if let Some(text) = &map.description {
        line(format!(" description {text}"));
    }
    let has_parameters = map.masks_banner
        || map.allows_tls.is_some()
        || map.mail_relay.is_some()
        || map.special_character.is_some();
    if has_parameters {
        line(" parameters".into());
    }
    if map.masks_banner {
        line("  mask-banner".into());
    }
    let action = |action: &ParameterAction| match (action.drops, action.logs) {
        (true, true) => "drop-connection log",
        (true, false) => "drop-connection",
        (false, _) => "log",
    };
    if let Some((domain, what)) = &map.mail_relay {
        line(format!("  mail-relay {domain} action {}", action(what)));
    }
    if let Some(what) = &map.special_character {
        line(format!("  special-character action {}", action(what)));
    }
    match map.allows_tls {
        Some(true) => line("  allow-tls action log".into()),
        Some(false) => line("  allow-tls".into()),
        None => {}
    }
    for class in &map.classes {
        let regex = |words: &str, name: &RegexName| match name {
            RegexName::One(name) => format!("{words} regex {name}"),
            RegexName::Class(name) => format!("{words} regex class {name}"),
        };
        let text = match &class.matches {
            MatchLine::Plain(matches) => matches.text(),
            MatchLine::Sender(name) => regex("sender-address", name),
            MatchLine::Filetype(name) => regex("MIME filetype", name),
        };
        let not = if class.is_negated { "not " } else { "" };
        line(format!(" match {not}{text}"));
        if let (
            Some((action, logs)),
            MatchLine::Plain(_) | MatchLine::Sender(_) | MatchLine::Filetype(_),
        ) = (class.action.clone(), &class.matches)
        {
            let of = Class { action, logs, ..Class::new(Match::BodyLength(0), Action::Log) };
            line(format!("  {}", of.action_text()));
        }
    }
}
