//! How the table holds a flow: whole, or folded while nothing happens on it.

use core::net::SocketAddr;
use core::time::Duration;

use super::table::FlowKey;
use crate::flow::{Flow, Folded};
use crate::time::Instant;

/// A flow, and between whom it is.
#[derive(Debug)]
pub(super) struct Held {
    /// The whole of it: in a box, so that a folded one takes no more than it needs.
    whole: Option<Box<Flow>>,
    /// Of a flow that is not whole.
    folded: Option<Box<Folded>>,
    /// The client is the lower of the key's two ends.
    is_client_lower: bool,
    /// The timers know when it may be folded.
    is_watched: bool,
}

impl Held {
    pub(super) fn new(key: &FlowKey, flow: Flow) -> Self {
        let is_client_lower = key.ends(true).0 == flow.client();
        Self { whole: Some(Box::new(flow)), folded: None, is_client_lower, is_watched: false }
    }

    /// The client, and the server.
    pub(super) fn ends(&self, key: &FlowKey) -> (SocketAddr, SocketAddr) {
        key.ends(self.is_client_lower)
    }

    /// The flow, unless it is folded.
    pub(super) fn whole(&self) -> Option<&Flow> {
        self.whole.as_deref()
    }

    /// The flow, unfolded if need be.
    pub(super) fn unfold(&mut self, key: &FlowKey) -> Option<&mut Flow> {
        if let Some(folded) = self.folded.take() {
            let (client, server) = self.ends(key);
            self.whole = Some(Box::new(folded.unfold(client, server)));
            self.is_watched = false;
        }
        self.whole.as_deref_mut()
    }

    /// Looks at the flow: one that is folded stays so.
    pub(super) fn read<T>(&self, key: &FlowKey, read: impl FnOnce(&Flow) -> T) -> Option<T> {
        if let Some(folded) = &self.folded {
            let (client, server) = self.ends(key);
            return Some(read(&folded.as_ref().clone().unfold(client, server)));
        }
        self.whole().map(read)
    }

    /// Octets that it takes itself.
    pub(super) fn own_memory(&self) -> usize {
        if self.folded.is_some() { size_of::<Folded>() } else { size_of::<Flow>() }
    }

    /// Folds the flow if it is at rest.
    fn fold(&mut self) {
        if let Some(folded) = self.whole.as_deref_mut().and_then(Flow::fold) {
            (self.whole, self.folded) = (None, Some(Box::new(folded)));
        }
    }

    /// When it wants to be looked at, not counting that it may be folded.
    pub(super) fn next_look(&self) -> Instant {
        let folded = self.folded.as_ref().map(|folded| folded.deadline());
        self.whole().map(Flow::next_look).or(folded).unwrap_or_default()
    }

    /// The timers look at it now: folds it if nothing has come on it for so long, and says when they look again.
    pub(super) fn settle(&mut self, now: Instant, rest_after: Duration) -> Instant {
        let at = self.rests_at(rest_after);
        self.is_watched = at.is_some_and(|at| at > now);
        if at.is_some_and(|at| at <= now) {
            self.fold();
        }
        let next = self.next_look();
        at.filter(|_| self.is_watched).map_or(next, |at| at.min(next))
    }

    /// Something has come on it: when the timers are to look, who do so at `due`, if that is too late.
    pub(super) fn watch(&mut self, due: Instant, rest_after: Duration) -> Instant {
        let next = self.next_look();
        if self.is_watched {
            return next;
        }
        let Some(at) = self.rests_at(rest_after) else { return next };
        self.is_watched = true;
        // A short connection ends before the timers have looked at it once.
        if due > at + 2 * rest_after { at.min(next) } else { next }
    }

    /// When it is to be folded, if nothing comes.
    fn rests_at(&self, rest_after: Duration) -> Option<Instant> {
        let flow = self.whole().filter(|flow| flow.is_established())?;
        Some(flow.rests_at(rest_after))
    }
}

#[cfg(test)]
impl Held {
    /// Folds the flow if it is at rest, and checks that it can be told from what is left.
    pub(super) fn fold_and_check(&mut self, key: &FlowKey) -> bool {
        let said = |it: &Self| it.read(key, |flow| format!("{flow:?}"));
        let before = said(self);
        self.fold();
        assert_eq!(said(self), before);
        self.folded.is_some()
    }
}
