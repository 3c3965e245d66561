//! Every bound of the guard, in one place, with its reason.

use core::time::Duration;

/// Flows in one engine's table. A flow without buffered octets takes about 1 KB.
pub const FLOWS_MAX: usize = 1 << 20;

/// Flows that are looked at in one go when time has passed, so that expiry never stalls packets.
pub const LOOKS_MAX: usize = 256;

/// Octets of one direction that may wait: out of order, or for a reply that decides what they are.
/// A Linux receiver offers up to 6 MB; what does not fit is dropped and comes again.
pub const WAITING_OCTETS_MAX: usize = 4 << 20;

/// Octets of one direction that have left, or may leave, and are not yet acknowledged. The
/// receiver's window bounds them in practice; the largest scaled window is 1 GiB.
pub const STORE_OCTETS_MAX: usize = 16 << 20;

/// Edits of one direction that changed a length and are not yet acknowledged.
pub const EDITS_MAX: usize = 4096;

/// Acknowledged edits that are remembered, so that late repeats and D-SACKs translate exactly.
pub const EDITS_REMEMBERED: usize = 4;

/// Commands of one session whose replies have not come (RFC 2920 sets no limit).
pub const OUTSTANDING_MAX: usize = 4096;

/// Octets by which a reply may be longer than the refusal that it is traded for, and still leave
/// no trace. They are held, and a sender whose window or buffer they fill would never go on, so
/// the bound is far below any of those; replies to NOOP and to unknown commands stay below it.
pub const HELD_REPLY_OCTETS_MAX: usize = 128;

/// Octets of a command's argument; what is longer leaves as blanks. RFC 5321 section 4.5.3.1.4
/// wants 512 octets for a whole line, extensions some more.
pub const ARGUMENT_OCTETS_MAX: usize = 2000;

/// Duplicate acknowledgements owed to a sender without SACK: more than three change nothing but
/// the pace of its recovery (RFC 5681 section 3.2).
pub const OWED_ACKS_MAX: u32 = 64;

/// The largest IP packet.
pub const PACKET_OCTETS_MAX: usize = 65_535;

/// Workers that may be asked for.
pub const WORKERS_MAX: u16 = 64;

/// Packets that are read from one leg before the other has its turn.
pub const BATCH_PACKETS_MAX: usize = 64;

/// Packets of one worker that may be with others at a time, 64 KiB each. Packets change hands until
/// the kernel has learned which queue a flow belongs to.
pub const BELT_PACKETS_MAX: usize = 256;

/// Orders that wait for one worker.
pub const ORDERS_MAX: usize = 16;

/// Packets that each queue of a leg holds in the kernel. Its default of 500 loses packets with
/// four bulk streams and no offload.
pub const QUEUE_PACKETS_MAX: u16 = 5_000;

/// How long the fragments of a datagram wait for the rest (Cisco `fragment timeout 5`): at most 30 s
/// as Linux has it, but what got lost on its way must not keep the sender's share for long.
pub const FRAGMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Datagrams in progress in one engine.
pub const FRAGMENTED_DATAGRAMS_MAX: usize = 1024;

/// Datagrams in progress of one source address: Linux lets 64 others overtake one (`ipfrag_max_dist`).
/// One sender that floods leaves room for sixteen.
pub const FRAGMENTED_PER_SOURCE_MAX: usize = 64;

/// Octets of datagrams in progress in one engine, holes included.
pub const FRAGMENT_OCTETS_MAX: usize = 16 << 20;

/// The same of one source address. Linux gives 4 MB to all of them (`ipfrag_high_thresh`).
pub const FRAGMENT_OCTETS_PER_SOURCE_MAX: usize = 1 << 20;

/// The smallest IPv4 path MTU that is believed (Linux `min_pmtu`).
pub const PATH_MTU_MIN_IPV4: u16 = 552;

/// The smallest IPv6 path MTU (RFC 8200 section 5).
pub const PATH_MTU_MIN_IPV6: u16 = 1280;

/// The segment size when an end names none (RFC 9293 section 3.7.1).
pub const MSS_DEFAULT_IPV4: u16 = 536;

/// The segment size when an end names none (RFC 9293 section 3.7.1).
pub const MSS_DEFAULT_IPV6: u16 = 1220;

/// Duplicate acknowledgements that start a sender's recovery (RFC 5681 section 3.2): more say
/// nothing new to one that has SACK.
pub const DUPLICATES_THAT_COUNT: u32 = 3;

/// The least time that a receiver has to answer before octets that the guard must see through are
/// repeated: twice the round trip, but no less.
pub const REPAIR_AFTER: Duration = Duration::from_millis(10);

/// The most: a sender's own time-out is not far then (RFC 6298 section 2.4).
pub const REPAIR_AFTER_MAX: Duration = Duration::from_millis(500);

/// Repeats in a row that nothing answers.
pub const REPAIRS_MAX: u32 = 6;

/// Waiting spans that are reported to their sender at once, three or four an acknowledgement.
pub const REPORTED_SPANS_MAX: usize = 64;

/// A connection whose handshake does not end (Cisco SYN Timeout).
pub const EMBRYONIC_TIMEOUT: Duration = Duration::from_secs(30);

/// An idle connection (Cisco `timeout conn 1:00:00`).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// A connection one end of which has closed (Cisco `timeout half-closed 0:10:00`).
pub const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(600);

/// A connection that both ends have closed or one has reset: late repeats still find their numbers.
pub const CLOSED_TIMEOUT: Duration = Duration::from_secs(15);

/// The flow table gives memory back when it has room for more than this and is mostly empty.
pub const KEPT_CAPACITY_FLOWS: usize = 1024;

/// When three quarters of as many flows have gone, their memory is given back to the kernel.
pub const CROWD_FLOWS_MIN: u64 = 2048;

/// A store that has emptied gives its memory back above this size.
pub const KEPT_CAPACITY_OCTETS: usize = 16 << 10;

const _: () = assert!(HELD_REPLY_OCTETS_MAX < MSS_DEFAULT_IPV4 as usize);
const _: () = assert!(STORE_OCTETS_MAX > 2 * WAITING_OCTETS_MAX + PACKET_OCTETS_MAX);
const _: () = assert!(FRAGMENT_OCTETS_PER_SOURCE_MAX >= 4 * PACKET_OCTETS_MAX);
const _: () = assert!(FRAGMENTED_DATAGRAMS_MAX > FRAGMENTED_PER_SOURCE_MAX);
