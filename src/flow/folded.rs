//! A connection on which nothing happens.
//!
//! When all that came has left, and all that left was acknowledged, most of what a flow knows of its two
//! directions follows from the little that is kept here. Mail servers keep connections open that are idle for
//! minutes, and there may be a million of them.

use core::net::SocketAddr;
use std::sync::Arc;

use super::end::End;
use super::half::Half;
use super::repair::Repairs;
use super::round_trip::Known;
use super::stand_in::StandIn;
use super::tell::Life;
use super::{Flow, Patience, Stage};
use crate::direction::{ByDirection, Direction, Leg};
use crate::policy::Personality;
use crate::report::Connection;
use crate::smtp::Session;
use crate::stream::{Offset, OffsetMap, Reassembly, Round, Seldom, Store};
use crate::tcp::SeqSpace;
use crate::time::Instant;
use crate::wire::link::Links;

/// What is left of a flow at rest. Who its ends are is known to the table.
#[derive(Debug, Clone)]
pub struct Folded {
    id: u64,
    client_leg: Leg,
    personality: Arc<Personality>,
    timeouts: Patience,
    ends: ByDirection<End>,
    halves: ByDirection<FoldedHalf>,
    session: Session,
    deadline: Instant,
    life: Life,
    links: Option<Box<Links>>,
}

/// What is left of a direction at rest.
#[derive(Debug, Clone)]
struct FoldedHalf {
    space: SeqSpace,
    /// The end of what came, original.
    end: Offset,
    map: OffsetMap,
    stand_in: StandIn,
    /// Octets from there to the right edge of the receiver's window.
    room: u32,
    /// The same of the one that the sender was told.
    told_room: u32,
    told_window: u16,
    round_trip: Known,
}

impl FoldedHalf {
    fn unfold(self) -> Half {
        let Self { space, end, map, stand_in, room, told_room, told_window, round_trip } = self;
        let edited = map.to_edited(end, Round::Down);
        Half {
            space,
            reassembly: Reassembly::from(end),
            map,
            store: Store::from(edited),
            edge: edited + room as usize,
            told_ack: end,
            told_edge: end + told_room as usize,
            told_window,
            stand_in,
            repairs: Repairs::after(round_trip),
            ..Half::default()
        }
    }
}

impl Half {
    /// What it is folded, but for what it hands over then: nothing, if something is on its way or waited for.
    fn at_rest(&self) -> Option<FoldedHalf> {
        let Self { space, reassembly, map, store, fin, fin_sent, fin_acked: _, edge, .. } = self;
        let Self { told_ack, told_edge, told_window, stand_in: _, repairs, .. } = self;
        let end = reassembly.end();
        let edited = map.to_edited(end, Round::Down);
        let is_quiet = fin.is_none()
            && !*fin_sent
            && reassembly.memory() + store.memory() == 0
            && (store.una(), store.sent()) == (edited, edited)
            && *told_ack == end
            && *edge >= edited
            && *told_edge >= end;
        let round_trip = repairs.at_rest().filter(|_| is_quiet)?;
        Some(FoldedHalf {
            space: *space,
            end,
            map: OffsetMap::default(),
            stand_in: StandIn::default(),
            room: u32::try_from(edge.past(edited)).ok()?,
            told_room: u32::try_from(told_edge.past(end)).ok()?,
            told_window: *told_window,
            round_trip,
        })
    }
}

impl Flow {
    /// Folds the flow if it is at rest.
    pub fn fold(&mut self) -> Option<Folded> {
        let is_plain = self.stage == Stage::Established
            && self.judges.is_none()
            && self.path_mtu.is_blank()
            && self.reborn.is_none()
            && !self.is_dropped;
        let (to_server, to_client) =
            (self.halves.to_server.at_rest(), self.halves.to_client.at_rest());
        let (Some(to_server), Some(to_client), true) = (to_server, to_client, is_plain) else {
            return None;
        };
        let mut halves = ByDirection { to_server, to_client };
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (whole, folded) = (&mut self.halves[direction], &mut halves[direction]);
            folded.map = core::mem::take(&mut whole.map);
            folded.stand_in = core::mem::take(&mut whole.stand_in);
        }
        Some(Folded {
            id: self.connection.id,
            client_leg: self.connection.client_leg,
            personality: self.personality.clone(),
            timeouts: self.timeouts,
            ends: ByDirection { to_server: self.ends.to_server, to_client: self.ends.to_client },
            halves,
            session: core::mem::take(&mut self.session),
            deadline: self.deadline,
            life: self.life.clone(),
            links: self.links.take(),
        })
    }
}

impl Folded {
    /// The flow as it was, between these ends.
    pub fn unfold(self, client: SocketAddr, server: SocketAddr) -> Flow {
        let Self { id, client_leg, personality, timeouts, .. } = self;
        let Self { ends, halves, session, deadline, life, links, .. } = self;
        let ByDirection { to_server, to_client } = halves;
        Flow {
            connection: Connection { id, client, server, client_leg },
            personality,
            timeouts,
            stage: Stage::Established,
            ends,
            halves: ByDirection { to_server: to_server.unfold(), to_client: to_client.unfold() },
            session,
            judges: None,
            deadline,
            path_mtu: Seldom::default(),
            reborn: None,
            life,
            is_dropped: false,
            links,
        }
    }

    /// When the flow is to be forgotten if nothing more happens.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}
