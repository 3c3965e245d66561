//! The end of mail data: CRLF dot CRLF, exactly (RFC 5321 section 4.1.1.4).

use std::sync::LazyLock;

use memchr::memmem::Finder;

const END: &[u8] = b"\r\n.\r\n";

/// Lines are many, lines that begin with a dot are few.
static DOT_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n."));

/// Looks for the end of mail data in pieces of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailData {
    /// Octets of the end that have been seen in a row.
    matched: usize,
    octets: u64,
    /// Those of them that a receiver takes away: dots at the beginning of lines (RFC 5321 section 4.5.2).
    dots: u64,
}

impl Default for MailData {
    /// The line end of DATA itself counts: a dot line may be the first line.
    fn default() -> Self {
        Self { matched: 2, octets: 0, dots: 0 }
    }
}

impl MailData {
    /// Whether a line begins here.
    pub fn is_at_line_start(&self) -> bool {
        self.matched == 2
    }

    /// How many octets of `.` CRLF at the start of a line have been seen, of those that are not whole.
    pub fn inside_end(&self) -> usize {
        self.matched.saturating_sub(2)
    }

    /// Octets of the message up to here, as SIZE counts them: line ends are, stuffed dots and the end of the mail data
    /// are not (RFC 1870 section 5).
    pub fn message_octets(&self) -> u64 {
        let end = if self.matched == END.len() { END.len() - 2 } else { 0 };
        self.octets - self.dots - end as u64
    }

    /// Takes `octets`; when the end of mail data is among them, how many belong to the mail data.
    pub fn take(&mut self, octets: &[u8]) -> Option<usize> {
        let end = self.look(octets);
        self.octets += end.unwrap_or(octets.len()) as u64;
        end
    }

    fn look(&mut self, octets: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&octet) = octets.get(at) {
            if self.matched == 0 {
                let rest = &octets[at..];
                match DOT_LINE.find(rest) {
                    Some(found) if rest[..found].ends_with(b"\r") => at += found - 1,
                    Some(found) => {
                        at += found + 1;
                        continue;
                    }
                    None => {
                        // An end that began in the last octets goes on in the next piece.
                        at = octets.len().saturating_sub(END.len() - 1).max(at);
                        for &octet in &octets[at..] {
                            self.step(octet);
                        }
                        return None;
                    }
                }
                self.step(b'\r');
                at += 1;
                continue;
            }
            self.step(octet);
            at += 1;
            if self.matched == END.len() {
                return Some(at);
            }
        }
        None
    }

    fn step(&mut self, octet: u8) {
        // A dot that has begun a line, and not the end.
        if self.matched > 2 && END.get(self.matched) != Some(&octet) {
            self.dots += 1;
        }
        self.matched = match (END.get(self.matched), octet) {
            (Some(&next), octet) if next == octet => self.matched + 1,
            // The only prefix of the end that can begin inside of it.
            (_, b'\r') => 1,
            _ => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(text: &[u8], cut: usize) -> Option<usize> {
        let mut data = MailData::default();
        let cut = cut.min(text.len());
        data.take(&text[..cut]).or_else(|| data.take(&text[cut..]).map(|end| cut + end))
    }

    #[test]
    fn the_end_is_found_under_every_cut() {
        for (text, end) in [
            (&b".\r\nQUIT"[..], Some(3)),
            (b"a\r\n.\r\nQUIT\r\n", Some(6)),
            (b"a\r\n\r\n.\r\n", Some(8)),
            (b"a\r\r\n.\r\n", Some(7)),
            (b"a\r\n.\r\r\n.\r\n.\r\n", Some(10)),
            (b"..\r\n", None),
            (b"a\n.\n", None),
            (b"a\r\n.\n", None),
            (b"a\n.\r\n", None),
            (b"a\r\n.\r", None),
            (b"a\r\n. \r\n", None),
            (b"a\r\n\0.\r\n", None),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(end_of(text, cut), end, "{text:?} cut at {cut}");
            }
            let mut data = MailData::default();
            let single = text.iter().position(|octet| data.take(&[*octet]).is_some());
            assert_eq!(single.map(|at| at + 1), end, "{text:?} octet by octet");
        }
    }

    #[test]
    fn the_size_of_a_message_is_that_of_its_lines() {
        for (text, size) in [
            (&b".\r\n"[..], 0),
            (b"a\r\n.\r\n", 3),
            (b"..\r\n.\r\n", 3),
            (b"a\r\n...b\r\n.c\r\n..\r\nd.\r\n.\r\n", 3 + 5 + 3 + 3 + 4),
            (b".\r\r\n.\r\n", 3),
            (b"a\n.b\r\n.\r\n", 6),
        ] {
            for cut in 0..text.len() {
                let mut data = MailData::default();
                let end = data.take(&text[..cut]).or_else(|| data.take(&text[cut..]));
                assert!(end.is_some());
                assert_eq!(data.message_octets(), size, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn against_a_plain_search_over_random_text() {
        for seed in 0..3000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let text: Vec<u8> =
                (0..rng.usize(0..60)).map(|_| *rng.choice(b"\r\n.x").unwrap()).collect();
            let whole = [b"\r\n", &text[..]].concat();
            let want = whole.windows(5).position(|w| w == END).map(|at| at + 5 - 2);
            let (mut data, mut at, mut got) = (MailData::default(), 0, None);
            while at < text.len() && got.is_none() {
                let piece = &text[at..(at + rng.usize(1..9)).min(text.len())];
                got = data.take(piece).map(|end| at + end);
                at += piece.len();
            }
            assert_eq!(got, want, "seed {seed}");
        }
    }
}
