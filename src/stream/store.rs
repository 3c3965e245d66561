//! The store: edited octets that the receiver has not acknowledged.

use std::collections::VecDeque;

use super::offset::{Offset, Span};
use super::seldom::{Blank, Seldom};
use crate::limits::{
    BULK_OCTETS_MIN, SPARE_BUFFERS_MAX, SPARE_BULK_BUFFERS_MAX, SPARE_BULK_OCTETS_MAX,
    SPARE_OCTETS_MAX, SPARE_OCTETS_MIN,
};

/// The one place that answers every question about sending and repeating. What leaves for an
/// offset comes out of here, the first time and every time.
///
/// ```text
///   una            sent             nxt
///    |-- in flight --|-- may leave --|
/// ```
#[derive(Debug, Default)]
pub struct Store {
    una: Offset,
    sent: Offset,
    octets: Seldom<VecDeque<u8>>,
}

impl Blank for VecDeque<u8> {
    const BLANK: &'static Self = &Self::new();
}

/// Buffers that stores have done with. A flow that waits for its next command holds nothing, and the
/// next octets, of whichever flow, need no allocation.
#[derive(Debug, Default)]
pub struct Spare {
    small: Vec<Seldom<VecDeque<u8>>>,
    /// Of flows in the midst of a big message.
    bulk: Vec<Seldom<VecDeque<u8>>>,
}

impl Spare {
    /// A buffer for so many octets, that is not much too large: what it has counts as the flow's.
    fn take(&mut self, len: usize) -> Seldom<VecDeque<u8>> {
        if len >= BULK_OCTETS_MIN
            && let Some(buffer) = self.bulk.pop()
        {
            return buffer;
        }
        let fits = |buffer: &Seldom<VecDeque<u8>>| {
            let capacity = buffer.capacity();
            capacity >= len && capacity / 4 <= len.max(SPARE_OCTETS_MIN)
        };
        let found = self.small.iter().rposition(fits);
        let mut buffer = found.map_or_else(Seldom::default, |at| self.small.swap_remove(at));
        if found.is_none() {
            buffer.reserve_exact(len.max(SPARE_OCTETS_MIN));
        }
        buffer
    }

    /// Takes an empty buffer back.
    fn put(&mut self, mut buffer: Seldom<VecDeque<u8>>) {
        let capacity = buffer.capacity();
        if (1..=SPARE_OCTETS_MAX).contains(&capacity) {
            if self.small.len() >= SPARE_BUFFERS_MAX {
                self.small.swap_remove(0);
            }
            // From its start again: that is what the caches have.
            VecDeque::clear(&mut buffer);
            self.small.push(buffer);
        } else if (1..=SPARE_BULK_OCTETS_MAX).contains(&capacity)
            && self.bulk.len() < SPARE_BULK_BUFFERS_MAX
        {
            VecDeque::clear(&mut buffer);
            self.bulk.push(buffer);
        }
    }

    /// There is no flow any more: what only big messages need is given back.
    pub fn rest(&mut self) {
        self.bulk.clear();
    }
}

impl Store {
    /// The oldest octet that the receiver has not acknowledged.
    pub fn una(&self) -> Offset {
        self.una
    }

    /// The end of what has left at least once.
    pub fn sent(&self) -> Offset {
        self.sent
    }

    /// The end of what is known of the edited stream.
    pub fn nxt(&self) -> Offset {
        self.una + self.octets.len()
    }

    /// Octets kept.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Octets of memory that it takes.
    pub fn memory(&self) -> usize {
        self.octets.memory() + self.octets.capacity()
    }

    /// Adds octets at the end.
    pub fn append(&mut self, octets: &[u8], spare: &mut Spare) {
        if self.octets.is_blank() {
            if octets.is_empty() {
                return;
            }
            self.octets = spare.take(octets.len());
        }
        self.octets.extend(octets);
    }

    /// Notes that everything before `to` has left.
    pub fn mark_sent(&mut self, to: Offset) {
        self.sent = self.sent.max(to.min(self.nxt()));
    }

    /// Drops what the receiver has acknowledged. Nothing beyond what was sent can be.
    pub fn release(&mut self, acknowledged: Offset, spare: &mut Spare) {
        let gone = acknowledged.min(self.sent).index_past(self.una);
        if gone == 0 {
            return;
        }
        self.una = self.una + gone;
        if gone >= self.octets.len() {
            spare.put(core::mem::take(&mut self.octets));
        } else {
            self.octets.drain(..gone);
        }
    }

    /// Copies `span`, as far as it is kept, to `to`; returns the octets copied.
    pub fn copy(&self, span: Span, to: &mut [u8]) -> usize {
        let span = span.within(Span { start: self.una, end: self.nxt() });
        let (first, last) = (span.start.index_past(self.una), span.end.index_past(self.una));
        let (front, back) = self.octets.as_slices();
        let mut copied = 0;
        for (slice, start) in [(front, 0), (back, front.len())] {
            let from = first.clamp(start, start + slice.len()) - start;
            let until = last.clamp(start, start + slice.len()) - start;
            let part = slice.get(from..until).unwrap_or_default();
            if let Some(room) = to.get_mut(copied..copied + part.len()) {
                room.copy_from_slice(part);
                copied += part.len();
            }
        }
        copied
    }

    /// Gives all memory back: the flow is over.
    pub fn free(&mut self) {
        self.una = self.nxt();
        self.sent = self.una;
        self.octets.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(store: &Store, start: u64, end: u64) -> String {
        let mut to = [0; 64];
        let span = Span { start: Offset::new(start), end: Offset::new(end) };
        let len = store.copy(span, &mut to);
        String::from_utf8(to[..len].to_vec()).unwrap()
    }

    #[test]
    fn l9_a_span_reads_the_same_until_it_is_released() {
        let mut store = Store::default();
        store.append(b"HELO a\r\n", &mut Spare::default());
        store.append(b"NOOP\r\n", &mut Spare::default());
        store.mark_sent(Offset::new(14));
        assert_eq!(text(&store, 5, 10), "a\r\nNO");
        store.release(Offset::new(7), &mut Spare::default());
        assert_eq!(store.una(), Offset::new(7));
        assert_eq!(text(&store, 0, 10), "\nNO", "what was released is gone");
        assert_eq!(text(&store, 8, 99), "NOOP\r\n");
    }

    #[test]
    fn a_big_message_finds_the_buffer_of_the_last_one_and_a_command_does_not() {
        let mut spare = Spare::default();
        let mut store = Store::default();
        let fill = |store: &mut Store, octets: usize, spare: &mut Spare| {
            store.append(&vec![b'x'; octets], spare);
            let memory = store.memory();
            store.mark_sent(store.nxt());
            store.release(store.nxt(), spare);
            memory
        };
        let big = fill(&mut store, 1 << 20, &mut spare);
        assert!(fill(&mut store, 6, &mut spare) < 1 << 10);
        assert_eq!(fill(&mut store, BULK_OCTETS_MIN, &mut spare), big);
        spare.rest();
        assert!(fill(&mut store, BULK_OCTETS_MIN, &mut spare) < 1 << 18);
        fill(&mut store, SPARE_BULK_OCTETS_MAX + 1, &mut spare);
        assert!(fill(&mut store, BULK_OCTETS_MIN, &mut spare) < 1 << 18, "it was too big to keep");
    }

    #[test]
    fn nothing_is_released_that_has_not_left() {
        let mut store = Store::default();
        store.append(b"QUIT\r\n", &mut Spare::default());
        store.mark_sent(Offset::new(2));
        store.release(Offset::new(6), &mut Spare::default());
        assert_eq!((store.una(), store.nxt()), (Offset::new(2), Offset::new(6)));
    }

    #[test]
    fn an_emptied_store_gives_its_memory_back() {
        let mut store = Store::default();
        store.append(&vec![b'x'; 1 << 20], &mut Spare::default());
        store.mark_sent(store.nxt());
        store.release(store.nxt(), &mut Spare::default());
        assert!(store.is_empty() && store.octets.capacity() == 0);
    }

    #[test]
    fn what_is_spare_is_used_again_where_it_fits() {
        let mut spare = Spare::default();
        let mut use_once = |len: usize| {
            let mut store = Store::default();
            store.append(&vec![b'x'; len], &mut spare);
            store.mark_sent(store.nxt());
            let capacity = store.octets.capacity();
            store.release(store.nxt(), &mut spare);
            assert!(store.is_empty() && store.memory() == 0);
            assert!(spare.small.len() <= SPARE_BUFFERS_MAX);
            let kept: Vec<_> = spare.small.iter().map(|buffer| buffer.capacity()).collect();
            (capacity, kept)
        };
        let (large, _) = use_once(60_000);
        let (small, kept) = use_once(10);
        assert!(small < 1000, "a line needs no buffer of a segment");
        assert_eq!(kept, [large, small]);
        assert_eq!(use_once(50_000), (large, vec![small, large]));
        let (_, kept) = use_once(SPARE_OCTETS_MAX + 1);
        assert_eq!(kept, [small, large], "what is too large is not kept for lines");
        let sizes = (1..=2 * SPARE_BUFFERS_MAX as u32).map(|n| 5_usize.pow(n % 7 + 1));
        sizes.for_each(|len| drop(use_once(len)));
    }

    #[test]
    fn a_span_is_whole_where_the_ring_begins_anew() {
        let mut store = Store::default();
        store.append(&[b'x'; SPARE_OCTETS_MIN - 16], &mut Spare::default());
        store.append(b"0123456789abcdef", &mut Spare::default());
        let gone = Offset::new(SPARE_OCTETS_MIN as u64 - 4);
        store.mark_sent(gone);
        store.release(gone, &mut Spare::default());
        store.append(b"ghijkl", &mut Spare::default());
        assert!(!store.octets.as_slices().1.is_empty(), "the ring has turned");
        let at = gone.get();
        assert_eq!(text(&store, at, at + 10), "cdefghijkl");
        assert_eq!(text(&store, at + 5, at + 7), "hi");
        assert_eq!(store.len(), 10);
    }

    #[test]
    fn a_flow_that_is_over_keeps_nothing() {
        let mut store = Store::default();
        store.append(b"QUIT\r\n", &mut Spare::default());
        store.free();
        assert_eq!(
            (store.una(), store.sent(), store.nxt()),
            (Offset::new(6), Offset::new(6), Offset::new(6))
        );
        assert_eq!(store.memory(), 0);
    }
}
