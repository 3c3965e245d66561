//! Places that never move: a table that grows or shrinks must not stall a packet.

use std::collections::BTreeSet;

/// Places of a chunk, as many as its bitmap has bits.
const CHUNK: u32 = u64::BITS;

/// Values by number. They lie in chunks, each of which is allocated and given back for itself, so no call
/// does more work than for one chunk, however many values there are.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with a free place: the lowest is filled first, so that the others become empty.
    open: BTreeSet<u32>,
    len: usize,
}

#[derive(Debug)]
struct Chunk<T> {
    places: Vec<Option<T>>,
    /// A bit for each place that is taken.
    taken: u64,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), open: BTreeSet::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Values in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes a value in, and says its number. There is always one: memory ends before numbers do.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let at = self.open.first().copied().unwrap_or_else(|| {
            let at = self.chunks.len() as u32;
            self.chunks.push(Chunk { places: Vec::new(), taken: 0 });
            self.open.insert(at);
            at
        });
        let chunk = &mut self.chunks[at as usize];
        let free = chunk.taken.trailing_ones();
        chunk.taken |= 1 << free;
        if chunk.places.is_empty() {
            chunk.places.reserve_exact(CHUNK as usize);
        }
        while chunk.places.len() <= free as usize {
            chunk.places.push(None);
        }
        chunk.places[free as usize] = Some(value);
        if chunk.taken == u64::MAX {
            self.open.remove(&at);
        }
        self.len += 1;
        at * CHUNK + free
    }

    /// The value of that number.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let chunk = self.chunks.get((number / CHUNK) as usize)?;
        chunk.places.get((number % CHUNK) as usize)?.as_ref()
    }

    /// The value of that number.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut((number / CHUNK) as usize)?;
        chunk.places.get_mut((number % CHUNK) as usize)?.as_mut()
    }

    /// Takes a value out; its number may be given again.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let at = number / CHUNK;
        let chunk = self.chunks.get_mut(at as usize)?;
        let value = chunk.places.get_mut((number % CHUNK) as usize)?.take()?;
        if chunk.taken == u64::MAX {
            self.open.insert(at);
        }
        chunk.taken &= !(1 << (number % CHUNK));
        if chunk.taken == 0 && self.len > CHUNK as usize {
            chunk.places = Vec::new();
        }
        self.len -= 1;
        Some(value)
    }

    /// Octets that all chunks take.
    #[cfg(test)]
    fn memory(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.places.capacity() * size_of::<Option<T>>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn against_a_map() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut slab = Slab::default();
        let mut model = std::collections::BTreeMap::new();
        for step in 0..20_000_u64 {
            // It grows, then shrinks, then grows.
            let grows = rng.u64(0..10) < if step / 5000 % 2 == 0 { 7 } else { 3 };
            if grows {
                let number = slab.insert(step);
                assert_eq!(model.insert(number, step), None, "the place was taken");
            } else if let Some(&number) = model.keys().nth(rng.usize(..model.len().max(1))) {
                assert_eq!(slab.remove(number), model.remove(&number));
                assert_eq!(slab.remove(number), None);
            }
            assert_eq!(slab.len(), model.len());
            let probe = rng.u32(..3000);
            assert_eq!(slab.get(probe), model.get(&probe));
            assert_eq!(slab.get_mut(probe).copied(), model.get(&probe).copied());
        }
    }

    #[test]
    fn what_is_empty_takes_no_memory() {
        let mut slab = Slab::default();
        let numbers: Vec<_> = (0..100_000_u64).map(|value| slab.insert(value)).collect();
        let most = slab.memory();
        for number in &numbers[100..] {
            slab.remove(*number);
        }
        assert!(slab.memory() <= most / 500, "{} of {most}", slab.memory());
        assert_eq!(slab.insert(7), 100, "the lowest place is filled first");
    }
}
