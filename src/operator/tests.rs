//! Sessions as transcripts.

mod fake;

use std::sync::atomic::Ordering;

use super::*;
use crate::config::{Config, commands};
use crate::console::Session as _;
use crate::counters::{Counters, Event};
use crate::engine::Filter;
use crate::flow::View;
use crate::policy::{Policy, Timeouts};
use fake::desk;

/// Types lines; the prompts before them and what each brought.
fn transcript(operator: &mut Operator, lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        let shown = if operator.is_secret() { "" } else { line };
        text += &format!("{}{shown}\n", operator.prompt());
        text += &operator.line(line).text;
    }
    text + &operator.prompt()
}

#[test]
fn the_seven_steps_of_the_article() {
    let desk = desk("pix6x");
    let mut operator = Operator::local(desk.device.clone());
    let text = transcript(
        &mut operator,
        &[
            "enable",
            "",
            "configure terminal",
            "no fixup protocol smtp 25",
            "write memory",
            "exit",
            "reload",
            "",
        ],
    );
    assert_eq!(
        text,
        "\
pixfirewall> enable
Password:\x20
pixfirewall# configure terminal
pixfirewall(config)# no fixup protocol smtp 25
pixfirewall(config)# write memory
Building configuration...
startup-config
[OK]
pixfirewall(config)# exit
pixfirewall# reload
Proceed with reload? [confirm]\x20
Reload: the startup configuration is in force.
pixfirewall> "
    );
    assert!(!desk.device.config().policy().inspects());
    let installed = desk.guard.installed.lock().unwrap();
    assert!(installed.last().is_some_and(|policy| !policy.inspects()));
    assert!(desk.kept.lock().unwrap().as_ref().unwrap().contains("no fixup protocol smtp 25"));
}

#[test]
fn without_write_memory_a_reload_brings_everything_back() {
    let desk = desk("pix6x");
    let mut operator = Operator::local(desk.device.clone());
    transcript(&mut operator, &["en", "", "wr mem", "conf t", "no fixup protocol smtp 25"]);
    assert!(!desk.device.config().policy().inspects());
    transcript(&mut operator, &["reload noconfirm"]);
    assert!(desk.device.config().policy().inspects());
    // Something that is not a configuration changes nothing.
    *desk.kept.lock().unwrap() = Some("fixup protocol smtp\nfixup protoc\n\u{1}\n".into());
    let text = transcript(&mut operator, &["enable", "", "reload noconfirm"]);
    assert!(text.contains("startup-config:2:") && text.contains("stays as it is"), "{text}");
    assert!(desk.device.config().policy().inspects());
}

#[test]
fn passwords_open_what_they_are_for() {
    let desk = desk("mailguard");
    let mut operator = Operator::local(desk.device.clone());
    transcript(&mut operator, &["enable", "", "conf t", "enable password s3cret", "passwd telnet"]);
    assert!(operator.history.iter().all(|line| !line.contains("s3cret")), "not remembered");
    let mut remote = Operator::remote(desk.device.clone());
    assert!(remote.is_secret() && remote.line("wrong").failed);
    assert!(!remote.line("telnet").failed && !remote.is_secret());
    assert_eq!(remote.prompt(), "mailguard> ");
    remote.line("enable");
    for _ in 0..2 {
        assert!(remote.line("").failed && remote.is_secret());
    }
    assert_eq!(remote.line("no").text, "Access denied.\n");
    assert_eq!(remote.prompt(), "mailguard> ");
    assert!(remote.line("configure terminal").failed, "not enabled");
    remote.line("enable");
    assert!(!remote.line("s3cret").failed);
    assert_eq!(remote.prompt(), "mailguard# ");
    let mut stranger = Operator::remote(desk.device);
    let ends: Vec<_> = (0..3).map(|_| stranger.line("x").ends).collect();
    assert_eq!(ends, [false, false, true]);
    let mut nobody = Operator::remote(self::desk("mailguard").device);
    assert!(nobody.line("").failed, "without a password nobody comes in from afar");
}

#[test]
fn mistakes_are_answered_in_the_words_of_the_version() {
    let mut asa = Operator::local(desk("asa94").device);
    transcript(&mut asa, &["enable", "", "conf t"]);
    assert_eq!(
        asa.line("fixup protocl smtp").text,
        "                        ^\nERROR: % Invalid input detected at '^' marker.\n"
    );
    assert_eq!(asa.line("fixup protocol").text, "ERROR: % Incomplete command\n");
    assert_eq!(asa.line("s").text, "ERROR: % Ambiguous command:  \"s\"\n");
    assert!(asa.line("mailhost 192.0.2.1 10.0.0.1").text.ends_with("(asa94 has it not)\n"));
    let mut pix = Operator::local(desk("pix6x").device);
    transcript(&mut pix, &["enable", "", "conf t"]);
    let said = pix.line("policy-map x");
    assert_eq!(
        (&said.text[..], said.failed),
        ("Type help or '?' for a list of available commands.\n(pix6x has it not)\n", true)
    );
}

#[test]
fn prompts_nest_and_exits_lead_out() {
    let mut operator = Operator::local(desk("asa94").device);
    let text = transcript(
        &mut operator,
        &[
            "en",
            "",
            "conf t",
            "policy-map type inspect esmtp m",
            "parameters",
            "exit",
            "match cmd verb VRFY",
            "mask log",
            "exit",
            "exit",
            "class-map c",
            "policy-map p",
            "class c",
            "hostname gate",
            "end",
            "show history",
            "exit",
        ],
    );
    let prompts: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(['#', '>']))
        .map(|(prompt, _)| prompt)
        .collect();
    assert_eq!(
        prompts[2..],
        [
            "ciscoasa(config)",
            "ciscoasa(config-pmap)",
            "ciscoasa(config-pmap-p)",
            "ciscoasa(config-pmap)",
            "ciscoasa(config-pmap-c)",
            "ciscoasa(config-pmap-c)",
            "ciscoasa(config-pmap)",
            "ciscoasa(config)",
            "ciscoasa(config-cmap)",
            "ciscoasa(config-pmap)",
            "ciscoasa(config-pmap-c)",
            "gate(config)",
            "gate",
            "gate",
            "gate",
        ],
        "{text}"
    );
    assert!(operator.line("exit").ends);
}

#[test]
fn every_deed_says_something_sensible_and_most_of_them_can_be_repeated() {
    for personality in ["pix40", "pix6x", "asa94", "mailguard"] {
        let desk = desk(personality);
        let mut operator = Operator::local(desk.device.clone());
        transcript(&mut operator, &["enable", ""]);
        let family = desk.device.config().family();
        for command in commands().filter(|command| command.has.has(family)) {
            let crate::config::Run::Deed(_) = command.run else { continue };
            let line = match command.syntax {
                "packet-tracer input IFNAME tcp ADDRESS PORT ADDRESS PORT [detailed]" => {
                    "packet-tracer input outside tcp 192.0.2.1 4000 10.0.0.1 25".to_owned()
                }
                "terminal pager LINES" => "terminal pager 0".to_owned(),
                syntax => syntax.split(['[', '{']).next().unwrap_or_default().trim().to_owned(),
            };
            if matches!(
                &line[..],
                "exit" | "quit" | "logout" | "disable" | "reload" | "configure terminal"
            ) {
                continue;
            }
            let said = operator.line(&line);
            assert!(!said.failed && !said.ends, "{personality}: {line}: {}", said.text);
            assert!(said.text.is_empty() || said.text.ends_with('\n'), "{line}");
        }
        assert!(operator.line("show tech-support").text.contains("show running-config"));
        assert_eq!(operator.line("clear conn port 25").text, "3 connection(s) deleted.\n");
        assert!(desk.guard.cleared.load(Ordering::Relaxed) >= 1);
    }
}

#[test]
fn counters_are_cleared_for_who_looks_not_for_the_guard() {
    let desk = desk("mailguard");
    let refused = || desk.device.counters().events(Event::CommandRefused);
    assert_eq!(refused(), 1);
    desk.device.clear_counters();
    assert_eq!(refused(), 0);
    assert_eq!(desk.guard.counters().events(Event::CommandRefused), 1);
}

#[test]
fn help_at_any_place() {
    let mut operator = Operator::local(desk("mailguard").device);
    transcript(&mut operator, &["enable", "", "conf t"]);
    let text = operator.line("fixup protocol ?").text;
    assert_eq!(text, "  smtp  guards the ports, 25 if none is said\n");
    assert!(operator.help("xyzzy ").contains("Unrecognized"));
    assert_eq!(operator.complete("pers"), ["personality"]);
}

#[test]
fn a_kept_configuration_that_does_something_is_copied_without_that() {
    let desk = desk("mailguard");
    let mut operator = Operator::local(desk.device.clone());
    transcript(&mut operator, &["enable", ""]);
    let junk = "nonsense\n".repeat(10_000);
    let deeds = "copy startup-config running-config\nreload\nreload noconfirm\nenable\nlogout\nclear conn\n";
    let text = format!("{deeds}class-map c\n match any\n exit\nend\nexit\n{junk}hostname gate\n");
    *desk.kept.lock().unwrap() = Some(text);
    let said = operator.line("copy startup-config running-config");
    assert!(said.failed && said.text.contains("it does something"), "{}", said.text);
    assert!(said.text.len() < 20_000, "{}", said.text.len());
    assert!(said.text.ends_with("ERROR: 10006 lines in all were not done\n"), "{}", said.text);
    assert_eq!((desk.guard.cleared.load(Ordering::Relaxed), &*operator.prompt()), (0, "gate# "));
    assert!(desk.device.config().text(false).contains("class-map c\n match any\n"));
}

#[test]
fn what_is_no_configuration_leaves_the_one_in_force() {
    let desk = desk("pix6x");
    let mut operator = Operator::local(desk.device.clone());
    transcript(&mut operator, &["enable", "", "configure terminal", "no fixup protocol smtp 25"]);
    let before = desk.device.config();
    let installed = desk.guard.installed.lock().unwrap().len();
    for text in ["x".repeat(1 << 20), "x\n".repeat(1 << 20), "fixup protocol smtp 0".into()] {
        *desk.kept.lock().unwrap() = Some(text);
        let said = operator.line("reload noconfirm");
        assert!(said.failed && said.text.contains("stays as it is"), "{}", said.text);
        assert!(said.text.len() < 20_000, "{}", said.text.len());
    }
    assert_eq!(desk.device.config(), before);
    assert_eq!(desk.guard.installed.lock().unwrap().len(), installed);
}

#[test]
fn matches_are_shown_by_class_and_counted_as_long_as_the_line_stands() {
    let desk = desk("asa94");
    let mut operator = Operator::local(desk.device.clone());
    transcript(
        &mut operator,
        &[
            "enable",
            "",
            "conf t",
            "policy-map type inspect esmtp mine",
            "match cmd verb VRFY",
            "mask",
            "match body length gt 9",
            "log",
            "policy-map global_policy",
            "class inspection_default",
            "inspect esmtp mine",
            "exit",
            "exit",
            "fixup protocol smtp 2525",
        ],
    );
    // What the engine was handed is what is shown.
    let matches = |port: u16, class: usize, times: usize| {
        let policy = desk.guard.installed.lock().unwrap().last().unwrap().clone();
        let personality = policy.inspection(port).unwrap();
        (0..times).for_each(|_| personality.map[class].matched.count());
    };
    matches(25, 0, 3);
    matches(2525, 6, 2);
    let shown = |operator: &mut Operator| {
        let text = operator.line("show service-policy inspect esmtp").text;
        let lines = text.lines().skip_while(|line| !line.contains("Inspect: esmtp mine"));
        lines
            .filter(|line| !line.contains("Inspect:"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let head = "        match cmd verb VRFY\n          mask, packet 3\n        match body length gt 9\n          log, packet 0\n    \
                Class-map: smtp_port_2525\n        mask-banner, count 0\n        match cmd line length gt 512\n          \
                drop-connection log, packet 0\n";
    let text = shown(&mut operator);
    assert!(text.starts_with(head), "{text}");
    assert!(
        text.ends_with("match ehlo-reply-parameter others\n          mask, packet 2\n"),
        "{text}"
    );
    // Another line, and even another map, leave the counts of this one.
    transcript(&mut operator, &["sysopt connection tcpmss 1200"]);
    matches(25, 0, 1);
    let text = shown(&mut operator);
    assert!(text.contains("mask, packet 4\n") && text.contains("mask, packet 2\n"), "{text}");
    transcript(
        &mut operator,
        &[
            "policy-map type inspect esmtp mine",
            "no match cmd verb VRFY",
            "match cmd verb VRFY",
            "mask",
        ],
    );
    assert!(shown(&mut operator).contains("match cmd verb VRFY\n          mask, packet 0\n"));
    matches(25, 1, 5);
    transcript(&mut operator, &["clear counters"]);
    let text = shown(&mut operator);
    assert_eq!(text.matches("packet 0\n").count(), 9, "{text}");
}

#[test]
fn nobody_enables_with_a_hash_of_the_device_before_the_password_is_set_anew() {
    let desk = desk("pix6x");
    let saved = |enable: &str| {
        let lines = format!("enable password {enable}\npasswd 2KFQnbNIdI.2KYOU encrypted\n");
        Some(format!(": Saved\nPIX Version 6.3(5)\n{lines}: end\n"))
    };
    let mut first = Operator::local(desk.device.clone());
    transcript(&mut first, &["enable", ""]);
    *desk.kept.lock().unwrap() = saved("2KFQnbNIdI.2KYOU encrypted");
    let said = first.line("reload noconfirm");
    assert!(!said.failed && said.text.contains("set the enable password anew"), "{}", said.text);
    // Neither what the hash is of, nor the hash itself, nor nothing opens it.
    let said = first.line("enable");
    assert!(said.failed && said.text.contains("Put 'enable password PASSWORD'"), "{}", said.text);
    assert_eq!(first.prompt(), "pixfirewall> ", "no password is asked for");
    for word in ["cisco", "2KFQnbNIdI.2KYOU", "2KFQnbNIdI.2KYOU encrypted", ""] {
        let mut remote = Operator::remote(desk.device.clone());
        let said = remote.line(word);
        assert!(said.failed && remote.is_secret(), "{word}");
        assert!(said.text.contains("Put 'passwd PASSWORD'"), "{}", said.text);
    }
    // Set anew in the file, and read again: who can write it could have written any other.
    *desk.kept.lock().unwrap() = saved("fresh");
    desk.device.reload().unwrap();
    transcript(&mut first, &["enable", "cisco"]);
    assert!(first.is_secret());
    assert!(!first.line("fresh").failed);
    assert_eq!(first.prompt(), "pixfirewall# ");
    // That of no password at all is known: as delivered.
    *desk.kept.lock().unwrap() = saved("8Ry2YjIyt7RRXU24 encrypted");
    transcript(&mut first, &["reload noconfirm", "enable"]);
    assert!(first.is_secret() && first.line("8Ry2YjIyt7RRXU24").failed);
    assert!(!first.line("").failed);
    assert_eq!(first.prompt(), "pixfirewall# ");
}
