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
            (5, 16, "error"),
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
        loaded.remarks[3].show("f"),
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
