//! One direction of a wire, with seeded and scripted faults.

use fastrand::Rng;

use crate::packet::{self, FIN, Packet, SYN};

/// Which packets a scripted fault counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// With payload.
    Data,
    /// Nothing but an acknowledgement.
    Ack,
    Syn,
    Fin,
}

impl What {
    fn of(packet: &[u8]) -> Option<Self> {
        let packet = Packet::read(packet).ok()?;
        Some(if packet.has(SYN) {
            Self::Syn
        } else if !packet.payload.is_empty() {
            Self::Data
        } else if packet.has(FIN) {
            Self::Fin
        } else {
            Self::Ack
        })
    }
}

/// What happens to the packets of one direction of a wire. Chances are out of ten thousand.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    pub(crate) loss: u32,
    pub(crate) twice: u32,
    pub(crate) corrupt: u32,
    /// Packets of which another follows or precedes, with other words for the same octets.
    pub(crate) forge: u32,
    /// Packets that are overtaken by others.
    pub(crate) late: u32,
    /// By how much, at most, in microseconds.
    pub(crate) lateness: u64,
    /// Time on the way, in microseconds.
    pub(crate) delay: u64,
    /// Time that one packet occupies the wire, in microseconds.
    pub(crate) slot: u64,
    /// Drop the n-th packet of its kind, counted from zero.
    pub(crate) drop: Vec<(What, usize)>,
    /// Hold the n-th packet of its kind back until so many others could have passed.
    pub(crate) hold: Vec<(What, usize, u64)>,
}

impl Faults {
    /// A good wire.
    pub(crate) const NONE: Self = Self {
        loss: 0,
        twice: 0,
        corrupt: 0,
        forge: 0,
        late: 0,
        lateness: 0,
        delay: 1_000,
        slot: 0,
        drop: Vec::new(),
        hold: Vec::new(),
    };

    pub(crate) fn seeded(rng: &mut Rng) -> Self {
        let mut faults = Self {
            delay: *rng.choice(&[0, 500, 5_000, 20_000]).unwrap_or(&500),
            slot: *rng.choice(&[0, 0, 5, 50, 300]).unwrap_or(&0),
            ..Self::NONE
        };
        if rng.bool() {
            faults.loss = *rng.choice(&[0, 0, 50, 200, 600]).unwrap_or(&0);
            faults.twice = *rng.choice(&[0, 0, 200, 1000]).unwrap_or(&0);
            faults.corrupt = *rng.choice(&[0, 0, 100]).unwrap_or(&0);
            faults.late = *rng.choice(&[0, 0, 300, 2000]).unwrap_or(&0);
            faults.lateness = rng.u64(10..3_000 + faults.delay);
        }
        faults
    }

    /// Whether every packet arrives once and in order.
    pub(crate) fn are_none(&self) -> bool {
        !self.loses() && self.twice == 0 && self.late == 0
    }

    /// Whether packets may be lost here.
    pub(crate) fn loses(&self) -> bool {
        self.loss > 0 || self.corrupt > 0 || !self.drop.is_empty() || !self.hold.is_empty()
    }
}

/// One direction of a wire.
#[derive(Debug)]
pub(crate) struct Wire {
    faults: Faults,
    rng: Rng,
    free_at: u64,
    last: u64,
    /// Packets of each kind.
    pub(crate) counts: [usize; 4],
    pub(crate) lost: u64,
    pub(crate) corrupted: u64,
}

impl Wire {
    pub(crate) fn new(faults: Faults, rng: Rng) -> Self {
        Self { faults, rng, free_at: 0, last: 0, counts: [0; 4], lost: 0, corrupted: 0 }
    }

    fn happens(&mut self, chance: u32) -> bool {
        chance > 0 && self.rng.u32(..10_000) < chance
    }

    /// The same packet with other words, a little earlier or later in the stream.
    fn forged(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        const WORDS: &[u8] = b"EXPN root\r\nVRFY root\r\nDATA\r\nQUIT\r\n.\r\nNOOP\r\n";
        let packet = Packet::read(bytes).ok()?;
        if packet.payload.is_empty() || packet.has(SYN) || !packet.complete {
            return None;
        }
        let mut forged = bytes.to_vec();
        let from = self.rng.usize(..WORDS.len());
        for (n, octet) in forged[packet.payload_at..].iter_mut().enumerate() {
            if self.rng.u8(..8) > 0 {
                *octet = WORDS[(from + n) % WORDS.len()];
            }
        }
        let shift = *self.rng.choice(&[0, 0, 0, 1, 3, 20, 200]).unwrap_or(&0);
        let seq = if self.rng.bool() {
            packet.seq.wrapping_sub(shift)
        } else {
            packet.seq.wrapping_add(shift)
        };
        forged[packet.tcp_at + 4..packet.tcp_at + 8].copy_from_slice(&seq.to_be_bytes());
        packet::finish(&mut forged, false);
        Some(forged)
    }

    /// Sends a packet at `now`: when it arrives, and as what.
    pub(crate) fn send(&mut self, now: u64, mut packet: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
        let mut arrivals = Vec::new();
        let mut behind = None;
        if let Some(what) = What::of(&packet) {
            let count = &mut self.counts[what as usize];
            *count += 1;
            let nth = *count - 1;
            behind = self
                .faults
                .hold
                .iter()
                .find(|hold| (hold.0, hold.1) == (what, nth))
                .map(|hold| hold.2);
            if self.faults.drop.contains(&(what, nth)) {
                self.lost += 1;
                return arrivals;
            }
        }
        self.free_at = self.free_at.max(now) + self.faults.slot;
        if self.happens(self.faults.loss) {
            self.lost += 1;
            return arrivals;
        }
        if self.happens(self.faults.corrupt) {
            // One bit of the TCP part: the sum cannot miss it.
            let from = if packet[0] >> 4 == 4 { 20 } else { 40 };
            let at = self.rng.usize(from..packet.len());
            packet[at] ^= 1 << self.rng.u8(..8);
            self.corrupted += 1;
        }
        if self.happens(self.faults.forge)
            && let Some(forged) = self.forged(&packet)
        {
            let late = self.rng.u64(0..=self.faults.lateness);
            arrivals.push((self.free_at + self.faults.delay + late, forged));
        }
        if self.happens(self.faults.twice) {
            let late = self.rng.u64(0..=self.faults.lateness);
            arrivals.push((self.free_at + self.faults.delay + late, packet.clone()));
        }
        let mut at = self.free_at + self.faults.delay;
        if let Some(packets) = behind {
            arrivals.push((at + packets * self.faults.slot.max(1) + 1, packet));
            return arrivals;
        }
        if self.happens(self.faults.late) {
            at += self.rng.u64(0..=self.faults.lateness);
        } else {
            at = at.max(self.last);
            self.last = at;
        }
        arrivals.push((at, packet));
        arrivals
    }
}
