//! The Internet checksum (RFC 1071), in full and as the pseudo-header sum that offload wants.

use core::net::IpAddr;

/// The ones' complement sum of `octets`, not folded, in network order.
fn sum(octets: &[u8]) -> u64 {
    let mut total: u64 = 0;
    let (words, rest) = octets.as_chunks::<4>();
    for word in words {
        // 2^32 additions fit: far beyond the longest packet.
        total += u64::from(u32::from_be_bytes(*word));
    }
    let mut tail = [0; 4];
    for (to, from) in tail.iter_mut().zip(rest) {
        *to = *from;
    }
    total + u64::from(u32::from_be_bytes(tail))
}

const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const TCP: u64 = 6;
const ICMPV6: u64 = 58;

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u64, len: usize) -> u64 {
    let addresses = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            sum(&source.octets()) + sum(&destination.octets())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            sum(&source.octets()) + sum(&destination.octets())
        }
        // One packet has one family.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    addresses + protocol + len as u64
}

/// The folded pseudo-header sum (RFC 9293 section 3.1), not complemented: what the checksum field
/// holds when the kernel is to finish it.
pub fn partial(source: IpAddr, destination: IpAddr, tcp_len: usize) -> u16 {
    fold(pseudo_header(source, destination, TCP, tcp_len))
}

/// The TCP checksum of `segment`, whose checksum field must be zero.
pub fn tcp(source: IpAddr, destination: IpAddr, segment: &[u8]) -> u16 {
    !fold(pseudo_header(source, destination, TCP, segment.len()) + sum(segment))
}

/// Whether the checksum in `segment` is right.
pub fn tcp_is_right(source: IpAddr, destination: IpAddr, segment: &[u8]) -> bool {
    fold(pseudo_header(source, destination, TCP, segment.len()) + sum(segment)) == 0xffff
}

/// The checksum of an ICMP `message`, whose checksum field must be zero; 0 when it is in there and
/// right. That of IPv6 covers a pseudo-header (RFC 4443 section 2.3), that of IPv4 does not (RFC 792).
pub fn icmp(source: IpAddr, destination: IpAddr, message: &[u8]) -> u16 {
    let pseudo_header = match source {
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => pseudo_header(source, destination, ICMPV6, message.len()),
    };
    !fold(pseudo_header + sum(message))
}

/// What becomes of `checksum` when `old` becomes `new` in the octets that it covers, at an even offset:
/// it is then as right or as wrong as before (RFC 1624 equation 3).
pub fn adjusted(checksum: u16, old: u32, new: u32) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!old) + u64::from(new))
}

/// The IPv4 header checksum of `header`, whose checksum field must be zero.
pub fn ipv4_header(header: &[u8]) -> u16 {
    !fold(sum(header))
}

/// Whether the checksum in the IPv4 `header` is right.
pub fn ipv4_header_is_right(header: &[u8]) -> bool {
    fold(sum(header)) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1071_section_3_example() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
        assert_eq!(fold(sum(&[0x01])), 0x0100, "an odd octet is padded on the right");
    }

    #[test]
    fn what_is_summed_is_right_until_a_bit_flips() {
        let (source, destination) = ([192, 0, 2, 1].into(), [198, 51, 100, 1].into());
        let mut segment: Vec<u8> = (0..61).collect();
        segment[16..18].fill(0);
        let checksum = tcp(source, destination, &segment);
        segment[16..18].copy_from_slice(&checksum.to_be_bytes());
        assert!(tcp_is_right(source, destination, &segment));
        segment[40] ^= 4;
        assert!(!tcp_is_right(source, destination, &segment));
    }

    #[test]
    fn an_adjusted_checksum_is_the_one_summed_anew() {
        // RFC 1624 section 4: where the method of RFC 1071 gives 0xffff.
        assert_eq!(adjusted(0xdd2f, 0x5555, 0x3285), 0);
        let (source, destination) = ([192, 0, 2, 1].into(), [198, 51, 100, 1].into());
        let mut rng = fastrand::Rng::with_seed(1);
        let numbers = [0, 1, 0xffff, 0x1_0000, 0xffff_0000, u32::MAX];
        for _ in 0..20_000 {
            let mut number = || match rng.usize(..2 * numbers.len()) {
                at if at < numbers.len() => numbers[at],
                _ => rng.u32(..),
            };
            let mut segment = [0; 24];
            for word in segment.as_chunks_mut::<4>().0 {
                *word = number().to_be_bytes();
            }
            let (old, new) = (number(), number());
            segment[16..18].fill(0);
            segment[4..8].copy_from_slice(&old.to_be_bytes());
            let before = tcp(source, destination, &segment);
            segment[4..8].copy_from_slice(&new.to_be_bytes());
            let after = tcp(source, destination, &segment);
            assert_eq!(adjusted(before, old, new), after, "{old:#x} to {new:#x}");
        }
    }
}
