//! The flow table and its timers.

use core::hash::{BuildHasher, Hash, Hasher};
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::DefaultHasher;

use crate::flow::{Flow, Room};
use crate::limits::KEPT_CAPACITY_FLOWS;
use crate::time::Instant;
use crate::wire::packet::source_of;

/// The VLAN and the two endpoints of a connection, without order: a [`SocketAddr`] takes half as much again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FlowKey {
    segment: u32,
    lower: (IpAddr, u16),
    upper: (IpAddr, u16),
}

impl FlowKey {
    /// The key of both directions between `a` and `b` on one [`Link::segment`](crate::wire::link::Link::segment).
    pub(super) fn new(segment: u32, a: SocketAddr, b: SocketAddr) -> Self {
        let (a, b) = ((a.ip(), a.port()), (b.ip(), b.port()));
        Self { segment, lower: a.min(b), upper: a.max(b) }
    }
}

/// A hash that nobody can predict who does not know `seed`.
pub(super) fn seeded_hash(of: &impl Hash, seed: u64) -> u64 {
    SeededState(seed).hash_one(of)
}

/// SipHash with a secret before the key, so that nobody can aim flows at one bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeededState(u64);

impl SeededState {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }
}

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
    /// Its age among those whose handshake has not ended.
    half_open: Option<u64>,
    /// It is not over: it counts as one of its client.
    is_live: bool,
    /// Octets that the flow held when it was looked at last.
    memory: usize,
}

/// Connections of one client that are not over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfClient {
    /// All of them.
    pub(super) all: usize,
    /// Those whose handshake has not ended.
    pub(super) half_open: usize,
}

/// Flows by key, and by the time at which they want to be looked at. A flow's deadline moves with each
/// packet; the timers look again when the old one has passed, so a packet costs them nothing.
#[derive(Debug)]
pub(super) struct FlowTable {
    entries: HashMap<FlowKey, Entry, SeededState>,
    /// One entry a flow.
    due: BTreeSet<(Instant, FlowKey)>,
    /// Flows whose handshake has not ended, the oldest first.
    half_open: BTreeMap<u64, FlowKey>,
    /// Flows that there ever were.
    born: u64,
    /// By [`source_of`].
    clients: HashMap<IpAddr, OfClient, SeededState>,
    /// Octets that all flows hold.
    memory: usize,
}

impl FlowTable {
    /// An empty table.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            entries: HashMap::with_hasher(SeededState(seed)),
            due: BTreeSet::new(),
            half_open: BTreeMap::new(),
            born: 0,
            clients: HashMap::with_hasher(SeededState(seed)),
            memory: 0,
        }
    }

    /// Flows in the table.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Octets that all flows hold.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Flows whose handshake has not ended.
    pub(super) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// The one of them that is there for the longest time.
    pub(super) fn oldest_half_open(&self) -> Option<FlowKey> {
        self.half_open.first_key_value().map(|(_, key)| *key)
    }

    /// The connections of `client`.
    pub(super) fn of_client(&self, client: IpAddr) -> OfClient {
        self.clients.get(&source_of(client)).copied().unwrap_or_default()
    }

    /// The flow of `key`.
    pub(super) fn get_mut(&mut self, key: &FlowKey) -> Option<&mut Flow> {
        self.entries.get_mut(key).map(|entry| &mut *entry.flow)
    }

    /// The flow of `key`, and what it may take of `budget` octets.
    pub(super) fn with_room(&mut self, key: &FlowKey, budget: usize) -> Option<(&mut Flow, Room)> {
        let total = self.memory;
        self.entries.get_mut(key).map(|entry| {
            let room = Room { held: entry.memory, total, budget };
            (&mut *entry.flow, room)
        })
    }

    /// Adds a flow, or replaces the one of the same key; says whether there was one.
    pub(super) fn insert(&mut self, key: FlowKey, flow: Flow) -> bool {
        let was_there = self.remove(&key).is_some();
        let due = flow.next_look();
        self.born += 1;
        let entry = Entry {
            due,
            half_open: Some(self.born),
            is_live: true,
            memory: flow.memory(),
            flow: Box::new(flow),
        };
        self.memory += entry.memory;
        count(&mut self.clients, &entry, true);
        self.entries.insert(key, entry);
        self.due.insert((due, key));
        self.half_open.insert(self.born, key);
        was_there
    }

    /// Takes a flow out.
    pub(super) fn remove(&mut self, key: &FlowKey) -> Option<Box<Flow>> {
        let entry = self.entries.remove(key)?;
        self.due.remove(&(entry.due, *key));
        if let Some(age) = entry.half_open {
            self.half_open.remove(&age);
        }
        count(&mut self.clients, &entry, false);
        self.memory = self.memory.saturating_sub(entry.memory);
        Some(entry.flow)
    }

    /// Notes what a call has changed: the flow's deadline, what it holds, how far it has come.
    pub(super) fn touch(&mut self, key: &FlowKey) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let due = entry.flow.next_look();
        if due < entry.due {
            self.due.remove(&(entry.due, *key));
            self.due.insert((due, *key));
            entry.due = due;
        }
        let memory = entry.flow.memory();
        self.memory = (self.memory + memory).saturating_sub(entry.memory);
        entry.memory = memory;
        let is_live = !entry.flow.is_over();
        let half_open = entry.half_open.filter(|_| !entry.flow.is_established());
        if (is_live, half_open) != (entry.is_live, entry.half_open) {
            count(&mut self.clients, entry, false);
            if let Some(age) = entry.half_open.filter(|_| half_open.is_none()) {
                self.half_open.remove(&age);
            }
            (entry.is_live, entry.half_open) = (is_live, half_open);
            count(&mut self.clients, entry, true);
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
            let Some(entry) = self.entries.get_mut(&key) else {
                self.due.remove(&(at, key));
                continue;
            };
            each(&mut entry.flow);
            if entry.flow.deadline() <= now {
                self.remove(&key);
                self.give_memory_back();
            } else {
                self.due.remove(&(at, key));
                entry.due = entry.flow.next_look();
                self.due.insert((entry.due, key));
                self.touch(&key);
            }
        }
    }

    /// After a crowd, the table is as small again as it was before.
    fn give_memory_back(&mut self) {
        let len = self.entries.len();
        if self.entries.capacity() > KEPT_CAPACITY_FLOWS && len < self.entries.capacity() / 4 {
            self.entries.shrink_to((2 * len).max(KEPT_CAPACITY_FLOWS / 2));
        }
        let len = self.clients.len();
        if self.clients.capacity() > KEPT_CAPACITY_FLOWS && len < self.clients.capacity() / 4 {
            self.clients.shrink_to((2 * len).max(KEPT_CAPACITY_FLOWS / 2));
        }
    }

    /// The flow of `key`.
    pub(super) fn get(&self, key: &FlowKey) -> Option<&Flow> {
        self.entries.get(key).map(|entry| &*entry.flow)
    }

    /// All flows, in the order in which they want to be looked at.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.due.iter().filter_map(|(_, key)| self.get(key))
    }

    /// The keys of all flows, in an order that does not depend on the seed.
    pub(super) fn keys(&self) -> Vec<FlowKey> {
        let mut keys: Vec<_> = self.due.iter().map(|(_, key)| *key).collect();
        keys.sort_unstable();
        keys
    }
}

/// Counts a flow for its client, or no longer.
fn count(clients: &mut HashMap<IpAddr, OfClient, SeededState>, entry: &Entry, comes: bool) {
    if !entry.is_live {
        return;
    }
    let client = source_of(entry.flow.client().ip());
    let half_open = usize::from(entry.half_open.is_some());
    let counted = clients.entry(client).or_default();
    if comes {
        counted.all += 1;
        counted.half_open += half_open;
    } else {
        counted.all = counted.all.saturating_sub(1);
        counted.half_open = counted.half_open.saturating_sub(half_open);
        if counted.all == 0 {
            clients.remove(&client);
        }
    }
}

/// Octets of the table that one flow takes, its own size included: one entry in each index, and the
/// room that hash tables and trees leave free. The half-open ones and their clients come on top.
#[cfg(test)]
pub(super) const fn octets_a_flow() -> usize {
    let hashed = 2 * size_of::<(FlowKey, Entry)>() + 2 * size_of::<(IpAddr, OfClient)>();
    let sorted = 2 * size_of::<(Instant, FlowKey)>() + 2 * size_of::<(u64, FlowKey)>();
    size_of::<Flow>() + hashed + sorted
}
