//! A slow, plain reading of IP and TCP, written for the checks and independent of the code under
//! test: every length is verified, every option is walked, every sum is computed over all octets.

use core::fmt::Write as _;
use core::net::IpAddr;

use fastrand::Rng;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
pub(crate) const URG: u8 = 32;
pub(crate) const CWR: u8 = 128;

/// The options of one TCP header.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mss: Option<u16>,
    pub(crate) scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) sack: Vec<(u32, u32)>,
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) unknown: Vec<u8>,
}

/// One TCP packet, read.
#[derive(Debug, Clone)]
pub(crate) struct Packet<'a> {
    pub(crate) source: (IpAddr, u16),
    pub(crate) target: (IpAddr, u16),
    pub(crate) hops: u8,
    /// Where the TCP header starts.
    pub(crate) tcp_at: usize,
    /// Where the payload starts.
    pub(crate) payload_at: usize,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    /// The bits beside the data offset.
    pub(crate) reserved: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Options,
    pub(crate) options_len: usize,
    pub(crate) payload: &'a [u8],
    /// The checksum is right.
    pub(crate) complete: bool,
    /// The checksum field holds the folded sum of the pseudo header. By chance both may be so.
    pub(crate) partial: bool,
}

impl<'a> Packet<'a> {
    /// Reads `bytes`; the error says what is not well-formed.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let ip = Ip::read(bytes)?;
        let tcp = &bytes[ip.header..];
        if tcp.len() < 20 {
            return Err(format!("{} octets are no TCP header", tcp.len()));
        }
        let header = usize::from(tcp[12] >> 4) * 4;
        if header < 20 || header > tcp.len() {
            return Err(format!("TCP data offset {header} of {}", tcp.len()));
        }
        let pseudo = ip.pseudo_sum(tcp.len());
        Ok(Packet {
            source: (ip.source, u16_at(tcp, 0)),
            target: (ip.target, u16_at(tcp, 2)),
            hops: ip.hops,
            tcp_at: ip.header,
            payload_at: ip.header + header,
            seq: u32_at(tcp, 4),
            ack: u32_at(tcp, 8),
            flags: tcp[13],
            reserved: tcp[12] & 15,
            window: u16_at(tcp, 14),
            urgent: u16_at(tcp, 18),
            options: Options::read(&tcp[20..header])?,
            options_len: header - 20,
            payload: &tcp[header..],
            complete: fold(pseudo + sum_of(tcp)) == 0xffff,
            partial: u16_at(tcp, 16) == fold(pseudo),
        })
    }

    /// Whether the headers are long enough to be given new lengths and sums.
    pub(crate) fn read_lengths(bytes: &[u8]) -> bool {
        match bytes.first() {
            Some(first) if first >> 4 == 4 => {
                let header = usize::from(first & 15) * 4;
                header >= 20
                    && bytes.len() >= header + 20
                    && bytes[9] == 6
                    && bytes[6] & 0x3f == 0
                    && bytes[7] == 0
                    && bytes.len() < 65_536
            }
            Some(first) if first >> 4 == 6 => {
                bytes.len() >= 60 && bytes[6] == 6 && bytes.len() < 65_536
            }
            _ => false,
        }
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The numbers that it takes in sequence space.
    pub(crate) fn seq_len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// A line for people; numbers are relative to the two initial ones.
    pub(crate) fn describe(&self, isn: u32, peer_isn: u32) -> String {
        let mut text = String::new();
        for (bit, name) in [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (PSH, 'P'), (URG, 'U')] {
            if self.has(bit) {
                text.push(name);
            }
        }
        let seq = self.seq.wrapping_sub(isn) as i32;
        let _ = write!(text, " seq {seq}+{}", self.payload.len());
        if self.has(ACK) {
            let _ = write!(text, " ack {}", self.ack.wrapping_sub(peer_isn) as i32);
        }
        let _ = write!(text, " win {}", self.window);
        for (left, right) in &self.options.sack {
            let (left, right) = (left.wrapping_sub(peer_isn), right.wrapping_sub(peer_isn));
            let _ = write!(text, " sack {}-{}", left as i32, right as i32);
        }
        if let Some((value, echo)) = self.options.timestamps {
            let _ = write!(text, " ts {value}/{echo}");
        }
        if !self.complete && !self.partial {
            text.push_str(" BAD SUM");
        }
        if !self.payload.is_empty() {
            let head = &self.payload[..self.payload.len().min(40)];
            let _ = write!(text, " \"{}\"", head.escape_ascii());
        }
        text
    }
}

impl Options {
    fn read(mut octets: &[u8]) -> Result<Self, String> {
        let all = octets;
        let bad = |what: &str| Err(format!("{what} in the option list {all:02x?}"));
        let mut options = Self::default();
        while let Some((kind, rest)) = octets.split_first() {
            match kind {
                0 => {
                    if rest.iter().any(|octet| *octet != 0) {
                        return bad("octets after the end");
                    }
                    break;
                }
                1 => octets = rest,
                _ => {
                    let Some(len) = rest.first().map(|len| usize::from(*len)) else {
                        return bad("no length");
                    };
                    if len < 2 || len > octets.len() {
                        return bad("a wrong length");
                    }
                    let value = &octets[2..len];
                    match (kind, value.len()) {
                        (2, 2) => options.mss = Some(u16_at(value, 0)),
                        (3, 1) => options.scale = Some(value[0]),
                        (4, 0) => options.sack_permitted = true,
                        (5, 8 | 16 | 24 | 32) => {
                            options.sack = value
                                .chunks(8)
                                .map(|edges| (u32_at(edges, 0), u32_at(edges, 4)))
                                .collect();
                        }
                        (8, 8) => options.timestamps = Some((u32_at(value, 0), u32_at(value, 4))),
                        (2..=5 | 8, _) => return bad("a known kind of odd size"),
                        _ => options.unknown.push(*kind),
                    }
                    octets = &octets[len..];
                }
            }
        }
        Ok(options)
    }
}

struct Ip {
    header: usize,
    source: IpAddr,
    target: IpAddr,
    hops: u8,
}

impl Ip {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        match bytes.first().map(|octet| octet >> 4) {
            Some(4) if bytes.len() >= 20 => {
                let header = usize::from(bytes[0] & 15) * 4;
                let total = usize::from(u16_at(bytes, 2));
                if header < 20 || header > bytes.len() || total != bytes.len() {
                    return Err(format!(
                        "IPv4 header {header}, total length {total}, packet {}",
                        bytes.len()
                    ));
                }
                if fold(sum_of(&bytes[..header])) != 0xffff {
                    return Err("wrong IPv4 header checksum".into());
                }
                if bytes[9] != 6 || u16_at(bytes, 6) & 0x3fff != 0 {
                    return Err("not a whole TCP packet".into());
                }
                let address =
                    |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
                Ok(Self { header, source: address(12), target: address(16), hops: bytes[8] })
            }
            Some(6) if bytes.len() >= 40 => {
                let payload = usize::from(u16_at(bytes, 4));
                if payload + 40 != bytes.len() || bytes[6] != 6 {
                    return Err(format!(
                        "IPv6 payload length {payload}, next header {}, packet {}",
                        bytes[6],
                        bytes.len()
                    ));
                }
                let address =
                    |at: usize| IpAddr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap());
                Ok(Self { header: 40, source: address(8), target: address(24), hops: bytes[7] })
            }
            _ => Err(format!("{} octets are no IP packet", bytes.len())),
        }
    }

    fn pseudo_sum(&self, tcp_len: usize) -> u64 {
        let sum = |address: IpAddr| match address {
            IpAddr::V4(a) => sum_of(&a.octets()),
            IpAddr::V6(a) => sum_of(&a.octets()),
        };
        sum(self.source) + sum(self.target) + 6 + tcp_len as u64
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn sum_of(octets: &[u8]) -> u64 {
    octets
        .chunks(2)
        .map(|pair| (u64::from(pair[0]) << 8) + pair.get(1).map_or(0, |low| u64::from(*low)))
        .sum()
}

pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Writes the lengths and sums of a packet whose headers were edited. `pseudo` leaves the TCP sum
/// to whoever sends the packet.
pub(crate) fn finish(bytes: &mut [u8], pseudo: bool) {
    let len = bytes.len();
    if bytes[0] >> 4 == 4 {
        bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        finish_ipv4(bytes);
    } else {
        bytes[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
    }
    let ip = Ip::read(bytes).expect("a packet of our own");
    let tcp = &mut bytes[ip.header..];
    tcp[16..18].fill(0);
    let head = ip.pseudo_sum(tcp.len());
    let sum = if pseudo { fold(head) } else { !fold(head + sum_of(tcp)) };
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
}

/// Writes the sum of an IPv4 header.
pub(crate) fn finish_ipv4(bytes: &mut [u8]) {
    let header = usize::from(bytes[0] & 15) * 4;
    bytes[10..12].fill(0);
    let sum = !fold(sum_of(&bytes[..header]));
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The packet in two to five fragments; as it is when it is too short.
pub(crate) fn fragments(bytes: &[u8], rng: &mut Rng) -> Vec<Vec<u8>> {
    let is_v6 = bytes.first().is_some_and(|first| first >> 4 == 6);
    let header = if is_v6 { 40 } else { 20 };
    // RFC 7112: an IPv6 first fragment has the whole TCP header.
    let first = if is_v6 { usize::from(bytes[header + 12] >> 4) * 4 } else { 8 };
    let (first, len) = (first.next_multiple_of(8), bytes.len() - header);
    if len <= first || bytes.len() > 60_000 {
        return vec![bytes.to_vec()];
    }
    let mut cuts: Vec<_> = (0..rng.usize(1..5)).map(|_| rng.usize(first..len) / 8 * 8).collect();
    cuts.extend([0, len]);
    cuts.sort_unstable();
    cuts.dedup();
    // Numbers of the other half are those of fragments that overlap.
    let number = rng.u32(..) & 0x7fff_7fff;
    cuts.windows(2).map(|ends| piece(bytes, ends[0], ends[1], number)).collect()
}

/// Two fragments that share octets and differ there, and a last one; nothing if it is too short.
pub(crate) fn overlapping(bytes: &[u8], rng: &mut Rng) -> Option<Vec<Vec<u8>>> {
    let is_v6 = bytes[0] >> 4 == 6;
    let header = if is_v6 { 40 } else { 20 };
    let first = if is_v6 { usize::from(bytes[header + 12] >> 4) * 4 } else { 8 };
    let (first, len) = (first.next_multiple_of(8), bytes.len() - header);
    if len < first + 24 || bytes.len() > 60_000 {
        return None;
    }
    let number = rng.u32(..) | 0x8000_8000;
    let cut = rng.usize(first / 8 + 1..len / 8) * 8;
    let mut other = bytes.to_vec();
    for octet in &mut other[header + first..] {
        *octet ^= 0x20;
    }
    let mut pieces = vec![
        piece(bytes, 0, cut, number),
        piece(&other, cut - 8, len, number),
        piece(bytes, cut, len, number),
    ];
    if rng.bool() {
        pieces.swap(0, 1);
    }
    Some(pieces)
}

/// The octets `from..to` of what is behind the IP header, as a fragment.
fn piece(bytes: &[u8], from: usize, to: usize, number: u32) -> Vec<u8> {
    let is_v6 = bytes[0] >> 4 == 6;
    let header = if is_v6 { 40 } else { 20 };
    let more = u16::from(header + to < bytes.len());
    let mut fragment = bytes[..header].to_vec();
    if is_v6 {
        fragment.extend([bytes[6], 0]);
        fragment.extend((from as u16 | more).to_be_bytes());
        fragment.extend(number.to_be_bytes());
        fragment[6] = 44;
        fragment[4..6].copy_from_slice(&((to - from + 8) as u16).to_be_bytes());
    } else {
        fragment[2..4].copy_from_slice(&((to - from + 20) as u16).to_be_bytes());
        fragment[4..6].copy_from_slice(&(number as u16).to_be_bytes());
        fragment[6..8].copy_from_slice(&((from as u16 / 8) | (more << 13)).to_be_bytes());
        finish_ipv4(&mut fragment);
    }
    fragment.extend_from_slice(&bytes[header + from..header + to]);
    fragment
}
