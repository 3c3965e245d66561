//! One TCP connection seen from the middle: two halves, one SMTP session, the walk of a segment.
//!
//! Read first: RFC 9293 sections 3.4 and 3.10.7, RFC 7323, RFC 2018.
//!
//! Must not know: other flows, devices, clocks.

mod accept;
mod end;
mod folded;
mod half;
mod handshake;
mod icmp;
mod memory;
mod recovery;
mod repair;
mod round_trip;
mod send;
mod spare;
mod stand_in;
mod tell;
mod view;
mod walk;
mod watch;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use crate::counters::{Counters, DropReason, Event};
use crate::direction::{ByDirection, Direction, Leg};
use crate::limits;
use crate::policy::{Personality, Timeouts};
use crate::report::{Connection, Ending, Reports, Severity, What};
use crate::smtp::Session;
use crate::stream::{Offset, Seldom};
use crate::time::Instant;
use crate::wire::link::{Arrival, Link, Links};
use crate::wire::outbox::Outbox;
use crate::wire::packet::{Headers, flags};

use end::End;
pub use folded::Folded;
use half::Half;
use handshake::Reborn;
use icmp::PathMtus;
pub use memory::Room;
use spare::Judges;
pub use spare::Spare;
use tell::Life;
pub use view::View;

/// What a call into a flow works with: the time, and where results go.
#[derive(Debug)]
pub struct Context<'a> {
    /// Now.
    pub now: Instant,
    /// Where packets leave.
    pub outbox: &'a mut Outbox,
    /// Where things are counted.
    pub counters: &'a mut Counters,
    /// Where things are told.
    pub reports: &'a mut Reports,
    /// What it needs for a while.
    pub spare: &'a mut Spare,
    /// Whether the device takes super-segments and partial checksums.
    pub offload: bool,
    /// What the flow may take of the memory that all share.
    pub room: Room,
    /// The packet in hand.
    pub hand: Hand,
}

impl<'a> Context<'a> {
    /// Of a call that is about no packet: the flow may take no more memory.
    pub fn without_packet(
        now: Instant,
        outbox: &'a mut Outbox,
        counters: &'a mut Counters,
        reports: &'a mut Reports,
        spare: &'a mut Spare,
        offload: bool,
    ) -> Self {
        let (room, hand) = (Room::default(), Hand::default());
        Self { now, outbox, counters, reports, spare, offload, room, hand }
    }
}

/// How the packet came that a call is about, if it is about one.
#[derive(Debug, Default, Clone, Copy)]
pub struct Hand {
    /// Payload octets of each segment that it stands for, if it is a super-segment.
    pub gso_size: Option<u16>,
    /// Octets of the buffer that it came in, if a store may go on to hold that.
    pub buffer: usize,
    /// The direction whose store has been lent octets of it.
    pub loan: Option<Direction>,
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client's SYN has passed.
    SynSent,
    /// The server's SYN/ACK has passed.
    SynReceived,
    /// The handshake is over.
    Established,
    /// An end has sent a reset that the other believes, if it gets there and nothing before it is still
    /// on its way.
    Reset {
        /// The direction in which it went.
        by: Direction,
        /// Its number, edited.
        at: Offset,
    },
    /// The inspector gave up; both ends were told.
    Ended,
}

/// The time-outs in milliseconds, for a [`Duration`] takes 16 octets.
#[derive(Debug, Clone, Copy)]
struct Patience {
    embryonic: u32,
    conn: u32,
    half_closed: u32,
}

impl Patience {
    fn new(timeouts: Timeouts) -> Self {
        let short = |long: Duration| u32::try_from(long.as_millis()).unwrap_or(u32::MAX);
        let Timeouts { embryonic, conn, half_closed } = timeouts;
        Self { embryonic: short(embryonic), conn: short(conn), half_closed: short(half_closed) }
    }

    fn long(millis: u32) -> Duration {
        Duration::from_millis(millis.into())
    }
}

const _: () = assert!(limits::TIMEOUT_MAX.as_millis() <= u32::MAX as u128);

/// One connection.
#[derive(Debug)]
pub struct Flow {
    connection: Connection,
    personality: Arc<Personality>,
    timeouts: Patience,
    stage: Stage,
    /// The end that sends in a direction.
    ends: ByDirection<End>,
    /// The octets that travel in a direction.
    halves: ByDirection<Half>,
    session: Session,
    /// Absent while they are at rest.
    judges: Option<Box<Judges>>,
    deadline: Instant,
    /// The smallest MTU that ICMP errors have lately named for a direction.
    path_mtu: Seldom<PathMtus>,
    /// A SYN that passed while the connection lives. When the server answers it, the old
    /// connection was dead and this is the new one.
    reborn: Option<Box<Reborn>>,
    /// What it tells of itself.
    life: Life,
    /// The connection was dropped (`drop-connection`): nobody is told, whatever they ask.
    is_dropped: bool,
    /// The link-layer headers of packets that were believed, where there is a link layer.
    links: Option<Box<Links>>,
}

impl Flow {
    /// A connection that `syn`, a SYN without ACK, opens from `leg`. The SYN itself is still to be
    /// handed to [`Flow::handle`]. `id` is its number in reports.
    pub fn new(
        id: u64,
        syn: &Headers,
        leg: Leg,
        personality: Arc<Personality>,
        timeouts: Timeouts,
        now: Instant,
    ) -> Self {
        Self {
            connection: Connection {
                id,
                client: syn.source,
                server: syn.destination,
                client_leg: leg,
            },
            personality,
            timeouts: Patience::new(timeouts),
            stage: Stage::SynSent,
            ends: ByDirection::default(),
            halves: ByDirection::default(),
            session: Session::default(),
            judges: None,
            deadline: now + timeouts.embryonic,
            path_mtu: Seldom::default(),
            reborn: None,
            life: Life::new(now),
            is_dropped: false,
            links: None,
        }
    }

    /// The link-layer headers of what leaves without a packet that causes it.
    pub fn links(&self) -> Links {
        self.links.as_deref().copied().unwrap_or_default()
    }

    /// Those of what leaves because of a packet: it goes on with its own, and answers go where the other
    /// end was heard last, for the packet may be anybody's.
    pub fn links_for(&self, arrival: &Arrival) -> Links {
        let mut links = Links::of(arrival);
        if let Some(known) = self.links.as_deref() {
            links.set(arrival.leg, known.by(arrival.leg));
        }
        links
    }

    /// A packet was believed: what travels its way has its header from now on.
    pub fn heard_from(&mut self, arrival: &Arrival) {
        match &mut self.links {
            Some(known) => known.set(!arrival.leg, arrival.link),
            None if arrival.link == Link::NONE => {}
            None => self.links = Some(Box::new(Links::of(arrival))),
        }
    }

    /// When the flow is to be forgotten if nothing more happens.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When nothing will have come on the flow for so long, unless something comes.
    pub fn rests_at(&self, after: Duration) -> Instant {
        self.deadline - self.lifetime().saturating_sub(after)
    }

    /// When the flow wants to be looked at next: [`Flow::ring`] it, or forget it.
    pub fn next_look(&self) -> Instant {
        let alarms = [self.halves.to_server.repairs.alarm(), self.halves.to_client.repairs.alarm()];
        alarms.into_iter().flatten().fold(self.deadline, Instant::min)
    }

    /// Whether both ends have closed, or one has reset.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Reset { .. } | Stage::Ended) || self.is_closed()
    }

    /// Whether a SYN may begin a new connection in the place of this one at once. After a reset that is
    /// the server's to say: it may not have believed it, and live on.
    pub fn is_replaceable(&self) -> bool {
        let was_never_answered = !self.ends.to_client.is_known();
        self.is_over() && (!matches!(self.stage, Stage::Reset { .. }) || was_never_answered)
    }

    /// Whether an end has reset and the other may live on, for it may not have believed that. Where the
    /// server has said nothing, nobody needs to be told, least of all who never asked.
    pub fn may_outlive_reset(&self) -> bool {
        let has_begun = self.halves.to_client.store.sent() > Offset::ZERO;
        matches!(self.stage, Stage::Reset { .. }) && has_begun
    }

    /// Whether the handshake has ended.
    pub fn is_established(&self) -> bool {
        self.stage == Stage::Established
    }

    /// Whether the server has answered, and the client not yet.
    pub fn is_answered(&self) -> bool {
        self.stage == Stage::SynReceived
    }

    /// Whether both ends have closed and know of each other.
    pub fn is_closed(&self) -> bool {
        self.halves.to_server.fin_acked && self.halves.to_client.fin_acked
    }

    /// The end to which the connection was opened.
    pub fn server(&self) -> SocketAddr {
        self.connection.server
    }

    /// The end that opened the connection.
    pub fn client(&self) -> SocketAddr {
        self.connection.client
    }

    /// Source and destination of what travels in `direction`.
    fn endpoints(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        match direction {
            Direction::ToServer => (self.connection.client, self.connection.server),
            Direction::ToClient => (self.connection.server, self.connection.client),
        }
    }

    /// Which way a packet of this connection travels.
    fn direction(&self, headers: &Headers) -> Direction {
        if headers.source == self.connection.client {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    /// The leg by which packets in `direction` leave.
    fn leg(&self, direction: Direction) -> Leg {
        match direction {
            Direction::ToServer => !self.connection.client_leg,
            Direction::ToClient => self.connection.client_leg,
        }
    }

    fn has_timestamps(&self) -> bool {
        self.ends.to_server.timestamps.is_some() && self.ends.to_client.timestamps.is_some()
    }

    fn has_sack(&self) -> bool {
        self.ends.to_server.sack && self.ends.to_client.sack
    }

    /// The shift of the windows that travel in `direction` (RFC 7323 section 2.2: both or none).
    fn window_shift(&self, direction: Direction) -> u8 {
        self.ends[!direction].window_shift.and(self.ends[direction].window_shift).unwrap_or(0)
    }

    /// Octets of payload in a full segment that travels in `direction` with `options` octets of
    /// TCP options. Both ends' announcements count: each knows the MTU of its own wire; and so does
    /// what ICMP said of the path.
    fn segment_size(&self, direction: Direction, options: usize) -> u16 {
        let mss = self.ends[direction].mss.min(self.ends[!direction].mss);
        let size = mss.saturating_sub((options as u16).min(40)).max(1);
        size.min(self.path_room(direction, options))
    }

    /// Takes one packet of this connection that came in on `leg`. The error is why it was dropped.
    pub fn handle(
        &mut self,
        leg: Leg,
        headers: &Headers,
        packet: &mut [u8],
        context: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let direction = self.direction(headers);
        if leg == self.leg(direction) {
            return Err(DropReason::WrongLeg);
        }
        self.forget_old_paths(context.now);
        if self.stage == Stage::Ended {
            if !self.is_dropped {
                self.answer_with_reset(direction, headers, context);
            }
            return Err(DropReason::FlowEnded);
        }
        if headers.has(flags::URG) {
            context.counters.happened(Event::UrgentCleared);
            let what = || What::UrgentCleared(direction);
            context.reports.add(Severity::Warnings, Some(&self.connection), what);
        }
        if headers.has(flags::SYN) {
            self.handle_syn(direction, headers, packet, context)?;
            if self.stage == Stage::Established {
                // It may be anybody's: it keeps nothing alive.
                return Ok(());
            }
        } else {
            let headers = self.clear_options(headers, packet, context);
            if headers.has(flags::RST) {
                self.handle_reset(direction, &headers, packet, context)?;
            } else {
                let handled = self.handle_segment(direction, &headers, packet, context);
                if handled == Err(DropReason::BadHandshake) {
                    self.answer_half_open(direction, &headers, context);
                }
                handled?;
            }
        }
        if self.is_over() && !matches!(self.stage, Stage::Reset { .. }) {
            self.halves.to_server.free();
            self.halves.to_client.free();
        }
        self.deadline = context.now + self.lifetime();
        Ok(())
    }

    /// Ends the connection on the operator's word.
    pub fn clear(&mut self, context: &mut Context<'_>) {
        self.end(Ending::Cleared, context);
    }

    /// Nothing has happened for too long: both ends are told, and once more if they still ask.
    pub fn time_out(&mut self, context: &mut Context<'_>) {
        self.end(self.ending_by_silence(), context);
    }

    fn end(&mut self, ending: Ending, context: &mut Context<'_>) {
        if !self.is_over() {
            self.life.ending = Some(ending);
            self.forget(context);
            self.stage = Stage::Ended;
            self.halves.to_server.free();
            self.halves.to_client.free();
            self.deadline = context.now + self.lifetime();
        }
    }

    /// The guard has failed on this connection: of what is known only the two ends can be relied on.
    /// Nothing passes any more, and who still speaks is reset at the number that it says it expects.
    pub fn give_up(&mut self, last: Option<&Headers>, context: &mut Context<'_>) {
        self.stage = Stage::Ended;
        self.life.ending = Some(Ending::Fault);
        self.halves = ByDirection::default();
        self.session = Session::default();
        self.judges = None;
        self.reborn = None;
        self.deadline = context.now + self.lifetime();
        if let Some(last) = last {
            self.answer_with_reset(self.direction(last), last, context);
        }
    }

    /// The connection is forgotten though its ends may live: both are told.
    pub fn forget(&mut self, context: &mut Context<'_>) {
        if self.stage != Stage::Ended {
            self.mint_reset(Direction::ToServer, context);
            self.mint_reset(Direction::ToClient, context);
        }
    }

    fn lifetime(&self) -> Duration {
        let is_half_closed = self.halves.to_server.fin_sent || self.halves.to_client.fin_sent;
        match self.stage {
            _ if self.is_over() => limits::CLOSED_TIMEOUT,
            Stage::SynSent | Stage::SynReceived => Patience::long(self.timeouts.embryonic),
            _ if is_half_closed => Patience::long(self.timeouts.half_closed),
            Stage::Established | Stage::Reset { .. } | Stage::Ended => {
                Patience::long(self.timeouts.conn)
            }
        }
    }
}
