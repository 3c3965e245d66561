//! ICMP errors about segments of a flow: told in the numbers of the one who reads them.
//!
//! An error quotes what the guard has sent. Its reader compares the quoted number with what it has
//! in flight itself (RFC 5927 section 4.1), and would take an edited one for a forgery.

use super::{Context, Flow, Stage};
use crate::counters::{DropReason, Event};
use crate::direction::{ByDirection, Direction, Leg};
use crate::limits::{PATH_MTU_LIFE, PATH_MTU_MIN_IPV4, PATH_MTU_MIN_IPV6};
use crate::stream::{Blank, Offset, Round, Span};
use crate::tcp::Seq;
use crate::time::Instant;
use crate::wire::icmp::Quote;

/// An MTU that an ICMP error named, and until when it is believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct PathMtu {
    mtu: u16,
    until: Instant,
}

/// Those of both directions.
#[derive(Debug, Default)]
pub(super) struct PathMtus(ByDirection<Option<PathMtu>>);

impl Blank for PathMtus {
    const BLANK: &'static Self = &Self(ByDirection { to_server: None, to_client: None });
}

impl Flow {
    /// Takes an ICMP error about a segment of this connection that came in on `leg`; returns the
    /// sequence and acknowledgement numbers that its reader knows the segment by. The error says
    /// why it is not to be believed.
    pub fn handle_icmp(
        &mut self,
        leg: Leg,
        quote: &Quote,
        context: &mut Context<'_>,
    ) -> Result<(u32, Option<u32>), DropReason> {
        let direction = if quote.source == self.connection.client
            && quote.destination == self.connection.server
        {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        if leg != self.leg(direction) || !quote.is_error {
            return Err(DropReason::IcmpNotInFlow);
        }
        let half = &self.halves[direction];
        let seq = Seq::new(quote.seq);
        let is_unanswered_syn = seq == half.space.iss()
            && match direction {
                Direction::ToServer => self.stage == Stage::SynSent,
                Direction::ToClient => self.stage == Stage::SynReceived,
            };
        if is_unanswered_syn {
            self.narrow(direction, Offset::ZERO, quote, context);
            return Ok((quote.seq, quote.ack));
        }
        if matches!(self.stage, Stage::SynSent | Stage::Ended) {
            return Err(DropReason::IcmpNotInFlow);
        }
        let at = half.check_ack(seq).ok().filter(|at| *at >= half.store.una());
        let at = at.ok_or(DropReason::IcmpNotInFlow)?;
        let original = half.space.seq_of(half.map.to_original(at, Round::Down));
        let ack = quote.ack.map(|ack| self.quoted_ack(!direction, ack));
        self.narrow(direction, at, quote, context);
        Ok((original.get(), ack))
    }

    /// An acknowledgement number that the guard has sent to the sender of `direction`, as the
    /// receiver of `direction` sent it.
    fn quoted_ack(&self, direction: Direction, ack: u32) -> u32 {
        let half = &self.halves[direction];
        let Some(original) = half.space.offset_of(Seq::new(ack), half.told_ack) else {
            return ack;
        };
        let edited = half.map.to_edited(original, Round::Down);
        let end = half.store.sent() + usize::from(half.fin_sent);
        half.space.seq_of(edited.min(end)).get()
    }

    /// Believes the MTU that the error names, if any: what the guard sends in `direction` by itself
    /// fits from now on. The sender repeats what was in the way, but for octets that it believes to
    /// have arrived: those leave again at once.
    fn narrow(
        &mut self,
        direction: Direction,
        at: Offset,
        quote: &Quote,
        context: &mut Context<'_>,
    ) {
        let Some(mtu) = quote.mtu else { return };
        let least =
            if self.connection.client.is_ipv6() { PATH_MTU_MIN_IPV6 } else { PATH_MTU_MIN_IPV4 };
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).max(least);
        self.forget_old_paths(context.now);
        // Whatever length the error quotes, no segment was longer.
        let most = usize::from(self.segment_size(direction, 0));
        let path = &mut self.path_mtu.0[direction];
        // One that names more than is believed says nothing of the narrower link.
        if path.is_none_or(|path| mtu <= path.mtu) {
            *path = Some(PathMtu { mtu, until: context.now + PATH_MTU_LIFE });
        }
        let (_, end, _) = self.halves[direction].ledge();
        let span = Span { start: at, end: end.min(at + quote.len.min(most)) };
        if !span.is_empty() {
            context.counters.happened(Event::Repaired);
            self.send_again(direction, span, context);
        }
    }

    /// Gives wider packets a try once no error has named an MTU for long.
    pub(super) fn forget_old_paths(&mut self, now: Instant) {
        if self.path_mtu.is_blank() {
            return;
        }
        let PathMtus(paths) = &mut *self.path_mtu;
        for path in [&mut paths.to_server, &mut paths.to_client] {
            path.take_if(|path| path.until <= now);
        }
        if paths.to_server.is_none() && paths.to_client.is_none() {
            self.path_mtu.clear();
        }
    }

    /// Octets of payload that fit the path in `direction`, beside `options` octets of TCP options.
    pub(super) fn path_room(&self, direction: Direction, options: usize) -> u16 {
        let headers = if self.connection.client.is_ipv6() { 40 + 20 } else { 20 + 20 };
        let mtu = self.path_mtu.0[direction].map_or(u16::MAX, |path| path.mtu);
        mtu.saturating_sub(headers + (options as u16).min(40)).max(1)
    }
}
