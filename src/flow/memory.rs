//! What a flow holds of the memory that all flows share, and whether it may hold more.

use super::Flow;
use crate::direction::Direction;
use crate::limits::{FLOW_ALLOWANCE_OCTETS, MEMORY_RESERVE_PART};
use crate::stream::Buffer;

/// What the flows hold as a call begins. The default has no room at all.
#[derive(Debug, Default, Clone, Copy)]
pub struct Room {
    /// Octets that this flow holds.
    pub held: usize,
    /// Octets that all flows hold.
    pub total: usize,
    /// Octets that all flows may hold.
    pub budget: usize,
}

impl Room {
    /// Whether the flow may take `octets` more. The last part of the budget is for octets in order
    /// of flows within their allowance, so that those who take all that they can get leave room
    /// for the others, and for what fills a hole: it needs no room of its own, but the edits of
    /// what waited behind it do.
    pub fn has(self, octets: usize, in_order: bool) -> bool {
        let total = self.total.saturating_add(octets);
        let shared = self.budget - self.budget / MEMORY_RESERVE_PART;
        let is_modest = in_order && self.held.saturating_add(octets) <= FLOW_ALLOWANCE_OCTETS;
        total <= shared || (total <= self.budget && (octets == 0 || is_modest))
    }
}

impl Flow {
    /// Goes on to hold the `buffer` that the packet in hand came in, of which the store was lent octets.
    pub fn keep(&mut self, direction: Direction, buffer: &Buffer) {
        self.halves[direction].store.keep(buffer);
    }

    /// Octets that the flow holds beyond its own size.
    pub fn memory(&self) -> usize {
        let halves = [Direction::ToServer, Direction::ToClient].map(|d| self.halves[d].memory());
        let judges = self.judges.as_ref().map_or(0, |judges| judges.memory());
        self.session.memory() + judges + halves.iter().sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::direction::Leg;
    use crate::flow::end::headers;
    use crate::flow::spare::{Judges, Spare};
    use crate::policy::{Personality, Timeouts};
    use crate::smtp::Outstanding;
    use crate::stream;
    use crate::time::Instant;

    #[test]
    fn a_flow_counts_all_that_it_holds() {
        let syn = headers();
        let personality = Arc::new(Personality::MAILGUARD);
        let (timeouts, now) = (Timeouts::default(), Instant::ZERO);
        let mut flow = Flow::new(1, &syn, Leg::Outside, personality, timeouts, now);
        assert_eq!(flow.memory(), 0);
        for _ in 0..9 {
            flow.session.sent(Outstanding::Passed);
        }
        let session = flow.session.memory();
        assert!(session > 0);
        assert_eq!(flow.memory(), session);
        flow.judges = Some(Spare::default().judges());
        let judges = flow.memory() - session;
        assert!(judges >= size_of::<Judges>());
        flow.halves.to_client.store.append(b"220 m", &mut stream::Spare::default());
        let store = flow.halves.to_client.store.memory();
        assert_eq!(flow.memory(), session + judges + store);
    }

    #[test]
    fn the_last_quarter_is_for_flows_within_their_allowance() {
        let budget = 4 << 20;
        let room = |held, total| Room { held, total, budget };
        assert!(room(3 << 20, budget).has(0, false), "it fills a hole");
        assert!(!room(3 << 20, budget + 1).has(0, false));
        assert!(room(0, 0).has(3 << 20, false), "nobody else is there");
        assert!(!room(2 << 20, 2 << 20).has((1 << 20) + 1, true));
        assert!(room(0, 3 << 20).has(FLOW_ALLOWANCE_OCTETS, true));
        assert!(!room(1, 3 << 20).has(FLOW_ALLOWANCE_OCTETS, true));
        assert!(!room(0, 3 << 20).has(1, false), "what came early comes again");
        assert!(!room(0, budget).has(1, true), "nobody gets more than there is");
        assert!(!Room::default().has(1, true));
    }
}
