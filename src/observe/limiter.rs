//! So many messages of one number within a second; what is more is counted, and told when the second is over.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::limits::LIMIT_LOG_PAUSE;
use crate::time::Instant;

/// The second in hand of one message.
#[derive(Debug, Clone, Copy)]
struct Second {
    ends: Instant,
    passed: u32,
    suppressed: u64,
}

/// The limits of all messages: as many as there are messages.
#[derive(Debug, Default)]
pub(super) struct Limiter(BTreeMap<u32, Second>);

impl Limiter {
    /// Whether one more message of that number may be logged; `rate` 0 is no limit.
    pub(super) fn admits(&mut self, now: Instant, id: u32, rate: u32) -> bool {
        if rate == 0 {
            return true;
        }
        let fresh = Second { ends: now + LIMIT_LOG_PAUSE, passed: 0, suppressed: 0 };
        let second = self.0.entry(id).or_insert(fresh);
        if now >= second.ends {
            // What was suppressed is told by `due` before anything else.
            *second = Second { suppressed: second.suppressed, ..fresh };
        }
        if second.passed < rate {
            second.passed += 1;
            return true;
        }
        second.suppressed += 1;
        false
    }

    /// How many of which messages were suppressed in seconds that are over.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(u32, u64)> {
        let mut due = Vec::new();
        self.0.retain(|id, second| {
            if now >= second.ends && second.suppressed > 0 {
                due.push((*id, second.suppressed));
            }
            now < second.ends
        });
        due
    }

    /// How long until there may be something to tell.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        self.0.values().filter(|s| s.suppressed > 0).map(|s| s.ends.since(now)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn each_message_has_its_own_second() {
        let mut limiter = Limiter::default();
        let admitted =
            |limiter: &mut Limiter, now, id| (0..10).filter(|_| limiter.admits(now, id, 3)).count();
        assert_eq!(admitted(&mut limiter, at(0), 1), 3);
        assert_eq!(admitted(&mut limiter, at(500), 1), 0);
        assert_eq!(admitted(&mut limiter, at(500), 2), 3);
        assert_eq!(limiter.due(at(999)), []);
        assert_eq!(limiter.pause(at(600)), Some(Duration::from_millis(400)));
        assert_eq!(limiter.due(at(1000)), [(1, 17)]);
        assert_eq!(admitted(&mut limiter, at(1000), 1), 3);
        assert_eq!(limiter.due(at(1500)), [(2, 7)]);
        assert_eq!(limiter.due(at(9000)), [(1, 7)]);
        assert_eq!((limiter.due(at(9000)), limiter.pause(at(9000))), (vec![], None));
    }

    #[test]
    fn nothing_suppressed_is_forgotten_when_nobody_asked_in_time() {
        let mut limiter = Limiter::default();
        assert_eq!((0..5).filter(|_| limiter.admits(at(0), 1, 1)).count(), 1);
        assert!(limiter.admits(at(3000), 1, 1));
        assert_eq!(limiter.due(at(4000)), [(1, 4)]);
    }

    #[test]
    fn no_limit_is_none() {
        let mut limiter = Limiter::default();
        assert!((0..10_000).all(|_| limiter.admits(at(0), 1, 0)));
        assert_eq!(limiter.due(at(5000)), []);
    }
}
