//! What the kernel left undone in a packet: the meaning of a virtio network header.
//!
//! A TUN device opened with `IFF_VNET_HDR` puts ten octets in front of each packet (virtio 1.2
//! section 5.1.6): whether the checksum still holds only the pseudo-header sum, and whether the
//! packet is a super-segment that the kernel cuts into pieces of `gso_size` octets of payload.

/// Length of the virtio header on a TUN device, in octets.
pub const VNET_HEADER_LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;

/// What is left to do for one packet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// The checksum field holds the pseudo-header sum; whoever sends the packet finishes it.
    pub partial_checksum: bool,
    /// The checksum was verified already.
    pub checksum_valid: bool,
    /// A super-segment: payload octets of each segment that it stands for.
    pub gso_size: Option<u16>,
    /// The super-segment carries CWR, which belongs to its first segment only.
    pub ecn: bool,
}

impl Offload {
    /// Reads the header in front of a packet.
    pub fn parse(header: [u8; VNET_HEADER_LEN]) -> Self {
        let [flags, gso_type, _, _, size_low, size_high, ..] = header;
        let size = u16::from_ne_bytes([size_low, size_high]);
        Self {
            partial_checksum: flags & NEEDS_CSUM != 0,
            checksum_valid: flags & DATA_VALID != 0,
            gso_size: (gso_type & !GSO_ECN != GSO_NONE && size != 0).then_some(size),
            ecn: gso_type & GSO_ECN != 0,
        }
    }

    /// The header to write in front of a TCP packet whose TCP header starts at `tcp_start` and
    /// whose payload starts at `payload_start`.
    pub fn emit(self, ipv6: bool, tcp_start: u16, payload_start: u16) -> [u8; VNET_HEADER_LEN] {
        let mut header = [0; VNET_HEADER_LEN];
        if self.partial_checksum {
            header[0] = NEEDS_CSUM;
            header[6..8].copy_from_slice(&tcp_start.to_ne_bytes());
            header[8..10].copy_from_slice(&16_u16.to_ne_bytes());
        }
        if let Some(size) = self.gso_size {
            let ecn = if self.ecn { GSO_ECN } else { 0 };
            header[1] = ecn | if ipv6 { GSO_TCPV6 } else { GSO_TCPV4 };
            header[2..4].copy_from_slice(&payload_start.to_ne_bytes());
            header[4..6].copy_from_slice(&size.to_ne_bytes());
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        for gso_size in [None, Some(1448)] {
            for ipv6 in [false, true] {
                let offload = Offload { partial_checksum: true, gso_size, ..Offload::default() };
                assert_eq!(Offload::parse(offload.emit(ipv6, 20, 52)), offload);
            }
        }
        assert_eq!(Offload::default().emit(false, 20, 40), [0; VNET_HEADER_LEN]);
    }
}
