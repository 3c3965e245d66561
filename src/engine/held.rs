//! The flows of the table: whole, or folded while nothing happens on them.
//!
//! Either kind lies in chunks of its own, for what lies among smaller things in the heap would pin its pages when
//! it is gone.

use core::net::SocketAddr;
use core::time::Duration;

use super::slab::Slab;
use super::table::FlowKey;
use crate::flow::{Flow, Folded};
use crate::time::Instant;

/// Where a flow lies, and what its key does not say.
#[derive(Debug)]
pub(super) struct Held {
    place: Place,
    /// The client is the lower of the key's two ends.
    is_client_lower: bool,
    /// The timers know when it may be folded.
    is_watched: bool,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Whole(u32),
    Folded(u32),
}

impl Held {
    /// The client, and the server.
    pub(super) fn ends(&self, key: &FlowKey) -> (SocketAddr, SocketAddr) {
        key.ends(self.is_client_lower)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Flows {
    whole: Slab<Flow>,
    folded: Slab<Folded>,
}

impl Flows {
    /// Those that are not folded.
    pub(super) fn whole_len(&self) -> usize {
        self.whole.len()
    }

    /// Takes a flow in.
    pub(super) fn insert(&mut self, key: &FlowKey, flow: Flow) -> Held {
        let is_client_lower = key.ends(true).0 == flow.client();
        let place = Place::Whole(self.whole.insert(flow));
        Held { place, is_client_lower, is_watched: false }
    }

    /// Takes a flow out.
    pub(super) fn remove(&mut self, key: &FlowKey, held: &Held) -> Option<Flow> {
        match held.place {
            Place::Whole(number) => self.whole.remove(number),
            Place::Folded(number) => {
                let (client, server) = held.ends(key);
                self.folded.remove(number).map(|folded| folded.unfold(client, server))
            }
        }
    }

    /// The flow, unless it is folded.
    pub(super) fn whole(&self, held: &Held) -> Option<&Flow> {
        match held.place {
            Place::Whole(number) => self.whole.get(number),
            Place::Folded(_) => None,
        }
    }

    /// The flow, unfolded if need be.
    pub(super) fn unfold(&mut self, key: &FlowKey, held: &mut Held) -> Option<&mut Flow> {
        let number = match held.place {
            Place::Whole(number) => number,
            Place::Folded(_) => {
                let flow = self.remove(key, held)?;
                let number = self.whole.insert(flow);
                (held.place, held.is_watched) = (Place::Whole(number), false);
                number
            }
        };
        self.whole.get_mut(number)
    }

    /// Looks at the flow, with the octets that it takes itself: one that is folded stays so.
    pub(super) fn read<T>(
        &self,
        key: &FlowKey,
        held: &Held,
        read: impl FnOnce(&Flow, usize) -> T,
    ) -> Option<T> {
        match held.place {
            Place::Whole(number) => {
                self.whole.get(number).map(|flow| read(flow, size_of::<Flow>()))
            }
            Place::Folded(number) => {
                let (client, server) = held.ends(key);
                let flow = self.folded.get(number)?.clone().unfold(client, server);
                Some(read(&flow, size_of::<Folded>()))
            }
        }
    }

    /// Folds the flow if it is at rest.
    fn fold(&mut self, held: &mut Held) {
        if let Place::Whole(number) = held.place
            && let Some(folded) = self.whole.get_mut(number).and_then(Flow::fold)
        {
            self.whole.remove(number);
            held.place = Place::Folded(self.folded.insert(folded));
        }
    }

    /// When it wants to be looked at, not counting that it may be folded.
    pub(super) fn next_look(&self, held: &Held) -> Instant {
        let next = match held.place {
            Place::Whole(number) => self.whole.get(number).map(Flow::next_look),
            Place::Folded(number) => self.folded.get(number).map(Folded::deadline),
        };
        next.unwrap_or_default()
    }

    /// The timers look at it now: folds it if nothing has come on it for so long, and says when they look again.
    pub(super) fn settle(
        &mut self,
        held: &mut Held,
        now: Instant,
        rest_after: Duration,
    ) -> Instant {
        let flow = self.whole(held).filter(|flow| flow.is_established());
        let at = flow.map(|flow| flow.rests_at(rest_after));
        held.is_watched = at.is_some_and(|at| at > now);
        if at.is_some_and(|at| at <= now) {
            self.fold(held);
        }
        let next = self.next_look(held);
        at.filter(|_| held.is_watched).map_or(next, |at| at.min(next))
    }

    /// Something has come on it: when the timers are to look, who do so at `due`, if that is too late.
    pub(super) fn watch(&self, held: &mut Held, due: Instant, rest_after: Duration) -> Instant {
        let Some(flow) = self.whole(held) else { return self.next_look(held) };
        let next = flow.next_look();
        if held.is_watched || !flow.is_established() {
            return next;
        }
        held.is_watched = true;
        let at = flow.rests_at(rest_after);
        // A short connection ends before the timers have looked at it once.
        if due > at + 2 * rest_after { at.min(next) } else { next }
    }
}

#[cfg(test)]
impl Flows {
    /// Folds the flow if it is at rest, and checks that it can be told from what is left.
    pub(super) fn fold_and_check(&mut self, key: &FlowKey, held: &mut Held) {
        let said = |flows: &Self, held: &Held| flows.read(key, held, |flow, _| format!("{flow:?}"));
        let before = said(self, held);
        self.fold(held);
        assert_eq!(said(self, held), before);
    }
}
