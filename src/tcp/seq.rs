//! Sequence numbers as they are on the wire, and their way to offsets.

use crate::stream::Offset;

/// A 32-bit sequence number. It wraps, so it has a distance and no order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seq(u32);

impl Seq {
    /// The number as it is on the wire.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// For the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// How far ahead of `other` it is; negative when behind.
    pub const fn distance(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }
}

/// One end's sequence space: its initial sequence number, and with it the way between numbers and
/// offsets (RFC 9293 section 3.4).
#[derive(Debug, Default, Clone, Copy)]
pub struct SeqSpace {
    iss: Seq,
}

impl SeqSpace {
    /// The space of an end whose SYN carried `iss`.
    pub const fn new(iss: Seq) -> Self {
        Self { iss }
    }

    /// The initial sequence number.
    pub const fn iss(self) -> Seq {
        self.iss
    }

    /// The number of `offset`. The SYN takes the number before offset 0.
    pub const fn seq_of(self, offset: Offset) -> Seq {
        Seq(self.iss.0.wrapping_add(1).wrapping_add(offset.get() as u32))
    }

    /// The offset of `seq` that lies nearest to `near`; nothing for numbers before offset 0.
    pub fn offset_of(self, seq: Seq, near: Offset) -> Option<Offset> {
        let distance = i64::from(seq.distance(self.seq_of(near)));
        near.get().checked_add_signed(distance).map(Offset::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_offsets_agree_across_every_wrap() {
        for iss in [0, 1, u32::MAX - 1, u32::MAX, 1 << 31, (1 << 31) - 1] {
            let space = SeqSpace::new(Seq::new(iss));
            for near in [0, 5, u64::from(u32::MAX), 1 << 33] {
                for distance in -3_i64..4 {
                    let offset = near.checked_add_signed(distance).map(Offset::new);
                    let seq = Seq::new(
                        space.seq_of(Offset::new(near)).get().wrapping_add(distance as u32),
                    );
                    assert_eq!(space.offset_of(seq, Offset::new(near)), offset);
                }
            }
        }
    }
}
