//! What the two ends say beyond RFC 821: EHLO and what it offers, AUTH, BDAT, STARTTLS.

use fastrand::Rng;

use crate::script::{Kind, Step};

/// The end of what is said at a time under TLS, and the end of all of it. (What comes before is no TLS, but opaque.)
pub(crate) const ROUND: u8 = 0xff;
pub(crate) const LAST_ROUND: u8 = 0xfe;

const KEYWORDS: &[&[u8]] = &[
    b"PIPELINING",
    b"PIPELINING",
    b"CHUNKING",
    b"chunking",
    b"SIZE 10240000",
    b"size",
    b"SIZE=5",
    b"SIZE\t9",
    b"VRFY",
    b"ETRN",
    b"STARTTLS",
    b"AUTH LOGIN PLAIN",
    b"auth CRAM-MD5",
    b"AUTH=LOGIN PLAIN",
    b"ENHANCEDSTATUSCODES",
    b"8BITMIME",
    b"8bitmime",
    b"DSN",
    b"BINARYMIME",
    b"SMTPUTF8",
    b"HELP",
    b"DELIVERBY",
    b"CHECKPOINT",
    b"EXPN",
    b"REQUIRETLS",
    b"TURN",
    b"X-EXPS GSSAPI NTLM LOGIN",
    b"X-EXPS=LOGIN",
    b"X-LINK2STATE",
    b"XEXCH50",
    b"OK",
    b"X",
    b"",
    b"=",
    b" SIZE",
    b"\xc3\xa4\x01",
];

/// A reply to EHLO, and whether it offers CHUNKING.
pub(crate) fn offer(rng: &mut Rng) -> (Vec<u8>, bool) {
    let mut lines = vec![b"mail.example.com greets you".to_vec()];
    for _ in 0..rng.usize(0..10) {
        let mut line = rng.choice(KEYWORDS).map_or_else(Vec::new, |word| word.to_vec());
        if rng.u8(..60) == 0 {
            // Longer than a line may be, or just as long.
            line = if rng.bool() { b"SIZE ".to_vec() } else { Vec::new() };
            let len = *rng.choice(&[505, 506, 507, 508, 700, 1_900]).unwrap_or(&700);
            line.resize_with(len, || rng.alphanumeric() as u8);
        }
        lines.push(line);
    }
    let is_chunking = lines.iter().any(|line| line.eq_ignore_ascii_case(b"CHUNKING"));
    let mut reply = Vec::new();
    let last = lines.len() - 1;
    for (n, line) in lines.iter().enumerate() {
        let separator: &[u8] = match (n == last, line.is_empty() && rng.bool()) {
            (false, _) => b"-",
            (true, false) => b" ",
            (true, true) => b"",
        };
        reply.extend([b"250", separator, line, b"\r\n"].concat());
    }
    (reply, is_chunking)
}

/// Octets that mean nothing to anybody, up to a mark. None of them is zero: only keep-alives are.
pub(crate) fn opaque(mark: u8, rng: &mut Rng) -> Vec<u8> {
    let len = *rng.choice(&[0, 5, 100, 2_000]).unwrap_or(&5);
    let mut octets = vec![22, 3, 1];
    octets.extend((0..len).map(|_| rng.u8(1..LAST_ROUND)));
    octets.push(mark);
    octets
}

/// STARTTLS, in a spelling by which the server knows that it may be taken at its word, and what follows if it is.
pub(crate) fn starttls(rng: &mut Rng) -> Vec<Step> {
    let rounds = rng.usize(0..3);
    let mut steps =
        vec![Step { kind: Kind::StartTls, octets: b"StartTLS\r\n".to_vec(), replies: 1 }];
    for n in 0..=rounds {
        let mark = if n == rounds { LAST_ROUND } else { ROUND };
        steps.push(Step { kind: Kind::Tls, octets: opaque(mark, rng), replies: 1 });
    }
    steps
}

/// A dialogue of ESMTP: EHLO, AUTH with its answers, or a chunk.
pub(crate) fn dialogue(rng: &mut Rng) -> Vec<Step> {
    let step = |kind, octets: &[u8]| Step { kind, octets: octets.to_vec(), replies: 1 };
    match rng.u8(..4) {
        0 | 1 => {
            let lines: [&[u8]; 3] = [b"EHLO client.example\r\n", b"ehlo me\r\n", b"EHLO\r\n"];
            vec![step(Kind::Ehlo, rng.choice(lines).unwrap_or(lines[0]))]
        }
        2 => {
            const RESPONSES: &[&[u8]] = &[b"dXNlcg==", b"*", b"", b"QUIT", b"=\t|>"];
            let mut steps = vec![step(Kind::Auth, b"AUTH LOGIN\r\n")];
            for _ in 0..3 {
                let mut response =
                    rng.choice(RESPONSES).map_or_else(Vec::new, |text| text.to_vec());
                if rng.u8(..20) == 0 {
                    response.resize_with(*rng.choice(&[500, 13_000]).unwrap_or(&500), || b'A');
                }
                response.extend(b"\r\n");
                steps.push(step(Kind::Response, &response));
            }
            steps
        }
        _ => {
            const PIECES: &[&[u8]] =
                &[b"text ", b"\r\n", b"\r\n.\r\n", b"QUIT\r\n", b"DATA\r\n", b"\r", b"\n"];
            let mut chunk = Vec::new();
            for _ in 0..*rng.choice(&[0, 3, 30, 600]).unwrap_or(&3) {
                chunk.extend(*rng.choice(PIECES).unwrap_or(&PIECES[0]));
            }
            let last = if rng.bool() { " LAST" } else { "" };
            let line = format!("BDAT {}{last}\r\n", chunk.len());
            vec![step(Kind::Chunk, &[line.as_bytes(), &chunk].concat())]
        }
    }
}

/// Lines of a client that make a difference to some device.
pub(crate) const LINES: &[&[u8]] = &[
    b"MAIL FROM:<a|b@client.example>",
    b"MAIL FROM:a>b|<c>d>",
    b"RCPT TO:a>|<b>",
    b"rcpt to:<<a>>",
    b"NOOP |>",
    b"VRFY root",
    b"ETRN example.com",
    b"HELP",
    b"help me",
    b"SEND FROM:<a>",
    b"SOML FROM:<a>",
    b"SAML FROM:<a|>",
    b"ATRN",
    b"TURN",
    b"X-LINK2STATE LAST CHUNK={x}",
    b"DEBUG",
    b"EHLOX",
    b"EHL",
    b"STARTTLSX",
    b"averylongverbthatnobodyknows x",
    b"\t EXPN root",
];
