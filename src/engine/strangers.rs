//! Packets that belong to no flow by themselves: strangers, and ICMP errors about flows.

use super::Engine;
use super::rescue::guarded;
use super::table::FlowKey;
use crate::counters::{DropReason, Event};
use crate::direction::Leg;
use crate::flow::{Context, Hand};
use crate::report::{End, Severity, What};
use crate::time::Instant;
use crate::wire::hygiene;
use crate::wire::icmp::Message;
use crate::wire::link::Arrival;
use crate::wire::mint::Minted;
use crate::wire::offload::Offload;
use crate::wire::outbox::Outbox;
use crate::wire::packet::{Headers, flags, seal};

impl Engine {
    /// A packet that belongs to no flow: relayed untouched without inspection, if its connection began
    /// without, or when the operator would rather keep connections than inspect them.
    pub(super) fn judge_stranger(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        headers: &Headers,
        packet: &mut [u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let Arrival { leg, offload, link } = *arrival;
        let key = FlowKey::new(link.segment(), headers.source, headers.destination);
        if self.relays(now, key, headers) {
            if self.config.policy.inspects() && !headers.checksum_is_right(packet, offload) {
                // Damage may have made a port of what belongs to an inspected connection.
                return Err(DropReason::BadChecksum);
            }
            let (tcp_start, payload_start) = (headers.tcp_start, headers.payload_start);
            let vnet = offload.emit(headers.is_ipv6(), tcp_start as u16, payload_start as u16);
            outbox.leave_in_place(!leg, offload, vnet, packet.len());
            return Ok(());
        }
        if !headers.checksum_is_right(packet, offload) {
            return Err(DropReason::BadChecksum);
        }
        hygiene::judge(headers, packet)?;
        // A stateful firewall lets the inside know, and the outside wonder.
        if leg == Leg::Inside && !headers.has(flags::RST) && headers.has(flags::ACK) {
            self.mint_reset(leg, headers, outbox);
        }
        self.reports.add(Severity::Informational, None, || What::NoConnection {
            ends: ends(leg, headers),
            flags: headers.flags,
        });
        Err(DropReason::NotSyn)
    }

    /// Whether a packet of no flow passes.
    fn relays(&mut self, now: Instant, key: FlowKey, headers: &Headers) -> bool {
        let (idle, policy) = (self.config.bounds.timeouts.conn, &self.config.policy);
        let is_inspected = [headers.source, headers.destination]
            .iter()
            .any(|end| policy.inspection(end.port()).is_some());
        if !is_inspected {
            self.relayed.touch(key, now, idle);
            return true;
        }
        self.relays_strangers() || self.relayed.has(key, now, idle)
    }

    /// An ICMP packet: an error about a segment of a flow is told in the numbers of its reader, one
    /// about an inspected port without a flow is dropped, all else is relayed untouched.
    pub(super) fn judge_icmp(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        message: &Message,
        packet: &mut [u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let Arrival { leg, offload, link } = *arrival;
        if offload.gso_size.is_some() {
            return Err(DropReason::Malformed);
        }
        if !message.checksum_is_right(packet, offload) {
            return Err(DropReason::BadChecksum);
        }
        let memory = self.config.bounds.memory;
        let flow = message.quote.and_then(|quote| {
            let key = FlowKey::new(link.segment(), quote.source, quote.destination);
            let place = self.flows.find(&key)?;
            self.flows.with_room(place, memory).map(|(flow, room)| (place, quote, flow, room))
        });
        if let Some((place, quote, flow, room)) = flow {
            outbox.travel(flow.links_for(arrival));
            let mut context = Context {
                now,
                outbox,
                counters: &mut self.counters,
                reports: &mut self.reports,
                spare: &mut self.spare,
                offload: self.config.offload,
                room,
                hand: Hand::default(),
            };
            let handled = guarded(flow, &mut context, None, |flow, context| {
                flow.handle_icmp(leg, &quote, context)
            });
            self.flows.touch(place);
            let (seq, ack) = handled.unwrap_or(Err(DropReason::FlowEnded))?;
            message.renumber(packet, seq, ack);
            self.counters.happened(Event::IcmpTranslated);
        } else {
            let policy = &self.config.policy;
            let inspected = |port| policy.inspection(port).is_some();
            let ours = message.quote.filter(|quote| {
                inspected(quote.source.port()) || inspected(quote.destination.port())
            });
            let idle = self.config.bounds.timeouts.conn;
            let is_stranger = ours.is_some_and(|quote| {
                let key = FlowKey::new(link.segment(), quote.source, quote.destination);
                !self.relayed.has(key, now, idle)
            });
            if is_stranger && !self.relays_strangers() {
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
}

/// Who sends a packet that came in on `leg`, and to whom.
pub(super) fn ends(leg: Leg, headers: &Headers) -> (End, End) {
    ((leg, headers.source), (!leg, headers.destination))
}
