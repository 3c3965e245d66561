//! Wrong passwords by source, so that nobody guesses fast.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits::{LOGIN_ATTEMPTS_MAX, LOGIN_SOURCES_MAX};

/// Who may be tried for one: an IPv4 address, or the network of an IPv6 address, which has all of its
/// 64 bits to itself.
fn source(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address) & (u128::MAX << 64),
    }
}

/// The wrong passwords that are remembered.
#[derive(Debug)]
pub(super) struct Attempts {
    pause: Duration,
    failures: BTreeMap<u128, (u32, Instant)>,
}

impl Attempts {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, failures: BTreeMap::new() }
    }

    fn of(&self, address: IpAddr, now: Instant) -> u32 {
        let known = self.failures.get(&source(address));
        known.map_or(0, |(count, last)| if now - *last < self.pause { *count } else { 0 })
    }

    /// Whether `address` has to wait before it may try again.
    pub(super) fn is_paused(&self, address: IpAddr, now: Instant) -> bool {
        self.of(address, now) >= LOGIN_ATTEMPTS_MAX
    }

    /// A wrong password came from `address`.
    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) {
        let count = self.of(address, now) + 1;
        if self.failures.len() >= LOGIN_SOURCES_MAX && !self.failures.contains_key(&source(address))
        {
            let oldest = self.failures.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(source, _)| *source) {
                self.failures.remove(&oldest);
            }
        }
        self.failures.insert(source(address), (count, now));
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn three_wrong_passwords_pause_their_source_for_a_while() {
        let mut attempts = Attempts::new(PAUSE);
        let start = Instant::now();
        for second in 0..3 {
            assert!(!attempts.is_paused(ip("192.0.2.1"), start + Duration::from_secs(second)));
            attempts.failed(ip("192.0.2.1"), start + Duration::from_secs(second));
        }
        let last = start + Duration::from_secs(2);
        assert!(attempts.is_paused(ip("192.0.2.1"), last));
        assert!(attempts.is_paused(ip("::ffff:192.0.2.1"), last), "the same by another name");
        assert!(!attempts.is_paused(ip("192.0.2.2"), last));
        assert!(attempts.is_paused(ip("192.0.2.1"), last + PAUSE - Duration::from_nanos(1)));
        assert!(!attempts.is_paused(ip("192.0.2.1"), last + PAUSE));
        attempts.failed(ip("192.0.2.1"), last + PAUSE);
        assert!(!attempts.is_paused(ip("192.0.2.1"), last + PAUSE), "the old ones are forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let mut attempts = Attempts::new(PAUSE);
        let now = Instant::now();
        for host in 1..=3 {
            attempts.failed(ip(&format!("2001:db8::{host}")), now);
        }
        assert!(attempts.is_paused(ip("2001:db8::4"), now));
        assert!(!attempts.is_paused(ip("2001:db8:0:1::4"), now));
    }

    #[test]
    fn the_oldest_source_of_many_is_forgotten() {
        let mut attempts = Attempts::new(Duration::from_secs(1 << 20));
        let start = Instant::now();
        for number in 0..3 * LOGIN_SOURCES_MAX as u32 {
            attempts.failed(IpAddr::from(number.to_be_bytes()), start + Duration::from_secs(1));
        }
        assert_eq!(attempts.failures.len(), LOGIN_SOURCES_MAX);
        // One that goes on does not drive out another.
        for second in 2..5 {
            attempts.failed(ip("192.0.2.1"), start + Duration::from_secs(second));
        }
        assert!(attempts.is_paused(ip("192.0.2.1"), start + Duration::from_secs(4)));
        assert_eq!(attempts.failures.len(), LOGIN_SOURCES_MAX);
    }
}
