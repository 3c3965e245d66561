//! Random lines: what was typed reads back, and nothing is too much.

use super::*;

/// Words that make sense somewhere, and some that do not.
const WORDS: &[&str] = &[
    "no",
    "personality",
    "pix40",
    "pix6x",
    "asa70",
    "asa72",
    "mailguard",
    "fixup",
    "protocol",
    "smtp",
    "25",
    "26-28",
    "mailhost",
    "(inside,outside)",
    "192.0.2.1",
    "10.0.0.1",
    "hostname",
    "gate",
    "enable",
    "password",
    "secret",
    "passwd",
    "class-map",
    "policy-map",
    "type",
    "inspect",
    "esmtp",
    "regex",
    "match-any",
    "a",
    "b",
    "match",
    "not",
    "cmd",
    "verb",
    "HELO",
    "line",
    "length",
    "gt",
    "512",
    "header",
    "to-fields",
    "count",
    "body",
    "mime",
    "encoding",
    "base64",
    "others",
    "filetype",
    "class",
    "sender-address",
    "ehlo-reply-parameter",
    "size",
    "drop-connection",
    "mask",
    "reset",
    "log",
    "rate-limit",
    "parameters",
    "mask-banner",
    "allow-tls",
    "action",
    "mail-relay",
    "example.org",
    "special-character",
    "any",
    "port",
    "tcp",
    "eq",
    "range",
    "default-inspection-traffic",
    "service-policy",
    "global",
    "interface",
    "outside",
    "ethernet0",
    "ethernet2",
    "nameif",
    "security50",
    "security-level",
    "50",
    "timeout",
    "conn",
    "half-closed",
    "embryonic",
    "0:30:00",
    "sysopt",
    "connection",
    "tcpmss",
    "1380",
    "logging",
    "enable",
    "timestamp",
    "trap",
    "buffered",
    "debugging",
    "facility",
    "host",
    "tcp/1470",
    "message",
    "106015",
    "level",
    "3",
    "knob",
    "greeting",
    "all",
    "refusal",
    "noop",
    "description",
    "\"x y\"",
];

/// Lines that a walk through the table writes, so that most of them mean something.
fn line(rng: &mut fastrand::Rng, typist: &Typist) -> String {
    let mut line = String::new();
    for _ in 0..12 {
        let rows = help(&line, &typist.mode, typist.config.family());
        if rows.is_empty() || (rows.iter().any(|row| row.0 == "<cr>") && rng.u8(..3) > 0) {
            break;
        }
        let (word, _) = &rows[rng.usize(..rows.len())];
        let word = if word.bytes().all(|octet| octet.is_ascii_uppercase()) {
            let all = complete(&line, &typist.mode, typist.config.family());
            let accepted: Vec<_> = WORDS
                .iter()
                .filter(|w| KINDS.iter().any(|kind| kind.name == word && (kind.accepts)(w)))
                .map(|w| (*w).to_owned())
                .chain(all)
                .collect();
            if accepted.is_empty() {
                "x".into()
            } else {
                accepted[rng.usize(..accepted.len())].clone()
            }
        } else if word == "<cr>" {
            break;
        } else {
            word.clone()
        };
        line += &word;
        line.push(' ');
    }
    line
}

#[test]
fn what_was_typed_reads_back_as_it_is() {
    let mut edits = 0;
    for seed in 0..80 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let start = *rng.choice(crate::policy::Personality::ALL).unwrap();
        let mut typist = Typist::new(start.name);
        for _ in 0..60 {
            let line = line(&mut rng, &typist);
            let Ok(command) = read(&line, &typist.mode, typist.config.family()) else { continue };
            if matches!(command.command.run, Run::Edit(_)) && typist.try_type(&line).is_ok() {
                edits += 1;
            }
        }
        typist.config.policy();
        reads_back(&typist.config);
    }
    assert!(edits > 1000, "{edits}");
}

#[test]
fn nothing_that_is_typed_or_read_is_too_much() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut text = String::new();
        for _ in 0..rng.usize(..60) {
            match rng.u8(..8) {
                0 => text.push('\n'),
                1 => text.push_str("\n "),
                2 => text.push(rng.char(..)),
                _ => {
                    text.push_str(rng.choice(WORDS).unwrap());
                    text.push(' ');
                }
            }
        }
        let loaded = load(&text, hash);
        for remark in &loaded.remarks {
            assert!(remark.show("f").lines().count() <= 3);
        }
        loaded.config.policy();
        for line in text.lines() {
            for mode in [Mode::User, Mode::Config, Mode::EsmtpMatch("a".into(), 3)] {
                help(line, &mode, Family::Own);
                complete(line, &mode, Family::Maps);
            }
        }
    }
    let wrong = load(&"x\n".repeat(1 << 20), hash);
    assert_eq!(wrong.remarks.len(), crate::limits::CONFIG_ERRORS_MAX + 1);
    assert!(wrong.remarks[100].show("f").contains("the rest is not read"));
    let long = load(&"x".repeat(1 << 20), hash);
    assert!(long.has_errors() && long.remarks[0].show("f").len() < 600);
}
