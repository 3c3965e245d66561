//! How packets leave: relayed in their own headers, or minted. Octets come out of the store.

use super::half::Heard;
use super::walk::Load;
use super::{Context, Flow, Stage};
use crate::counters::Event;
use crate::direction::Direction;
use crate::limits::PACKET_OCTETS_MAX;
use crate::stream::Span;
use crate::tcp::Seq;
use crate::wire::mint::Minted;
use crate::wire::offload::Offload;
use crate::wire::options;
use crate::wire::packet::{Headers, Patch, flags, patch_tcp, seal};

/// SACK blocks that fit beside timestamps, and one (RFC 2018 section 3).
const SACK_BLOCKS_MAX: usize = 4;

impl Heard {
    /// The header of a packet that carries this acknowledgement.
    pub(super) fn patch(&self, seq: Seq, flags: u8) -> Patch {
        Patch { seq: seq.get(), ack: self.ack.get(), flags, window: self.window }
    }
}

impl Flow {
    /// What is left to do for a packet with `len` octets of payload.
    fn offload(context: &Context<'_>, len: usize, size: u16, ecn: bool) -> Offload {
        let is_super = context.offload && len > usize::from(size);
        Offload {
            partial_checksum: context.offload,
            checksum_valid: false,
            gso_size: is_super.then_some(size),
            ecn: ecn && is_super,
        }
    }

    /// Relays the headers of a packet, patched, without its payload.
    pub(super) fn relay_header(
        &self,
        direction: Direction,
        headers: &Headers,
        packet: &mut [u8],
        patch: Patch,
        context: &mut Context<'_>,
    ) {
        let Some(packet) = packet.get_mut(..headers.payload_start) else {
            return;
        };
        let addresses = (headers.source.ip(), headers.destination.ip());
        patch_tcp(packet, headers.tcp_start, patch);
        seal(packet, headers.tcp_start, addresses, context.offload);
        let offload = Self::offload(context, 0, 0, false);
        let vnet =
            offload.emit(headers.is_ipv6(), headers.tcp_start as u16, headers.payload_start as u16);
        context.outbox.leave_in_place(self.leg(direction), offload, vnet, packet.len());
    }

    /// Relays a packet with `load` for its octets: in place when they fit exactly, else in as many
    /// packets as it takes.
    pub(super) fn relay(
        &mut self,
        direction: Direction,
        headers: &Headers,
        packet: &mut [u8],
        heard: Heard,
        load: Load,
        context: &mut Context<'_>,
    ) {
        self.translate_sack(direction, headers, packet);
        let options = headers.payload_start - headers.tcp_start - 20;
        let size = context.hand.gso_size.unwrap_or_else(|| self.segment_size(direction, options));
        let size = size.min(self.path_room(direction, options));
        let leg = self.leg(direction);
        let addresses = (headers.source.ip(), headers.destination.ip());
        let half = &mut self.halves[direction];
        if load.span.end <= half.store.sent() && !load.span.is_empty() {
            context.counters.happened(Event::Replayed);
        }
        half.store.mark_sent(load.span.end);
        half.fin_sent |= load.fin;
        let fin = if load.fin { flags::FIN } else { 0 };
        let ecn = headers.has(flags::CWR);
        let len = load.span.len();
        let emit = |offload: Offload| {
            offload.emit(headers.is_ipv6(), headers.tcp_start as u16, headers.payload_start as u16)
        };

        // A packet that was put together from fragments may be longer than a segment.
        let fits = context.offload || len <= usize::from(size);
        if len == headers.payload_len() && fits {
            let packet = &mut packet[..headers.end];
            if !load.is_untouched {
                half.store.copy(load.span, &mut packet[headers.payload_start..]);
            }
            let seq = half.space.seq_of(load.span.start);
            patch_tcp(
                packet,
                headers.tcp_start,
                heard.patch(seq, headers.flags & !flags::FIN | fin),
            );
            seal(packet, headers.tcp_start, addresses, context.offload);
            let offload = Self::offload(context, len, size, ecn);
            context.outbox.leave_in_place(leg, offload, emit(offload), headers.end);
            return;
        }
        if context.hand.loan.take().is_some() {
            half.store.copy_lent(packet, &mut context.spare.octets);
        }
        let room = if context.offload {
            PACKET_OCTETS_MAX - headers.payload_start
        } else {
            usize::from(size)
        };
        for piece in pieces(load.span, room) {
            let is_last = piece.end == load.span.end;
            let mut flags = headers.flags & !flags::FIN;
            flags = if is_last { flags | fin } else { flags & !flags::PSH };
            let offload = Self::offload(context, piece.len(), size, ecn);
            let len = headers.payload_start + piece.len();
            let built = context.outbox.leave_built(leg, offload, emit(offload), len);
            built[..headers.payload_start].copy_from_slice(&packet[..headers.payload_start]);
            half.store.copy(piece, &mut built[headers.payload_start..]);
            let seq = half.space.seq_of(piece.start);
            patch_tcp(built, headers.tcp_start, heard.patch(seq, flags));
            seal(built, headers.tcp_start, addresses, context.offload);
        }
    }

    /// Whether an acknowledgement in `direction` that brings no news only repeats what the guard has
    /// told: to a sender it would look like a duplicate, and mean a loss.
    pub(super) fn is_covered(
        &self,
        direction: Direction,
        headers: &Headers,
        packet: &[u8],
    ) -> bool {
        let half = &self.halves[!direction];
        // A client that asks for a new connection has to hear that the server still has the old one.
        let is_challenge = self.reborn.is_some() && !half.has_promised();
        if !half.stands_in() || is_challenge {
            return false;
        }
        let list = headers.option_list(packet);
        let count = headers.options.sack_blocks.map_or(0, |(_, count)| count);
        half.stand_in.is_standing()
            || !(0..count).any(|index| {
                let (left, right) = headers.options.sack_block(list, index);
                half.sack_block(left, right).is_some()
            })
    }

    /// Writes the SACK blocks of a packet, and its TSecr, as the one who will read them has to see
    /// them. Once the guard has stood in for the receiver, a report of a repeat (RFC 2883) is left
    /// out: it may be about a repeat of the guard's own. A sender that takes those for its own mistakes
    /// forgets what it has found lost: Linux waits for its time-out then.
    pub(super) fn translate_sack(
        &self,
        direction: Direction,
        headers: &Headers,
        packet: &mut [u8],
    ) {
        let half = &self.halves[!direction];
        let has_stood = half.stand_in.has_stood();
        if half.stands_in()
            && let Some((_, echo)) = headers.options.timestamps
            && let Some(list) = packet.get_mut(headers.tcp_start + 20..headers.payload_start)
        {
            options::set_echo(list, half.echo(echo));
        }
        let Some((_, count)) = headers.options.sack_blocks else { return };
        if half.map.is_identity() && !has_stood {
            return;
        }
        let Some(list) = packet.get_mut(headers.tcp_start + 20..headers.payload_start) else {
            return;
        };
        let mut blocks = [(0, 0); SACK_BLOCKS_MAX];
        let mut kept = 0;
        for index in 0..count.min(SACK_BLOCKS_MAX) {
            let (left, right) = headers.options.sack_block(list, index);
            if has_stood && index == 0 && is_repeat_report(headers, list, count) {
                continue;
            }
            if let Some(block) = half.sack_block(left, right) {
                blocks[kept] = block;
                kept += 1;
            }
        }
        options::set_sack_blocks(list, &headers.options, &blocks[..kept]);
    }

    /// Sends what may leave in `direction` and did not come with a packet of its own: octets that
    /// waited for a verdict or for the window, and a FIN behind them.
    pub(super) fn flush(&mut self, direction: Direction, context: &mut Context<'_>) {
        let half = &mut self.halves[direction];
        let span = half.unsent();
        let fin = half.fin_is_due() && !half.fin_sent && span.end == half.store.nxt();
        if span.is_empty() && !fin {
            return;
        }
        half.store.mark_sent(span.end);
        half.fin_sent |= fin;
        self.mint_octets(direction, span, fin, context);
    }

    /// Sends octets that have left before, as their sender would.
    pub(super) fn send_again(&self, direction: Direction, span: Span, context: &mut Context<'_>) {
        self.mint_octets(direction, span, false, context);
    }

    fn mint_octets(&self, direction: Direction, span: Span, fin: bool, context: &mut Context<'_>) {
        let timestamps = if self.has_timestamps() { 12 } else { 0 };
        let size = self.segment_size(direction, timestamps);
        let room = if context.offload { PACKET_OCTETS_MAX - 100 } else { usize::from(size) };
        for piece in pieces(span, room) {
            let is_last = piece.end == span.end;
            let mut flags = flags::ACK;
            if is_last {
                flags |= flags::PSH | if fin { flags::FIN } else { 0 };
            }
            let seq = self.halves[direction].space.seq_of(piece.start);
            self.mint(direction, seq, flags, &[], piece, context);
        }
    }

    /// Tells the sender of `!direction` again what was acknowledged, and what is here behind holes,
    /// the block of the `latest` segment first (RFC 2018 section 4); before it, that all of the segment
    /// was here already, if it `repeats` (RFC 2883 section 4).
    pub(super) fn mint_sack(
        &self,
        direction: Direction,
        latest: &Headers,
        repeats: bool,
        context: &mut Context<'_>,
    ) {
        let half = &self.halves[!direction];
        let came = half.space.offset_of(Seq::new(latest.seq), half.reassembly.end());
        let came = came.unwrap_or_default();
        let mut blocks = [(0, 0); SACK_BLOCKS_MAX];
        let mut count = 0;
        if self.has_sack() {
            let holds = |span: &Span| span.start <= came && came < span.end;
            let islands =
                || half.stand_in.islands(half.reassembly.front(), half.reassembly.ahead());
            let repeat = Some(Span::of(came, latest.payload_len())).filter(|_| repeats);
            let repeat = repeat.and_then(|repeat| {
                // What is neither acknowledged nor behind a hole waits for a verdict: to report it would
                // tell of a hole where there is none.
                if repeat.start < half.told_ack {
                    return Some(Span { end: repeat.end.min(half.told_ack), ..repeat });
                }
                let holds = |island: Span| island.start <= repeat.start && repeat.end <= island.end;
                islands().any(holds).then_some(repeat)
            });
            let latest = islands().filter(holds);
            let others = islands().filter(|span| !holds(span));
            let spans = repeat.into_iter().chain(latest).chain(others);
            for (block, span) in blocks.iter_mut().zip(spans) {
                *block = (half.space.seq_of(span.start).get(), half.space.seq_of(span.end).get());
                count += 1;
            }
        }
        self.mint_bare_ack(direction, &blocks[..count], context);
    }

    /// An acknowledgement in `direction` that says again what was said last.
    fn mint_bare_ack(
        &self,
        direction: Direction,
        blocks: &[(u32, u32)],
        context: &mut Context<'_>,
    ) {
        let half = &self.halves[direction];
        let at = half.store.sent();
        self.mint(
            direction,
            half.next_seq(),
            flags::ACK,
            blocks,
            Span { start: at, end: at },
            context,
        );
    }

    /// A reset in `direction`, at each number that the receiver may be expecting.
    pub(super) fn mint_reset(&mut self, direction: Direction, context: &mut Context<'_>) {
        let half = &self.halves[direction];
        let at = half.store.sent();
        let nothing = Span { start: at, end: at };
        let una = half.store.una() + usize::from(half.fin_acked);
        let (oldest, next) = (half.space.seq_of(una), half.next_seq());
        // A server that has not answered yet has said nothing that could be acknowledged.
        let is_unanswered = self.stage == Stage::SynSent && direction == Direction::ToServer;
        let flags = if is_unanswered { flags::RST } else { flags::RST | flags::ACK };
        self.mint(direction, next, flags, &[], nothing, context);
        if oldest != next {
            self.mint(direction, oldest, flags, &[], nothing, context);
        }
    }

    /// Answers a segment for an ended connection with a reset at the number that its sender
    /// expects (RFC 9293 section 3.10.7.1).
    pub(super) fn answer_with_reset(
        &self,
        direction: Direction,
        headers: &Headers,
        context: &mut Context<'_>,
    ) {
        if headers.has(flags::ACK) && !headers.has(flags::RST) {
            let at = self.halves[!direction].store.sent();
            let nothing = Span { start: at, end: at };
            self.mint(!direction, Seq::new(headers.ack), flags::RST, &[], nothing, context);
        }
    }

    fn mint(
        &self,
        direction: Direction,
        seq: Seq,
        flags: u8,
        sack_blocks: &[(u32, u32)],
        span: Span,
        context: &mut Context<'_>,
    ) {
        let other = &self.halves[!direction];
        let end = self.ends[direction].minted(self, direction);
        let minted = Minted {
            seq: seq.get(),
            ack: other.space.seq_of(other.told_ack).get(),
            flags,
            window: other.window_again(self.window_shift(direction)),
            sack_blocks,
            timestamps: end.timestamps.map(|(value, echo)| (value, other.echo(echo))),
            ..end
        };
        let headers = minted.headers();
        let start = headers.octets().len();
        let size = self.segment_size(direction, start - headers.tcp_start - 20);
        let offload = Self::offload(context, span.len(), size, false);
        let ipv6 = minted.source.is_ipv6();
        let vnet = offload.emit(ipv6, headers.tcp_start as u16, start as u16);
        let leg = self.leg(direction);
        let built = context.outbox.leave_built(leg, offload, vnet, start + span.len());
        built[..start].copy_from_slice(headers.octets());
        self.halves[direction].store.copy(span, &mut built[start..]);
        seal(
            built,
            headers.tcp_start,
            (minted.source.ip(), minted.destination.ip()),
            context.offload,
        );
        context.counters.happened(Event::Minted);
    }
}

/// Whether the first SACK block reports a repeat: it lies below the acknowledgement, or inside of the
/// second one (RFC 2883 section 4).
fn is_repeat_report(headers: &Headers, list: &[u8], count: usize) -> bool {
    let (left, right) = headers.options.sack_block(list, 0);
    let is_before = |a: u32, b: u32| Seq::new(a).distance(Seq::new(b)) <= 0;
    if is_before(right, headers.ack) {
        return true;
    }
    let (outer_left, outer_right) = headers.options.sack_block(list, 1);
    count > 1 && is_before(outer_left, left) && is_before(right, outer_right)
}

/// `span` in pieces of `room` octets; one empty piece when the span is empty.
fn pieces(span: Span, room: usize) -> impl Iterator<Item = Span> {
    let count = span.len().div_ceil(room.max(1)).max(1);
    (0..count).map(move |index| {
        let start = span.start + index * room;
        Span { start, end: (start + room).min(span.end) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_alone_beyond_the_acknowledgement_reports_no_repeat() {
        // What would be read for a second one is 0, and these lie on both sides of its antipode.
        let minted = Minted {
            source: "192.0.2.10:40000".parse().unwrap(),
            destination: "198.51.100.25:25".parse().unwrap(),
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            seq: 0,
            ack: 0x7fff_ff00,
            flags: flags::ACK,
            window: 0,
            timestamps: None,
            sack_blocks: &[(0x7fff_fff0, 0x8000_0010)],
        };
        let made = minted.headers();
        let mut packet = made.octets().to_vec();
        let addresses = (minted.source.ip(), minted.destination.ip());
        seal(&mut packet, made.tcp_start, addresses, false);
        let headers = Headers::parse(&packet).unwrap();
        assert!(!is_repeat_report(&headers, headers.option_list(&packet), 1));
    }
}
