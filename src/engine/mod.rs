//! The engine: packets, deadlines and control in; packets out. It owns the flows.
//!
//! Sans-IO: it is told the time, it leaves everything that a call caused in the [`Outbox`] that it
//! was given, and the same inputs give the same output, octet for octet.
//!
//! Must not know: devices, threads, clocks.

#[cfg(test)]
mod fragment_traces;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod icmp_traces;
mod table;
#[cfg(test)]
mod traces;

use crate::counters::{Counters, DropReason, Event};
use crate::direction::Leg;
use crate::flow::{Context, Flow};
use crate::limits::{FLOWS_MAX, LOOKS_MAX};
use crate::policy::Policy;
use crate::time::Instant;
use crate::wire::fragment::Fragment;
use crate::wire::fragment_buffer::FragmentBuffer;
use crate::wire::icmp::Message;
use crate::wire::mint::Minted;
use crate::wire::offload::Offload;
use crate::wire::options;
use crate::wire::packet::{Headers, flags, seal};

pub use crate::wire::outbox::{Departure, Outbox};
use table::{FlowKey, FlowTable, seeded_hash};

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
    fragments: FragmentBuffer,
    counters: Counters,
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
        let flows = FlowTable::new(config.seed);
        let fragments = FragmentBuffer::default();
        Self { config, flows, fragments, counters: Counters::default() }
    }

    /// Puts fragments together. [`Engine::handle_packet`] does so by itself; who has several engines
    /// calls this first, because only the rebuilt packet shows which of them owns its flow.
    pub fn assemble(&mut self, now: Instant, leg: Leg, packet: &[u8]) -> Assembled {
        if !self.config.policy.personality.inspect && self.flows.len() == 0 {
            // Nothing is inspected: fragments are relayed as they came.
            return Assembled::Whole;
        }
        let rebuilt = match Fragment::read(packet) {
            Ok(None) => return Assembled::Whole,
            Ok(Some(fragment)) => self.fragments.take(now, leg, &fragment, &mut self.counters),
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

    /// Takes one packet that came in on `leg`. `packet` may be patched in place.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        leg: Leg,
        packet: &mut [u8],
        offload: Offload,
        outbox: &mut Outbox,
    ) {
        let left_before = outbox.len();
        let judged = match self.assemble(now, leg, packet) {
            Assembled::Waits => return,
            Assembled::Whole => self.judge(now, leg, packet, offload, outbox),
            Assembled::Rebuilt(mut whole) => {
                let judged = self.judge(now, leg, &mut whole, Offload::default(), outbox);
                outbox.keep_input(left_before, &whole);
                judged
            }
        };
        self.counters.packets_in += 1;
        if let Err(reason) = judged {
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
        let inspects = self.config.policy.personality.inspect;
        let mut headers = match Headers::parse(packet) {
            Ok(headers) => headers,
            Err(reason) => {
                let is_icmp = reason == DropReason::NotTcp;
                let message = if is_icmp { Message::read(packet) } else { Err(reason) };
                return match message {
                    Ok(message) => self.judge_icmp(now, leg, &message, packet, offload, outbox),
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
            }
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
        check_flags(&headers)?;
        if opens {
            self.open(now, leg, key, &headers)?;
        }
        let Some(flow) = self.flows.get_mut(&key) else {
            return Err(DropReason::TableFull);
        };
        let packet = packet.get_mut(..headers.end).ok_or(DropReason::Malformed)?;
        if let Some(most) = self.config.policy.mss_max.filter(|_| headers.has(flags::SYN)) {
            let list = packet.get_mut(headers.tcp_start + 20..headers.payload_start);
            if options::clamp_mss(list.unwrap_or_default(), most) {
                headers.options.mss = headers.options.mss.map(|mss| mss.min(most));
                self.counters.happened(Event::MssClamped);
            }
        }
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
        // A stateful firewall lets the inside know, and the outside wonder.
        if leg == Leg::Inside && !headers.has(flags::RST) && headers.has(flags::ACK) {
            self.mint_reset(leg, headers, outbox);
        }
        Err(DropReason::NotSyn)
    }

    /// An ICMP packet: an error about a segment of a flow is told in the numbers of its reader, one
    /// about an inspected port without a flow is dropped, all else is relayed untouched.
    fn judge_icmp(
        &mut self,
        now: Instant,
        leg: Leg,
        message: &Message,
        packet: &mut [u8],
        offload: Offload,
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        if offload.gso_size.is_some() {
            return Err(DropReason::Malformed);
        }
        if !message.checksum_is_right(packet, offload) {
            return Err(DropReason::BadChecksum);
        }
        let flow = message.quote.and_then(|quote| {
            let key = FlowKey::new(quote.source, quote.destination);
            self.flows.get_mut(&key).map(|flow| (key, quote, flow))
        });
        if let Some((key, quote, flow)) = flow {
            let mut context = Context {
                now,
                outbox,
                counters: &mut self.counters,
                offload: self.config.offload,
                gso_size: None,
            };
            let (seq, ack) = flow.handle_icmp(leg, &quote, &mut context)?;
            message.renumber(packet, seq, ack);
            self.counters.happened(Event::IcmpTranslated);
            self.flows.touch(&key);
        } else {
            let policy = &self.config.policy;
            let is_open = !policy.personality.inspect || self.config.fail_open;
            let inspected = |port| policy.ports.contains(&port);
            let is_ours = message.quote.is_some_and(|quote| {
                inspected(quote.source.port()) || inspected(quote.destination.port())
            });
            if is_ours && !is_open {
                return Err(DropReason::IcmpNotInFlow);
            }
            if offload.partial_checksum {
                message.seal(packet);
            }
        }
        let offload = Offload::default();
        outbox.leave_in_place(!leg, offload, offload.emit(false, 0, 0), message.end);
        Ok(())
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
        self.fragments.expire(now, counters);
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
        let deadlines = [self.flows.next_deadline(), self.fragments.next_deadline()];
        deadlines.into_iter().flatten().min()
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

/// Refuses flag combinations that no end sends and that hosts read differently.
fn check_flags(headers: &Headers) -> Result<(), DropReason> {
    let nothing = headers.flags & (flags::SYN | flags::RST | flags::ACK) == 0;
    let contradiction = headers.has(flags::SYN) && headers.flags & (flags::FIN | flags::RST) != 0;
    if nothing || contradiction { Err(DropReason::BadFlags) } else { Ok(()) }
}

/// Which of `workers` owns `packet`: that of its flow, the same for both directions and for ICMP
/// errors about it; that of its datagram for a fragment, which does not show its flow.
pub fn owner(packet: &[u8], workers: usize, seed: u64) -> usize {
    if workers <= 1 {
        return 0;
    }
    let hash = if let Ok(Some(fragment)) = Fragment::read(packet) {
        seeded_hash(&fragment.id, seed)
    } else if let Ok(headers) = Headers::parse(packet) {
        FlowKey::new(headers.source, headers.destination).hash(seed)
    } else if let Ok(Message { quote: Some(quote), .. }) = Message::read(packet) {
        FlowKey::new(quote.source, quote.destination).hash(seed)
    } else {
        return 0;
    };
    (hash % workers as u64) as usize
}
