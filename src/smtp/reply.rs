//! Replies, line by line (RFC 5321 section 4.2).

/// Follows the lines of replies, octet by octet.
#[derive(Debug, Default, Clone)]
pub struct ReplyLine {
    code: [u8; 3],
    column: usize,
    continues: bool,
    /// The line before said that the reply goes on.
    is_continued: bool,
}

impl ReplyLine {
    /// How many octets of the line have been seen.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Whether a reply has begun and not ended.
    pub fn has_begun(&self) -> bool {
        self.column > 0 || self.is_continued
    }

    /// Whether the reply ends with this line, as far as can be told: its code is there, and no
    /// hyphen behind it.
    pub fn is_last(&self) -> bool {
        !self.continues && self.code().is_some()
    }

    /// Whether it is a line behind the first of its reply.
    pub fn is_continuation(&self) -> bool {
        self.is_continued
    }

    /// Takes the next octet. At the end of a reply's last line, its code.
    pub fn take(&mut self, octet: u8) -> Option<u16> {
        if octet == b'\n' {
            let line = core::mem::take(self);
            self.is_continued = line.continues;
            return if line.continues { None } else { line.code() };
        }
        if let Some(slot) = self.code.get_mut(self.column) {
            *slot = octet;
        } else if self.column == 3 {
            self.continues = octet == b'-';
        }
        self.column += 1;
        None
    }

    fn code(&self) -> Option<u16> {
        let is_digits = self.column >= 3 && self.code.iter().all(u8::is_ascii_digit);
        is_digits
            .then(|| self.code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<u16> {
        let mut line = ReplyLine::default();
        text.bytes().filter_map(|octet| line.take(octet)).collect()
    }

    #[test]
    fn a_reply_ends_with_the_line_whose_code_is_not_followed_by_a_hyphen() {
        assert_eq!(codes("220-one\r\n220-two\r\n220 three\r\n250 OK\r\n"), [220, 250]);
        assert_eq!(codes("354\r\n250\n"), [354, 250], "the text may be absent");
        assert_eq!(codes("hello\r\n2x0 OK\r\n25\r\n"), [0_u16; 0], "no code, no reply");
    }
}
