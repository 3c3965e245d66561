//! What the operator wants: which ports are inspected and how the guard behaves.

mod bounds;
mod evidence;
mod knobs;
mod map;
mod personality;
mod presets;
mod rate;
mod regex;

use std::sync::Arc;

pub use bounds::{Bounds, Midstream, Timeouts};
pub use evidence::{Evidence, Source};
pub use knobs::{KNOBS, Knob, KnobError};
pub use map::{
    Action, Class, DEFAULT_ESMTP_MAP, MailRelay, Match, MimeEncoding, MimeEncodings, OTHERS,
    PARAMETERS, SpecialCharacters,
};
pub use personality::{
    DataPhase, Greeting, Hide, PartialLines, Personality, Pipelining, Refusal, SplitEnd, Stray,
};
pub use rate::RateLimit;
pub use regex::{Regex, RegexError, Search};

/// What one engine is to do. A value: it is replaced whole, and a flow keeps the one it began with.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The device whose behaviour is shown.
    pub personality: Arc<Personality>,
    /// Server ports that are inspected.
    pub ports: Vec<u16>,
    /// The largest segment size that the SYNs of inspected connections may announce (Cisco `sysopt
    /// connection tcpmss`).
    pub mss_max: Option<u16>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { personality: Arc::new(Personality::MAILGUARD), ports: vec![25], mss_max: None }
    }
}
