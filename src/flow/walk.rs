//! The walk of a segment: judge the envelope; let the other half hear the acknowledgement; let
//! this half take the octets; pump; send what is due.

use core::ops::Range;

use super::accept::Accepted;
use super::half::{Heard, Writer};
use super::watch::Watch;
use super::{Context, Flow};
use crate::counters::{DropReason, Event};
use crate::direction::Direction;
use crate::inspect::Fault;
use crate::policy::PartialLines;
use crate::report::{Ending, Severity, What};
use crate::smtp::Phase;
use crate::stream::{Arrival, Offset, Round, Span};
use crate::wire::packet::{Headers, flags};

/// What a segment did to its half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    /// It carried nothing.
    Nothing,
    /// Octets that were not here before, in order, and whether the judge left them all as they
    /// were.
    InOrder { is_untouched: bool },
    /// Octets that wait behind a hole; all of them waited there already.
    Ahead { again: bool },
    /// Octets that were here before.
    Old,
    /// Octets that cannot be taken.
    Refused,
}

/// What the relayed packet is to carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Edited octets.
    pub(super) span: Span,
    /// The sender's FIN behind them.
    pub(super) fin: bool,
    /// The octets are those that the packet carries already.
    pub(super) is_untouched: bool,
}

impl Flow {
    /// Takes any segment but a SYN or a reset.
    pub(super) fn handle_segment(
        &mut self,
        direction: Direction,
        headers: &Headers,
        packet: &mut [u8],
        context: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let Accepted { start, acknowledged, is_old, headers } =
            self.accept(direction, headers, context.now)?;
        let headers = &headers;
        if is_old {
            self.answer_old(direction, start, headers, packet, context);
            return Ok(());
        }
        self.begin_segment(direction, start, headers, packet, context);
        self.establish(direction, acknowledged);

        if let (Some(start), Some((value, _))) = (start, headers.options.timestamps) {
            let half = &mut self.halves[direction];
            half.stand_in.note_timestamp(start, half.told_ack, value);
        }
        let shift = self.window_shift(direction);
        let (blocks, count) = self.read_sack(!direction, headers, packet);
        self.halves[!direction].repairs.hear(acknowledged, &blocks[..count]);
        let heard = self.halves[!direction].hear(
            acknowledged,
            headers.window,
            shift,
            &mut context.spare.octets,
        );

        let nxt = self.halves[direction].store.nxt();
        let judged = self.take(direction, start, headers, packet, context).and_then(|took| {
            let is_stuck = self.repeats_what_waits(direction, start, headers, took);
            self.pump(direction, is_stuck, context)?;
            self.pump(!direction, false, context)?;
            Ok(took)
        });
        // What was judged before a fault is still to be heard: the reply that shows it.
        let took = judged.unwrap_or(Took::InOrder { is_untouched: false });

        let load = self.load(direction, start, headers, took, nxt);
        self.carry_congestion(direction, headers, packet, load);
        if context.hand.loan.is_some() && !load.is_untouched {
            context.hand.loan = None;
            self.halves[direction].store.copy_lent(packet, &mut context.spare.octets);
        }
        if !load.span.is_empty() || load.fin {
            self.relay(direction, headers, packet, heard, load, context);
        } else {
            self.relay_bare(direction, start, headers, packet, heard, took, context);
        }
        if let Err(fault) = judged {
            self.is_dropped = fault.drops();
            self.end_by_inspection(Ending::Inspection, context);
            return Ok(());
        }
        self.repair(!direction, context);
        self.flush(!direction, context);
        self.acknowledge(direction, start, took, headers, load, context);
        self.watch(context.now);
        Ok(())
    }

    /// Lets the half take the segment's octets and FIN.
    fn take(
        &mut self,
        direction: Direction,
        start: Option<Offset>,
        headers: &Headers,
        packet: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Took, Fault> {
        let payload = headers.payload(packet);
        let Some(start) = start else {
            return Ok(Took::Nothing);
        };
        let half = &mut self.halves[direction];
        let end = start + payload.len();
        if half.fin_sent && half.fin == Some(start) && payload.len() == 1 {
            // A keep-alive that repeats the number of the FIN.
            return Ok(Took::Old);
        }
        if half.fin.is_some_and(|fin| end > fin) && !payload.is_empty() {
            // A FIN ahead of a hole is a rumour: its sender goes on behind it, so there was none.
            context.counters.happened(Event::Inconsistent);
            half.fin = None;
        }
        if headers.has(flags::FIN) {
            if half.reassembly.ahead().any(|span| span.end > end) {
                // The same the other way round: what lies behind it was there first.
                context.counters.happened(Event::Inconsistent);
            } else {
                half.fin = Some(end);
                self.life.closer.get_or_insert(direction);
            }
        }
        if payload.is_empty() {
            return Ok(Took::Nothing);
        }
        let discards = direction == Direction::ToServer
            && self.personality.partial_lines == PartialLines::Discard
            && self.session.phase() == Phase::Commands;
        let in_order = start <= half.reassembly.end();
        if !context.room.has(half.reassembly.needs(start, payload.len()), in_order) {
            context.counters.dropped(DropReason::MemoryFull);
            self.tell_full(DropReason::MemoryFull, context);
            return Ok(Took::Refused);
        }
        match half.reassembly.arrive(start, payload) {
            Err(_) => {
                context.counters.dropped(DropReason::BufferFull);
                self.tell_full(DropReason::BufferFull, context);
                Ok(Took::Refused)
            }
            Ok(Arrival::Old) => Ok(Took::Old),
            Ok(Arrival::Next { skip }) => {
                let fresh = payload.get(skip..).unwrap_or_default();
                let is_stuck = half.fin == Some(end);
                let at = half.reassembly.front();
                // A buffer that is half empty, or more, costs more than a copy.
                let is_big = skip == 0 && payload.len() >= context.hand.buffer.div_ceil(2).max(1);
                let place = headers.payload_start..headers.end;
                let place = (context.hand.buffer > 0 && is_big).then_some(place);
                let (judged, is_untouched) =
                    self.judge(direction, at, fresh, place, is_stuck, context)?;
                let half = &mut self.halves[direction];
                half.reassembly.advance(judged);
                if !discards {
                    half.reassembly.keep_ready(fresh.get(judged..).unwrap_or_default());
                }
                let is_whole = skip == 0 && judged == payload.len();
                Ok(Took::InOrder { is_untouched: is_untouched && is_whole })
            }
            Ok(Arrival::Kept { ahead, again, inconsistent }) => {
                if inconsistent {
                    context.counters.happened(Event::Inconsistent);
                }
                if ahead {
                    context.counters.happened(Event::Absorbed);
                }
                Ok(if ahead {
                    Took::Ahead { again }
                } else {
                    Took::InOrder { is_untouched: false }
                })
            }
        }
    }

    /// Whether the sender repeats octets that wait for a verdict: it may have to have them
    /// acknowledged before it goes on.
    fn repeats_what_waits(
        &self,
        direction: Direction,
        start: Option<Offset>,
        headers: &Headers,
        took: Took,
    ) -> bool {
        let front = self.halves[direction].reassembly.front();
        took == Took::Old && start.is_some_and(|start| start + headers.payload_len() > front)
    }

    /// Judges what is ready and was not judged before: after a hole was filled, a reply came, or
    /// an acknowledgement made room.
    fn pump(
        &mut self,
        direction: Direction,
        is_stuck: bool,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        if self.halves[direction].reassembly.ready().is_empty() {
            return Ok(());
        }
        let mut reassembly = core::mem::take(&mut self.halves[direction].reassembly);
        let is_stuck = is_stuck || self.halves[direction].fin == Some(reassembly.end());
        // The judge and its writer need no reassembly, only where it stands.
        let at = reassembly.front();
        let judged = self.judge(direction, at, reassembly.ready(), None, is_stuck, context);
        if let Ok((judged, _)) = judged {
            reassembly.advance(judged);
        }
        self.halves[direction].reassembly = reassembly;
        judged.map(|_| ())
    }

    /// Offers `octets`, which start at original offset `at`, to the judge of `direction`; how many
    /// it took, and whether they leave as they came. The store may be lent them in their `place`.
    fn judge(
        &mut self,
        direction: Direction,
        at: Offset,
        octets: &[u8],
        place: Option<Range<usize>>,
        is_stuck: bool,
        context: &mut Context<'_>,
    ) -> Result<(usize, bool), Fault> {
        let mut judges = self.judges.take().unwrap_or_else(|| context.spare.judges());
        let half = &mut self.halves[direction];
        let spare = &mut context.spare.octets;
        let mut writer = Writer::new(&mut half.map, &mut half.store, spare, at, octets);
        let (session, personality) = (&mut self.session, &*self.personality);
        let mut watch = Watch {
            now: context.now,
            counters: context.counters,
            reports: context.reports,
            connection: &self.connection,
            life: &mut self.life,
            direction,
            personality,
            line: Vec::new(),
        };
        let judged = match direction {
            Direction::ToServer => {
                let judge = &mut judges.client;
                judge.judge(octets, is_stuck, session, personality, &mut writer, &mut watch)
            }
            Direction::ToClient => {
                judges.server.judge(octets, is_stuck, session, personality, &mut writer, &mut watch)
            }
        };
        let (is_untouched, is_lent) = writer.finish(place.filter(|_| judged.is_ok()));
        context.hand.loan = is_lent.then_some(direction).or(context.hand.loan);
        let judged = judged.map(|judged| (judged, is_untouched));
        if let Err(fault) = judged {
            watch.fault(fault);
        }
        self.judges = context.spare.put_judges(judges);
        judged
    }

    fn tell_full(&self, reason: DropReason, context: &mut Context<'_>) {
        let what = || What::BufferFull(reason);
        context.reports.add(Severity::Warnings, Some(&self.connection), what);
    }

    /// What leaves with this packet: the images of its own octets, as far as they are judged, and
    /// everything that became ready with them, within the receiver's window.
    fn load(
        &mut self,
        direction: Direction,
        start: Option<Offset>,
        headers: &Headers,
        took: Took,
        nxt_before: Offset,
    ) -> Load {
        let half = &mut self.halves[direction];
        let (una, sent, nxt) = (half.store.una(), half.store.sent(), half.store.nxt());
        let mut span = Span { start: sent, end: sent };
        let front = half.reassembly.front();
        let carries = took != Took::Nothing && took != Took::Refused;
        if let Some(start) = start.filter(|&start| carries && start < front) {
            let end = (start + headers.payload_len()).min(front);
            span.start = half.map.to_edited(start.max(half.map.floor()), Round::Down).max(una);
            span.end = half.map.to_edited(end, Round::Up).max(span.start);
        }
        if span.end <= half.promised() {
            // The guard sees to those itself; their sender needs nothing but to hear that.
            span = Span { start: sent, end: sent };
        }
        if nxt > nxt_before {
            span.start = span.start.min(sent);
            span.end = nxt;
        }
        if span.end > half.edge {
            // A probe of a closed window carries one octet (RFC 9293 section 3.8.6.1).
            let is_probe = half.edge <= una && span.start == una;
            let end = if is_probe { span.start + 1 } else { half.edge.max(span.start) };
            span.end = end.min(span.end);
        }
        let is_whole = span.start == nxt_before && span.len() == headers.payload_len();
        let fin =
            half.fin_is_due() && span.end == nxt && (!half.fin_sent || headers.has(flags::FIN));
        Load { span, fin, is_untouched: took == Took::InOrder { is_untouched: true } && is_whole }
    }

    /// Relays a packet whose octets do not leave, when it says something to the receiver.
    #[expect(clippy::too_many_arguments, reason = "the walk's own state, handed on once")]
    fn relay_bare(
        &mut self,
        direction: Direction,
        start: Option<Offset>,
        headers: &Headers,
        packet: &mut [u8],
        heard: Heard,
        took: Took,
        context: &mut Context<'_>,
    ) {
        let half = &self.halves[direction];
        let len = headers.payload_len();
        let is_keep_alive = len <= 1 && matches!(took, Took::Old | Took::Nothing);
        let is_pure =
            len == 0 && !headers.has(flags::FIN) && !self.is_covered(direction, headers, packet);
        if !(heard.is_news || (is_pure && !heard.is_inside_edit) || (len == 1 && is_keep_alive)) {
            return;
        }
        let seq = match start {
            Some(start) if is_keep_alive && start <= half.reassembly.front() => half.sent_as(start),
            None | Some(_) => half.next_seq(),
        };
        let patch = heard.patch(seq, headers.flags & !(flags::FIN | flags::PSH));
        self.translate_sack(direction, headers, packet);
        self.relay_header(direction, headers, packet, patch, context);
    }
}
