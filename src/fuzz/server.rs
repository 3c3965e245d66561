//! A server that goes by the letter: lines end at CRLF, mail data at CRLF dot CRLF, and nowhere else.

use crate::policy::Personality;
use crate::smtp::MailData;

/// Replies to whatever is neither DATA nor the end of mail data.
const REPLIES: [&[u8]; 8] = [
    b"250 ok\r\n",
    b"250\r\n",
    b"250-one\r\n250-two of them\r\n250 three\r\n",
    b"500 x\r\n",
    b"250 ok, and more words than a refusal has\r\n",
    b"451 later\r\n",
    b"221 bye\r\n",
    LONG,
];

/// More than may be held of a reply.
const LONG: &[u8] = b"250 0123456789012345678901234567890123456789012345678901234567890123456789012345\
    67890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567\r\n";

/// The server, and what it has to say.
#[derive(Debug)]
pub(super) struct Server<'a> {
    /// Decides on its replies, in turn.
    mood: &'a [u8],
    replies: usize,
    line: Vec<u8>,
    data: Option<MailData>,
    /// All that it says.
    pub(super) said: Vec<u8>,
}

impl<'a> Server<'a> {
    pub(super) fn new(mood: &'a [u8]) -> Self {
        let said = b"220 mx2 ready\r\n".to_vec();
        Self { mood, replies: 0, line: Vec::new(), data: None, said }
    }

    fn mood(&mut self) -> usize {
        let mood = self.mood.get(self.replies % self.mood.len().max(1));
        self.replies += 1;
        usize::from(mood.copied().unwrap_or_default())
    }

    /// Reads one octet. A command that is none of those that may pass must not be among them.
    pub(super) fn take(&mut self, octet: u8) {
        if let Some(data) = &mut self.data {
            if data.take(&[octet]).is_some() {
                self.data = None;
                let reply: &[u8] = if self.mood() & 1 == 0 { b"250 ok\r\n" } else { b"554 no\r\n" };
                self.said.extend_from_slice(reply);
            }
            return;
        }
        self.line.push(octet);
        if !self.line.ends_with(b"\r\n") {
            return;
        }
        let line = core::mem::take(&mut self.line);
        let verb = judge(&line[..line.len() - 2]);
        let mood = self.mood();
        if verb != b"DATA" {
            self.said.extend_from_slice(REPLIES[mood >> 2 & 7]);
        } else if mood & 3 == 0 {
            self.said.extend_from_slice(b"503 no\r\n");
        } else {
            self.said.extend_from_slice(b"354 go\r\n");
            self.data = Some(MailData::default());
        }
    }
}

/// The verb of a command line that may reach a server: one of the seven, or a spoilt one with
/// nothing behind it.
fn judge(line: &[u8]) -> Vec<u8> {
    let shown = String::from_utf8_lossy(line);
    assert!(!line.contains(&b'\r') && !line.contains(&b'\n'), "a lone line end in {shown:?}");
    let end = line.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(line.len());
    let (verb, rest) = (line[..end].to_ascii_uppercase(), &line[end..]);
    let verbs = Personality::MAILGUARD.verbs;
    if verbs.allows(&verb) {
        return verb;
    }
    let is_spoilt = verb
        .strip_suffix(b"X")
        .filter(|start| !start.is_empty())
        .is_some_and(|start| verbs.may_begin(start));
    assert!(is_spoilt, "{shown:?} reaches the server");
    assert!(rest.iter().all(|octet| *octet == b' '), "{shown:?} has an argument");
    verb
}
