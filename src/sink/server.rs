//! One thread's event loop: it accepts, and gives every connection its turn.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use super::Shared;
use super::connection::{Connection, Turn};
use super::session::Context;
use super::totals::Totals;

/// The length asked for the queue of connections to accept; the kernel has its own limit.
const BACKLOG: i32 = 4096;
/// Octets read at once while mail data comes; one buffer serves all connections of a thread.
const READ: usize = 256 * 1024;
/// How long to wait before accepting again when there are no descriptors left.
const NO_DESCRIPTORS: Duration = Duration::from_millis(100);
/// How long clients have to say QUIT after the last message of `--count`.
const DRAIN: Duration = Duration::from_secs(2);

const WAKE: Token = Token(usize::MAX);

/// One thread's event loop.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    poll: Poll,
    waker: Arc<Waker>,
    listeners: Vec<TcpListener>,
    /// Whether connections may wait to be accepted although no event says so.
    accept_again: bool,
    /// Whether the lack of descriptors has been told.
    warned: bool,
    connections: Slab<Connection>,
    /// Replies that `--slow` holds back.
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    again: Vec<usize>,
    totals: Totals,
    transcript: Vec<u8>,
    buffer: Box<[u8]>,
}

impl Server {
    /// Listens on the addresses, and puts the chosen port where port 0 was.
    pub(super) fn new(
        shared: Arc<Shared>,
        addresses: &mut [SocketAddr],
        share_port: bool,
    ) -> Result<Self, String> {
        let no_loop = |error: io::Error| format!("cannot make an event loop: {error}");
        let poll = Poll::new().map_err(no_loop)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(no_loop)?);
        let mut listeners = Vec::new();
        for (number, address) in addresses.iter_mut().enumerate() {
            let socket = listen(*address, share_port).map_err(|error| {
                format!("cannot listen on {address}: {error}; choose another with --listen")
            })?;
            *address = socket.local_addr().map_err(no_loop)?;
            let mut listener = TcpListener::from_std(socket);
            poll.registry()
                .register(&mut listener, Token(number), Interest::READABLE)
                .map_err(no_loop)?;
            listeners.push(listener);
        }
        Ok(Self {
            shared,
            poll,
            waker,
            listeners,
            accept_again: false,
            warned: false,
            connections: Slab::new(),
            timers: BinaryHeap::new(),
            again: Vec::new(),
            totals: Totals::default(),
            transcript: Vec::new(),
            buffer: vec![0; READ].into_boxed_slice(),
        })
    }

    /// What ends the loop's wait from another thread.
    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// What was counted.
    pub(super) fn into_totals(mut self) -> Totals {
        for (_, connection) in &self.connections {
            connection.session.end(&mut self.totals);
        }
        self.totals
    }

    /// Serves until the sink is told to stop, or its messages are complete.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let first_connection = self.listeners.len();
        let mut drained = None;
        loop {
            let now = Instant::now();
            if self.shared.is_stopping() {
                self.say_goodbye();
                return Ok(());
            }
            if self.shared.is_draining() {
                self.listeners.clear();
                let end = *drained.get_or_insert(now + DRAIN);
                if self.connections.is_empty() || now >= end {
                    return Ok(());
                }
            }
            match self.poll.poll(&mut events, self.wait(now, drained)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for key in std::mem::take(&mut self.again) {
                self.turn(key, first_connection);
            }
            for event in &events {
                match event.token() {
                    WAKE => {}
                    Token(number) if number < first_connection => self.accept_again = true,
                    Token(number) => self.turn(number - first_connection, first_connection),
                }
            }
            if std::mem::take(&mut self.accept_again) {
                self.accept(first_connection);
            }
            self.release(first_connection);
            self.shared.write_transcript(&mut self.transcript);
        }
    }

    /// How long nothing is to be done unless an event comes.
    fn wait(&self, now: Instant, drained: Option<Instant>) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let reply = self.timers.peek().map(|Reverse((due, ..))| *due);
        let accept = self.accept_again.then(|| now + NO_DESCRIPTORS);
        let next = [reply, accept, drained].into_iter().flatten().min()?;
        // A millisecond more, or a wait rounded down would spin.
        Some(next.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn accept(&mut self, first_connection: usize) {
        for number in 0..self.listeners.len() {
            loop {
                match self.listeners[number].accept() {
                    Ok((stream, peer)) => self.welcome(stream, peer, first_connection),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if is_of_the_peer(&error) => {}
                    Err(error) => {
                        if !std::mem::replace(&mut self.warned, true) {
                            log::warn!("cannot accept: {error}; raise the limit of open files");
                        }
                        self.accept_again = true;
                        break;
                    }
                }
            }
        }
    }

    fn welcome(&mut self, mut stream: TcpStream, peer: SocketAddr, first_connection: usize) {
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        // Replies are small and waited for. A socket that refuses this is served nonetheless.
        let _ = stream.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) =
            self.poll.registry().register(&mut stream, Token(first_connection + key), interest)
        {
            log::warn!("cannot watch the connection from {peer}: {error}");
            return;
        }
        let number = self.shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        log::debug!("connection {number} is from {peer}");
        let script = &self.shared.script;
        entry.insert(Connection::new(stream, number, &script.greeting, script.slow));
        self.totals.connections += 1;
        self.turn(key, first_connection);
    }

    fn turn(&mut self, key: usize, first_connection: usize) {
        debug_assert!(key < usize::MAX - first_connection, "the last token is the waker's");
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let mut context = Context {
            shared: &self.shared,
            totals: &mut self.totals,
            transcript: &mut self.transcript,
        };
        match connection.turn(&mut self.buffer, &mut context) {
            Ok(Turn::Wait) => {}
            Ok(Turn::Again) => self.again.push(key),
            Ok(Turn::At(due)) => self.timers.push(Reverse((due, key, connection.number))),
            Ok(Turn::Done) => self.close(key),
            Err(error) => {
                log::debug!("connection {}: {error}", connection.number);
                self.close(key);
            }
        }
    }

    fn close(&mut self, key: usize) {
        let connection = self.connections.remove(key);
        connection.session.end(&mut self.totals);
        // Dropping the stream also takes it from the poll.
    }

    /// Gives a turn to the connections whose reply is due.
    fn release(&mut self, first_connection: usize) {
        let now = Instant::now();
        while let Some(&Reverse((due, key, number))) = self.timers.peek() {
            if due > now {
                return;
            }
            self.timers.pop();
            if self.connections.get(key).is_some_and(|connection| connection.number == number) {
                self.turn(key, first_connection);
            }
        }
    }

    /// RFC 5321 3.8: a server that must stop says so, as far as that needs no wait.
    fn say_goodbye(&mut self) {
        for (_, connection) in &mut self.connections {
            if connection.is_idle() {
                let _ = io::Write::write(&mut connection.stream, b"421 Shutting down\r\n");
            }
        }
    }
}

/// Whether a failure to accept is of that one connection.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

fn listen(address: SocketAddr, share_port: bool) -> io::Result<net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    // The kernel spreads connections over the threads' sockets.
    socket.set_reuse_port(share_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
