//! The whole box in virtual time: hosts, wires and the guard, driven from event to event.

use core::net::IpAddr;
use std::collections::BTreeMap;

use fastrand::Rng;
use mailguard::direction::Leg;
use smoltcp::socket::tcp::State;

use crate::client::{Client, earliest};
use crate::guard::{Departed, Guard};
use crate::host::{self, Build, Host};
use crate::laws::{Key, SERVER, SMTP, who};
use crate::packet::Packet;
use crate::reference::Streams;
use crate::server::Server;
use crate::wire::{Faults, Wire};

/// A run of more events than this goes in circles.
const MOST_EVENTS: u64 = 3_000_000;

/// One way of one wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    ClientToGuard,
    GuardToServer,
    ServerToGuard,
    GuardToClient,
}

impl Lane {
    pub(crate) const ALL: [Self; 4] =
        [Self::ClientToGuard, Self::GuardToServer, Self::ServerToGuard, Self::GuardToClient];
}

/// The address of a host.
pub(crate) fn address(ipv6: bool, last: u8) -> IpAddr {
    if ipv6 {
        [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last].into()
    } else {
        [10, 0, 0, last].into()
    }
}

/// One connection: its two hosts and what runs on them.
pub(crate) struct Session {
    pub(crate) key: Key,
    client_host: Host,
    server_host: Host,
    pub(crate) client: Client,
    pub(crate) server: Server,
    /// When one of the hosts or what runs on them wants to act.
    wake: Option<u64>,
    pub(crate) began: u64,
    /// When both applications had seen the end.
    pub(crate) done: Option<u64>,
}

impl Session {
    /// A client that connects now, and its server.
    pub(crate) fn new(
        now: u64,
        key: Key,
        builds: [&Build; 2],
        client: Client,
        server: Server,
        rng: &mut Rng,
    ) -> Self {
        let to = (address(key.0.is_ipv6(), SERVER), SMTP);
        Self {
            key,
            client_host: Host::connecting(builds[0], key, to, rng.u64(..)),
            server_host: Host::listening(builds[1], to, rng.u64(..)),
            client,
            server,
            wake: Some(now),
            began: now,
            done: None,
        }
    }

    /// Both ends closed as they should.
    fn is_over(&self) -> bool {
        let closed = |host: &Host| matches!(host.state(), State::Closed | State::TimeWait);
        let hosts = closed(&self.client_host) && closed(&self.server_host);
        hosts && self.is_read()
    }

    /// Both ends have read all that there will ever be.
    fn is_read(&self) -> bool {
        self.client.reader.at_end() && self.server.reader.at_end()
    }

    fn due(&self, now: u64) -> bool {
        self.client_host.has_arrivals()
            || self.server_host.has_arrivals()
            || self.wake.is_some_and(|at| at <= now)
    }

    fn run(&mut self, now: u64) {
        loop {
            self.client_host.poll(now);
            let room = self.client_host.write_room();
            let busy = self.client.poll(now, self.client_host.socket(), room);
            if !busy {
                break;
            }
        }
        loop {
            self.server_host.poll(now);
            let room = self.server_host.write_room();
            let busy = self.server.poll(now, self.server_host.socket(), room);
            if !busy {
                break;
            }
        }
        let hosts = earliest(self.client_host.sleep(now), self.server_host.sleep(now));
        let ends = earliest(self.client.wake(now), self.server.wake(now));
        self.wake = earliest(hosts, ends);
        if self.done.is_none() && self.client.reader.eof && self.server.reader.eof {
            self.done = Some(now);
        }
    }

    /// The client or the server gives up, with a reset.
    pub(crate) fn abort(&mut self, client: bool, now: u64) {
        let host = if client { &mut self.client_host } else { &mut self.server_host };
        host.socket().abort();
        self.wake = Some(now);
    }

    /// What went through.
    pub(crate) fn streams(&self) -> Streams<'_> {
        Streams {
            sent: [&self.client.writer.sent, &self.server.writer.sent],
            got: [&self.server.reader.received, &self.client.reader.received],
            cuts: None,
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{:?}: client {:?}, server {:?}\n  {}\n  {}",
            self.key,
            self.client_host.state(),
            self.server_host.state(),
            self.client.describe(),
            self.server.describe()
        )
    }
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) guard: Guard,
    pub(crate) wires: [Wire; 4],
    /// What is on the way, by its arrival; the second number keeps the order of departure.
    queue: BTreeMap<(u64, u64), (Lane, Vec<u8>)>,
    next_event: u64,
    handled: u64,
    pub(crate) active: Vec<Session>,
    pub(crate) over: Vec<Session>,
}

impl World {
    pub(crate) fn new(guard: Guard, faults: &[Faults; 4], rng: &mut Rng) -> Self {
        Self {
            now: 0,
            guard,
            wires: faults.clone().map(|faults| Wire::new(faults, rng.fork())),
            queue: BTreeMap::new(),
            next_event: 0,
            handled: 0,
            active: Vec::new(),
            over: Vec::new(),
        }
    }

    /// Adds a connection that begins now.
    pub(crate) fn begin(&mut self, session: Session) {
        self.guard.laws.begin(session.key);
        self.active.push(session);
    }

    /// Nothing is on the way.
    pub(crate) fn quiet(&self) -> bool {
        self.queue.is_empty()
    }

    fn send(&mut self, lane: Lane, packet: Vec<u8>) {
        for (at, bytes) in self.wires[lane as usize].send(self.now, packet) {
            let id = self.next_event;
            self.next_event += 1;
            self.queue.insert((at.max(self.now), id), (lane, bytes));
        }
    }

    fn send_all(&mut self, departed: Departed) {
        for (leg, packet) in departed {
            let lane = match leg {
                Leg::Inside => Lane::GuardToServer,
                Leg::Outside => Lane::GuardToClient,
            };
            self.send(lane, packet);
        }
    }

    /// Goes on until every session is over, or `deadline` has come.
    pub(crate) fn run(&mut self, deadline: u64) -> Result<(), String> {
        while !self.active.is_empty() {
            if !self.step(deadline)? {
                // smoltcp does not repeat a FIN in CLOSING.
                if self.active.iter().all(Session::is_read) {
                    self.over.append(&mut self.active);
                    break;
                }
                let stuck: Vec<_> = self.active.iter().map(Session::describe).collect();
                return Err(format!("not over by then: {}", stuck.join("\n")));
            }
        }
        Ok(())
    }

    /// Goes on until nothing is on the way and the guard has forgotten all, or `deadline`.
    pub(crate) fn settle(&mut self, deadline: u64) -> Result<(), String> {
        while self.step(deadline)? {}
        Ok(())
    }

    /// Goes to the next event; false if there is none up to `deadline`.
    pub(crate) fn step(&mut self, deadline: u64) -> Result<bool, String> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let sessions = self.active.iter().filter_map(|session| session.wake).min();
        let next = earliest(earliest(queued, sessions), self.guard.wake());
        let Some(next) = next.filter(|next| *next <= deadline) else {
            return Ok(false);
        };
        self.handled += 1;
        if self.handled > MOST_EVENTS {
            return Err(format!("{MOST_EVENTS} events and no end"));
        }
        self.now = self.now.max(next);
        host::set_clock(self.now);
        while let Some(first) = self.queue.first_entry()
            && first.key().0 <= self.now
        {
            let (lane, bytes) = first.remove();
            self.deliver(lane, bytes)?;
        }
        if self.guard.wake().is_some_and(|at| at <= self.now) {
            let departed = self.guard.tick(self.now)?;
            self.send_all(departed);
        }
        self.run_hosts();
        Ok(true)
    }

    fn deliver(&mut self, lane: Lane, bytes: Vec<u8>) -> Result<(), String> {
        let leg = match lane {
            Lane::ClientToGuard => Leg::Outside,
            Lane::ServerToGuard => Leg::Inside,
            Lane::GuardToServer | Lane::GuardToClient => {
                self.deliver_to_host(lane, bytes);
                return Ok(());
            }
        };
        let departed = self.guard.arrive(self.now, leg, bytes)?;
        self.send_all(departed);
        Ok(())
    }

    fn deliver_to_host(&mut self, lane: Lane, bytes: Vec<u8>) {
        let to_server = lane == Lane::GuardToServer;
        // smoltcp would act on a packet that is not whole; a kernel does not hand it up.
        let Ok(read) = Packet::read(&bytes) else { return };
        let (key, _) = who(&read);
        let session = self.active.iter_mut().find(|session| session.key == key);
        let Some(session) = session else { return };
        let host = if to_server { &mut session.server_host } else { &mut session.client_host };
        host.arrive(bytes);
    }

    fn run_hosts(&mut self) {
        let mut at = 0;
        while at < self.active.len() {
            let session = &mut self.active[at];
            if !session.due(self.now) {
                at += 1;
                continue;
            }
            session.run(self.now);
            let mut left = Vec::new();
            while let Some(packet) = session.client_host.depart() {
                left.push((Lane::ClientToGuard, packet));
            }
            while let Some(packet) = session.server_host.depart() {
                left.push((Lane::ServerToGuard, packet));
            }
            if session.is_over() {
                let mut session = self.active.remove(at);
                session.done.get_or_insert(self.now);
                self.over.push(session);
            } else {
                at += 1;
            }
            for (lane, packet) in left {
                self.send(lane, packet);
            }
        }
    }
}
