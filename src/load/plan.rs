//! What all connections of a run share: what to send, how much of it, and how far it got.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::message::Body;

/// How a client greets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    /// EHLO, and HELO when that is refused.
    Either,
    /// EHLO or nothing.
    Ehlo,
    /// HELO at once.
    Helo,
}

/// Whether commands go out in groups (RFC 2920).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Pipelining {
    /// When the server offers it.
    On,
    /// Never.
    Off,
    /// Even when it is not offered, which no good client does.
    Force,
}

/// The run's numbers as they stand, for the interval lines.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) messages: AtomicU64,
    pub(super) octets: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) open: AtomicU64,
    /// Connections that are held, or failed before they could be.
    pub(super) settled: AtomicU64,
}

impl Live {
    /// Counts a message that was accepted.
    pub(super) fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }
}

/// What all connections of a run share.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: SocketAddr,
    pub(super) bind: Option<IpAddr>,
    pub(super) hello: Hello,
    pub(super) pipelining: Pipelining,
    pub(super) noops: u32,
    pub(super) hold: Option<Duration>,
    pub(super) timeout: Duration,
    pub(super) ehlo: Vec<u8>,
    pub(super) helo: Vec<u8>,
    pub(super) mail: Vec<u8>,
    pub(super) rcpt: Vec<u8>,
    pub(super) body: Body,
    /// Messages a connection.
    pub(super) messages: u64,
    /// When no new message is begun any more.
    pub(super) until: Option<Instant>,
    /// Set by a signal: as if `until` had come.
    pub(super) stop: Arc<AtomicBool>,
    /// Set when the connections that were held are to go.
    pub(super) released: AtomicBool,
    /// Messages that no connection has taken yet (connections, when `messages` is 0).
    pub(super) unclaimed: AtomicU64,
    pub(super) serial: AtomicU64,
    pub(super) live: Live,
}

impl Plan {
    /// Whether nothing new is to be begun.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.stop.load(Ordering::Relaxed) || self.until.is_some_and(|until| now >= until)
    }

    /// Takes the work of one connection: how many messages it is to deliver.
    pub(super) fn claim(&self) -> Option<u64> {
        let most = self.messages.max(1);
        let mut left = self.unclaimed.load(Ordering::Relaxed);
        while left > 0 {
            let taken = left.min(most);
            let (unclaimed, order) = (&self.unclaimed, Ordering::Relaxed);
            match unclaimed.compare_exchange_weak(left, left - taken, order, order) {
                Ok(_) => return Some(taken.min(self.messages)),
                Err(now) => left = now,
            }
        }
        None
    }

    /// The number of the next message.
    pub(super) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }
}
