//! The engine: packets, deadlines and control in; packets out. It owns the flows.
//!
//! Sans-IO: it is told the time, it leaves everything that a call caused in the [`Outbox`] that it
//! was given, and the same inputs give the same output, octet for octet.
//!
//! Must not know: devices, threads, clocks.

#[cfg(test)]
mod changes;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod folding;
#[cfg(test)]
mod fragment_traces;
mod held;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod icmp_traces;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod links;
mod opening;
mod owner;
mod relayed;
mod rescue;
mod slab;
mod strangers;
mod table;
#[cfg(test)]
mod telling;
#[cfg(test)]
mod timeouts;
#[cfg(test)]
mod traces;

use core::net::IpAddr;

use crate::counters::{Counters, DropReason, Event};
use crate::direction::Direction;
use crate::flow::{Context, Flow, Hand, Spare, View};
use crate::limits::LOOKS_MAX;
use crate::policy::{Bounds, Midstream, Policy, TcpMap, Timeouts};
use crate::report::{Reports, Severity, What};
use crate::stream::Buffer;
use crate::time::Instant;
use crate::wire::fragment::Fragment;
use crate::wire::fragment_buffer::FragmentBuffer;
use crate::wire::hygiene;
use crate::wire::icmp::Message;
use crate::wire::link::Links;
use crate::wire::offload::Offload;
use crate::wire::options;
use crate::wire::packet::{Headers, flags};

pub use crate::wire::link::Arrival;
pub use crate::wire::outbox::{Departure, Outbox};
pub use owner::owner;
use relayed::Relayed;
use rescue::guarded;
use table::{FlowKey, FlowTable, Place};

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// What to do.
    pub policy: Policy,
    /// Seeds the hash of the flow table.
    pub seed: u64,
    /// Whether the device takes super-segments and partial checksums.
    pub offload: bool,
    /// Whether connections for which there is no place are relayed uninspected (true; needs
    /// [`Midstream::Pass`], for nothing is remembered of them) or refused (false).
    pub fail_open: bool,
    /// What becomes of connections that were open before.
    pub midstream: Midstream,
    /// What all flows of the engine may take.
    pub bounds: Bounds,
}

/// What the control side may ask of an engine.
#[derive(Debug, Clone)]
pub enum Control {
    /// New flows follow this policy; old ones keep theirs.
    Install(Policy),
    /// New flows have these time-outs; old ones keep theirs.
    SetTimeouts(Timeouts),
    /// Forget the flows of whom it concerns, after a reset to both ends.
    ClearFlows(Filter),
}

/// Which connections are meant: those of an address, or of a port, at either end, or all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// One of its ends has this address.
    pub address: Option<IpAddr>,
    /// One of its ends has this port.
    pub port: Option<u16>,
}

impl Filter {
    fn concerns(self, flow: &Flow) -> bool {
        let ends = [flow.client(), flow.server()];
        self.address.is_none_or(|address| ends.iter().any(|end| end.ip() == address))
            && self.port.is_none_or(|port| ends.iter().any(|end| end.port() == port))
    }
}

/// One worker's engine.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    flows: FlowTable,
    fragments: FragmentBuffer,
    relayed: Relayed,
    counters: Counters,
    reports: Reports,
    spare: Spare,
    /// The number of the next connection, and how far apart the numbers are.
    numbers: (u64, u64),
}

/// What became of a packet that may have been a fragment.
#[derive(Debug)]
pub enum Assembled {
    /// It is none: judge it as it is.
    Whole,
    /// It waits for the rest, or was dropped; either way it is counted.
    Waits,
    /// It was the last one missing: judge this packet in its place.
    Rebuilt(Vec<u8>),
}

impl Engine {
    /// An engine without flows.
    pub fn new(config: EngineConfig) -> Self {
        let flows = FlowTable::new(config.seed, config.bounds.rest_after);
        let fragments = FragmentBuffer::default();
        let relayed = Relayed::new(config.seed);
        let (counters, reports) = (Counters::default(), Reports::default());
        let spare = Spare::default();
        Self { config, flows, fragments, relayed, counters, reports, spare, numbers: (1, 1) }
    }

    /// Puts fragments together. [`Engine::handle_packet`] does so by itself; who has several engines
    /// calls this first, because only the rebuilt packet shows which of them owns its flow.
    pub fn assemble(&mut self, now: Instant, arrival: &Arrival, packet: &[u8]) -> Assembled {
        if !self.config.policy.inspects() && self.flows.len() == 0 {
            // Nothing is inspected: fragments are relayed as they came.
            return Assembled::Whole;
        }
        let rebuilt = match Fragment::read(packet) {
            Ok(None) => return Assembled::Whole,
            Ok(Some(fragment)) => {
                let wire = (arrival.leg, arrival.link.segment());
                self.fragments.take(now, wire, &fragment, &mut self.counters)
            }
            Err(reason) => {
                self.counters.dropped(reason);
                None
            }
        };
        if let Some(packet) = rebuilt {
            return Assembled::Rebuilt(packet);
        }
        self.counters.packets_in += 1;
        Assembled::Waits
    }

    /// Takes one packet. `packet` may be patched in place.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        arrival: Arrival,
        packet: &mut [u8],
        outbox: &mut Outbox,
    ) {
        // A flow that may not keep the buffer is lent nothing.
        self.handle(now, arrival, packet, 0, outbox);
    }

    /// Takes one packet, the first `len` octets of `buffer`, which nobody else may hold. It may be patched in place, and
    /// the flow may go on to hold the buffer: then it is not to be written to any more, and [`Engine::room`] has another.
    pub fn handle_buffer(
        &mut self,
        now: Instant,
        arrival: Arrival,
        buffer: &mut Buffer,
        len: usize,
        outbox: &mut Outbox,
    ) {
        let whole = buffer.len();
        let Some(packet) = buffer.get_mut().and_then(|octets| octets.get_mut(..len)) else {
            self.counters.packets_in += 1;
            self.counters.dropped(DropReason::Malformed);
            return;
        };
        if let Some((place, direction)) = self.handle(now, arrival, packet, whole, outbox) {
            if let Some(flow) = self.flows.get_mut(place) {
                flow.keep(direction, buffer);
            }
            self.flows.touch(place);
            self.count(0);
        }
    }

    /// Room for a packet.
    pub fn room(&mut self) -> Buffer {
        self.spare.octets.room()
    }

    /// Takes a packet that came in a buffer of so many octets. Whose store was lent octets of it is told.
    fn handle(
        &mut self,
        now: Instant,
        arrival: Arrival,
        packet: &mut [u8],
        buffer: usize,
        outbox: &mut Outbox,
    ) -> Option<(Place, Direction)> {
        let left_before = outbox.len();
        outbox.travel(Links::of(&arrival));
        let judged = match self.assemble(now, &arrival, packet) {
            Assembled::Waits => return None,
            Assembled::Whole => self.judge(now, &arrival, packet, buffer, outbox),
            Assembled::Rebuilt(mut whole) => {
                let arrival = Arrival { offload: Offload::default(), ..arrival };
                let judged = self.judge(now, &arrival, &mut whole, 0, outbox);
                outbox.keep_input(left_before, &whole);
                judged
            }
        };
        self.counters.packets_in += 1;
        let loan = judged.unwrap_or_else(|reason| {
            self.counters.dropped(reason);
            None
        });
        self.count(outbox.len() - left_before);
        loan
    }

    fn count(&mut self, left: usize) {
        self.counters.packets_out += left as u64;
        self.counters.flows = self.flows.len() as u64;
        if self.counters.flows == 0 {
            self.spare.rest();
        }
        self.counters.flows_peak = self.counters.flows_peak.max(self.counters.flows);
        self.counters.half_open = self.flows.half_open() as u64;
        self.counters.octets_held = self.flows.memory() as u64;
    }

    fn judge(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        packet: &mut [u8],
        buffer: usize,
        outbox: &mut Outbox,
    ) -> Result<Option<(Place, Direction)>, DropReason> {
        let Arrival { leg, offload, link } = *arrival;
        let inspects = self.config.policy.inspects();
        let mut headers = match Headers::parse(packet) {
            Ok(headers) => headers,
            Err(reason) => {
                let is_icmp = reason == DropReason::NotTcp;
                let message = if is_icmp { Message::read(packet) } else { Err(reason) };
                let judged = match message {
                    Ok(message) => self.judge_icmp(now, arrival, &message, packet, outbox),
                    Err(_) if !inspects && offload == Offload::default() => {
                        outbox.leave_in_place(
                            !leg,
                            offload,
                            offload.emit(false, 0, 0),
                            packet.len(),
                        );
                        Ok(())
                    }
                    Err(reason) => Err(reason),
                };
                return judged.map(|()| None);
            }
        };
        self.counters.octets_in += headers.payload_len() as u64;
        let key = FlowKey::new(link.segment(), headers.source, headers.destination);
        let mut place = self.flows.find(&key);
        let opens = self.opens(place, &headers);
        if let Some(old) = place.filter(|old| !opens && self.is_succeeded(*old, &headers)) {
            self.flows.remove(old);
            self.counters.happened(Event::FlowEnded);
            place = None;
        }
        if !opens && place.is_none() {
            return self.judge_stranger(now, arrival, &headers, packet, outbox).map(|()| None);
        }
        if !headers.checksum_is_right(packet, offload) {
            return Err(DropReason::BadChecksum);
        }
        hygiene::judge(&headers, packet)?;
        if opens {
            let opened = self.open(now, leg, key, place, &headers, outbox);
            place = Some(opened.inspect_err(|&reason| {
                self.reports.add(Severity::Critical, None, || What::Denied {
                    ends: strangers::ends(leg, &headers),
                    flags: headers.flags,
                    reason,
                });
            })?);
        }
        let Some(place) = place else { return Err(DropReason::TableFull) };
        let Some((flow, room)) = self.flows.with_room(place, self.config.bounds.memory) else {
            return Err(DropReason::TableFull);
        };
        outbox.travel(flow.links_for(arrival));
        let packet = packet.get_mut(..headers.end).ok_or(DropReason::Malformed)?;
        hygiene::clean(&headers, packet, &mut self.counters);
        if let Some(most) = self.config.policy.mss_max.filter(|_| headers.has(flags::SYN)) {
            let list = packet.get_mut(headers.tcp_start + 20..headers.payload_start);
            if options::clamp_mss(list.unwrap_or_default(), most) {
                headers.options.mss = headers.options.mss.map(|mss| mss.min(most));
                self.counters.happened(Event::MssClamped);
            }
        }
        if headers.has(flags::SYN) && !headers.has(flags::ACK) {
            let map = self.config.policy.tcp_map(headers.destination.port());
            let list = packet.get_mut(headers.tcp_start + 20..headers.payload_start);
            let TcpMap { clears_sack, clears_timestamps, clears_window_scale } = map;
            let list = list.unwrap_or_default();
            if options::clear_from_syn(list, clears_sack, clears_timestamps, clears_window_scale) {
                self.counters.happened(Event::OptionCleared);
            }
            let offered = &mut headers.options;
            offered.sack_permitted &= !clears_sack;
            offered.timestamps = offered.timestamps.filter(|_| !clears_timestamps);
            offered.window_shift = offered.window_shift.filter(|_| !clears_window_scale);
        }
        let mut context = Context {
            now,
            outbox,
            counters: &mut self.counters,
            reports: &mut self.reports,
            spare: &mut self.spare,
            offload: self.config.offload,
            room,
            hand: Hand { gso_size: offload.gso_size, buffer, loan: None },
        };
        let handled = guarded(flow, &mut context, Some(&headers), |flow, context| {
            flow.handle(leg, &headers, packet, context)
        });
        if handled == Some(Ok(())) {
            flow.heard_from(arrival);
        }
        let loan = context.hand.loan.map(|direction| (place, direction));
        self.flows.touch(place);
        handled.unwrap_or(Err(DropReason::FlowEnded)).map(|()| loan)
    }

    /// Acts on the deadlines that have passed: flows that are over, or idle for too long, are
    /// forgotten; what got lost behind the guard is repeated.
    pub fn handle_deadline(&mut self, now: Instant, outbox: &mut Outbox) {
        let left_before = outbox.len();
        let relays_strangers = self.relays_strangers();
        let (counters, offload) = (&mut self.counters, self.config.offload);
        let (reports, spare) = (&mut self.reports, &mut self.spare);
        self.fragments.expire(now, counters);
        self.flows.look(now, LOOKS_MAX, |flow| {
            let mut context =
                Context::without_packet(now, outbox, counters, reports, spare, offload);
            context.outbox.travel(flow.links());
            guarded(flow, &mut context, None, |flow, context| {
                if flow.deadline() > now {
                    flow.ring(context);
                } else if !flow.is_over() {
                    context.counters.happened(Event::FlowTimedOut);
                    flow.time_out(context);
                } else if flow.may_outlive_reset() || (relays_strangers && !flow.is_closed()) {
                    // Its next segment would be a stranger's: dropped in silence, or relayed uninspected.
                    flow.forget(context);
                }
            });
            if flow.deadline() <= now {
                log::trace!("forgotten: {}", flow.client());
                counters.happened(Event::FlowEnded);
            }
        });
        self.count(outbox.len() - left_before);
    }

    /// Flows that are not folded: they take more memory than others.
    pub fn whole_flows(&self) -> usize {
        self.flows.whole_len()
    }

    /// When [`Engine::handle_deadline`] wants to be called, if ever.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.flows.next_deadline(), self.fragments.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Does what the control side asks.
    pub fn handle_control(&mut self, now: Instant, control: Control, outbox: &mut Outbox) {
        let left_before = outbox.len();
        match control {
            Control::Install(policy) => self.config.policy = policy,
            Control::SetTimeouts(timeouts) => self.config.bounds.timeouts = timeouts,
            Control::ClearFlows(filter) => {
                if filter == Filter::default() {
                    self.relayed = Relayed::new(self.config.seed);
                }
                for place in self.flows.places() {
                    if self.flows.read(place, |flow| filter.concerns(flow)) != Some(true) {
                        continue;
                    }
                    if let Some(flow) = self.flows.get_mut(place) {
                        let (counters, reports) = (&mut self.counters, &mut self.reports);
                        let (spare, offload) = (&mut self.spare, self.config.offload);
                        let mut context =
                            Context::without_packet(now, outbox, counters, reports, spare, offload);
                        context.outbox.travel(flow.links());
                        guarded(flow, &mut context, None, |flow, context| flow.clear(context));
                        self.flows.touch(place);
                    }
                }
            }
        }
        self.count(outbox.len() - left_before);
    }

    /// Connections are numbered from `first` on, `step` apart.
    pub fn number_connections(&mut self, first: u64, step: u64) {
        self.numbers = (first, step);
    }

    /// From now on reports of up to that severity are made, or none.
    pub fn report(&mut self, level: Option<Severity>) {
        self.reports.set_level(level);
    }

    /// What happened since they were drained last. Drain them after each call.
    pub fn reports(&mut self) -> &mut Reports {
        &mut self.reports
    }

    /// The connections of whom it concerns, `most` of them at most, and how many there are.
    pub fn connections(&self, now: Instant, filter: Filter, most: usize) -> (Vec<View>, usize) {
        let (mut views, mut count) = (Vec::new(), 0);
        self.flows.each(|flow, own_memory| {
            if !flow.is_over() && filter.concerns(flow) {
                count += 1;
                if views.len() < most {
                    views.push(flow.view(now, own_memory));
                }
            }
        });
        (views, count)
    }

    /// The counters as they stand.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
