//! One TCP packet: read once, then patched where it lies.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use etherparse::{IpNumber, IpSlice, TcpSlice};

use super::checksum;
use super::fragment::Fragment;
use super::icmp::Message;
use super::offload::Offload;
use super::options::TcpOptions;
use crate::counters::DropReason;

/// TCP control bits (RFC 9293 section 3.1).
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset the connection.
    pub const RST: u8 = 4;
    /// Push.
    pub const PSH: u8 = 8;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 16;
    /// The urgent pointer counts.
    pub const URG: u8 = 32;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 128;
}

/// The ECN field of the traffic class; both bits set mean congestion experienced (RFC 3168).
const ECN: u8 = 3;

/// What was read from the headers of one packet, and where its parts lie.
#[derive(Debug, Clone, Copy)]
pub struct Headers {
    /// Address and port of the sender.
    pub source: SocketAddr,
    /// Address and port of the receiver.
    pub destination: SocketAddr,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Control bits.
    pub flags: u8,
    /// The four bits beside the data offset: reserved ones, and AE (RFC 9768).
    pub reserved: u8,
    /// Window field, unscaled.
    pub window: u16,
    /// Options.
    pub options: TcpOptions,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN: the IPv4 TOS octet or the IPv6 traffic class.
    pub traffic_class: u8,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// Where the TCP header starts.
    pub tcp_start: usize,
    /// Where the payload starts.
    pub payload_start: usize,
    /// Where the packet ends: octets behind the IP length are not part of it.
    pub end: usize,
}

impl Headers {
    /// Reads a packet. The error says why it cannot be a TCP packet worth judging.
    pub fn parse(packet: &[u8]) -> Result<Self, DropReason> {
        let ip = IpSlice::from_slice(packet).map_err(|_| DropReason::Malformed)?;
        let payload = ip.payload();
        if ip.is_fragmenting_payload() {
            return Err(DropReason::Fragment);
        }
        if payload.ip_number != IpNumber::TCP {
            return Err(DropReason::NotTcp);
        }
        let tcp = TcpSlice::from_slice(payload.payload).map_err(|_| DropReason::Malformed)?;
        let (hop_limit, traffic_class, flow_label, fixed) = match &ip {
            IpSlice::Ipv4(v4) => {
                let header = v4.header();
                if !checksum::ipv4_header_is_right(header.slice()) {
                    return Err(DropReason::BadChecksum);
                }
                (header.ttl(), header.slice()[1], 0, header.slice().len())
            }
            IpSlice::Ipv6(v6) => {
                let header = v6.header();
                (header.hop_limit(), header.traffic_class(), header.flow_label().value(), 40)
            }
        };
        let extensions = match &ip {
            IpSlice::Ipv4(v4) => v4.extensions().auth.as_ref().map_or(0, |auth| auth.slice().len()),
            IpSlice::Ipv6(v6) => v6.extensions().slice().len(),
        };
        let tcp_start = fixed + extensions;
        Ok(Self {
            source: SocketAddr::new(ip.source_addr(), tcp.source_port()),
            destination: SocketAddr::new(ip.destination_addr(), tcp.destination_port()),
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            flags: tcp.slice()[13],
            reserved: tcp.slice()[12] & 0xf,
            window: tcp.window_size(),
            options: TcpOptions::parse(tcp.options()).map_err(|_| DropReason::BadOptions)?,
            hop_limit,
            traffic_class,
            flow_label,
            tcp_start,
            payload_start: tcp_start + tcp.header_len(),
            end: tcp_start + payload.payload.len(),
        })
    }

    /// Whether `flag` is set.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a router has marked the packet, as it would else have dropped it (RFC 3168).
    pub const fn is_congested(&self) -> bool {
        self.traffic_class & ECN == ECN
    }

    /// Octets of payload.
    pub const fn payload_len(&self) -> usize {
        self.end - self.payload_start
    }

    /// The payload of the packet that was read.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.payload_start..self.end).unwrap_or_default()
    }

    /// The option list of the packet that was read.
    pub fn option_list<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.tcp_start + 20..self.payload_start).unwrap_or_default()
    }

    /// Whether the packet is IPv6.
    pub const fn is_ipv6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// Whether the TCP checksum is right, or was left to us to finish by a host of this machine.
    pub fn checksum_is_right(&self, packet: &[u8], offload: Offload) -> bool {
        offload.partial_checksum
            || offload.checksum_valid
            || packet.get(self.tcp_start..self.end).is_some_and(|segment| {
                checksum::tcp_is_right(self.source.ip(), self.destination.ip(), segment)
            })
    }
}

/// Whether the guard judges a packet: TCP, what may be a piece of it, and ICMP, for its errors speak of TCP. What
/// cannot be read is among them.
pub fn is_for_the_guard(packet: &[u8]) -> bool {
    match Headers::parse(packet) {
        Ok(_) => true,
        Err(DropReason::NotTcp) => !matches!(Message::read(packet), Err(DropReason::NotTcp)),
        Err(DropReason::Fragment) => {
            !matches!(Fragment::read(packet), Ok(Some(fragment)) if !fragment.may_be_tcp())
        }
        Err(_) => true,
    }
}

/// Whom a limit for each source counts: an IPv4 address, or the /64 of an IPv6 one, for whoever has
/// one address of it has them all (RFC 4291 section 2.5.4).
pub fn source_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

/// What a patched TCP header is to say; everything else in it stays.
#[derive(Debug, Clone, Copy)]
pub struct Patch {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Control bits.
    pub flags: u8,
    /// Window field, unscaled.
    pub window: u16,
}

fn put<const N: usize>(packet: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = packet.get_mut(at..at + N) {
        field.copy_from_slice(&value);
    }
}

/// Marks an IP packet as one that has met congestion, if its sender would hear of it; returns
/// whether it would.
pub fn mark_congestion(packet: &mut [u8], headers: &Headers) -> bool {
    if headers.traffic_class & ECN == 0 {
        return false;
    }
    if let Some(octet) = packet.get_mut(1) {
        *octet |= if headers.is_ipv6() { ECN << 4 } else { ECN };
    }
    true
}

/// Writes another TTL or hop limit.
pub fn set_hop_limit(packet: &mut [u8], is_ipv6: bool, hop_limit: u8) {
    put(packet, if is_ipv6 { 7 } else { 8 }, [hop_limit]);
}

/// Writes `patch` into the TCP header that starts at `tcp_start`, clears the reserved bits, and
/// clears the urgent pointer: the octet stays in line for everybody (RFC 6093 section 3.4).
pub fn patch_tcp(packet: &mut [u8], tcp_start: usize, patch: Patch) {
    put(packet, tcp_start + 4, patch.seq.to_be_bytes());
    put(packet, tcp_start + 8, patch.ack.to_be_bytes());
    if let Some(octet) = packet.get_mut(tcp_start + 12) {
        *octet &= 0xf0;
    }
    put(packet, tcp_start + 13, [patch.flags & !flags::URG]);
    put(packet, tcp_start + 14, patch.window.to_be_bytes());
    put(packet, tcp_start + 18, [0, 0]);
}

/// Makes lengths and checksums fit a packet that ends where the slice ends. With `partial` the TCP
/// checksum field gets the pseudo-header sum, for the kernel to finish.
pub fn seal(packet: &mut [u8], tcp_start: usize, addresses: (IpAddr, IpAddr), partial: bool) {
    let len = packet.len();
    match addresses.0 {
        IpAddr::V4(_) => {
            put(packet, 2, (len as u16).to_be_bytes());
            put(packet, 10, [0, 0]);
            let header_len = packet.first().map_or(20, |first| usize::from(first & 0xf) * 4);
            let sum = checksum::ipv4_header(packet.get(..header_len).unwrap_or_default());
            put(packet, 10, sum.to_be_bytes());
        }
        IpAddr::V6(_) => put(packet, 4, (len.saturating_sub(40) as u16).to_be_bytes()),
    }
    let sum = if partial {
        checksum::partial(addresses.0, addresses.1, len - tcp_start)
    } else {
        put(packet, tcp_start + 16, [0, 0]);
        checksum::tcp(addresses.0, addresses.1, packet.get(tcp_start..).unwrap_or_default())
    };
    put(packet, tcp_start + 16, sum.to_be_bytes());
}
