//! Packets that the guard makes itself: acknowledgements, flushes and resets.

use core::net::{IpAddr, SocketAddr};

use etherparse::{
    IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, TcpOptionElement as Element,
};

use super::packet::flags;

/// The longest header that is minted: IPv6, TCP and all of its options.
pub const MINTED_HEADER_LEN_MAX: usize = 40 + 60;

/// The headers of a packet to be made.
#[derive(Debug, Clone, Copy)]
pub struct Minted<'a> {
    /// Whom the guard speaks for.
    pub source: SocketAddr,
    /// Whom it speaks to.
    pub destination: SocketAddr,
    /// TTL or hop limit of the end that it speaks for, as seen here.
    pub hop_limit: u8,
    /// DSCP of that end; ECN bits are cleared, for what the guard sends is Not-ECT.
    pub traffic_class: u8,
    /// IPv6 flow label of that end.
    pub flow_label: u32,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Control bits.
    pub flags: u8,
    /// Window field, unscaled.
    pub window: u16,
    /// TSval and TSecr, when the connection has timestamps.
    pub timestamps: Option<(u32, u32)>,
    /// SACK blocks, at most four, three with timestamps (RFC 2018 section 3).
    pub sack_blocks: &'a [(u32, u32)],
}

/// The headers as octets.
#[derive(Debug)]
pub struct MintedHeaders {
    octets: [u8; MINTED_HEADER_LEN_MAX],
    len: usize,
    /// Where the TCP header starts.
    pub tcp_start: usize,
}

impl MintedHeaders {
    /// The octets, lengths and checksums not yet right: [`super::packet::seal`] sets them.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl Minted<'_> {
    /// Builds the headers.
    pub fn headers(&self) -> MintedHeaders {
        let mut tcp =
            TcpHeader::new(self.source.port(), self.destination.port(), self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        tcp.fin = self.flags & flags::FIN != 0;
        tcp.rst = self.flags & flags::RST != 0;
        tcp.psh = self.flags & flags::PSH != 0;
        tcp.ack = self.flags & flags::ACK != 0;
        let mut elements = [const { Element::Noop }; 6];
        let mut count = 0;
        let mut blocks_max = 4;
        if let Some((value, echo)) = self.timestamps {
            elements[2] = Element::Timestamp(value, echo);
            count = 3;
            blocks_max = 3;
        }
        let blocks = &self.sack_blocks[..self.sack_blocks.len().min(blocks_max)];
        if let Some((first, rest)) = blocks.split_first() {
            let mut more = [None; 3];
            for (slot, block) in more.iter_mut().zip(rest) {
                *slot = Some(*block);
            }
            elements[count + 2] = Element::SelectiveAcknowledgement(*first, more);
            count += 3;
        }
        // Three blocks and timestamps are 2 + 10 + 2 + 26 octets: they fit into 40.
        let fits = tcp.set_options(&elements[..count]).is_ok();
        debug_assert!(fits, "blocks_max keeps the options within 40 octets");

        let mut octets = [0; MINTED_HEADER_LEN_MAX];
        let traffic_class = self.traffic_class & !3;
        let tcp_start = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut ip = Ipv4Header::new(
                    0,
                    self.hop_limit,
                    IpNumber::TCP,
                    source.octets(),
                    destination.octets(),
                )
                .unwrap_or_default();
                ip.dont_fragment = true;
                let bytes = ip.to_bytes();
                octets[..bytes.len()].copy_from_slice(&bytes);
                octets[1] = traffic_class;
                20
            }
            (source, destination) => {
                let ip = Ipv6Header {
                    traffic_class,
                    flow_label: Ipv6FlowLabel::try_new(self.flow_label).unwrap_or_default(),
                    payload_length: 0,
                    next_header: IpNumber::TCP,
                    hop_limit: self.hop_limit,
                    source: v6_octets(source),
                    destination: v6_octets(destination),
                };
                octets[..40].copy_from_slice(&ip.to_bytes());
                40
            }
        };
        let bytes = tcp.to_bytes();
        let len = tcp_start + bytes.len();
        octets[tcp_start..len].copy_from_slice(&bytes);
        MintedHeaders { octets, len, tcp_start }
    }
}

const fn v6_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::offload::Offload;
    use super::super::packet::{Headers, seal};
    use super::*;

    fn round_trip(source: &str, destination: &str, sack_blocks: &[(u32, u32)]) {
        let minted = Minted {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            hop_limit: 63,
            traffic_class: 0x0a,
            flow_label: 0x1234,
            seq: 1,
            ack: 2,
            flags: flags::ACK | flags::PSH,
            window: 500,
            timestamps: Some((7, 8)),
            sack_blocks,
        };
        let made = minted.headers();
        let mut packet = made.octets().to_vec();
        packet.extend_from_slice(b"NOOP\r\n");
        seal(&mut packet, made.tcp_start, (minted.source.ip(), minted.destination.ip()), false);
        let read = Headers::parse(&packet).unwrap();
        assert_eq!((read.source, read.destination), (minted.source, minted.destination));
        assert_eq!((read.seq, read.ack, read.window), (1, 2, 500));
        assert_eq!((read.flags, read.hop_limit, read.traffic_class), (24, 63, 0x08));
        assert_eq!(read.options.timestamps, Some((7, 8)));
        assert_eq!(read.payload(&packet), b"NOOP\r\n");
        assert!(read.checksum_is_right(&packet, Offload::default()));
        let list = read.option_list(&packet);
        let count = read.options.sack_blocks.map_or(0, |(_, count)| count);
        let blocks: Vec<_> = (0..count).map(|i| read.options.sack_block(list, i)).collect();
        assert_eq!(blocks, sack_blocks[..sack_blocks.len().min(3)]);
    }

    #[test]
    fn what_is_minted_is_read_back() {
        for blocks in [&[][..], &[(1, 2)], &[(1, 2), (3, 4), (5, 6), (7, 8)]] {
            round_trip("192.0.2.1:2525", "198.51.100.1:25", blocks);
            round_trip("[2001:db8::1]:2525", "[2001:db8::2]:25", blocks);
        }
    }

    #[test]
    fn cut_packets_are_refused_and_never_panic() {
        let minted = Minted {
            source: "192.0.2.1:2525".parse().unwrap(),
            destination: "198.51.100.1:25".parse().unwrap(),
            hop_limit: 1,
            traffic_class: 0,
            flow_label: 0,
            seq: 0,
            ack: 0,
            flags: flags::ACK,
            window: 0,
            timestamps: None,
            sack_blocks: &[],
        };
        let made = minted.headers();
        let mut packet = made.octets().to_vec();
        seal(&mut packet, 20, (minted.source.ip(), minted.destination.ip()), true);
        for len in 0..packet.len() {
            assert!(Headers::parse(&packet[..len]).is_err());
        }
        assert!(Headers::parse(&packet).is_ok());
    }
}
