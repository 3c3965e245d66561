//! Everything kept for one direction of a flow.

use core::time::Duration;

use crate::counters::DropReason;
use crate::inspect::Edits;
use crate::limits::{
    EDITS_MAX, REPAIR_AFTER, REPAIR_AFTER_MAX, REPAIRS_MAX, REPORTED_SPANS_MAX, STORE_OCTETS_MAX,
};
use crate::stream::{Offset, OffsetMap, Reassembly, Round, Span, Store};
use crate::tcp::{Seq, SeqSpace};
use crate::time::Instant;

/// One direction: octets come from a sender and leave for a receiver.
///
/// ```text
/// sender -> Seq -> Offset -> Reassembly -> judge -> OffsetMap -> Store -> Offset -> Seq -> receiver
/// sender <- ack, SACK, window  <-  OffsetMap read backwards  <-  ack, SACK, window  <-  receiver
/// ```
#[derive(Debug, Default)]
pub(super) struct Half {
    /// The sender's numbers. Both ends see the same initial one.
    pub(super) space: SeqSpace,
    /// Original octets up to their verdict.
    pub(super) reassembly: Reassembly,
    /// Original to edited and back.
    pub(super) map: OffsetMap,
    /// Edited octets up to their acknowledgement.
    pub(super) store: Store,
    /// Where the sender's FIN stands in the original stream.
    pub(super) fin: Option<Offset>,
    /// The FIN has left.
    pub(super) fin_sent: bool,
    /// The receiver has acknowledged the FIN.
    pub(super) fin_acked: bool,
    /// The right edge of the receiver's window, edited.
    pub(super) edge: Offset,
    /// The highest acknowledgement that the sender was told, original.
    pub(super) told_ack: Offset,
    /// The right edge that the sender was told, original, before rounding. It never moves left.
    pub(super) told_edge: Offset,
    /// The window field that the sender was told last.
    pub(super) told_window: u16,
    /// Duplicate acknowledgements that the sender is owed for what waits behind a hole.
    pub(super) owed_acks: u32,
    /// What the sender was told to have arrived while it waited here, original. Such octets are
    /// not sent again before a time-out, so they are the guard's to repeat.
    vouched: Vec<Span>,
    /// Where the hole was for which the receiver was asked last to say where it stands.
    pub(super) asked: Option<Offset>,
    /// The receiver's last acknowledgement showed holes of its own, and that it has the last octet
    /// that was sent: nothing is on its way.
    pub(super) receiver_reports: bool,
    /// Octets have waited here: the sender may have repeated what the guard had.
    pub(super) has_waited: bool,
    /// When to repeat what was vouched for, should the receiver have said nothing till then.
    pub(super) alarm: Option<Instant>,
    /// How often that was done in a row, and where the receiver stood when the alarm was set.
    alarms: (u32, Offset),
    /// Octets whose acknowledgement is timed, and since when.
    timing: Option<(Offset, Instant)>,
    /// The smoothed time from here to the receiver and back (RFC 6298, with a gain of 1/4).
    round_trip: Duration,
    /// The end of what was repeated for that reason, edited, and when.
    repaired: (Offset, Instant),
}

/// What an acknowledgement means to the sender, in the sender's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// The acknowledgement number.
    pub(super) ack: Seq,
    /// The window field.
    pub(super) window: u16,
    /// It tells the sender something new.
    pub(super) is_news: bool,
    /// The receiver went on, but only inside of an edit: told bare, it would look like a duplicate
    /// (law L12).
    pub(super) is_inside_edit: bool,
}

impl Half {
    /// A direction whose sender's SYN carried `iss`.
    pub(super) fn new(iss: Seq) -> Self {
        Self { space: SeqSpace::new(iss), ..Self::default() }
    }

    /// The receiver's window as its SYN gave it: never scaled (RFC 7323 section 2.2).
    pub(super) fn open_window(&mut self, window: u16) {
        self.edge = Offset::ZERO + usize::from(window);
        self.told_edge = self.edge;
        self.told_window = window;
    }

    /// The end of what the receiver may acknowledge: the FIN counts as one.
    fn acknowledgeable(&self) -> Offset {
        self.store.sent() + usize::from(self.fin_sent)
    }

    /// The number that the receiver expects next if nothing was lost.
    pub(super) fn next_seq(&self) -> Seq {
        self.space.seq_of(self.acknowledgeable())
    }

    /// Where `ack` points, when it can be believed (RFC 9293 section 3.10.7.4).
    pub(super) fn check_ack(&self, ack: Seq) -> Result<Offset, DropReason> {
        self.space
            .offset_of(ack, self.store.una())
            .filter(|&edited| edited <= self.acknowledgeable())
            .ok_or(DropReason::BadAck)
    }

    /// Takes an acknowledgement that [`Half::check_ack`] has found good, and says what the sender
    /// is to hear.
    pub(super) fn hear(&mut self, edited: Offset, window: u16, shift: u8) -> Heard {
        let went_on = edited > self.store.una() && !self.store.is_empty();
        self.store.release(edited);
        if self.fin_sent && edited > self.store.nxt() {
            self.fin_acked = true;
        }
        let image = self.map.to_original(edited, Round::Down);
        let ack = self.tellable(image);
        self.map.prune(edited);

        let edge = edited + (usize::from(window) << shift);
        self.edge = self.edge.max(edge);
        self.told_edge = self.told_edge.max(self.map.to_original(edge, Round::Down));
        let is_plain = self.map.is_identity() && ack == image;
        let field = if is_plain { window } else { self.window_field(ack, shift) };

        let is_news = ack > self.told_ack || (ack == self.told_ack && field != self.told_window);
        if ack >= self.told_ack {
            self.told_window = field;
        }
        self.told_ack = self.told_ack.max(ack);
        Heard {
            ack: self.space.seq_of(ack),
            window: field,
            is_news,
            is_inside_edit: went_on && !is_news,
        }
    }

    /// The window field that makes the sender's right edge the image of the receiver's, and never
    /// less than it was told before (RFC 9293 section 3.8.6, SHLD-14), but for rounding.
    fn window_field(&self, ack: Offset, shift: u8) -> u16 {
        u16::try_from(self.told_edge.past(ack) >> shift).unwrap_or(u16::MAX)
    }

    /// The window field that says again what the sender was told.
    pub(super) fn window_again(&self, shift: u8) -> u16 {
        self.window_field(self.told_ack, shift)
    }

    /// A SACK block of the receiver in the sender's numbers: left edge up, right edge down, so it
    /// is never widened (law L7). Nothing when nothing is left of it.
    pub(super) fn sack_block(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let near = self.store.una();
        let left = self.space.offset_of(Seq::new(left), near)?;
        let right = self.space.offset_of(Seq::new(right), near)?;
        if right > self.acknowledgeable() {
            return None;
        }
        let left = self.map.to_original(left, Round::Up);
        let right = self.map.to_original(right, Round::Down);
        (self.map.floor() <= left && left < right)
            .then(|| (self.space.seq_of(left).get(), self.space.seq_of(right).get()))
    }

    /// Takes the time of the way to the receiver and back.
    pub(super) fn measure(&mut self, now: Instant) {
        match self.timing {
            Some((end, since)) if self.store.una() >= end => {
                let took = now - since;
                let is_first = self.round_trip.is_zero();
                self.round_trip = if is_first { took } else { (self.round_trip * 3 + took) / 4 };
                self.timing = None;
            }
            None if self.store.una() < self.store.sent() => {
                self.timing = Some((self.store.sent(), now));
            }
            _ => {}
        }
    }

    /// How long the receiver may take to answer before what it was sent counts as lost.
    fn patience(&self) -> Duration {
        (2 * self.round_trip).clamp(REPAIR_AFTER, REPAIR_AFTER_MAX)
    }

    /// Sets or clears the alarm: octets that were vouched for must reach the receiver, and when the
    /// last of them get lost nothing behind them shows it.
    pub(super) fn watch(&mut self, now: Instant) {
        let una = self.store.una();
        if self.vouched.is_empty() || una >= self.vouched_end() {
            self.alarm = None;
        } else if self.alarm.is_none() || self.alarms.1 != una {
            self.alarms = (0, una);
            self.alarm = Some(now + self.patience());
        }
    }

    /// The alarm has gone off: what to repeat of `size` octets each, first and last. After some
    /// times in vain the sender's own time-out has to help.
    pub(super) fn ring(&mut self, now: Instant, size: usize) -> [Span; 2] {
        let (una, end) = (self.store.una(), self.vouched_end());
        self.alarms.0 += 1;
        let wait = self.patience() * (1 << self.alarms.0.min(8));
        self.alarm = (self.alarms.0 < REPAIRS_MAX).then(|| now + wait);
        self.repaired = (una, now);
        let first = Span { start: una, end: end.min(una + size) };
        let last = Span { start: first.end.max(end - size), end };
        [first, last]
    }

    /// What of `ack` can be told. An acknowledgement that ends inside of what was vouched for would
    /// look as if the receiver had thrown the rest away (RFC 2018 section 8): it is told when it has
    /// passed the whole.
    fn tellable(&mut self, ack: Offset) -> Offset {
        if self.vouched.is_empty() {
            return ack;
        }
        self.vouched.retain(|span| span.end > ack);
        match self.vouched.first() {
            Some(first) if first.start <= ack => self.told_ack.min(ack),
            _ => ack,
        }
    }

    /// Notes that the sender is told that `span` has arrived.
    pub(super) fn vouch(&mut self, mut span: Span) {
        self.vouched.retain(|other| {
            let is_apart = other.end < span.start || span.end < other.start;
            if !is_apart {
                span = Span { start: span.start.min(other.start), end: span.end.max(other.end) };
            }
            is_apart
        });
        let at = self.vouched.partition_point(|other| other.start < span.start);
        self.vouched.insert(at, span);
    }

    /// Spans that wait and were not all vouched for, up to the limit of one report.
    pub(super) fn unreported(&self) -> Vec<Span> {
        let is_told = |span: &Span| {
            let at = self.vouched.partition_point(|told| told.end < span.end);
            self.vouched.get(at).is_some_and(|told| told.start <= span.start)
        };
        self.reassembly.ahead().filter(|span| !is_told(span)).take(REPORTED_SPANS_MAX).collect()
    }

    /// The end of what was vouched for, edited, as far as it has left.
    pub(super) fn vouched_end(&self) -> Offset {
        let end = self.vouched.last().map_or(Offset::ZERO, |last| last.end);
        self.map.to_edited(end, Round::Down).min(self.store.sent())
    }

    /// Octets that the guard has vouched for and the receiver lacks, as its SACK `blocks` show,
    /// edited: the first `count` of `holes`.
    pub(super) fn holes_to_repair(
        &mut self,
        blocks: &mut [Span],
        now: Instant,
        holes: &mut [Span],
    ) -> usize {
        let una = self.store.una();
        let limit = self.vouched_end();
        if una >= limit {
            return 0;
        }
        let (mut repaired, at) = self.repaired;
        if now.since(at) >= self.patience() {
            repaired = una;
        }
        blocks.sort_unstable_by_key(|block| block.start);
        let (mut seen, mut count) = (una, 0);
        for block in blocks {
            let hole = Span { start: seen.max(repaired), end: block.start.min(limit) };
            if let Some(slot) = holes.get_mut(count).filter(|_| !hole.is_empty()) {
                *slot = hole;
                count += 1;
            }
            seen = seen.max(block.end);
        }
        if count > 0 {
            self.repaired = (repaired.max(seen.min(limit)), now);
        }
        count
    }

    /// Whether everything up to the sender's FIN has been judged.
    pub(super) fn fin_is_due(&self) -> bool {
        self.fin == Some(self.reassembly.front())
    }

    /// Edited octets that may leave now for the first time.
    pub(super) fn unsent(&self) -> Span {
        let start = self.store.sent();
        Span { start, end: self.store.nxt().min(self.edge).max(start) }
    }

    /// Whether the receiver has acknowledged everything before the hole.
    pub(super) fn is_hole_reached(&self) -> bool {
        self.told_ack >= self.reassembly.end()
    }

    /// Octets of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        let told = self.vouched.capacity() * size_of::<Span>();
        self.reassembly.memory() + self.map.memory() + self.store.memory() + told
    }

    /// Gives all memory back.
    pub(super) fn free(&mut self) {
        self.reassembly.free();
        self.store.free();
        self.vouched = Vec::new();
        self.alarm = None;
    }
}

/// Writes a judge's answers into map and store.
pub(super) struct Writer<'a> {
    map: &'a mut OffsetMap,
    store: &'a mut Store,
    at: Offset,
    /// No octet was changed.
    pub(super) is_untouched: bool,
}

impl<'a> Writer<'a> {
    /// A writer for the octets from original offset `at` on.
    pub(super) fn new(map: &'a mut OffsetMap, store: &'a mut Store, at: Offset) -> Self {
        Self { map, store, at, is_untouched: true }
    }
}

impl Edits for Writer<'_> {
    fn pass(&mut self, octets: &[u8]) {
        self.store.append(octets);
        self.at = self.at + octets.len();
    }

    fn trade(&mut self, original: usize, octets: &[u8]) {
        self.is_untouched = false;
        let edited = Span::of(self.store.nxt(), octets.len());
        self.map.record(Span::of(self.at, original), edited);
        self.store.append(octets);
        self.at = self.at + original;
    }

    fn has_room(&self) -> bool {
        self.map.remembered() < EDITS_MAX && self.store.len() < STORE_OCTETS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `EHLO x` CRLF of which the reply grew by `grown` octets, all sent.
    fn half(original: usize, grown: usize) -> Half {
        let mut half = Half::new(Seq::new(u32::MAX - 3));
        half.open_window(1000);
        let mut writer = Writer::new(&mut half.map, &mut half.store, Offset::ZERO);
        writer.pass(b"abcd");
        writer.trade(original, &vec![b'x'; original + grown]);
        writer.pass(b"efgh");
        half.reassembly.advance(8 + original);
        half.store.mark_sent(half.store.nxt());
        half
    }

    fn hear(half: &mut Half, edited: u64, window: u16) -> (u64, u16, bool, bool) {
        let ack = half.space.seq_of(Offset::new(edited));
        let edited = half.check_ack(ack).unwrap();
        let heard = half.hear(edited, window, 0);
        let told = half.space.offset_of(heard.ack, half.told_ack).unwrap();
        (told.get(), heard.window, heard.is_news, heard.is_inside_edit)
    }

    #[test]
    fn acknowledgements_are_told_in_the_senders_numbers() {
        let mut half = half(10, 5);
        assert_eq!(hear(&mut half, 4, 1000), (4, 996, true, false));
        assert_eq!(hear(&mut half, 9, 995), (4, 996, false, true), "L12: inside of the edit");
        assert_eq!(hear(&mut half, 9, 995), (4, 996, false, false), "a duplicate is one");
        assert_eq!(hear(&mut half, 19, 985), (14, 986, true, false));
        assert_eq!(hear(&mut half, 23, 981), (18, 982, true, false), "L4");
        assert_eq!(half.check_ack(half.space.seq_of(Offset::new(24))), Err(DropReason::BadAck));
    }

    #[test]
    fn the_right_edge_never_moves_left() {
        let mut half = half(1, 500);
        let mut edge = half.told_edge;
        for edited in [2, 5, 300, 505, 509] {
            let (told, window, ..) = hear(&mut half, edited, 1000 - edited as u16);
            let now = Offset::new(told + u64::from(window));
            assert!(now >= edge, "at {edited}");
            edge = now;
        }
    }

    #[test]
    fn the_fin_takes_one_number() {
        let mut half = half(3, 1);
        half.fin = Some(Offset::new(11));
        assert!(half.fin_is_due());
        half.fin_sent = true;
        assert_eq!(hear(&mut half, 12, 0).0, 11);
        assert!(!half.fin_acked);
        assert_eq!(hear(&mut half, 13, 0).0, 12);
        assert!(half.fin_acked);
    }

    #[test]
    fn sack_blocks_shrink_to_whole_edits() {
        let half = half(10, 5);
        let seq = |offset: u64| half.space.seq_of(Offset::new(offset)).get();
        assert_eq!(half.sack_block(seq(6), seq(23)), Some((seq(14), seq(18))));
        assert_eq!(half.sack_block(seq(2), seq(18)), Some((seq(2), seq(4))));
        assert_eq!(half.sack_block(seq(5), seq(9)), None);
        assert_eq!(half.sack_block(seq(20), seq(24)), None, "never sent");
    }
}
