//! A syslog host over TCP: connected in the background, reconnected with growing pauses, never waited for.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{ErrorKind, Result};
use std::mem::MaybeUninit;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::limits::{
    SYSLOG_BACKLOG_OCTETS_MAX, SYSLOG_CONNECT_PATIENCE, SYSLOG_PAUSE_MAX, SYSLOG_PAUSE_MIN,
};
use crate::time::Instant;

/// How often a socket is looked at that cannot go on at once.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
enum State {
    /// No connection; the next try is due then.
    Down(Instant),
    /// A connection is being made, and given up then.
    Connecting(Socket, Instant),
    Up(Socket),
}

/// One host.
#[derive(Debug)]
pub(super) struct TcpHost {
    address: SocketAddr,
    state: State,
    pause: Duration,
    /// Whole lines, but for the first, of which a part may have left.
    backlog: VecDeque<u8>,
    /// A part of the first line has left.
    is_torn: bool,
    /// Lines that did not get there.
    lost: u64,
}

impl TcpHost {
    pub(super) fn new(address: SocketAddr, now: Instant) -> Self {
        Self {
            address,
            state: State::Down(now),
            pause: SYSLOG_PAUSE_MIN,
            backlog: VecDeque::new(),
            is_torn: false,
            lost: 0,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a line, now or later.
    pub(super) fn put(&mut self, now: Instant, line: &str) {
        if self.backlog.len() + line.len() >= SYSLOG_BACKLOG_OCTETS_MAX {
            self.lost += 1;
        } else {
            self.backlog
                .extend(line.bytes().map(|octet| if octet == b'\n' { b' ' } else { octet }));
            self.backlog.push_back(b'\n');
        }
        self.drive(now);
    }

    /// Does what can be done now.
    pub(super) fn drive(&mut self, now: Instant) {
        match &self.state {
            State::Down(until) if now >= *until => self.connect(now),
            State::Connecting(socket, until) => {
                let (failed, is_up) = (socket.take_error(), socket.peer_addr().is_ok());
                match failed {
                    Ok(None) if is_up => self.is_up(),
                    Ok(None) if now < *until => {}
                    Ok(_) | Err(_) => self.fail(now),
                }
            }
            State::Down(_) | State::Up(_) => {}
        }
        if let State::Up(socket) = &self.state
            && (has_closed(socket) || self.send().is_err())
        {
            self.fail(now);
        }
    }

    /// When [`TcpHost::drive`] is wanted, if nothing is to be sent before.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        match &self.state {
            State::Down(until) => Some(until.since(now)),
            State::Connecting(..) => Some(LOOK),
            State::Up(_) => (!self.backlog.is_empty()).then_some(LOOK),
        }
    }

    /// Whether all has been sent that can be.
    pub(super) fn is_idle(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Lines that were lost since this was asked last.
    pub(super) fn take_lost(&mut self) -> u64 {
        core::mem::take(&mut self.lost)
    }

    fn connect(&mut self, now: Instant) {
        let domain = Domain::for_address(self.address);
        let kind = Type::STREAM.nonblocking().cloexec();
        let made = Socket::new_raw(domain, kind, Some(Protocol::TCP));
        let connected =
            made.and_then(|socket| match socket.connect(&SockAddr::from(self.address)) {
                Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                    Ok((socket, false))
                }
                done => done.map(|()| (socket, true)),
            });
        match connected {
            Ok((socket, true)) => {
                self.state = State::Up(socket);
                self.is_up();
            }
            Ok((socket, false)) => {
                self.state = State::Connecting(socket, now + SYSLOG_CONNECT_PATIENCE);
            }
            Err(_) => self.fail(now),
        }
    }

    fn is_up(&mut self) {
        let state = core::mem::replace(&mut self.state, State::Down(Instant::ZERO));
        if let State::Connecting(socket, _) | State::Up(socket) = state {
            self.state = State::Up(socket);
        }
    }

    fn send(&mut self) -> Result<()> {
        let State::Up(socket) = &self.state else { return Ok(()) };
        while !self.backlog.is_empty() {
            let sent = match socket.send_with_flags(self.backlog.as_slices().0, libc::MSG_NOSIGNAL)
            {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                sent => sent?,
            };
            if let Some(last) = self.backlog.drain(..sent).next_back() {
                self.is_torn = last != b'\n';
            }
            self.pause = SYSLOG_PAUSE_MIN;
        }
        Ok(())
    }

    /// The connection is gone: the next one is tried after a while. A line of which a part has left is lost.
    fn fail(&mut self, now: Instant) {
        if core::mem::take(&mut self.is_torn) {
            self.lost += 1;
            let end = self.backlog.iter().position(|octet| *octet == b'\n');
            self.backlog.drain(..end.map_or(self.backlog.len(), |end| end + 1));
        }
        self.state = State::Down(now + self.pause);
        self.pause = (self.pause * 2).min(SYSLOG_PAUSE_MAX);
    }
}

/// Whether the host has closed. It has nothing to say, so what it says is thrown away.
fn has_closed(socket: &Socket) -> bool {
    let mut room = [MaybeUninit::uninit(); 256];
    match socket.recv_with_flags(&mut room, libc::MSG_DONTWAIT) {
        Ok(octets) => octets == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Looks until it is so, with a clock that goes on by what the host wants to wait.
    fn until(host: &mut TcpHost, now: &mut Instant, so: impl Fn(&TcpHost) -> bool) {
        for _ in 0..2000 {
            host.drive(*now);
            if so(host) {
                return;
            }
            *now = *now + host.wait(*now).unwrap_or(LOOK).min(LOOK * 10);
            thread::sleep(Duration::from_millis(1));
        }
        panic!("in vain: {:?}", host.state);
    }

    #[test]
    fn lines_arrive_and_those_that_come_while_the_host_is_away_arrive_later() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut now = Instant::ZERO;
        let mut host = TcpHost::new(address, now);
        host.put(now, "one");
        until(&mut host, &mut now, TcpHost::is_idle);
        let mut lines = BufReader::new(listener.accept().expect("a connection").0).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), "one");
        drop((lines, listener));
        until(&mut host, &mut now, |host| matches!(host.state, State::Down(_)));
        host.put(now, "two\nPRI");
        host.put(now, "three");
        let before = host.pause;
        until(&mut host, &mut now, |host| host.pause > before);
        let listener = TcpListener::bind(address).expect("the same port");
        until(&mut host, &mut now, TcpHost::is_idle);
        let mut lines = BufReader::new(listener.accept().expect("a connection").0).lines();
        let read: Vec<_> = lines.by_ref().take(2).map(|line| line.expect("text")).collect();
        assert_eq!((read, host.take_lost()), (vec!["two PRI".into(), "three".into()], 0));
    }

    #[test]
    fn a_host_that_is_away_costs_a_bounded_backlog_and_grows_the_pause() {
        let address = {
            let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
            gone.local_addr().expect("an address")
        };
        let mut now = Instant::ZERO;
        let mut host = TcpHost::new(address, now);
        let line = "x".repeat(1000);
        for _ in 0..400 {
            host.put(now, &line);
        }
        assert!(host.backlog.len() <= SYSLOG_BACKLOG_OCTETS_MAX);
        assert!(host.take_lost() > 100);
        until(&mut host, &mut now, |host| host.pause == SYSLOG_PAUSE_MAX);
        now = now + SYSLOG_PAUSE_MAX;
        until(&mut host, &mut now, |host| matches!(host.state, State::Down(_)));
        assert!(host.wait(now).is_some());
    }

    #[test]
    fn a_torn_line_is_not_continued_on_another_connection() {
        let mut host = TcpHost::new("127.0.0.1:9".parse().unwrap(), Instant::ZERO);
        host.backlog.extend(*b"rest of it\nnext\n");
        host.is_torn = true;
        host.fail(Instant::ZERO);
        assert_eq!((host.backlog, host.lost), (VecDeque::from(*b"next\n"), 1));
    }
}
