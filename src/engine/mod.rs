//! The engine: packets, deadlines and control in; packets out. It owns the flows.
//!
//! Sans-IO: it is told the time, it leaves everything that a call caused in the [`Outbox`] that it
//! was given, and the same inputs give the same output, octet for octet.
//!
//! Must not know: devices, threads, clocks.

#[cfg(test)]
mod hostile;
mod table;
#[cfg(test)]
mod traces;

use crate::counters::{Counters, DropReason, Event};
use crate::direction::Leg;
use crate::flow::{Context, Flow};
use crate::limits::{FLOWS_MAX, LOOKS_MAX};
use crate::policy::Policy;
use crate::time::Instant;
use crate::wire::hygiene;
use crate::wire::mint::Minted;
use crate::wire::offload::Offload;
use crate::wire::packet::{Headers, flags, seal};

pub use crate::wire::outbox::{Departure, Outbox};
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
    /// Whether what cannot be inspected is relayed (true) or dropped (false).
    pub fail_open: bool,
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
        self.counters.packets_out += (outbox.len() - left_before) as u64;
        self.counters.flows = self.flows.len() as u64;
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
            self.open(now, leg, key, &headers)?;
        }
        let Some(flow) = self.flows.get_mut(&key) else {
            return Err(DropReason::TableFull);
        };
        let packet = packet.get_mut(..headers.end).ok_or(DropReason::Malformed)?;
        hygiene::clean(&headers, packet, &mut self.counters);
        let mut context = Context {
            now,
            outbox,
            counters: &mut self.counters,
            offload: self.config.offload,
            gso_size: offload.gso_size,
        };
        flow.handle(leg, &headers, packet, &mut context)?;
        self.flows.touch(&key);
        Ok(())
    }

    /// Whether a flow begins with this packet: a SYN for an inspected port where there is no
    /// connection, or where the old one is over.
    fn opens(&mut self, key: &FlowKey, headers: &Headers) -> bool {
        let policy = &self.config.policy;
        headers.has(flags::SYN)
            && !headers.has(flags::ACK)
            && policy.personality.inspect
            && policy.ports.contains(&headers.destination.port())
            && self.flows.get_mut(key).is_none_or(|flow| flow.is_over())
            && !(self.config.fail_open && self.flows.len() >= FLOWS_MAX)
    }

    /// Begins a flow.
    fn open(
        &mut self,
        now: Instant,
        leg: Leg,
        key: FlowKey,
        syn: &Headers,
    ) -> Result<(), DropReason> {
        let is_new = self.flows.get_mut(&key).is_none();
        if is_new && self.flows.len() >= FLOWS_MAX {
            return Err(DropReason::TableFull);
        }
        self.counters.happened(Event::FlowBuilt);
        log::trace!("built: {} to {}", syn.source, syn.destination);
        if self.flows.insert(key, Flow::new(syn, leg, self.config.policy.personality, now)) {
            self.counters.happened(Event::FlowEnded);
        }
        Ok(())
    }

    /// A packet that belongs to no flow: relayed untouched without inspection, or when the
    /// operator would rather have mail than inspection.
    fn judge_stranger(
        &mut self,
        leg: Leg,
        headers: &Headers,
        packet: &mut [u8],
        offload: Offload,
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        if !self.config.policy.personality.inspect || self.config.fail_open {
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
        let (counters, config) = (&mut self.counters, &self.config);
        self.flows.look(now, LOOKS_MAX, |flow| {
            let offload = config.offload;
            let mut context = Context { now, outbox, counters, offload, gso_size: None };
            if flow.deadline() > now {
                flow.ring(&mut context);
                return;
            }
            log::trace!("forgotten: {}", flow.client());
            if config.fail_open && !flow.is_closed() {
                // Its next segment would be a stranger's, and be relayed uninspected.
                flow.forget(&mut context);
            }
            let is_over = flow.is_over();
            counters.happened(if is_over { Event::FlowEnded } else { Event::FlowTimedOut });
        });
        counters.flows = self.flows.len() as u64;
        counters.packets_out += (outbox.len() - left_before) as u64;
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
                            gso_size: None,
                        };
                        flow.clear(&mut context);
                        self.flows.touch(&key);
                    }
                }
            }
        }
        self.counters.packets_out += (outbox.len() - left_before) as u64;
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
