//! Reassembly of one direction: octets in any order in, octets in order out, each offset once.

use std::collections::VecDeque;

use smoltcp::storage::Assembler;

use super::offset::{Offset, Span};
use super::seldom::{Blank, Seldom};
use crate::limits::WAITING_OCTETS_MAX;

/// Too many octets or pieces wait; the segment was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What became of a segment's octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// All of them were here before.
    Old,
    /// The octets from index `skip` on are next in order, nothing else waits, and they have not
    /// been copied: the caller judges them where they lie, then says how far it came.
    Next {
        /// Octets that were here before.
        skip: usize,
    },
    /// They were kept. Some may be ready now.
    Kept {
        /// A hole lies before them.
        ahead: bool,
        /// All of them waited here already.
        again: bool,
        /// Some differ from what was kept for the same offset; the first ones stay.
        inconsistent: bool,
    },
}

/// What a segment shares with octets that waited here before.
struct Overlap {
    again: bool,
    inconsistent: bool,
}

/// What came early: ranges in smoltcp's assembler, octets beside it. Both start at `end`.
#[derive(Debug)]
struct Ahead {
    ranges: Assembler,
    octets: VecDeque<u8>,
}

/// What waits of a direction.
#[derive(Debug, Default)]
struct Waiting {
    /// In order; behind the first `judged`, not judged yet.
    ready: Vec<u8>,
    /// They go when they are half of all: octets that wait by the million, and are let through line by
    /// line, do not move up with each line.
    judged: usize,
    /// Out of order.
    ahead: Option<Box<Ahead>>,
}

impl Blank for Waiting {
    const BLANK: &'static Self = &Self { ready: Vec::new(), judged: 0, ahead: None };
}

/// ```text
///   front              end          hole      ahead
///     |---- ready ------|..............|=======|....|====|
/// ```
#[derive(Debug, Default)]
pub struct Reassembly {
    /// The first octet that was not judged.
    front: Offset,
    /// Nothing, in the usual case.
    waiting: Seldom<Waiting>,
}

impl From<Offset> for Reassembly {
    /// All before that offset was judged, and nothing waits.
    fn from(front: Offset) -> Self {
        Self { front, ..Self::default() }
    }
}

impl Reassembly {
    /// The first octet that was not judged.
    pub fn front(&self) -> Offset {
        self.front
    }

    /// The end of what came in order.
    pub fn end(&self) -> Offset {
        self.front + self.ready().len()
    }

    /// Octets that are in order and not judged.
    pub fn ready(&self) -> &[u8] {
        self.waiting.ready.get(self.waiting.judged..).unwrap_or_default()
    }

    /// Whether octets wait behind a hole.
    pub fn has_hole(&self) -> bool {
        self.waiting.ahead.is_some()
    }

    /// The spans that wait behind holes, in order.
    pub fn ahead(&self) -> impl Iterator<Item = Span> {
        let end = self.end();
        self.waiting
            .ahead
            .iter()
            .flat_map(|ahead| ahead.ranges.iter_data())
            .map(move |(left, right)| Span { start: end + left, end: end + right })
    }

    /// Octets of memory that it takes.
    pub fn memory(&self) -> usize {
        let ahead = self.waiting.ahead.as_ref();
        let waiting = self.waiting.memory() + self.waiting.ready.capacity();
        waiting + ahead.map_or(0, |a| size_of::<Ahead>() + a.octets.capacity())
    }

    /// Octets of room that a segment of `len` octets at `at` would need beyond what is taken: none
    /// when it fills a hole.
    pub fn needs(&self, at: Offset, len: usize) -> usize {
        let ahead = self.waiting.ahead.as_ref().map_or(0, |ahead| ahead.octets.len());
        (at + len).index_past(self.end()).saturating_sub(ahead)
    }

    /// Takes the octets of a segment that starts at `at`.
    pub fn arrive(&mut self, at: Offset, octets: &[u8]) -> Result<Arrival, Full> {
        let end = self.end();
        let skip = end.index_past(at);
        let Some(fresh) = octets.get(skip..).filter(|fresh| !fresh.is_empty()) else {
            return Ok(Arrival::Old);
        };
        let gap = at.index_past(end);
        if gap == 0 && self.waiting.ahead.is_none() && self.waiting.ready.is_empty() {
            return Ok(Arrival::Next { skip });
        }
        if self.ready().len() + gap + fresh.len() > WAITING_OCTETS_MAX {
            return Err(Full);
        }
        if gap == 0 && self.waiting.ahead.is_none() {
            self.waiting.ready.extend_from_slice(fresh);
            return Ok(Arrival::Kept { ahead: false, again: false, inconsistent: false });
        }
        let Overlap { again, inconsistent } = self.keep_ahead(gap, fresh)?;
        Ok(Arrival::Kept { ahead: gap > 0, again, inconsistent })
    }

    /// Keeps `octets` at `gap` behind the end; those kept before stay.
    fn keep_ahead(&mut self, gap: usize, octets: &[u8]) -> Result<Overlap, Full> {
        let Waiting { ready, ahead, .. } = &mut *self.waiting;
        let ahead = ahead.get_or_insert_with(|| {
            Box::new(Ahead { ranges: Assembler::new(), octets: VecDeque::new() })
        });
        let until = gap + octets.len();
        let mut at = gap;
        if ahead.octets.len() < until {
            ahead.octets.resize(until, 0);
        }
        let held: Vec<_> = ahead
            .ranges
            .iter_data()
            .map(|(left, right)| (left.clamp(gap, until), right.clamp(gap, until)))
            .filter(|(left, right)| left < right)
            .collect();
        let joined = if gap == 0 {
            Ok(ahead.ranges.add_then_remove_front(0, octets.len()))
        } else {
            ahead.ranges.add(gap, octets.len()).map(|()| Ok(0)).map_err(|_| Full)
        };
        let Ok(Ok(front)) = joined else {
            return Err(Full);
        };
        for &(left, right) in &held {
            write(&mut ahead.octets, at, &octets[at - gap..left.max(at) - gap]);
            at = right.max(at);
        }
        write(&mut ahead.octets, at, &octets[at - gap..]);
        let differs = |&(left, right): &(usize, usize)| {
            !ahead.octets.range(left..right).eq(&octets[left - gap..right - gap])
        };
        let overlap =
            Overlap { again: held.contains(&(gap, until)), inconsistent: held.iter().any(differs) };
        let (first, second) = ahead.octets.as_slices();
        ready.extend_from_slice(&first[..front.min(first.len())]);
        ready.extend_from_slice(&second[..front.saturating_sub(first.len())]);
        ahead.octets.drain(..front);
        if ahead.ranges.is_empty() {
            self.waiting.ahead = None;
        }
        Ok(overlap)
    }

    /// The first `judged` octets were judged: ready ones, or of an [`Arrival::Next`].
    pub fn advance(&mut self, judged: usize) {
        self.front = self.front + judged;
        if self.waiting.is_blank() {
            return;
        }
        let waiting = &mut *self.waiting;
        waiting.judged += judged;
        if waiting.judged >= waiting.ready.len() {
            (waiting.ready, waiting.judged) = (Vec::new(), 0);
            if waiting.ahead.is_none() {
                self.waiting.clear();
            }
        } else if waiting.judged >= waiting.ready.len() / 2 {
            waiting.ready.drain(..waiting.judged);
            waiting.judged = 0;
        }
    }

    /// Keeps what was not judged of an [`Arrival::Next`]; what does not fit will come again.
    pub fn keep_ready(&mut self, octets: &[u8]) {
        let room = WAITING_OCTETS_MAX.saturating_sub(self.ready().len());
        let kept = &octets[..octets.len().min(room)];
        if !kept.is_empty() {
            self.waiting.ready.extend_from_slice(kept);
        }
    }

    /// Gives all memory back: the flow is over.
    pub fn free(&mut self) {
        self.front = self.end();
        self.waiting.clear();
    }
}

/// Writes `new` over the octets from index `at` on.
fn write(octets: &mut VecDeque<u8>, at: usize, new: &[u8]) {
    let (first, second) = octets.as_mut_slices();
    let skip = at.min(first.len());
    let (front, back) = new.split_at(new.len().min(first.len() - skip));
    first[skip..skip + front.len()].copy_from_slice(front);
    let skip = at - skip;
    second[skip..skip + back.len()].copy_from_slice(back);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(reassembly: &mut Reassembly, at: u64, octets: &[u8]) -> Vec<u8> {
        match reassembly.arrive(Offset::new(at), octets) {
            Ok(Arrival::Next { skip }) => {
                reassembly.advance(octets.len() - skip);
                octets[skip..].to_vec()
            }
            Ok(_) => {
                let ready = reassembly.ready().to_vec();
                reassembly.advance(ready.len());
                ready
            }
            Err(Full) => vec![],
        }
    }

    #[test]
    fn against_a_bitmap_every_offset_comes_once_and_the_first_octet_stays() {
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut reassembly = Reassembly::default();
            let mut model: Vec<Option<u8>> = vec![None; 200];
            let mut got = Vec::new();
            for _ in 0..200 {
                let at = rng.usize(0..199);
                let octets: Vec<u8> = (0..rng.usize(1..30)).map(|_| rng.u8(..)).collect();
                let octets = &octets[..octets.len().min(200 - at)];
                for (slot, octet) in model[at..].iter_mut().zip(octets) {
                    slot.get_or_insert(*octet);
                }
                got.extend(take(&mut reassembly, at as u64, octets));
                let want: Vec<u8> = model.iter().map_while(|octet| *octet).collect();
                assert_eq!(got, want, "seed {seed}");
                let waiting: usize = reassembly.ahead().map(Span::len).sum();
                assert_eq!(waiting, model.iter().flatten().count() - want.len(), "seed {seed}");
            }
        }
    }

    #[test]
    fn an_overlap_that_differs_is_seen() {
        let mut reassembly = Reassembly::default();
        reassembly.arrive(Offset::new(5), b"world").unwrap();
        let arrival = reassembly.arrive(Offset::new(0), b"hello_W").unwrap();
        assert_eq!(arrival, Arrival::Kept { ahead: false, again: false, inconsistent: true });
        assert_eq!(reassembly.ready(), b"helloworld");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut reassembly = Reassembly::default();
        let far = Offset::new(WAITING_OCTETS_MAX as u64);
        assert_eq!(reassembly.arrive(far, b"x"), Err(Full));
        let mut pieces = 0;
        while reassembly.arrive(Offset::new(1 + 2 * pieces), b"x").is_ok() {
            pieces += 1;
        }
        assert!((32..=4096).contains(&pieces), "{pieces}");
        assert_eq!(take(&mut reassembly, 0, b"y"), b"yx");
    }

    #[test]
    fn what_waits_for_a_verdict_stays_in_order() {
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.arrive(Offset::ZERO, b"ab"), Ok(Arrival::Next { skip: 0 }));
        reassembly.advance(1);
        reassembly.keep_ready(b"b");
        reassembly.arrive(Offset::new(1), b"bc").unwrap();
        reassembly.arrive(Offset::new(5), b"f").unwrap();
        reassembly.arrive(Offset::new(3), b"de").unwrap();
        assert_eq!(reassembly.ready(), b"bcdef");
        assert!(!reassembly.has_hole());
        reassembly.advance(2);
        assert_eq!((reassembly.front(), reassembly.ready()), (Offset::new(3), &b"def"[..]));
    }

    #[test]
    fn what_waits_may_fill_the_room_to_the_last_octet() {
        let mut reassembly = Reassembly::default();
        let last = Offset::new(WAITING_OCTETS_MAX as u64 - 1);
        assert_eq!(reassembly.arrive(last, b"xy"), Err(Full));
        assert!(reassembly.arrive(last, b"x").is_ok());
    }

    #[test]
    fn what_fills_a_hole_needs_no_room() {
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.needs(Offset::new(10), 5), 15);
        reassembly.arrive(Offset::new(10), b"12345").unwrap();
        assert_eq!(reassembly.needs(Offset::ZERO, 10), 0);
        assert_eq!(reassembly.needs(Offset::new(12), 5), 2);
    }

    #[test]
    fn what_was_judged_takes_no_memory_and_a_flow_that_is_over_none_at_all() {
        let mut reassembly = Reassembly::default();
        reassembly.keep_ready(b"abcd");
        reassembly.advance(4);
        assert_eq!(reassembly.memory(), 0);
        reassembly.keep_ready(b"ef");
        reassembly.arrive(Offset::new(9), b"x").unwrap();
        reassembly.free();
        assert_eq!((reassembly.memory(), reassembly.front()), (0, Offset::new(6)));
    }

    #[test]
    fn what_is_let_through_bit_by_bit_is_not_moved_each_time() {
        let octets: Vec<u8> = (0..1000).map(|n| n as u8).collect();
        let mut reassembly = Reassembly::default();
        reassembly.keep_ready(&octets);
        let mut moves = 0;
        for at in 0..999 {
            let before = reassembly.waiting.ready.len();
            assert_eq!(reassembly.ready(), &octets[at..]);
            assert_eq!(reassembly.end(), Offset::new(1000));
            reassembly.advance(1);
            moves += usize::from(reassembly.waiting.ready.len() < before)
                * reassembly.waiting.ready.len();
            assert!(reassembly.waiting.ready.len() <= 2 * reassembly.ready().len());
        }
        assert!(moves < 2 * octets.len(), "{moves} octets moved up");
        reassembly.advance(1);
        assert!(reassembly.memory() == 0 && reassembly.front() == reassembly.end());
    }
}
