//! One way of one connection: the sender's numbers as the guard read them, the receiver's numbers
//! as the guard wrote them, and what both ends were told. Offsets count octets of payload from
//! zero; a FIN takes one more.

use std::collections::HashSet;

use crate::laws::fin_len;
use crate::packet::{FIN, Packet, RST, SYN};
use crate::reference::Edited;

/// What an end said of itself.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) mss: usize,
    pub(crate) scale: Option<u8>,
    sack: bool,
    timestamps: bool,
    values: HashSet<u32>,
    newest: Option<u32>,
    hops: u8,
    /// What left in its name with as many hops as it has shown.
    told: Option<Told>,
}

/// How far an end's word goes: its octets and FIN, its acknowledgement, its window's right edge.
#[derive(Debug, Clone, Copy)]
struct Told {
    end: u32,
    ack: u32,
    edge: u32,
    reset: bool,
}

impl Told {
    fn read(packet: &Packet<'_>, shift: u8) -> Self {
        Self {
            end: packet.seq.wrapping_add(packet.seq_len()),
            ack: packet.ack,
            edge: packet.ack.wrapping_add(u32::from(packet.window) << shift),
            reset: packet.has(RST),
        }
    }

    /// Whether `other` says nothing that is not said here, but for `unit` octets of window.
    fn covers(&self, other: &Self, unit: u32) -> bool {
        let lacks = |mine: u32, other: u32| other.wrapping_sub(mine).cast_signed() > 0;
        if other.reset {
            // One that is not at the very number resets nobody.
            return self.reset || lacks(self.end, other.end);
        }
        !lacks(self.end, other.end)
            && !lacks(self.ack, other.ack)
            && !lacks(self.edge.wrapping_add(unit), other.edge)
    }

    fn add(&mut self, other: &Self) {
        let later = |mine: u32, other: u32| {
            if other.wrapping_sub(mine).cast_signed() > 0 { other } else { mine }
        };
        self.end = later(self.end, other.end);
        if !other.reset {
            self.ack = later(self.ack, other.ack);
            self.edge = later(self.edge, other.edge);
        }
        self.reset |= other.reset;
    }
}

impl Default for End {
    fn default() -> Self {
        Self {
            mss: usize::MAX,
            scale: None,
            sack: false,
            timestamps: false,
            values: HashSet::new(),
            newest: None,
            hops: 0,
            told: None,
        }
    }
}

impl End {
    pub(crate) fn read_syn(&mut self, packet: &Packet<'_>) {
        let options = &packet.options;
        self.mss = options.mss.map_or(536, usize::from);
        self.scale = options.scale;
        self.sack = options.sack_permitted;
        self.timestamps = options.timestamps.is_some();
    }

    pub(crate) fn note(&mut self, packet: &Packet<'_>) {
        self.values.extend(packet.options.timestamps.map(|(value, _)| value));
        self.hops = self.hops.max(packet.hops);
    }

    /// Whether timestamps are agreed on, and none is zero: that one Linux takes for none.
    pub(crate) fn is_stamped(&self, peer: &Self) -> bool {
        self.timestamps && peer.timestamps && !self.values.contains(&0)
    }

    /// Checks the options of what is said in this end's name; `caused` is the timestamp of the
    /// packet of this end that is being handled.
    pub(crate) fn check(
        &mut self,
        packet: &Packet<'_>,
        caused: Option<u32>,
        peer: &Self,
        strict: bool,
    ) -> Result<(), String> {
        let options = &packet.options;
        self.check_hops(packet, peer)?;
        let agreed = self.sack && peer.sack;
        if !agreed && !options.sack.is_empty() {
            return Err("SACK blocks were not agreed on".into());
        }
        if strict && (packet.reserved != 0 || !options.unknown.is_empty()) {
            return Err(format!("bits {:x}, options {:?}", packet.reserved, options.unknown));
        }
        if packet.has(SYN) || packet.has(RST) {
            return Ok(());
        }
        if options.mss.is_some() || options.scale.is_some() || options.sack_permitted {
            return Err("an option that belongs to a SYN".into());
        }
        let Some((value, echo)) = options.timestamps else {
            return if self.timestamps && peer.timestamps {
                Err("no timestamps, although agreed on".into())
            } else {
                Ok(())
            };
        };
        if !self.values.contains(&value) {
            return Err(format!("timestamp {value} was never sent"));
        }
        if !peer.values.contains(&echo) {
            return Err(format!("timestamp {echo} is echoed and was never sent"));
        }
        let older = self.newest.is_some_and(|newest| (value.wrapping_sub(newest) as i32) < 0);
        if older && caused != Some(value) {
            return Err(format!("timestamp {value} goes back from {:?}", self.newest));
        }
        if !older {
            self.newest = Some(value);
        }
        Ok(())
    }
}

impl End {
    /// What dies between the guard and the receiver must have been said before by what does not.
    fn check_hops(&mut self, packet: &Packet<'_>, peer: &Self) -> Result<(), String> {
        let shift = match (self.scale, peer.scale) {
            (Some(shift), Some(_)) if !packet.has(SYN) => shift,
            _ => 0,
        };
        let says = Told::read(packet, shift);
        if packet.hops == self.hops {
            self.told.get_or_insert(says).add(&says);
            return Ok(());
        }
        let was_told = self.told.is_some_and(|told| told.covers(&says, 1 << shift));
        if packet.hops > self.hops || !was_told {
            return Err(format!("hop limit {} instead of {}", packet.hops, self.hops));
        }
        Ok(())
    }
}

/// From when on octets may pass: see [`crate::reference::Judged::gates`].
pub(crate) type Gate = (usize, usize);

/// One way.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) isn_in: Option<u32>,
    pub(crate) isn_out: Option<u32>,
    /// Which octets the guard has read.
    seen: Vec<bool>,
    contiguous: usize,
    /// Behind the last number that the sender used.
    in_end: i64,
    /// What the guard has written where.
    out: Vec<Option<u8>>,
    fin_out: Option<i64>,
    /// What the receiver has acknowledged, and the right edge of its window.
    acked: i64,
    edge: i64,
    /// What the sender was told, what the receiver had acknowledged then, and what the guard could
    /// promise by itself: what it had read without a hole, when there is or was one behind it.
    told: Vec<(i64, i64, i64)>,
    had_hole: bool,
    told_ack: i64,
    told_edge: i64,
    /// The edge in the last acknowledgement that was relayed, even an old one.
    last_edge: i64,
    /// Windows that were told to the sender.
    offers: Vec<Offer>,
    /// How far the guard had written, and what it had read of the other way then.
    progress: Vec<(usize, usize)>,
}

/// How many units of the window field an edge may creep: each old acknowledgement that is relayed
/// with the edge of a newer one is rounded up.
const CREEP: i64 = 1;

/// A window told to the sender, wider than those before.
#[derive(Debug)]
struct Offer {
    /// Its right edge.
    told: i64,
    /// The right edge that the receiver had told.
    edge: i64,
    /// How much the guard had read of the sender.
    read: usize,
    /// The unit of the window field.
    unit: i64,
}

/// Whose word an acknowledgement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Guard,
    Newest,
    Old,
}

fn offset(number: u32, isn: u32) -> i64 {
    i64::from(number.wrapping_sub(isn).wrapping_sub(1) as i32)
}

/// Offsets beyond this are those of another connection.
const FAR: i64 = 1 << 28;

impl Way {
    /// The guard reads a packet of the sender.
    pub(crate) fn read(&mut self, packet: &Packet<'_>) {
        let Some(isn) = self.isn_in else { return };
        let start = offset(packet.seq, isn) + i64::from(packet.has(SYN));
        if start.abs() > FAR {
            return;
        }
        let end = start + packet.payload.len() as i64;
        self.in_end = self.in_end.max(end + fin_len(packet));
        if end > self.seen.len() as i64 {
            self.seen.resize(end as usize, false);
        }
        for at in start.max(0)..end {
            self.seen[at as usize] = true;
        }
        while self.seen.get(self.contiguous) == Some(&true) {
            self.contiguous += 1;
        }
        self.had_hole |= self.contiguous < self.seen.len();
    }

    /// How many octets the guard has read without a hole.
    pub(crate) fn contiguous(&self) -> usize {
        self.contiguous
    }

    /// The guard reads an acknowledgement of the receiver; false if it is an old one.
    pub(crate) fn read_ack(&mut self, packet: &Packet<'_>, shift: u8) -> bool {
        let Some(isn) = self.isn_out else { return true };
        let acked = offset(packet.ack, isn);
        if acked > self.out.len() as i64 + 1 || acked < -1 {
            return false;
        }
        let edge = acked + (i64::from(packet.window) << shift);
        let fresh = edge + (1 << shift) > self.edge && acked >= self.acked;
        self.acked = self.acked.max(acked);
        self.edge = self.edge.max(edge);
        fresh
    }

    /// The guard writes a packet in the sender's name.
    pub(crate) fn write(
        &mut self,
        packet: &Packet<'_>,
        strict: bool,
        other_seen: usize,
    ) -> Result<(), String> {
        let Some(isn) = self.isn_out else {
            return Err("a packet before the SYN".into());
        };
        let start = offset(packet.seq, isn) + i64::from(packet.has(SYN));
        let end = start + packet.payload.len() as i64;
        // A keep-alive repeats one octet and need not know it, or puts one where the FIN was.
        let keep_alive = packet.payload == [0] && (!strict || self.fin_out == Some(start));
        if keep_alive {
            return Ok(());
        }
        if strict && !packet.payload.is_empty() {
            let room = if self.edge == self.acked { 1 } else { 0 };
            if end > self.edge + room {
                return Err(format!(
                    "L10: octets up to {end}, but the window ends at {}",
                    self.edge
                ));
            }
            if start > self.out.len() as i64 || start < -1 {
                return Err(format!(
                    "octets from {start}, but the stream has come to {}",
                    self.out.len()
                ));
            }
        }
        if !packet.payload.is_empty() && self.fin_out.is_some_and(|fin| end > fin) {
            return Err(format!("L14: octets up to {end} behind the FIN at {:?}", self.fin_out));
        }
        for (at, octet) in (start..).zip(packet.payload) {
            let Ok(at) = usize::try_from(at) else {
                continue;
            };
            if at >= self.out.len() {
                self.out.resize(at + 1, None);
            }
            match self.out[at] {
                Some(before) if before != *octet => {
                    return Err(format!(
                        "L9: octet {at} was {:?} and is now {:?}",
                        char::from(before),
                        char::from(*octet)
                    ));
                }
                _ => self.out[at] = Some(*octet),
            }
        }
        if self.progress.last().is_none_or(|last| last.0 < self.out.len()) {
            self.progress.push((self.out.len(), other_seen));
        }
        if packet.has(FIN) {
            if self.fin_out.is_some_and(|fin| fin != end) {
                return Err(format!("L14: FIN at {end}, before at {:?}", self.fin_out));
            }
            self.fin_out = Some(end);
            if strict && (end != self.out.len() as i64 || self.out.contains(&None)) {
                return Err(format!("L14: FIN at {end}, octets up to {}", self.out.len()));
            }
        }
        Ok(())
    }

    /// The guard writes an acknowledgement to the sender: its own, or one that the receiver has
    /// said, which is then either the newest or an old one.
    pub(crate) fn write_ack(
        &mut self,
        packet: &Packet<'_>,
        shift: u8,
        origin: Origin,
    ) -> Result<(), String> {
        let Some(isn) = self.isn_in else {
            return Err("an acknowledgement of nothing".into());
        };
        let ack = offset(packet.ack, isn);
        if ack > self.in_end {
            return Err(format!(
                "L11: {ack} is acknowledged, but the sender has sent up to {}",
                self.in_end
            ));
        }
        if ack > self.told_ack || self.told.is_empty() {
            self.told_ack = ack;
            let promise = if self.had_hole { self.contiguous as i64 } else { 0 };
            self.told.push((ack, self.acked, promise));
        }
        let edge = ack + (i64::from(packet.window) << shift);
        let least = match origin {
            Origin::Newest => self.told_edge,
            // An old one may have been relayed since; the sender took that for the truth. It
            // was rounded once more than the newest.
            Origin::Guard => self.last_edge.min(self.told_edge) - (1 << shift),
            Origin::Old => i64::MIN,
        };
        if edge + (1 << shift) <= least {
            return Err(format!(
                "the right edge of the window goes back from {least} to {edge} ({origin:?})"
            ));
        }
        if edge > self.told_edge {
            self.offers.push(Offer {
                told: edge,
                edge: self.edge,
                read: self.contiguous,
                unit: 1 << shift,
            });
        }
        self.last_edge = edge;
        self.told_edge = self.told_edge.max(edge);
        for (left, right) in &packet.options.sack {
            let (left, right) = (offset(*left, isn), offset(*right, isn));
            let inside = left >= 0
                && left < right
                && self
                    .seen
                    .get(left as usize..right as usize)
                    .is_some_and(|octets| !octets.contains(&false));
            if !inside {
                return Err(format!("SACK {left}-{right} of octets that did not come"));
            }
        }
        Ok(())
    }

    /// At the end, with the streams known.
    pub(crate) fn conclude(&self, edited: &Edited) -> Result<(), String> {
        let len = edited.octets.len();
        let original = edited.image.len() - 1;
        for (ack, acked, promise) in &self.told {
            let needed = match usize::try_from(*ack) {
                Err(_) => continue,
                Ok(ack) if ack <= original => edited.image[ack],
                Ok(_) => len + 1,
            };
            if *acked < needed as i64 && *promise < *ack {
                return Err(format!(
                    "L3: {ack} octets were acknowledged, which are {needed} for the receiver, \
                     who had acknowledged {acked}; the guard had read {promise}"
                ));
            }
        }
        let mut most = 0;
        // By how much a number may differ: what the guard has not judged yet, it must take for
        // unedited, and an edge once told stays.
        let (mut shift, mut at) = (0, 0);
        for offer in &self.offers {
            while at <= offer.read.min(original) {
                shift = shift.max(at as i64 - edited.image[at] as i64);
                at += 1;
            }
            most = most.max(offer.edge + shift);
            if offer.told > most + offer.unit * CREEP {
                return Err(format!(
                    "the sender is offered a window up to {}, the receiver's image of it is {most}",
                    offer.told
                ));
            }
        }
        if self.fin_out != Some(len as i64) {
            return Err(format!("L14: FIN at {:?} of {len} octets", self.fin_out));
        }
        Ok(())
    }

    /// Octets from `gate.0` on may have left only after `gate.1` octets of the other way came.
    pub(crate) fn check_gate(&self, gate: Gate) -> Result<(), String> {
        match self.progress.iter().find(|(end, seen)| *end > gate.0 && *seen < gate.1) {
            Some((end, seen)) => Err(format!(
                "octets up to {end} left when {seen} octets of replies had come: those from {} \
                 had to wait for {}",
                gate.0, gate.1
            )),
            None => Ok(()),
        }
    }
}
