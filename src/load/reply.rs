//! Reads SMTP replies (RFC 5321 4.2) from a stream, with a bound on every buffer.

/// The longest reply line that is taken. RFC 5321 4.5.3.1.5 has 512; be liberal.
const LINE_MAX: usize = 2048;
/// The most lines one reply may have.
const LINES_MAX: u32 = 256;

/// One whole reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The reply code.
    pub(super) code: u16,
    /// Whether a line's text was the EHLO keyword PIPELINING (RFC 2920).
    pub(super) pipelining: bool,
    /// The last line, for reports.
    pub(super) text: String,
}

/// Puts replies together from what arrives.
#[derive(Debug, Default)]
pub(super) struct ReplyReader {
    line: Vec<u8>,
    lines: u32,
    code: u16,
    pipelining: bool,
}

impl ReplyReader {
    /// Takes octets up to the end of one reply, or all; the `Err` says what is malformed.
    pub(super) fn feed(&mut self, octets: &[u8]) -> Result<(usize, Option<Reply>), &'static str> {
        let mut at = 0;
        while let Some(end) = memchr::memchr(b'\n', &octets[at..]) {
            let piece = &octets[at..=at + end];
            at += piece.len();
            if self.line.len() + piece.len() > LINE_MAX {
                return Err("overlong reply line");
            }
            // Whole lines are read where they lie; a broken one keeps no buffer afterwards.
            let done = if self.line.is_empty() {
                self.line_done(piece)?
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(piece);
                self.line_done(&line)?
            };
            if done.is_some() {
                return Ok((at, done));
            }
        }
        let rest = &octets[at..];
        if self.line.len() + rest.len() > LINE_MAX {
            return Err("overlong reply line");
        }
        self.line.extend_from_slice(rest);
        Ok((octets.len(), None))
    }

    fn line_done(&mut self, line: &[u8]) -> Result<Option<Reply>, &'static str> {
        let Some(text) = line.strip_suffix(b"\r\n") else {
            return Err("reply line without CRLF");
        };
        let digits = text.get(..3).ok_or("short reply line")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err("reply line without a code");
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        if self.lines > 0 && code != self.code {
            return Err("reply with two codes");
        }
        self.code = code;
        self.lines += 1;
        let words = text.get(4..).unwrap_or_default();
        self.pipelining |= self.lines > 1 && words.eq_ignore_ascii_case(b"PIPELINING");
        match text.get(3) {
            Some(b'-') if self.lines < LINES_MAX => Ok(None),
            Some(b'-') => Err("reply of too many lines"),
            Some(b' ') | None => {
                let pipelining = self.pipelining;
                *self = Self::default();
                let text = text.escape_ascii().to_string();
                Ok(Some(Reply { code, pipelining, text }))
            }
            Some(_) => Err("reply line without a space behind its code"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ReplyReader;

    const EHLO: &[u8] = b"250-sink.example.net\r\n250-SIZE 0\r\n250-pipelining\r\n250 8BITMIME\r\n";

    #[test]
    fn replies_come_whole_however_they_are_cut() {
        for cut in 1..EHLO.len() {
            let mut reader = ReplyReader::default();
            let (used, none) = reader.feed(&EHLO[..cut]).unwrap();
            assert_eq!((used, none), (cut, None));
            let (used, reply) = reader.feed(&EHLO[cut..]).unwrap();
            let reply = reply.unwrap();
            assert_eq!(used, EHLO.len() - cut);
            assert_eq!((reply.code, reply.pipelining), (250, true));
        }
    }

    #[test]
    fn one_reply_at_a_time() {
        let mut reader = ReplyReader::default();
        let burst = b"250 one\r\n354 two\r\n";
        let (used, reply) = reader.feed(burst).unwrap();
        assert_eq!((used, reply.unwrap().code), (9, 250));
        let (used, reply) = reader.feed(&burst[9..]).unwrap();
        assert_eq!((used, reply.unwrap().code), (9, 354));
    }

    #[test]
    fn a_host_named_pipelining_offers_nothing() {
        let (_, reply) = ReplyReader::default().feed(b"250 PIPELINING\r\n").unwrap();
        assert!(!reply.unwrap().pipelining);
    }

    #[test]
    fn malformed_replies_are_errors() {
        let long = [b'x'; 3000];
        let endless = b"250-x\r\n".repeat(300);
        let cases: [&[u8]; 8] = [
            b"250 OK\n",
            b"25\r\n",
            b"\r\n",
            b"OK 250\r\n",
            b"250-a\r\n251 b\r\n",
            b"250_a\r\n",
            &long,
            &endless,
        ];
        for case in cases {
            assert!(ReplyReader::default().feed(case).is_err(), "{}", case.escape_ascii());
        }
    }
}
