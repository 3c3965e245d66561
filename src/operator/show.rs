//! What `show` prints. Shapes are those of the device where samples of them are public: `show conn`, `show
//! service-policy`, `show asp drop`, `show fixup`.

use std::time::Duration;

use super::device::Guard;
use crate::config::{Args, Config, Family, Logging, SEVERITIES, port};
use crate::counters::{Counters, DropReason, Event};
use crate::flow::View;
use crate::policy::Greeting;
use crate::report::End;

/// `1 hour 2 mins`, as `show version` has it.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [
        (seconds / 86_400, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "sec"),
    ];
    let shown = parts.iter().skip_while(|(count, unit)| *count == 0 && *unit != "sec").take(2);
    let words =
        shown.map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }));
    words.collect::<Vec<_>>().join(" ")
}

/// `1m35s`, as `show conn detail` has it.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m"),
    }
}

/// `0:01:35`.
fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `show version`.
pub(super) fn version(config: &Config, guard: &dyn Guard) -> String {
    let (version, hostname) = (env!("CARGO_PKG_VERSION"), config.hostname());
    let personality = crate::policy::Personality::named(config.personality);
    let about = personality.map_or("", |personality| personality.about);
    format!(
        "mailguard Version {version}\n\n{hostname} up {}\n\nPersonality: {}\n  {about}\n",
        spoken(guard.uptime()),
        config.personality
    )
}

/// `show conn`.
pub(super) fn conn(views: &[View], count: usize, peak: u64, is_detailed: bool) -> String {
    let peak = peak.max(count as u64);
    let mut text = format!("{count} in use, {peak} most used\n");
    for view in views {
        let (client, server) = (view.connection.client_end(), view.connection.server_end());
        let octets = view.octets.0 + view.octets.1;
        if !is_detailed {
            let (client, server) = (plain(client), plain(server));
            text += &format!(
                "TCP {client} {server}, idle {}, bytes {octets}, flags {}\n",
                long(view.idle),
                view.flags
            );
            continue;
        }
        text += &format!(
            "TCP {} {},\n    flags {}, idle {}, uptime {}, timeout {}, bytes {octets}\n",
            colon(client),
            colon(server),
            view.flags,
            short(view.idle),
            short(view.uptime),
            short(view.timeout)
        );
        let refused = view.refused.map_or(String::new(), |verb| format!(", last refused {verb}"));
        text += &format!(
            "    connection {}, personality {}, state {}, edits {}{refused}, memory {}\n",
            view.connection.id, view.personality.name, view.state, view.edits, view.memory
        );
    }
    if views.len() < count && !views.is_empty() {
        text += &format!("{} more\n", count - views.len());
    }
    text
}

fn plain((leg, address): End) -> String {
    format!("{}  {address}", leg.name())
}

fn colon((leg, address): End) -> String {
    format!("{}: {}/{}", leg.name(), address.ip(), address.port())
}

/// `show fixup`.
pub(super) fn fixup(config: &Config) -> String {
    if config.family().has_service_policies() {
        return "INFO: see show service-policy\n".into();
    }
    let lines = config.text(true);
    let ours = lines.lines().filter(|line| line.contains("fixup protocol"));
    ours.map(|line| format!("{line}\n")).collect()
}

/// `show mailhost`.
pub(super) fn mailhosts(config: &Config) -> String {
    let lines = config.text(true);
    let ours = lines.lines().filter(|line| line.starts_with("mailhost"));
    ours.map(|line| format!("{line}\n")).collect()
}

/// `show service-policy`.
pub(super) fn service_policy(config: &Config, counters: &Counters, with_classes: bool) -> String {
    let mut text = String::new();
    for service in &config.service_policies {
        match &service.interface {
            Some(name) => text += &format!("\nInterface {name}:\n"),
            None => text += "\nGlobal policy: \n",
        }
        text += &format!("  Service-policy: {}\n", service.policy);
        let map = config.policy_maps.iter().find(|map| map.name == service.policy);
        for class in map.into_iter().flat_map(|map| &map.classes) {
            text += &format!("    Class-map: {}\n", class.class);
            let Some(inspect) = &class.inspect else { continue };
            let name = inspect.as_deref().unwrap_or("_default_esmtp_map");
            let drops = counters.drops(DropReason::FlowEnded);
            let resets = inspection_ends(counters);
            text += &format!(
                "      Inspect: esmtp {name}, packet {}, lock fail 0, drop {drops}, reset-drop {resets}\n",
                counters.packets_in
            );
            if with_classes {
                text += &classes(config, inspect.as_deref(), counters);
            }
        }
    }
    if text.is_empty() { "no service policy is in force\n".into() } else { text }
}

/// Connections that the inspector has ended.
fn inspection_ends(counters: &Counters) -> u64 {
    [Event::ClassMatched, Event::ParameterMatched, Event::ServerDisagrees, Event::StrayOctet]
        .into_iter()
        .map(|event| counters.events(event))
        .sum()
}

/// The parameters and classes of a map, each with how often it has matched.
fn classes(config: &Config, map: Option<&str>, counters: &Counters) -> String {
    let personality = config.esmtp(map);
    let mut text = String::new();
    if personality.greeting != Greeting::Pass {
        let count = counters.events(Event::GreetingMasked);
        text += &format!("        mask-banner, count {count}\n");
    }
    for class in personality.map.iter() {
        let (action, times) = (class.action_text(), class.matched.times());
        text += &format!("        match {}\n          {action}, packet {times}\n", class.text());
    }
    text
}

/// `show asp drop`.
pub(super) fn asp_drop(counters: &Counters) -> String {
    let mut text = String::from("\nFrame drop:\n");
    for reason in DropReason::ALL.iter().filter(|reason| counters.drops(**reason) > 0) {
        let what =
            format!("{} ({})", reason.meaning().trim().trim_end_matches('.'), reason.label());
        text += &format!("  {what:<86} {:>12}\n", counters.drops(*reason));
    }
    text + "\nFlow drop:\n"
        + &format!(
            "  {:<86} {:>12}\n",
            "Inspection failure (inspect-fail)",
            inspection_ends(counters)
        )
}

/// `show processes memory`.
pub(super) fn memory(counters: &Counters, guard: &dyn Guard) -> String {
    let held = counters.octets_held;
    format!(
        "Connections      {:>12}\nhalf-open        {:>12}\noctets they hold {held:>12}\noctets at most   {:>12}\n",
        counters.flows,
        counters.half_open,
        guard.memory_max()
    )
}

/// `show logging`.
pub(super) fn logging(logging: &Logging, buffer: &[String]) -> String {
    let state = |is_on: bool| if is_on { "enabled" } else { "disabled" };
    let level = |level: Option<u8>| {
        let name = level.and_then(|level| SEVERITIES.get(usize::from(level)));
        name.map_or_else(|| "disabled".to_owned(), |name| format!("level {name}"))
    };
    let mut text = format!(
        "Syslog logging: {}\n    Facility: {}\n    Timestamp logging: {}\n    Console logging: {}\n    Monitor logging: {}\n    \
         Buffer logging: {}, {} messages\n    Trap logging: {}\n",
        state(logging.is_enabled),
        logging.facility,
        state(logging.timestamp),
        level(logging.console),
        level(logging.monitor),
        level(logging.buffered),
        buffer.len(),
        level(logging.trap)
    );
    for host in &logging.hosts {
        text += &format!("        Logging to {} {}\n", host.interface, host.address);
    }
    for line in buffer {
        text += line;
        text.push('\n');
    }
    text
}

/// `packet-tracer`.
pub(super) fn packet_tracer(config: &Config, args: &Args) -> String {
    let mut ports = args.all("PORT").filter_map(port);
    let (_, to) = (ports.next(), ports.next().unwrap_or_default());
    let input = args.get("IFNAME").unwrap_or_default();
    let policy = config.policy();
    let mut text = String::new();
    let mut phase = 0;
    let mut tell = |what: &str, result: &str, more: &str| {
        phase += 1;
        text += &format!(
            "\nPhase: {phase}\nType: {what}\nResult: {result}\nAdditional Information:\n {more}\n"
        );
    };
    if !config.interfaces.iter().any(|interface| interface.name == input) {
        tell("INPUT-INTERFACE", "DROP", &format!("there is no interface {input}"));
        return text + "\nResult:\nAction: drop\n";
    }
    let mut addresses =
        args.all("ADDRESS").filter_map(|text| text.parse::<core::net::IpAddr>().ok());
    let (from, target) = (addresses.next(), addresses.next());
    if from.zip(target).is_some_and(|(from, target)| from.is_ipv4() != target.is_ipv4()) {
        tell("HEADER", "DROP", "both addresses are of one family");
        return text + "\nResult:\nAction: drop\n";
    }
    match policy.inspection(to) {
        Some(personality) => {
            let kind = match config.family() {
                Family::Inspect | Family::Maps => "inspect-esmtp",
                Family::Mailhost | Family::Fixup | Family::Own => "fixup-smtp",
            };
            tell("FLOW-LOOKUP", "ALLOW", "a SYN begins a connection");
            tell("INSPECT", "ALLOW", &format!("{kind}, personality {}", personality.name));
        }
        None => {
            tell("FLOW-LOOKUP", "ALLOW", &format!("port {to} is not inspected: relayed as it is"))
        }
    }
    text + &format!("\nResult:\ninput-interface: {input}\nAction: allow\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_the_device_writes_them() {
        let seconds = Duration::from_secs;
        assert_eq!(spoken(seconds(3725)), "1 hour 2 mins");
        assert_eq!(spoken(seconds(0)), "0 secs");
        assert_eq!(spoken(seconds(86_400 * 2 + 61)), "2 days 0 hours");
        assert_eq!((short(seconds(95)), long(seconds(95))), ("1m35s".into(), "0:01:35".into()));
        assert_eq!(short(seconds(3600)), "1h0m");
    }

    #[test]
    fn connections_as_the_device_lists_them() {
        let address = |text: &str| text.parse().unwrap();
        let view = View {
            connection: crate::report::Connection {
                id: 7,
                client: address("192.0.2.10:61638"),
                server: address("198.51.100.10:25"),
                client_leg: crate::direction::Leg::Outside,
            },
            personality: std::sync::Arc::new(crate::policy::Personality::ASA72),
            flags: "UIOB".into(),
            state: "commands",
            idle: Duration::from_secs(95),
            uptime: Duration::from_secs(125),
            timeout: Duration::from_secs(3600),
            octets: (500, 14),
            edits: 2,
            refused: Some("EXPN"),
            memory: 1500,
        };
        let views = [view];
        assert_eq!(
            conn(&views, 1, 17_252, false),
            "1 in use, 17252 most used\n\
             TCP outside  192.0.2.10:61638 inside  198.51.100.10:25, idle 0:01:35, bytes 514, flags UIOB\n"
        );
        let text = conn(&views, 3, 0, true);
        for part in [
            "3 in use, 3 most used\nTCP outside: 192.0.2.10/61638 inside: 198.51.100.10/25,\n",
            "    flags UIOB, idle 1m35s, uptime 2m5s, timeout 1h0m, bytes 514\n",
            "personality asa72, state commands, edits 2, last refused EXPN, memory 1500\n2 more\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
