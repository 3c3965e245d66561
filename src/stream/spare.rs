//! Memory that stores have done with.

use super::buffer::Buffer;
use super::seldom::Seldom;
use super::store::Kept;
use crate::limits::{
    BULK_OCTETS_MIN, PACKET_OCTETS_MAX, SPARE_BUFFERS_MAX, SPARE_LIST_OCTETS_MAX, SPARE_OCTETS_MIN,
    SPARE_ROOMS_MAX,
};

/// Buffers that stores have done with. A flow that waits for its next command holds nothing, and the
/// next octets, of whichever flow, need no allocation.
#[derive(Debug, Default)]
pub struct Spare {
    lists: Vec<Seldom<Kept>>,
    small: Vec<Buffer>,
    /// Room for a packet each.
    rooms: Vec<Buffer>,
}

impl Spare {
    /// A list of pieces, empty.
    pub(super) fn list(&mut self) -> Seldom<Kept> {
        self.lists.pop().unwrap_or_default()
    }

    /// Takes an empty list back.
    pub(super) fn put_list(&mut self, list: Seldom<Kept>) {
        if self.lists.len() < SPARE_BUFFERS_MAX && list.list_memory() <= SPARE_LIST_OCTETS_MAX {
            self.lists.push(list);
        }
    }

    /// A buffer for so many octets, at most those of a packet, that is not much too large: what it has
    /// counts as the flow's.
    pub(super) fn take(&mut self, len: usize) -> Buffer {
        if len >= BULK_OCTETS_MIN {
            return self.room();
        }
        let fits = |buffer: &Buffer| {
            let capacity = buffer.len();
            capacity >= len && capacity / 4 <= len.max(SPARE_OCTETS_MIN)
        };
        let found = self.small.iter().rposition(fits);
        found
            .map_or_else(|| Buffer::new(len.max(SPARE_OCTETS_MIN)), |at| self.small.swap_remove(at))
    }

    /// Room for a packet. The one that was used last: it is what the caches have.
    pub fn room(&mut self) -> Buffer {
        self.rooms.pop().unwrap_or_else(Buffer::room)
    }

    /// Takes a buffer back, unless somebody else has it still.
    pub fn put(&mut self, mut buffer: Buffer) {
        if !buffer.is_free() {
            return;
        }
        if buffer.len() == PACKET_OCTETS_MAX {
            if self.rooms.len() < SPARE_ROOMS_MAX {
                self.rooms.push(buffer);
            }
        } else if buffer.len() < BULK_OCTETS_MIN {
            if self.small.len() >= SPARE_BUFFERS_MAX {
                self.small.swap_remove(0);
            }
            self.small.push(buffer);
        }
    }

    /// Buffers with room for a packet each.
    #[cfg(test)]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// There is no flow any more: what only big messages need is given back.
    pub fn rest(&mut self) {
        self.rooms.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Offset, Store};

    /// Octets of memory of a store with so many octets, all of which are acknowledged then.
    fn use_once(octets: usize, spare: &mut Spare) -> usize {
        let mut store = Store::default();
        store.append(&vec![b'x'; octets], spare);
        let memory = store.memory();
        store.mark_sent(store.nxt());
        store.release(store.nxt(), spare);
        assert!(store.is_empty() && store.memory() == 0);
        memory
    }

    #[test]
    fn a_line_needs_no_room_of_a_packet() {
        let mut spare = Spare::default();
        assert!(use_once(BULK_OCTETS_MIN, &mut spare) >= PACKET_OCTETS_MAX);
        assert!(use_once(6, &mut spare) < 1 << 10);
        assert_eq!((spare.rooms.len(), spare.small.len(), spare.lists.len()), (1, 1, 1));
        // Neither is made anew.
        use_once(BULK_OCTETS_MIN, &mut spare);
        use_once(5, &mut spare);
        assert_eq!((spare.rooms.len(), spare.small.len(), spare.lists.len()), (1, 1, 1));
        // What is much too large for a line stays for others.
        use_once(10_000, &mut spare);
        assert!(use_once(300, &mut spare) < 1 << 10);
    }

    #[test]
    fn what_is_kept_has_limits() {
        let mut spare = Spare::default();
        (1..=2 * SPARE_BUFFERS_MAX as u32)
            .for_each(|n| assert!(use_once(5_usize.pow(n % 6 + 1), &mut spare) > 0));
        let many = 2 * SPARE_ROOMS_MAX * PACKET_OCTETS_MAX;
        use_once(many, &mut spare);
        assert!((1..=SPARE_BUFFERS_MAX).contains(&spare.small.len()));
        assert_eq!(spare.rooms.len(), SPARE_ROOMS_MAX);
        assert!(spare.lists.iter().all(|list| list.list_memory() <= SPARE_LIST_OCTETS_MAX));
        spare.rest();
        assert!(spare.rooms.is_empty(), "what only big messages need is given back");
    }

    #[test]
    fn as_many_are_kept_as_may_be_and_no_more() {
        let mut spare = Spare::default();
        for _ in 0..2 * SPARE_BUFFERS_MAX {
            let mut store = Store::default();
            store.append(b"NOOP", &mut Spare::default());
            store.mark_sent(store.nxt());
            store.release(store.nxt(), &mut spare);
        }
        assert_eq!(spare.lists.len(), SPARE_BUFFERS_MAX);
        for _ in 0..2 * SPARE_ROOMS_MAX {
            spare.put(Buffer::room());
        }
        assert_eq!(spare.rooms.len(), SPARE_ROOMS_MAX);
        // A list that is too long is not kept, though there is a place for it.
        let mut store = Store::default();
        let mut spare = Spare::default();
        for _ in 0..SPARE_LIST_OCTETS_MAX {
            store.lend(0..1, &mut spare);
        }
        assert!(store.memory() > SPARE_LIST_OCTETS_MAX);
        store.mark_sent(store.nxt());
        store.release(store.nxt(), &mut spare);
        assert!(store.is_empty() && spare.lists.is_empty());
    }

    #[test]
    fn what_somebody_holds_is_not_spare() {
        let mut spare = Spare::default();
        let room = spare.room();
        spare.put(room.clone());
        assert!(spare.rooms.is_empty());
        spare.put(room);
        assert_eq!(spare.rooms.len(), 1);
        let mut store = Store::default();
        store.append(b"NOOP\r\n", &mut spare);
        assert_eq!(store.nxt(), Offset::new(6));
    }
}
