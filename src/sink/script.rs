//! What the sink says and how it behaves, made once from its options.

use std::path::PathBuf;
use std::time::Duration;

/// What the sink says and how it behaves.
#[derive(Debug)]
pub(super) struct Script {
    /// The 220 reply.
    pub(super) greeting: Vec<u8>,
    /// The reply to HELO.
    pub(super) helo: Vec<u8>,
    /// The reply to EHLO; without one EHLO is unknown.
    pub(super) ehlo: Option<Vec<u8>>,
    /// Whether BDAT is known (RFC 3030).
    pub(super) chunking: bool,
    /// The largest message taken; 0 is any.
    pub(super) max_size: u64,
    /// The wait before each reply.
    pub(super) slow: Option<Duration>,
    /// Whether LF alone ends a command line, as old servers have it.
    pub(super) lf_ends_command: bool,
    /// Whether a message without check header fails its check.
    pub(super) expect_load: bool,
    /// Where messages are kept.
    pub(super) save: Option<PathBuf>,
    /// Whether failed checks are not printed one by one.
    pub(super) quiet: bool,
    /// How many messages end the run.
    pub(super) count: Option<u64>,
    /// Whether command lines are written down.
    pub(super) transcript: bool,
}

/// Makes a reply of one or more lines (RFC 5321 4.2.1).
pub(super) fn reply<'a>(code: u16, lines: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut reply = String::new();
    let mut lines = lines.into_iter().peekable();
    while let Some(line) = lines.next() {
        let mark = if lines.peek().is_some() { '-' } else { ' ' };
        reply.push_str(&format!("{code}{mark}{line}\r\n"));
    }
    reply.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::reply;

    #[test]
    fn the_last_line_is_marked() {
        assert_eq!(reply(220, ["one"]), b"220 one\r\n");
        assert_eq!(reply(220, ["one", "two", "three"]), b"220-one\r\n220-two\r\n220 three\r\n");
    }
}
