//! The logger from both of its ends.

use std::io::Read;
use std::net::UdpSocket;

use super::super::config::{Rule, Stamp};
use super::*;
use crate::direction::Leg;
use crate::report::{Connection, What};

const LONG: Duration = Duration::from_secs(20);

fn report(what: What) -> Report {
    let connection = Connection {
        id: 1,
        client: "192.0.2.1:4000".parse().unwrap(),
        server: "198.51.100.1:25".parse().unwrap(),
        client_leg: Leg::Outside,
    };
    Report { connection: Some(connection), what }
}

fn started(config: LogConfig) -> Logger {
    Logger::start(config, None, || ()).expect("a thread")
}

fn buffering(level: Severity) -> LogConfig {
    LogConfig {
        enable: true,
        buffered: Some(level),
        buffer_octets: 1 << 20,
        ..LogConfig::default()
    }
}

/// All that was handed over has been logged.
fn settled(logger: &Logger) -> Vec<String> {
    logger.stop();
    logger.buffer()
}

#[test]
fn nothing_is_wanted_until_somebody_listens() {
    let logger = started(LogConfig::default());
    let reporter = logger.reporter();
    assert_eq!(reporter.level(), None);
    let lines = logger.subscribe(Some(Severity::Debugging));
    assert_eq!(reporter.level(), Some(Severity::Debugging));
    reporter.tell(report(What::TlsStarted));
    let line = lines.recv_timeout(LONG).expect("a line");
    assert!(line.starts_with("%ASA-6-108007: TLS started on ESMTP session"), "{line}");
    drop(lines);
    reporter.tell(report(What::TlsStarted));
    logger.stop();
    assert_eq!(reporter.level(), None, "the one who listened has gone");
    assert!(logger.buffer().is_empty());
}

#[test]
fn those_who_look_on_get_what_logging_monitor_says() {
    let mut config = buffering(Severity::Warnings);
    config.monitor = Some(Severity::Informational);
    let logger = started(config.clone());
    assert_eq!(logger.reporter().level(), Some(Severity::Warnings));
    let lines = logger.subscribe(None);
    assert_eq!(logger.reporter().level(), Some(Severity::Informational));
    logger.reporter().tell(report(What::Built));
    assert!(lines.recv_timeout(LONG).is_ok());
    assert!(settled(&logger).is_empty(), "the buffer gets warnings only");
    assert_eq!(logger.config(), config);
}

#[test]
fn a_new_configuration_takes_the_place_of_the_old_one() {
    let logger = started(buffering(Severity::Debugging));
    logger.reporter().tell(report(What::Built));
    let mut quiet = buffering(Severity::Debugging);
    quiet.messages.insert(302_013, Rule::Off);
    quiet.messages.insert(108_007, Rule::Level(Severity::Alerts));
    logger.configure(quiet);
    logger.reporter().tell(report(What::Built));
    logger.reporter().tell(report(What::TlsStarted));
    let lines = settled(&logger);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("%ASA-6-302013: Built inbound"), "{lines:?}");
    assert!(lines[1].starts_with("%ASA-1-108007: TLS started"), "{lines:?}");
    logger.clear_buffer();
    assert!(logger.buffer().is_empty());
}

#[test]
fn standard_error_gets_a_limit_where_messages_go_there() {
    let reached =
        || report(What::LimitReached { worker: 0, name: "belt-full", times: 1, meaning: "It is." });
    let console = |level| LogConfig { enable: true, console: level, ..LogConfig::default() };
    let off = LogConfig { enable: false, ..console(Some(Severity::Debugging)) };
    let mut silenced = console(Some(Severity::Debugging));
    silenced.messages.insert(100_004, Rule::Off);
    let mut raised = console(Some(Severity::Errors));
    raised.messages.insert(100_004, Rule::Level(Severity::Alerts));
    for (config, gets_it) in [
        (console(Some(Severity::Warnings)), true),
        (console(Some(Severity::Errors)), false),
        (console(None), false),
        (buffering(Severity::Debugging), false),
        (off, false),
        (silenced, false),
        (raised, true),
    ] {
        let logger = started(config.clone());
        assert_eq!(logger.reporter().tell_limit(reached()), gets_it, "{config:?}");
    }
}

#[test]
fn a_configuration_is_in_force_once_it_is_said() {
    let logger = started(buffering(Severity::Errors));
    for level in [Severity::Debugging, Severity::Warnings, Severity::Alerts].repeat(100) {
        logger.configure(buffering(level));
        assert_eq!(
            (logger.reporter().level(), logger.config().buffered),
            (Some(level), Some(level))
        );
    }
}

#[test]
fn a_flood_is_cut_counted_and_told() {
    let mut config = buffering(Severity::Informational);
    config.rate = 10;
    let logger = started(config);
    let lines = logger.subscribe(Some(Severity::Informational));
    // A second may end in the middle of it, and the rate is that of each.
    for _ in 0..100 {
        logger.reporter().tell(report(What::Built));
    }
    logger.reporter().tell(report(What::TlsStarted));
    let mut told = Vec::new();
    let suppressed = |told: &[String]| -> u64 {
        let number = |line: &String| {
            let of = line.strip_prefix("%MAILGUARD-4-100002: Suppressed ")?;
            of.split(' ').next()?.parse::<u64>().ok()
        };
        told.iter().filter_map(number).sum()
    };
    let built = |told: &[String]| told.iter().filter(|line| line.contains("-302013: ")).count();
    while built(&told) as u64 + suppressed(&told) < 100 {
        told.push(lines.recv_timeout(LONG).expect("a line"));
    }
    assert_eq!(built(&told) as u64 + suppressed(&told), 100);
    assert!(suppressed(&told) >= 10, "{told:?}");
    assert!(told.iter().any(|line| line.contains("108007")), "another message has its own limit");
    let count = logger.counts()[&302_013];
    assert_eq!((count.logged, count.suppressed), (built(&told) as u64, suppressed(&told)));
}

#[test]
fn what_finds_no_room_is_counted_and_told() {
    let (hold, held) = bounded::<()>(0);
    let settle = move || assert!(held.recv().is_err());
    let logger = Logger::start(buffering(Severity::Informational), None, settle).expect("a thread");
    for _ in 0..LOG_REPORTS_MAX + 5 {
        logger.reporter().tell(report(What::Built));
    }
    logger.reporter().lose(2);
    assert_eq!(logger.lost(), (7, 0));
    drop(hold);
    let lines = settled(&logger);
    assert!(
        lines.iter().any(
            |line| *line == "%MAILGUARD-4-100003: Lost 7 reports: more came than can be logged"
        ),
        "{:?}",
        lines.first()
    );
}

#[test]
fn hosts_get_their_lines_and_file_its_json() {
    let host = UdpSocket::bind("127.0.0.1:0").expect("a port");
    host.set_read_timeout(Some(LONG)).expect("a timeout");
    let mut config = LogConfig { enable: true, json: true, ..LogConfig::default() };
    config.trap = Some(Severity::Informational);
    config.file = Some(Severity::Warnings);
    let address = host.local_addr().expect("an address");
    config.hosts = vec![Host { transport: Transport::Udp, address }];
    config.timestamp = Stamp::Off;
    let (mut read, write) = io::pipe().expect("a pipe");
    let file = File::from(std::os::fd::OwnedFd::from(write));
    let logger = Logger::start(config, Some(file), || ()).expect("a thread");
    logger.say("hello".into());
    logger.reporter().tell(report(What::DuplicateSyn));
    let mut room = [0; 2000];
    let mut received = || {
        let len = host.recv(&mut room).expect("a datagram");
        String::from_utf8_lossy(&room[..len]).into_owned()
    };
    assert_eq!(received(), "<165>%MAILGUARD-5-100001: hello");
    assert!(received().starts_with("<164>%ASA-4-419002: Duplicate TCP SYN from outside:"));
    logger.stop();
    let len = read.read(&mut room).expect("a line");
    let json: serde_json::Value = serde_json::from_slice(&room[..len]).expect("one object");
    assert_eq!((&json["id"], &json["severity"]), (&419_002.into(), &4.into()));
}
