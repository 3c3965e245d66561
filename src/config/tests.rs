//! The language as it is typed and as it is read from files.

mod files;
mod help;
mod random;

use super::*;
use crate::policy::{Action, Greeting, Match, SpecialCharacters};

fn hash(text: &str) -> String {
    format!("$hash${}", text.replace(' ', "_"))
}

/// Types lines at a fresh configuration of a personality; what each brought.
struct Typist {
    config: Config,
    mode: Mode,
    notes: Vec<String>,
}

impl Typist {
    fn new(personality: &'static str) -> Self {
        Self { config: Config::factory(personality), mode: Mode::Config, notes: Vec::new() }
    }

    fn try_type(&mut self, line: &str) -> Result<(), Fault> {
        let read = read(line, &self.mode, self.config.family())?;
        assert!(matches!(read.command.run, Run::Edit(_)), "{line}");
        let mut editor =
            Editor { config: &mut self.config, mode: &mut self.mode, notes: Vec::new(), hash };
        let done = edit(&read, &mut editor);
        self.notes.extend(editor.notes);
        done.map_err(Fault::Refused)
    }

    fn types(&mut self, lines: &[&str]) -> &mut Self {
        for line in lines {
            self.try_type(line).unwrap_or_else(|fault| panic!("{line}: {}", fault.text(line)));
        }
        self
    }

    fn wrong(&mut self, line: &str) -> String {
        let before = (self.config.clone(), self.mode.clone());
        let fault = self.try_type(line).expect_err(line);
        assert_eq!((self.config.clone(), self.mode.clone()), before, "nothing has changed");
        fault.text(line)
    }
}

fn reads_back(config: &Config) {
    let text = config.text(false);
    let loaded = load(&text, hash);
    assert!(loaded.remarks.is_empty(), "{:?}\n{text}", loaded.remarks);
    // The name that a personality has by itself is written, too.
    let config = Config { hostname: Some(config.hostname().into()), ..config.clone() };
    assert_eq!(loaded.config, config, "{text}");
    assert_eq!(loaded.config.text(false), text);
}

#[test]
fn the_cure_of_the_article() {
    for name in ["pix42", "pix6x", "asa70", "asa72", "asa94", "mailguard"] {
        let mut typist = Typist::new(name);
        assert!(typist.config.policy().inspection(25).is_some(), "{name}");
        typist.types(&["no fixup protocol smtp 25"]);
        assert!(!typist.config.policy().inspects(), "{name}");
        reads_back(&typist.config);
        typist.types(&["fixup protocol smtp 25"]);
        assert!(typist.config.policy().inspection(25).is_some(), "{name}");
        reads_back(&typist.config);
    }
    let mut asa = Typist::new("asa72");
    asa.types(&["no fixup protocol smtp 25"]);
    assert_eq!(asa.notes, ["INFO: converting 'no fixup protocol smtp 25 ' to MPF commands"]);
    let mut asa = Typist::new("asa72");
    asa.types(&["policy-map global_policy", "class inspection_default", "no inspect esmtp"]);
    assert!(!asa.config.policy().inspects());
}

#[test]
fn fixup_without_a_port_is_as_it_was_delivered() {
    let mut pix = Typist::new("pix6x");
    pix.types(&[
        "fixup protocol smtp 2525",
        "fixup protocol smtp 1718-1719",
        "no fixup protocol smtp 25",
    ]);
    let policy = pix.config.policy();
    assert!(policy.inspection(2525).is_some() && policy.inspection(1718).is_some());
    assert!(policy.inspection(25).is_none() && policy.inspection(1720).is_none());
    assert!(
        pix.config
            .text(false)
            .contains("\nno fixup protocol smtp 25\nfixup protocol smtp 1718-1719\n")
    );
    reads_back(&pix.config);
    pix.types(&["no fixup protocol smtp"]);
    assert_eq!(pix.config.fixups, [(25, 25)]);
}

#[test]
fn versions_refuse_what_they_have_not() {
    for (name, line) in [
        ("pix40", "fixup protocol smtp 25"),
        ("pix6x", "mailhost 192.0.2.1 10.0.0.1"),
        ("pix6x", "class-map x"),
        ("pix6x", "policy-map type inspect esmtp x"),
        ("asa70", "policy-map type inspect esmtp x"),
        ("asa94", "mailhost 192.0.2.1 10.0.0.1"),
    ] {
        let mut typist = Typist::new(name);
        assert!(typist.wrong(line).contains("Invalid input"), "{name}: {line}");
        assert!(is_of_another_version(line, &Mode::Config, typist.config.family()));
        Typist::new("mailguard").types(&[line]);
    }
    assert!(!is_of_another_version("nonsense", &Mode::Config, Family::Own));
}

#[test]
fn mailhost_guards_and_without_one_nothing_is() {
    let mut pix = Typist::new("pix40");
    assert!(!pix.config.policy().inspects());
    pix.types(&["mailhost (inside,outside) 192.0.2.1 10.0.0.1 100 50"]);
    assert!(pix.config.policy().inspection(25).is_some());
    reads_back(&pix.config);
    pix.types(&["no mailhost 192.0.2.1 10.0.0.1"]);
    assert!(!pix.config.policy().inspects());
}

#[test]
fn what_is_guarded_survives_another_personality() {
    let mut typist = Typist::new("pix6x");
    typist.types(&["fixup protocol smtp 2525", "personality asa72"]);
    let policy = typist.config.policy();
    assert_eq!(policy.inspection(25).map(|p| p.name), Some("asa72"));
    assert_eq!(policy.inspection(2525).map(|p| p.name), Some("asa72"));
    reads_back(&typist.config);
    typist.types(&["personality pix44"]);
    assert_eq!(typist.config.fixups, [(25, 25), (2525, 2525)]);
    typist.types(&["personality mailguard"]);
    reads_back(&typist.config);
    typist.types(&["personality pix41"]);
    assert!(!typist.config.policy().inspects());
    typist.types(&["personality off"]);
    assert!(!typist.config.policy().inspects());
}

const MAP: &[&str] = &[
    r#"regex spam "^(spam|x+)@""#,
    "regex exe \\.exe$",
    "class-map type regex match-any bad",
    "match regex spam",
    "match regex exe",
    "policy-map type inspect esmtp strict",
    "description what  we think of mail",
    "match cmd line length gt 512",
    "drop-connection log",
    "match not cmd RCPT count gt 5",
    "reset",
    "match cmd verb vrfy HELP",
    "mask log",
    "match ehlo-reply-parameter others size",
    "mask",
    "match sender-address regex spam",
    "drop-connection",
    "match mime filetype regex class bad",
    "log",
    "match MIME encoding base64 others",
    "rate-limit 10",
    "match header to-fields count gt 9",
    "match body length gt 1000000",
    "log",
    "parameters",
    "mask-banner",
    "mail-relay example.org action drop-connection log",
    "special-character action log",
    "allow-tls action log",
    "class-map mail",
    "match port tcp range 25 26",
    "policy-map of_mine",
    "class mail",
    "inspect esmtp strict",
    "service-policy of_mine interface outside",
];

#[test]
fn a_map_of_one_s_own() {
    let mut asa = Typist::new("asa94");
    asa.types(&["no service-policy global_policy global"]);
    asa.types(MAP);
    reads_back(&asa.config);
    let policy = asa.config.policy();
    assert!(policy.inspection(27).is_none());
    let personality = policy.inspection(26).expect("a policy");
    let texts: Vec<_> = personality.map.iter().map(crate::policy::Class::text).collect();
    assert_eq!(
        texts,
        [
            "cmd line length gt 512",
            "not cmd RCPT count gt 5",
            "cmd verb VRFY HELP",
            "ehlo-reply-parameter size others",
            "sender-address regex spam",
            "MIME filetype regex class bad",
            "MIME encoding base64 others",
            // Without an action a match does nothing.
            "body length gt 1000000",
        ]
    );
    assert_eq!(personality.map[0].action, Action::DropConnection);
    assert!(personality.map[0].logs && !personality.map[1].logs);
    assert!(matches!(personality.map[5].matches, Match::MimeFiletype(_)));
    assert_eq!(personality.special_characters, SpecialCharacters::Log);
    assert_eq!(personality.mail_relay.as_ref().map(|relay| &*relay.domain), Some("example.org"));
    assert_eq!(personality.greeting, Greeting::Keep20);
    asa.types(&[
        "policy-map type inspect esmtp strict",
        "parameters",
        "no mask-banner",
        "no allow-tls",
    ]);
    let policy = asa.config.policy();
    let personality = policy.inspection(25).expect("a policy");
    assert_eq!(personality.greeting, Greeting::Pass);
    assert!(!personality.verbs.contains(crate::smtp::Verb::StartTls));
    for line in [
        "no regex spam",
        "no class-map type regex match-any bad",
        "no policy-map type inspect esmtp strict",
        "no class-map mail",
        "no policy-map of_mine",
    ] {
        assert!(asa.wrong(line).contains("in use"), "{line}");
    }
}

#[test]
fn mistakes_have_a_column_and_change_nothing() {
    let mut typist = Typist::new("mailguard");
    typist.types(&[
        "regex r a",
        "class-map c",
        "match port tcp eq 25",
        "policy-map type inspect esmtp m",
        "match body length gt 5",
    ]);
    for (line, column) in [
        ("fixup protocol smtp 0", 20),
        ("fixup protocol smpt 25", 15),
        ("timeout conn 1:00", 13),
        ("regex a (", 8),
        ("regex a \"\"", 8),
        ("mask", 0),
        ("match sender-address regex none", 27),
        ("match body length gt 0", 21),
        ("class-map r\u{e9}\u{e9}", 10),
        ("knob greeting stars", 14),
        ("knob colour red", 5),
        ("enable password abc encrypted", 16),
        ("service-policy none global", 15),
        ("personality pix9", 12),
        ("logging trap 8", 13),
        ("logging host inside 10.0.0.1 icmp/1", 29),
        ("logging facility 15", 17),
        ("hostname a_b!", 9),
        ("xyz", 0),
    ] {
        let fault = typist.try_type(line).expect_err(line);
        assert_eq!(fault.column(), column, "{line}: {fault:?}");
        typist.wrong(line);
    }
    typist.types(&["class-map c"]);
    assert!(typist.wrong("match any").contains("one match"));
    let long = format!("hostname {}", "a".repeat(5000));
    assert_eq!(typist.try_type(&long), Err(Fault::TooLong));
}

#[test]
fn help_and_completion_come_from_the_same_table() {
    let mode = Mode::Privileged;
    let words = |line: &str| -> Vec<String> {
        help(line, &mode, Family::Own).into_iter().map(|(word, _)| word).collect()
    };
    assert!(words("").contains(&"configure".to_owned()));
    assert_eq!(words("conf"), ["configure"]);
    assert_eq!(words("configure "), ["terminal"]);
    assert_eq!(words("show conn "), ["detail", "count", "<cr>"]);
    assert_eq!(words("packet-tracer input outside tcp "), ["ADDRESS"]);
    let words = |line: &str, mode: &Mode| complete(line, mode, Family::Own);
    assert_eq!(words("conf", &mode), ["configure"]);
    assert_eq!(words("configure t", &mode), ["terminal"]);
    assert_eq!(words("personality pix5", &Mode::Config), ["pix5x"]);
    assert_eq!(words("no fix", &Mode::Config), ["fixup"]);
    assert!(words("nonsense ", &mode).is_empty());
    let about = help("write ", &mode, Family::Own);
    assert!(about.iter().all(|(word, about)| !about.is_empty() && !word.is_empty()), "{about:?}");
}

#[test]
fn every_command_has_help_a_no_form_or_a_reason_and_can_be_typed() {
    let mut count = 0;
    for command in commands() {
        count += 1;
        assert!(!command.about.is_empty() && !command.has.0.is_empty(), "{}", command.syntax);
        if let No::Never(why) = command.no {
            assert!(!why.is_empty());
        }
    }
    assert!(count > 80, "{count}");
}

#[test]
fn a_tcp_map_says_what_is_not_agreed_on_and_what_is_settled() {
    let mut asa = Typist::new("asa94");
    asa.types(&[
        "tcp-map old",
        "tcp-options selective-ack clear",
        "tcp-options timestamp clear",
        "tcp-options timestamp allow",
        "exceed-mss allow",
        "urgent-flag clear",
        "check-retransmission",
        "policy-map global_policy",
        "class inspection_default",
        "set connection advanced-options old",
    ]);
    reads_back(&asa.config);
    let map = asa.config.policy().tcp_map(25);
    assert!(map.clears_sack && !map.clears_timestamps && !map.clears_window_scale);
    assert!(asa.wrong("no tcp-map old").contains("in use"));
    assert!(asa.wrong("set connection advanced-options none").contains("does not exist"));
    asa.types(&["tcp-map old"]);
    for line in
        ["exceed-mss drop", "urgent-flag allow", "reserved-bits allow", "seq-past-window allow"]
    {
        assert!(asa.wrong(line).contains("mailguard has no"), "{line}");
    }
    asa.types(&["policy-map global_policy", "class inspection_default"]);
    asa.types(&["no set connection advanced-options old", "no tcp-map old"]);
    assert_eq!(asa.config.policy().tcp_map(25), crate::policy::TcpMap::default());
}

#[test]
fn a_knob_that_is_set_stays_when_another_value_is_refused() {
    let mut typist = Typist::new("mailguard");
    typist.types(&["knob greeting all"]);
    typist.wrong("knob greeting stars");
    typist.types(&["knob greeting keep20"]);
    assert_eq!(typist.config.knobs.len(), 1);
    typist.types(&["no knob greeting"]);
    assert!(typist.config.knobs.is_empty());
}

#[test]
fn names_of_the_device_that_are_there_already_are_not_there_twice() {
    let mut typist = Typist::new("mailguard");
    typist.types(&["class-map inspection_default", "policy-map global_policy"]);
    typist.types(&["class inspection_default", "personality asa72"]);
    assert_eq!((typist.config.class_maps.len(), typist.config.policy_maps.len()), (1, 1));
    assert!(typist.config.policy().inspection(25).is_some());
    reads_back(&typist.config);
}
