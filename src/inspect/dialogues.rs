//! Dialogues by knob: what each end gets.

use super::testing::Middle;
use super::{Fault, Notice};
use crate::policy::Personality;
use crate::smtp::Verb;

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
            assert!(middle.watch.notices.contains(&Notice::Refused(Some(Verb::Ehlo))));
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
    let mut middle = Middle::greeted("raptor", &[]);
    middle.client("HELP\r\n");
    middle.got(CLIENT);
    assert_eq!(
        middle.server("502 5.5.1 not implemented\r\n"),
        "214 Help not supported by this implementation\r\n",
        "it is the device that answers"
    );
}

#[test]
fn special_characters_in_addresses() {
    let mut middle = Middle::greeted("pix6x", &[]);
    assert_eq!(middle.client("MAIL FROM:<a|b@c>\r\n"), "MAIL FROM:<a b@c>\r\n");
    assert_eq!(middle.client("RCPT TO:a>|<b>\r\n"), "RCPT TO:a  <b>\r\n");
    assert_eq!(middle.client("HELO a|b>\r\n"), "HELO a|b>\r\n");
    assert_eq!(
        middle.watch.notices.iter().filter(|notice| **notice == Notice::AddressBlanked).count(),
        3
    );
    let mut middle = Middle::greeted("asa72", &[]);
    assert_eq!(middle.client("MAIL FROM:<a|b@c>\r\n"), "MAIL FROM:<a|b@c>\r\n");
}

/// A line behind a lone CR is judged as one behind CRLF.
#[test]
fn a_line_behind_a_lone_cr_is_a_line() {
    for (name, said, left) in [
        ("pix6x", "NOOP\rHELP me\r\n", "NOOP\r\nXXXX me\r\n"),
        ("pix6x", "HELP\rNO\r\r\n", "XXXX\r\nXX\r\n\r\n"),
        ("asa72", "NOOP\rMAI\r\n", "NOOP\r\nXXX\r\n"),
        ("arista", "NOOP\rEHLO me\r\n", "NOOP\r\nHELO me\r\n"),
        ("arista", "EHLO a\rEHLO b\r\n", "HELO a\r\nHELO b\r\n"),
        ("mailguard", "NOOP\rHELP me\r\n", "NOOP\r\nHELX   \r\n"),
        ("pix6x", "DATA\rNOOP\r\nNOOP\r\n", "DATA\r\n"),
    ] {
        for cut in 0..said.len() {
            let mut middle = Middle::greeted(name, &[]);
            let (first, second) = said.split_at(cut);
            // What an ASA does with a verb in pieces depends on the pieces.
            if name != "asa72" || cut == 0 || first.ends_with('\r') {
                let got = middle.client(first) + &middle.client(second);
                assert_eq!(got, left, "{name}, cut at {cut}");
            }
        }
    }
    let mut middle = Middle::greeted("arista", &[]);
    assert_eq!(middle.client("NOOP\rE"), "NOOP\r", "it may become EHLO");
    middle.repeat();
    assert_eq!(middle.got(SERVER), "\nE");
    // The beginning of a line that waits behind others keeps waiting.
    let mut middle = Middle::greeted("asa72", &[]);
    assert_eq!(middle.client("NOOP\rN"), "NOOP\r");
    assert_eq!(middle.client("OO"), "");
    assert_eq!(middle.client("P\r\n"), "\nNOOP\r\n");
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
    let mut faults = 0;
    for personality in Personality::ALL.iter().filter(|it| it.is_blind_to_packets()) {
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
