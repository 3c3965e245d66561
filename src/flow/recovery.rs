//! Loss recovery as if nobody stood between: what a sender is told of segments that wait here, and
//! what is sent again because it was told.
//!
//! Read first: [`super::stand_in`] and [`super::repair`].

use super::repair::Ring;
use super::walk::{Load, Took};
use super::{Context, Flow, Stage};
use crate::counters::Event;
use crate::direction::Direction;
use crate::limits::{DUPLICATES_MAX, DUPLICATES_THAT_COUNT};
use crate::report::Ending;
use crate::stream::{Offset, Span};
use crate::tcp::Seq;
use crate::time::Instant;
use crate::wire::options;
use crate::wire::packet::{Headers, flags};

impl Flow {
    /// Tells the sender what a receiver would tell it about octets that go no further: those that
    /// wait behind a hole, and repeats of what is acknowledged (law L13).
    pub(super) fn acknowledge(
        &mut self,
        direction: Direction,
        start: Option<Offset>,
        took: Took,
        headers: &Headers,
        load: Load,
        context: &mut Context<'_>,
    ) {
        let len = headers.payload_len();
        let half = &mut self.halves[direction];
        let is_ahead = matches!(took, Took::Ahead { .. });
        if is_ahead {
            half.stand_in();
        }
        if half.stand_in.is_standing() && len > 0 && took != Took::Refused {
            if let Some(start) = start {
                half.stand_in.refill(Span::of(start, len));
            }
            let size = usize::from(context.hand.gso_size.unwrap_or(u16::MAX)).max(1);
            let segments = u32::try_from(len.div_ceil(size)).unwrap_or(DUPLICATES_MAX);
            let duplicates = if is_ahead { segments } else { 0 };
            let repeats = matches!(took, Took::Old | Took::Ahead { again: true });
            self.stand(direction, duplicates, headers, repeats, context);
        } else if half.has_promised() && len <= 1 && start.is_some_and(|at| at < half.told_ack) {
            // A keep-alive or a window probe. What the receiver answers is less than was promised, and
            // is not told; nobody else would answer then.
            self.mint_sack(!direction, headers, false, context);
        } else if took == Took::Old && load.span.is_empty() && len > 1 {
            // The acknowledgement that the receiver sent was lost on the sender's wire. It is told
            // again here; more than one octet, or it is a keep-alive, which the receiver answers.
            self.mint_sack(!direction, headers, true, context);
        }
    }

    /// Answers a segment all of which the receiver has acknowledged. It changes nothing: anybody can
    /// make one who knows roughly how far the connection is. A keep-alive goes on to the receiver; while
    /// the guard stands in, what the receiver says to it is not told, and the guard answers.
    pub(super) fn answer_old(
        &self,
        direction: Direction,
        start: Option<Offset>,
        headers: &Headers,
        packet: &mut [u8],
        context: &mut Context<'_>,
    ) {
        let is_keep_alive = headers.payload_len() <= 1;
        let half = &self.halves[direction];
        if is_keep_alive {
            let seq = start.map_or_else(|| Seq::new(headers.seq), |start| half.sent_as(start));
            let heard = self.halves[!direction].heard_before(self.window_shift(direction));
            let patch = heard.patch(seq, headers.flags & !(flags::FIN | flags::PSH));
            self.translate_sack(direction, headers, packet);
            if let Some((last, echo)) = self.ends[direction].timestamps
                && let Some(list) = packet.get_mut(headers.tcp_start + 20..headers.payload_start)
            {
                options::set_timestamp(list, last);
                // A SYN echoes nothing, and says zero.
                if echo != 0 {
                    options::set_echo(list, self.halves[!direction].echo(echo));
                }
            }
            self.relay_header(direction, headers, packet, patch, context);
        }
        if !is_keep_alive || half.stands_in() {
            self.mint_sack(!direction, headers, !is_keep_alive, context);
        }
    }

    /// Answers the sender in the receiver's place: how far everything is here, and with one duplicate
    /// for each segment behind a hole (RFC 5681 section 4.2).
    fn stand(
        &mut self,
        direction: Direction,
        duplicates: u32,
        latest: &Headers,
        repeats: bool,
        context: &mut Context<'_>,
    ) {
        let (has_sack, shift) = (self.has_sack(), self.window_shift(!direction));
        let half = &mut self.halves[direction];
        let front = half.reassembly.front();
        let ack = half.stand_in.promise(front);
        half.stand_in.end_without_holes(half.reassembly.has_hole());
        half.told_ack = half.told_ack.max(ack);
        if !half.stand_in.is_standing() {
            half.told_window = half.window_again(shift);
        }
        // One with SACK counts octets; the duplicates are for those that count nothing else.
        let most = if has_sack { DUPLICATES_THAT_COUNT } else { DUPLICATES_MAX };
        // Of what is acknowledged with the first of them it would be no duplicate.
        for _ in 0..duplicates.clamp(1, most) {
            self.mint_sack(!direction, latest, repeats, context);
        }
    }

    /// The receiver's SACK blocks in `packet`, as edited offsets of the octets that it receives.
    pub(super) fn read_sack(
        &self,
        direction: Direction,
        headers: &Headers,
        packet: &[u8],
    ) -> ([Span; 4], usize) {
        let mut blocks = [Span::default(); 4];
        let mut count = 0;
        let half = &self.halves[direction];
        let list = headers.option_list(packet);
        for index in 0..headers.options.sack_blocks.map_or(0, |(_, count)| count).min(4) {
            let (left, right) = headers.options.sack_block(list, index);
            let edge = |number| half.space.offset_of(Seq::new(number), half.store.una());
            if let (Some(start), Some(end)) = (edge(left), edge(right))
                && start > half.store.una()
                && end <= half.store.sent() + 1
            {
                // A FIN is no octet.
                blocks[count] = Span { start, end: end.min(half.store.sent()) };
                count += 1;
            }
        }
        (blocks, count)
    }

    /// Repeats out of the store what the receiver lacks and the sender believes to be there: the
    /// guard has said so.
    pub(super) fn repair(&mut self, direction: Direction, context: &mut Context<'_>) {
        let half = &mut self.halves[direction];
        if !half.has_promised() {
            return;
        }
        let size = usize::from(self.segment_size(direction, 12));
        let half = &mut self.halves[direction];
        let lost = half.repairs.lost(half.ledge(), size, context.now);
        for hole in lost {
            context.counters.happened(Event::Repaired);
            self.send_again(direction, hole, context);
        }
    }

    /// Sets or clears the alarms, after a segment.
    pub(super) fn watch(&mut self, now: Instant) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let half = &mut self.halves[direction];
            let (una, promised) = (half.store.una(), half.promised());
            half.repairs.measure(una, half.store.sent(), now);
            half.repairs.watch(una, promised, now);
        }
    }

    /// Acts on an alarm that has gone off.
    pub fn ring(&mut self, context: &mut Context<'_>) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let size = usize::from(self.segment_size(direction, 12));
            let half = &mut self.halves[direction];
            if half.repairs.alarm().is_none_or(|at| at > context.now) {
                continue;
            }
            if self.stage == Stage::Ended {
                half.repairs.free();
                continue;
            }
            // If nothing is in flight, the window is closed and may have opened unheard: a probe of one
            // octet asks (RFC 9293 section 3.8.6.1).
            half.store.mark_sent(half.store.una() + 1);
            match half.repairs.ring(half.ledge(), size, context.now) {
                Ring::Repeat(spans) => {
                    for span in spans.into_iter().filter(|span| !span.is_empty()) {
                        context.counters.happened(Event::Repaired);
                        self.send_again(direction, span, context);
                    }
                }
                Ring::GiveUp => {
                    context.counters.happened(Event::ReceiverGone);
                    self.end_by_inspection(Ending::ReceiverGone, context);
                    self.deadline = context.now + self.lifetime();
                }
            }
        }
    }
}
