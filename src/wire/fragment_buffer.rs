//! Datagrams in progress: fragments wait here until the last one has come, and then leave as one.
//!
//! Fragments that overlap, even with the same octets, end their datagram (RFC 5722), for receivers
//! differ on which of them counts. Honest senders never make any.

use core::net::IpAddr;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::fragment::{DatagramId, Fragment, seal};
use super::packet::source_of;
use crate::counters::{Counters, DropReason, Event};
use crate::direction::Leg;
use crate::limits::{
    FRAGMENT_OCTETS_MAX, FRAGMENT_OCTETS_PER_SOURCE_MAX, FRAGMENT_TIMEOUT,
    FRAGMENTED_DATAGRAMS_MAX, FRAGMENTED_PER_SOURCE_MAX, PACKET_OCTETS_MAX,
};
use crate::time::Instant;

/// The leg that it came by, and its VLAN.
type Wire = (Leg, u32);

type Key = (Wire, DatagramId);

const NOT_ECT: u8 = 0;
const CE: u8 = 3;

#[derive(Debug, Default)]
struct Datagram {
    /// The headers, once the first fragment has come.
    head: Option<Vec<u8>>,
    /// The fragmentable part, as far as it goes; what has not come is zero.
    octets: Vec<u8>,
    /// What has come: start and end, apart from each other, sorted.
    pieces: Vec<(usize, usize)>,
    /// Where it ends, once the last fragment has come.
    end: Option<usize>,
    /// A bit for each of the four ECN values.
    ecn: u8,
    /// Fragments that wait.
    fragments: u32,
    /// Whatever still comes of it is refused.
    is_spoilt: bool,
    until: Instant,
}

/// What is in progress of one sender.
#[derive(Debug, Default, Clone, Copy)]
struct Share {
    datagrams: usize,
    octets: usize,
}

/// The datagrams in progress.
#[derive(Debug, Default)]
pub struct FragmentBuffer {
    datagrams: BTreeMap<Key, Datagram>,
    due: BTreeSet<(Instant, Key)>,
    shares: BTreeMap<(Wire, IpAddr), Share>,
    octets: usize,
}

/// Whose share a datagram is counted in.
fn share_of(key: &Key) -> (Wire, IpAddr) {
    (key.0, source_of(key.1.source))
}

impl Datagram {
    /// Makes room for the span among the pieces. False when it overlaps any.
    fn insert(&mut self, start: usize, end: usize) -> bool {
        let at = self.pieces.partition_point(|piece| piece.1 <= start);
        if self.pieces.get(at).is_some_and(|next| next.0 < end) {
            return false;
        }
        let touches_next = self.pieces.get(at).is_some_and(|next| next.0 == end);
        let before =
            at.checked_sub(1).filter(|&i| self.pieces.get(i).is_some_and(|p| p.1 == start));
        match before {
            Some(before) => {
                let end = if touches_next { self.pieces.remove(at).1 } else { end };
                self.pieces[before].1 = end;
            }
            None if touches_next => self.pieces[at].0 = start,
            None => self.pieces.insert(at, (start, end)),
        }
        true
    }

    /// Takes a fragment for which there is room.
    fn take(&mut self, fragment: &Fragment<'_>) -> Result<(), DropReason> {
        let (start, end) = (fragment.start, fragment.start + fragment.piece.len());
        let reached = self.octets.len();
        let is_beyond = self.end.is_some_and(|last| end > last || (!fragment.more && end != last));
        if is_beyond || (!fragment.more && end < reached) {
            return Err(DropReason::FragmentMalformed);
        }
        if !self.insert(start, end) {
            return Err(DropReason::FragmentOverlap);
        }
        self.octets.resize(reached.max(end), 0);
        self.octets[start..end].copy_from_slice(fragment.piece);
        if !fragment.more {
            self.end = Some(end);
        }
        if start == 0 {
            self.head = Some(fragment.whole_head());
        }
        self.ecn |= 1 << fragment.ecn;
        self.fragments += 1;
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.head.is_some() && self.end.is_some_and(|end| self.pieces[..] == [(0, end)])
    }

    /// The whole packet.
    fn rebuild(self) -> Result<Vec<u8>, DropReason> {
        let mut packet = self.head.unwrap_or_default();
        let header_len = packet.len();
        packet.extend_from_slice(&self.octets);
        let has = |value: u8| self.ecn & 1 << value != 0;
        if packet.len() > PACKET_OCTETS_MAX || (has(CE) && has(NOT_ECT)) {
            return Err(DropReason::FragmentMalformed);
        }
        // A mark on any of them is a mark on the whole (RFC 3168 section 5.3).
        let ecn = if has(CE) { CE } else { self.ecn.trailing_zeros() as u8 & 3 };
        seal(&mut packet, header_len, ecn);
        Ok(packet)
    }
}

impl FragmentBuffer {
    /// Takes a fragment that came in on `wire`, a leg and a VLAN; returns the whole packet when it was the last one
    /// missing. What is dropped is counted.
    pub fn take(
        &mut self,
        now: Instant,
        wire: Wire,
        fragment: &Fragment<'_>,
        counters: &mut Counters,
    ) -> Option<Vec<u8>> {
        self.expire(now, counters);
        if fragment.is_atomic() {
            return whole(fragment);
        }
        let key = (wire, fragment.id);
        if let Err(reason) = self.make_room(now, key, fragment) {
            counters.dropped(reason);
            return None;
        }
        let datagram = self.datagrams.get_mut(&key)?;
        let before = datagram.octets.len();
        if let Err(reason) = datagram.take(fragment) {
            for _ in 0..=datagram.fragments {
                counters.dropped(reason);
            }
            let (until, spoilt) = (datagram.until, before);
            *datagram = Datagram { is_spoilt: true, until, ..Datagram::default() };
            self.account(key, 0, spoilt);
            return None;
        }
        let (after, is_whole) = (datagram.octets.len(), datagram.is_whole());
        self.account(key, after, before);
        if !is_whole {
            return None;
        }
        let datagram = self.remove(&key)?;
        let fragments = datagram.fragments;
        match datagram.rebuild() {
            Ok(packet) => {
                counters.happened(Event::DatagramRebuilt);
                Some(packet)
            }
            Err(reason) => {
                (0..fragments).for_each(|_| counters.dropped(reason));
                None
            }
        }
    }

    /// When [`FragmentBuffer::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Drops what has waited for too long.
    pub fn expire(&mut self, now: Instant, counters: &mut Counters) {
        while let Some(&(_, key)) = self.due.first().filter(|(at, _)| *at <= now) {
            let fragments = self.remove(&key).map_or(0, |datagram| datagram.fragments);
            (0..fragments).for_each(|_| counters.dropped(DropReason::FragmentTimeout));
        }
    }

    /// Sees to it that there is a datagram to take the fragment, within the limits.
    fn make_room(
        &mut self,
        now: Instant,
        key: Key,
        fragment: &Fragment<'_>,
    ) -> Result<(), DropReason> {
        let share = self.shares.get(&share_of(&key)).copied().unwrap_or_default();
        let end = fragment.start + fragment.piece.len();
        let reached = match self.datagrams.get(&key) {
            Some(datagram) if datagram.is_spoilt => return Err(DropReason::FragmentOverlap),
            Some(datagram) => datagram.octets.len(),
            None if share.datagrams >= FRAGMENTED_PER_SOURCE_MAX
                || self.datagrams.len() >= FRAGMENTED_DATAGRAMS_MAX =>
            {
                return Err(DropReason::FragmentLimit);
            }
            None => 0,
        };
        let more = end.saturating_sub(reached);
        if share.octets + more > FRAGMENT_OCTETS_PER_SOURCE_MAX
            || self.octets + more > FRAGMENT_OCTETS_MAX
        {
            return Err(DropReason::FragmentLimit);
        }
        if let Entry::Vacant(vacant) = self.datagrams.entry(key) {
            let until = now + FRAGMENT_TIMEOUT;
            vacant.insert(Datagram { until, ..Datagram::default() });
            self.due.insert((until, key));
            self.shares.entry(share_of(&key)).or_default().datagrams += 1;
        }
        Ok(())
    }

    /// A datagram that had `before` octets has `after` now.
    fn account(&mut self, key: Key, after: usize, before: usize) {
        self.octets = (self.octets + after).saturating_sub(before);
        if let Some(share) = self.shares.get_mut(&share_of(&key)) {
            share.octets = (share.octets + after).saturating_sub(before);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.due.remove(&(datagram.until, *key));
        self.account(*key, 0, datagram.octets.len());
        let source = share_of(key);
        if let Some(share) = self.shares.get_mut(&source) {
            share.datagrams -= 1;
            if share.datagrams == 0 {
                self.shares.remove(&source);
            }
        }
        Some(datagram)
    }
}

/// An atomic fragment is a packet of its own, whatever else has its number (RFC 6946 section 4).
fn whole(fragment: &Fragment<'_>) -> Option<Vec<u8>> {
    let mut packet = fragment.whole_head();
    let header_len = packet.len();
    packet.extend_from_slice(fragment.piece);
    seal(&mut packet, header_len, fragment.ecn);
    Some(packet)
}
