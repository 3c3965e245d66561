//! The two legs of the guard, the two directions of a flow, and a pair indexed by direction.

use core::ops::{Index, IndexMut, Not};

/// A side of the guard (Cisco `nameif`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leg {
    /// The untrusted side.
    Outside,
    /// The protected side.
    Inside,
}

impl Leg {
    /// The name as an operator reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Inside => "inside",
        }
    }
}

impl Not for Leg {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Outside => Self::Inside,
            Self::Inside => Self::Outside,
        }
    }
}

/// Which way a segment travels. The client is the end that sent the first SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the SMTP client to the SMTP server.
    ToServer,
    /// From the SMTP server to the SMTP client.
    ToClient,
}

impl Not for Direction {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// One value for each direction.
#[derive(Debug, Default, Clone)]
pub struct ByDirection<T> {
    /// What belongs to the direction client to server.
    pub to_server: T,
    /// What belongs to the direction server to client.
    pub to_client: T,
}

impl<T> ByDirection<T> {
    /// `(this, other)`: the value of `direction` and that of the opposite one.
    pub fn both_mut(&mut self, direction: Direction) -> (&mut T, &mut T) {
        match direction {
            Direction::ToServer => (&mut self.to_server, &mut self.to_client),
            Direction::ToClient => (&mut self.to_client, &mut self.to_server),
        }
    }
}

impl<T> Index<Direction> for ByDirection<T> {
    type Output = T;

    fn index(&self, direction: Direction) -> &T {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

impl<T> IndexMut<Direction> for ByDirection<T> {
    fn index_mut(&mut self, direction: Direction) -> &mut T {
        self.both_mut(direction).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hands_out_this_and_other() {
        let mut pair = ByDirection { to_server: 1, to_client: 2 };
        assert_eq!(pair.both_mut(Direction::ToClient), (&mut 2, &mut 1));
        assert_eq!(pair[!Direction::ToClient], 1);
        assert_eq!(!Leg::Inside, Leg::Outside);
    }
}
