//! Dialogues by knob: what each end gets.

use super::testing::Middle;
use super::{Fault, Notice};
use crate::policy::{PartialLines, Personality, SplitEnd};

const SERVER: usize = 0;
const CLIENT: usize = 1;

#[test]
fn refusals_by_kind() {
    for (refusal, left) in [
        ("ok", "NOOP   \r\n"),
        ("unrecognized", "NOOP   \r\n"),
        ("noop", "NOOP   \r\n"),
        ("x-verb", "XXXX me\r\n"),
        ("x-line", "XXXXXXX\r\n"),
    ] {
        for partial in ["stream", "hold", "discard"] {
            let knobs = [("refusal", refusal), ("partial-lines", partial)];
            let mut middle = Middle::greeted("pix6x", &knobs);
            assert_eq!(middle.client("EHLO me\r\n"), left, "{refusal} {partial}");
            middle.got(CLIENT);
            let reply = match refusal {
                "ok" => "250 OK\r\n",
                "unrecognized" => "500 Command unrecognized\r\n",
                _ => "250 2.0.0 Ok\r\n",
            };
            assert_eq!(middle.server("250 2.0.0 Ok\r\n"), reply, "{refusal} {partial}");
            assert!(middle.notices.contains(&Notice::Refused));
        }
    }
    let mut middle = Middle::greeted("pix6x", &[("refusal", "reset")]);
    middle.client("EHLO me\r\n");
    assert_eq!(middle.fault, Some(Fault::CommandRefused));
}

#[test]
fn what_becomes_x() {
    for (name, line, left) in [
        ("pix6x", "HELP me\r\n", "XXXX me\r\n"),
        ("pix6x", " EXPN root\r\n", "XXXXX root\r\n"),
        ("pix6x", "\tEXPN root\r\n", "XXXXX root\r\n"),
        ("pix6x", "STARTTLS\r\n", "XXXXXXXX\r\n"),
        ("pix6x", "\r\n", "\r\n"),
        ("pix6x", "helo a\r\n", "helo a\r\n"),
        ("asa72", "STARTTLS\r\n", "XXXXXXXX\r\n"),
        ("asa72", "X-LINK2STATE LAST CHUNK={}\r\n", "XXXXXXXXXXXXXXXXXXXXXXXXXX\r\n"),
        ("asa72", "EHLO me\r\n", "EHLO me\r\n"),
        ("asa72", "EXPN a\nQUIT\r\n", "XXXXXX\r\nQUIT\r\n"),
    ] {
        let mut middle = Middle::greeted(name, &[]);
        assert_eq!(middle.client(line), left, "{name}");
        assert_eq!(
            middle.server("500 5.5.1 Command unrecognized: \"XXXX\"\r\n").get(..3),
            Some("500")
        );
    }
}

#[test]
fn a_verb_that_has_left_in_part_is_spoilt_by_x() {
    for (refusal, typed, left) in [
        ("x-verb", "HELP me\r\n", "HELX me\r\n"),
        ("x-line", "HELP me\r\n", "HELXXXX\r\n"),
        ("x-verb", "HEL\r\n", "HELX\r\n"),
        ("x-verb", "HEL O\r\n", "HELXX\r\n"),
        ("x-line", "DATAX\r\n", "DATAX\r\n"),
    ] {
        let mut middle = Middle::greeted("mailguard", &[("refusal", refusal)]);
        for octet in typed.chars() {
            middle.client(&octet.to_string());
        }
        assert_eq!(String::from_utf8_lossy(middle.all(SERVER)), left, "{refusal}");
    }
}

/// Cisco document 113423: with telnet in character mode each letter becomes an X of its own, and is forwarded.
#[test]
fn an_asa_masks_what_is_typed_by_character() {
    let mut middle = Middle::greeted("asa72", &[]);
    assert_eq!(middle.client("H"), "X");
    assert_eq!(middle.client("E"), "X");
    assert_eq!(middle.client("LO me\r\n"), "XXXXX\r\n");
    assert_eq!(middle.client("HELO me\r\n"), "HELO me\r\n", "a line in one packet passes");
    // Behind a whole line a verb waits for its end: a burst may be cut anywhere.
    assert_eq!(middle.client("RSET\r\nNO"), "RSET\r\n");
    assert_eq!(middle.client("OP\r\n"), "NOOP\r\n");
    assert_eq!(middle.client("MAIL FROM:<a"), "MAIL FROM:<a", "the verb is whole");
}

/// KB 320027: telnet in character mode may not work.
#[test]
fn a_pix_holds_a_line_until_it_is_whole() {
    let mut middle = Middle::greeted("pix6x", &[]);
    for octet in "HELO me".chars() {
        assert_eq!(middle.client(&octet.to_string()), "");
    }
    middle.repeat();
    assert_eq!(middle.got(SERVER), "", "not even a repeat gets through");
    assert_eq!(middle.client("\r"), "HELO me\r");
    assert_eq!(middle.client("\n"), "\n");
    let long = "x".repeat(3000);
    assert_eq!(middle.client(&format!("NOOP {long}")).len(), 3005, "nothing is held without end");
}

#[test]
fn ehlo_becomes_helo() {
    let mut middle = Middle::greeted("arista", &[]);
    assert_eq!(middle.client("EHLO me\r\n"), "HELO me\r\n");
    assert_eq!(middle.client("E"), "", "it may become EHLO");
    assert_eq!(middle.client("H"), "");
    assert_eq!(middle.client("LO"), "");
    assert_eq!(middle.client(" me\r\n"), "HELO me\r\n");
    assert_eq!(middle.client("EXPN a\r\nehlo\r\n"), "EXPN a\r\nHELO\r\n");
    assert_eq!(middle.client("E"), "");
    middle.repeat();
    assert_eq!(middle.got(SERVER), "E", "who waits for an acknowledgement is let through");
}

#[test]
fn answers_in_the_servers_place() {
    let mut middle = Middle::greeted("checkpoint", &[]);
    assert_eq!(middle.client("NOOP\r\n"), "NOOP\r\n");
    middle.got(CLIENT);
    assert_eq!(middle.server("250 2.0.0 Ok\r\n"), "220 OK\r\n");
    middle.client("NOOP\r\n");
    assert_eq!(middle.server("421 bye\r\n"), "421 bye\r\n");
    let mut middle = Middle::greeted("watchguard", &[]);
    middle.client("HELP\r\nRSET\r\n");
    middle.got(CLIENT);
    assert_eq!(
        middle.server("214-a\r\n214 b\r\n250 reset\r\n"),
        "214-Commands:\r\n214-\tDATA\tRCPT\tMAIL\tQUIT\tRSET\r\n214 \tHELO\tVRFY\tEXPN\tHELP\tNOOP\r\n250 reset\r\n"
    );
}

#[test]
fn special_characters_in_addresses() {
    let mut middle = Middle::greeted("pix6x", &[]);
    assert_eq!(middle.client("MAIL FROM:<a|b@c>\r\n"), "MAIL FROM:<a b@c>\r\n");
    assert_eq!(middle.client("RCPT TO:a>|<b>\r\n"), "RCPT TO:a  <b>\r\n");
    assert_eq!(middle.client("HELO a|b>\r\n"), "HELO a|b>\r\n");
    assert_eq!(
        middle.notices.iter().filter(|notice| **notice == Notice::AddressBlanked).count(),
        3
    );
    let mut middle = Middle::greeted("asa72", &[]);
    assert_eq!(middle.client("MAIL FROM:<a|b@c>\r\n"), "MAIL FROM:<a|b@c>\r\n");
}

fn in_mail_data(name: &str, knobs: &[(&str, &str)]) -> Middle {
    let mut middle = Middle::greeted(name, knobs);
    middle.client("DATA\r\n");
    middle.server("354 go\r\n");
    middle.got(SERVER);
    middle.got(CLIENT);
    middle
}

/// CSCds90792: the split is inside of `.` CRLF. Before it, as Postfix makes it, it does no harm.
#[test]
fn a_split_end_of_mail_data_is_withheld() {
    for cut in 1..3 {
        let (first, second) = ".\r\n".split_at(cut);
        let mut middle = in_mail_data("pix44", &[]);
        assert_eq!(middle.client(&format!("text\r\n{first}")), "text\r\n");
        assert_eq!(middle.client(second), "");
        middle.repeat();
        assert_eq!(middle.client("QUIT\r\n"), "", "nothing passes any more");
    }
    let mut middle = in_mail_data("pix44", &[]);
    assert_eq!(middle.client("text\r\n"), "text\r\n");
    assert_eq!(middle.client(".\r\n"), ".\r\n");
    assert_eq!(middle.client("QUIT\r\n"), "QUIT\r\n");
    let mut middle = in_mail_data("pix44", &[]);
    assert_eq!(middle.client("text\r\n."), "text\r\n");
    assert_eq!(middle.client(".dot\r\n.\r\n"), "..dot\r\n.\r\n", "a dot that was none");
    let mut middle = in_mail_data("pix6x", &[]);
    assert_eq!(middle.client("text\r\n."), "text\r\n.");
    assert_eq!(middle.client("\r\n"), "\r\n", "mended");
    assert_eq!(middle.server("250 queued\r\n"), "250 queued\r\n");
}

#[test]
fn the_reply_to_a_split_end_may_be_withheld() {
    let knobs = [("split-end", "withhold-reply")];
    let mut middle = in_mail_data("pix44", &knobs);
    middle.client("text\r\n.");
    middle.client("\r\n");
    assert!(middle.all(SERVER).ends_with(b"text\r\n.\r\n"), "the server has the message");
    assert_eq!(middle.server("250 queued\r\n"), "", "and the client does not know");
    let mut middle = in_mail_data("pix44", &knobs);
    middle.client("text\r\n.\r\n");
    assert_eq!(middle.server("250 queued\r\n"), "250 queued\r\n");
}

/// CVE-2000-1022: DATA, whatever the reply, opens the gate until the dot.
#[test]
fn data_may_open_the_gate_by_itself() {
    let knobs = [("data-phase", "command")];
    let mut middle = Middle::greeted("pix5x", &knobs);
    assert_eq!(middle.client("DATA\r\n"), "DATA\r\n");
    middle.got(CLIENT);
    assert_eq!(middle.server("503 need RCPT\r\n"), "503 need RCPT\r\n");
    assert_eq!(middle.client("EXPN root\r\n"), "EXPN root\r\n");
    assert_eq!(middle.server("250 root\r\n"), "250 root\r\n");
    assert_eq!(middle.client(".\r\n"), ".\r\n");
    assert_eq!(middle.server("500 what\r\n"), "500 what\r\n");
    assert_eq!(middle.client("EXPN root\r\n"), "XXXX root\r\n", "closed again");
    assert_eq!(middle.fault, None);
    let mut middle = Middle::greeted("pix5x", &[]);
    middle.client("DATA\r\n");
    middle.server("503 need RCPT\r\n");
    middle.got(SERVER);
    assert_eq!(middle.client("EXPN root\r\n"), "XXXX root\r\n", "mended");
}

/// PIX 4.2(2): runs of X in messages.
#[test]
fn mail_data_may_be_corrupted() {
    let mut middle = in_mail_data("pix42", &[("mail-data", "corrupt")]);
    assert_eq!(middle.client("Subject: one\r\n\r\nHello wo"), "Subject: one\r\n\r\nHello wo");
    assert_eq!(middle.client("rld\r\nmore\r\n"), "XXX\r\nXXXX\r\n");
    assert_eq!(middle.client("a line of its own\r\n.\r\n"), "a line of its own\r\n.\r\n");
    assert_eq!(middle.server("250 queued\r\n"), "250 queued\r\n");
    let mut middle = in_mail_data("pix42", &[]);
    middle.client("Hello wo");
    assert_eq!(middle.client("rld\r\n"), "rld\r\n");
}

/// All that somebody has taken for an end of mail data.
#[test]
fn nothing_is_smuggled() {
    for end in [
        "\n.\n",
        "\n.\r",
        "\r.\n",
        "\r.\r",
        "\n.\r\n",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\r\n.\r\r\n",
        "\r\r\n.\r\r\n",
    ] {
        let text = format!("one{end}MAIL FROM:<evil>\r\n.\r\n");
        let whole = in_mail_data("modern", &[]).client(&text);
        assert_eq!(whole.len(), text.len(), "{end:?}: the length stays");
        assert_eq!(whole.matches("\r\n").count(), whole.matches('\n').count(), "{end:?}");
        assert_eq!(whole.matches("\r\n").count(), whole.matches('\r').count(), "{end:?}");
        assert_eq!(whole.matches("\r\n.\r\n").count(), 1, "{end:?}: one end");
        for cut in 1..text.len() {
            let mut middle = in_mail_data("modern", &[]);
            let got = middle.client(&text[..cut]) + &middle.client(&text[cut..]);
            assert_eq!(got, whole, "{end:?} cut at {cut}");
        }
        let mut middle = in_mail_data("modern", &[("bare-line-ends", "reset"), ("nul", "reset")]);
        middle.client(&text);
        assert_eq!(middle.fault, Some(Fault::StrayOctet), "{end:?}");
    }
    let mut middle = in_mail_data("modern", &[]);
    assert_eq!(
        middle.client(".\r\nQUIT\r\n"),
        ".\r\n",
        "an empty message ends, QUIT came too early"
    );
}

#[test]
fn a_cr_waits_for_its_lf_but_not_for_ever() {
    let mut middle = in_mail_data("modern", &[]);
    assert_eq!(middle.client("text\r"), "text");
    middle.repeat();
    assert_eq!(middle.got(SERVER), "\r", "its sender waits for the acknowledgement");
    assert_eq!(middle.client("\n.\r\n"), "\n.\r\n");
    let mut middle = in_mail_data("modern", &[]);
    middle.client("text\r");
    middle.repeat();
    middle.client(".\r\n");
    assert_eq!(middle.fault, Some(Fault::StrayOctet));
    assert!(!middle.all(SERVER).ends_with(b".\r\n"));
}

#[test]
fn who_speaks_too_early_is_reset() {
    let mut middle = Middle::with("modern", &[]);
    middle.client("EHLO me\r\n");
    assert_eq!(middle.fault, Some(Fault::EarlyTalk));
    assert!(middle.all(SERVER).is_empty());
    let mut middle = Middle::with("mailguard", &[]);
    assert_eq!(middle.client("HELO me\r\n"), "HELO me\r\n");
}

fn offering(keywords: &str) -> Middle {
    let mut middle = Middle::greeted("modern", &[]);
    middle.client("EHLO me\r\n");
    middle.server(&format!("250-h\r\n250-SIZE\r\n250 {keywords}\r\n"));
    middle.got(SERVER);
    middle.got(CLIENT);
    middle
}

#[test]
fn who_pipelines_unasked_is_reset() {
    let group = "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n";
    let mut middle = offering("PIPELINING");
    assert_eq!(middle.client(group), group);
    middle.server("250 a\r\n250 b\r\n354 go\r\n");
    middle.client("text\r\n.\r\nMAIL FROM:<c>\r\n");
    assert_eq!(middle.fault, None, "behind the end of mail data it may");
    let mut middle = offering("DSN");
    middle.client(group);
    assert_eq!(middle.fault, Some(Fault::UnauthorizedPipelining));
    let mut middle = offering("PIPELINING");
    middle.client("EHLO again\r\nMAIL FROM:<a>\r\n");
    assert_eq!(middle.fault, Some(Fault::UnauthorizedPipelining), "EHLO is the last of its group");
    let mut middle = offering("PIPELINING");
    middle.client("DATA\r\ntext");
    assert_eq!(middle.fault, Some(Fault::UnauthorizedPipelining), "nobody knows what that is");
}

#[test]
fn chunks_are_counted() {
    let mut middle = offering("CHUNKING");
    assert_eq!(middle.client("BDAT 20\r\nEXPN a\r\n.\r\nEXPN b\r\nRSET\r\n").len(), 29);
    assert_eq!(middle.fault, Some(Fault::UnauthorizedPipelining), "RSET behind it, unasked");
    let mut middle = offering("CHUNKING");
    let chunk = "BDAT 21 LAST\r\nEXPN a\r\n.\r\nEXPN b\r\n\r\n";
    for octet in chunk.chars() {
        middle.client(&octet.to_string());
    }
    assert_eq!(middle.all(SERVER), format!("EHLO me\r\n{chunk}").as_bytes());
    assert_eq!(middle.server("250 queued\r\n"), "250 queued\r\n");
    middle.got(SERVER);
    assert_eq!(middle.client("EXPN a\r\n"), "EX    \r\n", "commands again");
    for bad in ["-1", "", "x", "99999999999999999999", "5 LASTING", "5 LA", "5 5"] {
        let mut middle = offering("CHUNKING");
        middle.client(&format!("BDAT {bad}\r\n"));
        assert_eq!(middle.fault, Some(Fault::BadChunkSize), "{bad:?}");
    }
    for good in ["0", "5 LAST ", "  7  last", "18446744073709551615"] {
        let mut middle = offering("CHUNKING");
        middle.client(&format!("BDAT {good}\r\n"));
        assert_eq!(middle.fault, None, "{good:?}");
    }
}

/// For a server that does not know BDAT what comes behind it is commands; so it is here.
#[test]
fn bdat_that_was_not_offered_is_refused() {
    let mut middle = offering("DSN");
    assert_eq!(middle.client("BDAT 8 LAST\r\n"), "BX         \r\n", "it might have been BURL");
    assert_eq!(middle.server("250 ok\r\n"), "500 Command unrecognized\r\n");
    assert_eq!(middle.client("EXPN a\r\n"), "EX    \r\n", "commands again");
    let mut middle = Middle::greeted("asa72", &[]);
    middle.client("EHLO me\r\n");
    middle.server("250-h\r\n250 CHUNKING\r\n");
    middle.got(SERVER);
    assert_eq!(middle.client("BDAT 8 LAST\r\nEXPN a\r\n"), "XXXXXXXXXXX\r\nXXXXXX\r\n");
}

#[test]
fn authentication_is_a_dialogue_of_its_own() {
    let mut middle = Middle::greeted("asa72", &[]);
    assert_eq!(
        middle.client("AUTH LOGIN\r\nEXPN a\r\n"),
        "AUTH LOGIN\r\n",
        "what comes behind it waits"
    );
    middle.got(CLIENT);
    assert_eq!(middle.server("334 VXNlcm5hbWU6\r\n"), "334 VXNlcm5hbWU6\r\n");
    assert_eq!(middle.got(SERVER), "EXPN a\r\n", "it is an answer");
    assert_eq!(middle.client("EXPN b\r\n"), "");
    assert_eq!(middle.server("535 no\r\n"), "535 no\r\n");
    assert_eq!(middle.got(SERVER), "XXXXXX\r\n", "it is a command");
    let mut middle = Middle::greeted("asa72", &[("auth", "refuse")]);
    assert_eq!(middle.client("AUTH LOGIN\r\n"), "XXXXXXXXXX\r\n");
    let mut middle = Middle::greeted("asa72", &[]);
    middle.client("AUTH LOGIN\r\n");
    middle.server("334 go\r\n");
    let long = "A".repeat(13_000);
    assert_eq!(
        middle.client(&format!("{long}\r\n")).matches('A').count(),
        12_288,
        "RFC 4954 section 4"
    );
}

#[test]
fn tls_is_not_inspected() {
    for name in ["asa94", "modern"] {
        let mut middle = Middle::greeted(name, &[]);
        assert_eq!(middle.client("STARTTLS\r\n"), "STARTTLS\r\n");
        middle.got(CLIENT);
        assert_eq!(middle.server("220 go\r\n"), "220 go\r\n");
        assert!(middle.notices.contains(&Notice::TlsStarted));
        assert_eq!(middle.client("\u{16}\u{3}\u{1}hello"), "\u{16}\u{3}\u{1}hello");
        assert_eq!(middle.server("\u{16}\u{3}\u{3}\r\n220 x\r\n"), "\u{16}\u{3}\u{3}\r\n220 x\r\n");
        assert_eq!(middle.client("EXPN root\r\n"), "EXPN root\r\n");
        assert_eq!(middle.fault, None);
    }
    let mut middle = Middle::greeted("asa94", &[]);
    middle.client("STARTTLS\r\n");
    middle.server("454 not now\r\n");
    middle.got(SERVER);
    assert_eq!(middle.client("EXPN root\r\n"), "XXXXXXXXX\r\n");
}

#[test]
fn nothing_is_injected_into_tls() {
    // Of the client's, in one packet with STARTTLS or in another one (CVE-2011-0411).
    for parts in [&["STARTTLS\r\nNOOP\r\n"][..], &["STARTTLS\r\n", "NOOP\r\n"]] {
        let mut middle = Middle::greeted("asa94", &[]);
        for part in parts {
            middle.client(part);
        }
        assert!(middle.all(SERVER).ends_with(b"STARTTLS\r\n"));
        middle.server("220 go\r\n");
        assert_eq!(middle.fault, Some(Fault::StartTlsInjection));
        assert!(middle.all(SERVER).ends_with(b"STARTTLS\r\n"));
    }
    // Behind the reply, but no TLS.
    let mut middle = Middle::greeted("asa94", &[]);
    middle.client("STARTTLS\r\n");
    middle.server("220 go\r\n");
    middle.client("NOOP\r\n");
    assert_eq!(middle.fault, Some(Fault::StartTlsInjection));
    // Of the server's, in one packet with its reply or in another one (CVE-2021-38371).
    for parts in [&["220 go\r\n250 injected\r\n"][..], &["220 go\r\n", "250 injected\r\n"]] {
        let mut middle = Middle::greeted("asa94", &[]);
        middle.client("STARTTLS\r\n");
        for part in parts {
            middle.server(part);
        }
        assert_eq!(middle.fault, Some(Fault::StartTlsInjection));
        assert!(middle.all(CLIENT).ends_with(b"220 go\r\n"));
    }
    // With a reply that refuses, what waited is a command.
    let mut middle = Middle::greeted("asa94", &[]);
    middle.client("STARTTLS\r\nEXPN a\r\n");
    middle.server("454 not now\r\n");
    assert!(middle.all(SERVER).ends_with(b"STARTTLS\r\nXXXXXX\r\n"));
    assert_eq!(middle.fault, None);
}

#[test]
fn nul_in_commands() {
    let mut middle = Middle::greeted("modern", &[]);
    assert_eq!(middle.client("HELO a\0b\r\n"), "HELO a b\r\n");
    let mut middle = Middle::greeted("modern", &[("nul", "reset")]);
    middle.client("HELO a\0b\r\n");
    assert_eq!(middle.fault, Some(Fault::StrayOctet));
}

const WORDS: &[&str] = &[
    "HELO",
    "EHLO",
    "MAIL FROM:<a>",
    "DATA",
    "HEL",
    "Q",
    "QUIT",
    "AUTH LOGIN",
    "STARTTLS",
    "BDAT 7 LAST",
    "X",
    " ",
    "\t",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    ".",
    "\r\n.\r\n",
    "a|>",
    "\0",
    "NOOP",
    "\u{16}\u{3}",
];
const REPLIES: &[&str] = &[
    "250 ok\r\n",
    "354 go\r\n",
    "334 x\r\n",
    "220 go\r\n",
    "500 no\r\n",
    "250-h\r\n250-SIZE\r\n250-STARTTLS\r\n250-CHUNKING\r\n250 PIPELINING\r\n",
    "421 bye\r\n",
    "250-a\r\n250 OK\r\n",
];

/// Law L16 for every personality, but for the knobs that are about packets: an end says a word, then the other one
/// has heard all of it before it says the next.
#[test]
fn l16_segmentation_is_invisible_in_every_personality() {
    let is_about_packets = |personality: &Personality| {
        personality.partial_lines == PartialLines::Mask || personality.split_end != SplitEnd::Pass
    };
    let mut faults = 0;
    for personality in Personality::ALL.iter().filter(|it| it.inspect && !is_about_packets(it)) {
        for seed in 0..1500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut words = vec![(1, "220 mail ESMTP 2020\r\n")];
            for _ in 0..rng.usize(1..25) {
                let from = usize::from(rng.u8(..3) == 0);
                words.push((from, rng.choice([WORDS, REPLIES][from]).unwrap()));
            }
            let run = |most: usize| {
                let mut middle = Middle::new(personality);
                for (from, word) in &words {
                    let mut rest = *word;
                    while !rest.is_empty() {
                        let (piece, next) = rest.split_at(most.min(rest.len()));
                        if *from == 0 {
                            middle.client(piece)
                        } else {
                            middle.server(piece)
                        };
                        rest = next;
                    }
                }
                (middle.all(SERVER).to_vec(), middle.all(CLIENT).to_vec(), middle.fault)
            };
            let whole = run(usize::MAX);
            faults += usize::from(whole.2.is_some());
            for most in [1, 2, 3] {
                assert_eq!(
                    run(most),
                    whole,
                    "{} seed {seed}, pieces of {most}: {words:?}",
                    personality.name
                );
            }
        }
    }
    assert!(faults > 100, "{faults} were reset");
}
