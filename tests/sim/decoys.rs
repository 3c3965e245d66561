//! An attacker beside the wire: before a packet of the session comes one that its receiver would
//! refuse. The guard must emit nothing for it, name it, and go on as if it had not been. Packets of
//! the session themselves are dressed up with what means nothing.

use fastrand::Rng;
use mailguard::counters::DropReason;

use crate::packet::{self, ACK, FIN, Packet, RST, SYN, URG, u32_at};

/// What decides which decoys are some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// The guard knows the connection.
    pub(crate) is_alive: bool,
    /// Both ends use timestamps, and no receiver takes the last one for none.
    pub(crate) is_stamped: bool,
    /// The number of the first octet of this way, if it has come.
    pub(crate) first: Option<u32>,
    /// Octets of the other way have come.
    pub(crate) has_peer_spoken: bool,
}

/// The decoys, and why each of them is dropped.
const KINDS: [(Kind, DropReason); 18] = [
    (Kind::Sum, DropReason::BadChecksum),
    (Kind::NoFlags, DropReason::BadFlags),
    (Kind::SynFin, DropReason::BadFlags),
    (Kind::Md5, DropReason::Md5),
    (Kind::Authenticated, DropReason::Md5),
    (Kind::Options, DropReason::BadOptions),
    (Kind::Martian, DropReason::IpMartian),
    (Kind::Ttl, DropReason::IpTtlExpired),
    (Kind::Route, DropReason::IpOptions),
    (Kind::Header, DropReason::IpAuthentication),
    (Kind::OldAck, DropReason::BadAck),
    (Kind::NewAck, DropReason::BadAck),
    (Kind::Beyond, DropReason::OutOfWindow),
    (Kind::Behind, DropReason::OutOfWindow),
    (Kind::Reset, DropReason::OutOfWindow),
    (Kind::OldStamp, DropReason::Paws),
    (Kind::NoStamp, DropReason::TimestampMissing),
    (Kind::Fin, DropReason::BadFin),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sum,
    NoFlags,
    SynFin,
    Md5,
    Authenticated,
    Options,
    Martian,
    Ttl,
    Route,
    Header,
    OldAck,
    NewAck,
    Beyond,
    Behind,
    Reset,
    OldStamp,
    NoStamp,
    Fin,
}

impl Kind {
    /// Only the numbers of a connection tell that it is one.
    fn needs_a_connection(self) -> bool {
        use Kind::{Behind, Beyond, Fin, NewAck, NoStamp, OldAck, OldStamp, Reset};
        matches!(self, OldAck | NewAck | Beyond | Behind | Reset | OldStamp | NoStamp | Fin)
    }
}

/// Every reason for which decoys are dropped.
pub(crate) fn reasons() -> impl Iterator<Item = DropReason> {
    KINDS.into_iter().map(|(_, reason)| reason)
}

/// A packet that nobody takes, like `bytes`, and why not.
pub(crate) fn decoy(rng: &mut Rng, bytes: &[u8], view: View) -> Option<(Vec<u8>, DropReason)> {
    let read = Packet::read(bytes).ok().filter(|read| read.complete)?;
    let (kind, reason) = KINDS[rng.usize(..KINDS.len())];
    let is_v4 = bytes[0] >> 4 == 4;
    let tcp = read.tcp_at;
    // With octets of its own, where octets may be.
    let mut decoy = bytes[..read.payload_at].to_vec();
    decoy.extend(b"EXPN root\r\n".iter().cycle().take(read.payload.len().max(11)));
    let plain = read.flags & (SYN | RST | FIN) == 0 && read.has(ACK) && view.is_alive;
    let far = 1 << 30;
    if kind.needs_a_connection() && !plain {
        return None;
    }
    match kind {
        Kind::Sum => {
            packet::finish(&mut decoy, false);
            decoy[tcp + 16] ^= 0x55;
            return Some((decoy, reason));
        }
        Kind::NoFlags => decoy[tcp + 13] = 0,
        Kind::SynFin => decoy[tcp + 13] |= SYN | FIN,
        Kind::Md5 => {
            let mut option = [7; 20];
            option[..4].copy_from_slice(&[1, 1, 19, 18]);
            insert(&mut decoy, tcp, &option)?;
        }
        Kind::Authenticated => insert(&mut decoy, tcp, &[29, 4, 0, 0])?,
        Kind::Options => {
            let lists = [[8, 0, 1, 1], [77, 40, 1, 1], [5, 3, 1, 1], [3, 2, 1, 1]];
            insert(&mut decoy, tcp, &lists[rng.usize(..4)])?;
        }
        Kind::Martian => {
            let (at, octet) = if is_v4 { (12, 127) } else { (8, 0xff) };
            decoy[at] = octet;
        }
        Kind::Ttl => decoy[if is_v4 { 8 } else { 7 }] = rng.u8(..2),
        Kind::Route if is_v4 => {
            decoy.splice(20..20, [131, 7, 4, 10, 0, 0, 9, 0]);
            decoy[0] += 2;
        }
        Kind::Route => return Some((behind(decoy, 60, &[6, 0, 0x9e, 4, 0, 0, 0, 0]), reason)),
        Kind::Header => {
            let header = [6, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
            return Some((behind(decoy, 51, &header), reason));
        }
        Kind::OldAck | Kind::NewAck => {
            add(&mut decoy, tcp + 8, if kind == Kind::NewAck { far } else { far.wrapping_neg() });
        }
        Kind::Beyond => add(&mut decoy, tcp + 4, far),
        Kind::Behind => add(&mut decoy, tcp + 4, far.wrapping_neg()),
        Kind::Reset => {
            add(&mut decoy, tcp + 4, if rng.bool() { far } else { far.wrapping_neg() });
            decoy[tcp + 13] |= RST;
            if !view.has_peer_spoken {
                // Or it refuses a SYN that was said twice.
                add(&mut decoy, tcp + 8, far);
            }
        }
        Kind::OldStamp | Kind::NoStamp => {
            let at = timestamps_at(&read, bytes).filter(|_| view.is_stamped)?;
            if kind == Kind::OldStamp {
                add(&mut decoy, at + 2, 100_000_u32.wrapping_neg());
            } else {
                decoy[at..at + 10].fill(1);
            }
        }
        Kind::Fin => {
            // Before octets that have come.
            let first = view.first?;
            decoy.truncate(read.payload_at);
            decoy[tcp + 4..tcp + 8].copy_from_slice(&first.to_be_bytes());
            decoy[tcp + 13] |= FIN;
        }
    }
    packet::finish(&mut decoy, false);
    Some((decoy, reason))
}

fn add(packet: &mut [u8], at: usize, delta: u32) {
    let value = u32_at(packet, at).wrapping_add(delta);
    packet[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Puts a TCP option before the others, if there is room.
fn insert(packet: &mut Vec<u8>, tcp_at: usize, option: &[u8]) -> Option<()> {
    let words = packet[tcp_at + 12] >> 4;
    if usize::from(words) * 4 + option.len() > 60 {
        return None;
    }
    packet.splice(tcp_at + 20..tcp_at + 20, option.iter().copied());
    packet[tcp_at + 12] += (option.len() as u8 / 4) << 4;
    Some(())
}

/// Puts an extension header of `kind` before TCP. The sum of the TCP part stays right.
fn behind(mut packet: Vec<u8>, kind: u8, header: &[u8]) -> Vec<u8> {
    packet::finish(&mut packet, false);
    let at = if packet[0] >> 4 == 4 { 20 } else { 40 };
    packet.splice(at..at, header.iter().copied());
    if at == 40 {
        packet[6] = kind;
        let len = packet.len() as u16 - 40;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
    } else {
        packet[9] = kind;
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet::finish_ipv4(&mut packet);
    }
    packet
}

fn timestamps_at(read: &Packet<'_>, bytes: &[u8]) -> Option<usize> {
    let mut at = read.tcp_at + 20;
    while at < read.payload_at && bytes[at] != 0 {
        match bytes[at] {
            8 => return Some(at),
            1 => at += 1,
            _ => at += usize::from(bytes[at + 1]),
        }
    }
    None
}

/// Dresses up a packet of the session with what must be taken from it again: reserved bits, a hop
/// limit that is too low, a reserved flag, options that mean nothing.
pub(crate) fn dress_up(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let Ok(read) = Packet::read(bytes) else { return };
    if !read.complete {
        return;
    }
    let (tcp, is_v4) = (read.tcp_at, bytes[0] >> 4 == 4);
    if read.has(SYN) {
        // MPTCP, Fast Open, user time-out, an experiment: none may be believed to be agreed on.
        let options = [[30, 12], [34, 2], [28, 4], [254, 12]];
        let [kind, len] = options[rng.usize(..options.len())];
        let mut option = vec![0; usize::from(len).next_multiple_of(4)];
        option.fill(1);
        option[..2].copy_from_slice(&[kind, len]);
        if insert(bytes, tcp, &option).is_some() {
            packet::finish(bytes, false);
        }
        return;
    }
    match rng.u8(..5) {
        4 => {
            bytes[tcp + 13] |= URG;
            bytes[tcp + 18..tcp + 20].copy_from_slice(&rng.u16(..).to_be_bytes());
        }
        0 => bytes[tcp + 12] |= rng.u8(1..16),
        1 => bytes[if is_v4 { 8 } else { 7 }] = rng.u8(2..64),
        2 if is_v4 => bytes[6] |= 0x80,
        2 => {}
        // No segment grows beyond what its receiver has announced.
        _ if read.options_len <= 32 && read.payload.len() < 200 => {
            bytes.splice(tcp + 20..tcp + 20, [28, 4, 0, 9, 254, 4, 1, 2]);
            bytes[tcp + 12] += 2 << 4;
        }
        _ => {}
    }
    packet::finish(bytes, false);
}
