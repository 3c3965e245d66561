//! What a masked greeting shows, octet for octet.

use crate::policy::{Greeting, Personality};
use crate::smtp::ReplyLine;

/// What the PIX 4 shows for a greeting (recog: `^SMTP/cmap ready_+$` behind the code).
const CMAP: &[u8] = b"SMTP/cmap ready";

/// The word by which sendmail knows a server that takes EHLO.
pub(super) const ESMTP: &[u8] = b"ESMTP";

/// Whether the word `ESMTP` begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Esmtp {
    Here,
    Perhaps,
    Not,
}

/// Looks for the word at the start of `rest`.
pub(super) fn esmtp(rest: &[u8]) -> Esmtp {
    if rest.starts_with(ESMTP) {
        Esmtp::Here
    } else if ESMTP.starts_with(rest) {
        Esmtp::Perhaps
    } else {
        Esmtp::Not
    }
}

/// What leaves for the next octet of a greeting.
pub(super) fn mask(line: &ReplyLine, octet: u8, personality: &Personality) -> u8 {
    let column = line.column();
    let has_code = !line.is_continuation() || personality.keeps_continuation;
    let stays = match (column, octet) {
        (_, b'\r' | b'\n') => true,
        (0..3, digit) => has_code && digit.is_ascii_digit(),
        (3, b' ') => has_code && personality.keeps_separator,
        (3, b'-') => has_code,
        _ => false,
    };
    match personality.greeting {
        _ if stays => octet,
        Greeting::Keep20 if matches!(octet, b'2' | b'0') => octet,
        Greeting::Keep20 | Greeting::All | Greeting::Esmtp => b'*',
        Greeting::Cmap => {
            column.checked_sub(4).and_then(|at| CMAP.get(at)).copied().unwrap_or(b'_')
        }
        Greeting::Pass | Greeting::Text(_) | Greeting::Host(_) => octet,
    }
}
