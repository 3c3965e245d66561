//! Dialogues with extensions: pipelining, chunks, authentication, TLS.

use super::testing::Middle;
use super::{Fault, Notice};

const SERVER: usize = 0;
const CLIENT: usize = 1;

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
        assert!(middle.watch.notices.contains(&Notice::TlsStarted));
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
    // Where commands may not be pipelined unasked, there is no need to wait for the reply.
    let mut middle = Middle::greeted("modern", &[]);
    assert_eq!(middle.client("STARTTLS\r\nNOOP\r\n"), "STARTTLS\r\n");
    assert_eq!(middle.fault, Some(Fault::StartTlsInjection));
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

/// What the client gets of a reply to EHLO in pieces, and how many lines were counted as hidden.
fn reply_to_ehlo(name: &str, pieces: &[&str]) -> (String, usize) {
    let mut middle = Middle::greeted(name, &[]);
    middle.client("EHLO me\r\n");
    middle.got(CLIENT);
    let got = pieces.iter().map(|piece| middle.server(piece)).collect();
    let hidden = middle.watch.notices.iter().filter(|notice| **notice == Notice::KeywordHidden);
    (got, hidden.count())
}

#[test]
fn a_line_that_is_hidden_is_counted_once() {
    let reply = "250-h\r\n250-STARTTLS\r\n250-PIPELINING\r\n250-SIZE\r\n250 CHUNKING\r\n";
    for name in ["fsecure", "asa72"] {
        let whole = reply_to_ehlo(name, &[reply]);
        let octets: Vec<_> = (0..reply.len()).map(|at| &reply[at..=at]).collect();
        assert_eq!(reply_to_ehlo(name, &octets), whole, "{name}");
        assert_eq!(whole.1, if name == "fsecure" { 3 } else { 2 }, "{name}");
    }
}

/// Law L16, for lines that are longer than may be held.
#[test]
fn l16_a_long_line_is_long_however_it_comes() {
    for (name, word) in
        [("asa72", "X-LONG "), ("asa72", "SIZE "), ("asa72", ""), ("fsecure", "STARTTLS ")]
    {
        for len in [504, 505, 506, 507, 508, 1_000] {
            let text = format!("{word}{}", "y".repeat(len - word.len()));
            let reply = format!("250-h\r\n250-STARTTLS\r\n250-{text}\r\n250 DSN\r\n");
            let whole = reply_to_ehlo(name, &[&reply]);
            for cut in [1, 7, 100, 509, 511, 512, 513, 600] {
                let pieces = reply.as_bytes().chunks(cut);
                let pieces: Vec<_> =
                    pieces.map(|piece| core::str::from_utf8(piece).unwrap()).collect();
                assert_eq!(reply_to_ehlo(name, &pieces), whole, "{name} {word} {len}, cut {cut}");
            }
        }
    }
}

#[test]
fn half_a_keyword_is_not_shown() {
    let mut middle = Middle::greeted("fsecure", &[]);
    middle.client("EHLO me\r\n");
    middle.got(CLIENT);
    assert_eq!(middle.server("250-h\r\n250 STARTT"), "250-h\r\n");
    middle.repeat();
    assert_eq!(middle.got(CLIENT), "250 XXXXXX");
    assert_eq!(middle.server("LS\r\n"), "XX\r\n");
}
