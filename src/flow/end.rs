//! What is known about one end of a connection, from its SYN and from what it sent last.

use crate::limits::{MSS_DEFAULT_IPV4, MSS_DEFAULT_IPV6};
use crate::wire::mint::Minted;
use crate::wire::packet::Headers;

/// The smallest segment size that is believed, as Linux has it (`TCP_MIN_MSS` is 88 less options).
const MSS_MIN: u16 = 48;

/// One end, as a sender of segments.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct End {
    /// The segment size that it announced.
    pub(super) mss: u16,
    /// The window shift that it announced.
    pub(super) window_shift: Option<u8>,
    /// It accepts SACK.
    pub(super) sack: bool,
    /// TSval and TSecr that it sent last.
    pub(super) timestamps: Option<(u32, u32)>,
    hop_limit: u8,
    traffic_class: u8,
    flow_label: u32,
}

impl End {
    /// Reads an end's SYN or SYN/ACK.
    pub(super) fn new(syn: &Headers) -> Self {
        let default = if syn.is_ipv6() { MSS_DEFAULT_IPV6 } else { MSS_DEFAULT_IPV4 };
        Self {
            mss: syn.options.mss.unwrap_or(default).max(MSS_MIN),
            window_shift: syn.options.window_shift,
            sack: syn.options.sack_permitted,
            timestamps: syn.options.timestamps,
            hop_limit: syn.hop_limit,
            traffic_class: syn.traffic_class,
            flow_label: syn.flow_label,
        }
    }

    /// Remembers what minted packets need to look like this end's own. Timestamps never go back:
    /// a minted one must not be refused as old (RFC 7323 section 5.3), nor may it be newer than
    /// the end's own clock.
    pub(super) fn remember(&mut self, headers: &Headers) {
        self.hop_limit = headers.hop_limit;
        self.traffic_class = headers.traffic_class;
        self.flow_label = headers.flow_label;
        if let (Some(last), Some(new)) = (self.timestamps, headers.options.timestamps) {
            let is_newer = new.0.wrapping_sub(last.0).cast_signed() >= 0;
            self.timestamps = Some(if is_newer { new } else { last });
        }
    }

    /// The headers of a packet on behalf of this end, numbers left open.
    pub(super) fn minted(
        &self,
        flow: &super::Flow,
        direction: super::Direction,
    ) -> Minted<'static> {
        let (source, destination) = flow.endpoints(direction);
        Minted {
            source,
            destination,
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            flow_label: self.flow_label,
            seq: 0,
            ack: 0,
            flags: 0,
            window: 0,
            timestamps: if flow.has_timestamps() { self.timestamps } else { None },
            sack_blocks: &[],
        }
    }
}
