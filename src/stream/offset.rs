//! Positions in one direction's stream, 64 bits wide: they never wrap.

use core::ops::{Add, Sub};

/// A position; 0 is the first payload octet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The first payload octet.
    pub const ZERO: Self = Self(0);

    /// The octet at `position`.
    pub const fn new(position: u64) -> Self {
        Self(position)
    }

    /// The position as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Octets from `earlier` to here; 0 when it lies behind.
    pub const fn past(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same as an index.
    pub fn index_past(self, earlier: Self) -> usize {
        usize::try_from(self.past(earlier)).unwrap_or(usize::MAX)
    }

    /// The position moved by `delta`, never below the first octet.
    pub const fn shifted(self, delta: i64) -> Self {
        Self(self.0.saturating_add_signed(delta))
    }
}

impl Add<usize> for Offset {
    type Output = Self;

    fn add(self, octets: usize) -> Self {
        Self(self.0.saturating_add(octets as u64))
    }
}

impl Sub<usize> for Offset {
    type Output = Self;

    fn sub(self, octets: usize) -> Self {
        Self(self.0.saturating_sub(octets as u64))
    }
}

/// A half-open range of offsets.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first offset.
    pub start: Offset,
    /// One past the last.
    pub end: Offset,
}

impl Span {
    /// The span of `len` octets from `start`.
    pub fn of(start: Offset, len: usize) -> Self {
        Self { start, end: start + len }
    }

    /// Octets in it.
    pub fn len(self) -> usize {
        self.end.index_past(self.start)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// What it shares with `bounds`.
    pub fn within(self, bounds: Self) -> Self {
        let start = self.start.max(bounds.start);
        Self { start, end: self.end.min(bounds.end).max(start) }
    }
}
