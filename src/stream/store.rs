//! The store: edited octets that the receiver has not acknowledged.

use core::ops::Range;
use std::collections::VecDeque;

use super::buffer::Buffer;
use super::offset::{Offset, Span};
use super::seldom::{Blank, Seldom};
use super::spare::Spare;
use crate::limits::PACKET_OCTETS_MAX;

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
    kept: Seldom<Kept>,
}

/// Octets in a row.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pieces: VecDeque<Piece>,
    /// Octets of all pieces.
    len: usize,
    /// Octets of memory of all buffers.
    memory: usize,
}

/// Octets in one buffer: copied there, or where they came in.
#[derive(Debug)]
struct Piece {
    /// None: they are still in the hands of whose packet they came in.
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
}

impl Piece {
    fn len(&self) -> usize {
        self.end - self.start
    }

    fn octets(&self) -> &[u8] {
        self.buffer.as_ref().and_then(|buffer| buffer.get(self.start..self.end)).unwrap_or_default()
    }

    /// Copies as many octets as fit behind its own.
    fn fill(&mut self, octets: &[u8]) -> usize {
        let free = self.buffer.as_mut().and_then(|buffer| buffer.get_mut()?.get_mut(self.end..));
        let free = free.unwrap_or_default();
        let len = free.len().min(octets.len());
        free[..len].copy_from_slice(&octets[..len]);
        self.end += len;
        len
    }
}

impl Blank for Kept {
    const BLANK: &'static Self = &Self { pieces: VecDeque::new(), len: 0, memory: 0 };
}

impl Kept {
    /// Octets of memory for the list of pieces.
    pub(super) fn list_memory(&self) -> usize {
        self.pieces.capacity() * size_of::<Piece>()
    }

    fn push(&mut self, piece: Piece) {
        self.len += piece.len();
        self.memory += piece.buffer.as_ref().map_or(0, |buffer| buffer.len());
        self.pieces.push_back(piece);
    }

    /// Takes the piece back whose octets are not here, if that is the last one.
    fn take_lent(&mut self) -> Option<Piece> {
        self.pieces.back().filter(|piece| piece.buffer.is_none())?;
        let piece = self.pieces.pop_back()?;
        self.len -= piece.len();
        Some(piece)
    }
}

impl From<Offset> for Store {
    /// All before that offset has been acknowledged, and nothing is known behind it.
    fn from(at: Offset) -> Self {
        Self { una: at, sent: at, ..Self::default() }
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
        self.una + self.kept.len
    }

    /// Octets kept.
    pub fn len(&self) -> usize {
        self.kept.len
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.len == 0
    }

    /// Octets of memory that it takes.
    pub fn memory(&self) -> usize {
        self.kept.memory() + self.kept.list_memory() + self.kept.memory
    }

    /// Adds octets at the end.
    pub fn append(&mut self, octets: &[u8], spare: &mut Spare) {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.kept.is_blank() {
                self.kept = spare.list();
            }
            let kept = &mut *self.kept;
            let filled = kept.pieces.back_mut().map_or(0, |piece| piece.fill(rest));
            kept.len += filled;
            rest = rest.get(filled..).unwrap_or_default();
            if !rest.is_empty() {
                // As much again as there is: many small segments become few pieces.
                let buffer = spare.take(rest.len().max(kept.len).min(PACKET_OCTETS_MAX));
                kept.push(Piece { buffer: Some(buffer), start: 0, end: 0 });
            }
        }
    }

    /// Adds the octets of the packet in hand that are in `place` of it, without a copy. Before they are needed, and
    /// before the packet is gone, [`Store::keep`] or [`Store::copy_lent`] has to be called.
    pub fn lend(&mut self, place: Range<usize>, spare: &mut Spare) {
        if place.is_empty() {
            return;
        }
        if self.kept.is_blank() {
            self.kept = spare.list();
        }
        self.kept.push(Piece { buffer: None, start: place.start, end: place.end });
    }

    /// Keeps what was lent in the `buffer` in which it came.
    pub fn keep(&mut self, buffer: &Buffer) {
        if let Some(Piece { start, end, .. }) = self.take_lent() {
            self.kept.push(Piece { buffer: Some(buffer.clone()), start, end });
        }
    }

    /// Keeps a copy of what was lent, out of the `packet` in which it came.
    pub fn copy_lent(&mut self, packet: &[u8], spare: &mut Spare) {
        if let Some(Piece { start, end, .. }) = self.take_lent() {
            self.append(packet.get(start..end).unwrap_or_default(), spare);
        }
    }

    fn take_lent(&mut self) -> Option<Piece> {
        if self.kept.is_blank() { None } else { self.kept.take_lent() }
    }

    /// Notes that everything before `to` has left.
    pub fn mark_sent(&mut self, to: Offset) {
        self.sent = self.sent.max(to.min(self.nxt()));
    }

    /// Drops what the receiver has acknowledged. Nothing beyond what was sent can be.
    pub fn release(&mut self, acknowledged: Offset, spare: &mut Spare) {
        let mut gone = acknowledged.min(self.sent).index_past(self.una);
        if gone == 0 {
            return;
        }
        self.una = self.una + gone;
        let kept = &mut *self.kept;
        kept.len -= gone;
        while let Some(piece) = kept.pieces.front_mut() {
            let len = piece.len();
            if len > gone {
                piece.start += gone;
                break;
            }
            gone -= len;
            let buffer = piece.buffer.take();
            kept.pieces.pop_front();
            if let Some(buffer) = buffer {
                kept.memory -= buffer.len();
                spare.put(buffer);
            }
        }
        if kept.pieces.is_empty() {
            spare.put_list(core::mem::take(&mut self.kept));
        }
    }

    /// Copies `span`, as far as it is kept, to `to`; returns the octets copied.
    pub fn copy(&self, span: Span, to: &mut [u8]) -> usize {
        let span = span.within(Span { start: self.una, end: self.nxt() });
        let mut skip = span.start.index_past(self.una);
        let mut rest = to.get_mut(..span.len()).unwrap_or_default();
        let len = rest.len();
        for piece in &self.kept.pieces {
            if rest.is_empty() {
                break;
            }
            let octets = piece.octets().get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(piece.len());
            let (now, later) = rest.split_at_mut(octets.len().min(rest.len()));
            now.copy_from_slice(&octets[..now.len()]);
            rest = later;
        }
        debug_assert!(rest.is_empty(), "octets that are lent");
        len
    }

    /// Gives all memory back: the flow is over.
    pub fn free(&mut self) {
        self.una = self.nxt();
        self.sent = self.una;
        self.kept.clear();
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
    fn what_is_released_is_no_memory_any_more() {
        let mut spare = Spare::default();
        let mut store = Store::default();
        store.append(&[b'x'; 64], &mut spare);
        store.append(&[b'y'; 1000], &mut spare);
        store.mark_sent(store.nxt());
        let (memory, list) = (store.memory(), store.kept.list_memory());
        assert!(list >= 2 * size_of::<Piece>());
        assert_eq!(memory, size_of::<Kept>() + list + 1064);
        store.release(Offset::new(64), &mut spare);
        assert_eq!(store.memory(), memory - 64);
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

    #[test]
    fn an_emptied_store_gives_its_memory_back() {
        let mut store = Store::default();
        store.append(&vec![b'x'; 1 << 20], &mut Spare::default());
        assert!(((1 << 20)..(1 << 20) + (1 << 17)).contains(&store.memory()));
        store.mark_sent(store.nxt());
        store.release(store.nxt(), &mut Spare::default());
        assert!(store.is_empty() && store.memory() == 0);
    }

    #[test]
    fn many_small_segments_become_few_pieces() {
        let (mut store, mut spare) = (Store::default(), Spare::default());
        let segment = [b'x'; 1000];
        for number in 1..=500 {
            store.append(&segment, &mut spare);
            assert!(store.memory() <= 3 * number * segment.len() + (1 << 12), "of {number}");
        }
        assert!(store.kept.pieces.len() < 20);
    }

    #[test]
    fn a_span_is_whole_where_pieces_meet() {
        let (mut store, mut spare) = (Store::default(), Spare::default());
        store.append(&[b'x'; 54], &mut spare);
        store.append(b"0123456789", &mut spare);
        store.lend(8..14, &mut spare);
        store.keep(&Buffer::from(&b"packet: abcdef"[..]));
        store.append(b"ghij", &mut spare);
        assert_eq!(store.kept.pieces.len(), 3);
        store.mark_sent(Offset::new(60));
        store.release(Offset::new(58), &mut spare);
        assert_eq!(text(&store, 0, 99), "456789abcdefghij");
        assert_eq!(text(&store, 62, 66), "89ab");
        assert_eq!(text(&store, 69, 72), "fgh");
        assert_eq!(text(&store, 65, 68), "bcd");
        assert_eq!((store.len(), store.nxt()), (16, Offset::new(74)));
    }

    #[test]
    fn what_was_lent_is_kept_where_it_came_or_copied() {
        let mut packet = Buffer::from(&b"packet: NOOP\r\n"[..]);
        for copies in [false, true] {
            let (mut store, mut spare) = (Store::default(), Spare::default());
            store.append(b"RSET\r\n", &mut spare);
            store.lend(8..14, &mut spare);
            assert_eq!(store.nxt(), Offset::new(12), "it counts before it is here");
            if copies {
                store.copy_lent(&packet, &mut spare);
            } else {
                store.keep(&packet);
            }
            assert_eq!(packet.is_free(), copies);
            store.keep(&Buffer::from(&b"nothing is lent"[..]));
            store.copy_lent(b"nothing is lent", &mut spare);
            assert_eq!(text(&store, 0, 99), "RSET\r\nNOOP\r\n");
            store.mark_sent(store.nxt());
            store.release(Offset::new(11), &mut spare);
            assert_eq!((packet.is_free(), text(&store, 0, 99)), (copies, "\n".into()));
            store.release(Offset::new(12), &mut spare);
            assert!(packet.is_free() && store.memory() == 0);
        }
    }

    #[test]
    fn octets_of_a_buffer_that_others_hold_are_not_written_over() {
        let (mut store, mut spare) = (Store::default(), Spare::default());
        let packet = Buffer::from(&b"NOOP\r\nleft over"[..]);
        store.lend(0..6, &mut spare);
        store.keep(&packet);
        store.append(b"QUIT\r\n", &mut spare);
        assert_eq!(
            (&*packet, text(&store, 0, 99)),
            (&b"NOOP\r\nleft over"[..], "NOOP\r\nQUIT\r\n".into())
        );
    }
}
