//! What is known about one end of a connection, from its SYN and from what it sent last.

use crate::limits::{
    BEHIND_MAX, MSS_DEFAULT_IPV4, MSS_DEFAULT_IPV6, TIMESTAMP_LIFE, TIMESTAMP_TICKS_BEHIND,
};
use crate::time::Instant;
use crate::wire::mint::Minted;
use crate::wire::options::{Allowed, TcpOptions};
use crate::wire::packet::Headers;

/// The smallest segment size that is believed, as Linux has it (`TCP_MIN_MSS` is 88 less options).
const MSS_MIN: u16 = 48;

/// With what a packet leaves in the name of an end that has not shown any (IANA: the recommended default TTL is 64).
const HOP_LIMIT: u8 = 64;

/// One end, as a sender of segments.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct End {
    /// The segment size that it announced.
    pub(super) mss: u16,
    /// The window shift that it announced.
    pub(super) window_shift: Option<u8>,
    /// It accepts SACK.
    pub(super) sack: bool,
    /// The newest TSval and TSecr of what it sent and was not ahead of a hole.
    pub(super) timestamps: Option<(u32, u32)>,
    /// TS.Recent as the receiver of what it sends keeps it, and since when.
    recent: Option<u32>,
    since: Instant,
    /// The largest window that it has offered, in octets.
    window: u32,
    /// The highest TTL or hop limit that it has shown.
    hop_limit: u8,
    traffic_class: u8,
    flow_label: u32,
    /// A congestion mark came with octets that did not leave: the next packet bears it.
    pub(super) is_congested: bool,
}

impl End {
    /// Reads an end's SYN or SYN/ACK; of its options, `options` count.
    pub(super) fn new(syn: &Headers, options: TcpOptions, now: Instant) -> Self {
        let default = if syn.is_ipv6() { MSS_DEFAULT_IPV6 } else { MSS_DEFAULT_IPV4 };
        Self {
            mss: options.mss.unwrap_or(default).max(MSS_MIN),
            window_shift: options.window_shift,
            sack: options.sack_permitted,
            timestamps: options.timestamps,
            recent: options.timestamps.map(|(value, _)| value),
            since: now,
            window: u32::from(syn.window),
            hop_limit: syn.hop_limit,
            traffic_class: syn.traffic_class,
            flow_label: syn.flow_label,
            is_congested: false,
        }
    }

    /// Whether its SYN has come.
    pub(super) fn is_known(&self) -> bool {
        self.mss > 0
    }

    /// What the answer to its SYN may carry: an option that was not offered is none that was
    /// agreed on (RFC 7323 sections 1.3 and 2.2, RFC 2018 section 2).
    pub(super) fn allows(&self) -> Allowed {
        Allowed {
            window_scale: self.window_shift.is_some(),
            sack_permitted: self.sack,
            timestamps: self.timestamps.is_some(),
            ..Allowed::SYN
        }
    }

    /// Octets by which an acknowledgement that it sends, or a repeat of what it was sent, may lie
    /// behind (RFC 5961 section 5.2: the largest window that it offered; here no less than any).
    pub(super) fn reach(&self) -> usize {
        self.window.max(BEHIND_MAX) as usize
    }

    /// By how many ticks the receiver finds a segment with `value` too old; nothing if it does not
    /// (RFC 7323 section 5.3). Some hosts send zeros with their SYN.
    pub(super) fn ticks_behind(&self, value: u32, now: Instant) -> Option<i32> {
        let recent = self.recent.filter(|&recent| recent != 0)?;
        let behind = recent.wrapping_sub(value).cast_signed();
        (behind > TIMESTAMP_TICKS_BEHIND && now.since(self.since) < TIMESTAMP_LIFE)
            .then_some(behind)
    }

    /// Takes `value` for TS.Recent: the segment starts where the receiver has acknowledged
    /// (RFC 7323 section 5.3, R3).
    pub(super) fn advance_recent(&mut self, value: u32, now: Instant) {
        let is_over = now.since(self.since) >= TIMESTAMP_LIFE;
        let is_newer = |recent| is_over || value.wrapping_sub(recent).cast_signed() >= 0;
        if self.recent.is_some_and(is_newer) {
            (self.recent, self.since) = (Some(value), now);
        }
    }

    /// Remembers what minted packets need to look like this end's own.
    pub(super) fn remember(&mut self, headers: &Headers, shift: u8) {
        self.window = self.window.max(u32::from(headers.window) << shift);
        self.hop_limit = self.hop_limit.max(headers.hop_limit);
        self.traffic_class = headers.traffic_class;
        self.flow_label = headers.flow_label;
    }

    /// Remembers the timestamps of a segment. They never go back: a minted one must not be refused as
    /// old (RFC 7323 section 5.3), nor make a round trip look longer than it was. Ahead of a hole its
    /// own does not count, or what fills the hole would be refused as old; what it echoes does.
    pub(super) fn remember_timestamps(&mut self, headers: &Headers, is_ahead: bool) {
        if let (Some(last), Some(new)) = (self.timestamps, headers.options.timestamps) {
            let is_older = |new: u32, last: u32| new.wrapping_sub(last).cast_signed() < 0;
            let value = if is_ahead || is_older(new.0, last.0) { last.0 } else { new.0 };
            // A SYN echoes nothing, and says zero.
            let echo = if last.1 != 0 && is_older(new.1, last.1) { last.1 } else { new.1 };
            self.timestamps = Some((value, echo));
        }
    }

    /// The hop limit with which a packet of this end leaves, that came with `hop_limit`: none may
    /// die between the guard and the receiver.
    pub(super) fn hop_limit(&self, hop_limit: u8) -> u8 {
        self.hop_limit.max(hop_limit)
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
            hop_limit: if self.is_known() { self.hop_limit } else { HOP_LIMIT },
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

/// Those of a packet that says nothing.
#[cfg(test)]
pub(super) fn headers() -> Headers {
    let end: core::net::SocketAddr = "192.0.2.1:25".parse().unwrap();
    let minted = Minted {
        source: end,
        destination: end,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        seq: 0,
        ack: 0,
        flags: 0,
        window: 0,
        timestamps: None,
        sack_blocks: &[],
    };
    let made = minted.headers();
    let mut packet = made.octets().to_vec();
    crate::wire::packet::seal(&mut packet, made.tcp_start, (end.ip(), end.ip()), false);
    Headers::parse(&packet).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    /// What an end is known by that said these timestamps one after the other.
    fn after(stamps: &[(u32, u32)]) -> (u32, u32) {
        let mut headers = headers();
        let mut options = headers.options;
        options.timestamps = Some(stamps[0]);
        let mut end = End::new(&headers, options, Instant::ZERO);
        for stamps in &stamps[1..] {
            options.timestamps = Some(*stamps);
            headers.options = options;
            end.remember_timestamps(&headers, false);
        }
        end.timestamps.unwrap()
    }

    #[test]
    fn timestamps_never_go_back() {
        assert_eq!(after(&[(1000, 500), (1001, 501)]), (1001, 501));
        assert_eq!(after(&[(1000, 500), (999, 499)]), (1000, 500));
        assert_eq!(after(&[(1000, 500), (1001, 499)]), (1001, 500));
        // What a SYN says that echoes nothing is older than nothing.
        assert_eq!(after(&[(1000, 0), (1001, 3_000_000_000)]), (1001, 3_000_000_000));
    }
}
