//! Mail data as it arrives: its end, its transparency dots, and what is wrong with it.

use crc32fast::Hasher;

use crate::load::message::{CHECK_HEADER, parse_check};

/// The longest line with its CRLF, transparency dot not counted (RFC 5321 4.5.3.1.6).
const LINE_MAX: u64 = 1000;
/// As much of a header line as is kept: the check header is shorter.
const HEADER_LINE_MAX: usize = 256;

/// Where in a line the data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the beginning, behind CRLF.
    LineStart,
    /// Behind a dot at the beginning, which has been taken away.
    Dot,
    /// Behind that dot and a CR, which is held back: it may be of the end.
    DotCr,
    /// Anywhere else.
    Text,
    /// Behind a CR.
    Cr,
}

/// Finds the end of mail data and takes the transparency dots away (RFC 5321 4.5.2).
///
/// Only CRLF ends a line, and only CRLF.CRLF the data (RFC 5321 4.1.1.4).
#[derive(Debug)]
pub(super) struct Decoder {
    at: At,
    line: u64,
    /// CRs without LF.
    pub(super) bare_cr: u64,
    /// LFs without CR.
    pub(super) bare_lf: u64,
    /// Lines of more than 1000 octets.
    pub(super) long_lines: u64,
}

impl Decoder {
    /// A decoder behind `DATA` CRLF.
    pub(super) fn new() -> Self {
        Self { at: At::LineStart, line: 0, bare_cr: 0, bare_lf: 0, long_lines: 0 }
    }

    /// Takes octets up to the end of the data, or all; hands the content to `take`.
    pub(super) fn feed(&mut self, octets: &[u8], take: impl FnMut(&[u8])) -> (usize, bool) {
        self.scan(octets, true, take)
    }

    /// Takes octets of a BDAT chunk: they have neither dots nor an end (RFC 3030 2).
    pub(super) fn feed_chunk(&mut self, octets: &[u8], take: impl FnMut(&[u8])) {
        self.scan(octets, false, take);
    }

    fn scan(&mut self, octets: &[u8], dots: bool, mut take: impl FnMut(&[u8])) -> (usize, bool) {
        let (mut at, mut run) = (0, 0);
        while at < octets.len() {
            match self.at {
                At::LineStart if dots && octets[at] == b'.' => {
                    take(&octets[run..at]);
                    at += 1;
                    run = at;
                    self.at = At::Dot;
                }
                At::Dot if octets[at] == b'\r' => {
                    at += 1;
                    run = at;
                    self.at = At::DotCr;
                }
                At::LineStart | At::Dot => self.at = At::Text,
                At::DotCr if octets[at] == b'\n' => return (at + 1, true),
                At::DotCr => {
                    take(b"\r");
                    self.line += 1;
                    self.at = At::Cr;
                }
                At::Cr if octets[at] == b'\n' => {
                    at += 1;
                    self.long_lines += u64::from(self.line + 1 > LINE_MAX);
                    self.line = 0;
                    self.at = At::LineStart;
                }
                At::Cr => {
                    self.bare_cr += 1;
                    self.at = At::Text;
                }
                At::Text => match memchr::memchr2(b'\r', b'\n', &octets[at..]) {
                    Some(text) => {
                        let cr = octets[at + text] == b'\r';
                        at += text + 1;
                        self.line += text as u64 + 1;
                        self.bare_lf += u64::from(!cr);
                        self.at = if cr { At::Cr } else { At::Text };
                    }
                    None => {
                        self.line += (octets.len() - at) as u64;
                        at = octets.len();
                    }
                },
            }
        }
        if run < at {
            take(&octets[run..at]);
        }
        (at, false)
    }
}

/// What a message's check header turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is none.
    Unchecked,
    /// The body is what was sent.
    Unaltered,
    /// It is not; the text says how it differs.
    Altered(String),
}

/// Counts a message's octets and verifies its body against its check header.
#[derive(Debug)]
pub(super) struct Inspection {
    in_header: bool,
    header_line: Vec<u8>,
    check: Option<String>,
    body: u64,
    sum: Hasher,
    /// Octets in all.
    pub(super) octets: u64,
}

impl Inspection {
    /// Of a message of which nothing has come.
    pub(super) fn new() -> Self {
        Self {
            in_header: true,
            header_line: Vec::new(),
            check: None,
            body: 0,
            sum: Hasher::new(),
            octets: 0,
        }
    }

    /// Takes content.
    pub(super) fn take(&mut self, mut content: &[u8]) {
        self.octets += content.len() as u64;
        while self.in_header && !content.is_empty() {
            let end = memchr::memchr(b'\n', content).map(|end| end + 1);
            let (line, rest) = content.split_at(end.unwrap_or(content.len()));
            let room = HEADER_LINE_MAX - self.header_line.len();
            self.header_line.extend_from_slice(&line[..line.len().min(room)]);
            content = rest;
            if end.is_some() {
                self.header_line_done();
            }
        }
        self.body += content.len() as u64;
        self.sum.update(content);
    }

    fn header_line_done(&mut self) {
        let line = String::from_utf8_lossy(&self.header_line);
        let line = line.trim_end();
        if line.is_empty() {
            self.in_header = false;
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case(CHECK_HEADER)
        {
            self.check = Some(value.trim().to_owned());
        }
        self.header_line.clear();
    }

    /// Compares body and header.
    pub(super) fn verdict(self) -> Verdict {
        let Some(check) = self.check else {
            return Verdict::Unchecked;
        };
        let sum = self.sum.finalize();
        match parse_check(&check) {
            Some(sent) if sent == (self.body, sum) => Verdict::Unaltered,
            Some(_) => Verdict::Altered(format!(
                "the body has bytes={} crc32={sum:08x}, its header says {check}",
                self.body
            )),
            None => Verdict::Altered(format!(
                "its {CHECK_HEADER} header cannot be read: {}",
                check.escape_default()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, Inspection, Verdict};

    /// Content, octets used if the data ended, bare CRs, bare LFs.
    fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Option<usize>, u64, u64) {
        let mut decoder = Decoder::new();
        let mut content = Vec::new();
        let mut used = 0;
        for piece in pieces {
            let (taken, ended) = decoder.feed(piece, |octets| content.extend_from_slice(octets));
            used += taken;
            if ended {
                return (content, Some(used), decoder.bare_cr, decoder.bare_lf);
            }
            assert_eq!(taken, piece.len());
        }
        (content, None, decoder.bare_cr, decoder.bare_lf)
    }

    #[test]
    fn dots_and_ends_however_cut() {
        // On the wire, content, whether it ends, bare CRs, bare LFs.
        type Case = (&'static [u8], &'static [u8], bool, u64, u64);
        let cases: [Case; 12] = [
            (b".\r\n", b"", true, 0, 0),
            (b"a\r\n.\r\n", b"a\r\n", true, 0, 0),
            (b"..\r\n.\r\n", b".\r\n", true, 0, 0),
            (b".a\r\n.\r\n", b"a\r\n", true, 0, 0),
            (b"a\n.\n\r\n.\r\n", b"a\n.\n\r\n", true, 0, 2),
            (b"a\r.\r\r\n.\r\n", b"a\r.\r\r\n", true, 2, 0),
            (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", true, 0, 1),
            (b"a\r\n.\n.\r\n", b"a\r\n\n.\r\n", false, 0, 1),
            (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", true, 1, 0),
            (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", true, 1, 0),
            (b"\r\n\r\n.\r\n", b"\r\n\r\n", true, 0, 0),
            (b"\xff\x00\r\n.\r\n", b"\xff\x00\r\n", true, 0, 0),
        ];
        for (wire, content, ends, cr, lf) in cases {
            let wanted = (content.to_vec(), ends.then_some(wire.len()), cr, lf);
            let shown = wire.escape_ascii();
            assert_eq!(decode(&[wire]), wanted, "{shown}");
            for cut in 1..wire.len() {
                assert_eq!(decode(&[&wire[..cut], &wire[cut..]]), wanted, "{shown} cut at {cut}");
            }
            let octets: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(decode(&octets), wanted, "{shown} by octets");
        }
    }

    #[test]
    fn what_follows_the_end_is_left() {
        assert_eq!(decode(&[b"a\r\n.\r\nQUIT\r\n"]).1, Some(6));
    }

    #[test]
    fn lines_over_1000_octets_count() {
        for (length, long) in [(998, 0), (999, 1)] {
            let mut decoder = Decoder::new();
            // The transparency dot does not count.
            let line = [b"..", "x".repeat(length - 1).as_bytes(), b"\r\n"].concat();
            decoder.feed(&line, |_| {});
            assert_eq!(decoder.long_lines, long, "{length}");
        }
    }

    #[test]
    fn a_body_is_verified_behind_the_empty_line() {
        let sum = crc32fast::hash(b"\r\nbody\r\n");
        let verdict = |body: &str| {
            let mut inspection = Inspection::new();
            let header = format!("A: b\r\nx-mailguard-load: bytes=8 crc32={sum:08x}\r\n\r\n");
            for octet in header.bytes().chain(body.bytes()) {
                inspection.take(&[octet]);
            }
            inspection.verdict()
        };
        assert_eq!(verdict("\r\nbody\r\n"), Verdict::Unaltered);
        assert!(matches!(verdict("\r\nbodX\r\n"), Verdict::Altered(_)));
        assert!(matches!(verdict("\r\nbody\r\n\r\n"), Verdict::Altered(_)));
    }

    #[test]
    fn headers_are_bounded_and_may_be_missing() {
        let mut inspection = Inspection::new();
        inspection.take(&[b'h'; 100_000]);
        assert!(inspection.header_line.capacity() <= 1024);
        inspection.take(b"\r\n\r\nX-Mailguard-Load: bytes=0 crc32=0\r\n");
        assert_eq!(inspection.verdict(), Verdict::Unchecked);
    }
}
