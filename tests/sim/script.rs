//! What the two ends say: seeded scripts of SMTP clients, with allowed and refused commands, odd
//! line ends and messages full of dots. No octet is zero: only keep-alives are.

use fastrand::Rng;

use crate::esmtp;

/// What a step of the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Line,
    /// A DATA command: the message that follows is sent only after a 354.
    Data,
    Message,
    Quit,
    /// The last of its group (RFC 2920), like AUTH and STARTTLS.
    Ehlo,
    Auth,
    /// Sent only behind a 334.
    Response,
    StartTls,
    /// What is sent only under TLS; and then nothing else is.
    Tls,
    /// BDAT and its octets, which are sent only if CHUNKING was offered.
    Chunk,
}

/// Octets that the client sends, and how many replies they are worth.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) octets: Vec<u8>,
    pub(crate) replies: usize,
}

/// What kind of script.
#[derive(Debug, Clone)]
pub(crate) struct Taste {
    /// Messages in the session.
    pub(crate) messages: usize,
    /// Largest message, in octets.
    pub(crate) message_len: usize,
    /// How many lines between messages, at most.
    pub(crate) lines: usize,
    /// Out of a hundred lines, how many are to be refused.
    pub(crate) refused: u32,
    /// How long an argument may be.
    pub(crate) longest: usize,
    /// Whether line ends other than CRLF occur.
    pub(crate) odd_line_ends: bool,
    /// Whether lines of messages may look like DATA and QUIT: a message that is sent although
    /// DATA was refused would end the session.
    pub(crate) wild: bool,
    /// Whether more is said than RFC 821 knows.
    pub(crate) esmtp: bool,
    /// Whether nothing is sent that a server has not offered to take.
    pub(crate) polite: bool,
    /// Whether octets are zero.
    pub(crate) nul: bool,
}

impl Taste {
    /// A few commands and messages.
    pub(crate) fn seeded(rng: &mut Rng) -> Self {
        Self {
            messages: rng.usize(0..3),
            message_len: *rng.choice(&[40, 400, 4_000, 4_000, 30_000, 90_000]).unwrap_or(&400),
            lines: rng.usize(1..12),
            refused: *rng.choice(&[0, 30, 60, 100]).unwrap_or(&30),
            longest: 2_500,
            odd_line_ends: rng.u8(..4) == 0,
            wild: true,
            esmtp: false,
            polite: false,
            nul: false,
        }
    }
}

/// The script of a whole session.
pub(crate) fn session(taste: &Taste, rng: &mut Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    if rng.bool() {
        steps.push(line(b"HELO client.example", b"\r\n"));
    }
    lines(taste, rng, &mut steps);
    for _ in 0..taste.messages {
        steps.push(line(b"MAIL FROM:<a@client.example>", b"\r\n"));
        for _ in 0..rng.usize(1..4) {
            steps.push(line(b"RCPT TO:<b@server.example>", b"\r\n"));
        }
        if rng.bool() {
            lines(taste, rng, &mut steps);
        }
        let verb =
            *rng.choice(&[&b"DATA"[..], b"data", b"Data", b"DATA now"]).unwrap_or(&&b"DATA"[..]);
        let end = if taste.odd_line_ends && rng.bool() { &b"\n"[..] } else { b"\r\n" };
        steps.push(Step { kind: Kind::Data, ..line(verb, end) });
        steps.push(Step { kind: Kind::Message, octets: message(taste, rng), replies: 1 });
        lines(taste, rng, &mut steps);
    }
    if taste.esmtp && rng.u8(..3) == 0 {
        steps.extend(esmtp::starttls(rng));
    }
    steps.push(Step { kind: Kind::Quit, ..line(b"QUIT", b"\r\n") });
    for step in steps.iter_mut().filter(|_| !taste.esmtp) {
        // To a client that does not know it, it is a line like others.
        if matches!(step.kind, Kind::Ehlo | Kind::Auth | Kind::StartTls) {
            step.kind = Kind::Line;
        }
    }
    steps
}

/// One step that is sent as it is, and then QUIT.
pub(crate) fn blast(octets: &[u8]) -> Vec<Step> {
    vec![line(octets, b""), line(b"QUIT", b"\r\n")]
}

fn line(text: &[u8], end: &[u8]) -> Step {
    let verb = text.split(|octet| *octet == b' ').next().unwrap_or_default();
    let kind = match verb.to_ascii_uppercase().as_slice() {
        b"EHLO" => Kind::Ehlo,
        b"AUTH" => Kind::Auth,
        b"STARTTLS" => Kind::StartTls,
        _ => Kind::Line,
    };
    Step { kind, octets: [text, end].concat(), replies: 1 }
}

const ALLOWED: &[&[u8]] = &[
    b"NOOP",
    b"noop",
    b"RSET",
    b"rSeT ",
    b"NOOP with words",
    b"HELO again.example",
    b"helo\tagain.example",
    b"MAIL FROM:<>",
    b"mail from:<x@client.example> SIZE=99",
    b"RCPT TO:<\"QUIT\"@server.example>",
    b"RCPT TO:<b> EHLO \xff\x01 b",
];

const REFUSED: &[&[u8]] = &[
    b"EHLO client.example",
    b"ehlo me",
    b"EXPN root",
    b"VRFY root",
    b"goodmorning",
    b"HELP",
    b"STARTTLS",
    b"X",
    b"XEXCH50 1 2",
    b"",
    b" ",
    b"\t",
    b" NOOP",
    b"H",
    b"HEL",
    b"HELOO x",
    b"MAILX FROM:<a>",
    b"MAI L",
    b"RCPT:",
    b"NO",
    b"NOOPS",
    b"DAT",
    b"DATAX",
    b"QUI",
    b"QUITX now",
    b"RSETT",
    b"AUTH PLAIN AGEAYg==",
    b"BDAT 10 LAST",
    b".",
    b"\xff\xfe",
    b"\x01",
    b"NOOP\x01",
    b"Q\xd5IT",
];

/// Some lines, allowed and refused.
fn lines(taste: &Taste, rng: &mut Rng, steps: &mut Vec<Step>) {
    for _ in 0..rng.usize(0..=taste.lines) {
        if taste.esmtp && rng.u8(..5) == 0 {
            steps.extend(esmtp::dialogue(rng));
            continue;
        }
        let step = match (taste.odd_line_ends, rng.u8(..6)) {
            (true, 0) => line(&command(taste, rng), b"\n"),
            (true, 1) => {
                // A lone CR is one only because of what follows it.
                let mut octets = undecided(taste, rng);
                octets.push(b'\r');
                octets.extend(undecided(taste, rng));
                octets.extend_from_slice(b"\r\n");
                // Two CRs of which the second has its LF: an empty line.
                Step { kind: Kind::Line, octets, replies: 2 }
            }
            _ => line(&command(taste, rng), b"\r\n"),
        };
        steps.push(step);
    }
}

/// A command whose reply does not decide what comes next, if a client sees to that.
fn undecided(taste: &Taste, rng: &mut Rng) -> Vec<u8> {
    loop {
        let text = command(taste, rng);
        if !taste.esmtp || line(&text, b"").kind == Kind::Line {
            return text;
        }
    }
}

fn command(taste: &Taste, rng: &mut Rng) -> Vec<u8> {
    let table = if rng.u32(..100) < taste.refused { REFUSED } else { ALLOWED };
    let table = if taste.esmtp && rng.u8(..3) == 0 { esmtp::LINES } else { table };
    let mut text = rng.choice(table).map_or_else(Vec::new, |text| text.to_vec());
    if taste.esmtp && text.starts_with(b"BDAT") {
        // Octets would have to follow.
        text = b"BDA".to_vec();
    }
    if taste.nul && rng.u8(..8) == 0 {
        text.extend(b" \0x\0\0");
    }
    if rng.u8(..30) == 0 {
        if !text.contains(&b' ') {
            text.push(b' ');
        }
        let more = rng.usize(1..taste.longest);
        text.extend((0..more).map(|_| rng.alphanumeric() as u8));
    }
    text
}

const END: &[u8] = b"\r\n.\r\n";

/// A message with its end, dot-stuffed.
pub(crate) fn message(taste: &Taste, rng: &mut Rng) -> Vec<u8> {
    let max = taste.message_len;
    let len = match rng.u8(..8) {
        0 => 0,
        1 => max,
        _ => rng.usize(0..=max),
    };
    let mut octets = Vec::with_capacity(len + 200);
    while octets.len() < len {
        message_line(taste, rng, &mut octets);
    }
    octets.extend_from_slice(b".\r\n");
    // The end may have come too early, out of a bare CR or LF: then the message ends there.
    if octets.starts_with(b".\r\n") {
        octets.truncate(3);
    } else if let Some(at) = octets.windows(END.len()).position(|five| five == END) {
        octets.truncate(at + END.len());
    }
    octets
}

fn message_line(taste: &Taste, rng: &mut Rng, octets: &mut Vec<u8>) {
    const SPECIAL: &[&[u8]] = &[
        b"..",
        b"..QUIT",
        b"",
        b"EXPN root",
        b"\r",
        b"\r.",
        b"\n.",
        b"\n.\n",
        b"x\r.\r",
        b"\r\r",
        b"354 go",
        b"500 Command unrecognized",
        b"DATA",
        b"QUIT",
    ];
    let special = if taste.wild { SPECIAL } else { &SPECIAL[..SPECIAL.len() - 2] };
    if rng.u8(..4) == 0 {
        octets.extend_from_slice(rng.choice(special).unwrap_or(&&b""[..]));
    } else {
        let len = rng.usize(0..90);
        octets.extend((0..len).map(|n| match rng.u8(..40) {
            0 if n > 0 => b'.',
            1 => rng.u8(128..),
            _ => rng.u8(b'0'..=b'z'),
        }));
    }
    if taste.nul && rng.u8(..8) == 0 {
        let at = rng.usize(..=octets.len());
        octets.insert(at, 0);
    }
    octets.extend_from_slice(b"\r\n");
}

/// Replies of the server: the texts are odd, the codes are right.
pub(crate) fn reply(code: u16, rng: &mut Rng) -> Vec<u8> {
    let mut reply = Vec::new();
    let lines = if rng.u8(..4) == 0 { rng.usize(2..6) } else { 1 };
    for n in 0..lines {
        reply.extend_from_slice(code.to_string().as_bytes());
        let last = n + 1 == lines;
        let text = text(rng);
        if !(last && text.is_empty() && rng.bool()) {
            reply.push(if last { b' ' } else { b'-' });
        }
        reply.extend_from_slice(&text);
        reply.extend_from_slice(b"\r\n");
    }
    reply
}

fn text(rng: &mut Rng) -> Vec<u8> {
    const TEXTS: &[&[u8]] = &[
        b"",
        b"",
        b"Ok",
        b"2.0.0 Ok: queued as 2002",
        b"mail.example.com Microsoft ESMTP MAIL Service, Version: 6.0.3790.3959 ready",
        b"-500 not what it looks like",
        b"250 OK",
        b"354 not yet",
        b"421 not closing",
        b"\xc3\xa4\xff\x01",
    ];
    let mut text = rng.choice(TEXTS).map_or_else(Vec::new, |text| text.to_vec());
    if rng.u8(..12) == 0 {
        let more = rng.usize(1..1500);
        text.extend((0..more).map(|_| rng.u8(b' '..b'~')));
    }
    text
}
