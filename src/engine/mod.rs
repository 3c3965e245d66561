//! The engine: packets, deadlines and control in; packets out. It owns the flows.
//!
//! Sans-IO: it is told the time, it leaves everything that a call caused in the [`Outbox`] that it
//! was given, and the same inputs give the same output, octet for octet.
//!
//! Must not know: devices, threads, clocks.

#[cfg(test)]
mod floods;
#[cfg(test)]
mod hostile;
mod rescue;
mod table;
#[cfg(test)]
mod timeouts;
#[cfg(test)]
mod traces;

use crate::counters::{Counters, DropReason, Event};
use crate::direction::Leg;
use crate::flow::{Context, Flow, Room};
use crate::limits::LOOKS_MAX;
use crate::policy::{Bounds, Midstream, Policy};
use crate::time::Instant;
use crate::wire::hygiene;
use crate::wire::mint::Minted;
use crate::wire::offload::Offload;
use crate::wire::packet::{Headers, flags, seal};

pub use crate::wire::outbox::{Departure, Outbox};
use rescue::guarded;
use table::{FlowKey, FlowTable};

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
    /// Forget every flow, after a reset to both ends.
    ClearFlows,
}

/// One worker's engine.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    flows: FlowTable,
    counters: Counters,
}

impl Engine {
    /// An engine without flows.
    pub fn new(config: EngineConfig) -> Self {
        let flows = FlowTable::new(config.seed);
        Self { config, flows, counters: Counters::default() }
    }

    /// Takes one packet that came in on `leg`. `packet` may be patched in place.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        leg: Leg,
        packet: &mut [u8],
        offload: Offload,
        outbox: &mut Outbox,
    ) {
        self.counters.packets_in += 1;
        let left_before = outbox.len();
        if let Err(reason) = self.judge(now, leg, packet, offload, outbox) {
            self.counters.dropped(reason);
        }
        self.count(outbox.len() - left_before);
    }

    fn count(&mut self, left: usize) {
        self.counters.packets_out += left as u64;
        self.counters.flows = self.flows.len() as u64;
        self.counters.half_open = self.flows.half_open() as u64;
        self.counters.octets_held = self.flows.memory() as u64;
    }

    fn judge(
        &mut self,
        now: Instant,
        leg: Leg,
        packet: &mut [u8],
        offload: Offload,
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let headers = match Headers::parse(packet) {
            Ok(headers) => headers,
            Err(_) if !self.config.policy.personality.inspect && offload == Offload::default() => {
                outbox.leave_in_place(!leg, offload, offload.emit(false, 0, 0), packet.len());
                return Ok(());
            }
            Err(reason) => return Err(reason),
        };
        self.counters.octets_in += headers.payload_len() as u64;
        let key = FlowKey::new(headers.source, headers.destination);
        let opens = self.opens(&key, &headers);
        if !opens && self.flows.get_mut(&key).is_none() {
            return self.judge_stranger(leg, &headers, packet, offload, outbox);
        }
        if !headers.checksum_is_right(packet, offload) {
            return Err(DropReason::BadChecksum);
        }
        hygiene::judge(&headers, packet)?;
        if opens {
            self.open(now, leg, key, &headers, outbox)?;
        }
        let Some((flow, room)) = self.flows.with_room(&key, self.config.bounds.memory) else {
            return Err(DropReason::TableFull);
        };
        let packet = packet.get_mut(..headers.end).ok_or(DropReason::Malformed)?;
        hygiene::clean(&headers, packet, &mut self.counters);
        let mut context = Context {
            now,
            outbox,
            counters: &mut self.counters,
            offload: self.config.offload,
            room,
            gso_size: offload.gso_size,
        };
        let handled = guarded(flow, &mut context, Some(&headers), |flow, context| {
            flow.handle(leg, &headers, packet, context)
        });
        self.flows.touch(&key);
        handled.unwrap_or(Err(DropReason::FlowEnded))
    }

    /// Whether a flow begins with this packet: a SYN for an inspected port where there is no
    /// connection, or where the old one is over.
    fn opens(&mut self, key: &FlowKey, headers: &Headers) -> bool {
        let policy = &self.config.policy;
        headers.has(flags::SYN)
            && !headers.has(flags::ACK)
            && policy.personality.inspect
            && policy.ports.contains(&headers.destination.port())
            && self.flows.get_mut(key).is_none_or(|flow| flow.is_replaceable())
            && !(self.config.fail_open && self.relays_strangers() && self.is_full())
    }

    /// Whether packets of unknown connections pass.
    fn relays_strangers(&self) -> bool {
        !self.config.policy.personality.inspect || self.config.midstream == Midstream::Pass
    }

    /// Whether there is no place for another flow, and none that can be made.
    fn is_full(&self) -> bool {
        self.flows.len() >= self.config.bounds.flows_max && self.flows.half_open() == 0
    }

    /// Begins a flow.
    fn open(
        &mut self,
        now: Instant,
        leg: Leg,
        key: FlowKey,
        syn: &Headers,
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let bounds = self.config.bounds;
        let reaches = |count: usize, max: usize| max > 0 && count >= max;
        let of_client = self.flows.of_client(syn.source.ip());
        if reaches(of_client.all, bounds.per_client_max) {
            return Err(DropReason::PerClientMax);
        }
        if reaches(of_client.half_open, bounds.per_client_embryonic_max) {
            return Err(DropReason::PerClientEmbryonicMax);
        }
        // The place of a flow that is over is taken by the new one.
        let is_new = self.flows.get_mut(&key).is_none();
        if is_new && self.is_full() {
            return Err(DropReason::TableFull);
        }
        if is_new
            && (self.flows.len() >= bounds.flows_max
                || reaches(self.flows.half_open(), bounds.embryonic_max))
        {
            self.forget_half_open(now, outbox);
        }
        self.counters.happened(Event::FlowBuilt);
        log::trace!("built: {} to {}", syn.source, syn.destination);
        let personality = self.config.policy.personality;
        if self.flows.insert(key, Flow::new(syn, leg, personality, bounds.timeouts, now)) {
            self.counters.happened(Event::FlowEnded);
        }
        Ok(())
    }

    /// Makes a place: the half-open connection that has waited for the longest time gives way. If
    /// the server has answered it, both ends are told; else the client's next SYN begins anew.
    fn forget_half_open(&mut self, now: Instant, outbox: &mut Outbox) {
        let oldest = self.flows.oldest_half_open();
        let Some(mut flow) = oldest.and_then(|key| self.flows.remove(&key)) else {
            return;
        };
        let is_to_be_told = flow.is_answered() || (self.relays_strangers() && !flow.is_over());
        self.counters.happened(Event::EmbryonicForgotten);
        self.counters.happened(Event::FlowEnded);
        if is_to_be_told {
            let (counters, offload) = (&mut self.counters, self.config.offload);
            let room = Room::default();
            let mut context = Context { now, outbox, counters, offload, room, gso_size: None };
            guarded(&mut flow, &mut context, None, |flow, context| flow.forget(context));
        }
    }

    /// A packet that belongs to no flow: relayed untouched without inspection, or when the
    /// operator would rather keep connections than inspect them.
    fn judge_stranger(
        &mut self,
        leg: Leg,
        headers: &Headers,
        packet: &mut [u8],
        offload: Offload,
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        if self.relays_strangers() {
            let (tcp_start, payload_start) = (headers.tcp_start, headers.payload_start);
            let vnet = offload.emit(headers.is_ipv6(), tcp_start as u16, payload_start as u16);
            outbox.leave_in_place(!leg, offload, vnet, packet.len());
            return Ok(());
        }
        let ports = &self.config.policy.ports;
        if ![headers.source, headers.destination].iter().any(|end| ports.contains(&end.port())) {
            return Err(DropReason::NotInspected);
        }
        if !headers.checksum_is_right(packet, offload) {
            return Err(DropReason::BadChecksum);
        }
        hygiene::judge(headers, packet)?;
        // A stateful firewall lets the inside know, and the outside wonder.
        if leg == Leg::Inside && !headers.has(flags::RST) && headers.has(flags::ACK) {
            self.mint_reset(leg, headers, outbox);
        }
        Err(DropReason::NotSyn)
    }

    /// Answers a segment of no connection with a reset (RFC 9293 section 3.10.7.1).
    fn mint_reset(&mut self, leg: Leg, headers: &Headers, outbox: &mut Outbox) {
        let minted = Minted {
            source: headers.destination,
            destination: headers.source,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            seq: headers.ack,
            ack: 0,
            flags: flags::RST,
            window: 0,
            timestamps: None,
            sack_blocks: &[],
        };
        let made = minted.headers();
        let len = made.octets().len();
        let offload = Offload { partial_checksum: self.config.offload, ..Offload::default() };
        let vnet = offload.emit(headers.is_ipv6(), made.tcp_start as u16, len as u16);
        let built = outbox.leave_built(leg, offload, vnet, len);
        built.copy_from_slice(made.octets());
        let addresses = (minted.source.ip(), minted.destination.ip());
        seal(built, made.tcp_start, addresses, self.config.offload);
        self.counters.happened(Event::Minted);
    }

    /// Acts on the deadlines that have passed: flows that are over, or idle for too long, are
    /// forgotten; what got lost behind the guard is repeated.
    pub fn handle_deadline(&mut self, now: Instant, outbox: &mut Outbox) {
        let left_before = outbox.len();
        let relays_strangers = self.relays_strangers();
        let (counters, offload) = (&mut self.counters, self.config.offload);
        self.flows.look(now, LOOKS_MAX, |flow| {
            let room = Room::default();
            let mut context = Context { now, outbox, counters, offload, room, gso_size: None };
            guarded(flow, &mut context, None, |flow, context| {
                if flow.deadline() > now {
                    flow.ring(context);
                } else if !flow.is_over() {
                    context.counters.happened(Event::FlowTimedOut);
                    flow.time_out(context);
                } else if relays_strangers && !flow.is_closed() {
                    // Its next segment would be a stranger's, and be relayed uninspected.
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

    /// When [`Engine::handle_deadline`] wants to be called, if ever.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.flows.next_deadline()
    }

    /// Does what the control side asks.
    pub fn handle_control(&mut self, now: Instant, control: Control, outbox: &mut Outbox) {
        let left_before = outbox.len();
        match control {
            Control::Install(policy) => self.config.policy = policy,
            Control::ClearFlows => {
                for key in self.flows.keys() {
                    if let Some(flow) = self.flows.get_mut(&key) {
                        let mut context = Context {
                            now,
                            outbox,
                            counters: &mut self.counters,
                            offload: self.config.offload,
                            room: Room::default(),
                            gso_size: None,
                        };
                        guarded(flow, &mut context, None, |flow, context| flow.clear(context));
                        self.flows.touch(&key);
                    }
                }
            }
        }
        self.count(outbox.len() - left_before);
    }

    /// The counters as they stand.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Which of `workers` owns the flow of `packet`: the same for both directions.
pub fn owner(packet: &[u8], workers: usize, seed: u64) -> usize {
    if workers <= 1 {
        return 0;
    }
    let Ok(headers) = Headers::parse(packet) else {
        return 0;
    };
    let hash = FlowKey::new(headers.source, headers.destination).hash(seed);
    (hash % workers as u64) as usize
}
