//! The link-layer header in front of an IP packet: kept as it is, so that what is minted can go the same way.
//!
//! Ethernet II with up to two VLAN tags (IEEE 802.3 section 3.2.6, IEEE 802.1Q section 9.6, 802.1ad). A TUN
//! device has none: [`Link::NONE`].

use crate::direction::Leg;
use crate::wire::offload::Offload;

/// Two addresses and the EtherType.
pub const ETHERNET_LEN: usize = 14;

/// A tag: TPID and TCI.
pub const TAG_LEN: usize = 4;

/// The longest header that is understood: two tags.
pub const LINK_LEN_MAX: usize = ETHERNET_LEN + 2 * TAG_LEN;

/// Where the first tag, or the EtherType, stands.
const TYPE_AT: usize = 12;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const C_TAG: u16 = 0x8100;
const S_TAG: u16 = 0x88a8;

/// The link-layer header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    len: u8,
    octets: [u8; LINK_LEN_MAX],
}

impl Default for Link {
    fn default() -> Self {
        Self::NONE
    }
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

impl Link {
    /// No header: the packet comes from a device without a link layer.
    pub const NONE: Self = Self { len: 0, octets: [0; LINK_LEN_MAX] };

    /// The header at the start of `frame`, if an IP packet comes behind it. Nothing for all else: ARP, a
    /// length in place of the EtherType, a third tag.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut at = TYPE_AT;
        while matches!(u16_at(frame, at)?, C_TAG | S_TAG) {
            at += TAG_LEN;
        }
        let len = at + 2;
        let is_ip = matches!(u16_at(frame, at)?, IPV4 | IPV6);
        (is_ip && len <= LINK_LEN_MAX).then(|| Self::copy(&frame[..len]))
    }

    /// These octets, as many of them as a header may have.
    pub fn copy(header: &[u8]) -> Self {
        let len = header.len().min(LINK_LEN_MAX);
        let mut octets = [0; LINK_LEN_MAX];
        octets[..len].copy_from_slice(&header[..len]);
        Self { len: len as u8, octets }
    }

    /// Its octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// The header of the opposite way: the addresses change places.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut back = *self;
        if !self.octets().is_empty() {
            back.octets[..6].copy_from_slice(&self.octets[6..12]);
            back.octets[6..12].copy_from_slice(&self.octets[..6]);
        }
        back
    }

    /// A number for the VLAN: the same addresses in two of them are two connections. Priority bits do not
    /// count, and neither does the kind of tag.
    pub fn segment(&self) -> u32 {
        let tag = |at: usize| {
            let is_there = usize::from(self.len) >= at + TAG_LEN + 2;
            let id = u16_at(&self.octets, at + 2).filter(|_| is_there);
            // VLAN 0 is a priority alone, and so is the same as no tag.
            u32::from(id.unwrap_or(0) & 0x0fff)
        };
        tag(TYPE_AT) << 12 | tag(TYPE_AT + TAG_LEN)
    }
}

/// How a packet came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// By which leg.
    pub leg: Leg,
    /// What the kernel left undone in it.
    pub offload: Offload,
    /// The link-layer header in front of it.
    pub link: Link,
}

impl Arrival {
    /// One from a device without a link layer.
    pub fn new(leg: Leg, offload: Offload) -> Self {
        Self { leg, offload, link: Link::NONE }
    }
}

/// The link-layer headers of a connection, by the leg that a packet leaves by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    outside: Link,
    inside: Link,
}

impl Links {
    /// Those that one packet tells: its own header for what goes on as it does, and the opposite way for answers.
    pub fn of(arrival: &Arrival) -> Self {
        let mut links = Self::default();
        links.set(!arrival.leg, arrival.link);
        links.set(arrival.leg, arrival.link.reversed());
        links
    }

    /// The header of what leaves by `leg`.
    pub fn by(&self, leg: Leg) -> Link {
        match leg {
            Leg::Outside => self.outside,
            Leg::Inside => self.inside,
        }
    }

    /// What leaves by `leg` has this header from now on.
    pub fn set(&mut self, leg: Leg, link: Link) {
        match leg {
            Leg::Outside => self.outside = link,
            Leg::Inside => self.inside = link,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    fn frame(types: &[u8]) -> Vec<u8> {
        [&ADDRESSES[..], types, b"E rest"].concat()
    }

    #[test]
    fn a_header_is_what_is_before_an_ip_packet() {
        for (types, segment) in [
            (&[8, 0][..], 0),
            (&[0x86, 0xdd], 0),
            (&[0x81, 0, 0xe0, 5, 8, 0], 5 << 12),
            (&[0x88, 0xa8, 0, 7, 0x81, 0, 0x10, 5, 0x86, 0xdd], 7 << 12 | 5),
        ] {
            let frame = frame(types);
            let link = Link::parse(&frame).expect("a header");
            assert_eq!(link.octets(), &frame[..12 + types.len()]);
            assert_eq!(link.segment(), segment);
            assert_eq!(link.reversed().octets()[..6], ADDRESSES[6..]);
            assert_eq!(link.reversed().octets()[6..12], ADDRESSES[..6]);
            assert_eq!(link.reversed().reversed(), link);
        }
    }

    #[test]
    fn all_else_has_none() {
        let three = [0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0];
        for types in [&[8, 6][..], &[0, 46], &[0x88, 0x47], &[0x81, 0, 0, 1, 8, 6], &three] {
            assert_eq!(Link::parse(&frame(types)), None, "{types:?}");
        }
        let whole = frame(&[0x81, 0, 0, 1, 8, 0]);
        for len in 0..18 {
            assert_eq!(Link::parse(&whole[..len]), None);
        }
        assert_eq!(Link::NONE.reversed(), Link::NONE);
        assert_eq!(Link::NONE.segment(), 0);
    }
}
