//! Judges what the client sends: commands and mail data.
//!
//! A command line is judged octet by octet. While it is the beginning of an allowed verb it
//! passes; the octet that makes it refusable and the rest of the line are traded in place. So a
//! session typed by hand, one character a packet, is never held up, and no cut matters.
//!
//! ```text
//! EHLO me CRLF   ->  NOOP    CRLF     nothing had left: NOOP, then blanks
//! HELP me CRLF   ->  HELX    CRLF     HEL had left: the verb is spoilt
//! X CRLF         ->  NOOP CRLF        what the line was short of comes before its end
//! ```

use core::slice::from_ref;

use super::{Edits, Notice};
use crate::limits::ARGUMENT_OCTETS_MAX;
use crate::policy::Personality;
use crate::smtp::{MailData, Outstanding, Phase, Session};

const NOOP: &[u8; 4] = b"NOOP";
const VERB_LEN_MAX: usize = 8;

/// Where in a line the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// In the verb: so many octets of it, all of them the beginning of an allowed one.
    Verb(usize),
    /// Behind an allowed verb, and so many octets of the argument.
    Argument(Outstanding, usize),
    /// A refused line of which so many octets have been traded for NOOP and blanks.
    Noop(usize),
    /// A refused line whose verb was spoilt.
    Spoilt,
}

/// The judge of the direction client to server.
#[derive(Debug)]
pub struct ClientJudge {
    line: Line,
    verb: [u8; VERB_LEN_MAX],
    /// A CR has left; only LF may follow.
    after_cr: Option<Outstanding>,
    mail_data: MailData,
}

impl Default for ClientJudge {
    fn default() -> Self {
        Self {
            line: Line::Verb(0),
            verb: [0; VERB_LEN_MAX],
            after_cr: None,
            mail_data: MailData::default(),
        }
    }
}

/// What leaves for one octet: a line end, the rest of NOOP and one octet more at most.
#[derive(Default)]
struct Traded {
    octets: [u8; 8],
    len: usize,
}

impl Traded {
    fn put(&mut self, octets: &[u8]) {
        if let Some(room) = self.octets.get_mut(self.len..self.len + octets.len()) {
            room.copy_from_slice(octets);
            self.len += octets.len();
        }
    }
}

impl ClientJudge {
    /// Judges `octets` as far as can be; returns how many it took.
    pub fn judge(
        &mut self,
        octets: &[u8],
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
    ) -> usize {
        let mut at = 0;
        while at < octets.len() && edits.has_room() {
            match session.phase() {
                Phase::AwaitsDataReply => break,
                Phase::MailData => {
                    let rest = &octets[at..];
                    let end = self.mail_data.take(rest);
                    let taken = end.unwrap_or(rest.len());
                    edits.pass(&rest[..taken]);
                    at += taken;
                    if end.is_some() {
                        self.mail_data = MailData::default();
                        session.sent(Outstanding::EndOfData);
                        notice(Notice::MailDataEnded);
                    }
                }
                Phase::Commands => {
                    if !session.has_room() {
                        break;
                    }
                    at += self.commands(&octets[at..], session, personality, edits, notice);
                }
            }
        }
        at
    }

    /// Judges command octets up to the end of a line at most.
    fn commands(
        &mut self,
        octets: &[u8],
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        notice: &mut impl FnMut(Notice),
    ) -> usize {
        let mut passed = 0;
        for (at, &octet) in octets.iter().enumerate() {
            let mut traded = Traded::default();
            let mut ended = None;
            if let Some(sent) = self.after_cr.take() {
                ended = Some(sent);
                if octet != b'\n' {
                    // Whether a lone CR ends a line is every server's own opinion; a CRLF is not.
                    traded.put(b"\n");
                    notice(Notice::LineEndMended);
                    self.begin_line();
                }
            }
            if ended == Some(Outstanding::Data) && octet != b'\n' {
                // Only the reply will tell what this octet is: it is spent on the line end.
            } else if ended.is_none() || octet != b'\n' {
                let line = self.octet(octet, personality, &mut traded);
                match (octet, line) {
                    (b'\r', Some(sent)) => self.after_cr = Some(sent),
                    (_, Some(sent)) => {
                        // A lone LF: the same.
                        notice(Notice::LineEndMended);
                        if let Some(sent) = ended.replace(sent) {
                            Self::finish(sent, session, notice);
                        }
                    }
                    (_, None) => {}
                }
            } else {
                traded.put(b"\n");
            }
            if traded.octets[..traded.len] == [octet] {
                passed += 1;
            } else {
                if passed > 0 {
                    edits.pass(&octets[at - passed..at]);
                    passed = 0;
                }
                edits.trade(1, &traded.octets[..traded.len]);
            }
            if let Some(sent) = ended {
                if octet == b'\n' {
                    self.begin_line();
                }
                Self::finish(sent, session, notice);
                if passed > 0 {
                    edits.pass(&octets[at + 1 - passed..=at]);
                }
                return at + 1;
            }
        }
        if passed > 0 {
            edits.pass(&octets[octets.len() - passed..]);
        }
        octets.len()
    }

    fn begin_line(&mut self) {
        self.line = Line::Verb(0);
    }

    fn finish(sent: Outstanding, session: &mut Session, notice: &mut impl FnMut(Notice)) {
        session.sent(sent);
        if sent == Outstanding::Refused {
            notice(Notice::Refused);
        }
    }

    /// Judges one octet that is not the LF of a CRLF. At a line end, what the line was.
    fn octet(
        &mut self,
        octet: u8,
        personality: &Personality,
        out: &mut Traded,
    ) -> Option<Outstanding> {
        let is_end = matches!(octet, b'\r' | b'\n');
        if let Line::Verb(len) = self.line {
            self.line = self.verb_octet(octet, len, personality);
        }
        let what = match self.line {
            Line::Verb(_) => Outstanding::Passed,
            Line::Argument(what, _) => what,
            Line::Noop(_) | Line::Spoilt => Outstanding::Refused,
        };
        match &mut self.line {
            Line::Noop(done) if is_end => out.put(NOOP.get(*done..).unwrap_or_default()),
            Line::Noop(done) => {
                out.put(&[NOOP.get(*done).copied().unwrap_or(b' ')]);
                *done += 1;
            }
            Line::Spoilt if self.verb[0] != 0 => {
                out.put(b"X");
                self.verb[0] = 0;
            }
            Line::Spoilt if !is_end => out.put(b" "),
            Line::Argument(_, len) if !is_end => {
                // A server that cuts long lines must not find a command behind the cut.
                *len += 1;
                out.put(if *len > ARGUMENT_OCTETS_MAX { b" " } else { from_ref(&octet) });
            }
            Line::Verb(_) if !is_end => out.put(&[octet]),
            Line::Verb(_) | Line::Argument(..) | Line::Spoilt => {}
        }
        match octet {
            b'\r' => out.put(b"\r"),
            b'\n' => out.put(b"\r\n"),
            _ => return None,
        }
        Some(what)
    }

    /// Where the line stands after one more octet behind `len` octets of a verb.
    fn verb_octet(&mut self, octet: u8, len: usize, personality: &Personality) -> Line {
        let so_far = self.verb.get(..len).unwrap_or_default();
        if matches!(octet, b' ' | b'\t' | b'\r' | b'\n') {
            if personality.verbs.iter().any(|verb| verb.as_bytes() == so_far) {
                let is_data = so_far == b"DATA";
                let what = if is_data { Outstanding::Data } else { Outstanding::Passed };
                return Line::Argument(what, 0);
            }
        } else if let Some(slot) = self.verb.get_mut(len) {
            *slot = octet.to_ascii_uppercase();
            let so_far = self.verb.get(..=len).unwrap_or_default();
            if personality.verbs.iter().any(|verb| verb.as_bytes().starts_with(so_far)) {
                return Line::Verb(len + 1);
            }
        }
        if len == 0 {
            Line::Noop(0)
        } else {
            // Marks that the X is still to come.
            self.verb[0] = b'X';
            Line::Spoilt
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Text;
    use super::*;

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
                let took = judge.judge(
                    piece,
                    &mut session,
                    &Personality::MAILGUARD,
                    &mut text,
                    &mut |_| {},
                );
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
        for verb in ["HELO a", "mail FROM:<a@b>", "Rcpt TO:<c>", "RSET", "nOOp", "QUIT", "helo\tx"]
        {
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
}
