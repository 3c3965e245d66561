//! Loss recovery as if nobody stood between: what a sender is told of segments that wait here, and
//! what is sent again because it was told.
//!
//! Read first: RFC 2018, RFC 5681 sections 3.2 and 4.2, RFC 2883.

use super::walk::{Load, Took};
use super::{Context, Flow};
use crate::counters::Event;
use crate::direction::Direction;
use crate::limits::{DUPLICATES_THAT_COUNT, OWED_ACKS_MAX};
use crate::stream::Span;
use crate::tcp::Seq;
use crate::time::Instant;
use crate::wire::packet::Headers;

impl Flow {
    /// Tells the sender what a receiver would tell it about octets that go no further: those that
    /// wait behind a hole, and repeats of what is acknowledged (law L13).
    pub(super) fn acknowledge(
        &mut self,
        direction: Direction,
        took: Took,
        headers: &Headers,
        load: Load,
        context: &mut Context<'_>,
    ) {
        let len = headers.payload_len();
        match took {
            Took::Ahead => {
                let size = usize::from(context.gso_size.unwrap_or(u16::MAX)).max(1);
                let segments = u32::try_from(len.div_ceil(size)).unwrap_or(OWED_ACKS_MAX);
                let half = &mut self.halves[direction];
                half.has_waited = true;
                half.owed_acks = half.owed_acks.saturating_add(segments).min(OWED_ACKS_MAX);
                self.pay_owed_acks(direction, Some(headers), context);
                self.ask(direction, context);
            }
            // The acknowledgement that the receiver sent was lost on the sender's wire. It is told
            // again here; more than one octet, or it is a keep-alive, which the receiver answers.
            Took::Old if load.span.is_empty() && len > 1 => {
                self.mint_sack(!direction, Some(headers), context);
                self.repair_first(direction, context);
            }
            Took::Nothing | Took::InOrder { .. } | Took::Old | Took::Refused => {}
        }
    }

    /// A sender is owed one duplicate acknowledgement for each segment behind the hole, once the
    /// receiver has acknowledged everything before it (RFC 5681 section 4.2).
    pub(super) fn pay_owed_acks(
        &mut self,
        direction: Direction,
        latest: Option<&Headers>,
        context: &mut Context<'_>,
    ) {
        let has_sack = self.has_sack();
        let half = &mut self.halves[direction];
        if !half.reassembly.has_hole() {
            half.owed_acks = 0;
        } else if half.is_hole_reached() || (has_sack && half.receiver_reports) {
            // A receiver that lacks something itself reports all that it has at once; but what is still
            // on its way to it must not look lost.
            let is_reached = half.is_hole_reached();
            let owed = core::mem::take(&mut half.owed_acks);
            if !has_sack {
                for _ in 0..owed {
                    self.mint_bare_ack(!direction, &[], context);
                }
                return;
            }
            let said = self.report(direction, latest, context);
            let owed = if is_reached { owed.min(DUPLICATES_THAT_COUNT) } else { 0 };
            for _ in said..owed {
                self.mint_sack(!direction, latest, context);
            }
        }
    }

    /// Tells a sender with SACK of every span that waits and that it has not heard of; how many
    /// acknowledgements that took.
    fn report(
        &mut self,
        direction: Direction,
        latest: Option<&Headers>,
        context: &mut Context<'_>,
    ) -> u32 {
        let spans = self.halves[direction].unreported();
        let blocks_max = if self.has_timestamps() { 3 } else { 4 };
        if spans.len() <= 1 {
            // The usual case: one more segment. The other blocks go along, should one have been lost.
            if !spans.is_empty() {
                self.mint_sack(!direction, latest, context);
            }
            return u32::from(!spans.is_empty());
        }
        let mut said = 0;
        for group in spans.chunks(blocks_max) {
            let mut blocks = [(0, 0); 4];
            for (block, span) in blocks.iter_mut().zip(group) {
                let half = &mut self.halves[direction];
                *block = (half.space.seq_of(span.start).get(), half.space.seq_of(span.end).get());
                half.vouch(*span);
            }
            self.mint_bare_ack(!direction, &blocks[..group.len()], context);
            said += 1;
        }
        said
    }

    /// Asks the receiver, once for each hole, to say at once where it stands: it may be delaying an
    /// acknowledgement, which it would not with the segment before it that waits here. A repeat of
    /// its last octet asks (RFC 9293 section 3.10.7.4).
    fn ask(&mut self, direction: Direction, context: &mut Context<'_>) {
        let half = &mut self.halves[direction];
        let (una, sent) = (half.store.una(), half.store.sent());
        let hole = half.reassembly.end();
        if half.is_hole_reached() || una >= sent || half.asked == Some(hole) {
            return;
        }
        half.asked = Some(hole);
        self.send_again(direction, Span { start: sent - 1, end: sent }, context);
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
            {
                blocks[count] = Span { start, end };
                count += 1;
            }
        }
        (blocks, count)
    }

    /// Repeats out of the store what the receiver lacks and the sender believes to be there: the
    /// guard has said so while the octets waited behind a hole.
    pub(super) fn repair(
        &mut self,
        direction: Direction,
        mut blocks: ([Span; 4], usize),
        context: &mut Context<'_>,
    ) {
        let mut holes = [Span::default(); 4];
        let blocks = &mut blocks.0[..blocks.1];
        let count = self.halves[direction].holes_to_repair(blocks, context.now, &mut holes);
        for hole in &holes[..count] {
            context.counters.happened(Event::Repaired);
            self.send_again(direction, *hole, context);
        }
    }

    /// Sets or clears the alarms, after a segment.
    pub(super) fn watch(&mut self, now: Instant) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let half = &mut self.halves[direction];
            half.measure(now);
            half.watch(now);
        }
    }

    /// Acts on an alarm that has gone off.
    pub fn ring(&mut self, context: &mut Context<'_>) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let size = usize::from(self.segment_size(direction, 12));
            let half = &mut self.halves[direction];
            if half.alarm.is_none_or(|at| at > context.now) {
                continue;
            }
            for span in half.ring(context.now, size) {
                if !span.is_empty() {
                    context.counters.happened(Event::Repaired);
                    self.send_again(direction, span, context);
                }
            }
        }
    }

    /// The sender has timed out: the receiver may lack the last of what was vouched for.
    fn repair_first(&mut self, direction: Direction, context: &mut Context<'_>) {
        let half = &self.halves[direction];
        let start = half.store.una();
        let size = usize::from(self.segment_size(direction, 0));
        let end = half.vouched_end();
        let span = Span { start, end: end.min(start + size) };
        if !span.is_empty() {
            context.counters.happened(Event::Repaired);
            self.send_again(direction, span, context);
        }
    }
}
