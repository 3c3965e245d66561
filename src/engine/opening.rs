//! Where connections begin, and who gives way when there is no room for one more.

use super::{Engine, FlowKey, Outbox, Place, guarded};
use crate::counters::{DropReason, Event};
use crate::direction::Leg;
use crate::flow::{Context, Flow};
use crate::policy::Midstream;
use crate::time::Instant;
use crate::wire::packet::{Headers, flags};

impl Engine {
    /// Whether a flow begins with this packet: a SYN for an inspected port where there is no
    /// connection, or where the old one is over.
    pub(super) fn opens(&self, place: Option<Place>, headers: &Headers) -> bool {
        let policy = &self.config.policy;
        headers.has(flags::SYN)
            && !headers.has(flags::ACK)
            && policy.inspection(headers.destination.port()).is_some()
            && place.is_none_or(|at| self.flows.is_replaceable(at))
            && !(self.config.fail_open && self.relays_strangers() && self.is_full())
    }

    /// Whether a connection that is over gives way to one that nobody inspects.
    pub(super) fn is_succeeded(&self, place: Place, headers: &Headers) -> bool {
        headers.has(flags::SYN)
            && !headers.has(flags::ACK)
            && self.config.policy.inspection(headers.destination.port()).is_none()
            && self.flows.is_replaceable(place)
    }

    /// Whether packets of unknown connections pass.
    pub(super) fn relays_strangers(&self) -> bool {
        !self.config.policy.inspects() || self.config.midstream == Midstream::Pass
    }

    /// Whether there is no place for another flow, and none that can be made.
    pub(super) fn is_full(&self) -> bool {
        self.flows.len() >= self.config.bounds.flows_max && self.flows.half_open() == 0
    }

    /// Begins a flow, in the place of an `old` one that is over.
    pub(super) fn open(
        &mut self,
        now: Instant,
        leg: Leg,
        key: FlowKey,
        old: Option<Place>,
        syn: &Headers,
        outbox: &mut Outbox,
    ) -> Result<Place, DropReason> {
        let bounds = self.config.bounds;
        let reaches = |count: usize, max: usize| max > 0 && count >= max;
        let of_client = self.flows.of_client(syn.source.ip());
        if reaches(of_client.all as usize, bounds.per_client_max) {
            return Err(DropReason::PerClientMax);
        }
        if reaches(of_client.half_open as usize, bounds.per_client_embryonic_max) {
            return Err(DropReason::PerClientEmbryonicMax);
        }
        // The place of a flow that is over is taken by the new one.
        let is_new = old.is_none();
        if is_new && self.is_full() {
            return Err(DropReason::TableFull);
        }
        if is_new
            && (self.flows.len() >= bounds.flows_max
                || reaches(self.flows.half_open(), bounds.embryonic_max))
        {
            self.forget_half_open(now, outbox);
        }
        let Some(personality) = self.config.policy.inspection(syn.destination.port()) else {
            return Err(DropReason::NotSyn);
        };
        let personality = personality.clone();
        self.relayed.forget(&key);
        self.counters.happened(Event::FlowBuilt);
        log::trace!("built: {} to {}", syn.source, syn.destination);
        let flow = Flow::new(self.numbers.0, syn, leg, personality, bounds.timeouts, now);
        self.numbers.0 += self.numbers.1;
        flow.tell_built(&mut self.reports);
        if old.and_then(|old| self.flows.remove(old)).is_some() {
            self.counters.happened(Event::FlowEnded);
        }
        Ok(self.flows.insert(key, flow))
    }

    /// Makes a place: the half-open connection that has waited for the longest time gives way. If
    /// the server has answered it, both ends are told; else the client's next SYN begins anew.
    pub(super) fn forget_half_open(&mut self, now: Instant, outbox: &mut Outbox) {
        let oldest = self.flows.oldest_half_open();
        let Some(mut flow) = oldest.and_then(|place| self.flows.remove(place)) else { return };
        let is_to_be_told = flow.is_answered() || (self.relays_strangers() && !flow.is_over());
        self.counters.happened(Event::EmbryonicForgotten);
        self.counters.happened(Event::FlowEnded);
        flow.tell_forgotten(now, &mut self.reports);
        if is_to_be_told {
            let (counters, reports) = (&mut self.counters, &mut self.reports);
            let spare = &mut self.spare;
            let offload = self.config.offload;
            let mut context =
                Context::without_packet(now, outbox, counters, reports, spare, offload);
            context.outbox.travel(flow.links());
            guarded(&mut flow, &mut context, None, |flow, context| flow.forget(context));
        }
    }
}
