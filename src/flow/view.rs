//! What an operator is shown of a connection.

use core::time::Duration;
use std::sync::Arc;

use super::{Flow, Stage};
use crate::direction::Direction;
use crate::policy::Personality;
use crate::report::Connection;
use crate::smtp::{Phase, Verb};
use crate::stream::Offset;
use crate::time::Instant;

/// A connection as it stands.
#[derive(Debug, Clone)]
pub struct View {
    /// Who with whom, and its number.
    pub connection: Connection,
    /// The device that is shown to it.
    pub personality: Arc<Personality>,
    /// Cisco's flags: U up, I and O octets from either side, a and A SYN sent and answered, f and F FIN of either
    /// side, B opened from outside, M mail data.
    pub flags: String,
    /// How far it has come, in a word.
    pub state: &'static str,
    /// Since the last packet.
    pub idle: Duration,
    /// Since the first one.
    pub uptime: Duration,
    /// After so long a silence it ends.
    pub timeout: Duration,
    /// Octets of payload from the client, and from the server.
    pub octets: (u64, u64),
    /// Times that something was changed in it.
    pub edits: u32,
    /// The command that was refused last: its verb, if it is known by name.
    pub refused: Option<&'static str>,
    /// Octets of memory.
    pub memory: usize,
}

impl Flow {
    /// What an operator is shown of it; `own_memory` is what it takes itself.
    pub fn view(&self, now: Instant, own_memory: usize) -> View {
        let sent =
            |direction: Direction| self.halves[direction].reassembly.end().past(Offset::ZERO);
        let octets = (sent(Direction::ToServer), sent(Direction::ToClient));
        let is_outer = self.connection.client_leg == crate::direction::Leg::Outside;
        let (from_outside, from_inside) = if is_outer { octets } else { (octets.1, octets.0) };
        let fin = |direction: Direction| self.halves[direction].fin_sent;
        let phase = self.session.phase();
        let state = match self.stage {
            Stage::SynSent => "syn-sent",
            Stage::SynReceived => "syn-received",
            Stage::Reset { .. } | Stage::Ended => "closed",
            Stage::Established if fin(Direction::ToServer) || fin(Direction::ToClient) => "closing",
            Stage::Established => match phase {
                Phase::Commands => "commands",
                Phase::AwaitsReply => "awaits reply",
                Phase::MailData => "mail data",
                Phase::AuthResponse => "auth",
                Phase::Tls => "tls",
            },
        };
        let mut flags = String::new();
        let mut flag = |is: bool, letter: char| {
            if is {
                flags.push(letter);
            }
        };
        let is_up = matches!(self.stage, Stage::Established);
        flag(is_up, 'U');
        flag(self.stage == Stage::SynReceived, 'A');
        flag(self.stage == Stage::SynSent, 'a');
        flag(fin(Direction::ToClient), 'f');
        flag(fin(Direction::ToServer), 'F');
        flag(from_outside > 0, 'I');
        flag(from_inside > 0, 'O');
        flag(is_outer, 'B');
        flag(is_up && phase == Phase::MailData, 'M');
        let lifetime = self.lifetime();
        View {
            connection: self.connection,
            personality: self.personality.clone(),
            flags,
            state,
            idle: lifetime.saturating_sub(self.deadline.since(now)),
            uptime: now.since(self.life.born()),
            timeout: lifetime,
            octets,
            edits: self.life.edits,
            refused: self.life.refused.map(|verb| verb.map_or("other", Verb::name)),
            memory: self.memory() + own_memory,
        }
    }
}
