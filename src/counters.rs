//! What is counted: every packet, every drop by its reason, every noteworthy event.
//!
//! A packet is never an error. It passes or it is dropped, and a drop has a [`DropReason`]; every
//! reason and every [`Event`] has a counter, and [`Counters`] prints them all.

use core::fmt;

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $text:literal])+ $variant:ident => $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $text])+ $variant,)+ }

        impl $name {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that `show` prints.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($text),+),)+ }
            }
        }
    };
}

counted! {
    /// Why a packet was dropped.
    DropReason {
        /// Not an IPv4 or IPv6 packet with whole headers and consistent lengths.
        Malformed => "malformed-packet",
        /// The TCP checksum is wrong (RFC 9293 section 3.1).
        BadChecksum => "tcp-bad-checksum",
        /// A fragment that was not put together: it cannot be judged alone.
        Fragment => "ip-fragment",
        /// A fragment that shares octets with another one, and all of its datagram (RFC 5722).
        FragmentOverlap => "ip-fragment-overlap",
        /// A fragment whose datagram was not whole in time.
        FragmentTimeout => "ip-fragment-timeout",
        /// A fragment for which there is no room: too much waits of its sender, or in all.
        FragmentLimit => "ip-fragment-limit",
        /// A fragment that no datagram can contain (RFC 791 section 3.2, RFC 7112, RFC 8200 section 4.5).
        FragmentMalformed => "ip-fragment-malformed",
        /// An ICMP error about a segment that no flow has in flight (RFC 5927 section 4).
        IcmpNotInFlow => "icmp-not-in-flow",
        /// Not TCP: nothing else is routed through the legs.
        NotTcp => "not-tcp",
        /// Neither port is an inspected one.
        NotInspected => "port-not-inspected",
        /// TCP flags that no end sends: none, SYN with FIN or RST, no ACK after the handshake.
        BadFlags => "tcp-bad-flags",
        /// The option list is malformed.
        BadOptions => "tcp-bad-options",
        /// A segment of an unknown connection that is not a SYN (Cisco tcp-not-syn).
        NotSyn => "tcp-not-syn",
        /// It came in on the leg of the other end.
        WrongLeg => "wrong-leg",
        /// The table of flows is full.
        TableFull => "flow-table-full",
        /// It acknowledges octets that were never sent (RFC 9293 section 3.10.7.4).
        BadAck => "tcp-invalid-ack",
        /// It lies outside the receiver's window (RFC 9293 section 3.10.7.4).
        OutOfWindow => "tcp-out-of-window",
        /// A SYN/ACK or an ACK that does not answer the SYN before it.
        BadHandshake => "tcp-bad-handshake",
        /// Payload after the sender's FIN.
        AfterFin => "tcp-data-after-fin",
        /// Too many octets or pieces wait out of order (Cisco tcp-buffer-full).
        BufferFull => "tcp-buffer-full",
        /// The flow was ended by the inspector (Cisco inspect-fail).
        FlowEnded => "flow-ended-by-inspection",
        /// The belt to the worker that owns the flow is full.
        BeltFull => "belt-full",
        /// The other leg would not take the packet: it is down.
        LegDown => "leg-down",
        /// The other leg's queue has no room.
        LegFull => "leg-full",
    }
}

counted! {
    /// Something worth counting that is not a drop.
    Event {
        /// A connection was opened.
        FlowBuilt => "flows-built",
        /// A connection ended and was forgotten.
        FlowEnded => "flows-ended",
        /// A connection was forgotten because nothing happened for too long.
        FlowTimedOut => "flows-timed-out",
        /// A greeting was masked.
        GreetingMasked => "greetings-masked",
        /// A command was refused.
        CommandRefused => "commands-refused",
        /// A lone CR or LF in a command was made a CRLF.
        LineEndMended => "line-ends-mended",
        /// The inspector gave up on a flow and reset both ends.
        InspectionReset => "inspection-resets",
        /// A message was let through, up to its end of mail data.
        MailData => "mail-data-ends",
        /// A segment came ahead of a hole and was kept.
        Absorbed => "segments-absorbed",
        /// Octets were sent again out of the store.
        Replayed => "segments-replayed",
        /// Octets were sent again that their sender believes to have arrived.
        Repaired => "holes-repaired",
        /// A packet was made by the guard: an acknowledgement, a flush or a reset.
        Minted => "packets-minted",
        /// Other octets came for offsets whose octets wait here, and were ignored.
        Inconsistent => "inconsistent-retransmissions",
        /// An option was blanked in a SYN (RFC 9293 section 3.2: NOP).
        OptionCleared => "tcp-options-cleared",
        /// Payload was cut from a SYN.
        SynData => "tcp-syn-data-cleared",
        /// An urgent pointer was cleared (Cisco urgent-flag clear).
        UrgentCleared => "tcp-urgent-cleared",
        /// A packet was put together from its fragments.
        DatagramRebuilt => "ip-datagrams-reassembled",
        /// An ICMP error was translated into the numbers of the one who reads it.
        IcmpTranslated => "icmp-errors-translated",
        /// The segment size in a SYN was lowered (Cisco sysopt connection tcpmss).
        MssClamped => "tcp-mss-clamped",
        /// A packet went to the worker that owns its flow.
        HandedOver => "packets-handed-over",
    }
}

/// The counters of one engine, or the sum of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Packets taken in.
    pub packets_in: u64,
    /// Packets sent out, minted ones included.
    pub packets_out: u64,
    /// Octets of TCP payload taken in.
    pub octets_in: u64,
    /// Flows in the table now.
    pub flows: u64,
    drops: [u64; DropReason::ALL.len()],
    events: [u64; Event::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            packets_in: 0,
            packets_out: 0,
            octets_in: 0,
            flows: 0,
            drops: [0; DropReason::ALL.len()],
            events: [0; Event::ALL.len()],
        }
    }
}

impl Counters {
    /// Counts one drop.
    pub fn dropped(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// Counts one event.
    pub fn happened(&mut self, event: Event) {
        self.events[event as usize] += 1;
    }

    /// How many packets were dropped for `reason`.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// How often `event` happened.
    pub fn events(&self, event: Event) -> u64 {
        self.events[event as usize]
    }

    /// All drops.
    pub fn drops_total(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Adds the counters of another engine.
    pub fn add(&mut self, other: &Self) {
        self.packets_in += other.packets_in;
        self.packets_out += other.packets_out;
        self.octets_in += other.octets_in;
        self.flows += other.flows;
        for (mine, theirs) in self.drops.iter_mut().zip(&other.drops) {
            *mine += theirs;
        }
        for (mine, theirs) in self.events.iter_mut().zip(&other.events) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = [
            ("packets-in", self.packets_in),
            ("packets-out", self.packets_out),
            ("octets-in", self.octets_in),
            ("flows-now", self.flows),
        ];
        writeln!(f, "Totals:")?;
        for (label, value) in totals {
            writeln!(f, "  {label:<36} {value:>12}")?;
        }
        writeln!(f, "Events:")?;
        for event in Event::ALL {
            writeln!(f, "  {:<36} {:>12}", event.label(), self.events(*event))?;
        }
        writeln!(f, "Drops:")?;
        for reason in DropReason::ALL {
            writeln!(f, "  {:<36} {:>12}", reason.label(), self.drops(*reason))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_event_is_printed() {
        let mut counters = Counters::default();
        counters.dropped(DropReason::BadAck);
        counters.happened(Event::CommandRefused);
        let mut sum = counters.clone();
        sum.add(&counters);
        let text = sum.to_string();
        for label in
            DropReason::ALL.iter().map(|r| r.label()).chain(Event::ALL.iter().map(|e| e.label()))
        {
            assert!(text.contains(label), "{label} is not shown");
        }
        assert_eq!((sum.drops(DropReason::BadAck), sum.drops_total()), (2, 2));
        assert_eq!(sum.events(Event::CommandRefused), 2);
    }
}
