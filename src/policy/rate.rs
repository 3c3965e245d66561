//! How often something may happen: `rate-limit` of a class of the policy map.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::time::Instant;

/// So many a second, of all connections together. Up to a second's worth may come at once.
#[derive(Debug)]
pub struct RateLimit {
    per_second: u32,
    /// When the next one is due, in microseconds, if they came evenly.
    next: AtomicU64,
}

impl RateLimit {
    /// `per_second` of them, one at least.
    pub const fn new(per_second: u32) -> Self {
        let per_second = if per_second == 0 { 1 } else { per_second };
        Self { per_second, next: AtomicU64::new(0) }
    }

    /// How many a second.
    pub const fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Whether one more may pass; it is counted then.
    pub fn admits(&self, now: Instant) -> bool {
        const SECOND: u64 = 1_000_000;
        let now = now.as_micros();
        let interval = SECOND / u64::from(self.per_second);
        let admit = |next: u64| {
            let start = next.max(now);
            (start - now <= SECOND - interval).then_some(start.saturating_add(interval))
        };
        self.next.fetch_update(Relaxed, Relaxed, admit).is_ok()
    }
}

impl PartialEq for RateLimit {
    /// What has passed so far does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.per_second == other.per_second
    }
}

impl Eq for RateLimit {}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn a_second_s_worth_at_once_and_then_evenly() {
        let limit = RateLimit::new(4);
        let start = Instant::ZERO + Duration::from_secs(7);
        let admitted = |at: Duration| (0..9).filter(|_| limit.admits(start + at)).count();
        assert_eq!(admitted(Duration::ZERO), 4);
        assert_eq!(admitted(Duration::from_millis(249)), 0);
        assert_eq!(admitted(Duration::from_millis(250)), 1);
        assert_eq!(admitted(Duration::from_millis(750)), 2);
        assert_eq!(admitted(Duration::from_secs(60)), 4, "silence saves nothing up");
    }

    #[test]
    fn none_a_second_is_one() {
        let limit = RateLimit::new(0);
        assert_eq!(limit.per_second(), 1);
        assert!(limit.admits(Instant::ZERO) && !limit.admits(Instant::ZERO));
    }
}
