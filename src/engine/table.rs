//! The flow table and its timers. No call does work that grows with the table: it lies in chunks
//! ([`Slab`]), and its indices are many small hash tables, each of which grows and shrinks for itself.

use core::hash::{BuildHasher, Hash, Hasher};
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU64;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::DefaultHasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::held::{Flows, Held};
use super::slab::Slab;
use crate::flow::{Flow, Room};
use crate::limits::KEPT_CAPACITY_FLOWS;
use crate::time::Instant;
use crate::wire::packet::source_of;

/// Hash tables of an index: with a million flows each has two thousand, and moves within 20 us or so.
const SHARDS: usize = 512;

/// Entries for which a small hash table keeps room when it is mostly empty.
const KEPT_IN_SHARD: usize = KEPT_CAPACITY_FLOWS / SHARDS * 8;

/// The VLAN and the two endpoints of a connection, without order: a [`SocketAddr`] takes half as much again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

    /// The two ends, the lower one first or last.
    pub(super) fn ends(&self, lower_first: bool) -> (SocketAddr, SocketAddr) {
        let (first, last) =
            if lower_first { (self.lower, self.upper) } else { (self.upper, self.lower) };
        (first.into(), last.into())
    }

    /// A hash that nobody can predict who does not know `seed`.
    pub(super) fn hash(&self, seed: u64) -> u64 {
        let (octets, len) = self.octets();
        SipHasher13::new_with_keys(seed, !seed).hash(&octets[..len])
    }

    /// All of it in one piece: a hash that is fed field by field takes three times as long.
    fn octets(&self) -> ([u8; 40], usize) {
        let mut octets = [0; 40];
        octets[..4].copy_from_slice(&self.segment.to_be_bytes());
        let mut len = 4;
        for (address, port) in [self.lower, self.upper] {
            match address {
                IpAddr::V4(address) => {
                    octets[len..len + 4].copy_from_slice(&address.octets());
                    len += 4;
                }
                IpAddr::V6(address) => {
                    octets[len..len + 16].copy_from_slice(&address.octets());
                    len += 16;
                }
            }
            octets[len..len + 2].copy_from_slice(&port.to_be_bytes());
            len += 2;
        }
        (octets, len)
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (octets, len) = self.octets();
        state.write(&octets[..len]);
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
    key: FlowKey,
    held: Held,
    /// When the timers look at the flow.
    due: Instant,
    /// Its age among those whose handshake has not ended.
    half_open: Option<NonZeroU64>,
    /// Octets that the flow held when it was looked at last.
    memory: u32,
    hash: u32,
    /// It is not over: it counts as one of its client.
    is_live: bool,
}

/// The place of a flow in the table, until the next flow is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u32);

/// Connections of one client that are not over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct OfClient {
    /// All of them.
    pub(super) all: u32,
    /// Those whose handshake has not ended.
    pub(super) half_open: u32,
}

/// Where an entry of the index leads to, with the hash of its key.
#[derive(Debug, Clone, Copy)]
struct Pointer {
    hash: u32,
    place: Place,
}

impl Pointer {
    /// The hash within its shard.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Flows by key, and by the time at which they want to be looked at. A flow's deadline moves with each
/// packet; the timers look again when the old one has passed, so a packet costs them nothing.
#[derive(Debug)]
pub(super) struct FlowTable {
    seed: u64,
    /// After so long a silence a flow at rest is folded.
    rest_after: Duration,
    entries: Slab<Entry>,
    flows: Flows,
    /// By key.
    index: Vec<HashTable<Pointer>>,
    /// One entry a flow.
    due: BTreeSet<(Instant, Place)>,
    /// Flows whose handshake has not ended, the oldest first.
    half_open: BTreeMap<NonZeroU64, Place>,
    /// Flows that there ever were.
    born: u64,
    clients: Clients,
    /// Octets that all flows hold.
    memory: usize,
}

impl FlowTable {
    /// An empty table.
    pub(super) fn new(seed: u64, rest_after: Duration) -> Self {
        Self {
            seed,
            rest_after,
            entries: Slab::default(),
            flows: Flows::default(),
            index: (0..SHARDS).map(|_| HashTable::new()).collect(),
            due: BTreeSet::new(),
            half_open: BTreeMap::new(),
            born: 0,
            clients: Clients::new(seed),
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

    /// Flows that are not folded.
    pub(super) fn whole_len(&self) -> usize {
        self.flows.whole_len()
    }

    /// Flows whose handshake has not ended.
    pub(super) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// The one of them that is there for the longest time.
    pub(super) fn oldest_half_open(&self) -> Option<Place> {
        self.half_open.first_key_value().map(|(_, place)| *place)
    }

    /// The connections of `client`.
    pub(super) fn of_client(&self, client: IpAddr) -> OfClient {
        self.clients.of(source_of(client))
    }

    /// The place of the flow of `key`.
    pub(super) fn find(&self, key: &FlowKey) -> Option<Place> {
        let hash = key.hash(self.seed) as u32;
        let shard = self.index.get(shard(hash))?;
        let is_it = |pointer: &Pointer| {
            pointer.hash == hash
                && self.entries.get(pointer.place.0).is_some_and(|entry| entry.key == *key)
        };
        shard.find(Pointer::spread(hash), is_it).map(|pointer| pointer.place)
    }

    /// Looks at the flow at that place.
    pub(super) fn read<T>(&self, place: Place, read: impl FnOnce(&Flow) -> T) -> Option<T> {
        let entry = self.entries.get(place.0)?;
        self.flows.read(&entry.key, &entry.held, |flow, _| read(flow))
    }

    /// Whether a new flow may take that place.
    pub(super) fn is_replaceable(&self, place: Place) -> bool {
        let entry = self.entries.get(place.0);
        entry.and_then(|entry| self.flows.whole(&entry.held)).is_some_and(Flow::is_replaceable)
    }

    /// The flow at that place.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Flow> {
        let entry = self.entries.get_mut(place.0)?;
        self.flows.unfold(&entry.key, &mut entry.held)
    }

    /// The flow at that place, and what it may take of `budget` octets.
    pub(super) fn with_room(&mut self, place: Place, budget: usize) -> Option<(&mut Flow, Room)> {
        let total = self.memory;
        let entry = self.entries.get_mut(place.0)?;
        let room = Room { held: entry.memory as usize, total, budget };
        self.flows.unfold(&entry.key, &mut entry.held).map(|flow| (flow, room))
    }

    /// Adds a flow whose key is not in the table.
    pub(super) fn insert(&mut self, key: FlowKey, flow: Flow) -> Place {
        let due = flow.next_look();
        self.born += 1;
        let hash = key.hash(self.seed) as u32;
        let half_open = NonZeroU64::new(self.born);
        let memory = held_by(&flow);
        self.memory += memory as usize;
        let held = self.flows.insert(&key, flow);
        let entry = Entry { key, held, due, half_open, memory, hash, is_live: true };
        self.clients.count(&entry, true);
        let place = Place(self.entries.insert(entry));
        if let Some(shard) = self.index.get_mut(shard(hash)) {
            let rehash = |pointer: &Pointer| Pointer::spread(pointer.hash);
            shard.insert_unique(Pointer::spread(hash), Pointer { hash, place }, rehash);
        }
        self.due.insert((due, place));
        if let Some(age) = half_open {
            self.half_open.insert(age, place);
        }
        place
    }

    /// Takes a flow out.
    pub(super) fn remove(&mut self, place: Place) -> Option<Flow> {
        let entry = self.entries.remove(place.0)?;
        if let Some(shard) = self.index.get_mut(shard(entry.hash)) {
            let hash = Pointer::spread(entry.hash);
            if let Ok(found) = shard.find_entry(hash, |pointer| pointer.place == place) {
                found.remove();
            }
            if shard.capacity() > KEPT_IN_SHARD && shard.len() < shard.capacity() / 4 {
                let room = (2 * shard.len()).max(KEPT_IN_SHARD / 2);
                shard.shrink_to(room, |pointer| Pointer::spread(pointer.hash));
            }
        }
        self.due.remove(&(entry.due, place));
        if let Some(age) = entry.half_open {
            self.half_open.remove(&age);
        }
        self.clients.count(&entry, false);
        self.memory = self.memory.saturating_sub(entry.memory as usize);
        self.flows.remove(&entry.key, &entry.held)
    }

    /// Notes what a call has changed: the flow's deadline, what it holds, how far it has come.
    pub(super) fn touch(&mut self, place: Place) {
        self.note(place, true);
    }

    /// The same; the timers, who look at it, see to its deadline.
    fn note(&mut self, place: Place, moves: bool) {
        let Some(entry) = self.entries.get_mut(place.0) else { return };
        if moves {
            let due = self.flows.watch(&mut entry.held, entry.due, self.rest_after);
            if due < entry.due {
                self.due.remove(&(entry.due, place));
                self.due.insert((due, place));
                entry.due = due;
            }
        }
        let Some(flow) = self.flows.whole(&entry.held) else { return };
        let memory = held_by(flow);
        self.memory = (self.memory + memory as usize).saturating_sub(entry.memory as usize);
        entry.memory = memory;
        let is_live = !flow.is_over();
        let half_open = entry.half_open.filter(|_| !flow.is_established());
        if (is_live, half_open) != (entry.is_live, entry.half_open) {
            self.clients.count(entry, false);
            if let Some(age) = entry.half_open.filter(|_| half_open.is_none()) {
                self.half_open.remove(&age);
            }
            (entry.is_live, entry.half_open) = (is_live, half_open);
            self.clients.count(entry, true);
        }
    }

    /// When [`FlowTable::look`] has something to look at.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Looks at flows that want it, `budget` at most, removes those whose deadline has passed, and folds those at rest.
    pub(super) fn look(&mut self, now: Instant, budget: usize, mut each: impl FnMut(&mut Flow)) {
        for _ in 0..budget {
            let Some(&(at, place)) = self.due.first().filter(|(at, _)| *at <= now) else {
                return;
            };
            let Some(entry) = self.entries.get_mut(place.0) else {
                self.due.remove(&(at, place));
                continue;
            };
            if self.flows.next_look(&entry.held) <= now {
                let Some(flow) = self.flows.unfold(&entry.key, &mut entry.held) else { continue };
                each(flow);
                if flow.deadline() <= now {
                    self.remove(place);
                    continue;
                }
                self.note(place, false);
            }
            let Some(entry) = self.entries.get_mut(place.0) else { continue };
            self.due.remove(&(at, place));
            entry.due = self.flows.settle(&mut entry.held, now, self.rest_after);
            self.due.insert((entry.due, place));
        }
    }

    /// Looks at all flows, in the order in which the timers want to, with the octets that each takes itself.
    pub(super) fn each(&self, mut each: impl FnMut(&Flow, usize)) {
        for entry in self.due.iter().filter_map(|(_, place)| self.entries.get(place.0)) {
            self.flows.read(&entry.key, &entry.held, &mut each);
        }
    }

    /// The places of all flows, in the order of their keys.
    pub(super) fn places(&self) -> Vec<Place> {
        let entry = |place: Place| self.entries.get(place.0).map(|entry| (entry.key, place));
        let mut keys: Vec<_> = self.due.iter().filter_map(|(_, place)| entry(*place)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, place)| place).collect()
    }
}

/// Octets that a flow holds: far less than four billion.
fn held_by(flow: &Flow) -> u32 {
    u32::try_from(flow.memory()).unwrap_or(u32::MAX)
}

/// Which small table of an index has it: by the bits that the small tables use least.
fn shard(hash: u32) -> usize {
    (hash >> (u32::BITS - SHARDS.trailing_zeros())) as usize
}

/// Connections by client, who is known by [`source_of`].
#[derive(Debug)]
struct Clients {
    state: SeededState,
    shards: Vec<HashMap<IpAddr, OfClient, SeededState>>,
}

impl Clients {
    fn new(seed: u64) -> Self {
        let state = SeededState(seed);
        let shards = (0..SHARDS).map(|_| HashMap::with_hasher(state)).collect();
        Self { state, shards }
    }

    fn shard(&self, client: IpAddr) -> usize {
        shard((self.state.hash_one(client) >> 16) as u32)
    }

    fn of(&self, client: IpAddr) -> OfClient {
        let shard = self.shards.get(self.shard(client));
        shard.and_then(|shard| shard.get(&client)).copied().unwrap_or_default()
    }

    /// Counts a flow for its client, or no longer.
    fn count(&mut self, entry: &Entry, comes: bool) {
        if !entry.is_live {
            return;
        }
        let client = source_of(entry.held.ends(&entry.key).0.ip());
        let at = self.shard(client);
        let Some(shard) = self.shards.get_mut(at) else { return };
        let half_open = u32::from(entry.half_open.is_some());
        let counted = shard.entry(client).or_default();
        if comes {
            counted.all += 1;
            counted.half_open += half_open;
            return;
        }
        counted.all = counted.all.saturating_sub(1);
        counted.half_open = counted.half_open.saturating_sub(half_open);
        if counted.all == 0 {
            shard.remove(&client);
            if shard.capacity() > KEPT_IN_SHARD && shard.len() < shard.capacity() / 4 {
                shard.shrink_to((2 * shard.len()).max(KEPT_IN_SHARD / 2));
            }
        }
    }
}

#[cfg(test)]
impl FlowTable {
    /// Folds all flows that are at rest, and checks that each can be told from what is left.
    pub(super) fn fold_and_check(&mut self) {
        for place in self.places() {
            let entry = self.entries.get_mut(place.0).unwrap();
            self.flows.fold_and_check(&entry.key, &mut entry.held);
        }
    }
}

/// Octets of the table that one flow takes, its own size included: one entry in each index, and the
/// room that hash tables and trees leave free. The half-open ones and their clients come on top.
#[cfg(test)]
pub(super) const fn octets_a_flow() -> usize {
    let hashed = 2 * size_of::<Pointer>() + 2 * size_of::<(IpAddr, OfClient)>();
    let sorted = 2 * size_of::<(Instant, Place)>() + 2 * size_of::<(u64, Place)>();
    size_of::<Option<Entry>>() + size_of::<Option<Flow>>() + hashed + sorted
}
