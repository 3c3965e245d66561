//! The life of the legs and of the guard between them.

use nix::sys::signal::Signal;

use crate::harness::{Namespace, root};

#[test]
fn it_says_what_it_guards() {
    if !root("it_says_what_it_guards") {
        return;
    }
    let namespace = Namespace::new();
    let guard = namespace.guard(&["--fail-open"]);
    // A warning comes before it if the kernel lacks Landlock.
    let line = guard.said.lines().last().expect("a line");
    let (guarding, jail) = line.split_once(", jailed by ").expect("the measures");
    assert_eq!(
        guarding,
        "guarding outside mg-outside, inside mg-inside, port 25, personality mailguard, \
         1 worker, offload on"
    );
    assert!(jail.starts_with("capabilities, no-new-privileges, "), "{jail}");
    assert!(jail.ends_with("seccomp"), "{jail}");
    assert_eq!(jail.contains("landlock"), !guard.said.contains("no landlock"), "{}", guard.said);
    drop(guard);
    let all = [
        "--outside=a",
        "--inside=b",
        "--port=25,587",
        "--port=2525",
        "--personality=off",
        "--set=nul=blank",
        "--set=refusal=noop",
        "--workers=3",
        "--no-offload",
        "--fail-open",
        "--no-jail",
        // Another guard of this machine may have the console of its own.
        "--no-console",
    ];
    let guard = namespace.guard(&all);
    assert_eq!(
        guard.said.trim(),
        "guarding outside a, inside b, port 25,587,2525, personality off nul=blank refusal=noop, 3 workers, offload off, \
         not jailed"
    );
}

#[test]
fn the_legs_are_up_wide_and_deep() {
    if !root("the_legs_are_up_wide_and_deep") {
        return;
    }
    let namespace = Namespace::new();
    let _guard = namespace.guard(&["--workers", "4"]);
    for leg in ["mg-outside", "mg-inside"] {
        let link = namespace.ip(&["-d", "link", "show", leg]);
        for word in
            ["LOWER_UP", "mtu 65535", "qlen 5000", "multi_queue", "numqueues 4", "vnet_hdr on"]
        {
            assert!(link.contains(word), "{word} is not in {link}");
        }
    }
}

#[test]
fn a_signal_ends_it_with_the_counters() {
    if !root("a_signal_ends_it_with_the_counters") {
        return;
    }
    let namespace = Namespace::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut guard = namespace.guard(&["--workers", "2", "--fail-open"]);
        guard.signal(signal);
        assert!(guard.counters().iter().any(|(label, _)| label == "flows-built"));
        assert_eq!(guard.end(), (true, String::new()));
    }
}

#[test]
fn a_signal_shows_the_counters_while_it_runs() {
    if !root("a_signal_shows_the_counters_while_it_runs") {
        return;
    }
    let namespace = Namespace::new();
    let guard = namespace.guard(&["--workers", "2"]);
    for _ in 0..2 {
        guard.signal(Signal::SIGUSR1);
        assert!(guard.counters().iter().any(|(label, _)| label == "packets-in"));
    }
}

#[test]
fn closed_legs_outlive_it_and_open_ones_do_not() {
    if !root("closed_legs_outlive_it_and_open_ones_do_not") {
        return;
    }
    let namespace = Namespace::new();
    let both = || (namespace.has("mg-outside"), namespace.has("mg-inside"));
    let mut guard = namespace.guard(&["--fail-closed"]);
    namespace.ip(&["route", "add", "default", "dev", "mg-outside", "table", "100"]);
    guard.crash();
    assert_eq!(both(), (true, true));
    // Another one takes them over with the routes, also with other workers and no offload.
    let mut guard = namespace.guard(&["--workers", "2", "--no-offload"]);
    assert!(namespace.ip(&["route", "show", "table", "100"]).contains("mg-outside"));
    let link = namespace.ip(&["-d", "link", "show", "mg-outside"]);
    assert!(link.contains("vnet_hdr off") && link.contains("numqueues 2"), "{link}");
    guard.signal(Signal::SIGTERM);
    assert!(guard.end().0);
    assert_eq!(both(), (true, true));
    let mut guard = namespace.guard(&["--fail-open"]);
    guard.signal(Signal::SIGTERM);
    assert!(guard.end().0);
    assert_eq!(both(), (false, false));
}

#[test]
fn it_ends_with_an_error_when_a_leg_is_deleted() {
    if !root("it_ends_with_an_error_when_a_leg_is_deleted") {
        return;
    }
    let namespace = Namespace::new();
    for (leg, name) in [("mg-outside", "outside"), ("mg-inside", "inside")] {
        let mut guard = namespace.guard(&["--workers", "2"]);
        namespace.ip(&["link", "del", leg]);
        let (success, said) = guard.end();
        assert!(!success);
        assert!(said.contains(&format!("the {name} leg was deleted")), "{said}");
    }
}
