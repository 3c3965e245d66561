//! What no honest packet has, and what hosts read differently: judged from one packet alone, before
//! anything of it counts.
//!
//! Read first: RFC 791 section 3.1, RFC 8200 section 4, RFC 1812 sections 4.2 and 5.3.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::packet::{Headers, flags};
use crate::counters::{Counters, DropReason, Event};
use crate::limits::EXTENSION_HEADERS_MAX;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;

/// Loose and strict source routing (RFC 791 section 3.1).
const SOURCE_ROUTES: [u8; 2] = [131, 137];

/// Refuses what a receiver would refuse, or may.
pub fn judge(headers: &Headers, packet: &[u8]) -> Result<(), DropReason> {
    judge_addresses(headers.source, headers.destination)?;
    if headers.is_ipv6() {
        judge_extensions(headers, packet)?;
    } else {
        judge_ipv4_options(ipv4_options(packet))?;
        if packet.get(9) == Some(&AUTHENTICATION) {
            return Err(DropReason::IpAuthentication);
        }
    }
    if headers.hop_limit <= 1 {
        return Err(DropReason::IpTtlExpired);
    }
    judge_flags(headers)?;
    if headers.options.is_signed {
        return Err(DropReason::Md5);
    }
    if headers.options.joins && headers.has(flags::SYN) {
        return Err(DropReason::MptcpJoin);
    }
    Ok(())
}

/// Blanks what may pass and means nothing. The IPv4 checksum is to be made anew.
pub fn clean(headers: &Headers, packet: &mut [u8], counters: &mut Counters) {
    if headers.reserved != 0 {
        counters.happened(Event::ReservedCleared);
    }
    if headers.is_ipv6() {
        return;
    }
    let header_len = ipv4_header_len(packet);
    let mut is_cleared = false;
    for octet in packet.get_mut(IPV4_HEADER_LEN..header_len).unwrap_or_default() {
        // Behind the end of the list nothing but zeros is allowed: NOP is as good.
        is_cleared |= *octet > 1;
        *octet = 1;
    }
    if let Some(octet) = packet.get_mut(6) {
        is_cleared |= *octet & 0x80 != 0;
        *octet &= 0x7f;
    }
    if is_cleared {
        counters.happened(Event::IpCleared);
    }
}

/// Refuses flag combinations that no end sends and that hosts read differently.
fn judge_flags(headers: &Headers) -> Result<(), DropReason> {
    let nothing = headers.flags & (flags::SYN | flags::RST | flags::ACK) == 0;
    let contradiction = headers.has(flags::SYN) && headers.flags & (flags::FIN | flags::RST) != 0;
    if nothing || contradiction { Err(DropReason::BadFlags) } else { Ok(()) }
}

fn judge_addresses(source: SocketAddr, destination: SocketAddr) -> Result<(), DropReason> {
    let is_martian = |address: IpAddr| match address {
        IpAddr::V4(address) => is_ipv4_martian(address),
        IpAddr::V6(address) => is_ipv6_martian(address),
    };
    if source == destination || is_martian(source.ip()) || is_martian(destination.ip()) {
        return Err(DropReason::IpMartian);
    }
    Ok(())
}

/// RFC 6890: what is never a host's address on a wire.
const fn is_ipv4_martian(address: Ipv4Addr) -> bool {
    let is_this_network = address.octets()[0] == 0;
    is_this_network || address.is_loopback() || address.is_multicast() || address.is_broadcast()
}

fn is_ipv6_martian(address: Ipv6Addr) -> bool {
    let is_mapped = address.to_ipv4_mapped().is_some();
    is_mapped || address.is_unspecified() || address.is_loopback() || address.is_multicast()
}

fn ipv4_header_len(packet: &[u8]) -> usize {
    packet.first().map_or(0, |first| usize::from(first & 0xf) * 4)
}

fn ipv4_options(packet: &[u8]) -> &[u8] {
    packet.get(IPV4_HEADER_LEN..ipv4_header_len(packet)).unwrap_or_default()
}

fn judge_ipv4_options(mut list: &[u8]) -> Result<(), DropReason> {
    while let Some((&kind, rest)) = list.split_first() {
        list = match kind {
            0 => return Ok(()),
            1 => rest,
            _ if SOURCE_ROUTES.contains(&kind) => return Err(DropReason::IpOptions),
            _ => {
                let len = rest.first().copied().map_or(0, usize::from);
                list.get(len..).filter(|_| len >= 2).ok_or(DropReason::IpOptions)?
            }
        };
    }
    Ok(())
}

/// Walks the extension headers up to the TCP header.
fn judge_extensions(headers: &Headers, packet: &[u8]) -> Result<(), DropReason> {
    if packet.get(4..6) == Some(&[0, 0]) {
        // A jumbogram (RFC 2675): no TCP header follows nothing.
        return Err(DropReason::Malformed);
    }
    let mut kind = packet.get(6).copied().unwrap_or_default();
    let mut at = IPV6_HEADER_LEN;
    for _ in 0..=EXTENSION_HEADERS_MAX {
        if at >= headers.tcp_start {
            return Ok(());
        }
        let header = packet.get(at..headers.tcp_start).unwrap_or_default();
        let &[next, len, first, second, ..] = header else {
            return Err(DropReason::Malformed);
        };
        let len = if kind == FRAGMENT { 8 } else { usize::from(len) * 8 + 8 };
        match kind {
            AUTHENTICATION => return Err(DropReason::IpAuthentication),
            ROUTING if first == 0 || second > 0 => return Err(DropReason::IpRoutingHeader),
            HOP_BY_HOP | DESTINATION_OPTIONS => {
                judge_ipv6_options(header.get(2..len).ok_or(DropReason::Malformed)?)?;
            }
            _ => {}
        }
        (kind, at) = (next, at + len);
    }
    Err(DropReason::IpOptions)
}

/// Options that a receiver skips if it does not know them may pass; the two highest bits of all
/// others say that it drops the packet then (RFC 8200 section 4.2).
fn judge_ipv6_options(mut list: &[u8]) -> Result<(), DropReason> {
    while let Some((&kind, rest)) = list.split_first() {
        if kind >> 6 != 0 {
            return Err(DropReason::IpOptions);
        }
        list = if kind == 0 {
            rest
        } else {
            let len = rest.first().map(|&len| usize::from(len) + 1);
            len.and_then(|len| rest.get(len..)).ok_or(DropReason::IpOptions)?
        };
    }
    Ok(())
}
