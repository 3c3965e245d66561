//! The flow table and its timers.

use core::hash::{BuildHasher, Hash, Hasher};
use core::net::SocketAddr;
use std::collections::{BTreeSet, HashMap};
use std::hash::DefaultHasher;

use crate::flow::Flow;
use crate::limits::KEPT_CAPACITY_FLOWS;
use crate::time::Instant;

/// The two endpoints of a connection, without order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FlowKey {
    lower: SocketAddr,
    upper: SocketAddr,
}

impl FlowKey {
    /// The key of both directions between `a` and `b`.
    pub(super) fn new(a: SocketAddr, b: SocketAddr) -> Self {
        Self { lower: a.min(b), upper: a.max(b) }
    }

    /// A hash that nobody can predict who does not know `seed`.
    pub(super) fn hash(&self, seed: u64) -> u64 {
        seeded_hash(self, seed)
    }
}

/// A hash that nobody can predict who does not know `seed`.
pub(super) fn seeded_hash(of: &impl Hash, seed: u64) -> u64 {
    SeededState(seed).hash_one(of)
}

/// SipHash with a secret before the key, so that nobody can aim flows at one bucket.
#[derive(Debug, Clone, Copy)]
struct SeededState(u64);

impl BuildHasher for SeededState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

#[derive(Debug)]
struct Entry {
    flow: Box<Flow>,
    /// When the timers look at the flow.
    due: Instant,
}

/// Flows by key, and by the time at which they want to be looked at. A flow's deadline moves with each
/// packet; the timers look again when the old one has passed, so a packet costs them nothing.
#[derive(Debug)]
pub(super) struct FlowTable {
    entries: HashMap<FlowKey, Entry, SeededState>,
    /// One entry a flow.
    due: BTreeSet<(Instant, FlowKey)>,
}

impl FlowTable {
    /// An empty table.
    pub(super) fn new(seed: u64) -> Self {
        Self { entries: HashMap::with_hasher(SeededState(seed)), due: BTreeSet::new() }
    }

    /// Flows in the table.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The flow of `key`.
    pub(super) fn get_mut(&mut self, key: &FlowKey) -> Option<&mut Flow> {
        self.entries.get_mut(key).map(|entry| &mut *entry.flow)
    }

    /// Adds a flow, or replaces the one of the same key; says whether there was one.
    pub(super) fn insert(&mut self, key: FlowKey, flow: Flow) -> bool {
        let due = flow.next_look();
        let old = self.entries.insert(key, Entry { flow: Box::new(flow), due });
        if let Some(old) = &old {
            self.due.remove(&(old.due, key));
        }
        self.due.insert((due, key));
        old.is_some()
    }

    /// Notes that the flow's deadline has moved.
    pub(super) fn touch(&mut self, key: &FlowKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            let due = entry.flow.next_look();
            if due < entry.due {
                self.due.remove(&(entry.due, *key));
                self.due.insert((due, *key));
                entry.due = due;
            }
        }
    }

    /// When [`FlowTable::look`] has something to look at.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Looks at flows that want it, `budget` at most, and removes those whose deadline has passed.
    pub(super) fn look(&mut self, now: Instant, budget: usize, mut each: impl FnMut(&mut Flow)) {
        for _ in 0..budget {
            let Some(&(at, key)) = self.due.first().filter(|(at, _)| *at <= now) else {
                return;
            };
            self.due.remove(&(at, key));
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            each(&mut entry.flow);
            if entry.flow.deadline() <= now {
                self.entries.remove(&key);
                self.give_memory_back();
            } else {
                entry.due = entry.flow.next_look();
                self.due.insert((entry.due, key));
            }
        }
    }

    /// After a crowd, the table is as small again as it was before.
    fn give_memory_back(&mut self) {
        let len = self.entries.len();
        if self.entries.capacity() > KEPT_CAPACITY_FLOWS && len < self.entries.capacity() / 4 {
            self.entries.shrink_to((2 * len).max(KEPT_CAPACITY_FLOWS / 2));
        }
    }

    /// The keys of all flows, in an order that does not depend on the seed.
    pub(super) fn keys(&self) -> Vec<FlowKey> {
        let mut keys: Vec<_> = self.due.iter().map(|(_, key)| *key).collect();
        keys.sort_unstable();
        keys
    }
}
