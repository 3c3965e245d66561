//! The guard in the place of a receiver.
//!
//! While octets wait here behind a hole, their receiver cannot know of them, and their sender would
//! not learn of its loss. So the guard answers the sender as the receiver would have, had it been
//! here: with acknowledgements up to the first hole, and SACK blocks for what lies behind it. What
//! it has acknowledged in this way is a promise: the store keeps it, and [`super::repair`] sees it
//! through to the receiver.
//!
//! To mix both voices would not do: a sender that hears of late octets before it hears of early ones
//! takes the early ones for lost (RFC 8985 section 6). So from the first hole to the last only the
//! guard answers; before and after, only the receiver.
//!
//! Read first: RFC 2018, RFC 5681 section 4.2, RFC 7323 section 4.3, RFC 8985.

use crate::limits::REPORTED_SPANS_MAX;
use crate::stream::{Blank, Offset, Seldom, Span};

/// What the guard has told one sender on its own account. All offsets are original.
#[derive(Debug, Default, Clone)]
pub(super) struct StandIn {
    told: Seldom<Told>,
    /// The TSval of the newest segment that began at or before what was acknowledged (RFC 7323
    /// section 4.3).
    ts_recent: Option<u32>,
}

/// The same, of a guard that has stood in.
#[derive(Debug, Default, Clone)]
struct Told {
    /// The sender was told that everything before has arrived.
    promised: Offset,
    /// Holes that the sender knows of from the receiver, in order: it will fill them. To say that
    /// they are no holes would make what it has repeated look needless, and Linux undoes its
    /// recovery then (RFC 4015).
    holes: Vec<Span>,
    /// The guard answers in place of the receiver.
    is_standing: bool,
    /// It has done so at least once.
    has_stood: bool,
}

impl Blank for Told {
    const BLANK: &'static Self =
        &Self { promised: Offset::ZERO, holes: Vec::new(), is_standing: false, has_stood: false };
}

impl StandIn {
    /// Whether the guard answers now.
    pub(super) fn is_standing(&self) -> bool {
        self.told.is_standing
    }

    /// Whether the guard has ever answered: then reports of repeats may be about its own.
    pub(super) fn has_stood(&self) -> bool {
        self.told.has_stood
    }

    /// Up to where the guard has acknowledged by itself.
    pub(super) fn promised(&self) -> Offset {
        self.told.promised
    }

    /// Begins to answer; the sender knows of `holes`.
    pub(super) fn begin(&mut self, holes: impl Iterator<Item = Span>) {
        if !self.told.is_standing {
            self.told.is_standing = true;
            self.told.has_stood = true;
            self.told.holes = holes.filter(|hole| !hole.is_empty()).collect();
        }
    }

    /// The sender has filled `span` again, or the receiver has reported it: it came late.
    pub(super) fn refill(&mut self, span: Span) {
        let next = self.told.holes.partition_point(|hole| hole.end <= span.start);
        if self.told.holes.get(next).is_none_or(|hole| span.end <= hole.start) {
            return;
        }
        self.told.holes = subtract(&self.told.holes, span);
        // One octet in the middle of a hole makes two of it. Those that are too many count as
        // filled: the store has them.
        self.told.holes.truncate(REPORTED_SPANS_MAX);
    }

    /// The receiver has acknowledged everything before `ack`.
    pub(super) fn receiver_has(&mut self, ack: Offset) {
        if !self.told.holes.is_empty() {
            self.refill(Span { start: Offset::ZERO, end: ack });
        }
    }

    /// How far the guard can acknowledge when everything before `front` is here; it promises that.
    pub(super) fn promise(&mut self, front: Offset) -> Offset {
        let ack = self.told.holes.first().map_or(front, |hole| hole.start.min(front));
        self.told.promised = self.told.promised.max(ack);
        self.told.promised
    }

    /// The receiver has `span`, which begins in what was promised and goes beyond: told bare, it
    /// would look as if the receiver had thrown it away (RFC 2018 section 8).
    pub(super) fn extend(&mut self, span: Span, front: Offset) {
        if span.start <= self.told.promised
            && self.told.promised < span.end
            && self.told.holes.is_empty()
        {
            self.told.promised = span.end.min(front).max(self.told.promised);
        }
    }

    /// Ends when no hole is left.
    pub(super) fn end_without_holes(&mut self, has_hole: bool) {
        if self.told.holes.is_empty() && !has_hole {
            self.told.is_standing = false;
        }
    }

    /// What lies behind the first hole, in order: between the `holes` up to `front`, then `ahead`.
    pub(super) fn islands(
        &self,
        front: Offset,
        ahead: impl Iterator<Item = Span>,
    ) -> impl Iterator<Item = Span> {
        let nexts = self.told.holes.iter().skip(1).map(|hole| hole.start).chain(Some(front));
        let between = self.told.holes.iter().zip(nexts);
        between
            .map(move |(hole, next)| Span { start: hole.end, end: next.min(front) })
            .chain(ahead)
            .filter(|span| !span.is_empty())
    }

    /// Takes note of the TSval of a segment that starts at `start`, when `acknowledged` was told.
    pub(super) fn note_timestamp(&mut self, start: Offset, acknowledged: Offset, value: u32) {
        let is_newer = |last: u32| value.wrapping_sub(last).cast_signed() >= 0;
        if start <= acknowledged && self.ts_recent.is_none_or(is_newer) {
            self.ts_recent = Some(value);
        }
    }

    /// The TSecr of an acknowledgement of the guard's, when the receiver has echoed `echo` last.
    pub(super) fn echo(&self, echo: u32) -> u32 {
        let recent = self.ts_recent.unwrap_or(echo);
        if recent.wrapping_sub(echo).cast_signed() > 0 { recent } else { echo }
    }

    /// Octets of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.told.memory() + self.told.holes.capacity() * size_of::<Span>()
    }

    /// Gives all memory back.
    pub(super) fn free(&mut self) {
        if !self.told.is_blank() {
            self.told.is_standing = false;
            self.told.holes = Vec::new();
        }
    }
}

/// What `spans` leave when `gone` is taken out of them.
pub(super) fn subtract(spans: &[Span], gone: Span) -> Vec<Span> {
    let pieces = spans.iter().flat_map(|span| {
        let before = Span { start: span.start, end: span.end.min(gone.start) };
        let behind = Span { start: span.start.max(gone.end), end: span.end };
        if gone.is_empty() { [*span, Span::default()] } else { [before, behind] }
    });
    pieces.filter(|span| !span.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> Span {
        Span { start: Offset::new(start), end: Offset::new(end) }
    }

    #[test]
    fn everything_up_to_the_first_hole_is_promised() {
        let mut guard = StandIn::default();
        guard.begin([].into_iter());
        assert_eq!(guard.promise(Offset::new(100)), Offset::new(100));
        guard.end_without_holes(true);
        assert!(guard.is_standing());
        guard.end_without_holes(false);
        assert!(!guard.is_standing() && guard.has_stood());
    }

    #[test]
    fn a_hole_that_the_sender_knows_of_stays_one_until_it_fills_it() {
        let mut guard = StandIn::default();
        guard.begin([span(10, 20), span(40, 50)].into_iter());
        assert_eq!(guard.promise(Offset::new(100)), Offset::new(10));
        let islands: Vec<_> =
            guard.islands(Offset::new(100), [span(120, 130)].into_iter()).collect();
        assert_eq!(islands, [span(20, 40), span(50, 100), span(120, 130)]);
        guard.refill(span(5, 15));
        assert_eq!(guard.promise(Offset::new(100)), Offset::new(15));
        guard.refill(span(15, 20));
        assert_eq!(guard.promise(Offset::new(100)), Offset::new(40));
        guard.receiver_has(Offset::new(45));
        assert_eq!(guard.promise(Offset::new(100)), Offset::new(45));
        guard.end_without_holes(false);
        assert!(guard.is_standing());
        guard.receiver_has(Offset::new(50));
        assert_eq!(guard.promise(Offset::new(100)), Offset::new(100));
        guard.end_without_holes(false);
        assert!(!guard.is_standing());
    }

    #[test]
    fn what_the_receiver_has_behind_the_promise_joins_it() {
        let mut guard = StandIn::default();
        guard.begin([].into_iter());
        guard.promise(Offset::new(50));
        guard.extend(span(60, 70), Offset::new(100));
        assert_eq!(guard.promised(), Offset::new(50));
        guard.extend(span(40, 70), Offset::new(65));
        assert_eq!(guard.promised(), Offset::new(65), "no further than what was judged");
    }

    #[test]
    fn the_echo_is_the_newest_of_what_was_acknowledged() {
        let mut guard = StandIn::default();
        guard.note_timestamp(Offset::new(10), Offset::new(10), u32::MAX);
        guard.note_timestamp(Offset::new(11), Offset::new(10), 7);
        assert_eq!(guard.echo(u32::MAX - 1), u32::MAX);
        guard.note_timestamp(Offset::new(10), Offset::new(10), 5);
        assert_eq!((guard.echo(u32::MAX), guard.echo(6)), (5, 6));
    }

    #[test]
    fn spans_are_subtracted() {
        assert_eq!(subtract(&[span(0, 10)], span(3, 5)), [span(0, 3), span(5, 10)]);
        assert_eq!(subtract(&[span(0, 10)], span(10, 20)), [span(0, 10)]);
        assert_eq!(subtract(&[span(0, 10), span(20, 30)], span(5, 25)), [span(0, 5), span(25, 30)]);
        assert_eq!(subtract(&[span(4, 10)], span(0, 0)), [span(4, 10)]);
    }

    #[test]
    fn holes_count_as_memory_and_go_with_the_flow() {
        let mut guard = StandIn::default();
        guard.begin([span(10, 20), span(40, 50), span(60, 70)].into_iter());
        guard.told.holes.shrink_to_fit();
        assert_eq!(guard.memory(), size_of::<Told>() + 3 * size_of::<Span>());
        guard.free();
        assert_eq!(guard.memory(), size_of::<Told>(), "what was promised stays so");
        assert!(!guard.is_standing());
    }
}
