//! The store: edited octets that the receiver has not acknowledged.

use std::collections::VecDeque;

use super::offset::{Offset, Span};

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
    octets: VecDeque<u8>,
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
        self.octets.capacity()
    }

    /// Adds octets at the end.
    pub fn append(&mut self, octets: &[u8]) {
        self.octets.extend(octets);
    }

    /// Notes that everything before `to` has left.
    pub fn mark_sent(&mut self, to: Offset) {
        self.sent = self.sent.max(to.min(self.nxt()));
    }

    /// Drops what the receiver has acknowledged. Nothing beyond what was sent can be.
    pub fn release(&mut self, acknowledged: Offset) {
        let gone = acknowledged.min(self.sent).index_past(self.una);
        self.octets.drain(..gone);
        self.una = self.una + gone;
        if self.octets.is_empty() {
            // A flow that waits for its next command holds nothing.
            self.octets = VecDeque::new();
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
        self.octets = VecDeque::new();
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
        store.append(b"HELO a\r\n");
        store.append(b"NOOP\r\n");
        store.mark_sent(Offset::new(14));
        assert_eq!(text(&store, 5, 10), "a\r\nNO");
        store.release(Offset::new(7));
        assert_eq!(store.una(), Offset::new(7));
        assert_eq!(text(&store, 0, 10), "\nNO", "what was released is gone");
        assert_eq!(text(&store, 8, 99), "NOOP\r\n");
    }

    #[test]
    fn nothing_is_released_that_has_not_left() {
        let mut store = Store::default();
        store.append(b"QUIT\r\n");
        store.mark_sent(Offset::new(2));
        store.release(Offset::new(6));
        assert_eq!((store.una(), store.nxt()), (Offset::new(2), Offset::new(6)));
    }

    #[test]
    fn an_emptied_store_gives_its_memory_back() {
        let mut store = Store::default();
        store.append(&vec![b'x'; 1 << 20]);
        store.mark_sent(store.nxt());
        store.release(store.nxt());
        assert!(store.is_empty() && store.octets.capacity() == 0);
    }

    #[test]
    fn a_span_is_whole_where_the_ring_begins_anew() {
        let mut store = Store::default();
        store.append(b"0123456789abcdef");
        store.mark_sent(Offset::new(12));
        store.release(Offset::new(12));
        store.append(b"ghijkl");
        assert!(!store.octets.as_slices().1.is_empty(), "the ring has turned");
        assert_eq!(text(&store, 12, 22), "cdefghijkl");
        assert_eq!(text(&store, 17, 19), "hi");
        assert_eq!(store.len(), 10);
    }

    #[test]
    fn a_flow_that_is_over_keeps_nothing() {
        let mut store = Store::default();
        store.append(b"QUIT\r\n");
        store.free();
        assert_eq!(
            (store.una(), store.sent(), store.nxt()),
            (Offset::new(6), Offset::new(6), Offset::new(6))
        );
        assert_eq!(store.memory(), 0);
    }
}
