//! A message as a line: in the manner of the device, as JSON, as a datagram for syslog or journald.

use jiff::Timestamp;
use serde::Serialize;

use crate::report::Severity;

use super::config::{LogConfig, Stamp};
use super::message::Message;

/// `%ASA-6-302013: text`, with time and device before it if they are wanted.
pub(super) fn line(
    message: &Message,
    severity: Severity,
    now: Timestamp,
    config: &LogConfig,
) -> String {
    let device = device(message, config);
    let body = format!("%{device}-{}-{}: {}", severity as u8, message.id, message.text);
    let stamp = match config.timestamp {
        Stamp::Off => None,
        Stamp::Cisco => Some(now.strftime("%b %d %Y %H:%M:%S").to_string()),
        Stamp::Rfc5424 => Some(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    };
    match (stamp, &config.device_id) {
        (None, None) => body,
        (Some(stamp), None) => format!("{stamp}: {body}"),
        (None, Some(id)) => format!("{id} : {body}"),
        (Some(stamp), Some(id)) => format!("{stamp} {id} : {body}"),
    }
}

fn device(message: &Message, config: &LogConfig) -> &'static str {
    if message.is_own() { "MAILGUARD" } else { config.device.name() }
}

/// A line with its priority before it (RFC 5424 section 6.2.1), as syslog takes it.
pub(super) fn syslog(line: &str, severity: Severity, facility: u8) -> String {
    format!("<{}>{line}", u16::from(facility) * 8 + severity as u16)
}

/// The fields of a line of JSON.
#[derive(Debug, Serialize)]
struct Fields<'a> {
    time: String,
    device: &'a str,
    id: u32,
    severity: u8,
    level: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_interface: Option<&'static str>,
}

/// The same as one JSON object.
pub(super) fn json(
    message: &Message,
    severity: Severity,
    now: Timestamp,
    config: &LogConfig,
) -> String {
    let connection = message.connection.as_ref();
    let fields = Fields {
        time: now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        device: device(message, config),
        id: message.id,
        severity: severity as u8,
        level: severity.name(),
        text: &message.text,
        connection: connection.map(|connection| connection.id),
        client: connection.map(|connection| connection.client.to_string()),
        server: connection.map(|connection| connection.server.to_string()),
        client_interface: connection.map(|connection| connection.client_leg.name()),
    };
    serde_json::to_string(&fields).unwrap_or_default()
}

/// A datagram of journald's own protocol (systemd, *Journal Native Protocol*).
pub(super) fn journal(message: &Message, severity: Severity, config: &LogConfig) -> Vec<u8> {
    let text = format!(
        "MESSAGE=%{}-{}-{}: {}\nPRIORITY={}\nSYSLOG_IDENTIFIER=mailguard\nSYSLOG_FACILITY={}\nMAILGUARD_ID={}\n",
        device(message, config),
        severity as u8,
        message.id,
        // A line end would begin another field.
        message.text.replace(['\n', '\r'], " "),
        severity as u8,
        config.facility,
        message.id,
    );
    let connection = message.connection.map(|connection| {
        format!(
            "MAILGUARD_CONNECTION={}\nMAILGUARD_CLIENT={}\nMAILGUARD_SERVER={}\n",
            connection.id, connection.client, connection.server
        )
    });
    (text + &connection.unwrap_or_default()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::config::Device;
    use super::*;
    use crate::direction::Leg;
    use crate::report::{Connection, Report, What};

    fn tls() -> Message {
        let connection = Connection {
            id: 9,
            client: "192.0.2.1:4000".parse().unwrap(),
            server: "[2001:db8::1]:25".parse().unwrap(),
            client_leg: Leg::Outside,
        };
        let report = Report { connection: Some(connection), what: What::TlsStarted };
        Message::of(&report, Device::Asa, false)
    }

    fn moment() -> Timestamp {
        "2026-11-05T20:44:01.0456Z".parse().unwrap()
    }

    #[test]
    fn headers_as_the_device_prints_them() {
        let (message, now) = (Message::new(302_013, "Built".into()), moment());
        let shown = |config: LogConfig| line(&message, Severity::Informational, now, &config);
        let asa = LogConfig::default();
        assert_eq!(shown(asa.clone()), "%ASA-6-302013: Built");
        let pix = LogConfig { device: Device::Pix, timestamp: Stamp::Cisco, ..asa.clone() };
        assert_eq!(shown(pix), "Nov 05 2026 20:44:01: %PIX-6-302013: Built");
        let named = LogConfig { device_id: Some("fw1".into()), ..asa.clone() };
        assert_eq!(shown(named.clone()), "fw1 : %ASA-6-302013: Built");
        let rfc = LogConfig { timestamp: Stamp::Rfc5424, ..named };
        assert_eq!(shown(rfc), "2026-11-05T20:44:01Z fw1 : %ASA-6-302013: Built");
        let own = Message::new(100_005, "Refused".into());
        let own = line(&own, Severity::Informational, now, &asa);
        assert_eq!(own, "%MAILGUARD-6-100005: Refused");
        assert_eq!(
            syslog("%ASA-6-302013: Built", Severity::Informational, 20),
            "<166>%ASA-6-302013: Built"
        );
        assert_eq!(syslog("x", Severity::Debugging, 23), "<191>x");
    }

    #[test]
    fn json_has_the_connection_and_survives_what_is_quoted() {
        let config = LogConfig::default();
        let text = json(&tls(), Severity::Informational, moment(), &config);
        assert_eq!(
            text,
            "{\"time\":\"2026-11-05T20:44:01.045Z\",\"device\":\"ASA\",\"id\":108007,\"severity\":6,\"level\":\"informational\",\
             \"text\":\"TLS started on ESMTP session between client outside:192.0.2.1/4000 and server inside:2001:db8::1/25\",\
             \"connection\":9,\"client\":\"192.0.2.1:4000\",\"server\":\"[2001:db8::1]:25\",\"client_interface\":\"outside\"}"
        );
        let quoting = Message::new(108_002, "data: \"\\\n".into());
        let read: serde_json::Value =
            serde_json::from_str(&json(&quoting, Severity::Critical, moment(), &config)).unwrap();
        assert_eq!((&read["text"], read.get("client")), (&"data: \"\\\n".into(), None));
    }

    #[test]
    fn journald_gets_one_field_a_line() {
        let config = LogConfig::default();
        let mut message = tls();
        message.text = "one\nPRIORITY=0".into();
        let text = String::from_utf8(journal(&message, Severity::Informational, &config)).unwrap();
        assert_eq!(
            text,
            "MESSAGE=%ASA-6-108007: one PRIORITY=0\nPRIORITY=6\nSYSLOG_IDENTIFIER=mailguard\nSYSLOG_FACILITY=20\nMAILGUARD_ID=108007\n\
             MAILGUARD_CONNECTION=9\nMAILGUARD_CLIENT=192.0.2.1:4000\nMAILGUARD_SERVER=[2001:db8::1]:25\n"
        );
    }
}
