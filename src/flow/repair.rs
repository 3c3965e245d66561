//! The guard in the place of a sender: what it has promised, it repeats until the receiver has it.
//!
//! Read first: RFC 6675, RFC 8985 (what shows that a repeat was lost), RFC 6298.

use core::time::Duration;

use super::round_trip::{Known, RoundTrip};
use super::stand_in::subtract;
use crate::limits::{
    REPAIR_AFTER, REPAIR_AFTER_MAX, REPAIR_PAUSE_MAX, REPAIR_SEGMENTS_MAX, REPAIRS_MAX,
    REPORTED_SPANS_MAX,
};
use crate::stream::{Blank, Offset, Seldom, Span};
use crate::time::Instant;

/// Segments beyond a hole that show that it is none of reordering (RFC 6675 section 2, DupThresh).
const SEGMENTS_BEYOND: usize = 3;

/// Octets that were sent again.
#[derive(Debug, Clone, Copy)]
struct Repair {
    span: Span,
    at: Instant,
    /// The end of what had left then: when the receiver has octets beyond it, the repair is lost.
    sent: Offset,
    /// The same with other repairs.
    order: u64,
}

/// What is known of the way to one receiver. All offsets are edited.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// Nothing, while nothing is lost or promised.
    record: Seldom<Record>,
    round_trip: RoundTrip,
}

/// What the receiver lacks, and what was done about it.
#[derive(Debug, Default)]
struct Record {
    /// What the receiver has reported to have beyond its acknowledgement, in order, apart.
    reported: Vec<Span>,
    /// Repeats whose fate is not known.
    on_their_way: Vec<Repair>,
    orders: u64,
    /// The order of the last repair that is known to have arrived.
    arrived: u64,
    /// When to repeat what was promised, should the receiver have said nothing till then.
    alarm: Option<Instant>,
    /// How often that was done in a row, and where the receiver stood when the alarm was set.
    alarms: (u32, Offset),
    /// How often nothing answered.
    unanswered: u32,
}

impl Blank for Record {
    const BLANK: &'static Self = &Self {
        reported: Vec::new(),
        on_their_way: Vec::new(),
        orders: 0,
        arrived: 0,
        alarm: None,
        alarms: (0, Offset::ZERO),
        unanswered: 0,
    };
}

/// What is to be done when the alarm has gone off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ring {
    /// Repeat these, empty ones apart.
    Repeat([Span; 2]),
    /// The receiver has been silent for too long.
    GiveUp,
}

impl Repairs {
    /// The receiver has acknowledged everything before `una` and reports `blocks`.
    pub(super) fn hear(&mut self, una: Offset, blocks: &[Span]) {
        if self.record.is_blank() && blocks.is_empty() {
            return;
        }
        self.record.reported.retain(|span| span.end > una);
        for block in blocks.iter().filter(|block| block.end > una && !block.is_empty()) {
            self.report(*block);
        }
        let Record { reported, arrived, on_their_way, .. } = &mut *self.record;
        on_their_way.retain(|repair| {
            let next = reported.partition_point(|span| span.start <= repair.span.start);
            let before = next.checked_sub(1).and_then(|index| reported.get(index));
            let is_here =
                repair.span.end <= una || before.is_some_and(|span| repair.span.end <= span.end);
            if is_here {
                *arrived = (*arrived).max(repair.order);
            }
            !is_here
        });
        self.forget();
    }

    /// Where nothing is lost or promised any more, nothing is remembered.
    fn forget(&mut self) {
        let Record { reported, on_their_way, alarm, .. } = &*self.record;
        if reported.is_empty() && on_their_way.is_empty() && alarm.is_none() {
            self.record.clear();
        }
    }

    /// When to repeat what was promised, should the receiver have said nothing till then.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.record.alarm
    }

    /// Joins a block with those before.
    fn report(&mut self, mut block: Span) {
        self.record.reported.retain(|span| {
            let is_apart = span.end < block.start || block.end < span.start;
            if !is_apart {
                block = Span { start: block.start.min(span.start), end: block.end.max(span.end) };
            }
            is_apart
        });
        if self.record.reported.len() < REPORTED_SPANS_MAX {
            let at = self.record.reported.partition_point(|span| span.start < block.start);
            self.record.reported.insert(at, block);
        }
    }

    /// What the receiver has reported to have beyond its acknowledgement.
    pub(super) fn reported(&self) -> &[Span] {
        &self.record.reported
    }

    /// What the receiver lacks before the last octet that it has reported.
    pub(super) fn holes(&self, una: Offset) -> impl Iterator<Item = Span> {
        let ends =
            [una].into_iter().chain(self.record.reported.iter().map(move |span| span.end.max(una)));
        ends.zip(&self.record.reported)
            .map(|(start, span)| Span { start, end: span.start.max(start) })
    }

    /// What has been lost on its way to the receiver and has to be repeated now: holes below
    /// `promised` with enough beyond them, unless a repeat is on its way. `sent` is the end of what
    /// has left, `size` the length of a segment.
    pub(super) fn lost(
        &mut self,
        (una, promised, sent): (Offset, Offset, Offset),
        size: usize,
        now: Instant,
    ) -> Vec<Span> {
        let mut due = Vec::new();
        let Some(top) = self.record.reported.last().map(|span| span.end) else {
            return due;
        };
        if una >= promised {
            return due;
        }
        let patience = self.patience();
        let arrived = self.record.arrived;
        self.record.on_their_way.retain(|repair| {
            repair.order >= arrived && repair.sent >= top && now.since(repair.at) < patience
        });
        let mut room = REPAIR_SEGMENTS_MAX * size;
        for hole in self.holes(una) {
            if hole.start >= promised || room == 0 {
                break;
            }
            if top.index_past(hole.end) < SEGMENTS_BEYOND * size {
                break;
            }
            let hole = Span { start: hole.start, end: hole.end.min(promised) };
            let mut pieces = vec![hole];
            for repair in &self.record.on_their_way {
                if repair.span.start < hole.end && hole.start < repair.span.end {
                    pieces = subtract(&pieces, repair.span);
                }
            }
            for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                let piece = Span { start: piece.start, end: piece.end.min(piece.start + room) };
                // A small one takes a packet too.
                room = room.saturating_sub(piece.len().next_multiple_of(size));
                if !piece.is_empty() {
                    due.push(piece);
                }
            }
        }
        for span in &due {
            self.note_repeat(*span, sent, now);
        }
        due
    }

    fn note_repeat(&mut self, span: Span, sent: Offset, now: Instant) {
        let record = &mut *self.record;
        record.orders += 1;
        if record.on_their_way.len() < 2 * REPORTED_SPANS_MAX {
            record.on_their_way.push(Repair { span, at: now, sent, order: record.orders });
        }
    }

    /// Takes the time of the way to the receiver and back.
    pub(super) fn measure(&mut self, una: Offset, sent: Offset, now: Instant) {
        let top = self.record.reported.last().map_or(una, |span| span.end.max(una));
        self.round_trip.measure(top, sent, now);
    }

    /// How long the receiver may take to answer before what it was sent counts as lost.
    fn patience(&self) -> Duration {
        (2 * self.round_trip.smooth()).clamp(REPAIR_AFTER, REPAIR_AFTER_MAX)
    }

    /// Sets or clears the alarm: when the last of what was promised gets lost, nothing behind it
    /// shows that.
    pub(super) fn watch(&mut self, una: Offset, promised: Offset, now: Instant) {
        if una >= promised {
            if !self.record.is_blank() {
                self.record.alarm = None;
                self.forget();
            }
        } else if self.record.alarm.is_none() || self.record.alarms.1 != una {
            self.record.alarms = (0, una);
            self.record.unanswered = 0;
            self.record.alarm = Some(now + self.patience());
        }
    }

    /// The receiver had no room and says whether it has now: it is not gone (RFC 9293 section 3.8.6.1,
    /// MUST-37), and what it threw away till then need not wait for the long pause between probes.
    pub(super) fn hear_of_room(&mut self, has_room: bool) {
        if !self.record.is_blank() {
            self.record.unanswered = 0;
            self.record.alarm = self.record.alarm.filter(|_| !has_room);
        }
    }

    /// The alarm has gone off: what to repeat, a segment of `size` octets from the first and one from
    /// the last that the receiver may lack below `promised`, as far as it was `sent`.
    pub(super) fn ring(
        &mut self,
        (una, promised, sent): (Offset, Offset, Offset),
        size: usize,
        now: Instant,
    ) -> Ring {
        self.record.alarms.0 = self.record.alarms.0.saturating_add(1);
        self.record.unanswered += 1;
        if self.record.unanswered > REPAIRS_MAX {
            self.record.alarm = None;
            return Ring::GiveUp;
        }
        if self.record.reported.first().is_some_and(|span| span.start <= una) {
            // It would have acknowledged that if it had not discarded it (RFC 2018 section 8).
            self.record.reported.clear();
        }
        let pause = self.patience() * (1 << self.record.alarms.0.min(16));
        self.record.alarm = Some(now + pause.min(REPAIR_PAUSE_MAX));
        let hole = self.holes(una).next().map_or(sent, |hole| hole.end);
        let first = Span { start: una, end: hole.min(una + size) };
        let end = promised.min(sent);
        let is_missing = self.record.reported.last().is_none_or(|span| span.end < end);
        let last = Span { start: first.end.max(end - size), end };
        self.record.on_their_way.clear();
        self.note_repeat(first, sent, now);
        Ring::Repeat([first, if is_missing { last } else { Span::default() }])
    }

    /// Octets of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.record.memory()
            + self.record.reported.capacity() * size_of::<Span>()
            + self.record.on_their_way.capacity() * size_of::<Repair>()
    }

    /// Gives all memory back.
    pub(super) fn free(&mut self) {
        *self = Self::after(self.round_trip.known());
    }

    /// Of a way of which only the round trip is known.
    pub(super) fn after(known: Known) -> Self {
        Self { round_trip: RoundTrip::from(known), ..Self::default() }
    }

    /// What is known of the way, if nothing is lost, promised or timed.
    pub(super) fn at_rest(&self) -> Option<Known> {
        (self.record.is_blank() && !self.round_trip.is_timing()).then(|| self.round_trip.known())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 10;
    const PROMISED: u64 = 200;

    fn span(start: u64, end: u64) -> Span {
        Span { start: Offset::new(start), end: Offset::new(end) }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn lost(repairs: &mut Repairs, una: u64, sent: u64, now: u64) -> Vec<Span> {
        let offsets = (Offset::new(una), Offset::new(PROMISED), Offset::new(sent));
        repairs.lost(offsets, SIZE, at(now))
    }

    /// A receiver that has reported `blocks`, a round trip of 20 ms away.
    fn receiver(una: u64, blocks: &[Span]) -> Repairs {
        let mut repairs = Repairs::after(Known::of(Duration::from_millis(20)));
        repairs.hear(Offset::new(una), blocks);
        repairs
    }

    #[test]
    fn a_hole_with_enough_beyond_it_is_repeated_once() {
        let mut repairs = receiver(10, &[span(20, 40)]);
        assert!(lost(&mut repairs, 10, 200, 0).is_empty(), "it may only be late");
        repairs.hear(Offset::new(10), &[span(20, 50), span(60, 100)]);
        assert_eq!(lost(&mut repairs, 10, 200, 1), [span(10, 20), span(50, 60)]);
        assert!(lost(&mut repairs, 10, 200, 2).is_empty());
        repairs.hear(Offset::new(50), &[span(60, 100)]);
        assert!(lost(&mut repairs, 50, 200, 3).is_empty());
        assert_eq!(lost(&mut repairs, 50, 200, 60), [span(50, 60)], "twice the round trip");
    }

    #[test]
    fn a_repeat_that_was_overtaken_is_lost() {
        // By what had never left before.
        let mut repairs = receiver(10, &[span(20, 100)]);
        assert_eq!(lost(&mut repairs, 10, 100, 0), [span(10, 20)]);
        repairs.hear(Offset::new(10), &[span(20, 110)]);
        assert_eq!(lost(&mut repairs, 10, 110, 1), [span(10, 20)]);
        // By another repeat.
        let mut repairs = receiver(10, &[span(20, 50), span(60, 100)]);
        assert_eq!(lost(&mut repairs, 10, 200, 0).len(), 2);
        repairs.hear(Offset::new(10), &[span(50, 60)]);
        assert_eq!(lost(&mut repairs, 10, 200, 1), [span(10, 20)]);
    }

    #[test]
    fn what_was_not_promised_is_the_senders_to_repeat() {
        let mut repairs = receiver(190, &[span(210, 300)]);
        assert_eq!(lost(&mut repairs, 190, 400, 0), [span(190, 200)]);
        let mut repairs = receiver(200, &[span(210, 300)]);
        assert!(lost(&mut repairs, 200, 400, 0).is_empty());
    }

    #[test]
    fn one_answer_draws_no_flood() {
        let mut repairs = receiver(0, &[span(100_000, 100_100)]);
        let offsets = (Offset::ZERO, Offset::new(99_000), Offset::new(100_100));
        let due = repairs.lost(offsets, SIZE, at(0));
        let octets: usize = due.iter().map(|span| span.len()).sum();
        assert_eq!(octets, REPAIR_SEGMENTS_MAX * SIZE);
    }

    #[test]
    fn small_holes_draw_no_flood() {
        let blocks: Vec<_> = (0..200).map(|n| span(2 * n + 1, 2 * n + 2)).collect();
        let mut repairs = receiver(0, &blocks);
        let offsets = (Offset::ZERO, Offset::new(400), Offset::new(400));
        let mut due = repairs.lost(offsets, SIZE, at(0));
        assert_eq!(due.len(), REPAIR_SEGMENTS_MAX);
        // Nor does one that arrives and shows the others to be lost.
        for _ in 0..30 {
            let last = due.pop().unwrap_or_default();
            repairs.hear(Offset::ZERO, &[last]);
            due = repairs.lost(offsets, SIZE, at(1));
            assert!(due.len() <= REPAIR_SEGMENTS_MAX);
        }
    }

    #[test]
    fn what_was_reported_and_then_discarded_is_repeated() {
        let mut repairs = receiver(10, &[span(20, 150)]);
        repairs.hear(Offset::new(20), &[]);
        let offsets = (Offset::new(20), Offset::new(150), Offset::new(150));
        assert_eq!(
            repairs.ring(offsets, SIZE, at(0)),
            Ring::Repeat([span(20, 30), span(140, 150)])
        );
    }

    #[test]
    fn silence_is_answered_ever_more_slowly_and_then_no_more() {
        let mut repairs = receiver(10, &[]);
        let offsets = (Offset::new(10), Offset::new(PROMISED), Offset::new(150));
        repairs.watch(offsets.0, offsets.1, at(0));
        assert_eq!(repairs.record.alarm, Some(at(40)));
        let ring = repairs.ring(offsets, SIZE, at(40));
        assert_eq!(ring, Ring::Repeat([span(10, 20), span(140, 150)]));
        assert_eq!(repairs.record.alarm, Some(at(120)));
        let mut last = at(120);
        while repairs.ring(offsets, SIZE, last) != Ring::GiveUp {
            assert!(repairs.record.alarm.unwrap() - last <= REPAIR_PAUSE_MAX);
            last = repairs.record.alarm.unwrap();
        }
        assert!(last > at(100_000), "RFC 9293 section 3.8.3: R2 is at least 100 seconds");
        repairs.hear(Offset::new(20), &[]);
        repairs.watch(Offset::new(20), offsets.1, last);
        assert_eq!(repairs.record.alarm, Some(last + Duration::from_millis(40)), "it lives");
        repairs.watch(offsets.1, offsets.1, last);
        assert_eq!(repairs.record.alarm, None);
    }

    #[test]
    fn reports_join_and_are_bounded() {
        let mut repairs = receiver(0, &[span(10, 20), span(30, 40), span(20, 30)]);
        assert_eq!(repairs.record.reported, [span(10, 40)]);
        assert_eq!(repairs.holes(Offset::new(5)).collect::<Vec<_>>(), [span(5, 10)]);
        for n in 0..2 * REPORTED_SPANS_MAX as u64 {
            repairs.hear(Offset::ZERO, &[span(100 + 2 * n, 101 + 2 * n)]);
        }
        assert_eq!(repairs.record.reported.len(), REPORTED_SPANS_MAX);
    }

    #[test]
    fn only_what_lies_beyond_the_acknowledgement_stays_reported() {
        let mut repairs = receiver(50, &[span(40, 50), span(60, 60), span(10, 20)]);
        assert!(repairs.record.reported.is_empty());
        repairs.hear(Offset::new(50), &[span(60, 70), span(80, 90)]);
        repairs.hear(Offset::new(70), &[]);
        assert_eq!(repairs.record.reported, [span(80, 90)]);
    }

    #[test]
    fn three_segments_beyond_are_enough_and_twice_the_round_trip_is() {
        let mut repairs = receiver(10, &[span(20, 50)]);
        assert_eq!(lost(&mut repairs, 10, 200, 0), [span(10, 20)]);
        assert!(lost(&mut repairs, 10, 200, 39).is_empty());
        assert_eq!(lost(&mut repairs, 10, 200, 40), [span(10, 20)]);
    }

    #[test]
    fn the_round_trip_is_that_of_what_has_arrived() {
        let mut repairs = receiver(200, &[]);
        repairs.measure(Offset::new(200), Offset::new(300), at(80));
        assert_eq!(repairs.at_rest(), None);
        repairs.hear(Offset::new(200), &[span(250, 300)]);
        repairs.measure(Offset::new(200), Offset::new(300), at(120));
        assert_eq!(repairs.at_rest(), None, "it waits for what is missing");
        repairs.hear(Offset::new(300), &[]);
        assert_eq!(repairs.at_rest(), Some(Known::of(Duration::from_millis(25))));
    }

    #[test]
    fn an_alarm_waits_for_its_time_and_begins_anew_when_the_receiver_goes_on() {
        let mut repairs = receiver(10, &[]);
        let mut watch = |una: u64, now: u64| {
            repairs.watch(Offset::new(una), Offset::new(PROMISED), at(now));
            repairs.record.alarm
        };
        assert_eq!(watch(10, 0), Some(at(40)));
        assert_eq!(watch(10, 30), Some(at(40)));
        assert_eq!(watch(20, 30), Some(at(70)));
    }

    #[test]
    fn a_receiver_is_asked_so_often_and_no_more() {
        let mut repairs = receiver(10, &[span(60, 100)]);
        let offsets = (Offset::new(10), Offset::new(150), Offset::new(150));
        let ring = repairs.ring(offsets, SIZE, at(0));
        assert_eq!(ring, Ring::Repeat([span(10, 20), span(140, 150)]), "the last is missing");
        for _ in 1..REPAIRS_MAX {
            assert_ne!(repairs.ring(offsets, SIZE, at(0)), Ring::GiveUp);
        }
        assert_eq!(repairs.ring(offsets, SIZE, at(0)), Ring::GiveUp);
        let mut repairs = receiver(10, &[span(60, 150)]);
        let ring = repairs.ring(offsets, SIZE, at(0));
        assert_eq!(ring, Ring::Repeat([span(10, 20), Span::default()]), "the last is there");
    }

    #[test]
    fn repeats_are_remembered_up_to_a_limit_and_counted_as_memory() {
        let mut repairs = receiver(0, &[span(10, 20), span(30, 40), span(50, 60)]);
        for _ in 0..3 * REPORTED_SPANS_MAX {
            repairs.note_repeat(span(0, 10), Offset::new(100), at(0));
        }
        assert_eq!(repairs.record.on_their_way.len(), 2 * REPORTED_SPANS_MAX);
        repairs.record.reported.shrink_to_fit();
        repairs.record.on_their_way.shrink_to_fit();
        let repeats = 2 * REPORTED_SPANS_MAX * size_of::<Repair>();
        let reports = 3 * size_of::<Span>();
        assert_eq!(repairs.memory(), size_of::<Record>() + reports + repeats);
        repairs.free();
        assert_eq!(repairs.memory(), 0);
        assert_eq!(repairs.at_rest(), Some(Known::of(Duration::from_millis(20))));
    }
}
