//! The judge of the client by itself: lines under every cut.

use super::*;
use crate::inspect::Indifferent;
use crate::inspect::testing::Text;
use crate::limits::ARGUMENT_OCTETS_MAX;

/// Judges `input` cut at `cuts`, answering each DATA with 354 or 503 at once.
fn run(
    input: &[u8],
    cuts: &mut dyn FnMut() -> usize,
    data_code: u16,
) -> (Vec<u8>, Vec<Outstanding>) {
    let (mut judge, mut session, mut text) =
        (ClientJudge::default(), Session::default(), Text::default());
    session.answered(220).unwrap();
    let mut sent = Vec::new();
    let mut offered = 0;
    while text.taken < input.len() {
        offered = (offered + cuts()).min(input.len());
        loop {
            let before = text.taken;
            let piece = &input[before..offered];
            let (personality, edits) = (&Personality::MAILGUARD, &mut text);
            let took = judge
                .judge(piece, false, &mut session, personality, edits, &mut Indifferent)
                .unwrap();
            assert_eq!(text.taken, before + took);
            let answered = session.head();
            while let Some(head) = session.head() {
                sent.push(head);
                let code = if head == Outstanding::Data { data_code } else { 250 };
                session.answered(code).unwrap();
            }
            if answered.is_none() {
                break;
            }
        }
    }
    (text.out, sent)
}

fn check(input: &str, output: &str) {
    for cut in 1..=input.len() {
        let (out, _) = run(input.as_bytes(), &mut || cut, 354);
        assert_eq!(String::from_utf8_lossy(&out), output, "{input:?} in pieces of {cut}");
    }
}

#[test]
fn the_seven_pass_in_any_case() {
    for verb in ["HELO a", "mail FROM:<a@b>", "Rcpt TO:<c>", "RSET", "nOOp", "QUIT", "helo\tx"] {
        check(&format!("{verb}\r\n"), &format!("{verb}\r\n"));
    }
}

#[test]
fn others_are_traded_in_place() {
    check("EHLO me\r\n", "NOOP   \r\n");
    check("goodmorning\r\n", "NOOP       \r\n");
    check("X\r\n", "NOOP\r\n");
    check("\r\n", "NOOP\r\n");
    check(" EHLO\r\n", "NOOP \r\n");
    check("HELP\r\n", "HELX\r\n");
    check("HELP me\r\n", "HELX   \r\n");
    check("HEL\r\n", "HELX\r\n");
    check("DATAX\r\n", "DATAX\r\n");
    check("HEL O\r\n", "HELX \r\n");
    check("MAILBOX a\r\n", "MAILX    \r\n");
    check("QUI\r\nQ\r\nEXPN\r\nHELO\r\n", "QUIX\r\nQX\r\nNOOP\r\nHELO\r\n");
}

#[test]
fn lone_line_ends_become_crlf() {
    check("HELO a\nEHLO b\nX\n", "HELO a\r\nNOOP  \r\nNOOP\r\n");
    check("NOOP\rEHLO x\r\n", "NOOP\r\nNOOP  \r\n");
    check("NOOP \rVRFY\rQUIT\r\n", "NOOP \r\nNOOP\r\nQUIT\r\n");
    check("\r\r\n", "NOOP\r\nNOOP\r\n");
    check("\n\n", "NOOP\r\nNOOP\r\n");
    check("Q\rX\rQ\nX\n", "QX\r\nNOOP\r\nQX\r\nNOOP\r\n");
}

#[test]
fn the_octet_behind_a_lone_cr_of_data_is_no_command() {
    for code in [354, 503] {
        let (out, sent) = run(b"DATA\r\r\n.\r\nEXPN a\r\n", &mut || 1, code);
        let out = String::from_utf8(out).unwrap();
        let text = if code == 354 {
            "DATA\r\n\n.\r\nEXPN a\r\n"
        } else {
            "DATA\r\nNOOP\r\nNOOP\r\nNOOP  \r\n"
        };
        assert_eq!(out, text);
        assert_eq!(sent[0], Outstanding::Data);
    }
}

#[test]
fn nothing_hides_behind_a_long_line() {
    let long = "a".repeat(ARGUMENT_OCTETS_MAX + 100);
    let (out, _) = run(format!("NOOP {long}EXPN root\r\n").as_bytes(), &mut || 7, 354);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.len(), long.len() + 16);
    assert!(
        !text.contains("EXPN") && text.ends_with("a         \r\n")
            || text.trim_end().ends_with('a')
    );
}

#[test]
fn mail_data_passes_bit_for_bit() {
    check(
        "DATA\r\nEHLO\r\n..\n.\n\r.\r\r\n.\r\nEHLO\r\n",
        "DATA\r\nEHLO\r\n..\n.\n\r.\r\r\n.\r\nNOOP\r\n",
    );
    check("data x\r\n.\r\nVRFY a\r\n", "data x\r\n.\r\nNOOP  \r\n");
}

#[test]
fn data_that_was_refused_opens_nothing() {
    let (out, sent) = run(b"DATA\r\nEXPN a\r\nVRFY\r\n.\r\n", &mut || 3, 503);
    assert_eq!(out, b"DATA\r\nNOOP  \r\nNOOP\r\nNOOP\r\n", "CVE-2000-1022");
    assert_eq!(
        sent,
        [Outstanding::Data, Outstanding::Refused, Outstanding::Refused, Outstanding::Refused]
    );
}

#[test]
fn l16_segmentation_is_invisible() {
    const WORDS: &[&[u8]] = &[
        b"HELO",
        b"EHLO",
        b"MAIL",
        b"DATA",
        b"HEL",
        b"Q",
        b"QUIT",
        b"X",
        b" ",
        b"\t",
        b"\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b".",
        b"\r\n.\r\n",
        b"a",
        b"\0",
        b"\xff",
        b"NOOP",
    ];
    for seed in 0..4000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let input: Vec<u8> =
            (0..rng.usize(1..30)).flat_map(|_| rng.choice(WORDS).unwrap().to_vec()).collect();
        let code = if rng.bool() { 354 } else { 503 };
        let whole = run(&input, &mut || usize::MAX / 2, code);
        let cut = run(&input, &mut || rng.usize(1..9), code);
        assert_eq!(whole, cut, "seed {seed}: {:?}", String::from_utf8_lossy(&input));
        let single = run(&input, &mut || 1, code);
        assert_eq!(whole, single, "seed {seed}: {:?}", String::from_utf8_lossy(&input));
    }
}
