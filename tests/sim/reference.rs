//! The policy, a second time: plain, slow and over whole streams, written from what is told of the devices and not
//! from the code under test. [`judge`] says what each end must receive.

use core::ops::Range;
use std::collections::BTreeSet;

use crate::commands::Commands;
use crate::devices::Mode;
use crate::replies;

/// One edited stream.
#[derive(Debug, Default)]
pub(crate) struct Edited {
    /// What the receiver must get.
    pub(crate) octets: Vec<u8>,
    /// How many of them are certain after so many octets of the original.
    pub(crate) image: Vec<usize>,
    /// Places where what leaves, and when, depends on what was repeated.
    pub(crate) vague: Vec<Range<usize>>,
}

impl Edited {
    pub(crate) fn new() -> Self {
        Self { image: vec![0], ..Self::default() }
    }

    /// Whether a place of it is one of those, or beside them.
    pub(crate) fn is_vague(&self, at: usize) -> bool {
        self.vague.iter().any(|vague| vague.start <= at && at <= vague.end + 1)
    }

    /// One original octet became `octets`.
    pub(crate) fn take(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        self.image.push(self.octets.len());
    }

    /// So many original octets became `octets`, all at once.
    pub(crate) fn take_all(&mut self, originals: usize, octets: &[u8]) {
        for _ in 1..originals {
            self.take(b"");
        }
        self.take(octets);
    }

    /// Each of these passes.
    pub(crate) fn pass(&mut self, octets: &[u8]) {
        for octet in octets {
            self.take(&[*octet]);
        }
    }

    fn same(octets: &[u8]) -> Self {
        let mut edited = Self::new();
        edited.pass(octets);
        edited
    }
}

/// Without blanks before line ends: as many as are behind a traded text that the server has repeated in pieces.
pub(crate) fn without_blanks(octets: &[u8]) -> Vec<u8> {
    let mut left = Vec::new();
    for octet in octets {
        if *octet == b'\r' {
            while left.last() == Some(&b' ') {
                left.pop();
            }
        }
        left.push(*octet);
    }
    left
}

/// What went through one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams<'a> {
    /// What the client sent, and the server.
    pub(crate) sent: [&'a [u8]; 2],
    /// What came of it to the server, and to the client: it decides where more than one outcome is right.
    pub(crate) got: [&'a [u8]; 2],
    /// Where the client's stream was cut into packets.
    pub(crate) cuts: Option<&'a BTreeSet<usize>>,
}

impl<'a> Streams<'a> {
    pub(crate) fn new(client: &'a [u8], server: &'a [u8]) -> Self {
        Self { sent: [client, server], got: [&[], &[]], cuts: None }
    }
}

/// Both edited streams of one connection, and what happened in it.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) to_server: Edited,
    pub(crate) to_client: Edited,
    pub(crate) counts: Counts,
    /// Edited octets to the server from the first number on may pass only after so many of the
    /// server's octets as the second says: the code of the reply to DATA.
    pub(crate) gates: Vec<(usize, usize)>,
    /// A quirk of the device, by its knob, has met a cut that it looks at: what was to come is not certain.
    pub(crate) quirk: Option<&'static str>,
    /// The end of mail data is lost if its pieces came one after the other: no more than so many octets get through.
    pub(crate) most: Option<usize>,
    /// A lone CR was the last octet of a packet: when its sender repeats it, it has to pass, and what follows is then
    /// no LF.
    pub(crate) may_reset: bool,
    /// A line came in pieces, and waits for its end.
    pub(crate) may_hang: bool,
    /// So often an outcome was met that only repeats bring about.
    pub(crate) odd: usize,
}

/// What the guard is to have counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) refused: u64,
    pub(crate) mended: u64,
    pub(crate) messages: u64,
    pub(crate) greetings: u64,
    pub(crate) keywords: u64,
    pub(crate) addresses: u64,
    pub(crate) strays: u64,
    pub(crate) tls: u64,
}

/// What a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Greeting,
    Passed,
    Ehlo,
    Data,
    Message,
    StartTls,
    Auth,
    /// Its reply is traded for this.
    Traded(&'static str),
}

impl Slot {
    /// Only the reply tells what comes behind it.
    pub(crate) fn decides(self) -> bool {
        matches!(self, Self::Data | Self::StartTls | Self::Auth)
    }
}

/// Judges what the client sent and what the server sent.
pub(crate) fn judge(mode: Mode, streams: Streams<'_>) -> Judged {
    let [client, server] = streams.sent;
    if !mode.inspects() {
        return Judged {
            to_server: Edited::same(client),
            to_client: Edited::same(server),
            ..Judged::default()
        };
    }
    let replies = replies::split(server);
    let commands = Commands::judge(mode.device(), streams, &replies);
    let mut judged = commands.judged;
    replies::judge(mode.device(), streams, &replies, &commands.slots, &mut judged);
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_server(client: &[u8], server: &[u8]) -> String {
        let judged = judge(Mode::MAILGUARD, Streams::new(client, server));
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
        let show = |mode| judge(mode, Streams::new(client, server)).to_client.octets;
        assert_eq!(
            show(Mode::MAILGUARD).escape_ascii().to_string(),
            "220-*****2****\\r\\n220 ***0\\r\\n500 Command unrecognized\\r\\n250 c\\r\\n\
             500 Command unrecognized\\r\\n421 e\\r\\n"
        );
        assert_eq!(
            show(Mode::PIX40).escape_ascii().to_string(),
            "220-SMTP/cmap \\r\\n220 SMTP\\r\\n250 OK\\r\\n250 c\\r\\n250 OK\\r\\n421 e\\r\\n"
        );
    }
}
