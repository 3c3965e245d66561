//! The size that MAIL declares (`SIZE=`, RFC 1870 section 3), octet by octet.

/// The argument of MAIL as it streams by, looked at for its parameter SIZE.
#[derive(Debug, Default, Clone)]
pub(super) struct DeclaredSize {
    size: Option<u64>,
    at: At,
    /// Between the brackets of the address.
    is_in_path: bool,
    is_quoted: bool,
    is_escaped: bool,
}

/// Where in a word.
#[derive(Debug, Default, Clone, Copy)]
enum At {
    /// It is none of interest.
    #[default]
    Elsewhere,
    /// So many octets of `SIZE=` have come.
    Name(usize),
    /// Digits of its value; none as long as none has come.
    Value(Option<u64>),
}

const NAME: &[u8] = b"SIZE=";

impl DeclaredSize {
    /// Octets of the argument.
    pub(super) fn octets(&mut self, octets: &[u8]) {
        for &octet in octets {
            let is_elsewhere = matches!(self.at, At::Elsewhere) && !self.is_quoted;
            // Nearly all of an address changes nothing.
            if !is_elsewhere || matches!(octet, b' ' | b'\t' | b'"' | b'<' | b'>') {
                self.octet(octet);
            }
        }
    }

    /// One octet of the argument.
    pub(super) fn octet(&mut self, octet: u8) {
        if self.is_quoted {
            (self.is_quoted, self.is_escaped) = match octet {
                _ if self.is_escaped => (true, false),
                b'\\' => (true, true),
                octet => (octet != b'"', false),
            };
            return;
        }
        if matches!(octet, b' ' | b'\t') && !self.is_in_path {
            self.size = self.declared();
            self.at = At::Name(0);
            return;
        }
        match octet {
            b'"' => self.is_quoted = true,
            b'<' => self.is_in_path = true,
            b'>' => self.is_in_path = false,
            _ => {}
        }
        self.at = match self.at {
            At::Name(len) if NAME.get(len) == Some(&octet.to_ascii_uppercase()) => {
                if len + 1 == NAME.len() { At::Value(None) } else { At::Name(len + 1) }
            }
            At::Value(so_far) if octet.is_ascii_digit() => {
                let more = so_far.unwrap_or(0).checked_mul(10);
                let more = more.and_then(|more| more.checked_add(u64::from(octet - b'0')));
                more.map_or(At::Elsewhere, |more| At::Value(Some(more)))
            }
            At::Elsewhere | At::Name(_) | At::Value(_) => At::Elsewhere,
        };
    }

    /// What is declared, should the line end here.
    pub(super) fn declared(&self) -> Option<u64> {
        if let At::Value(Some(size)) = self.at { Some(size) } else { self.size }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Notice;
    use super::super::testing::Middle;
    use super::*;

    /// What is told of a session in which the server accepts everything, and the client's octets come one by one or all
    /// at once.
    fn violations(personality: &str, client: &str, single: bool) -> Vec<(u64, u64)> {
        let mut middle = Middle::greeted(personality, &[("partial-lines", "stream")]);
        for line in client.split_inclusive("|") {
            let line = line.trim_end_matches('|');
            if single {
                line.chars().for_each(|octet| drop(middle.client(&octet.to_string())));
            } else {
                middle.client(line);
            }
            middle.server(if line == "DATA\r\n" { "354 go\r\n" } else { "250 ok\r\n" });
        }
        assert_eq!(middle.fault, None);
        let size = |notice: &Notice| {
            let Notice::SizeViolated { declared, actual } = notice else { return None };
            Some((*declared, *actual))
        };
        middle.watch.notices.iter().filter_map(size).collect()
    }

    #[test]
    fn a_message_longer_than_declared_is_told_of_once() {
        for (client, told) in [
            ("MAIL FROM:<a> SIZE=5|DATA|abc|", &[][..]),
            ("MAIL FROM:<a> SIZE=4|DATA|abc|", &[(4, 5)][..]),
            // Stuffed dots and the end are none of the message.
            ("MAIL FROM:<a> SIZE=6|DATA|.....|", &[][..]),
            ("MAIL FROM:<a> SIZE=5|DATA|.....|", &[(5, 6)][..]),
            ("MAIL FROM:<a> SIZE=0|DATA||", &[][..]),
            // It holds for one message, up to another MAIL, RSET or EHLO.
            ("MAIL FROM:<a> SIZE=1|DATA|abc|MAIL FROM:<a>|DATA|abc|", &[(1, 5)][..]),
            ("MAIL FROM:<a> SIZE=1|RSET|MAIL FROM:<a>|DATA|abc|", &[][..]),
            ("MAIL FROM:<a> SIZE=9|MAIL FROM:<b> SIZE=2|DATA|abc|", &[(2, 5)][..]),
            ("MAIL FROM:<a> SIZE=2|RCPT TO:<b> SIZE=9|DATA|abc|", &[(2, 5)][..]),
        ] {
            let mut is_data = false;
            let lines: Vec<_> = client
                .split_terminator('|')
                .map(|line| {
                    let end = if is_data { ".\r\n" } else { "" };
                    is_data = line == "DATA";
                    let line_end = if line.is_empty() { "" } else { "\r\n" };
                    format!("{line}{line_end}{end}|")
                })
                .collect();
            for single in [false, true] {
                assert_eq!(violations("asa72", &lines.concat(), single), told, "{client}");
            }
        }
        let line = "MAIL FROM:<a> SIZE=1\r\n|DATA\r\n|abc\r\n.\r\n|";
        assert_eq!(violations("pix6x", line, false), [], "it lets no EHLO pass");
        assert_eq!(violations("modern", line, false), [(1, 5)]);
    }

    #[test]
    fn the_parameter_is_told_from_what_looks_like_it() {
        for (line, size) in [
            ("FROM:<a@b> SIZE=500", Some(500)),
            ("from:<a@b>  body=8BITMIME\tsize=0 AUTH=<>", Some(0)),
            ("FROM:a@b SIZE=18446744073709551615", Some(u64::MAX)),
            ("FROM: <\"SIZE=1 SIZE=2\\\" SIZE=3\"@b> SIZE=4 X", Some(4)),
            ("FROM:<a SIZE=5> RET=HDRS", None),
            ("FROM:<a@b>", None),
            ("FROM:<a@b> SIZE=", None),
            ("FROM:<a@b> SIZE=18446744073709551616", None),
            ("FROM:<a@b> SIZE=5K", None),
            ("FROM:<a@b> XSIZE=5", None),
            ("FROM:<a@b> SIZE5", None),
            ("FROM:<a@b>SIZE=5", None),
        ] {
            let mut declared = DeclaredSize::default();
            line.bytes().for_each(|octet| declared.octet(octet));
            assert_eq!(declared.declared(), size, "{line}");
        }
    }
}
