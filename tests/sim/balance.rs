//! What one call may cause: a bounded number of packets and octets for what came (I35), nothing for what
//! is dropped (I36), no reset that nobody has sent (I14), no more memory than what is under way (I25).

use mailguard::counters::{Counters, DropReason, Event};
use mailguard::wire::offload::Offload;

use crate::packet::{FIN, Packet, RST, SYN};

/// Segments that one acknowledgement may make the guard repeat, and the shares of them that are no whole
/// ones.
const REPAIRS: usize = 16 + 2;
/// The most that one octet may grow to: a lone LF becomes NOOP CRLF.
const GROWTH: usize = 6;
/// What the line end of a short reply grows by, when the reply is traded for a refusal.
const REFUSAL: usize = 30;
/// What a connection may take of memory while nothing is under way, and what each octet under way may
/// take: buffers grow in powers of two, and a piece that waits has its own description.
const IDLE_OCTETS: usize = 64 << 10;
const TIMES: usize = 24;
/// Packets to both ends of a connection when the guard acts by itself.
const AT_A_DEADLINE: usize = 4;

/// What the guard counted during a call.
#[derive(Debug)]
pub(crate) struct Happened {
    drops: Vec<DropReason>,
    /// Something happened that both ends are told of with a reset.
    is_end: bool,
    is_trimmed: bool,
    panics: u64,
    held: u64,
    flows: usize,
}

/// What the guard had counted before.
#[derive(Debug)]
pub(crate) struct Before {
    drops: Vec<u64>,
    ends: u64,
    trims: u64,
}

/// Connections that end because the guard says so.
const ENDS: [Event; 4] =
    [Event::InspectionReset, Event::FlowTimedOut, Event::EmbryonicForgotten, Event::FlowPanic];

impl Before {
    pub(crate) fn of(counters: &Counters) -> Self {
        Self {
            drops: DropReason::ALL.iter().map(|reason| counters.drops(*reason)).collect(),
            ends: ENDS.iter().map(|event| counters.events(*event)).sum(),
            trims: counters.events(Event::WindowTrimmed),
        }
    }

    /// What has happened since.
    pub(crate) fn until(&self, counters: &Counters) -> Happened {
        let now = Self::of(counters);
        let drops = DropReason::ALL.iter().zip(self.drops.iter().zip(&now.drops));
        Happened {
            drops: drops.filter(|(_, (a, b))| a < b).map(|(reason, _)| *reason).collect(),
            is_end: self.ends < now.ends,
            is_trimmed: self.trims < now.trims,
            panics: counters.events(Event::FlowPanic),
            held: counters.octets_held,
            flows: counters.flows as usize,
        }
    }
}

impl Happened {
    /// The packet was dropped, and not only its octets for want of room.
    pub(crate) fn is_dropped(&self) -> bool {
        self.drops
            .iter()
            .any(|drop| !matches!(drop, DropReason::MemoryFull | DropReason::BufferFull))
    }

    /// The packet was dropped, or its octets were.
    pub(crate) fn is_refused(&self) -> bool {
        !self.drops.is_empty()
    }

    /// Octets beyond the window were cut from the packet.
    pub(crate) fn is_trimmed(&self) -> bool {
        self.is_trimmed
    }

    /// Who speaks of a connection that is none any more is told so.
    fn is_told(&self) -> bool {
        self.drops.iter().any(|drop| matches!(drop, DropReason::NotSyn | DropReason::FlowEnded))
    }
}

/// One call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    speaker: Option<usize>,
    /// Segments that the packet stands for, and the octets in them.
    segments: usize,
    octets: usize,
    /// It is nothing but an acknowledgement, at the number that its sender stands at.
    bare: bool,
    /// Packets that leave without octets, by speaker; with octets.
    bare_out: [usize; 2],
    loaded: usize,
    /// Octets that leave for the first time, and again.
    fresh: usize,
    again: usize,
    unasked_resets: usize,
    outputs: usize,
    segment: Option<usize>,
}

impl Call {
    /// The guard is given a packet.
    pub(crate) fn input(
        &mut self,
        speaker: usize,
        packet: &Packet<'_>,
        offload: Offload,
        is_at_end: bool,
    ) {
        self.speaker = Some(speaker);
        self.octets = packet.payload.len();
        let size = offload.gso_size.map_or(usize::MAX, usize::from).max(1);
        self.segments = self.octets.div_ceil(size).max(1);
        self.bare = self.octets == 0 && packet.flags & (SYN | FIN | RST) == 0 && is_at_end;
    }

    /// A packet leaves; so many of its octets are `new`, if that is known.
    pub(crate) fn output(&mut self, speaker: usize, packet: &Packet<'_>, new: Option<usize>) {
        self.outputs += 1;
        if packet.payload.is_empty() {
            self.bare_out[speaker] += usize::from(packet.flags & (SYN | RST | FIN) == 0);
            return;
        }
        self.loaded += 1;
        self.fresh += new.unwrap_or(0);
        self.again += packet.payload.len().saturating_sub(new.unwrap_or(0));
    }

    /// A reset leaves; it `was_sent` or not.
    pub(crate) fn reset(&mut self, was_sent: bool) {
        self.outputs += 1;
        self.unasked_resets += usize::from(!was_sent);
    }

    /// What an ordinary segment of the connection may carry.
    pub(crate) fn segment(&mut self, mss: usize) {
        self.segment = Some(mss.saturating_sub(40).max(1));
    }

    /// At the end of the call: so many octets have been under way at most.
    pub(crate) fn conclude(&self, happened: &Happened, under_way: usize) -> Result<(), String> {
        if happened.panics > 0 {
            return Err("I40: the guard has panicked over a flow".into());
        }
        if happened.is_dropped() && !happened.is_told() && self.outputs > 0 {
            return Err(format!(
                "I36: {:?}, and {} packets leave for it",
                happened.drops, self.outputs
            ));
        }
        if self.unasked_resets > 0 && !happened.is_end && !happened.is_told() {
            return Err("I14: a reset that nobody has sent".into());
        }
        let most = IDLE_OCTETS * happened.flows + TIMES * under_way;
        if happened.held > most as u64 {
            return Err(format!(
                "I25: {} octets are held, of at most {under_way} under way",
                happened.held
            ));
        }
        self.conclude_amount(happened)
    }

    fn conclude_amount(&self, happened: &Happened) -> Result<(), String> {
        let Some(speaker) = self.speaker else {
            return if self.outputs > AT_A_DEADLINE * happened.flows.max(1) && !happened.is_end {
                Err(format!("I35: {} packets leave by themselves", self.outputs))
            } else {
                Ok(())
            };
        };
        if self.bare && self.bare_out[speaker] + self.bare_out[1 - speaker] > 1 {
            return Err(format!("I35: one acknowledgement makes {:?} leave", self.bare_out));
        }
        if self.bare && self.bare_out[1 - speaker] > 0 {
            return Err("I35: an acknowledgement is answered with one".into());
        }
        let bare = self.bare_out[0] + self.bare_out[1];
        if bare > self.segments + 2 {
            return Err(format!("I35: {bare} packets without octets for {self:?}"));
        }
        let size = self.segment.unwrap_or(usize::MAX);
        let repeats = GROWTH * self.octets + REFUSAL + REPAIRS * size.min(1 << 16);
        let loaded =
            self.fresh.div_ceil(size) + (GROWTH * self.octets + REFUSAL).div_ceil(size) + REPAIRS;
        if self.again > repeats || self.loaded > loaded {
            return Err(format!(
                "I35: {} packets with {} repeated octets for {self:?}, at most {loaded} and {repeats}",
                self.loaded, self.again
            ));
        }
        Ok(())
    }
}
