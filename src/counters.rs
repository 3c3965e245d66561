//! What is counted: every packet, every drop by its reason, every noteworthy event.
//!
//! A packet is never an error. It passes or it is dropped, and a drop has a [`DropReason`]; every
//! reason and every [`Event`] has a counter, and [`Counters`] prints them all.

use core::fmt;

/// Verbs that are counted each for itself, and one place for all others.
pub const COUNTED_VERBS_MAX: usize = 40;

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
        /// TCP flags that no end sends: none, SYN with FIN or RST, no ACK after the handshake.
        BadFlags => "tcp-bad-flags",
        /// The option list is malformed.
        BadOptions => "tcp-bad-options",
        /// An IP option that routes, or that a receiver may refuse (RFC 791, RFC 8200 section 4.2).
        IpOptions => "ip-options",
        /// An IPv6 routing header of type 0, or one that is not done (RFC 5095).
        IpRoutingHeader => "ip-routing-header",
        /// An authentication header: a rewritten packet would fail it (RFC 4302).
        IpAuthentication => "ip-authentication-header",
        /// An address that no host has, or source and destination are the same.
        IpMartian => "ip-martian",
        /// TTL or hop limit is used up (RFC 1812 section 5.3.1).
        IpTtlExpired => "ip-ttl-expired",
        /// It is signed with MD5 or TCP-AO: it cannot be rewritten (RFC 2385, RFC 5925).
        Md5 => "tcp-md5",
        /// A SYN that adds a path to another connection (RFC 8684 section 3.2).
        MptcpJoin => "mptcp-join",
        /// Its timestamp is older than the receiver's TS.Recent (RFC 7323 section 5.3).
        Paws => "tcp-paws",
        /// It has no timestamps, although the ends have agreed on them (RFC 7323 section 3.2).
        TimestampMissing => "tcp-timestamp-missing",
        /// A segment of an unknown connection that is not a SYN (Cisco tcp-not-syn).
        NotSyn => "tcp-not-syn",
        /// It came in on the leg of the other end.
        WrongLeg => "wrong-leg",
        /// The table of flows is full.
        TableFull => "flow-table-full",
        /// It acknowledges octets that were never sent (RFC 9293 section 3.10.7.4), or too long ago
        /// (RFC 5961 section 5.2).
        BadAck => "tcp-invalid-ack",
        /// It lies outside the receiver's window (RFC 9293 section 3.10.7.4).
        OutOfWindow => "tcp-out-of-window",
        /// A SYN/ACK or an ACK that does not answer the SYN before it.
        BadHandshake => "tcp-bad-handshake",
        /// Payload after the sender's FIN.
        AfterFin => "tcp-data-after-fin",
        /// A FIN that contradicts octets or a FIN that came before.
        BadFin => "tcp-bad-fin",
        /// Too many octets or pieces wait out of order (Cisco tcp-buffer-full).
        BufferFull => "tcp-buffer-full",
        /// All flows together hold as much as they may, and this one more than its allowance.
        MemoryFull => "memory-full",
        /// The client has as many connections as it may (Cisco per-client-max).
        PerClientMax => "per-client-max",
        /// The client has as many half-open connections as it may (Cisco per-client-embryonic-max).
        PerClientEmbryonicMax => "per-client-embryonic-max",
        /// The flow was ended by the inspector (Cisco inspect-fail).
        FlowEnded => "flow-ended-by-inspection",
        /// The belt to the worker that owns the flow is full.
        BeltFull => "belt-full",
        /// The other leg would not take the packet: it is down.
        LegDown => "leg-down",
        /// The other leg's queue has no room.
        LegFull => "leg-full",
        /// It is longer than the other interface takes (MTU).
        LongerThanMtu => "longer-than-mtu",
        /// The kernel had no room for a frame that came in: more came than was read.
        RingFull => "ring-full",
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
        /// The oldest half-open connection was forgotten for a new one.
        EmbryonicForgotten => "embryonic-forgotten",
        /// The guard failed on a flow, and reset both ends: a bug, to be reported.
        FlowPanic => "flow-panics",
        /// A greeting was masked.
        GreetingMasked => "greetings-masked",
        /// A command was refused.
        CommandRefused => "commands-refused",
        /// A line of a reply to EHLO was masked or removed.
        KeywordHidden => "keywords-hidden",
        /// A character of a mail address became a space (Cisco message 108002).
        AddressBlanked => "address-characters-blanked",
        /// A CR, LF or NUL that should not be there became a space.
        OctetBlanked => "stray-octets-blanked",
        /// TLS began: the rest of the connection is not inspected (Cisco message 108007).
        TlsStarted => "tls-started",
        /// A client that spoke before the greeting was reset.
        EarlyTalk => "early-talkers",
        /// A client that did not wait for a reply where it has to was reset (RFC 2920).
        UnauthorizedPipelining => "unauthorized-pipelining",
        /// Plain text behind STARTTLS or the reply to it ended the connection (CVE-2011-0411).
        StartTlsInjection => "starttls-injections",
        /// A CR, LF or NUL that should not be there ended the connection.
        StrayOctet => "stray-octet-resets",
        /// BDAT without a size that everybody reads alike ended the connection (RFC 3030 section 2).
        BadChunkSize => "bad-chunk-sizes",
        /// A class of the policy map matched and ended the connection (Cisco message 108004).
        ClassMatched => "map-classes-matched",
        /// A class of the policy map matched and only logs (Cisco message 108005).
        ClassLogged => "map-classes-logged",
        /// Something waited for the rate limit of a class of the policy map.
        RateLimited => "map-rate-limited",
        /// A message was longer than its SIZE has declared (Cisco message 108006).
        SizeViolated => "size-violations",
        /// A parameter of the policy map ended the connection: mail-relay, special-character.
        ParameterMatched => "map-parameters-matched",
        /// A parameter of the policy map matched and only logs.
        ParameterLogged => "map-parameters-logged",
        /// A reply showed that the server had seen what the guard had not (SMTP smuggling).
        ServerDisagrees => "server-disagreements",
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
        /// A receiver was silent for too long with octets that the guard had promised to it.
        ReceiverGone => "receivers-gone",
        /// A packet was made by the guard: an acknowledgement, a flush or a reset.
        Minted => "packets-minted",
        /// Other octets came for offsets whose octets wait here, and were ignored.
        Inconsistent => "inconsistent-retransmissions",
        /// An option that was not agreed on, or that the guard cannot honour, was blanked (RFC 9293
        /// section 3.2: NOP).
        OptionCleared => "tcp-options-cleared",
        /// Payload was cut from a SYN.
        SynData => "tcp-syn-data-cleared",
        /// Reserved bits were cleared, that of AccECN included (RFC 9293 section 3.1).
        ReservedCleared => "tcp-reserved-cleared",
        /// Octets beyond the window that their sender was offered were cut.
        WindowTrimmed => "tcp-window-trimmed",
        /// An IPv4 option or the reserved flag was blanked.
        IpCleared => "ip-header-cleared",
        /// A TTL or hop limit was raised to the highest that its sender has shown.
        TtlRaised => "ip-ttl-raised",
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
        /// A frame that is not the guard's business passed the bridge as it came.
        FrameRelayed => "frames-relayed",
    }
}

impl DropReason {
    /// Whether it says that a limit was reached.
    pub const fn is_limit(self) -> bool {
        matches!(
            self,
            Self::TableFull
                | Self::BufferFull
                | Self::MemoryFull
                | Self::PerClientMax
                | Self::PerClientEmbryonicMax
                | Self::BeltFull
                | Self::LegFull
                | Self::RingFull
        )
    }
}

impl Event {
    /// Whether it says that a limit was reached, or that something is wrong with the guard.
    pub const fn is_limit(self) -> bool {
        matches!(self, Self::EmbryonicForgotten | Self::FlowPanic)
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
    /// Those of them that are half-open.
    pub half_open: u64,
    /// The most flows that there have been at a time.
    pub flows_peak: u64,
    /// Octets that they hold.
    pub octets_held: u64,
    drops: [u64; DropReason::ALL.len()],
    events: [u64; Event::ALL.len()],
    refusals: [u64; COUNTED_VERBS_MAX],
    limits_reached: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            packets_in: 0,
            packets_out: 0,
            octets_in: 0,
            flows: 0,
            half_open: 0,
            flows_peak: 0,
            octets_held: 0,
            drops: [0; DropReason::ALL.len()],
            events: [0; Event::ALL.len()],
            refusals: [0; COUNTED_VERBS_MAX],
            limits_reached: 0,
        }
    }
}

impl Counters {
    /// Counts one drop.
    pub fn dropped(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
        self.limits_reached += u64::from(reason.is_limit());
    }

    /// Counts one event.
    pub fn happened(&mut self, event: Event) {
        self.events[event as usize] += 1;
        self.limits_reached += u64::from(event.is_limit());
    }

    /// Counts a refusal of the verb of that number, or of one that has none.
    pub fn refused(&mut self, verb: Option<usize>) {
        let others = COUNTED_VERBS_MAX - 1;
        self.refusals[verb.unwrap_or(others).min(others)] += 1;
    }

    /// How often the verb of that number was refused, or one that has none.
    pub fn refusals(&self, verb: Option<usize>) -> u64 {
        let others = COUNTED_VERBS_MAX - 1;
        self.refusals[verb.unwrap_or(others).min(others)]
    }

    /// How many packets were dropped for `reason`.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// How often `event` happened.
    pub fn events(&self, event: Event) -> u64 {
        self.events[event as usize]
    }

    /// How often any limit was reached.
    pub fn limits_reached(&self) -> u64 {
        self.limits_reached
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
        self.half_open += other.half_open;
        self.flows_peak += other.flows_peak;
        self.octets_held += other.octets_held;
        self.limits_reached += other.limits_reached;
        for (mine, theirs) in self.drops.iter_mut().zip(&other.drops) {
            *mine += theirs;
        }
        for (mine, theirs) in self.events.iter_mut().zip(&other.events) {
            *mine += theirs;
        }
        for (mine, theirs) in self.refusals.iter_mut().zip(&other.refusals) {
            *mine += theirs;
        }
    }
}

impl Counters {
    /// Takes off what was counted before. What is there now stays.
    pub fn subtract(&mut self, before: &Self) {
        let take = |mine: &mut u64, theirs: &u64| *mine = mine.saturating_sub(*theirs);
        take(&mut self.packets_in, &before.packets_in);
        take(&mut self.packets_out, &before.packets_out);
        take(&mut self.octets_in, &before.octets_in);
        self.drops.iter_mut().zip(&before.drops).for_each(|(mine, theirs)| take(mine, theirs));
        self.events.iter_mut().zip(&before.events).for_each(|(mine, theirs)| take(mine, theirs));
        self.refusals
            .iter_mut()
            .zip(&before.refusals)
            .for_each(|(mine, theirs)| take(mine, theirs));
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = [
            ("packets-in", self.packets_in),
            ("packets-out", self.packets_out),
            ("octets-in", self.octets_in),
            ("flows-now", self.flows),
            ("half-open-now", self.half_open),
            ("octets-held-now", self.octets_held),
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
