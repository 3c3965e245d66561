//! What the operator wants: which ports are inspected and how the guard behaves.

mod bounds;
mod evidence;
mod knobs;
mod map;
mod matched;
mod personality;
mod presets;
mod rate;
mod regex;

use core::ops::RangeInclusive;
use std::sync::Arc;

pub use bounds::{Bounds, Midstream, Timeouts};
pub use evidence::{Evidence, Source};
pub use knobs::{KNOBS, Knob, KnobError};
pub use map::{
    Action, Class, DEFAULT_ESMTP_MAP, MailRelay, Match, MimeEncoding, MimeEncodings, OTHERS,
    PARAMETERS, SpecialCharacters,
};
pub use matched::Matched;
pub use personality::{
    DataPhase, Greeting, Hide, PartialLines, Personality, Pipelining, Refusal, SplitEnd, Stray,
};
pub use rate::RateLimit;
pub use regex::{Regex, RegexError, Search};

/// Inspection of the connections to some ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The ports of the servers.
    pub ports: RangeInclusive<u16>,
    /// The device whose behaviour is shown.
    pub personality: Arc<Personality>,
    /// What the SYN of a client does not offer any more.
    pub tcp: TcpMap,
}

/// `tcp-map`, as far as it leaves a choice: options of TCP that the ends shall not agree on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TcpMap {
    /// `tcp-options selective-ack clear`.
    pub clears_sack: bool,
    /// `tcp-options timestamp clear`.
    pub clears_timestamps: bool,
    /// `tcp-options window-scale clear`.
    pub clears_window_scale: bool,
}

/// What one engine is to do. A value: it is replaced whole, and a flow keeps the one it began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What is inspected: the first that has the port. All else is relayed.
    pub inspections: Vec<Inspection>,
    /// The largest segment size that the SYNs of inspected connections may announce (Cisco `sysopt
    /// connection tcpmss`).
    pub mss_max: Option<u16>,
}

impl Policy {
    /// The personality for all of the ports.
    pub fn new(personality: Arc<Personality>, ports: &[u16]) -> Self {
        let inspection = |port: &u16| Inspection {
            ports: *port..=*port,
            personality: personality.clone(),
            tcp: TcpMap::default(),
        };
        Self { inspections: ports.iter().map(inspection).collect(), mss_max: None }
    }

    /// How connections to that port are inspected, if they are.
    pub fn inspection(&self, port: u16) -> Option<&Arc<Personality>> {
        let found = self.inspections.iter().find(|inspection| inspection.ports.contains(&port));
        found.map(|inspection| &inspection.personality).filter(|personality| personality.inspect)
    }

    /// What connections to that port do not agree on.
    pub fn tcp_map(&self, port: u16) -> TcpMap {
        let found = self.inspections.iter().find(|inspection| inspection.ports.contains(&port));
        found.map_or_else(TcpMap::default, |inspection| inspection.tcp)
    }

    /// Whether anything is inspected.
    pub fn inspects(&self) -> bool {
        self.inspections.iter().any(|inspection| inspection.personality.inspect)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Arc::new(Personality::MAILGUARD), &[25])
    }
}
