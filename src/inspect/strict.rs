//! Both judges between a client that sends anything and a server that goes by the letter, with
//! delays: the server must never see a verb that is not allowed.

use super::testing::Text;
use super::{ClientJudge, Indifferent, ServerJudge};
use crate::policy::Personality;
use crate::smtp::{MailData, Session};

const WORDS: &[&[u8]] = &[
    b"DATA",
    b"data ",
    b"EHLO",
    b"EXPN",
    b"NOOP",
    b"QUIT",
    b"D",
    b"ATA",
    b"E",
    b"HLO",
    b" ",
    b"x",
    b"\0",
    b".",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\r\n.\r\n",
    b"DATA\r\n",
    b"DATA\r\n",
    b"DATA\r",
];

/// A server that ends lines at CRLF and mail data at CRLF dot CRLF, and nowhere else.
#[derive(Default)]
struct Server {
    eaten: usize,
    line: Vec<u8>,
    data: Option<MailData>,
    replies: Vec<u8>,
    lines: Vec<Vec<u8>>,
    messages: usize,
}

impl Server {
    fn take(&mut self, octet: u8, rng: &mut fastrand::Rng) {
        if let Some(data) = &mut self.data {
            if data.take(&[octet]).is_some() {
                self.data = None;
                self.messages += 1;
                let reply: &[u8] = if rng.bool() { b"250 ok\r\n" } else { b"554 no\r\n" };
                self.replies.extend_from_slice(reply);
            }
            return;
        }
        self.line.push(octet);
        if self.line.ends_with(b"\r\n") {
            let line = core::mem::take(&mut self.line);
            let verb = line[..line.len() - 2].split(|octet| *octet == b' ').next().unwrap_or(&[]);
            if verb.eq_ignore_ascii_case(b"DATA") && rng.u8(..4) != 0 {
                self.data = Some(MailData::default());
                self.replies.extend_from_slice(b"354 go\r\n");
            } else if verb.eq_ignore_ascii_case(b"DATA") {
                self.replies.extend_from_slice(b"503 no\r\n");
            } else {
                self.replies.extend_from_slice(b"250 ok, and more words than a refusal has\r\n");
            }
            self.lines.push(line);
        }
    }
}

/// Runs one seed; the messages that arrived.
fn run(seed: u64) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed);
    let input: Vec<u8> =
        (0..rng.usize(1..40)).flat_map(|_| rng.choice(WORDS).unwrap().to_vec()).collect();
    let shown = String::from_utf8_lossy(&input).into_owned();
    let (mut client_judge, mut server_judge) = (ClientJudge::default(), ServerJudge::default());
    let (mut session, mut server) = (Session::default(), Server::default());
    server.replies.extend_from_slice(b"220 m\r\n");
    let (mut to_server, mut to_client) = (Text::default(), Text::default());
    let (mut offered, mut said) = (0, 0);
    let personality = &Personality::MAILGUARD;
    for _ in 0..400 {
        offered = (offered + rng.usize(0..12)).min(input.len());
        let piece = &input[to_server.taken..offered];
        let edits = &mut to_server;
        let judged =
            client_judge.judge(piece, false, &mut session, personality, edits, &mut Indifferent);
        assert!(judged.is_ok(), "seed {seed}: nothing to reset for");
        for _ in 0..rng.usize(0..20) {
            let Some(&octet) = to_server.out.get(server.eaten) else {
                break;
            };
            server.eaten += 1;
            server.take(octet, &mut rng);
        }
        said = (said + rng.usize(0..9)).min(server.replies.len());
        let piece = &server.replies[to_client.taken..said];
        let edits = &mut to_client;
        let judged =
            server_judge.judge(piece, false, &mut session, personality, edits, &mut Indifferent);
        assert!(judged.is_ok(), "seed {seed}: they disagree on {shown:?}");
    }
    assert_eq!(to_server.taken, input.len(), "seed {seed}: stuck in {shown:?}");
    for line in &server.lines {
        let seen = String::from_utf8_lossy(line).to_ascii_uppercase();
        let is_known = ["HELO", "NOOP", "QUIT", "DATA", "D", "Q", "N", "H", "M", "R"]
            .iter()
            .any(|start| seen.starts_with(start));
        assert!(is_known, "seed {seed}: {seen:?} arrived of {shown:?}");
    }
    server.messages
}

#[test]
fn a_strict_server_never_sees_other_verbs() {
    let messages: usize = (0..20_000).map(run).sum();
    assert!(messages > 5_000, "{messages} messages: the words make dialogues");
}
