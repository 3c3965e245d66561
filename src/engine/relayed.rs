//! Connections that nobody inspects, as far as they have to be told from strangers: when a policy begins to
//! inspect their port they go on as they began.

use std::collections::HashMap;

use super::table::{FlowKey, SeededState};
use crate::limits::RELAYED_MAX;
use crate::time::Instant;
use core::time::Duration;

/// Those that were heard of lately, in two generations: the older one goes as a whole.
#[derive(Debug)]
pub(super) struct Relayed {
    young: HashMap<FlowKey, (), SeededState>,
    old: HashMap<FlowKey, (), SeededState>,
    began: Instant,
}

impl Relayed {
    pub(super) fn new(seed: u64) -> Self {
        let empty = || HashMap::with_hasher(SeededState::new(seed));
        Self { young: empty(), old: empty(), began: Instant::default() }
    }

    /// One begins, or was heard of.
    pub(super) fn touch(&mut self, key: FlowKey, now: Instant, idle: Duration) {
        if self.young.len() >= RELAYED_MAX / 2 || now.since(self.began) >= idle {
            self.old =
                core::mem::replace(&mut self.young, HashMap::with_hasher(*self.old.hasher()));
            self.began = now;
        }
        self.young.insert(key, ());
    }

    /// Whether it is one of them; it was heard of then.
    pub(super) fn has(&mut self, key: FlowKey, now: Instant, idle: Duration) -> bool {
        if self.young.contains_key(&key) {
            return true;
        }
        let is_old = self.old.remove(&key).is_some();
        if is_old {
            self.touch(key, now, idle);
        }
        is_old
    }

    /// It is one no more.
    pub(super) fn forget(&mut self, key: &FlowKey) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn key(n: usize) -> FlowKey {
        let client = SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], (n >> 16) as u16));
        FlowKey::new(0, client, SocketAddr::from(([10, 0, 0, 1], 25)))
    }

    #[test]
    fn who_is_heard_of_stays_and_who_is_not_goes() {
        let mut relayed = Relayed::new(1);
        let at = |seconds: u64| Instant::from_millis(1000 * seconds);
        relayed.touch(key(1), at(0), IDLE);
        relayed.touch(key(2), at(0), IDLE);
        for minute in 1..10 {
            assert!(relayed.has(key(1), at(59 * minute), IDLE), "{minute}");
            relayed.touch(key(1), at(59 * minute), IDLE);
        }
        assert!(!relayed.has(key(2), at(600), IDLE));
        relayed.forget(&key(1));
        assert!(!relayed.has(key(1), at(600), IDLE));
    }

    #[test]
    fn a_flood_of_them_takes_no_more_than_its_place() {
        let mut relayed = Relayed::new(1);
        for n in 0..RELAYED_MAX + 9 {
            relayed.touch(key(n), Instant::default(), IDLE);
            assert!(relayed.young.len() + relayed.old.len() <= RELAYED_MAX);
        }
        assert!(relayed.has(key(RELAYED_MAX + 8), Instant::default(), IDLE));
        assert!(!relayed.has(key(0), Instant::default(), IDLE));
    }
}
