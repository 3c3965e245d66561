//! What real devices have shown: greetings and replies to EHLO, byte for byte from their originals where these are
//! known, by rule where they are not.

use super::testing::Middle;

fn stars(count: usize) -> String {
    "*".repeat(count)
}

/// What the client reads of a greeting, however that is cut.
fn shown(name: &str, knobs: &[(&str, &str)], original: &str) -> String {
    let whole = Middle::with(name, knobs).server(original);
    for cut in [1, 2, 3, 5, 7, 11] {
        let mut middle = Middle::with(name, knobs);
        for piece in original.as_bytes().chunks(cut) {
            middle.server(&String::from_utf8_lossy(piece));
        }
        assert_eq!(String::from_utf8_lossy(middle.all(1)), whole, "{name}: pieces of {cut}");
    }
    whole
}

/// The sample of Microsoft KB 320027 is one line of a Windows 2000 server, wrapped by a terminal; here the blank
/// behind the code is masked too.
#[test]
fn kb_320027_decodes() {
    let original = "220 hhhhhhhhhhhh Microsoft ESMTP MAIL Service, Version: 5.0.2195.4905 ready at  Tue, 3 Sep 2002 11:11:21 -0500\r\n";
    let sample = format!("220{}0*2******0{}2002*******2***0*00\r\n", stars(55), stars(23));
    assert_eq!(shown("pix6x", &[("greeting-separator", "mask")], original), sample);
    assert_eq!(shown("pix6x", &[], original), sample.replacen("220*", "220 ", 1));
}

const GREETINGS: [(&str, &str, &str); 4] = [
    (
        "220 mail.example.com Microsoft ESMTP MAIL Service, Version: 6.0.3790.3959 ready at  Tue, 12 Jun 2007 10:20:30 -0400\r\n",
        "220 **********************************************************0****0**********************2*****200***0*20**0**0*00\r\n",
        "220 {111}\r\n",
    ),
    (
        "220 letra.reed.edu ESMTP Sendmail 8.12.9/8.12.9; Mon, 15 Sep 2003 10:35:57 -0700 (PDT)\r\n",
        "220 *********************************2******2****************200***0********0*00******\r\n",
        "220 {82}\r\n",
    ),
    ("220 metagross ESMTP Postfix (Debian/GNU)\r\n", "220 {36}\r\n", "220 {36}\r\n"),
    (
        "220-This is my mail server\r\n220 server.gordano.com NTMail (v7.00.0018/AA0000.00.b1a028f6) ready for ESMTP transfer\r\n",
        "220-{22}\r\n220*******************************00*00*****0000*00****02*****************************\r\n",
        "220-{22}\r\n{86}\r\n",
    ),
];

/// `{n}` is so many stars.
fn unfold(text: &str) -> String {
    let mut parts = text.split(['{', '}']);
    let mut out = parts.next().unwrap_or_default().to_owned();
    while let (Some(count), Some(rest)) = (parts.next(), parts.next()) {
        out += &stars(count.parse().unwrap());
        out += rest;
    }
    out
}

#[test]
fn greetings_by_generation() {
    for (original, keep20, all) in GREETINGS {
        for name in ["pix5x", "pix6x", "asa70", "asa72", "asa94"] {
            assert_eq!(shown(name, &[], original), unfold(keep20), "{name}");
        }
        for name in ["pix42", "pix44"] {
            assert_eq!(shown(name, &[], original), unfold(all), "{name}");
        }
        for name in ["modern", "arista", "fsecure"] {
            assert_eq!(shown(name, &[], original), original, "{name}");
        }
    }
}

/// A gateway maker's knowledge base shows 82 stars for its greeting, 2 and 0 masked too, and a second line whose
/// code is gone.
#[test]
fn all_of_a_greeting() {
    let text = "server.gordano.com NTMail (v7.00.0018/AA0000.00.b1a028f6) ready for ESMTP transfer";
    assert_eq!(text.len(), 82);
    assert_eq!(shown("pix44", &[], &format!("220 {text}\r\n")), format!("220 {}\r\n", stars(82)));
    let kept = shown("pix44", &[("greeting-continuation", "keep")], "220-a\r\n220 b\r\n");
    assert_eq!(kept, "220-*\r\n220 *\r\n");
}

/// recog takes `^SMTP/cmap ready_+$` for a PIX 4.
#[test]
fn cmap() {
    let shown = shown("pix40", &[], "220 mail.example.com ESMTP Sendmail 8.8.8; ready\r\n");
    let text = shown.trim_end().strip_prefix("220 SMTP/cmap ready").unwrap();
    assert!(!text.is_empty() && text.bytes().all(|octet| octet == b'_'));
}

/// sendmail says EHLO to whom says ESMTP; Postfix takes nobody for a PIX who does.
#[test]
fn the_word_esmtp_may_stay() {
    let knobs = [("greeting", "esmtp")];
    assert_eq!(shown("pix6x", &knobs, "220 mail ESMTP 2\r\n"), "220 *****ESMTP**\r\n");
    assert_eq!(shown("pix6x", &knobs, "220 ESMT ESMESMTP\r\n"), "220 ********ESMTP\r\n");
    let mut middle = Middle::with("pix6x", &knobs);
    assert_eq!(middle.server("220 a ESM"), "220 **");
    middle.repeat();
    assert_eq!(middle.got(1), "***", "the server waits: it is none");
    assert_eq!(middle.server("TP\r\n"), "**\r\n");
}

/// What nmap and recog know the others by.
#[test]
fn greetings_of_other_firewalls() {
    for (name, text) in [
        ("watchguard", "220 SMTP service ready\r\n"),
        ("checkpoint", "220 CheckPoint FireWall-1 secure ESMTP server\r\n"),
        ("raptor", "220 mail.example.com Generic SMTP handler\r\n"),
    ] {
        for original in [
            "220 mail.example.com ESMTP\r\n",
            "220 mail.example.com ESMTP with a greeting that is longer than what it is traded for, by far\r\n",
            "220 mail.example.com\r\n",
        ] {
            assert_eq!(shown(name, &[], original), text, "{name}");
        }
        assert_eq!(shown(name, &[], "554 no service\r\n"), "554 no service\r\n");
    }
    let two = "220-mail.example.com one\r\n220 two\r\n";
    assert_eq!(shown("watchguard", &[], two), "220 SMTP service ready\r\n");
    assert_eq!(shown("raptor", &[], two), "220 mail.example.com Generic SMTP handler\r\n");
    assert_eq!(shown("raptor", &[], "220\r\n"), "220 Generic SMTP handler\r\n");
}

/// The reply to EHLO that the client reads, however it is cut.
fn offered(name: &str, knobs: &[(&str, &str)], original: &str) -> String {
    let start = |name| {
        let mut middle = Middle::greeted(name, knobs);
        middle.client("EHLO c\r\n");
        middle.got(1);
        middle
    };
    let whole = start(name).server(original);
    for cut in [1, 2, 3, 4, 5, 7, 11, 13] {
        let mut middle = start(name);
        let mut got = String::new();
        for piece in original.as_bytes().chunks(cut) {
            got += &middle.server(&String::from_utf8_lossy(piece));
        }
        assert_eq!(got, whole, "{name}: pieces of {cut}");
    }
    whole
}

fn reply(lines: &[&str]) -> String {
    let last = lines.len() - 1;
    let line =
        |(at, text): (usize, &&str)| format!("250{}{text}\r\n", if at == last { ' ' } else { '-' });
    lines.iter().enumerate().map(line).collect()
}

/// An Exchange 2003 behind a device that masks VRFY and AUTH= too.
#[test]
fn ehlo_of_exchange_2003() {
    let original = reply(&[
        "mail.example.com Hello",
        "TURN",
        "SIZE",
        "ETRN",
        "PIPELINING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "8bitmime",
        "BINARYMIME",
        "CHUNKING",
        "VRFY",
        "X-EXPS GSSAPI NTLM LOGIN",
        "X-EXPS=LOGIN",
        "AUTH GSSAPI NTLM LOGIN",
        "AUTH=LOGIN",
        "X-LINK2STATE",
        "XEXCH50",
        "OK",
    ]);
    let masked = reply(&[
        "mail.example.com Hello",
        "XXXA",
        "SIZE",
        "ETRN",
        "PIPELINING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "8bitmime",
        "BINARYMIME",
        "XXXXXXXB",
        "XXXC",
        "XXXXXXXXXXXXXXXXXXXXXXXD",
        "XXXXXXXXXXXE",
        "AUTH GSSAPI NTLM LOGIN",
        "XXXXXXXXXF",
        "XXXXXXXXXXXG",
        "XXXXXXH",
        "XI",
    ]);
    assert_eq!(offered("asa70", &[], &original), masked);
}

/// Sendmail, Postfix twice and Exim behind others.
#[test]
fn ehlo_of_other_servers() {
    for (original, masked) in [
        (
            &[
                "h",
                "ENHANCEDSTATUSCODES",
                "PIPELINING",
                "8BITMIME",
                "SIZE",
                "DSN",
                "ETRN",
                "AUTH DIGEST-MD5 CRAM-MD5",
                "DELIVERBY",
                "HELP",
            ][..],
            &[
                "h",
                "ENHANCEDSTATUSCODES",
                "PIPELINING",
                "8BITMIME",
                "SIZE",
                "DSN",
                "ETRN",
                "AUTH DIGEST-MD5 CRAM-MD5",
                "XXXXXXXXA",
                "XXXB",
            ][..],
        ),
        (
            &[
                "h",
                "PIPELINING",
                "SIZE 10240000",
                "VRFY",
                "ETRN",
                "STARTTLS",
                "ENHANCEDSTATUSCODES",
                "8BITMIME",
                "DSN",
            ],
            &[
                "h",
                "PIPELINING",
                "SIZE 10240000",
                "VRFY",
                "ETRN",
                "XXXXXXXA",
                "ENHANCEDSTATUSCODES",
                "8BITMIME",
                "DSN",
            ],
        ),
        (
            &[
                "h",
                "PIPELINING",
                "SIZE 10240000",
                "ETRN",
                "STARTTLS",
                "AUTH LOGIN PLAIN",
                "AUTH=LOGIN PLAIN",
                "ENHANCEDSTATUSCODES",
                "8BITMIME",
                "DSN",
            ],
            &[
                "h",
                "PIPELINING",
                "SIZE 10240000",
                "ETRN",
                "XXXXXXXA",
                "AUTH LOGIN PLAIN",
                "AUTH=LOGIN PLAIN",
                "ENHANCEDSTATUSCODES",
                "8BITMIME",
                "DSN",
            ],
        ),
        (&["h", "PIPELINING", "STARTTLS", "HELP"], &["h", "PIPELINING", "XXXXXXXA", "XXXB"]),
    ] {
        assert_eq!(offered("asa72", &[], &reply(original)), reply(masked));
        let clear: Vec<_> = original
            .iter()
            .zip(masked)
            .map(|(clear, masked)| if *clear == "STARTTLS" { clear } else { masked })
            .copied()
            .collect();
        let mut clear = reply(&clear);
        if original.contains(&"STARTTLS") {
            // With allow-tls the letters begin at the next one.
            clear = clear.replace("XXXB", "XXXA");
        }
        assert_eq!(offered("asa94", &[], &reply(original)), clear);
    }
}

#[test]
fn what_is_masked_by_rule() {
    assert_eq!(offered("asa72", &[], "250 mail\r\n"), "250 mail\r\n");
    assert_eq!(offered("asa72", &[], "250-mail\r\n250 Z\r\n"), "250-mail\r\n250 A\r\n");
    assert_eq!(
        offered("asa72", &[], "250-mail\r\n250-\r\n250 Z\r\n"),
        "250-mail\r\n250-\r\n250 A\r\n"
    );
    assert_eq!(offered("asa72", &[], "500-no\r\n500 EVIL\r\n"), "500-no\r\n500 EVIL\r\n");
    let many: Vec<_> = (0..28).map(|_| "ZZ").collect();
    let text = offered("asa72", &[], &reply(&[&["h"], &many[..]].concat()));
    assert!(text.contains("250-XZ\r\n250-XA\r\n250 XB\r\n"), "behind Z comes A again: {text}");
}

#[test]
fn hidden_lines_vanish() {
    let hide = [("hidden-keywords", "remove"), ("keywords", "SIZE,DSN")];
    for (original, left) in [
        (&["h", "SIZE 1", "STARTTLS", "DSN"][..], &["h", "SIZE 1", "DSN"][..]),
        (&["h", "STARTTLS", "X", "DSN"], &["h", "DSN"]),
        (&["h", "SIZE", "STARTTLS"], &["h", "SIZE", "OK"]),
        (&["h", "A", "B", "C"], &["h", "OK"]),
    ] {
        assert_eq!(offered("asa72", &hide, &reply(original)), reply(left));
    }
    assert_eq!(
        offered("fsecure", &[], &reply(&["h", "CHUNKING", "SIZE", "PIPELINING", "X-OWN"])),
        reply(&["h", "SIZE", "X-OWN"])
    );
}

#[test]
fn a_server_that_waits_for_an_acknowledgement_goes_on() {
    let mut middle = Middle::greeted("asa72", &[("hidden-keywords", "remove")]);
    middle.client("EHLO c\r\n");
    middle.got(1);
    assert_eq!(middle.server("250-h\r\n250-STARTTLS\r\n"), "250-h\r\n");
    middle.repeat();
    assert_eq!(middle.got(1), "250-OK\r\n");
    assert_eq!(middle.server("250 SI"), "");
    middle.repeat();
    assert_eq!(middle.got(1), "250 XX", "what it is was not clear");
    assert_eq!(middle.server("ZE\r\n"), "XX\r\n");
    let mut middle = Middle::greeted("asa72", &[]);
    middle.client("EHLO c\r\n");
    middle.server("250-h\r\n250-SIZE 10");
    middle.repeat();
    assert!(middle.all(1).ends_with(b"250-SIZE 10"));
    middle.server("00\r\n250 DSN\r\n");
    assert!(middle.all(1).ends_with(b"250-SIZE 1000\r\n250 DSN\r\n"));
}
