//! Configurations of devices, as files.

use super::*;

#[test]
fn a_file_is_read_to_the_end_and_every_line_is_accounted_for() {
    let text = "\
: Saved
PIX Version 6.3(5)
nameif ethernet0 outside security0
nameif ethernet1 inside security100
enable password 8Ry2YjIyt7RRXU24 encrypted
hostname gate
fixup protocol ftp 21
fixup protocol smtp 25
fixup protocl smtp 26
access-list 100 permit tcp any host 192.0.2.1 eq 25
ip address outside 192.0.2.9 255.255.255.0
timeout xlate 3:00:00
timeout conn 1:00:00 half-closed 0:10:00 udp 0:02:00
class-map x
 match any
Cryptochecksum:0123
: end
";
    let loaded = load(text, hash);
    let told: Vec<_> = loaded
        .remarks
        .iter()
        .map(|remark| {
            (
                remark.line,
                remark.column,
                match remark.what {
                    What::Error(_) => "error",
                    What::Unsupported(_) => "unsupported",
                    What::Note(_) => "note",
                },
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (2, 0, "note"),
            (7, 0, "unsupported"),
            (9, 6, "error"),
            (10, 0, "unsupported"),
            (11, 0, "unsupported"),
            (12, 0, "unsupported"),
            (13, 41, "error"),
            (14, 0, "error"),
            (15, 1, "unsupported"),
            (16, 0, "unsupported"),
        ]
    );
    assert_eq!(loaded.config.personality, "pix6x");
    assert_eq!(loaded.config.hostname(), "gate");
    assert_eq!(
        loaded.remarks[2].show("f"),
        "f:9:7: error: Invalid input detected at '^' marker.\n  fixup protocl smtp 26\n        ^\n"
    );
}

#[test]
fn an_asa_s_file_too() {
    let text = "\
ASA Version 8.2(5)
!
hostname fw
interface Ethernet0/0
 nameif outside
 security-level 0
 ip address 192.0.2.1 255.255.255.0
!
object network SRV
 host 10.0.0.1
 nat (inside,outside) static 192.0.2.9
class-map inspection_default
 match default-inspection-traffic
policy-map type inspect esmtp tls
 parameters
  allow-tls
policy-map type inspect dns preset_dns_map
 parameters
  message-length maximum 512
policy-map global_policy
 class inspection_default
  inspect dns preset_dns_map
  inspect ftp
  inspect esmtp tls
service-policy global_policy global
: end
";
    let loaded = load(text, hash);
    let unsupported: Vec<_> = loaded
        .remarks
        .iter()
        .filter(|r| matches!(r.what, What::Unsupported(_)))
        .map(|r| r.line)
        .collect();
    assert_eq!(unsupported, [7, 9, 10, 11, 17, 18, 19, 22, 23]);
    assert!(!loaded.has_errors(), "{:?}", loaded.remarks);
    let policy = loaded.config.policy();
    let personality = policy.inspection(25).expect("inspected");
    assert!(personality.verbs.contains(crate::smtp::Verb::StartTls), "allow-tls");
}

#[test]
fn a_saved_file_that_was_cut_short_is_wrong() {
    let saved = Config::factory("pix6x").text(false);
    for (at, _) in saved.match_indices('\n').skip(1) {
        let loaded = load(&saved[..at], hash);
        assert_eq!(loaded.has_errors(), at + 1 < saved.len(), "{}", &saved[..at]);
    }
    let loaded = load(": Saved\nfixup protocol smtp 25", hash);
    let [Remark { line: 2, column: 0, what: What::Error(why), .. }] = &loaded.remarks[..] else {
        panic!("{:?}", loaded.remarks)
    };
    assert!(why.contains(": end"), "{why}");
    assert!(!load("PIX Version 6.3(5)\nfixup protocol smtp 25", hash).has_errors());
}

/// The lines about passwords of saved configurations that were published, with hashes of well-known words.
#[test]
fn passwords_of_the_device_are_kept_and_open_nothing() {
    const MD5: &str = "2KFQnbNIdI.2KYOU encrypted";
    const SHA512: &str = "$sha512$5000$Yx1vNeH0w3y1yDb1y0GyWg==$4Y1hQ0bqW0f5yK0Tn3dB0A== pbkdf2";
    for (head, lines, notes) in [
        ("PIX Version 6.3(5)", vec![format!("enable password {MD5}"), format!("passwd {MD5}")], 2),
        (
            "ASA Version 9.4(1)",
            vec![format!("enable password {SHA512}"), format!("passwd {MD5}")],
            2,
        ),
        ("ASA Version 8.2(5)", vec!["enable password 8Ry2YjIyt7RRXU24 encrypted".into()], 0),
        ("PIX Version 5.3(1)", vec!["enable password ***** encrypted".into()], 1),
    ] {
        let text = format!(": Saved\n:\n{head}\n{}\nhostname gate\n: end\n", lines.join("\n"));
        let loaded = load(&text, hash);
        assert!(!loaded.has_errors(), "{:?}", loaded.remarks);
        // The first remark is about the version.
        assert_eq!(loaded.remarks.len(), 1 + notes, "{:?}", loaded.remarks);
        let is_about = |remark: &Remark| remark.show("f").contains("password anew");
        assert!(loaded.remarks.iter().skip(1).all(is_about), "{:?}", loaded.remarks);
        let config = loaded.config;
        assert_eq!(config.enable_password.as_ref().unwrap().is_unknown(), notes > 0);
        // What is written is what was read, and hides when it is shown.
        let written = config.text(false);
        assert!(lines.iter().all(|line| written.contains(&format!("\n{line}\n"))), "{written}");
        let again = load(&written, hash);
        assert!(!again.has_errors());
        assert_eq!((&again.config, again.config.text(false)), (&config, written));
        assert!(!config.text(true).contains("2KFQ") && !config.text(true).contains("sha512"));
        let mut typist = Typist { config, mode: Mode::Config, notes: Vec::new() };
        typist.types(&["enable password new"]);
        assert_eq!(typist.config.enable_password, Some(Secret::Hash(hash("new"))));
        typist.types(&["no enable password"]);
        assert_eq!((typist.config.enable_password.clone(), typist.notes.len()), (None, 0));
    }
}

#[test]
fn the_password_of_another_privilege_level_is_none_of_enable() {
    let mut typist = Typist::new("asa94");
    typist.types(&["enable password one", "enable password 2KFQnbNIdI.2KYOU level 5 encrypted"]);
    assert_eq!(typist.config.enable_password, Some(Secret::Hash(hash("one"))));
    typist.types(&["no enable password level 5"]);
    assert_eq!(typist.config.enable_password, Some(Secret::Hash(hash("one"))));
    assert_eq!(typist.notes.len(), 2, "{:?}", typist.notes);
    typist.types(&["enable password two level 15"]);
    assert_eq!(typist.config.enable_password, Some(Secret::Hash(hash("two"))));
    for line in [
        "enable password two pbkdf2",
        "enable password 2KFQnbNIdI.2KYO encrypted",
        "enable password 2KFQnbNIdI_2KYOU encrypted",
        "passwd letmein encrypted",
    ] {
        assert!(typist.wrong(line).contains("type the password itself"), "{line}");
    }
}
