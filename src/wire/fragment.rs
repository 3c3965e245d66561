//! One IP fragment, read where it lies (RFC 791 section 3.2, RFC 8200 section 4.5).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum;
use crate::counters::DropReason;
use crate::limits::PACKET_OCTETS_MAX;

const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

const FRAGMENT_HEADER_LEN: usize = 8;

/// What the fragments of one datagram have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatagramId {
    /// Who sent it.
    pub source: IpAddr,
    /// Who is to have it.
    pub destination: IpAddr,
    /// The IPv4 protocol; 0 for IPv6, where the first fragment alone decides.
    pub protocol: u8,
    /// The sender's number for it.
    pub identification: u32,
}

/// A fragment: what is before the fragmentable part, and which piece of that part it carries.
#[derive(Debug, Clone, Copy)]
pub struct Fragment<'a> {
    /// Which datagram it belongs to.
    pub id: DatagramId,
    /// Where its piece starts in the fragmentable part.
    pub start: usize,
    /// Whether more pieces follow.
    pub more: bool,
    /// The ECN bits (RFC 3168 section 5.3).
    pub ecn: u8,
    /// The headers before the fragmentable part, without the fragment header.
    pub head: &'a [u8],
    /// Where in `head` the number of the first header of the fragmentable part stands.
    next_header_at: usize,
    /// That number.
    next_header: u8,
    /// The piece.
    pub piece: &'a [u8],
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

impl<'a> Fragment<'a> {
    /// Reads a fragment. Nothing when `packet` is a whole one, or none that can be read: then
    /// somebody else says what is wrong with it. The error says why no datagram can contain it.
    pub fn read(packet: &'a [u8]) -> Result<Option<Self>, DropReason> {
        let read = match packet.first().map(|first| first >> 4) {
            Some(4) => Self::read_v4(packet)?,
            Some(6) => Self::read_v6(packet),
            _ => None,
        };
        let Some(fragment) = read else {
            return Ok(None);
        };
        let len = fragment.piece.len();
        let end = fragment.head.len() + fragment.start + len;
        let is_cut_wrong = fragment.more && len % 8 != 0;
        if is_cut_wrong || len == 0 || end > PACKET_OCTETS_MAX || !fragment.has_its_headers() {
            return Err(DropReason::FragmentMalformed);
        }
        Ok(Some(fragment))
    }

    fn read_v4(packet: &'a [u8]) -> Result<Option<Self>, DropReason> {
        let read = || {
            let header_len = usize::from(packet.first()? & 0xf) * 4;
            let end = usize::from(u16_at(packet, 2)?);
            let head = packet.get(..header_len).filter(|head| head.len() >= 20)?;
            Some((head, packet.get(header_len..end)?))
        };
        let Some((head, piece)) = read() else {
            return Ok(None);
        };
        let field = u16_at(head, 6).unwrap_or_default();
        let (more, start) = (field & 0x2000 != 0, usize::from(field & 0x1fff) * 8);
        if !more && start == 0 {
            return Ok(None);
        }
        if !checksum::ipv4_header_is_right(head) {
            return Err(DropReason::BadChecksum);
        }
        if field & 0xc000 != 0 {
            // Reserved, or one that must not be cut and was.
            return Err(DropReason::FragmentMalformed);
        }
        let address = |at: usize| -> IpAddr {
            let octets = head.get(at..at + 4).and_then(|octets| <[u8; 4]>::try_from(octets).ok());
            Ipv4Addr::from(octets.unwrap_or_default()).into()
        };
        let protocol = head.get(9).copied().unwrap_or_default();
        Ok(Some(Self {
            id: DatagramId {
                source: address(12),
                destination: address(16),
                protocol,
                identification: u16_at(head, 4).unwrap_or_default().into(),
            },
            start,
            more,
            ecn: head.get(1).copied().unwrap_or_default() & 3,
            head,
            next_header_at: 9,
            next_header: protocol,
            piece,
        }))
    }

    fn read_v6(packet: &'a [u8]) -> Option<Self> {
        let end = 40 + usize::from(u16_at(packet, 4)?);
        let packet = packet.get(..end)?;
        let (mut next_header, mut next_header_at, mut at) = (*packet.get(6)?, 6, 40);
        while matches!(next_header, HOP_BY_HOP | ROUTING | DESTINATION) {
            next_header = *packet.get(at)?;
            next_header_at = at;
            at += 8 + usize::from(*packet.get(at + 1)?) * 8;
        }
        let header = packet.get(at..at + FRAGMENT_HEADER_LEN)?;
        if next_header != FRAGMENT {
            return None;
        }
        let field = u16_at(header, 2)?;
        let address = |at: usize| -> Option<IpAddr> {
            let octets = <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?;
            Some(Ipv6Addr::from(octets).into())
        };
        let identification = header.get(4..8)?.try_into().ok().map(u32::from_be_bytes)?;
        Some(Self {
            id: DatagramId {
                source: address(8)?,
                destination: address(24)?,
                protocol: 0,
                identification,
            },
            start: usize::from(field & !7),
            more: field & 1 != 0,
            ecn: packet.get(1)? >> 4 & 3,
            head: packet.get(..at)?,
            next_header_at,
            next_header: *header.first()?,
            piece: packet.get(at + FRAGMENT_HEADER_LEN..)?,
        })
    }

    /// Whether its datagram may carry TCP, by what its headers say.
    pub const fn may_be_tcp(&self) -> bool {
        matches!(
            self.next_header,
            TCP | HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION
        )
    }

    /// Whether it is a whole packet with a fragment header (RFC 6946).
    pub const fn is_atomic(&self) -> bool {
        self.start == 0 && !self.more
    }

    /// A first IPv6 fragment has every header up to the end of TCP's (RFC 7112 section 5).
    fn has_its_headers(&self) -> bool {
        if self.start > 0 || self.id.source.is_ipv4() {
            return true;
        }
        let (mut next_header, mut at) = (self.next_header, 0);
        loop {
            let len = self.piece.get(at + 1).map(|len| usize::from(*len));
            let len = match (next_header, len) {
                (HOP_BY_HOP | ROUTING | DESTINATION, Some(len)) => 8 + len * 8,
                (AUTHENTICATION, Some(len)) => 8 + len * 4,
                (TCP, _) => {
                    let offset = self.piece.get(at + 12).map(|octet| usize::from(octet >> 4) * 4);
                    return offset.is_some_and(|len| at + len.max(20) <= self.piece.len());
                }
                // A fragment header in a fragment has no sense but to hide.
                (FRAGMENT, _) | (HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION, None) => {
                    return false;
                }
                _ => return at < self.piece.len(),
            };
            let Some(next) = self.piece.get(at) else {
                return false;
            };
            next_header = *next;
            at += len;
        }
    }

    /// Its head, made that of the whole datagram; lengths and checksum are still to be set.
    pub(super) fn whole_head(&self) -> Vec<u8> {
        let mut head = self.head.to_vec();
        if self.id.source.is_ipv4() {
            head[6..8].fill(0);
        }
        if let Some(field) = head.get_mut(self.next_header_at) {
            *field = self.next_header;
        }
        head
    }
}

/// Gives a rebuilt packet its length, its ECN bits and its IPv4 header checksum.
pub(super) fn seal(packet: &mut [u8], header_len: usize, ecn: u8) {
    let len = packet.len();
    match packet {
        [first, tos, rest @ ..] if *first >> 4 == 4 => {
            *tos = *tos & !3 | ecn;
            if let Some(field) = rest.get_mut(..2) {
                field.copy_from_slice(&(len as u16).to_be_bytes());
            }
            if let Some(field) = rest.get_mut(8..10) {
                field.fill(0);
            }
            let sum = checksum::ipv4_header(packet.get(..header_len).unwrap_or_default());
            if let Some(field) = packet.get_mut(10..12) {
                field.copy_from_slice(&sum.to_be_bytes());
            }
        }
        [_, class, _, _, high, low, ..] => {
            *class = *class & !0x30 | ecn << 4;
            [*high, *low] = (len.saturating_sub(40) as u16).to_be_bytes();
        }
        _ => {}
    }
}
