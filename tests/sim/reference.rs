//! The policy, a second time: plain, slow and over whole streams, written from the rules and not
//! from the code under test. [`judge`] says what each end must receive.

use core::ops::Range;

use mailguard::policy::Personality;

/// The personality, as the checks know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Off,
    Mailguard,
    Pix40,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Off, Self::Mailguard, Self::Pix40];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Mailguard => "mailguard",
            Self::Pix40 => "pix40",
        }
    }

    pub(crate) fn personality(self) -> &'static Personality {
        Personality::named(self.name()).expect("a personality of that name")
    }

    pub(crate) fn inspects(self) -> bool {
        self != Self::Off
    }

    fn refusal(self) -> &'static [u8] {
        match self {
            Self::Pix40 => b"250 OK\r\n",
            Self::Off | Self::Mailguard => b"500 Command unrecognized\r\n",
        }
    }
}

/// One edited stream.
#[derive(Debug, Default)]
pub(crate) struct Edited {
    /// What the receiver must get.
    pub(crate) octets: Vec<u8>,
    /// How many of them are certain after so many octets of the original.
    pub(crate) image: Vec<usize>,
    /// Blanks of which only their number is certain, and only in the end.
    pub(crate) blanks: Vec<Range<usize>>,
}

impl Edited {
    /// Whether a place of it is one of those blanks, or beside them.
    pub(crate) fn is_vague(&self, at: usize) -> bool {
        self.blanks.iter().any(|blanks| blanks.start <= at && at <= blanks.end + 1)
    }

    /// One original octet became `octets`.
    fn take(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        self.image.push(self.octets.len());
    }

    /// A server that repeats the surplus of a reply before it has sent the line end may be waiting
    /// for its acknowledgement: then that surplus leaves as blanks, as many as are in `got`.
    pub(crate) fn allow_blanks(&mut self, mode: Mode, got: &[u8]) {
        let count = |octets: &[u8], at: usize| {
            let rest = octets.get(at..).unwrap_or_default();
            rest.iter().take_while(|octet| **octet == b' ').count()
        };
        let mut at = 0;
        while let Some(end) = end_of_refusal(mode, &self.octets, at) {
            let (expected, there) = (count(&self.octets, end), count(got, end));
            self.octets.splice(end..end + expected, vec![b' '; there]);
            for image in self.image.iter_mut().filter(|image| **image > end) {
                *image = (*image + there).saturating_sub(expected).max(end);
            }
            at = end + there;
            if expected + there > 0 {
                self.blanks.push(end..at);
            }
        }
    }

    fn same(octets: &[u8]) -> Self {
        Self { octets: octets.to_vec(), image: (0..=octets.len()).collect(), ..Self::default() }
    }
}

/// Where the text of the next refusal behind `at` ends.
fn end_of_refusal(mode: Mode, octets: &[u8], at: usize) -> Option<usize> {
    let text = mode.refusal().trim_ascii_end();
    let found = octets.get(at..)?.windows(text.len()).position(|window| window == text)?;
    mode.inspects().then_some(at + found + text.len())
}

/// What the client received, without the blanks behind refusals.
pub(crate) fn without_blanks(mode: Mode, octets: &[u8]) -> Vec<u8> {
    let (mut left, mut at) = (Vec::new(), 0);
    while let Some(end) = end_of_refusal(mode, octets, at) {
        left.extend_from_slice(&octets[at..end]);
        at = end + octets[end..].iter().take_while(|octet| **octet == b' ').count();
    }
    left.extend_from_slice(&octets[at..]);
    left
}

/// Both edited streams of one connection, and what happened in it.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) to_server: Edited,
    pub(crate) to_client: Edited,
    pub(crate) refused: u64,
    pub(crate) mended: u64,
    pub(crate) messages: u64,
    /// Edited octets to the server from the first number on may pass only after so many of the
    /// server's octets as the second says: the code of the reply to DATA.
    pub(crate) gates: Vec<(usize, usize)>,
}

/// What a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Allowed,
    Refused,
    Data,
    Message,
}

/// Judges what the client sent and what the server sent.
pub(crate) fn judge(mode: Mode, client: &[u8], server: &[u8]) -> Judged {
    if !mode.inspects() {
        return Judged {
            to_server: Edited::same(client),
            to_client: Edited::same(server),
            ..Judged::default()
        };
    }
    let replies = replies(server);
    let mut commands = Commands::new(&replies, server);
    for octet in client {
        if !commands.octet(*octet) {
            break;
        }
    }
    let mut judged = Judged {
        to_client: edit_replies(mode, server, &replies, &commands.slots),
        refused: commands.count(Slot::Refused),
        messages: commands.count(Slot::Message),
        mended: commands.mended,
        gates: core::mem::take(&mut commands.gates),
        ..Judged::default()
    };
    judged.to_server = commands.edited;
    judged
}

/// Where each whole reply lies.
fn replies(server: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut line) = (0, 0);
    for end in 1..=server.len() {
        if !server[..end].ends_with(b"\r\n") {
            continue;
        }
        if server.get(line + 3) != Some(&b'-') {
            found.push(start..end);
            start = end;
        }
        line = end;
    }
    found
}

const VERBS: [&[u8]; 7] = [b"HELO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"NOOP", b"QUIT"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many octets of it are the beginning of an allowed verb.
    Verb(usize),
    /// The verb is allowed and whole: the rest passes.
    Argument,
    /// So many octets of it were traded for `NOOP`.
    Noop(usize),
    /// The verb is spoilt: the rest becomes spaces.
    Spoilt,
}

struct Commands<'a> {
    replies: &'a [Range<usize>],
    server: &'a [u8],
    edited: Edited,
    slots: Vec<Slot>,
    line: Line,
    verb: Vec<u8>,
    /// Octets of the argument so far.
    argument: usize,
    cr: bool,
    /// The last octets of mail data, if that is what the client sends.
    data: Option<Vec<u8>>,
    mended: u64,
    gates: Vec<(usize, usize)>,
}

impl<'a> Commands<'a> {
    fn new(replies: &'a [Range<usize>], server: &'a [u8]) -> Self {
        Self {
            replies,
            server,
            edited: Edited { image: vec![0], ..Edited::default() },
            slots: Vec::new(),
            line: Line::Verb(0),
            verb: Vec::new(),
            argument: 0,
            cr: false,
            data: None,
            mended: 0,
            gates: Vec::new(),
        }
    }

    fn count(&self, slot: Slot) -> u64 {
        self.slots.iter().filter(|s| **s == slot).count() as u64
    }

    /// Takes one octet; false when it has to wait for a reply that never came.
    fn octet(&mut self, octet: u8) -> bool {
        let mut out = Vec::new();
        if self.cr {
            self.cr = false;
            out.push(b'\n');
            self.end_line(out.len());
            if octet == b'\n' {
                self.edited.take(&out);
                return true;
            }
            self.mended += 1;
            if self.slots.last() == Some(&Slot::Data) {
                // Nobody can tell yet what this octet is: it is spent on the line end.
                self.edited.take(&out);
                return true;
            }
        }
        if self.must_wait() {
            self.edited.octets.extend_from_slice(&out);
            return false;
        }
        if self.data.is_none() && self.data_begins() {
            self.data = Some(b"\r\n".to_vec());
        }
        if let Some(seen) = &mut self.data {
            seen.push(octet);
            out.push(octet);
            if seen.ends_with(b"\r\n.\r\n") {
                self.data = None;
                self.slots.push(Slot::Message);
            }
        } else if octet == b'\r' {
            // Whatever follows, a line ends here.
            self.cr = true;
            out.extend_from_slice(self.rest_of_line());
            out.push(b'\r');
        } else if octet == b'\n' {
            self.mended += 1;
            out.extend_from_slice(self.rest_of_line());
            out.extend_from_slice(b"\r\n");
            self.end_line(out.len());
        } else {
            self.command_octet(octet, &mut out);
        }
        self.edited.take(&out);
        true
    }

    /// Whether the last command was DATA and its reply has not come.
    fn must_wait(&self) -> bool {
        self.slots.last() == Some(&Slot::Data) && self.replies.len() <= self.slots.len()
    }

    /// Whether the last command was DATA and its reply was 354.
    fn data_begins(&self) -> bool {
        self.slots.last() == Some(&Slot::Data)
            && self
                .replies
                .get(self.slots.len())
                .is_some_and(|range| self.server[range.clone()].starts_with(b"354"))
    }

    fn command_octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        match self.line {
            Line::Argument => {
                self.argument += 1;
                out.push(if self.argument > 2000 { b' ' } else { octet });
            }
            Line::Spoilt => out.push(b' '),
            Line::Noop(n) => {
                out.push(b"NOOP".get(n).copied().unwrap_or(b' '));
                self.line = Line::Noop(n + 1);
            }
            Line::Verb(n) => {
                let whole = VERBS.contains(&self.verb.as_slice());
                if whole && matches!(octet, b' ' | b'\t') {
                    self.line = Line::Argument;
                    self.argument = 1;
                    out.push(octet);
                    return;
                }
                self.verb.push(octet.to_ascii_uppercase());
                if VERBS.iter().any(|verb| verb.starts_with(&self.verb)) {
                    self.line = Line::Verb(n + 1);
                    out.push(octet);
                } else if n == 0 {
                    self.line = Line::Noop(1);
                    out.push(b'N');
                } else {
                    self.line = Line::Spoilt;
                    out.push(b'X');
                }
            }
        }
    }

    /// What a line that ends now is short of.
    fn rest_of_line(&self) -> &'static [u8] {
        match self.line {
            Line::Argument | Line::Verb(4) | Line::Spoilt => b"",
            Line::Verb(0) => b"NOOP",
            Line::Verb(_) => b"X",
            Line::Noop(n) => &b"NOOP"[n.min(4)..],
        }
    }

    /// A line ends `len` octets from here.
    fn end_line(&mut self, len: usize) {
        let slot = match self.line {
            Line::Argument | Line::Verb(4) if self.verb == b"DATA" => Slot::Data,
            Line::Argument | Line::Verb(4) => Slot::Allowed,
            Line::Spoilt | Line::Verb(_) | Line::Noop(_) => Slot::Refused,
        };
        self.slots.push(slot);
        if slot == Slot::Data
            && let Some(reply) = self.replies.get(self.slots.len())
        {
            self.gates.push((self.edited.octets.len() + len, reply.start + 3));
        }
        self.line = Line::Verb(0);
        self.verb.clear();
    }
}

fn edit_replies(mode: Mode, server: &[u8], replies: &[Range<usize>], slots: &[Slot]) -> Edited {
    let mut edited = Edited { image: vec![0], ..Edited::default() };
    for (n, range) in replies.iter().enumerate() {
        let reply = &server[range.clone()];
        let slot = n.checked_sub(1).and_then(|n| slots.get(n));
        if n == 0 {
            for line in reply.split_inclusive(|octet| *octet == b'\n') {
                for octet in masked(mode, line) {
                    edited.take(&[octet]);
                }
            }
        } else if slot == Some(&Slot::Refused) && !reply.starts_with(b"4") {
            refuse(mode, reply, &mut edited);
        } else {
            for octet in reply {
                edited.take(&[*octet]);
            }
        }
    }
    let rest = replies.last().map_or(0, |range| range.end);
    for octet in &server[rest..] {
        edited.take(&[*octet]);
    }
    edited
}

/// The reply to a refused command: octet for octet as long as the refusal lasts; a surplus of less
/// than 128 octets leaves no trace, a longer one becomes blanks.
fn refuse(mode: Mode, reply: &[u8], edited: &mut Edited) {
    let text = mode.refusal().trim_ascii_end();
    let (body, end) = match reply.strip_suffix(b"\r\n") {
        Some(body) => (body, &b"\r\n"[..]),
        None => (&reply[..reply.len() - 1], &b"\n"[..]),
    };
    let is_blanked = body.len() >= text.len() + 128;
    for n in 0..body.len() {
        match text.get(n) {
            Some(octet) => edited.take(&[*octet]),
            None if is_blanked => edited.take(b" "),
            None => edited.take(b""),
        }
    }
    let rest = text.get(body.len()..).unwrap_or_default();
    if end == b"\r\n" {
        edited.take(&if is_blanked { b" ".to_vec() } else { [rest, b"\r"].concat() });
        edited.take(if is_blanked { b"\r\n" } else { b"\n" });
    } else {
        edited.take(&[rest, b"\r\n"].concat());
    }
}

/// One line of the greeting, with its line end.
fn masked(mode: Mode, line: &[u8]) -> Vec<u8> {
    let text_at = match line {
        [a, b, c, rest @ ..] if [a, b, c].iter().all(|octet| octet.is_ascii_digit()) => {
            if matches!(rest.first(), Some(b' ' | b'-')) { 4 } else { 3 }
        }
        _ => 0,
    };
    let mut cmap = b"SMTP/cmap ready".iter();
    line.iter()
        .enumerate()
        .map(|(at, octet)| match octet {
            b'\r' | b'\n' => *octet,
            _ if at < text_at => *octet,
            b'2' | b'0' if mode == Mode::Mailguard => *octet,
            _ if mode == Mode::Mailguard => b'*',
            _ => cmap.next().copied().unwrap_or(b'_'),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_server(client: &[u8], server: &[u8]) -> String {
        let judged = judge(Mode::Mailguard, client, server);
        judged.to_server.octets.escape_ascii().to_string()
    }

    #[test]
    fn reference_trades_commands_octet_for_octet() {
        let server = b"220 x\r\n";
        for (client, expected) in [
            (&b"helo me\r\nNOOP\r\n"[..], "helo me\\r\\nNOOP\\r\\n"),
            (b"EHLO me\r\n", "NOOP   \\r\\n"),
            (b"EXPN\r\n", "NOOP\\r\\n"),
            (b"X\r\n", "NOOP\\r\\n"),
            (b"\r\n", "NOOP\\r\\n"),
            (b"\r\r\n", "NOOP\\r\\nNOOP\\r\\n"),
            (b"HELP me\r\n", "HELX   \\r\\n"),
            (b"HEL\r\n", "HELX\\r\\n"),
            (b"QUITX\r\n", "QUITX\\r\\n"),
            (b"QUITXY z\r\n", "QUITX   \\r\\n"),
            (b"NOOP\nNOOP\rNOOP\r\n", "NOOP\\r\\nNOOP\\r\\nNOOP\\r\\n"),
            (b"mail from:<a\tb>\r\n", "mail from:<a\\tb>\\r\\n"),
            (b"EX", "NO"),
            (b"NOOP\r", "NOOP\\r"),
            (b"DATA\r\nEXPN\r\n", "DATA\\r\\n"),
        ] {
            assert_eq!(to_server(client, server), expected, "{}", client.escape_ascii());
        }
    }

    #[test]
    fn reference_follows_the_reply_to_data() {
        let client = b"DATA x\r\nEXPN\r\n.\r\nEXPN\r\n";
        assert_eq!(
            to_server(client, b"220 x\r\n354 go\r\n"),
            "DATA x\\r\\nEXPN\\r\\n.\\r\\nNOOP\\r\\n"
        );
        assert_eq!(
            to_server(client, b"220 x\r\n503 no\r\n"),
            "DATA x\\r\\nNOOP\\r\\nNOOP\\r\\nNOOP\\r\\n"
        );
        assert_eq!(
            to_server(b"DATA\rx.\r\nX\r\n", b"220 x\r\n354 go\r\n"),
            "DATA\\r\\n.\\r\\nNOOP\\r\\n"
        );
    }

    #[test]
    fn reference_trades_replies() {
        let client = b"EHLO a\r\nNOOP\r\nVRFY x\r\nEXPN\r\n";
        let server = b"220-mail 2 you\r\n220 ok 0\r\n250-a\r\n250 b\r\n250 c\r\n550 d\r\n421 e\r\n";
        let show = |mode| judge(mode, client, server).to_client.octets;
        assert_eq!(
            show(Mode::Mailguard).escape_ascii().to_string(),
            "220-*****2****\\r\\n220 ***0\\r\\n500 Command unrecognized\\r\\n250 c\\r\\n\
             500 Command unrecognized\\r\\n421 e\\r\\n"
        );
        assert_eq!(
            show(Mode::Pix40).escape_ascii().to_string(),
            "220-SMTP/cmap \\r\\n220 SMTP\\r\\n250 OK\\r\\n250 c\\r\\n250 OK\\r\\n421 e\\r\\n"
        );
    }
}
