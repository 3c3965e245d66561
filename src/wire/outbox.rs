//! Where a call leaves the packets that it caused.

use core::ops::Range;

use super::link::{Link, Links};
use super::offload::{Offload, VNET_HEADER_LEN};
use crate::direction::Leg;

/// A packet on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure<'a> {
    /// The leg that it leaves by.
    pub leg: Leg,
    /// What is left to do for it.
    pub offload: Offload,
    /// The same as a virtio header, for a device that wants one.
    pub vnet_header: [u8; VNET_HEADER_LEN],
    /// The link-layer header to put in front.
    pub link: Link,
    /// The IP packet.
    pub packet: &'a [u8],
}

#[derive(Debug)]
enum Place {
    /// The packet that was handed in, patched where it lies, up to this length.
    Input(usize),
    /// Built by the engine.
    Arena(Range<usize>),
}

#[derive(Debug)]
struct Entry {
    leg: Leg,
    offload: Offload,
    vnet_header: [u8; VNET_HEADER_LEN],
    link: Link,
    place: Place,
}

/// The packets that one call caused, in order. It is reused, so that it need not allocate.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    links: Links,
}

impl Outbox {
    /// What leaves from now on has these link-layer headers.
    pub(crate) fn travel(&mut self, links: Links) {
        self.links = links;
    }

    /// Forgets what the last call left.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }

    /// Takes back all but the first `len` packets.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
        let end = self.entries.iter().rev().find_map(|entry| match &entry.place {
            Place::Arena(range) => Some(range.end),
            Place::Input(_) => None,
        });
        self.arena.truncate(end.unwrap_or(0));
    }

    /// Whether nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many packets leave.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What leaves; `input` is the packet that was handed in (empty for a deadline).
    pub fn departures<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = Departure<'a>> {
        self.entries.iter().map(move |entry| Departure {
            leg: entry.leg,
            offload: entry.offload,
            vnet_header: entry.vnet_header,
            link: entry.link,
            packet: match &entry.place {
                Place::Input(len) => input.get(..*len).unwrap_or_default(),
                Place::Arena(range) => self.arena.get(range.clone()).unwrap_or_default(),
            },
        })
    }

    /// The packet that was handed in leaves by `leg`, `len` octets of it.
    pub(crate) fn leave_in_place(
        &mut self,
        leg: Leg,
        offload: Offload,
        vnet_header: [u8; VNET_HEADER_LEN],
        len: usize,
    ) {
        let (link, place) = (self.links.by(leg), Place::Input(len));
        self.entries.push(Entry { leg, offload, vnet_header, link, place });
    }

    /// Keeps `input` for those entries from the `first` on that leave in place: it is not the packet
    /// that was handed in, but one that was put together.
    pub(crate) fn keep_input(&mut self, first: usize, input: &[u8]) {
        for entry in self.entries.iter_mut().skip(first) {
            if let Place::Input(len) = entry.place {
                let start = self.arena.len();
                self.arena.extend_from_slice(input.get(..len).unwrap_or_default());
                entry.place = Place::Arena(start..self.arena.len());
            }
        }
    }

    /// A packet of `len` octets leaves by `leg`; returns where to write it.
    pub(crate) fn leave_built(
        &mut self,
        leg: Leg,
        offload: Offload,
        vnet_header: [u8; VNET_HEADER_LEN],
        len: usize,
    ) -> &mut [u8] {
        let start = self.arena.len();
        self.arena.resize(start + len, 0);
        let (link, place) = (self.links.by(leg), Place::Arena(start..start + len));
        self.entries.push(Entry { leg, offload, vnet_header, link, place });
        &mut self.arena[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_in_the_order_in_which_they_were_put() {
        let mut outbox = Outbox::default();
        let header = [0; VNET_HEADER_LEN];
        outbox.leave_built(Leg::Inside, Offload::default(), header, 2).copy_from_slice(b"ab");
        outbox.leave_in_place(Leg::Outside, Offload::default(), header, 3);
        outbox.leave_built(Leg::Inside, Offload::default(), header, 1).copy_from_slice(b"c");
        let seen: Vec<_> = outbox.departures(b"input").map(|d| (d.leg, d.packet)).collect();
        assert_eq!(seen, [(Leg::Inside, &b"ab"[..]), (Leg::Outside, b"inp"), (Leg::Inside, b"c")]);
        outbox.truncate(2);
        outbox.leave_built(Leg::Outside, Offload::default(), header, 1).copy_from_slice(b"d");
        let seen: Vec<_> = outbox.departures(b"input").map(|d| d.packet).collect();
        assert_eq!(seen, [&b"ab"[..], b"inp", b"d"], "what was taken back left nothing behind");
        outbox.clear();
        assert!(outbox.is_empty());
    }
}
