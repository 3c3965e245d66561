//! Packets of the session as an attacker beside the wire would have them: decoys before them, fragments
//! that contradict each other, packets of a connection of before; or the packets themselves, dressed up.

use fastrand::Rng;
use mailguard::counters::DropReason;
use mailguard::direction::Leg;

use crate::decoys::{self, View};
use crate::packet::{self, Packet, SYN};

/// More datagrams of one sender may not wait at a time.
const MOST_OVERLAPS: u32 = 30;

/// What an attacker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    None,
    /// Decoys come before packets.
    Decoys,
    /// And packets are dressed up with what must be taken from them again.
    Everything,
}

/// One attacker.
#[derive(Debug)]
pub(crate) struct Attacker {
    rng: Rng,
    dresses: bool,
    overlaps: u32,
    /// Packets of an earlier connection between the same ends.
    pub(crate) past: Vec<(Leg, Vec<u8>)>,
}

/// What comes before a packet of the session: the guard must drop as many of the packets as are to be,
/// and emit nothing for any.
#[derive(Debug)]
pub(crate) struct Decoy {
    pub(crate) leg: Leg,
    pub(crate) packets: Vec<Vec<u8>>,
    pub(crate) reason: Option<DropReason>,
}

impl Attacker {
    pub(crate) fn new(attack: Attack, seed: u64) -> Option<Self> {
        (attack != Attack::None).then(|| Self {
            rng: Rng::with_seed(seed ^ 0xdec0),
            dresses: attack == Attack::Everything,
            overlaps: 0,
            past: Vec::new(),
        })
    }

    /// Draws what to do about `bytes`, and may dress them up.
    pub(crate) fn attack(
        &mut self,
        leg: Leg,
        bytes: &mut Vec<u8>,
        view: impl FnOnce(&Packet<'_>) -> View,
    ) -> Option<Decoy> {
        if self.rng.u8(..3) > 0 {
            return None;
        }
        if self.rng.u8(..3) == 0 {
            if self.dresses {
                decoys::dress_up(&mut self.rng, bytes);
            }
            return None;
        }
        if !self.past.is_empty() && self.rng.bool() {
            let (leg, packet) = self.past[self.rng.usize(..self.past.len())].clone();
            return Some(Decoy { leg, packets: vec![packet], reason: None });
        }
        if self.overlaps < MOST_OVERLAPS && self.rng.u8(..6) == 0 {
            let packets = self.contradiction(bytes)?;
            self.overlaps += 1;
            return Some(Decoy { leg, packets, reason: Some(DropReason::FragmentOverlap) });
        }
        let read = Packet::read(bytes).ok()?;
        let (packet, reason) = decoys::decoy(&mut self.rng, bytes, view(&read))?;
        Some(Decoy { leg, packets: vec![packet], reason: Some(reason) })
    }

    /// The packet in fragments of which two share octets, and differ there (RFC 5722).
    fn contradiction(&mut self, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let read = Packet::read(bytes).ok().filter(|read| read.complete && !read.has(SYN))?;
        let mut other = bytes[..read.payload_at].to_vec();
        other.extend(b"EXPN root\r\n".iter().cycle().take(read.payload.len().max(40)));
        packet::finish(&mut other, false);
        packet::overlapping(&other, &mut self.rng)
    }
}
