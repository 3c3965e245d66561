//! Replies and greetings, cut in every way.

use super::super::testing::Text;
use super::*;

fn run(
    personality: &Personality,
    outstanding: &[Outstanding],
    input: &[u8],
    cuts: &mut dyn FnMut() -> usize,
) -> Result<Vec<u8>, Fault> {
    let (mut judge, mut session, mut text) =
        (ServerJudge::default(), Session::default(), Text::default());
    for what in outstanding {
        session.sent(*what);
    }
    let mut offered = 0;
    while offered < input.len() {
        offered = (offered + cuts()).min(input.len());
        let piece = &input[text.taken..offered];
        judge.judge(piece, false, &mut session, personality, &mut text, &mut Indifferent)?;
    }
    Ok(text.out)
}

fn check(personality: &Personality, outstanding: &[Outstanding], input: &str, output: &str) {
    for cut in 1..=input.len() {
        let out = run(personality, outstanding, input.as_bytes(), &mut || cut).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), output, "{input:?} in pieces of {cut}");
    }
}

/// Pairs of greetings that real devices have shown or that follow from their rule; the first
/// is decoded from the sample in Microsoft KB 320027.
#[test]
fn greeting_vectors_keep20() {
    let stars = |count: usize| "*".repeat(count);
    for (original, masked) in [
        (
            "220 hhhhhhhhhhhh Microsoft ESMTP MAIL Service, Version: 5.0.2195.4905 ready at  Tue, 3 Sep 2002 11:11:21 -0500".to_owned(),
            "220 ******************************************************0*2******0***********************2002*******2***0*00".to_owned(),
        ),
        (
            "220 mail.example.com Microsoft ESMTP MAIL Service, Version: 6.0.3790.3959 ready at  Tue, 12 Jun 2007 10:20:30 -0400".to_owned(),
            "220 **********************************************************0****0**********************2*****200***0*20**0**0*00".to_owned(),
        ),
        (
            "220 letra.reed.edu ESMTP Sendmail 8.12.9/8.12.9; Mon, 15 Sep 2003 10:35:57 -0700 (PDT)".to_owned(),
            "220 *********************************2******2****************200***0********0*00******".to_owned(),
        ),
        ("220 metagross ESMTP Postfix (Debian/GNU)".to_owned(), format!("220 {}", stars(36))),
        (
            "220-This is my mail server\r\n220 server.gordano.com NTMail (v7.00.0018/AA0000.00.b1a028f6) ready for ESMTP transfer".to_owned(),
            format!("220-{}\r\n220 {}00*00*****0000*00****02{}", stars(22), stars(30), stars(29)),
        ),
        ("554 no mail here in 2020".to_owned(), "554 ****************2020".to_owned()),
    ] {
        check(&Personality::MAILGUARD, &[], &format!("{original}\r\n"), &format!("{masked}\r\n"));
    }
}

#[test]
fn greeting_vectors_cmap() {
    check(
        &Personality::PIX40,
        &[],
        "220 mail.example.com ESMTP\r\n",
        "220 SMTP/cmap ready_______\r\n",
    );
    check(&Personality::PIX40, &[], "220 short\r\n", "220 SMTP/\r\n");
    check(&Personality::PIX40, &[], "220-two\r\n220 lines\r\n", "220-SMT\r\n220 SMTP/\r\n");
}

#[test]
fn only_the_greeting_is_masked() {
    check(
        &Personality::MAILGUARD,
        &[Outstanding::Passed, Outstanding::Passed],
        "220 host\r\n250 host\r\n221 host\r\n421 host\r\n",
        "220 ****\r\n250 host\r\n221 host\r\n421 host\r\n",
    );
}

#[test]
fn refusals_stand_in_their_places_among_pipelined_replies() {
    use Outstanding::{Data, Passed, Refused};
    let outstanding = [Passed, Refused, Passed, Refused, Data];
    let replies = "220 m\r\n250 helo\r\n250-2.0.0 a\r\n250 2.0.0 Ok\r\n250 mail\r\n502 5.5.2 no\r\n354 go\r\n";
    check(
        &Personality::MAILGUARD,
        &outstanding,
        replies,
        "220 *\r\n250 helo\r\n500 Command unrecognized\r\n250 mail\r\n500 Command unrecognized\r\n354 go\r\n",
    );
    check(
        &Personality::PIX40,
        &outstanding,
        replies,
        "220 S\r\n250 helo\r\n250 OK\r\n250 mail\r\n250 OK\r\n354 go\r\n",
    );
}

#[test]
fn a_server_that_cannot_go_on_is_heard() {
    check(
        &Personality::MAILGUARD,
        &[Outstanding::Refused, Outstanding::Refused],
        "220 m\r\n402-4.5.2\r\n402 what\r\n421 4.3.2 shutting down\r\n",
        "220 *\r\n402-4.5.2\r\n402 what\r\n421 4.3.2 shutting down\r\n",
    );
}

#[test]
fn what_can_leave_does_not_wait_for_the_line_end() {
    let (mut judge, mut session, mut text) =
        (ServerJudge::default(), Session::default(), Text::default());
    session.answered(220).unwrap();
    session.sent(Outstanding::Refused);
    let input = b"250 2.0.0 Ok\r\n";
    let mut left = Vec::new();
    for end in 1..=input.len() {
        let piece = &input[text.taken..end];
        let (pix, edits) = (&Personality::PIX40, &mut text);
        judge.judge(piece, false, &mut session, pix, edits, &mut Indifferent).unwrap();
        left.push(text.out.len());
    }
    // Six octets one by one, six of surplus held, and both octets of the line end.
    assert_eq!(left, [1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8]);
    assert_eq!(text.out, b"250 OK\r\n");
}

#[test]
fn an_endless_reply_is_not_held_for_ever() {
    let input = format!("220 m\r\n250-{}\r\n250 end\r\n250 next\r\n", "x".repeat(9000));
    let outstanding = [Outstanding::Refused, Outstanding::Passed];
    for cut in [1, 100, 100_000] {
        let out =
            run(&Personality::MAILGUARD, &outstanding, input.as_bytes(), &mut || cut).unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<_> = out.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["220 *", "500 Command unrecognized", "250 next"], "cut {cut}");
    }
}

#[test]
fn l16_a_line_that_is_no_reply_ends_where_it_ends() {
    for cut in [1, 100] {
        let (mut judge, mut session, mut text) =
            (ServerJudge::default(), Session::default(), Text::default());
        let mut say = |input: &[u8], session: &mut Session| {
            for piece in input.chunks(cut) {
                let (personality, edits) = (&Personality::MAILGUARD, &mut text);
                judge.judge(piece, false, session, personality, edits, &mut Indifferent).unwrap();
            }
        };
        say(b"220 m\r\nby", &mut session);
        session.sent(Outstanding::Refused);
        say(b"e\r\n250", &mut session);
        let text = String::from_utf8(text.out).unwrap();
        assert_eq!(text, "220 *\r\nbye\r\n500", "in pieces of {cut}");
    }
}

#[test]
fn mail_data_for_a_refused_command_is_a_fault() {
    let out =
        run(&Personality::MAILGUARD, &[Outstanding::Refused], b"220 m\r\n354 go\r\n", &mut || 99);
    assert!(out.is_err());
}

#[test]
fn l16_segmentation_is_invisible() {
    const WORDS: &[&str] =
        &["250 OK\r\n", "250-a\r\n", "503 no\r\n", "2", "-", "\r\n", "\n", "421 x\r\n", "junk\r\n"];
    for seed in 0..3000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let input: String = (0..rng.usize(1..30)).map(|_| *rng.choice(WORDS).unwrap()).collect();
        let outstanding: Vec<_> = (0..rng.usize(0..9))
            .map(|_| if rng.bool() { Outstanding::Refused } else { Outstanding::Passed })
            .collect();
        let whole =
            run(&Personality::PIX40, &outstanding, input.as_bytes(), &mut || usize::MAX / 2);
        let cut = run(&Personality::PIX40, &outstanding, input.as_bytes(), &mut || rng.usize(1..7));
        assert_eq!(whole, cut, "seed {seed}: {input:?}");
    }
}
