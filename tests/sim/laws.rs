//! The laws that every single packet must keep, whatever the streams say (ARCHITECTURE.md, invariants.md):
//! what the guard has read is noted, what it emits is held against that.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use mailguard::direction::Leg;
use mailguard::engine::Departure;
use mailguard::wire::offload::Offload;

use crate::balance::{Call, Happened};
use crate::decoys::View;
use crate::devices::Mode;
use crate::end::{End, Said};
use crate::packet::{ACK, Packet, RST, SYN, URG};
use crate::reference::Judged;
use crate::way::{Origin, Way};

/// The port of the servers.
pub(crate) const SMTP: u16 = 25;
/// The last octet of the address of every server; no client has it.
pub(crate) const SERVER: u8 = 2;

/// What tells connections apart: the client's address and port.
pub(crate) type Key = (IpAddr, u16);

/// The packet that the guard is handling, as far as what it emits depends on it.
#[derive(Debug, Clone, Copy, Default)]
struct Cause {
    key: Option<Key>,
    /// Who spoke: 0 the client, 1 the server.
    speaker: usize,
    said: Said,
    /// It is older than what came before: its window says nothing.
    stale: bool,
    /// It is a reset that stands where its sender does.
    exact: bool,
}

/// One connection, as both its ends and the guard see it.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// By speaker.
    pub(crate) ways: [Way; 2],
    pub(crate) ends: [End; 2],
    pub(crate) reset: bool,
    /// The guard has ended it: it answers for both ends now, whatever they say.
    is_ended: bool,
    /// Where packets of the client begin and end, as the guard was given them.
    pub(crate) cuts: BTreeSet<usize>,
}

/// The checks of one run.
#[derive(Debug)]
pub(crate) struct Laws {
    mode: Mode,
    offload: bool,
    flows: BTreeMap<Key, Flow>,
    ended: BTreeSet<Key>,
    cause: Cause,
    call: Call,
    /// The guard was started anew: whatever it has not seen begin is strange to it.
    restarted: bool,
    /// The most octets that were under way.
    under_way: usize,
    /// Packets with a wrong checksum that the guard was given.
    pub(crate) bad_sums: u64,
}

impl Laws {
    pub(crate) fn new(mode: Mode, offload: bool) -> Self {
        Self {
            mode,
            offload,
            flows: BTreeMap::new(),
            ended: BTreeSet::new(),
            cause: Cause::default(),
            call: Call::default(),
            restarted: false,
            under_way: 0,
            bad_sums: 0,
        }
    }

    pub(crate) fn inspects(&self) -> bool {
        self.mode.inspects()
    }

    /// A new connection begins.
    pub(crate) fn begin(&mut self, key: Key) {
        self.flows.insert(key, Flow::default());
    }

    /// Forgets a connection, and hands out what was noted. The guard may still repeat itself.
    pub(crate) fn end(&mut self, key: Key) -> Flow {
        self.ended.insert(key);
        self.flows.remove(&key).unwrap_or_default()
    }

    /// The guard is started anew.
    pub(crate) fn restart(&mut self) {
        self.flows.clear();
        self.restarted = true;
    }

    /// Whether the packet can only be of an earlier connection between the same ends: it is no SYN, and
    /// its numbers are far from those of the live one.
    pub(crate) fn is_of_another(&self, bytes: &[u8]) -> bool {
        let Ok(packet) = Packet::read(bytes) else { return false };
        let (key, speaker) = who(&packet);
        let Some(flow) = self.flows.get(&key) else { return false };
        let places =
            [flow.ways[speaker].place_in(&packet), flow.ways[1 - speaker].place_of_ack(&packet)];
        let is_far = |place: Option<i64>| place.is_some_and(|place| place.abs() > 1 << 21);
        !packet.has(SYN) && places.into_iter().all(is_far)
    }

    /// The initial numbers of speaker and peer, for traces.
    pub(crate) fn initial(&self, packet: &Packet<'_>) -> (u32, u32) {
        let (key, speaker) = who(packet);
        let isn = |who: usize| {
            let flow = self.flows.get(&key)?;
            flow.ways[who].isn_out.or(flow.ways[who].isn_in)
        };
        (isn(speaker).unwrap_or(packet.seq), isn(1 - speaker).unwrap_or(0))
    }

    /// What an attacker may know of the connection to which `packet` belongs.
    pub(crate) fn view(&self, packet: &Packet<'_>, is_alive: bool) -> View {
        let (key, speaker) = who(packet);
        let Some(flow) = self.flows.get(&key) else {
            return View {
                is_alive: false,
                is_stamped: false,
                first: None,
                has_peer_spoken: false,
            };
        };
        let way = &flow.ways[speaker];
        let first = way.isn_in.map(|isn| isn.wrapping_add(1)).filter(|_| way.contiguous() > 0);
        let has_peer_spoken = flow.ways[1 - speaker].contiguous() > 0;
        let is_stamped = flow.ends[speaker].is_stamped(&flow.ends[1 - speaker]);
        let is_alive = is_alive && !flow.is_ended;
        View { is_alive, is_stamped, first, has_peer_spoken }
    }

    /// Where a packet that has left lies, if its octets are under way on a connection that lives.
    pub(crate) fn flight(&self, packet: &Packet<'_>) -> Option<i64> {
        let (key, speaker) = who(packet);
        let flow = self.flows.get(&key).filter(|flow| !flow.reset)?;
        flow.ways[speaker].flight_of(packet)
    }

    /// Of that packet its sender was told an error, about the number `seq`.
    pub(crate) fn quote(&mut self, packet: &Packet<'_>, at: i64, seq: u32) {
        let (key, speaker) = who(packet);
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.ways[speaker].quote(at, seq);
        }
    }

    /// The guard reads `bytes`.
    pub(crate) fn input(&mut self, bytes: &[u8], offload: Offload) {
        self.cause = Cause::default();
        self.call = Call::default();
        let packet = match Packet::read(bytes) {
            Ok(packet) if packet.complete || packet.partial => packet,
            _ => {
                self.bad_sums += 1;
                return;
            }
        };
        let (key, speaker) = who(&packet);
        self.cause = Cause {
            key: Some(key),
            speaker,
            said: Said { timestamps: packet.options.timestamps, flags: packet.flags },
            ..Cause::default()
        };
        self.call.input(speaker, &packet, offload, false);
        if self.restarted && packet.has(SYN) && speaker == 0 {
            // One that it sees begin.
            self.flows.entry(key).or_default();
        }
        let Some(flow) = self.flows.get_mut(&key) else {
            return;
        };
        if packet.has(SYN) && speaker == 0 && flow.reset {
            // The guard has ended it, and it begins anew. The other end may still answer the SYN of before, which
            // is this one if its number is the same.
            let is_same = flow.ways[0].isn_in == Some(packet.seq);
            let ends = core::mem::take(&mut flow.ends).map(End::anew);
            *flow =
                Flow { ends: if is_same { ends } else { Default::default() }, ..Flow::default() };
        }
        let place = flow.ways[speaker].place_in(&packet);
        self.call.input(speaker, &packet, offload, place >= Some(flow.ways[speaker].end_in()));
        self.cause.exact = packet.has(RST) && place == Some(flow.ways[speaker].end_in());
        if let (0, Some(Ok(start))) = (speaker, place.map(usize::try_from)) {
            let end = start + packet.payload.len();
            // One that brings nothing new, like a keep-alive, cuts nothing.
            if end > flow.ways[0].contiguous() {
                flow.cuts.extend([start, end]);
            }
        }
        if packet.has(SYN) {
            flow.ends[speaker].read_syn(&packet);
            flow.ways[speaker].isn_in = Some(packet.seq);
        }
        let over = flow.ways[speaker].is_over(&packet);
        flow.ends[speaker].note(&packet, place > Some(flow.ways[speaker].end_in()), over);
        if !packet.has(RST) {
            flow.ways[speaker].read(&packet);
        }
        if packet.has(ACK) && !packet.has(RST) {
            let shift = flow.shift(speaker, packet.has(SYN));
            self.cause.stale = !flow.ways[1 - speaker].read_ack(&packet, shift, over) || over;
        }
        flow.reset |= packet.has(RST);
    }

    /// The guard acts without a packet.
    pub(crate) fn deadline(&mut self) {
        self.cause = Cause::default();
        self.call = Call::default();
    }

    /// The call is over: everything that it caused has been shown.
    pub(crate) fn called(&mut self, happened: &Happened) -> Result<(), String> {
        let strict = self.mode.inspects();
        if !strict && happened.is_refused() {
            return Err(format!("I33: dropped without inspection: {happened:?}"));
        }
        for flow in self.flows.values_mut() {
            if happened.is_trimmed() {
                flow.ways[self.cause.speaker].trim();
            }
            for end in &mut flow.ends {
                end.called(happened.is_dropped());
            }
            let read = [flow.ways[0].contiguous(), flow.ways[1].contiguous()];
            flow.ways[0].called(read[1], happened, strict);
            flow.ways[1].called(read[0], happened, strict);
        }
        if !strict {
            return Ok(());
        }
        let pending = self.flows.values().flat_map(|flow| &flow.ways).map(Way::pending).sum();
        // Memory is given back when nothing is under way, or with the next that comes.
        self.under_way = self.under_way.max(pending);
        self.call.conclude(happened, self.under_way)
    }

    /// The guard emits `departure`.
    pub(crate) fn output(&mut self, departure: &Departure<'_>) -> Result<(), String> {
        let packet = match Packet::read(departure.packet) {
            // Untouched means untouched: the receiver will drop it.
            Ok(packet) if !packet.complete && !packet.partial && !self.mode.inspects() => {
                return Ok(());
            }
            Err(_) if !self.mode.inspects() => return Ok(()),
            read => read?,
        };
        self.offload(&packet, departure)?;
        let (key, speaker) = who(&packet);
        if departure.leg != [Leg::Inside, Leg::Outside][speaker] {
            return Err(format!("leaves by the {} leg", departure.leg.name()));
        }
        let strict = self.mode.inspects();
        let cause =
            Some(self.cause).filter(|cause| cause.key == Some(key) && cause.speaker == speaker);
        let flow = self.flows.get_mut(&key).filter(|flow| {
            // Before the first SYN of another connection between the same ends, this is of the last.
            let is_begun = flow.ways.iter().any(|way| way.isn_in.is_some());
            is_begun || !self.ended.contains(&key)
        });
        let Some(flow) = flow else {
            if self.restarted && !(packet.has(RST) && speaker == 0) {
                return Err(
                    "I30: a packet of a connection that the guard has not seen begin".into()
                );
            }
            self.call.output(speaker, &packet, None);
            return Ok(());
        };
        let peer = 1 - speaker;
        let said = cause.map(|cause| cause.said);
        let [client, server] = &mut flow.ends;
        let (mine, other) = if speaker == 0 { (client, server) } else { (server, client) };
        mine.check(&packet, said, other, strict)?;
        if packet.has(RST) {
            // Who may have outlived a reset is told once more when the flow is forgotten.
            let again = self.cause.key.is_none() && flow.reset;
            flow.reset = true;
            flow.is_ended |= said.is_none_or(|said| said.flags & RST == 0);
            self.call.reset(again || said.is_some_and(|said| said.flags & RST != 0));
            let exact = strict && cause.is_some_and(|cause| cause.exact);
            return flow.ways[speaker].write_reset(&packet, exact);
        }
        let biggest = departure
            .offload
            .gso_size
            .map_or(packet.payload.len(), |size| usize::from(size).min(packet.payload.len()));
        if biggest > 0 && biggest + packet.options_len > flow.ends[peer].mss {
            return Err(format!(
                "I18: a segment of {biggest} octets and {} of options, but the MSS is {}",
                packet.options_len, flow.ends[peer].mss
            ));
        }
        if packet.has(SYN) {
            flow.ways[speaker].isn_out = Some(packet.seq);
        }
        let before = flow.ways[speaker].left();
        flow.ways[speaker].write(&packet, strict)?;
        self.call.output(speaker, &packet, Some(flow.ways[speaker].left() - before));
        self.call.segment(flow.ends[0].mss.min(flow.ends[1].mss));
        if packet.has(ACK) {
            let shift = flow.shift(speaker, packet.has(SYN));
            let origin = match cause {
                None => Origin::Guard,
                Some(cause) if cause.stale => Origin::Old,
                Some(_) => Origin::Newest,
            };
            flow.ways[peer].write_ack(&packet, shift, origin, strict)?;
        }
        Ok(())
    }

    /// What the virtio header says must be true of the packet.
    fn offload(&self, packet: &Packet<'_>, departure: &Departure<'_>) -> Result<(), String> {
        let offload = departure.offload;
        let right = if offload.partial_checksum { packet.partial } else { packet.complete };
        if !right {
            let partial = offload.partial_checksum;
            return Err(format!("I16: the TCP checksum is wrong (partial: {partial})"));
        }
        if !self.offload && (offload.partial_checksum || offload.gso_size.is_some()) {
            return Err("it asks for offload on a device that has none".into());
        }
        if offload.gso_size.is_some() && !offload.partial_checksum {
            return Err("a super-segment without a partial checksum".into());
        }
        if self.mode.inspects() {
            let parsed = Offload::parse(departure.vnet_header);
            let same = (parsed.partial_checksum, parsed.gso_size, parsed.ecn)
                == (offload.partial_checksum, offload.gso_size, offload.ecn);
            let start = u16::from_ne_bytes([departure.vnet_header[6], departure.vnet_header[7]]);
            if !same || offload.partial_checksum && usize::from(start) != packet.tcp_at {
                return Err(format!("virtio header {:?} for {offload:?}", departure.vnet_header));
            }
            if packet.has(URG) {
                return Err("I37: the urgent flag is not cleared".into());
            }
            if offload.gso_size.is_some() && packet.flags & (SYN | RST) != 0 {
                return Err("a super-segment with SYN or RST".into());
            }
        }
        Ok(())
    }
}

impl Flow {
    /// The window scale of what `speaker` says.
    fn shift(&self, speaker: usize, syn: bool) -> u8 {
        match (self.ends[0].scale, self.ends[1].scale) {
            (Some(_), Some(_)) if !syn => self.ends[speaker].scale.unwrap_or(0),
            _ => 0,
        }
    }

    /// At the end: everything that only the whole streams can tell.
    pub(crate) fn conclude(&self, mode: Mode, judged: &Judged) -> Result<(), String> {
        self.ways[0]
            .conclude(&judged.to_server)
            .map_err(|what| format!("towards the server: {what}"))?;
        self.ways[1]
            .conclude(&judged.to_client)
            .map_err(|what| format!("towards the client: {what}"))?;
        if mode.inspects() {
            for gate in &judged.gates {
                self.ways[0].check_gate(*gate)?;
            }
        }
        Ok(())
    }
}

/// Which connection, and who speaks: 0 the client, 1 the server. Ports do not tell.
pub(crate) fn who(packet: &Packet<'_>) -> (Key, usize) {
    let is_server = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().ends_with(&[SERVER]),
        IpAddr::V6(address) => address.octets().ends_with(&[SERVER]),
    };
    if is_server(packet.target.0) { (packet.source, 0) } else { (packet.target, 1) }
}
