//! Every bound of the guard, in one place, with its reason.

use core::time::Duration;

/// Flows in the tables of all engines. A flow without buffered octets takes about 730 octets, its places
/// in the table included (measured: 0.65 GB with a million of them), and 450 when it is folded ([`REST_AFTER`]; 0.41 GB), so that
/// the whole process stays below `FLOWS_MAX` times that, and
/// [`MEMORY_OCTETS`], and what one packet can add to one flow before it is counted.
pub const FLOWS_MAX: usize = 1 << 20;

/// Octets that all flows may hold at a time, their waiting octets, stores and edits: what comes beyond
/// is dropped, and its sender repeats it.
pub const MEMORY_OCTETS: usize = 1 << 30;

/// What one flow may hold of octets in order, whatever others do, as long as the last quarter of the
/// memory lasts, which is kept for that: two super-segments. So 2,000 ordinary sessions go on at a
/// time beside any number of flows that hold all that they can get, and what came early comes again.
pub const FLOW_ALLOWANCE_OCTETS: usize = 128 << 10;

/// The part of the memory that is kept for flows within their allowance: one in so many.
pub const MEMORY_RESERVE_PART: usize = 4;

/// The least memory that may be asked for: below it a single flow could not use its limits.
pub const MEMORY_MIB_MIN: u32 = 64;

/// Half-open connections. Our choice, Cisco has no limit by default: some 130 MB at most, and a flood of
/// 100,000 SYNs a second leaves a client 0.65 s for its handshake before it is forgotten.
pub const EMBRYONIC_MAX: usize = 1 << 16;

/// Connections of one client: no limit, as Cisco has it (`per-client-max 0`).
pub const PER_CLIENT_MAX: usize = 0;

/// Half-open connections of one client. Our choice, Cisco has no limit by default: more than any mail
/// host opens in one round trip.
pub const PER_CLIENT_EMBRYONIC_MAX: usize = 4096;

/// Flows that are looked at in one go when time has passed, so that expiry never stalls a packet for more
/// than some 50 us: a flow that is reset and forgotten takes some 6,000 instructions (`benches/floors`).
pub const LOOKS_MAX: usize = 64;

/// Octets of one direction that may wait: out of order, or for a reply that decides what they are.
/// A Linux receiver offers up to 6 MB; what does not fit is dropped and comes again.
pub const WAITING_OCTETS_MAX: usize = 4 << 20;

/// Octets of one direction that have left, or may leave, and are not yet acknowledged. The
/// receiver's window bounds them in practice; the largest scaled window is 1 GiB.
pub const STORE_OCTETS_MAX: usize = 16 << 20;

/// Buffers of stores that an engine keeps for the next octets, so that a packet costs no allocation: as many
/// as there are packets in a batch come between two uses of one. They are a megabyte at most, beside
/// [`MEMORY_OCTETS`].
pub const SPARE_BUFFERS_MAX: usize = 32;

/// Octets of the largest list of pieces that is kept for the next store.
pub const SPARE_LIST_OCTETS_MAX: usize = 16 << 10;

/// Rooms for a packet that an engine keeps, as long as it has any flow: memory that is given back and asked for again
/// costs a fault for each page of it. They are 16 MiB at most, beside [`MEMORY_OCTETS`].
pub const SPARE_ROOMS_MAX: usize = 256;

/// Octets that need a whole room.
pub const BULK_OCTETS_MIN: usize = 32 << 10;

/// Octets of the smallest one: a command or a reply.
pub const SPARE_OCTETS_MIN: usize = 64;

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

/// Octets of a greeting that stands in the place of the server's: RFC 5321 section 4.5.3.1.5 wants 512 for a
/// whole reply line.
pub const GREETING_TEXT_MAX: usize = 256;

/// Octets of a line of the reply to EHLO that are held until it is whole: RFC 5321 section 4.5.3.1.5 allows 512.
pub const HELD_KEYWORD_OCTETS_MAX: usize = 512;

/// Octets of a line that answers a challenge of AUTH (RFC 4954 section 4).
pub const AUTH_RESPONSE_OCTETS_MAX: usize = 12_288;

/// Octets of a command line that is held until it is whole: what is longer is judged as it is.
pub const HELD_COMMAND_OCTETS_MAX: usize = 2048;

/// Duplicate acknowledgements for one super-segment to a sender without SACK: as many as it has
/// segments, since they set the pace of its recovery (RFC 5681 section 3.2).
pub const DUPLICATES_MAX: u32 = 64;

/// The largest IP packet.
pub const PACKET_OCTETS_MAX: usize = 65_535;

/// Workers that may be asked for.
pub const WORKERS_MAX: u16 = 64;

/// Packets that are read from one leg before the other has its turn.
pub const BATCH_PACKETS_MAX: usize = 64;

/// Glances at a ring in a row before the bell and the state of the interfaces are looked at again.
pub const GLANCES_MAX: u32 = 32;

/// Packets of one worker that may be with others at a time, 64 KiB each. Packets change hands until
/// the kernel has learned which queue a flow belongs to.
pub const BELT_PACKETS_MAX: usize = 256;

/// Orders that wait for one worker.
pub const ORDERS_MAX: usize = 16;

/// Packets that each queue of a leg holds in the kernel. Its default of 500 loses packets with
/// four bulk streams and no offload.
pub const QUEUE_PACKETS_MAX: u16 = 5_000;

/// Octets of a place in the ring of a bridged interface: a frame of 1,500 octets and the kernel's headers. What is
/// longer waits in the socket beside it.
pub const RING_FRAME_OCTETS: usize = 2048;

/// Places in the ring of a bridged interface, 4 MiB for each worker and interface.
pub const RING_FRAMES: usize = 2048;

/// Small packets that are written in one system call: as many as are read at a time.
pub const WAITING_PACKETS_MAX: usize = BATCH_PACKETS_MAX;

/// Octets of a packet that may wait for others, to be written with them. A longer one is not copied.
pub const SMALL_PACKET_OCTETS: usize = 2048;

/// Octets of longer frames, super-segments, that wait in the socket beside the ring, and of what a socket has sent and
/// nobody has taken.
pub const FRAME_OCTETS_WAIT_MAX: i32 = 32 << 20;

/// How often a bridged interface that is down is looked at, since nobody says when it is deleted then. Our choice.
pub const DOWN_LOOK_EVERY: Duration = Duration::from_secs(1);

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

/// How long a path MTU is believed after the last error that named it: ten minutes, as RFC 1191 section
/// 6.3 and RFC 8201 section 4 have it (Linux `mtu_expires`). Paths change, and nobody says when one has
/// grown.
pub const PATH_MTU_LIFE: Duration = Duration::from_secs(600);

/// The segment size when an end names none (RFC 9293 section 3.7.1).
pub const MSS_DEFAULT_IPV4: u16 = 536;

/// The segment size when an end names none (RFC 9293 section 3.7.1).
pub const MSS_DEFAULT_IPV6: u16 = 1220;

/// Duplicate acknowledgements that start a sender's recovery (RFC 5681 section 3.2): more say
/// nothing new to one that has SACK.
pub const DUPLICATES_THAT_COUNT: u32 = 3;

/// The least time that a receiver has to answer before octets that the guard must see through are
/// repeated: twice the round trip, but no less.
pub const REPAIR_AFTER: Duration = Duration::from_millis(2);

/// The most: a sender's own time-out is not far then (RFC 6298 section 2.4).
pub const REPAIR_AFTER_MAX: Duration = Duration::from_millis(500);

/// The longest pause between repeats that nothing answers (RFC 6298 section 2.5).
pub const REPAIR_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Repeats in a row that nothing answers: with the pauses between them that takes more than 100
/// seconds (RFC 9293 section 3.8.3). Then the receiver is gone, and both ends are reset.
pub const REPAIRS_MAX: u32 = 18;

/// Segments that one acknowledgement may draw in repairs.
pub const REPAIR_SEGMENTS_MAX: usize = 16;

/// Spans that a receiver has reported beyond its acknowledgement and that are remembered, as many as
/// may wait here.
pub const REPORTED_SPANS_MAX: usize = 256;

/// Ticks by which a timestamp may be behind and is still not old, as Linux has it
/// (`TCP_PAWS_WINDOW`).
pub const TIMESTAMP_TICKS_BEHIND: i32 = 1;

/// Ticks by which a mere repeat of an acknowledgement may be behind: it was overtaken. Linux allows
/// its time-out, which is never less than 200 ms (`tcp_disordered_ack`).
pub const DISORDERED_ACK_TICKS: i32 = 200;

/// After so long a timestamp says nothing about age (RFC 7323 section 5.5).
pub const TIMESTAMP_LIFE: Duration = Duration::from_secs(24 * 24 * 3600);

/// How far an acknowledgement or a repeat may lie behind, if no larger window was offered: more
/// than the largest unscaled window (netfilter's `MAXACKWINCONST` is 66,000).
pub const BEHIND_MAX: u32 = 66_000;

/// IPv6 extension headers before the TCP header; RFC 8200 section 4.1 knows seven.
pub const EXTENSION_HEADERS_MAX: usize = 8;

/// A connection whose handshake does not end (Cisco SYN Timeout).
pub const EMBRYONIC_TIMEOUT: Duration = Duration::from_secs(30);

/// An idle connection (Cisco `timeout conn 1:00:00`).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// A connection one end of which has closed (Cisco `timeout half-closed 0:10:00`).
pub const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(600);

/// A connection that both ends have closed or one has reset: late repeats still find their numbers.
pub const CLOSED_TIMEOUT: Duration = Duration::from_secs(15);

/// After so long a silence a connection at rest is folded, when the timers look at it: that may take three times as
/// long. A packet to it unfolds it.
pub const REST_AFTER: Duration = Duration::from_secs(10);

/// The flow table gives memory back when it has room for more than this and is mostly empty.
pub const KEPT_CAPACITY_FLOWS: usize = 1024;

/// When three quarters of as many flows have gone, their memory is given back to the kernel.
pub const CROWD_FLOWS_MIN: u64 = 2048;

/// An idle flow keeps room for so many edits and outstanding commands at most.
pub const KEPT_CAPACITY_EDITS: usize = 16;

/// The shortest time-out that may be asked for.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The longest (Cisco `timeout conn 1193:00:00`).
pub const TIMEOUT_MAX: Duration = Duration::from_secs(1193 * 3600);

/// Reports that one call may cause: each octet of mail may match a class of a policy map. What is more is counted.
pub const REPORTS_MAX: usize = 64;

/// Octets of a line that a report quotes: more than the longest address (RFC 5321 section 4.5.3.1.3).
pub const QUOTED_OCTETS_MAX: usize = 320;

/// Of so many packets one is timed.
pub const LATENCY_SAMPLED_ONE_IN: u32 = 64;

/// Reports that wait for the logger: a second's worth of a flood that it could not log anyway.
pub const LOG_REPORTS_MAX: usize = 4096;

/// Lines that wait for one who looks on.
pub const LOG_SUBSCRIBED_MAX: usize = 1024;

/// What the logger may take to send the rest when the guard ends, or until another configuration is in force.
pub const LOG_FLUSH_PATIENCE: Duration = Duration::from_millis(500);

/// Octets that wait for a syslog host over TCP: some two thousand lines.
pub const SYSLOG_BACKLOG_OCTETS_MAX: usize = 256 << 10;

/// How long a connection to a syslog host may take to be made.
pub const SYSLOG_CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The pause before a syslog host is tried again; it doubles each time.
pub const SYSLOG_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest such pause.
pub const SYSLOG_PAUSE_MAX: Duration = Duration::from_secs(60);

/// A request for metrics; Prometheus sends some hundred octets.
pub const HTTP_REQUEST_OCTETS_MAX: usize = 8192;

/// Header fields of one.
pub const HTTP_HEADERS_MAX: usize = 64;

/// How long one may take: others wait meanwhile.
pub const HTTP_PATIENCE: Duration = Duration::from_secs(2);

/// A limit that is reached again and again is logged no more often than this.
pub const LIMIT_LOG_PAUSE: Duration = Duration::from_secs(1);

/// Workers that were told to stop have this long; a round of a busy one takes milliseconds.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Characters of a regular expression of a policy map, as the ASA takes them.
pub const REGEX_TEXT_MAX: usize = 100;

/// Octets of the automaton of one, and of what is needed to build it.
pub const REGEX_OCTETS_MAX: usize = 1 << 20;

/// Connections without inspection that are told from strangers, in each engine.
pub const RELAYED_MAX: usize = 1 << 16;

/// Octets of a password.
pub const PASSWORD_OCTETS_MAX: usize = 127;

/// Interfaces of a configuration.
pub const INTERFACES_MAX: usize = 16;

/// Log hosts.
pub const LOG_HOSTS_MAX: usize = 16;

/// Messages whose severity is set otherwise.
pub const LOG_MESSAGES_MAX: usize = 256;

/// Names of one kind in a configuration: class maps, policy maps, expressions.
pub const NAMES_MAX: usize = 256;

/// Octets of a line of a configuration.
pub const CONFIG_LINE_MAX: usize = 4096;

/// Octets of a configuration.
pub const CONFIG_OCTETS_MAX: usize = 4 << 20;

/// Lines of a configuration of which is told what is wrong with them. A file with more is none, and each costs memory of the
/// guard.
pub const CONFIG_ERRORS_MAX: usize = 100;

/// Lines that a session remembers.
pub const HISTORY_LINES_MAX: usize = 20;

/// Messages that a session is shown at a time.
pub const MONITOR_LINES_MAX: usize = 100;

/// Connections that `show conn` lists, of each worker.
pub const SHOWN_CONNECTIONS_MAX: usize = 1000;

/// Classes of a policy map.
pub const CLASSES_MAX: usize = 64;

/// Boundaries of one message's MIME parts that are told apart; behind more, any line with two hyphens may be one.
pub const BOUNDARIES_MAX: usize = 8;

/// Operators on the Unix socket at a time, each with a thread that was there before the jail closed. More than a
/// crew with its scripts needs; who comes beyond them is told to come again.
pub const CONSOLES_MAX: usize = 16;

/// Operators who come by telnet, apart from those: the ASA has five.
pub const TELNET_CONSOLES_MAX: usize = 5;

/// Who is told to come again keeps a socket until he has read so. Beyond this many the oldest loses it.
pub const TURNED_AWAY_MAX: usize = 64;

/// Octets of a line that an operator types. The ASA takes 512.
pub const CONSOLE_LINE_OCTETS_MAX: usize = 2048;

/// Octets of one such line on the Unix socket: JSON may make six of one, and puts some around them.
pub const CONSOLE_ASK_OCTETS_MAX: usize = 6 * CONSOLE_LINE_OCTETS_MAX + 256;

/// Octets of one answer to an operator: what is longer is cut, and says so. Some 15,000 lines. While it
/// waits for one who does not read, it takes twice the room, so all consoles together some 40 MB.
pub const CONSOLE_TEXT_OCTETS_MAX: usize = 1 << 20;

/// Octets that wait for an operator who does not read: beyond them his next lines wait, too.
pub const CONSOLE_WAITING_OCTETS_MAX: usize = 64 << 10;

/// An operator's socket that takes nothing of what waits for it is closed after so long.
pub const CONSOLE_STALL: Duration = Duration::from_secs(60);

/// How often a session is asked for lines that come by themselves.
pub const CONSOLE_TICK: Duration = Duration::from_millis(200);

/// Who has been idle for longer gives his place away when all are taken; by telnet he loses it in any
/// case (Cisco `telnet timeout 5`).
pub const CONSOLE_IDLE: Duration = Duration::from_secs(300);

/// How long a closed console may take to read the last of it.
pub const CONSOLE_LINGER: Duration = Duration::from_secs(2);

/// Wrong passwords of one source by telnet. Then its connections are closed for a while.
pub const LOGIN_ATTEMPTS_MAX: u32 = 3;

/// That while; an attempt is forgotten after as long. So 10,000 guesses take more than a day.
pub const LOGIN_PAUSE: Duration = Duration::from_secs(30);

/// How long a telnet client may take to type a password.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Sources whose wrong passwords are remembered: the oldest is forgotten.
pub const LOGIN_SOURCES_MAX: usize = 1024;

const _: () = assert!(HELD_REPLY_OCTETS_MAX < MSS_DEFAULT_IPV4 as usize);
const _: () = assert!(FLOW_ALLOWANCE_OCTETS >= 2 * PACKET_OCTETS_MAX);
const _: () = assert!(STORE_OCTETS_MAX > 2 * WAITING_OCTETS_MAX + PACKET_OCTETS_MAX);
const _: () = assert!(FRAGMENT_OCTETS_PER_SOURCE_MAX >= 4 * PACKET_OCTETS_MAX);
const _: () = assert!(FRAGMENTED_DATAGRAMS_MAX > FRAGMENTED_PER_SOURCE_MAX);
