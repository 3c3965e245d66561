//! Judges the reply to EHLO, line by line: what it offers, and what of that the client sees.

use super::classes::{Stop, act};
use super::{Edits, Fault, Notice, Observer};
use crate::limits::HELD_KEYWORD_OCTETS_MAX;
use crate::policy::{Action, Class, Hide, Match, Personality};
use crate::smtp::Verb;
use crate::smtp::{Keyword, Offers, ReplyLine, Session};

/// One reply to EHLO.
#[derive(Debug, Default)]
pub(super) struct EhloReply {
    /// Lines that were masked.
    masked: u8,
    /// The rest of the line in hand leaves in pieces: as it is, or as `X`.
    rest: Option<Rest>,
    /// Octets of lines that are to vanish and wait for the one behind them: no class matches them once more.
    vanishing: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Passes,
    Masked,
}

impl EhloReply {
    /// Whether nothing of one has come.
    pub(super) fn is_at_rest(&self) -> bool {
        self.masked == 0 && self.rest.is_none()
    }

    /// Judges what it can; how many octets it took, and the code if the reply has ended with them.
    #[expect(clippy::too_many_arguments, reason = "the judge's own state, handed on once")]
    pub(super) fn judge(
        &mut self,
        line: &mut ReplyLine,
        octets: &[u8],
        is_stuck: bool,
        session: &mut Session,
        personality: &Personality,
        edits: &mut impl Edits,
        observer: &mut impl Observer,
    ) -> Result<(usize, Option<u16>), Fault> {
        if !line.is_continuation() && line.column() == 0 {
            *self = Self::default();
            session.offers = Offers::default();
        }
        // The first line names the host. Lines of another code offer nothing.
        let is_first = !line.is_continuation();
        let offers = octets.starts_with(b"250");
        if self.rest.is_none()
            && (is_first
                || line.column() > 0
                || !b"250".starts_with(&octets[..octets.len().min(3)]))
        {
            self.rest = Some(Rest::Passes);
        }
        if let Some(rest) = self.rest {
            return Ok(self.go_on(rest, line, octets, edits));
        }
        // Lines that vanish have to be traded with the beginning of the one behind them.
        let (mut gone, mut lines) = (0, 0);
        loop {
            let here = octets.get(gone..).unwrap_or_default();
            // A line that is too long is so whether its end has come or not.
            let here = here.get(..HELD_KEYWORD_OCTETS_MAX).unwrap_or(here);
            let Some(end) = memchr::memchr(b'\n', here).map(|at| at + 1) else {
                if here.len() < HELD_KEYWORD_OCTETS_MAX && !is_stuck {
                    return Ok((0, None));
                }
                if gone > 0 {
                    // The server waits for the acknowledgement of what was to vanish.
                    take(line, &octets[..gone]);
                    edits.trade(gone, b"250-OK\r\n");
                    hidden(lines, observer);
                    self.vanishing = 0;
                    return Ok((gone, None));
                }
                // Of half a word nobody knows whether it is one to be hidden.
                let text = here.get(4..).unwrap_or_default();
                let keyword = text.contains(&b' ').then(|| Keyword::of_line(text));
                let mut shows = false;
                if let Some(keyword) = keyword.filter(|_| offers) {
                    let Some(is_shown) = classify(keyword, false, personality, observer)? else {
                        return Ok((0, None));
                    };
                    shows = is_shown;
                }
                self.rest = Some(if shows { Rest::Passes } else { Rest::Masked });
                return Ok(self.go_on(self.rest.unwrap_or(Rest::Masked), line, octets, edits));
            };
            let here = &here[..end];
            let is_last = here.get(3) != Some(&b'-');
            let text = here.get(4..).unwrap_or_default();
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let keyword = Keyword::of_line(text);
            session.offers.chunking |= keyword == Some(Keyword::Chunking);
            let is_known = gone < self.vanishing;
            let Some(is_shown) = classify(keyword, is_known, personality, observer)? else {
                return Ok((0, None));
            };
            if is_shown {
                self.vanishing = 0;
                session.offers.pipelining |= keyword == Some(Keyword::Pipelining);
                let first = if gone > 0 { 1 } else { 0 };
                if gone > 0 {
                    edits.trade(gone + 1, &here[..1]);
                }
                edits.pass(&here[first..]);
                hidden(lines, observer);
                return Ok((gone + end, take(line, &octets[..gone + end])));
            }
            match personality.hide {
                Hide::Mask => {
                    hidden(1, observer);
                    self.mask(here, text.len(), edits);
                    return Ok((end, take(line, here)));
                }
                Hide::Remove if is_last => {
                    self.vanishing = 0;
                    edits.trade(gone + end, b"250 OK\r\n");
                    hidden(lines + 1, observer);
                    return Ok((gone + end, take(line, &octets[..gone + end])));
                }
                Hide::Remove => {
                    (gone, lines) = (gone + end, lines + 1);
                    self.vanishing = self.vanishing.max(gone);
                }
            }
        }
    }

    /// Goes on in a line that leaves in pieces.
    fn go_on(
        &mut self,
        rest: Rest,
        line: &mut ReplyLine,
        octets: &[u8],
        edits: &mut impl Edits,
    ) -> (usize, Option<u16>) {
        let end = memchr::memchr(b'\n', octets).map_or(octets.len(), |at| at + 1);
        let here = &octets[..end];
        for &octet in here {
            let stays = rest == Rest::Passes || line.column() < 4 || matches!(octet, b'\r' | b'\n');
            if stays {
                edits.pass(&[octet]);
            } else {
                edits.trade(1, b"X");
            }
            let code = line.take(octet);
            if code.is_some() {
                self.rest = None;
                return (end, code);
            }
        }
        if here.ends_with(b"\n") {
            self.rest = None;
        }
        (end, None)
    }

    /// Masks a whole line with `len` octets of text: `X`, and a letter in its last place.
    fn mask(&mut self, line: &[u8], len: usize, edits: &mut impl Edits) {
        let (code, rest) = line.split_at(line.len().min(4));
        let (text, end) = rest.split_at(len);
        edits.pass(code);
        if !text.is_empty() {
            let mut masked = vec![b'X'; text.len()];
            if let Some(last) = masked.last_mut() {
                *last = b'A' + self.masked % 26;
            }
            edits.trade(text.len(), &masked);
            self.masked = self.masked.wrapping_add(1) % 26;
        }
        edits.pass(end);
    }
}

/// Notes that so many lines were hidden.
fn hidden(lines: usize, observer: &mut impl Observer) {
    (0..lines).for_each(|_| observer.notice(Notice::KeywordHidden));
}

/// Whether the client sees a line with that keyword, once no class of the policy map makes it wait. One that `is_known`
/// has been held against the classes.
fn classify(
    keyword: Option<Keyword>,
    is_known: bool,
    personality: &Personality,
    observer: &mut impl Observer,
) -> Result<Option<bool>, Fault> {
    // What `allow-tls` allows is no class's business.
    let is_allowed =
        keyword == Some(Keyword::StartTls) && personality.verbs.contains(Verb::StartTls);
    let holds = |class: &Class| {
        let Match::EhloReplyParameter(keywords) = &class.matches else { return None };
        (!is_allowed).then(|| keywords.shows(keyword))
    };
    let is_masked = personality.map.iter().any(|class| {
        class.action == Action::Mask && holds(class).is_some_and(|holds| holds != class.is_negated)
    });
    let is_shown = personality.keywords.shows(keyword) && !is_masked;
    if is_known {
        return Ok(Some(is_shown));
    }
    // A line that nobody sees is not limited: it may be judged again with the one behind it.
    let counts = |class: &Class| {
        holds(class).filter(|_| is_shown || !matches!(class.action, Action::RateLimit(_)))
    };
    match act(&personality.map, counts, observer) {
        Ok(()) => Ok(Some(is_shown)),
        Err(Stop::Wait) => Ok(None),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Notes octets in the line; the code of the reply if it ends with them.
fn take(line: &mut ReplyLine, octets: &[u8]) -> Option<u16> {
    octets.iter().filter_map(|octet| line.take(*octet)).last()
}
