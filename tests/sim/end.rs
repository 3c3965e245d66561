//! One end of a connection: what it said of itself, and what must be true of the headers of whatever
//! leaves in its name.

use std::collections::HashSet;

use crate::packet::{ACK, Packet, RST, SYN};

/// What an end said of itself.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) mss: usize,
    pub(crate) scale: Option<u8>,
    sack: bool,
    timestamps: bool,
    values: HashSet<u32>,
    /// The newest TSval that left in its name.
    newest: Option<u32>,
    /// The newest TSval of a packet of its own that was ahead of no hole.
    lent: Option<u32>,
    /// The TSval and TSecr of the newest packet of its own.
    last: Option<(u32, u32)>,
    /// The same of the packet in hand, which may be dropped.
    in_hand: Option<(u32, u32)>,
    hops: u8,
    /// What left in its name with as many hops as it has shown.
    told: Option<Word>,
}

/// How far an end's word goes: its octets and FIN, its acknowledgement, its window's right edge.
#[derive(Debug, Clone, Copy)]
struct Word {
    end: u32,
    ack: u32,
    edge: u32,
    reset: bool,
}

impl Word {
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
            lent: None,
            last: None,
            in_hand: None,
            hops: 0,
            told: None,
        }
    }
}

/// The packet of this end that is being handled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) flags: u8,
}

/// By how many ticks `value` is older.
fn behind(value: u32, newest: Option<u32>) -> i32 {
    newest.map_or(0, |newest| newest.wrapping_sub(value) as i32)
}

impl End {
    /// The same end in a connection that begins anew: what it has sent before may still be echoed.
    pub(crate) fn anew(self) -> Self {
        Self { values: self.values, ..Self::default() }
    }

    pub(crate) fn read_syn(&mut self, packet: &Packet<'_>) {
        let options = &packet.options;
        self.mss = options.mss.map_or(536, usize::from);
        self.scale = options.scale;
        self.sack = options.sack_permitted;
        self.timestamps = options.timestamps.is_some();
    }

    /// A packet of it comes, ahead of a hole or not. What one echoes that may be `over` does not count: its
    /// receiver would not read it.
    pub(crate) fn note(&mut self, packet: &Packet<'_>, is_ahead: bool, over: bool) {
        if let Some((value, echo)) = packet.options.timestamps {
            if !is_ahead && behind(value, self.lent) <= 0 {
                self.lent = Some(value);
            }
            self.values.insert(value);
            self.in_hand = Some((value, echo)).filter(|_| !over);
        }
        self.hops = self.hops.max(packet.hops);
    }

    /// A call has ended; the packet in hand counts, or `is_dropped`.
    pub(crate) fn called(&mut self, is_dropped: bool) {
        if let Some((value, echo)) = self.in_hand.take().filter(|_| !is_dropped)
            && self.last.is_none_or(|(last, _)| behind(value, Some(last)) <= 0)
        {
            self.last = Some((value, echo));
        }
    }

    /// Whether timestamps are agreed on, and none is zero: that one Linux takes for none.
    pub(crate) fn is_stamped(&self, peer: &Self) -> bool {
        self.timestamps && peer.timestamps && !self.values.contains(&0)
    }

    /// Checks the headers of what is said in this end's name; `said` is the packet of this end that is
    /// being handled.
    pub(crate) fn check(
        &mut self,
        packet: &Packet<'_>,
        said: Option<Said>,
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
            return Err(format!("I38: bits {:x}, options {:?}", packet.reserved, options.unknown));
        }
        if strict && packet.urgent != 0 {
            return Err(format!("I37: an urgent pointer to {}", packet.urgent));
        }
        // Only what an end has said itself, and what tells it of a reset, may begin or end anything.
        let flags = said.map_or(0, |said| said.flags);
        if strict && packet.has(SYN) && flags & SYN == 0 {
            return Err("I14: a SYN that nobody has sent".into());
        }
        if packet.has(SYN) {
            let answers = packet.has(ACK);
            let unasked = (options.scale.is_some() && peer.scale.is_none())
                || (options.sack_permitted && !peer.sack)
                || (options.timestamps.is_some() && !peer.timestamps);
            if strict && answers && unasked {
                return Err("I38: a SYN/ACK with an option that the SYN did not offer".into());
            }
            return Ok(());
        }
        if options.mss.is_some() || options.scale.is_some() || options.sack_permitted {
            return Err("I38: an option that belongs to a SYN".into());
        }
        if packet.has(RST) {
            return Ok(());
        }
        let Some((value, echo)) = options.timestamps else {
            return if self.timestamps && peer.timestamps {
                Err("I17: no timestamps, although agreed on".into())
            } else {
                Ok(())
            };
        };
        if strict && !(self.timestamps && peer.timestamps) {
            return Err("I38: timestamps that were not agreed on".into());
        }
        if !self.values.contains(&value) {
            return Err(format!("I17: timestamp {value} was never sent"));
        }
        if !peer.values.contains(&echo) {
            return Err(format!("I17: timestamp {echo} is echoed and was never sent"));
        }
        self.check_order(value, echo, said, strict)
    }

    /// Nothing that the guard adds goes back, and nothing runs ahead of what fills a hole: the receiver
    /// would refuse what comes then (RFC 7323 section 5.3).
    fn check_order(
        &mut self,
        value: u32,
        echo: u32,
        said: Option<Said>,
        strict: bool,
    ) -> Result<(), String> {
        let said = said.and_then(|said| said.timestamps);
        let late = behind(value, self.newest);
        if late > 0 && said.map(|(value, _)| value) != Some(value) {
            return Err(format!("I17: timestamp {value} goes back from {:?}", self.newest));
        }
        if strict && behind(value, self.lent) < 0 {
            return Err(format!(
                "I17: timestamp {value} is ahead of a hole, before it {:?} was sent",
                self.lent
            ));
        }
        if late <= 0 {
            self.newest = Some(value);
        }
        // What it echoes by itself may go back: smoltcp echoes what came last.
        let last = self.last.map(|(_, echo)| echo).filter(|echo| *echo != 0);
        let own = said.map_or(last, |(_, own)| Some(own));
        if behind(echo, last) > 0 && behind(echo, own) > 0 {
            return Err(format!("I17: the echo {echo} goes back from {last:?}"));
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
        let says = Word::read(packet, shift);
        // In the name of an end that has not shown any.
        let is_unknown = self.hops == 0 && packet.hops == 64 && packet.has(RST);
        if packet.hops == self.hops || is_unknown {
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
