//! The offset map: original to edited and back.

use std::collections::VecDeque;

use super::offset::{Offset, Span};
use super::seldom::{Blank, Seldom};
use crate::limits::{EDITS_REMEMBERED, KEPT_CAPACITY_EDITS};

/// Which end of an edit a position inside of it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Its start.
    Down,
    /// Its end.
    Up,
}

/// An edit whose length differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shift {
    original: Span,
    edited: Span,
}

impl Shift {
    fn delta(&self) -> i64 {
        self.edited.end.get().wrapping_sub(self.original.end.get()).cast_signed()
    }
}

/// The edits of one direction whose length differs, sorted. Outside of them, positions move by the
/// sum of the differences before them; inside, there is no image, and the caller says which way to
/// round. Acknowledgements round down, a SACK block's left edge up and its right edge down, a
/// repeat's start down and its end up.
///
/// Every edit trades at least one octet for at least one octet, so its two ends have one image
/// each: an insertion or a deletion would have two, and no rounding keeps the laws then.
#[derive(Debug, Default, Clone)]
pub struct OffsetMap(Seldom<Edited>);

/// What the map of a direction holds in which a length has changed.
#[derive(Debug, Default, Clone)]
struct Edited {
    shifts: VecDeque<Shift>,
    /// The shift before the first remembered edit.
    base: i64,
    /// Original positions before this one have lost their images.
    floor: Offset,
}

impl Blank for Edited {
    const BLANK: &'static Self = &Self { shifts: VecDeque::new(), base: 0, floor: Offset::ZERO };
}

impl OffsetMap {
    /// Records that `original` was traded for `edited`; both lie behind all that was recorded.
    pub fn record(&mut self, original: Span, edited: Span) {
        debug_assert!(!original.is_empty() && !edited.is_empty(), "a trade has two sides");
        if original.len() != edited.len() {
            self.0.shifts.push_back(Shift { original, edited });
        }
    }

    /// Edits remembered.
    pub fn remembered(&self) -> usize {
        self.0.shifts.len()
    }

    /// Octets of memory that it takes.
    pub fn memory(&self) -> usize {
        self.0.memory() + self.0.shifts.capacity() * size_of::<Shift>()
    }

    /// Whether every position is its own image.
    pub fn is_identity(&self) -> bool {
        self.0.shifts.is_empty() && self.0.base == 0
    }

    /// How far the end of the edited stream is ahead of the end of the original one.
    pub fn delta(&self) -> i64 {
        self.0.shifts.back().map_or(self.0.base, Shift::delta)
    }

    /// Original positions before this one are translated with the oldest shift still known.
    pub fn floor(&self) -> Offset {
        self.0.floor
    }

    fn delta_before(&self, index: usize) -> i64 {
        index.checked_sub(1).and_then(|i| self.0.shifts.get(i)).map_or(self.0.base, Shift::delta)
    }

    /// The edited image of an original position.
    pub fn to_edited(&self, original: Offset, round: Round) -> Offset {
        let index = self.0.shifts.partition_point(|s| s.original.end <= original);
        match self.0.shifts.get(index) {
            Some(inside) if inside.original.start < original => match round {
                Round::Down => inside.edited.start,
                Round::Up => inside.edited.end,
            },
            _ => original.shifted(self.delta_before(index)),
        }
    }

    /// The original image of an edited position.
    pub fn to_original(&self, edited: Offset, round: Round) -> Offset {
        let index = self.0.shifts.partition_point(|s| s.edited.end <= edited);
        match self.0.shifts.get(index) {
            Some(inside) if inside.edited.start < edited => match round {
                Round::Down => inside.original.start,
                Round::Up => inside.original.end,
            },
            _ => edited.shifted(self.delta_before(index).wrapping_neg()),
        }
    }

    /// Forgets edits that the receiver has acknowledged up to `acknowledged`, but for the last few.
    pub fn prune(&mut self, acknowledged: Offset) {
        if self.0.is_blank() {
            return;
        }
        let done = self.0.shifts.partition_point(|s| s.edited.end <= acknowledged);
        for _ in EDITS_REMEMBERED..done {
            if let Some(gone) = self.0.shifts.pop_front() {
                self.0.base = gone.delta();
                self.0.floor = gone.original.end;
            }
        }
        if self.0.shifts.len() <= EDITS_REMEMBERED {
            self.0.shifts.shrink_to(KEPT_CAPACITY_EDITS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The obviously right map: the edited image of each original octet boundary, if it has one.
    struct Model {
        boundaries: Vec<(u64, u64)>,
    }

    fn build(rng: &mut fastrand::Rng) -> (OffsetMap, Model, Vec<(Span, Span)>) {
        let (mut map, mut boundaries, mut trades) = (OffsetMap::default(), vec![(0, 0)], vec![]);
        let (mut original, mut edited) = (0_u64, 0_u64);
        for _ in 0..rng.usize(0..12) {
            if rng.bool() {
                for _ in 0..rng.u64(0..20) {
                    original += 1;
                    edited += 1;
                    boundaries.push((original, edited));
                }
            } else {
                let (from, to) = (rng.usize(1..8), rng.usize(1..8));
                let trade =
                    (Span::of(Offset::new(original), from), Span::of(Offset::new(edited), to));
                map.record(trade.0, trade.1);
                if from == to {
                    boundaries.extend((1..from as u64).map(|i| (original + i, edited + i)));
                } else {
                    trades.push(trade);
                }
                original += from as u64;
                edited += to as u64;
                boundaries.push((original, edited));
            }
        }
        (map, Model { boundaries }, trades)
    }

    #[test]
    fn laws_l1_to_l7_hold_for_random_edits() {
        for seed in 0..2000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (map, model, trades) = build(&mut rng);
            let &(original_end, edited_end) = model.boundaries.last().unwrap();
            // L1: round trip at every boundary that has an image.
            for &(original, edited) in &model.boundaries {
                for round in [Round::Down, Round::Up] {
                    assert_eq!(
                        map.to_edited(Offset::new(original), round).get(),
                        edited,
                        "seed {seed}"
                    );
                    assert_eq!(
                        map.to_original(Offset::new(edited), round).get(),
                        original,
                        "seed {seed}"
                    );
                }
            }
            // L2: monotone, both ways and with both roundings.
            for round in [Round::Down, Round::Up] {
                for at in 1..=original_end {
                    let (left, right) = (Offset::new(at - 1), Offset::new(at));
                    assert!(
                        map.to_edited(left, round) <= map.to_edited(right, round),
                        "seed {seed}"
                    );
                }
                for at in 1..=edited_end {
                    let (left, right) = (Offset::new(at - 1), Offset::new(at));
                    assert!(
                        map.to_original(left, round) <= map.to_original(right, round),
                        "seed {seed}"
                    );
                }
            }
            for at in 0..=edited_end {
                let edited = Offset::new(at);
                let down = map.to_original(edited, Round::Down);
                // L3: the image of what an acknowledgement claims is with the receiver.
                assert!(map.to_edited(down, Round::Up) <= edited, "seed {seed} at {at}");
                // L5: what the receiver lacks, the sender still has, and its repeat covers it.
                if at < edited_end {
                    assert!(down.get() < original_end, "seed {seed} at {at}");
                    assert!(map.to_edited(down, Round::Down) <= edited, "seed {seed} at {at}");
                }
                // L7: a SACK block is never widened.
                let up = map.to_original(edited, Round::Up);
                assert!(map.to_edited(up, Round::Down) >= edited, "seed {seed} at {at}");
            }
            // L4: all edited acknowledged means all original acknowledged.
            let end = Offset::new(edited_end);
            assert_eq!(map.to_original(end, Round::Down).get(), original_end, "seed {seed}");
            // L6: every original advance moves the edited edge, once its edit is whole.
            for (original, edited) in trades {
                assert!(
                    map.to_edited(original.start, Round::Down)
                        < map.to_edited(original.end, Round::Up)
                );
                assert_eq!(map.to_edited(original.end, Round::Down), edited.end, "seed {seed}");
            }
        }
    }

    #[test]
    fn l8_pruning_changes_no_answer_that_can_still_be_asked() {
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut map, model, _) = build(&mut rng);
            let (whole, _, _) = build(&mut fastrand::Rng::with_seed(seed));
            let &(original_end, edited_end) = model.boundaries.last().unwrap();
            let acknowledged = Offset::new(rng.u64(0..=edited_end));
            map.prune(acknowledged);
            let from = map.to_original(acknowledged, Round::Down);
            for round in [Round::Down, Round::Up] {
                for at in from.get()..=original_end + 3 {
                    let at = Offset::new(at);
                    assert_eq!(map.to_edited(at, round), whole.to_edited(at, round), "seed {seed}");
                }
                for at in acknowledged.get()..=edited_end + 3 {
                    let at = Offset::new(at);
                    assert_eq!(
                        map.to_original(at, round),
                        whole.to_original(at, round),
                        "seed {seed}"
                    );
                }
            }
            assert_eq!(map.delta(), whole.delta());
        }
    }

    #[test]
    fn a_hundred_thousand_acknowledged_edits_take_no_room() {
        let mut map = OffsetMap::default();
        let (mut original, mut edited) = (Offset::ZERO, Offset::ZERO);
        for _ in 0..100_000 {
            map.record(Span::of(original, 6), Span::of(edited, 9));
            (original, edited) = (original + 6, edited + 9);
            map.prune(edited);
        }
        assert_eq!(map.remembered(), EDITS_REMEMBERED);
        assert_eq!(map.delta(), 300_000);
        assert_eq!(map.floor(), Offset::new(6 * (100_000 - EDITS_REMEMBERED as u64)));
        let most = size_of::<Edited>() + KEPT_CAPACITY_EDITS * size_of::<Shift>();
        assert!(map.memory() <= most);
    }

    #[test]
    fn a_burst_of_edits_gives_its_memory_back_once_it_is_acknowledged() {
        let mut map = OffsetMap::default();
        let (mut original, mut edited) = (Offset::ZERO, Offset::ZERO);
        for _ in 0..1000 {
            map.record(Span::of(original, 6), Span::of(edited, 9));
            (original, edited) = (original + 6, edited + 9);
        }
        assert!(map.memory() >= 1000 * size_of::<Shift>());
        map.prune(edited);
        let most = size_of::<Edited>() + KEPT_CAPACITY_EDITS * size_of::<Shift>();
        assert!(map.memory() <= most);
    }

    #[test]
    fn what_keeps_its_length_leaves_every_position_its_own_image() {
        let mut map = OffsetMap::default();
        map.record(Span::of(Offset::ZERO, 4), Span::of(Offset::ZERO, 4));
        assert!(map.is_identity());
        map.record(Span::of(Offset::new(4), 4), Span::of(Offset::new(4), 5));
        assert!(!map.is_identity());
    }
}
