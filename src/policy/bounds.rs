//! The bounds that an operator may set: memory, connections, time.

use core::time::Duration;

use crate::limits;

/// How long a connection may go without a packet (Cisco `timeout conn`, `half-closed`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// While its handshake has not ended.
    pub embryonic: Duration,
    /// While it is open.
    pub conn: Duration,
    /// While one end has closed.
    pub half_closed: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            embryonic: limits::EMBRYONIC_TIMEOUT,
            conn: limits::IDLE_TIMEOUT,
            half_closed: limits::HALF_CLOSED_TIMEOUT,
        }
    }
}

/// What connections may take of the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Octets that all connections may hold at a time.
    pub memory: usize,
    /// Connections in the table.
    pub flows_max: usize,
    /// Half-open connections (Cisco `embryonic-conn-max`); 0 is no limit but that of the table.
    pub embryonic_max: usize,
    /// Connections of one client (Cisco `per-client-max`); 0 is no limit.
    pub per_client_max: usize,
    /// Half-open connections of one client (Cisco `per-client-embryonic-max`); 0 is no limit.
    pub per_client_embryonic_max: usize,
    /// How long connections live in silence.
    pub timeouts: Timeouts,
    /// After so long a silence a connection at rest is folded.
    pub rest_after: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory: limits::MEMORY_OCTETS,
            flows_max: limits::FLOWS_MAX,
            embryonic_max: limits::EMBRYONIC_MAX,
            per_client_max: limits::PER_CLIENT_MAX,
            per_client_embryonic_max: limits::PER_CLIENT_EMBRYONIC_MAX,
            timeouts: Timeouts::default(),
            rest_after: limits::REST_AFTER,
        }
    }
}

impl Bounds {
    /// The share of one of `engines` that run side by side, rounded up. What is counted by client
    /// is not shared out: the flows of one client may all belong to one engine.
    #[must_use]
    pub fn share(self, engines: usize) -> Self {
        let engines = engines.max(1);
        Self {
            memory: self.memory.div_ceil(engines),
            flows_max: self.flows_max.div_ceil(engines),
            embryonic_max: self.embryonic_max.div_ceil(engines),
            ..self
        }
    }
}

/// What becomes of a connection that was open before the guard saw it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Midstream {
    /// It is dropped, and the inside is told with a reset.
    #[default]
    Drop,
    /// It is relayed uninspected.
    Pass,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_whole() {
        let whole = Bounds { memory: 10, flows_max: 7, embryonic_max: 5, ..Bounds::default() };
        let share = whole.share(4);
        assert_eq!((share.memory, share.flows_max, share.embryonic_max), (3, 2, 2));
        assert_eq!(share.per_client_embryonic_max, whole.per_client_embryonic_max);
        assert_eq!(whole.share(1), whole);
        let unlimited = Bounds { embryonic_max: 0, ..whole };
        assert_eq!(unlimited.share(4).embryonic_max, 0, "no limit stays none");
    }
}
