//! Judges what the server sends: the greeting and the replies.

use std::borrow::Cow;

use super::ehlo::EhloReply;
use super::{Edits, Fault, Notice, greeting};
use crate::limits::{GREETING_TEXT_MAX, HELD_REPLY_OCTETS_MAX};
use crate::policy::{Greeting, Personality};
use crate::smtp::{Outstanding, Phase, ReplyLine, Session};

/// How far the trade of a reply has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Trade {
    /// Not begun.
    #[default]
    Not,
    /// The server's own words stay.
    Passes,
    /// The name of the host stays, and is not over.
    Host,
    /// So many octets of the new text have left.
    Text(usize),
    /// The new text and the CR behind it have left.
    Cr,
    /// More surplus came than may be held: it leaves as blanks.
    Blanks,
}

/// The judge of the direction server to client.
#[derive(Debug, Default)]
pub struct ServerJudge {
    line: ReplyLine,
    trade: Trade,
    ehlo: EhloReply,
    /// What the reply that has begun answers, if anything: a command that passes meanwhile does
    /// not make it its own.
    answers: Option<Option<Outstanding>>,
}

impl ServerJudge {
    /// Judges `octets` as far as can be; returns how many it took. `is_stuck` when nothing may
    /// follow before these are acknowledged: the server has closed, or it repeats itself.
    pub fn judge(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while at < octets.len() && edits.has_room() {
            let rest = &octets[at..];
            if session.phase() == Phase::Tls {
                if !session.has_begun_tls {
                    // It would be taken for what came encrypted by a client that has read it already
                    // (CVE-2021-38371).
                    return Err(Fault::StartTlsInjection);
                }
                edits.pass(rest);
                return Ok(octets.len());
            }
            if !self.line.has_begun() && self.trade == Trade::Not {
                self.answers = None;
            }
            let answers = *self.answers.get_or_insert_with(|| session.head());
            let taken = match answers {
                Some(Outstanding::Withheld) => 0,
                Some(Outstanding::Refused | Outstanding::Answered(_)) => {
                    self.trade(rest, is_stuck, session, personality, edits)?
                }
                Some(Outstanding::Greeting) => match personality.greeting {
                    Greeting::Pass => self.pass(rest, session, edits, notice)?,
                    Greeting::Text(_) | Greeting::Host(_) => {
                        self.trade(rest, is_stuck, session, personality, edits)?
                    }
                    Greeting::Keep20 | Greeting::All | Greeting::Esmtp | Greeting::Cmap => {
                        self.mask(rest, is_stuck, session, personality, edits, notice)?
                    }
                },
                Some(Outstanding::Ehlo) => {
                    let (line, ehlo) = (&mut self.line, &mut self.ehlo);
                    let (taken, code) =
                        ehlo.judge(line, rest, is_stuck, session, personality, edits, notice);
                    if let Some(code) = code {
                        self.ended(code, session, notice)?;
                    }
                    taken
                }
                _ => self.pass(rest, session, edits, notice)?,
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        Ok(at)
    }

    /// The reply has ended.
    fn ended(
        &mut self,
        code: u16,
        session: &mut Session,
        notice: &mut impl FnMut(Notice),
    ) -> Result<(), Fault> {
        let said = match self.answers.take() {
            Some(Some(_)) => session.answered(code),
            Some(None) | None => session.said_unasked(code),
        };
        if session.phase() == Phase::Tls {
            notice(Notice::TlsStarted);
        }
        said.map_err(Fault::Server)
    }

    /// Lets one reply through.
    fn pass(
        &mut self,
        octets: &[u8],
        session: &mut Session,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
    ) -> Result<usize, Fault> {
        let mut end = None;
        let mut taken = 0;
        for octet in octets {
            end = self.line.take(*octet);
            taken += 1;
            // Behind a line that is no reply another one may be answered.
            if end.is_some() || !self.line.has_begun() {
                break;
            }
        }
        edits.pass(&octets[..taken]);
        if let Some(code) = end {
            self.ended(code, session, notice)?;
        }
        Ok(taken)
    }

    /// Masks the greeting, octet for octet.
    fn mask(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
    ) -> Result<usize, Fault> {
        let mut clear = 0;
        for (at, &octet) in octets.iter().enumerate() {
            if clear == 0 && personality.greeting == Greeting::Esmtp {
                match greeting::esmtp(&octets[at..]) {
                    greeting::Esmtp::Here => clear = greeting::ESMTP.len(),
                    greeting::Esmtp::Perhaps if !is_stuck => return Ok(at),
                    greeting::Esmtp::Perhaps | greeting::Esmtp::Not => {}
                }
            }
            let masked =
                if clear > 0 { octet } else { greeting::mask(&self.line, octet, personality) };
            clear = clear.saturating_sub(1);
            if masked == octet {
                edits.pass(&[octet]);
            } else {
                edits.trade(1, &[masked]);
            }
            if let Some(code) = self.line.take(octet) {
                notice(Notice::GreetingMasked);
                self.ended(code, session, notice)?;
                return Ok(at + 1);
            }
        }
        Ok(octets.len())
    }

    /// Trades a reply for another text: octet for octet as long as the text lasts; what the reply has
    /// beyond that is held and traded with its line end.
    fn trade(
        &mut self,
        octets: &[u8],
        is_stuck: bool,
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
    ) -> Result<usize, Fault> {
        let what = self.answers.flatten();
        if self.trade == Trade::Not {
            // 4yz says that the server cannot go on (RFC 5321 section 4.2.1), and what stands in for the words of
            // one that can does not stand in for others.
            let stays = match what {
                Some(Outstanding::Refused) => octets.first() == Some(&b'4'),
                _ => octets.first() != Some(&b'2'),
            };
            let is_greeting = what == Some(Outstanding::Greeting);
            let keeps_host = is_greeting && matches!(personality.greeting, Greeting::Host(_));
            self.trade = match stays {
                true => Trade::Passes,
                false if keeps_host => Trade::Host,
                false => Trade::Text(0),
            };
        }
        let text = text_for(what, personality);
        let mut held = 0;
        let mut line = self.line.clone();
        for (at, &octet) in octets.iter().enumerate() {
            let is_last_line = line.is_last();
            let column = line.column();
            let code = line.take(octet);
            held += 1;
            match self.trade {
                Trade::Passes | Trade::Not => edits.pass(&[octet]),
                Trade::Host if column == 3 && octet == b'-' => edits.trade(1, b" "),
                Trade::Host if column > 3 && octet == b' ' => {
                    edits.pass(b" ");
                    self.trade = Trade::Text(1);
                }
                Trade::Host if column >= 3 && matches!(octet, b'\r' | b'\n') => {
                    self.trade = if is_last_line && octet == b'\r' {
                        put(held, &text, b"\r", edits);
                        Trade::Cr
                    } else {
                        edits.trade(1, b" ");
                        Trade::Text(1)
                    };
                }
                Trade::Host => edits.pass(&[octet]),
                Trade::Text(done) if code.is_some() => {
                    put(held, text.get(done..).unwrap_or_default(), b"\r\n", edits);
                }
                Trade::Text(done) if octet == b'\r' && is_last_line => {
                    put(held, text.get(done..).unwrap_or_default(), b"\r", edits);
                    self.trade = Trade::Cr;
                }
                Trade::Text(done) => match text.get(done) {
                    Some(next) => {
                        edits.trade(1, &[*next]);
                        self.trade = Trade::Text(done + 1);
                    }
                    None if held >= HELD_REPLY_OCTETS_MAX => {
                        blank(held, edits);
                        self.trade = Trade::Blanks;
                    }
                    None => continue,
                },
                Trade::Cr if code.is_some() => edits.trade(held, b"\n"),
                Trade::Cr if held >= HELD_REPLY_OCTETS_MAX => {
                    edits.trade(held, b"\n");
                    self.trade = Trade::Blanks;
                }
                Trade::Cr => continue,
                Trade::Blanks if code.is_some() => edits.trade(held, b"\r\n"),
                Trade::Blanks => blank(1, edits),
            }
            held = 0;
            self.line = line.clone();
            if let Some(code) = code {
                self.trade = Trade::Not;
                self.ended(code, session, &mut |_| {})?;
                return Ok(at + 1);
            }
        }
        if is_stuck && held > 0 {
            // Better blanks behind the text than a server that waits for ever, as one does that
            // writes its text and its line end apart, with Nagle's algorithm (RFC 1122 section
            // 4.2.3.4).
            blank(held, edits);
            self.line = line;
            held = 0;
        }
        Ok(octets.len() - held)
    }
}

/// What the client reads in the place of the server's words.
fn text_for(what: Option<Outstanding>, personality: &Personality) -> Cow<'_, [u8]> {
    match what {
        Some(Outstanding::Answered(number)) => {
            let answer = personality.answers.get(usize::from(number));
            Cow::Borrowed(answer.map_or(&b""[..], |(_, text)| text.as_bytes()))
        }
        Some(Outstanding::Greeting) => match &personality.greeting {
            Greeting::Text(text) => Cow::Owned([b"220 ", text.as_bytes()].concat()),
            Greeting::Host(text) => Cow::Owned([b" ", text.as_bytes()].concat()),
            Greeting::Pass
            | Greeting::Keep20
            | Greeting::All
            | Greeting::Esmtp
            | Greeting::Cmap => Cow::Borrowed(b""),
        },
        _ => Cow::Borrowed(personality.refusal.reply().unwrap_or_default().as_bytes()),
    }
}

/// Trades `original` octets for `text` and `end`.
fn put(original: usize, text: &[u8], end: &[u8], edits: &mut impl Edits) {
    let mut whole = [0; GREETING_TEXT_MAX + 8];
    let len = text.len().min(whole.len() - end.len());
    whole[..len].copy_from_slice(&text[..len]);
    whole[len..len + end.len()].copy_from_slice(end);
    edits.trade(original, &whole[..len + end.len()]);
}

fn blank(mut octets: usize, edits: &mut impl Edits) {
    const BLANKS: [u8; 256] = [b' '; 256];
    while octets > 0 {
        let part = octets.min(BLANKS.len());
        edits.trade(part, &BLANKS[..part]);
        octets -= part;
    }
}

#[cfg(test)]
mod tests {
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
            judge.judge(piece, false, &mut session, personality, &mut text, &mut |_| {})?;
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
            judge.judge(piece, false, &mut session, pix, edits, &mut |_| {}).unwrap();
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
                    judge.judge(piece, false, session, personality, edits, &mut |_| {}).unwrap();
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
        let out = run(
            &Personality::MAILGUARD,
            &[Outstanding::Refused],
            b"220 m\r\n354 go\r\n",
            &mut || 99,
        );
        assert!(out.is_err());
    }

    #[test]
    fn l16_segmentation_is_invisible() {
        const WORDS: &[&str] = &[
            "250 OK\r\n",
            "250-a\r\n",
            "503 no\r\n",
            "2",
            "-",
            "\r\n",
            "\n",
            "421 x\r\n",
            "junk\r\n",
        ];
        for seed in 0..3000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let input: String =
                (0..rng.usize(1..30)).map(|_| *rng.choice(WORDS).unwrap()).collect();
            let outstanding: Vec<_> = (0..rng.usize(0..9))
                .map(|_| if rng.bool() { Outstanding::Refused } else { Outstanding::Passed })
                .collect();
            let whole =
                run(&Personality::PIX40, &outstanding, input.as_bytes(), &mut || usize::MAX / 2);
            let cut =
                run(&Personality::PIX40, &outstanding, input.as_bytes(), &mut || rng.usize(1..7));
            assert_eq!(whole, cut, "seed {seed}: {input:?}");
        }
    }
}
