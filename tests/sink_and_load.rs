//! `mailguard sink` and `mailguard load` against each other on loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A sink that runs, and dies with the test.
struct Sink {
    child: Child,
    address: SocketAddr,
    /// Its stderr behind the line that tells the address.
    errors: BufReader<std::process::ChildStderr>,
}

impl Sink {
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mailguard"))
            .args(["sink", "--listen", "127.0.0.1:0", "--json"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").unwrap().trim().parse().unwrap();
        Self { child, address, errors }
    }

    /// Ends it with SIGTERM: its totals, its stderr and its status.
    fn stop(mut self) -> (Value, String, ExitStatus) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        self.wait()
    }

    fn wait(&mut self) -> (Value, String, ExitStatus) {
        let mut totals = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut totals).unwrap();
        let mut errors = String::new();
        self.errors.read_to_string(&mut errors).unwrap();
        (serde_json::from_str(&totals).unwrap(), errors, self.child.wait().unwrap())
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client(BufReader::new(stream))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client by hand.
struct Client(BufReader<TcpStream>);

impl Client {
    fn say(&mut self, octets: &[u8]) {
        self.0.get_mut().write_all(octets).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }
}

/// Runs the load: its report and whether it was content.
fn load(target: SocketAddr, options: &[&str]) -> (Value, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_mailguard"))
        .args(["load", &target.to_string(), "--json"])
        .args(options)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    (report.unwrap_or_else(|error| panic!("{error}: {errors}")), output.status.success())
}

fn content(target: SocketAddr, options: &[&str]) -> Value {
    let (report, success) = load(target, options);
    assert!(success, "{report}");
    assert_eq!(report["errors"]["total"], 0);
    report
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the time that the sink tells is held against it")]
fn two_hundred_connections_lose_nothing() {
    let sink = Sink::start(&["--expect-load", "--threads", "2"]);
    let since_1970 = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let before = since_1970();
    let options = ["--connections", "200", "--messages", "3", "--noop", "2", "--threads", "2"];
    let report = content(sink.address, &options);
    assert_eq!(report["messages"], 600);
    assert_eq!(report["connections"], 200);
    assert_eq!(report["latency_us"]["greeting"]["count"], 200);
    assert_eq!(report["latency_us"]["transaction"]["count"], 600);
    assert_eq!(report["latency_us"]["noop"]["count"], 400);
    let (totals, errors, status) = sink.stop();
    assert!(status.success(), "{errors}");
    assert_eq!(totals["messages"], 600);
    assert_eq!(totals["checked"], 600);
    assert_eq!(totals["check_failures"], 0);
    assert_eq!(totals["connections"], 200);
    assert_eq!(totals["unknown_commands"], 0);
    assert!((before..=since_1970()).contains(&totals["last_message"].as_f64().unwrap()));
    assert_eq!((&totals["bare_cr"], &totals["bare_lf"]), (&0.into(), &0.into()));
}

#[test]
fn groups_and_single_commands_arrive_alike() {
    let dir = tempdir("pipelining");
    for (number, mode) in ["on", "off", "force"].iter().enumerate() {
        let path = dir.join(format!("{number}.txt"));
        let sink = Sink::start(&["--expect-load", "--transcript", path.to_str().unwrap()]);
        content(sink.address, &["--pipelining", mode, "--messages", "2", "--name", "client"]);
        sink.stop();
        let seen = std::fs::read_to_string(path).unwrap();
        let transaction = "1 MAIL FROM:<load@example.org>\n1 RCPT TO:<sink@example.net>\n1 DATA\n";
        assert_eq!(seen, format!("1 EHLO client\n{transaction}{transaction}1 QUIT\n"), "{mode}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_server_without_ehlo_is_told_helo() {
    let mut sink = Sink::start(&["--no-esmtp", "--greeting", r"one\ntwo", "--count", "4"]);
    let report = content(sink.address, &["--connections", "2", "--count", "4"]);
    assert_eq!(report["helo_fallbacks"], 4);
    // The sink has its messages and ends by itself.
    let (totals, _, status) = sink.wait();
    assert!(status.success());
    assert_eq!(totals["unknown_commands"], 4);

    let sink = Sink::start(&["--no-esmtp"]);
    let (report, success) = load(sink.address, &["--ehlo"]);
    assert!(!success);
    assert_eq!(report["errors"]["kinds"]["reply 500 at EHLO"], 1);
    assert_eq!(report["messages_failed"], 1);
    content(sink.address, &["--helo"]);
}

#[test]
fn a_large_message_arrives_whole() {
    let dir = tempdir("large");
    let sink = Sink::start(&["--expect-load", "--save", dir.to_str().unwrap()]);
    let report = content(sink.address, &["--size", "30000001", "--lines", "998"]);
    assert!(report["octets"].as_u64().unwrap() > 30_000_001);
    let (totals, ..) = sink.stop();
    assert_eq!(totals["checked"], 1);
    let message = std::fs::read(dir.join("000001.eml")).unwrap();
    assert_eq!(message.len() as u64, totals["octets"].as_u64().unwrap());
    let body = memchr::memmem::find(&message, b"\r\n\r\n").unwrap() + 4;
    assert_eq!(message.len() - body, 30_000_001);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_unknown_verb_has_its_reply() {
    let sink = Sink::start(&["--greeting", "mail.example.net"]);
    let mut client = sink.connect();
    assert_eq!(client.line(), "220 mail.example.net\r\n");
    client.say(b"XXXX\r\nNOOP\r\n");
    assert_eq!(client.line(), "500 Command unrecognized\r\n");
    assert_eq!(client.line(), "250 OK\r\n");
    client.say(b"QUIT\r\n");
    assert!(client.line().starts_with("221 "));
    assert_eq!(client.line(), "");
    assert_eq!(sink.stop().0["unknown_commands"], 1);
}

#[test]
fn an_altered_message_fails_its_check() {
    let dir = tempdir("altered");
    let sink = Sink::start(&["--save", dir.to_str().unwrap()]);
    content(sink.address, &["--size", "300"]);
    let mut message = std::fs::read(dir.join("000001.eml")).unwrap();
    let place = message.len() - 4;
    message[place] ^= 1;

    let mut client = sink.connect();
    client.say(b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    for code in ["220 ", "250 ", "250 ", "250 ", "354 "] {
        assert!(client.line().starts_with(code));
    }
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line[0] == b'.' {
            client.say(b".");
        }
        client.say(line);
    }
    client.say(b".\r\n");
    assert!(client.line().starts_with("250 "));
    let (totals, errors, status) = sink.stop();
    assert_eq!((&totals["checked"], &totals["check_failures"]), (&1.into(), &1.into()));
    assert!(!status.success());
    assert!(errors.contains("message 2: the body has bytes=300"), "{errors}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn held_connections_are_idle_and_say_quit() {
    let path = tempdir("hold").join("transcript.txt");
    let sink = Sink::start(&["--transcript", path.to_str().unwrap()]);
    let report = content(sink.address, &["--connections", "50", "--hold", "0.1", "--helo"]);
    assert_eq!(report["messages"], 0);
    let totals = sink.stop().0;
    assert_eq!(totals["commands"], 100);
    assert!(totals["last_message"].is_null());
    let seen = std::fs::read_to_string(&path).unwrap();
    assert_eq!(seen.lines().filter(|line| line.ends_with(" QUIT")).count(), 50);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn slow_replies_come_in_order() {
    let sink = Sink::start(&["--slow", "20", "--expect-load"]);
    let report = content(sink.address, &["--connections", "5", "--messages", "2"]);
    // Each reply is waited for, so no transaction is faster than its four.
    assert!(report["latency_us"]["transaction"]["min"].as_f64().unwrap() >= 75_000.0);
    assert_eq!(sink.stop().0["checked"], 10);
}

#[test]
fn refusals_and_silence_are_errors() {
    let sink = Sink::start(&["--max-size", "100"]);
    let (report, success) = load(sink.address, &["--connections", "3"]);
    assert!(!success);
    assert_eq!(report["errors"]["kinds"]["reply 552 at mail data"], 3);

    // A listener that never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (report, success) = load(silent.local_addr().unwrap(), &["--timeout", "0.1"]);
    assert!(!success);
    assert_eq!(report["errors"]["kinds"]["timeout at greeting"], 1);

    let nobody = silent.local_addr().unwrap();
    drop(silent);
    let (report, success) = load(nobody, &[]);
    assert!(!success);
    assert_eq!(report["errors"]["kinds"]["refused at connect"], 1);
}

/// A new directory of one test.
fn tempdir(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("mailguard-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
