//! Dialogues with a session, without a socket.

use crate::sink::script::{Script, reply};
use crate::sink::session::{Context, REPLIES_MAX, Session};
use crate::sink::{DRAINING, Ordering, Shared, Totals};

fn script() -> Script {
    Script {
        greeting: reply(220, ["here"]),
        helo: reply(250, ["here"]),
        ehlo: Some(reply(250, ["here", "PIPELINING"])),
        chunking: false,
        max_size: 0,
        slow: None,
        lf_ends_command: false,
        expect_load: false,
        save: None,
        quiet: true,
        count: None,
        transcript: true,
    }
}

/// A session and what it counted.
struct Bench {
    shared: Shared,
    session: Session,
    totals: Totals,
    transcript: Vec<u8>,
}

impl Bench {
    fn new(script: Script) -> Self {
        Self {
            shared: Shared::new(script, None, None),
            session: Session::new(7),
            totals: Totals::default(),
            transcript: Vec::new(),
        }
    }

    fn feed(&mut self, octets: &[u8]) -> (usize, String) {
        let mut out = Vec::new();
        let mut context = Context {
            shared: &self.shared,
            totals: &mut self.totals,
            transcript: &mut self.transcript,
        };
        let used = self.session.feed(octets, &mut out, &mut context);
        (used, String::from_utf8(out).unwrap())
    }

    /// The replies' codes to octets that are all taken.
    fn codes(&mut self, octets: &[u8]) -> Vec<u16> {
        let (used, replies) = self.feed(octets);
        assert_eq!(used, octets.len());
        replies
            .lines()
            .filter(|line| line.as_bytes()[3] == b' ')
            .map(|line| line[..3].parse().unwrap())
            .collect()
    }
}

const MAIL: &[u8] = b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";

#[test]
fn a_transaction_in_one_burst_or_by_octets() {
    let whole = [MAIL, b"..a\r\nQUIT\r\n.\r\nNOOP\r\nquit\r\n"].concat();
    let codes = [250, 250, 250, 354, 250, 250, 221];
    assert_eq!(Bench::new(script()).codes(&whole), codes);
    let mut bench = Bench::new(script());
    let by_octets: Vec<u16> = whole.chunks(1).flat_map(|octet| bench.codes(octet)).collect();
    assert_eq!(by_octets, codes);
    assert!(bench.session.is_closed());
    assert_eq!((bench.totals.messages, bench.totals.octets), (1, 10));
    assert_eq!(bench.totals.commands, 6);
}

#[test]
fn an_unknown_command_has_the_article_s_reply() {
    let mut bench = Bench::new(Script { ehlo: None, ..script() });
    for line in ["XXXX\r\n", "EHLO c\r\n", "BDAT 1\r\n", "\r\n", "STARTTLS\r\n", "NOOPS\r\n"] {
        assert_eq!(bench.feed(line.as_bytes()).1, "500 Command unrecognized\r\n", "{line}");
    }
    assert_eq!(bench.totals.unknown_commands, 6);
}

#[test]
fn commands_have_their_order() {
    let mut bench = Bench::new(script());
    assert_eq!(bench.codes(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"), [503, 503, 503]);
    assert_eq!(bench.codes(b"EHLO\r\nEHLO c\r\nRCPT TO:<c@d>\r\n"), [501, 250, 503]);
    assert_eq!(bench.codes(b"MAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\n"), [250, 503, 503]);
    assert_eq!(bench.codes(b"RSET\r\nRCPT TO:<c@d>\r\nRSET x\r\n"), [250, 503, 501]);
    assert_eq!(bench.codes(b"MAIL <a@b>\r\nMAIL FROM:\r\nMAIL\r\n"), [501, 501, 501]);
    assert_eq!(bench.codes(b"VRFY x\r\nEXPN x\r\nHELP\r\n"), [252, 250, 214]);
}

#[test]
fn only_crlf_ends_a_command_unless_told() {
    let mut bench = Bench::new(script());
    assert_eq!(bench.codes(b"NOOP\nNOOP\r\n"), [500]);
    assert_eq!(bench.transcript, b"7 NOOP\\nNOOP\n");
    let mut old = Bench::new(Script { lf_ends_command: true, ..script() });
    assert_eq!(old.codes(b"NOOP\nNOOP\r\n"), [250, 250]);
}

#[test]
fn a_long_line_is_one_error_and_bounded() {
    let mut bench = Bench::new(script());
    for _ in 0..100 {
        assert!(bench.codes(&[b'x'; 1000]).is_empty());
    }
    assert!(bench.session.line.capacity() <= 4096);
    assert_eq!(bench.codes(b"\r\nNOOP\r\n"), [500, 250]);
}

#[test]
fn too_many_replies_stop_the_reading() {
    let mut bench = Bench::new(script());
    let burst = b"NOOP\r\n".repeat(10_000);
    let (used, replies) = bench.feed(&burst);
    assert!(used < burst.len() && used % 6 == 0);
    assert!(replies.len() < REPLIES_MAX + 100);
}

#[test]
fn sizes_are_limited() {
    let mut bench = Bench::new(Script { max_size: 10, ..script() });
    assert_eq!(bench.codes(b"EHLO c\r\nMAIL FROM:<a@b> SIZE=11\r\n"), [250, 552]);
    assert_eq!(bench.codes(&[&MAIL[8..], b"123456789\r\n.\r\n"].concat()), [250, 250, 354, 552]);
    assert_eq!(bench.totals.messages, 0);
    assert_eq!(bench.codes(&[&MAIL[8..], b"12345678\r\n.\r\n"].concat()), [250, 250, 354, 250]);
}

#[test]
fn chunks_need_chunking() {
    let mut bench = Bench::new(Script { chunking: true, ..script() });
    // What is refused has its octets thrown away (RFC 3030 2).
    assert_eq!(bench.codes(b"BDAT 6\r\nQUIT\r\nNOOP\r\n"), [503, 250]);
    assert_eq!(bench.codes(b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"), [250, 250, 250]);
    assert_eq!(bench.codes(b"BDAT 5\r\n.\r\nab"), [250]);
    assert_eq!(bench.codes(b"DATA\r\n"), [503]);
    assert_eq!(bench.codes(b"BDAT 0 LAST\r\nBDAT x\r\n"), [250, 501]);
    assert_eq!((bench.totals.messages, bench.totals.octets), (1, 5));
}

#[test]
fn what_is_wrong_is_counted() {
    let mut bench = Bench::new(Script { expect_load: true, ..script() });
    bench.codes(&[MAIL, b"a\rb\nc\r\n.\r\n"].concat());
    assert_eq!((bench.totals.bare_cr, bench.totals.bare_lf), (1, 1));
    assert_eq!((bench.totals.checked, bench.totals.check_failures), (0, 1));
    assert!(bench.totals.verdict().is_err());
    bench.codes(&[MAIL, b"a"].concat());
    bench.session.end(&mut bench.totals);
    assert_eq!(bench.totals.aborted_messages, 1);
}

#[test]
fn no_mail_is_begun_behind_the_last() {
    let mut bench = Bench::new(Script { count: Some(1), ..script() });
    assert_eq!(bench.codes(&[MAIL, b".\r\n"].concat()), [250, 250, 250, 354, 250]);
    assert_eq!(bench.shared.state.load(Ordering::Relaxed), DRAINING);
    assert_eq!(bench.codes(b"NOOP\r\nMAIL FROM:<a@b>\r\n"), [250, 421]);
    assert!(bench.session.is_closed());
}
