//! TCP packets of one connection, made from their fields.

use core::net::{IpAddr, SocketAddr};

use crate::direction::Direction;
use crate::wire::packet::{Headers, seal};

/// The fields of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) direction: Direction,
    pub(super) ipv6: bool,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) options: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// Source and destination of what travels in `direction`.
fn ends(direction: Direction, ipv6: bool) -> (SocketAddr, SocketAddr) {
    let address = |last: u8| -> IpAddr {
        if ipv6 {
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)].into()
        } else {
            [192, 0, 2, last].into()
        }
    };
    let (client, server) = (SocketAddr::new(address(10), 40_000), SocketAddr::new(address(25), 25));
    match direction {
        Direction::ToServer => (client, server),
        Direction::ToClient => (server, client),
    }
}

/// An IP header for `protocol` and `len` octets behind it, IPv4 without its checksum.
pub(super) fn ip_header(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 64, protocol, 0, 0];
            header[2..4].copy_from_slice(&(20 + len as u16).to_be_bytes());
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            header[4..6].copy_from_slice(&(len as u16).to_be_bytes());
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        _ => Vec::new(),
    }
}

impl Segment<'_> {
    /// The packet, with right lengths and checksums.
    pub(super) fn packet(&self) -> Vec<u8> {
        let (source, destination) = ends(self.direction, self.ipv6);
        let options_len = self.options.len().div_ceil(4).min(10) * 4;
        let mut packet = ip_header(source.ip(), destination.ip(), 6, 0);
        let tcp_start = packet.len();
        packet.extend(source.port().to_be_bytes());
        packet.extend(destination.port().to_be_bytes());
        packet.extend(self.seq.to_be_bytes());
        packet.extend(self.ack.to_be_bytes());
        packet.extend([(5 + options_len as u8 / 4) << 4, self.flags]);
        packet.extend(self.window.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend_from_slice(self.options);
        packet.resize(tcp_start + 20 + options_len, 1);
        packet.extend_from_slice(self.payload);
        seal(&mut packet, tcp_start, (source.ip(), destination.ip()), false);
        packet
    }
}

/// Makes the sums and lengths of a packet right that can be read but for them.
pub(super) fn mend(packet: &mut [u8]) {
    let [first, ..] = packet else { return };
    if *first >> 4 == 4 {
        let header_len = usize::from(*first & 0xf) * 4;
        let len = packet.len() as u16;
        if header_len < 20 || packet.len() < header_len {
            return;
        }
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[10..12].fill(0);
        let sum = crate::wire::checksum::ipv4_header(&packet[..header_len]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else if *first >> 4 == 6 && packet.len() >= 40 {
        let len = packet.len() as u16 - 40;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
    }
    if let Ok(headers) = Headers::parse(packet) {
        let addresses = (headers.source.ip(), headers.destination.ip());
        if let Some(packet) = packet.get_mut(..headers.end) {
            seal(packet, headers.tcp_start, addresses, false);
        }
    } else if let Ok(message) = crate::wire::icmp::Message::read(packet) {
        message.seal(packet);
    }
}

/// An ICMP error with `word` that quotes `len` octets of `packet`, to its sender.
pub(super) fn icmp_error(kind: u8, code: u8, word: u32, packet: &[u8], len: usize) -> Vec<u8> {
    let Ok(headers) = Headers::parse(packet) else {
        return Vec::new();
    };
    let quote = &packet[..len.min(packet.len())];
    let (router, protocol): (IpAddr, u8) = if headers.is_ipv6() {
        ([0x2001, 0xdb8, 9, 0, 0, 0, 0, 1].into(), 58)
    } else {
        ([203, 0, 113, 1].into(), 1)
    };
    let mut made = ip_header(router, headers.source.ip(), protocol, 8 + quote.len());
    made.extend([kind, code, 0, 0]);
    made.extend(word.to_be_bytes());
    made.extend_from_slice(quote);
    mend(&mut made);
    made
}

/// `packet` in two fragments, the first with `cut` times eight octets of what is behind the header;
/// the packet alone when it is too short for that.
pub(super) fn cut(packet: &[u8], cut: usize, identification: u32) -> Vec<Vec<u8>> {
    let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let header_len = if is_v6 { 40 } else { 20 };
    let Some(payload) = packet.get(header_len..).filter(|payload| payload.len() > cut * 8) else {
        return vec![packet.to_vec()];
    };
    let piece = |from: usize, to: usize| {
        let more = u16::from(to < payload.len());
        let mut made = packet[..header_len].to_vec();
        if is_v6 {
            made.extend([made[6], 0]);
            made[6] = 44;
            made.extend((from as u16 | more).to_be_bytes());
            made.extend(identification.to_be_bytes());
        } else {
            made[4..6].copy_from_slice(&(identification as u16).to_be_bytes());
            made[6..8].copy_from_slice(&((from as u16 / 8) | (more << 13)).to_be_bytes());
        }
        made.extend_from_slice(&payload[from..to]);
        mend(&mut made);
        made
    };
    vec![piece(0, cut * 8), piece(cut * 8, payload.len())]
}
