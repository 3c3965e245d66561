//! A queue that is short nearly always.

use std::collections::VecDeque;

/// Values that lie in the queue itself.
const FEW: usize = 4;

/// A queue whose first few values take no allocation: who does not pipeline has one command outstanding.
#[derive(Debug, Clone)]
pub(super) struct Queue<T> {
    few: [Option<T>; FEW],
    /// Behind them, and only if all of them are there.
    #[expect(clippy::box_collection, reason = "a word is all that most may take")]
    more: Option<Box<VecDeque<T>>>,
}

impl<T: Copy> Queue<T> {
    /// A queue of one.
    pub(super) fn of(value: T) -> Self {
        let mut few = [None; FEW];
        few[0] = Some(value);
        Self { few, more: None }
    }

    /// Values in it.
    pub(super) fn len(&self) -> usize {
        self.few.iter().flatten().count() + self.more.as_ref().map_or(0, |more| more.len())
    }

    /// The first.
    pub(super) fn front(&self) -> Option<T> {
        self.few[0]
    }

    /// The last.
    pub(super) fn back(&self) -> Option<T> {
        let last = self.more.as_ref().and_then(|more| more.back().copied());
        last.or_else(|| self.few.iter().rev().find_map(|value| *value))
    }

    /// One more at the end.
    pub(super) fn push_back(&mut self, value: T) {
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(value),
            None => self.more.get_or_insert_default().push_back(value),
        }
    }

    /// Takes the first out.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let first = self.few[0].take();
        self.few.rotate_left(1);
        if let Some(more) = &mut self.more {
            self.few[FEW - 1] = more.pop_front();
            if more.is_empty() {
                self.more = None;
            }
        }
        first
    }

    /// Octets of memory beyond its own size.
    pub(super) fn memory(&self) -> usize {
        let more = self.more.as_ref();
        more.map_or(0, |more| size_of::<VecDeque<T>>() + more.capacity() * size_of::<T>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn against_a_plain_queue() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut queue, mut model) = (Queue::of(0), VecDeque::from([0]));
        for step in 1..10_000 {
            if rng.u32(..10) < if step / 50 % 2 == 0 { 6 } else { 4 } {
                queue.push_back(step);
                model.push_back(step);
            } else {
                assert_eq!(queue.pop_front(), model.pop_front());
            }
            let ends = (model.front().copied(), model.back().copied());
            assert_eq!((queue.front(), queue.back(), queue.len()), (ends.0, ends.1, model.len()));
            assert_eq!(queue.memory() == 0, model.len() <= FEW);
        }
    }
}
