//! One way of one connection: the sender's numbers as the guard read them, the receiver's numbers
//! as the guard wrote them, and what both ends were told. Offsets count octets of payload from
//! zero; a FIN takes one more.

use std::collections::BTreeSet;

use crate::balance::Happened;
use crate::ledger::{Ledger, Offer, Progress, Told};
use crate::packet::{FIN, Packet, SYN};
use crate::reference::Edited;

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
    /// Where the sender's FIN stands; a liar has several.
    fins_in: BTreeSet<i64>,
    /// What the guard has written where.
    out: Vec<Option<u8>>,
    fin_out: Option<i64>,
    /// What the receiver has acknowledged and reported, and the right edge of its window.
    acked: i64,
    reported: i64,
    /// It had reported octets beyond its acknowledgement, since the last entry of the ledger.
    had_reports: bool,
    edge: i64,
    /// What the packet in hand has changed, should it be dropped.
    undo: Option<Undo>,
    /// Octets beyond the window were cut from a packet: nobody knows here how many.
    was_trimmed: bool,
    /// What it has acknowledged in packets that were not dropped, and in the one in hand.
    believed: i64,
    in_hand: Option<i64>,
    /// There was a hole in what the guard has read: ever, and since the last entry of the ledger.
    had_hole: bool,
    has_hole: bool,
    told_ack: i64,
    told_edge: i64,
    /// The edge in the last acknowledgement that was relayed, even an old one.
    last_edge: i64,
    /// The sender's view of its window: the number and acknowledgement of the segment that said it
    /// (RFC 9293 section 3.10.7.4: SND.WL1 and SND.WL2), and the right edge.
    view: Option<(u32, i64, i64)>,
    /// Which octets the sender was told to have arrived beyond the acknowledgement.
    sacked: Vec<bool>,
    ledger: Ledger,
    calls: u64,
}

/// What was known before a packet.
#[derive(Debug)]
struct Undo {
    start: usize,
    seen: Vec<bool>,
    contiguous: usize,
    fins: BTreeSet<i64>,
    has_hole: bool,
    had_hole: bool,
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

fn fin_len(packet: &Packet<'_>) -> i64 {
    i64::from(packet.has(FIN))
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
        let from = start.clamp(0, self.seen.len() as i64) as usize;
        self.undo = Some(Undo {
            start: from,
            seen: self.seen[from..].to_vec(),
            contiguous: self.contiguous,
            fins: self.fins_in.clone(),
            has_hole: self.has_hole,
            had_hole: self.had_hole,
        });
        if packet.has(FIN) {
            self.fins_in.insert(end);
        }
        if end > self.seen.len() as i64 {
            self.seen.resize(end as usize, false);
        }
        for at in start.max(0)..end {
            self.seen[at as usize] = true;
        }
        while self.seen.get(self.contiguous) == Some(&true) {
            self.contiguous += 1;
        }
        let has_hole = self.contiguous < self.seen.len();
        self.had_hole |= has_hole;
        self.has_hole |= has_hole;
    }

    /// The guard has cut octets beyond the window from the packet in hand.
    pub(crate) fn trim(&mut self) {
        self.was_trimmed = true;
    }

    /// How many octets the guard has read without a hole.
    pub(crate) fn contiguous(&self) -> usize {
        self.contiguous
    }

    /// Octets that the guard may have to keep, in either form.
    pub(crate) fn pending(&self) -> usize {
        let unheard = self.seen.len().saturating_sub(self.told_ack.max(0) as usize);
        let unacked = self.out.len().saturating_sub(self.acked.max(0) as usize);
        unheard + unacked + self.seen.len() - self.contiguous
    }

    /// How many octets have left.
    pub(crate) fn left(&self) -> usize {
        self.out.len()
    }

    /// Where a packet of the sender starts.
    pub(crate) fn place_in(&self, packet: &Packet<'_>) -> Option<i64> {
        self.isn_in.map(|isn| offset(packet.seq, isn))
    }

    /// Where an acknowledgement of the receiver points.
    pub(crate) fn place_of_ack(&self, packet: &Packet<'_>) -> Option<i64> {
        self.isn_out.map(|isn| offset(packet.ack, isn))
    }

    /// Where a packet that has left lies, if its octets are under way.
    pub(crate) fn flight_of(&self, packet: &Packet<'_>) -> Option<i64> {
        let at = offset(packet.seq, self.isn_out?);
        let is_under_way = at >= self.acked && at < self.out.len() as i64;
        (is_under_way && !packet.payload.is_empty()).then_some(at)
    }

    /// Of what lies there its sender was told an error, about that number.
    pub(crate) fn quote(&mut self, at: i64, seq: u32) {
        let told = self.isn_in.map_or(i64::MAX, |isn| offset(seq, isn));
        self.ledger.quoted.push((at, told));
    }

    /// The next number that its sender will use, if nothing was lost.
    pub(crate) fn end_in(&self) -> i64 {
        let end = self.contiguous as i64;
        end + i64::from(self.fins_in.contains(&end))
    }

    /// Whether the sender was told that all of a packet of its own has arrived: its receiver reads nothing in it,
    /// not even the acknowledgement.
    pub(crate) fn is_over(&self, packet: &Packet<'_>) -> bool {
        let len = packet.payload.len() as i64 + fin_len(packet);
        !packet.has(SYN)
            && self.place_in(packet).is_some_and(|start| start + len.max(1) <= self.told_ack)
    }

    /// The guard reads an acknowledgement of the receiver, which may be `over` with the packet that carries it;
    /// false if it is an old one.
    pub(crate) fn read_ack(&mut self, packet: &Packet<'_>, shift: u8, over: bool) -> bool {
        let Some(isn) = self.isn_out else { return true };
        let acked = offset(packet.ack, isn);
        if acked > self.out.len() as i64 + 1 || acked < -1 {
            return false;
        }
        let edge = acked + (i64::from(packet.window) << shift);
        let fresh = edge + (1 << shift) > self.edge && acked >= self.acked;
        self.had_reports |= self.reported > self.acked;
        self.has(self.acked, acked);
        self.acked = self.acked.max(acked);
        self.in_hand = Some(acked).filter(|_| !over);
        self.edge = self.edge.max(edge);
        for (left, right) in &packet.options.sack {
            let (left, right) = (offset(*left, isn), offset(*right, isn));
            if right.abs() < FAR {
                self.has(left, right);
                self.reported = self.reported.max(right);
            }
        }
        fresh
    }

    /// The receiver has those octets.
    fn has(&mut self, left: i64, right: i64) {
        self.ledger.had.resize(self.out.len(), None);
        let (left, right) = (left.max(0) as usize, right.max(0) as usize);
        for had in self.ledger.had.iter_mut().take(right).skip(left) {
            had.get_or_insert(self.calls);
        }
    }

    /// The guard writes a packet in the sender's name.
    pub(crate) fn write(&mut self, packet: &Packet<'_>, strict: bool) -> Result<(), String> {
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
        let known = self.out.len() as i64;
        if strict && !packet.payload.is_empty() {
            let room = if self.edge == self.acked { 1 } else { 0 };
            if end > self.edge + room {
                return Err(format!(
                    "L10, I12: octets up to {end}, but the window ends at {}",
                    self.edge
                ));
            }
            if start > known || start < -1 {
                return Err(format!(
                    "I10: octets from {start}, but the stream has come to {known}"
                ));
            }
        }
        let beyond = known + i64::from(self.fin_out.is_some());
        if strict && (start < -1 || start > beyond) {
            return Err(format!("I10: a packet at {start}, but the stream has come to {beyond}"));
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
                        "L9, I2: octet {at} was {:?} and is now {:?}",
                        char::from(before),
                        char::from(*octet)
                    ));
                }
                _ => self.out[at] = Some(*octet),
            }
        }
        if packet.has(FIN) {
            if self.fin_out.is_some_and(|fin| fin != end) {
                return Err(format!("L14, I11: FIN at {end}, before at {:?}", self.fin_out));
            }
            self.fin_out = Some(end);
            if strict && (end != self.out.len() as i64 || self.out.contains(&None)) {
                return Err(format!("L14, I11: FIN at {end}, octets up to {}", self.out.len()));
            }
            if strict && self.fins_in.first().is_none_or(|fin| *fin > self.contiguous as i64) {
                return Err(format!(
                    "I11: a FIN leaves; the sender's is at {:?}, {} octets are here",
                    self.fins_in, self.contiguous
                ));
            }
        }
        Ok(())
    }

    /// The guard writes a reset in the sender's name. One that the sender has sent where it stands
    /// (`is_exact`) must stand where the receiver expects it (I15).
    pub(crate) fn write_reset(&self, packet: &Packet<'_>, is_exact: bool) -> Result<(), String> {
        let Some(isn) = self.isn_out else { return Ok(()) };
        let at = offset(packet.seq, isn);
        let end = self.out.len() as i64 + i64::from(self.fin_out.is_some());
        if is_exact && at != end {
            return Err(format!("I15: a reset at {at}, its receiver expects {end}"));
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
        strict: bool,
    ) -> Result<(), String> {
        let Some(isn) = self.isn_in else {
            return Err("I5: an acknowledgement of nothing".into());
        };
        let ack = offset(packet.ack, isn);
        if ack > self.in_end {
            return Err(format!(
                "L11, I5: {ack} is acknowledged, but the sender has sent up to {}",
                self.in_end
            ));
        }
        if strict {
            self.check_sack(packet, ack, isn)?;
            self.check_view(packet, ack, shift, origin == Origin::Old)?;
        }
        if ack > self.told_ack || self.ledger.told.is_empty() {
            self.told_ack = ack;
            self.ledger.told.push(Told {
                ack,
                acked: self.acked,
                reports: self.had_reports || self.reported > self.acked,
                contiguous: self.contiguous,
                hole: self.has_hole || self.was_trimmed,
            });
            self.has_hole = self.contiguous < self.seen.len();
            self.had_reports = self.reported > self.acked;
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
                "I12: the right edge of the window goes back from {least} to {edge} ({origin:?})"
            ));
        }
        if edge > self.told_edge {
            self.ledger.offers.push(Offer {
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
            // Uninspected, a bit that flips on both wires comes right again behind the guard.
            if strict && !inside {
                return Err(format!("I9: SACK {left}-{right} of octets that did not come"));
            }
            if !self.had_hole {
                self.ledger.sacked.push((left, right, self.calls));
            }
        }
        Ok(())
    }

    /// SACK blocks lie above the acknowledgement and apart, but for a first one that reports a repeat
    /// (RFC 2018 section 3, RFC 2883 section 4).
    fn check_sack(&mut self, packet: &Packet<'_>, ack: i64, isn: u32) -> Result<(), String> {
        let blocks: Vec<_> = packet
            .options
            .sack
            .iter()
            .map(|(left, right)| (offset(*left, isn), offset(*right, isn)))
            .collect();
        for (n, (left, right)) in blocks.iter().enumerate() {
            if left >= right {
                return Err(format!("I9: the SACK block {left}-{right}"));
            }
            let is_inside = |outer: &(i64, i64)| outer.0 <= *left && *right <= outer.1;
            let is_repeat = n == 0 && (*right <= ack || blocks.get(1).is_some_and(is_inside));
            if is_repeat {
                continue;
            }
            // A liar's octets may lie behind its FIN.
            if *left <= ack && !self.fins_in.contains(&(ack - 1)) {
                return Err(format!("I9: the SACK block {left}-{right} at or below {ack}"));
            }
            let is_apart = |other: &(i64, i64)| other.1 <= *left || *right <= other.0;
            if !blocks[n + 1..].iter().all(is_apart) {
                return Err(format!("I9: the SACK blocks {blocks:?} overlap"));
            }
        }
        let goes_on = ack > self.told_ack;
        if goes_on && usize::try_from(ack).is_ok_and(|at| self.sacked.get(at) == Some(&true)) {
            self.ledger.discarded.push((ack, self.out.len()));
            self.sacked.clear();
        }
        if blocks.is_empty() && (ack as usize) < self.contiguous {
            // All is here and waits, for a verdict or for the receiver: nothing is reported any more.
            self.sacked.clear();
        }
        for (left, right) in blocks {
            let right = right.clamp(0, self.seen.len() as i64) as usize;
            if self.sacked.len() < right {
                self.sacked.resize(right, false);
            }
            for sacked in self.sacked.iter_mut().take(right).skip(left.max(0) as usize) {
                *sacked = true;
            }
        }
        Ok(())
    }

    /// The right edge never moves left for the one who reads it, unless the receiver's own packet came
    /// late and says so (`is_old`).
    fn check_view(
        &mut self,
        packet: &Packet<'_>,
        ack: i64,
        shift: u8,
        is_old: bool,
    ) -> Result<(), String> {
        let edge = ack + (i64::from(packet.window) << shift);
        let Some((seq, known, before)) = self.view else {
            self.view = Some((packet.seq, ack, edge));
            return Ok(());
        };
        let newer = packet.seq.wrapping_sub(seq) as i32;
        let counts = ack >= self.told_ack && (newer > 0 || newer == 0 && ack >= known);
        if !counts {
            return Ok(());
        }
        if !is_old && edge + (1 << shift) <= before {
            return Err(format!(
                "I12: for its reader the right edge of the window goes back from {before} to {edge}"
            ));
        }
        self.view = Some((packet.seq, ack, edge));
        Ok(())
    }

    /// A call has ended; the packet in hand counts for nothing, or its octets do not.
    pub(crate) fn called(&mut self, other_read: usize, happened: &Happened, strict: bool) {
        self.calls += 1;
        if let Some(undo) = self.undo.take().filter(|_| happened.is_refused()) {
            self.seen.truncate(undo.start);
            self.seen.extend(undo.seen);
            self.contiguous = undo.contiguous;
            self.fins_in = undo.fins;
            self.has_hole = undo.has_hole;
            self.had_hole = undo.had_hole;
        }
        let acked = self.in_hand.take().filter(|_| !happened.is_dropped());
        if let Some(acked) = acked.filter(|acked| *acked > self.believed) {
            self.believed = acked;
            self.ledger.heard.push((acked, self.told_ack));
        }
        let left = self.out.len();
        if self.ledger.progress.last().is_none_or(|last| last.left < left) {
            let read = if strict { self.contiguous } else { self.seen.len() };
            self.ledger.progress.push(Progress { left, read, other_read });
        }
    }

    /// At the end, with the streams known.
    pub(crate) fn conclude(&self, edited: &Edited) -> Result<(), String> {
        self.ledger.conclude(edited, &self.out)?;
        let len = edited.octets.len();
        if self.fin_out != Some(len as i64) {
            return Err(format!("L14, I11: FIN at {:?} of {len} octets", self.fin_out));
        }
        Ok(())
    }

    /// See [`Ledger::check_gate`].
    pub(crate) fn check_gate(&self, gate: (usize, usize)) -> Result<(), String> {
        self.ledger.check_gate(gate)
    }
}
