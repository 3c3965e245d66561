//! The command line: what it refuses, and what it explains. No test here needs a privilege.

use std::net::TcpListener;
use std::process::Command;

use crate::harness::{complaint, run};

/// What clap says of a bad command line.
#[track_caller]
fn usage_error(args: &[&str]) -> String {
    let output = run(args).output().expect("the program");
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    let said = String::from_utf8(output.stderr).expect("text");
    said.lines().next().unwrap_or_default().into()
}

#[test]
fn a_bad_port_is_refused() {
    for port in ["0", "65536", "smtp", "25,0", "-1"] {
        let said = usage_error(&[&format!("--port={port}")]);
        assert!(said.contains("invalid value") && said.contains("--port"), "{said}");
    }
}

#[test]
fn a_bad_number_of_workers_is_refused() {
    for workers in ["0", "65", "many"] {
        let said = usage_error(&["--workers", workers]);
        assert!(said.contains("--workers"), "{said}");
    }
}

#[test]
fn a_bad_segment_size_is_refused() {
    for size in ["0", "47", "65536", "large"] {
        let said = usage_error(&["--mss-max", size]);
        assert!(said.contains("--mss-max"), "{said}");
    }
}

#[test]
fn an_unknown_personality_is_refused_with_the_list() {
    let output = run(&["--personality", "pix99"]).output().expect("the program");
    let said = String::from_utf8(output.stderr).expect("text");
    for name in ["pix99", "mailguard", "pix40", "off"] {
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_knob_or_value_that_is_none_is_refused_with_what_there_is() {
    for (setting, says) in [
        ("greeting", "KNOB=VALUE"),
        ("colour=red", "no knob colour"),
        ("greeting=stars", "keep20"),
        ("verbs=HELO,EVIL", "verbs cannot be HELO,EVIL"),
        ("argument-max=-1", "0 to 65535"),
    ] {
        let said = usage_error(&["--set", setting]);
        assert!(said.contains(says), "{setting}: {said}");
    }
}

#[test]
fn personalities_and_their_knobs_are_printed() {
    let print = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mailguard")).args(args).output();
        let output = output.expect("the program");
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let list = print(&["personality"]);
    assert!(list.lines().any(|line| line.starts_with("asa94 ")), "{list}");
    let knobs = print(&["personality", "pix44"]);
    assert!(knobs.contains("\ngreeting all\n    documented: KB 320027"), "{knobs}");
    assert!(knobs.contains("\nearly-talk pass\n    our choice\n"), "{knobs}");
}

#[test]
fn a_name_that_no_interface_can_have_is_refused() {
    let said = usage_error(&["--outside", "a-name-of-16-oct"]);
    assert!(said.contains("at most 15 octets"), "{said}");
    for name in ["", ".", "..", "a b", "a/b", "a:b", "tun%d"] {
        let said = usage_error(&["--inside", name]);
        assert!(said.contains("--inside"), "{name:?}: {said}");
    }
}

#[test]
fn one_name_for_both_legs_is_refused() {
    let said = complaint(&mut run(&["--outside", "mg0", "--inside", "mg0"]));
    assert!(said.contains("mg0") && said.contains("different names"), "{said}");
}

#[test]
fn open_and_closed_at_once_is_refused() {
    let said = usage_error(&["--fail-open", "--fail-closed"]);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    for (option, value) in [
        ("--memory", "63"),
        ("--memory", "much"),
        ("--embryonic-max", "-1"),
        ("--per-client-max", "x"),
        ("--timeout-conn", "0"),
        ("--timeout-half-closed", "1:60:00"),
        ("--timeout-embryonic", "1194:00:00"),
        ("--midstream", "maybe"),
    ] {
        let said = usage_error(&[&format!("{option}={value}")]);
        assert!(said.contains(option), "{option}={value}: {said}");
    }
}

#[test]
fn a_place_for_logs_or_metrics_that_is_none_is_refused() {
    for (option, value) in [
        ("--log-level", "8"),
        ("--log-rate", "-1"),
        ("--syslog", "tls:log.example"),
        ("--syslog", "udp:2001:db8::1"),
        ("--metrics", "9100"),
    ] {
        let said = usage_error(&[&format!("{option}={value}")]);
        assert!(said.contains(option), "{option}={value}: {said}");
    }
    // What only the machine can tell is told before there is a leg.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).expect("an address");
    for (option, value) in [("--log-file", "/nowhere/at/all"), ("--metrics", &taken.1)] {
        let said = complaint(&mut run(&[option, value]));
        assert!(said.contains(option) && said.contains(value), "{said}");
    }
}

#[test]
fn help_explains_every_word() {
    let output = run(&["--help"]).output().expect("the program");
    let help = String::from_utf8(output.stdout).expect("text");
    for word in [
        "--outside",
        "--inside",
        "--personality",
        "--port",
        "--mss-max",
        "--workers",
        "--fail-open",
        "--fail-closed",
        "--no-offload",
        "--no-io-uring",
        "--no-jail",
        "--memory",
        "--embryonic-max",
        "--per-client-max",
        "--per-client-embryonic-max",
        "--timeout-conn",
        "--timeout-half-closed",
        "--timeout-embryonic",
        "--midstream",
        "--log-level",
        "--log-stderr",
        "--log-file",
        "--syslog",
        "--log-json",
        "--log-addresses",
        "--log-rate",
        "--metrics",
        "[default: 100]",
        "[default: 1024]",
        "[default: 65536]",
        "[default: 4096]",
        "[default: 1:00:00]",
        "[default: 0:10:00]",
        "[default: 0:00:30]",
        "ipproto icmp",
        "[default: mg-outside]",
        "[default: mg-inside]",
        "[default: mailguard]",
        "[default: 25]",
        "[default: 1]",
        "500 Command unrecognized",
        "Example",
        "SIGUSR1",
    ] {
        assert!(help.contains(word), "{word} is not in:\n{help}");
    }
}
