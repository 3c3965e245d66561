//! What the kernel does around a TUN device with offload: it coalesces segments into
//! super-segments before the guard reads them (GRO), leaves checksums half done, and cuts and
//! finishes what the guard writes (GSO).

use mailguard::wire::offload::Offload;

use crate::packet::{self, ACK, CWR, FIN, PSH, Packet, u32_at};

/// Cuts what the guard wrote into the packets that a wire carries, and finishes their sums.
pub(crate) fn cut(bytes: &[u8], offload: Offload) -> Vec<Vec<u8>> {
    let Ok(read) = Packet::read(bytes) else {
        return vec![bytes.to_vec()];
    };
    let size = offload.gso_size.map_or(usize::MAX, usize::from).max(1);
    if read.payload.len() <= size {
        let mut whole = bytes.to_vec();
        if offload.partial_checksum {
            packet::finish(&mut whole, false);
        }
        return vec![whole];
    }
    let (header, tcp_at) = (read.payload_at, read.tcp_at);
    let pieces = read.payload.len().div_ceil(size);
    let mut cut = Vec::with_capacity(pieces);
    for (n, payload) in read.payload.chunks(size).enumerate() {
        let mut piece = bytes[..header].to_vec();
        piece.extend_from_slice(payload);
        let seq = read.seq.wrapping_add((n * size) as u32);
        piece[tcp_at + 4..tcp_at + 8].copy_from_slice(&seq.to_be_bytes());
        if n + 1 < pieces {
            piece[tcp_at + 13] &= !(FIN | PSH);
        }
        if n > 0 {
            piece[tcp_at + 13] &= !CWR;
        }
        if piece[0] >> 4 == 4 {
            let id = packet::u16_at(bytes, 4).wrapping_add(n as u16);
            piece[4..6].copy_from_slice(&id.to_be_bytes());
        }
        packet::finish(&mut piece, false);
        cut.push(piece);
    }
    cut
}

/// A super-segment under construction.
#[derive(Debug)]
pub(crate) struct Super {
    bytes: Vec<u8>,
    size: usize,
    segments: usize,
    next: u32,
}

/// What became of a segment that was offered to a [`Super`].
pub(crate) enum Merge {
    /// It is in; more may follow.
    Taken,
    /// It is in, and it is the last.
    Last,
    /// It does not fit: both go on as they are.
    Refused,
}

impl Super {
    /// Begins one with `bytes`, if they are a plain data segment.
    pub(crate) fn begin(bytes: &[u8]) -> Option<Self> {
        let read = Packet::read(bytes).ok()?;
        let plain = read.flags == ACK && !read.payload.is_empty() && read.urgent == 0;
        (plain && read.complete).then(|| Self {
            size: read.payload.len(),
            segments: 1,
            next: read.seq.wrapping_add(read.payload.len() as u32),
            bytes: bytes.to_vec(),
        })
    }

    /// Appends `bytes`, under the conditions of the kernel's `tcp_gro_receive`.
    pub(crate) fn merge(&mut self, bytes: &[u8]) -> Merge {
        let Ok(read) = Packet::read(bytes) else {
            return Merge::Refused;
        };
        let Ok(mine) = Packet::read(&self.bytes) else {
            return Merge::Refused;
        };
        let (tcp, window, payload_at) = (mine.tcp_at, mine.window, mine.payload_at);
        let fits = read.complete
            && read.source == mine.source
            && read.target == mine.target
            && read.seq == self.next
            && read.ack == u32_at(&self.bytes, tcp + 8)
            && read.window == window
            && read.flags & !(FIN | PSH) == ACK
            && read.urgent == 0
            && (1..=self.size).contains(&read.payload.len())
            && self.bytes.len() + read.payload.len() < 60_000
            && bytes[read.tcp_at + 20..read.payload_at] == self.bytes[tcp + 20..payload_at];
        if !fits {
            return Merge::Refused;
        }
        let last = read.payload.len() < self.size || read.flags != ACK;
        self.bytes.extend_from_slice(read.payload);
        self.bytes[tcp + 13] |= read.flags;
        packet::finish(&mut self.bytes, true);
        self.segments += 1;
        self.next = self.next.wrapping_add(read.payload.len() as u32);
        if last { Merge::Last } else { Merge::Taken }
    }

    /// The packet as the guard reads it.
    pub(crate) fn end(self) -> (Vec<u8>, Offload) {
        let merged = self.segments > 1;
        let offload = Offload {
            partial_checksum: merged,
            gso_size: merged.then_some(self.size as u16),
            ..Offload::default()
        };
        (self.bytes, offload)
    }
}
