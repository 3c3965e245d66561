//! Acceptance before effect: whether the receiver would take a segment. Until that is known nothing
//! of the flow changes.
//!
//! Read first: RFC 9293 section 3.10.7.4, RFC 5961 section 5, RFC 7323 section 5.

use super::walk::Load;
use super::{Context, Flow, Stage};
use crate::counters::{DropReason, Event};
use crate::direction::Direction;
use crate::limits::DISORDERED_ACK_TICKS;
use crate::stream::{Offset, Round};
use crate::tcp::Seq;
use crate::time::Instant;
use crate::wire::options::{self, Allowed};
use crate::wire::packet::{self, Headers, flags};

/// A segment that its receiver would take.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Where it starts in the sender's stream; nothing for a keep-alive before its first octet.
    pub(super) start: Option<Offset>,
    /// What it acknowledges, in edited octets of the other direction.
    pub(super) acknowledged: Offset,
    /// Its headers, without what lies beyond the window.
    pub(super) headers: Headers,
}

impl Flow {
    /// Judges a segment that is neither a SYN nor a reset.
    pub(super) fn accept(
        &self,
        direction: Direction,
        headers: &Headers,
        now: Instant,
    ) -> Result<Accepted, DropReason> {
        if !headers.has(flags::ACK) {
            return Err(DropReason::BadFlags);
        }
        self.accept_stage(direction, headers)?;
        let (start, room) = self.place(direction, headers)?;
        let acknowledged = self.accept_ack(direction, headers)?;
        self.accept_timestamps(direction, start, acknowledged, headers, now)?;
        let mut headers = *headers;
        if room < headers.payload_len() {
            headers.end = headers.payload_start + room;
            headers.flags &= !flags::FIN;
        }
        self.accept_end(direction, start, &headers)?;
        Ok(Accepted { start, acknowledged, headers })
    }

    /// The third segment of the handshake acknowledges the SYN/ACK; before it there is none.
    fn accept_stage(&self, direction: Direction, headers: &Headers) -> Result<(), DropReason> {
        let first = self.halves.to_client.space.seq_of(Offset::ZERO);
        let is_third = direction == Direction::ToServer && Seq::new(headers.ack) == first;
        match self.stage {
            Stage::Established => Ok(()),
            Stage::SynReceived if is_third => Ok(()),
            Stage::Reset(_) if self.ends.to_client.is_known() => Ok(()),
            Stage::SynSent | Stage::SynReceived | Stage::Reset(_) | Stage::Ended => {
                Err(DropReason::BadHandshake)
            }
        }
    }

    /// Where the segment starts in the sender's stream, and how many of its octets lie within the
    /// window that the sender was offered. A probe of a closed window may bring one more (RFC 9293
    /// section 3.8.6.1).
    fn place(
        &self,
        direction: Direction,
        headers: &Headers,
    ) -> Result<(Option<Offset>, usize), DropReason> {
        let half = &self.halves[direction];
        let (seq, len) = (Seq::new(headers.seq), headers.payload_len());
        let (here, edge) = (half.reassembly.end(), half.told_edge);
        let Some(start) = half.space.offset_of(seq, here) else {
            // The number of the SYN: a keep-alive before the first octet.
            let is_keep_alive = seq == half.space.iss() && len <= 1 && !headers.has(flags::FIN);
            return is_keep_alive.then_some((None, len)).ok_or(DropReason::OutOfWindow);
        };
        let is_stale = start + len + self.ends[!direction].reach() < half.told_ack;
        // One more: the FIN takes a number too.
        if is_stale || start > edge + 1 {
            return Err(DropReason::OutOfWindow);
        }
        let is_probe = start == edge && start <= here;
        let room = if is_probe { 1 } else { edge.index_past(start) };
        if len > 0 && room == 0 {
            return Err(DropReason::OutOfWindow);
        }
        Ok((Some(start), room))
    }

    /// RFC 5961 section 5.2: neither of what was never sent, nor of what is long over.
    fn accept_ack(&self, direction: Direction, headers: &Headers) -> Result<Offset, DropReason> {
        let half = &self.halves[!direction];
        let acknowledged = half.check_ack(Seq::new(headers.ack))?;
        if acknowledged + self.ends[direction].reach() < half.store.una() {
            return Err(DropReason::BadAck);
        }
        Ok(acknowledged)
    }

    /// PAWS (RFC 7323 section 5.3), as Linux has it.
    fn accept_timestamps(
        &self,
        direction: Direction,
        start: Option<Offset>,
        acknowledged: Offset,
        headers: &Headers,
        now: Instant,
    ) -> Result<(), DropReason> {
        if !self.has_timestamps() {
            return Ok(());
        }
        let Some((value, _)) = headers.options.timestamps else {
            return Err(DropReason::TimestampMissing);
        };
        let Some(behind) = self.ends[direction].ticks_behind(value, now) else {
            return Ok(());
        };
        // An acknowledgement that was overtaken and says nothing new.
        let other = &self.halves[!direction];
        let edge = acknowledged + (usize::from(headers.window) << self.window_shift(direction));
        let is_repeat = headers.payload_len() == 0
            && !headers.has(flags::FIN)
            && start == Some(self.halves[direction].reassembly.end())
            && acknowledged == other.store.una()
            && edge <= other.edge;
        if is_repeat && behind <= DISORDERED_ACK_TICKS {
            return Ok(());
        }
        Err(DropReason::Paws)
    }

    /// A FIN ends the stream once everything before it is there; then nothing lies behind it. Ahead
    /// of a hole it may still turn out to be none, and of two the first stays.
    fn accept_end(
        &self,
        direction: Direction,
        start: Option<Offset>,
        headers: &Headers,
    ) -> Result<(), DropReason> {
        let half = &self.halves[direction];
        let Some(start) = start else { return Ok(()) };
        let (here, len, is_fin) =
            (half.reassembly.end(), headers.payload_len(), headers.has(flags::FIN));
        let end = start + len;
        let goes_beyond = |fin: Offset| len > 0 && end > fin;
        match half.fin {
            Some(fin) if fin <= here => {
                // A keep-alive may repeat the number of the FIN.
                let is_keep_alive = half.fin_sent && start == fin && len == 1;
                if goes_beyond(fin) && !is_keep_alive {
                    return Err(DropReason::AfterFin);
                }
                if is_fin && end != fin {
                    return Err(DropReason::BadFin);
                }
            }
            _ if is_fin && end < here => return Err(DropReason::BadFin),
            Some(fin) if is_fin && end != fin && start > here && !goes_beyond(fin) => {
                return Err(DropReason::BadFin);
            }
            _ => {}
        }
        Ok(())
    }

    /// The first effects of a segment that was accepted.
    pub(super) fn begin_segment(
        &mut self,
        direction: Direction,
        start: Option<Offset>,
        headers: &Headers,
        packet: &mut [u8],
        context: &mut Context<'_>,
    ) {
        if headers.end < packet.len() {
            context.counters.happened(Event::WindowTrimmed);
        }
        // Who has reset says no more: the reset was somebody else's.
        if matches!(self.stage, Stage::SynReceived) || self.stage == Stage::Reset(direction) {
            self.stage = Stage::Established;
        }
        self.raise_hop_limit(direction, headers, packet, context);
        let shift = self.window_shift(direction);
        let half = &self.halves[direction];
        let acknowledged = half.map.to_original(half.store.una(), Round::Down);
        let is_ahead = start.is_some_and(|start| start > half.reassembly.end());
        let end = &mut self.ends[direction];
        end.remember(headers, shift);
        let Some((value, _)) = headers.options.timestamps else { return };
        if !is_ahead {
            end.remember_timestamps(headers);
        } else if let Some((last, _)) = end.timestamps {
            // Whatever leaves in its headers leaves at a number before the hole: with a newer
            // timestamp there, the receiver would refuse what fills the hole.
            let list = packet.get_mut(headers.tcp_start + 20..headers.payload_start);
            options::set_timestamp(list.unwrap_or_default(), last);
        }
        if start.is_none_or(|start| start <= acknowledged) {
            end.advance_recent(value, context.now);
        }
    }

    /// No packet dies between the guard and the receiver that others of its sender reach.
    pub(super) fn raise_hop_limit(
        &self,
        direction: Direction,
        headers: &Headers,
        packet: &mut [u8],
        context: &mut Context<'_>,
    ) {
        let hop_limit = self.ends[direction].hop_limit(headers.hop_limit);
        if hop_limit > headers.hop_limit && self.ends.to_client.is_known() {
            packet::set_hop_limit(packet, headers.is_ipv6(), hop_limit);
            context.counters.happened(Event::TtlRaised);
        }
    }

    /// A congestion mark on octets that wait is borne by the next packet that leaves (RFC 3168
    /// section 5.3 for fragments: none may be lost).
    pub(super) fn carry_congestion(
        &mut self,
        direction: Direction,
        headers: &Headers,
        packet: &mut [u8],
        load: Load,
    ) {
        let end = &mut self.ends[direction];
        if load.span.is_empty() {
            end.is_congested |= headers.is_congested() && headers.payload_len() > 0;
        } else if core::mem::take(&mut end.is_congested) {
            end.is_congested = !packet::mark_congestion(packet, headers);
        }
    }

    /// Overwrites the options that do not belong to a segment, or were not agreed on, with NOP.
    pub(super) fn clear_options(
        &self,
        headers: &Headers,
        packet: &mut [u8],
        context: &mut Context<'_>,
    ) -> Headers {
        let allowed = Allowed {
            mss: false,
            window_scale: false,
            sack_permitted: false,
            sack: self.has_sack(),
            timestamps: self.has_timestamps(),
        };
        let options = headers.options.within(allowed);
        if options != headers.options {
            let list = packet.get_mut(headers.tcp_start + 20..headers.payload_start);
            options::clear_others(list.unwrap_or_default(), allowed);
            context.counters.happened(Event::OptionCleared);
        }
        let mut headers = *headers;
        headers.options = options;
        headers
    }
}
