//! ICMP errors that quote a TCP segment (RFC 792, RFC 4443): read, renumbered where they lie.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{IpNumber, IpSlice};

use super::checksum;
use super::offload::Offload;
use crate::counters::DropReason;

const HEADER_LEN: usize = 8;
const TCP: u8 = 6;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;

/// Where a TCP header has its checksum (RFC 9293 section 3.1).
const CHECKSUM_AT: usize = 16;

/// An ICMP message, and where it lies in its packet.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    source: IpAddr,
    destination: IpAddr,
    start: usize,
    /// Where the packet ends: octets behind the IP length are not part of it.
    pub end: usize,
    /// The TCP segment that it quotes.
    pub quote: Option<Quote>,
}

/// What an ICMP error says about a TCP segment. Only eight octets of TCP are sure to be there.
#[derive(Debug, Clone, Copy)]
pub struct Quote {
    /// Who sent the segment.
    pub source: SocketAddr,
    /// Who was to have it.
    pub destination: SocketAddr,
    /// Its sequence number.
    pub seq: u32,
    /// Its acknowledgement number, when it is quoted.
    pub ack: Option<u32>,
    /// Octets behind its IP header.
    pub len: usize,
    /// The message is one that a TCP reads: unreachable, too big, time exceeded, parameter problem.
    pub is_error: bool,
    /// The MTU of a link that the segment did not fit (RFC 1191 section 4, RFC 8201 section 4).
    pub mtu: Option<u32>,
    /// Where the quoted TCP header starts.
    tcp_start: usize,
}

fn u8_at(octets: &[u8], at: usize) -> Option<u8> {
    octets.get(at).copied()
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn put<const N: usize>(octets: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = octets.get_mut(at..at + N) {
        field.copy_from_slice(&value);
    }
}

/// The IP header of a quoted packet.
struct QuotedIp {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    header_len: usize,
    len: usize,
    /// It is not the first fragment: there are no ports in it.
    has_no_ports: bool,
}

impl QuotedIp {
    fn read(quoted: &[u8]) -> Option<Self> {
        match u8_at(quoted, 0)? >> 4 {
            4 => Self::read_v4(quoted),
            6 => Self::read_v6(quoted),
            _ => None,
        }
    }

    fn read_v4(quoted: &[u8]) -> Option<Self> {
        let header_len = usize::from(u8_at(quoted, 0)? & 0xf) * 4;
        (header_len >= 20).then_some(Self {
            source: Ipv4Addr::from_bits(u32_at(quoted, 12)?).into(),
            destination: Ipv4Addr::from_bits(u32_at(quoted, 16)?).into(),
            protocol: u8_at(quoted, 9)?,
            header_len,
            len: usize::from(u16_at(quoted, 2)?).saturating_sub(header_len),
            has_no_ports: u16_at(quoted, 6)? & 0x1fff != 0,
        })
    }

    fn read_v6(quoted: &[u8]) -> Option<Self> {
        let address = |at: usize| -> Option<IpAddr> {
            let octets = <[u8; 16]>::try_from(quoted.get(at..at + 16)?).ok()?;
            Some(Ipv6Addr::from(octets).into())
        };
        let (source, destination) = (address(8)?, address(24)?);
        let (mut protocol, mut at, mut has_no_ports) = (u8_at(quoted, 6)?, 40, false);
        while matches!(protocol, 0 | 43 | FRAGMENT | AUTHENTICATION | 60) {
            let len = usize::from(u8_at(quoted, at + 1)?);
            let (next, this) = (u8_at(quoted, at)?, protocol);
            at += match this {
                FRAGMENT => {
                    has_no_ports |= u16_at(quoted, at + 2)? & !7 != 0;
                    8
                }
                AUTHENTICATION => 8 + len * 4,
                _ => 8 + len * 8,
            };
            protocol = next;
            if has_no_ports {
                break;
            }
        }
        let len = usize::from(u16_at(quoted, 4)?).saturating_sub(at - 40);
        Some(Self { source, destination, protocol, header_len: at, len, has_no_ports })
    }
}

/// Writes other numbers into what is quoted of a TCP segment.
fn renumber_segment(segment: &mut [u8], seq: u32, ack: Option<u32>) {
    let mut checksum = u16_at(segment, CHECKSUM_AT);
    for (at, number) in [(4, Some(seq)), (8, ack)] {
        let (Some(old), Some(new)) = (u32_at(segment, at), number) else { continue };
        put(segment, at, new.to_be_bytes());
        checksum = checksum.map(|sum| checksum::adjusted(sum, old, new));
    }
    if let Some(checksum) = checksum {
        put(segment, CHECKSUM_AT, checksum.to_be_bytes());
    }
}

impl Message {
    /// Reads an ICMP packet. The error says why it is none, or none worth judging.
    pub fn read(packet: &[u8]) -> Result<Self, DropReason> {
        let ip = IpSlice::from_slice(packet).map_err(|_| DropReason::Malformed)?;
        let payload = ip.payload();
        let (protocol, start) = match &ip {
            IpSlice::Ipv4(v4) => {
                if !checksum::ipv4_header_is_right(v4.header().slice()) {
                    return Err(DropReason::BadChecksum);
                }
                let extensions = v4.extensions().auth.as_ref().map_or(0, |a| a.slice().len());
                (IpNumber::ICMP, v4.header().slice().len() + extensions)
            }
            IpSlice::Ipv6(v6) => (IpNumber::IPV6_ICMP, 40 + v6.extensions().slice().len()),
        };
        if ip.is_fragmenting_payload() {
            return Err(DropReason::Fragment);
        }
        if payload.ip_number != protocol {
            return Err(DropReason::NotTcp);
        }
        let (source, destination) = (ip.source_addr(), ip.destination_addr());
        let end = start + payload.payload.len();
        let mut message = Self { source, destination, start, end, quote: None };
        message.quote = message.read_quote(payload.payload)?;
        Ok(message)
    }

    fn read_quote(&self, message: &[u8]) -> Result<Option<Quote>, DropReason> {
        let (Some(kind), Some(code), Some(word)) =
            (u8_at(message, 0), u8_at(message, 1), u32_at(message, 4))
        else {
            return Err(DropReason::Malformed);
        };
        // Redirect and source quench quote as well, but no TCP reads them.
        let (quotes, is_error, is_too_big) = if self.source.is_ipv4() {
            let is_error = matches!(kind, 3 | 11 | 12);
            (is_error || matches!(kind, 4 | 5), is_error, (kind, code) == (3, 4))
        } else {
            (matches!(kind, 1..=4), true, kind == 2)
        };
        if !quotes {
            return Ok(None);
        }
        let quoted = message.get(HEADER_LEN..).unwrap_or_default();
        let ip = QuotedIp::read(quoted).ok_or(DropReason::Malformed)?;
        if ip.source.is_ipv4() != self.source.is_ipv4() {
            return Err(DropReason::Malformed);
        }
        if ip.has_no_ports {
            return Err(DropReason::IcmpNotInFlow);
        }
        if ip.protocol != TCP {
            return Ok(None);
        }
        let tcp = quoted.get(ip.header_len..).unwrap_or_default();
        let (Some(source), Some(destination), Some(seq)) =
            (u16_at(tcp, 0), u16_at(tcp, 2), u32_at(tcp, 4))
        else {
            return Err(DropReason::Malformed);
        };
        if ip.source != self.destination {
            // Who did not send the segment has no use for the error.
            return Err(DropReason::IcmpNotInFlow);
        }
        // An old router says no MTU (RFC 1191 section 5).
        let mtu = match word {
            mtu if self.source.is_ipv4() => mtu & 0xffff,
            mtu => mtu,
        };
        Ok(Some(Quote {
            source: SocketAddr::new(ip.source, source),
            destination: SocketAddr::new(ip.destination, destination),
            seq,
            ack: u32_at(tcp, 8),
            len: ip.len,
            is_error,
            mtu: Some(mtu).filter(|mtu| is_too_big && *mtu != 0),
            tcp_start: self.start + HEADER_LEN + ip.header_len,
        }))
    }

    /// Whether the checksum is right, or was left to us to finish by a host of this machine.
    pub fn checksum_is_right(&self, packet: &[u8], offload: Offload) -> bool {
        offload.partial_checksum
            || offload.checksum_valid
            || packet
                .get(self.start..self.end)
                .is_some_and(|octets| checksum::icmp(self.source, self.destination, octets) == 0)
    }

    /// Writes other numbers into the quoted segment; the checksum of the message is then right. That
    /// of the quoted segment, if it is quoted, follows the two numbers and is as right as it was: the
    /// octets behind them stay those that left, and are rarely all there.
    pub fn renumber(&self, packet: &mut [u8], seq: u32, ack: Option<u32>) {
        if let (Some(quote), Some(message)) = (self.quote, packet.get_mut(..self.end)) {
            renumber_segment(message.get_mut(quote.tcp_start..).unwrap_or_default(), seq, ack);
        }
        self.seal(packet);
    }

    /// Makes the checksum right.
    pub fn seal(&self, packet: &mut [u8]) {
        let Some(message) = packet.get_mut(self.start..self.end) else {
            return;
        };
        if let Some(field) = message.get_mut(2..4) {
            field.fill(0);
        }
        let sum = checksum::icmp(self.source, self.destination, message);
        if let Some(field) = message.get_mut(2..4) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }
}
