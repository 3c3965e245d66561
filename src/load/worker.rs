//! One thread's event loop: sockets, timeouts, and the dialogues on them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::dialog::{Dialog, Stage};
use super::outgoing::Outgoing;
use super::plan::Plan;
use super::reply::ReplyReader;
use super::report::Tally;

/// Connections of one thread that may be in their handshake: a listen queue holds few.
const CONNECTING_MAX: usize = 64;
/// How often the loop looks at the clock when nothing happens.
const TICK: Duration = Duration::from_millis(50);
/// How long a thread opens no connection after one failed.
const PAUSE: Duration = Duration::from_millis(50);
/// Calls to write before another connection has its turn.
const WRITES_IN_A_ROW: u32 = 8;
const READ: usize = 16 * 1024;

/// One connection.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    number: u64,
    dialog: Dialog,
    replies: ReplyReader,
    out: Outgoing,
    deadline: Instant,
    /// Whether it has been counted among those that reached `--hold` or failed.
    settled: bool,
}

/// What to do with a connection after its turn.
enum Turn {
    /// Wait for its next event.
    Wait,
    /// It has more to write and the socket may take it.
    Again,
    /// It is done.
    Done,
}

/// One thread's event loop.
#[derive(Debug)]
pub(super) struct Worker {
    plan: Arc<Plan>,
    poll: Poll,
    connections: Slab<Connection>,
    /// How many to keep open at once.
    at_once: usize,
    connecting: usize,
    opened: u64,
    /// One entry a connection, looked at again when it comes due.
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    again: Vec<usize>,
    open_after: Instant,
    tally: Tally,
    buffer: Box<[u8]>,
}

impl Worker {
    /// A loop that keeps `at_once` connections open.
    pub(super) fn new(plan: Arc<Plan>, at_once: usize) -> io::Result<Self> {
        Ok(Self {
            plan,
            poll: Poll::new()?,
            connections: Slab::new(),
            at_once,
            connecting: 0,
            opened: 0,
            timers: BinaryHeap::new(),
            again: Vec::new(),
            open_after: Instant::now(),
            tally: Tally::default(),
            buffer: vec![0; READ].into_boxed_slice(),
        })
    }

    /// Works until nothing is left to do.
    pub(super) fn run(mut self) -> io::Result<Tally> {
        let mut events = Events::with_capacity(1024);
        loop {
            let work_left = self.open(Instant::now());
            if self.connections.is_empty() && !work_left {
                return Ok(self.tally);
            }
            let wait = if self.again.is_empty() { TICK } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for key in std::mem::take(&mut self.again) {
                self.turn(key);
            }
            for event in &events {
                self.turn(event.token().0);
            }
            self.release_held();
            self.expire(Instant::now());
        }
    }

    /// Opens what may be opened; whether work is left that no connection has taken.
    fn open(&mut self, now: Instant) -> bool {
        loop {
            if self.plan.is_over(now) || self.plan.unclaimed.load(Ordering::Relaxed) == 0 {
                return false;
            }
            if self.connections.len() >= self.at_once
                || self.connecting >= CONNECTING_MAX
                || now < self.open_after
            {
                return true;
            }
            let Some(messages) = self.plan.claim() else {
                return false;
            };
            self.tally.connections += 1;
            let entry = self.connections.vacant_entry();
            let key = entry.key();
            match connect(&self.plan, self.poll.registry(), Token(key)) {
                Ok(stream) => {
                    let now = Instant::now();
                    let deadline = now + self.plan.timeout;
                    self.opened += 1;
                    self.timers.push(Reverse((deadline, key, self.opened)));
                    entry.insert(Connection {
                        stream,
                        number: self.opened,
                        dialog: Dialog::new(&self.plan, messages, now),
                        replies: ReplyReader::default(),
                        out: Outgoing::default(),
                        deadline,
                        settled: false,
                    });
                    self.connecting += 1;
                    self.plan.live.open.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.count_error(describe(&error, Stage::Connect), messages);
                    self.plan.live.settled.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn turn(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let was_connecting = connection.dialog.stage == Stage::Connect;
        let done = connection.turn(&self.plan, &mut self.tally, &mut self.buffer);
        if was_connecting && connection.dialog.stage != Stage::Connect {
            self.connecting -= 1;
        }
        if connection.dialog.stage == Stage::Hold && !connection.settled {
            connection.settled = true;
            self.plan.live.settled.fetch_add(1, Ordering::Relaxed);
        }
        match done {
            Ok(Turn::Wait) => {}
            Ok(Turn::Again) => self.again.push(key),
            Ok(Turn::Done) => self.close(key),
            Err(kind) => self.fail(key, kind),
        }
    }

    /// Closes a connection and gives back what it counted for.
    fn close(&mut self, key: usize) {
        let mut connection = self.connections.remove(key);
        let _ = self.poll.registry().deregister(&mut connection.stream);
        if connection.dialog.stage == Stage::Connect {
            self.connecting -= 1;
        }
        if !connection.settled {
            self.plan.live.settled.fetch_add(1, Ordering::Relaxed);
        }
        self.plan.live.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn fail(&mut self, key: usize, kind: String) {
        let messages = self.connections[key].dialog.messages_left;
        self.close(key);
        self.count_error(kind, messages);
    }

    fn count_error(&mut self, kind: String, messages: u64) {
        self.plan.live.errors.fetch_add(1, Ordering::Relaxed);
        // A run that ends by the clock never meant to send all that a connection may carry.
        self.tally.messages_failed +=
            if self.plan.until.is_some() { messages.min(1) } else { messages };
        *self.tally.errors.entry(kind).or_default() += 1;
        // A server that refuses all must not be called in a tight loop.
        self.open_after = Instant::now() + PAUSE;
    }

    fn release_held(&mut self) {
        if self.plan.hold.is_none() {
            return;
        }
        let all = self.plan.released.load(Ordering::Relaxed) || self.plan.is_over(Instant::now());
        if !all {
            return;
        }
        let held: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.dialog.stage == Stage::Hold)
            .map(|(key, _)| key)
            .collect();
        for key in held {
            let connection = &mut self.connections[key];
            connection.dialog.release(&mut connection.out);
            connection.deadline = Instant::now() + self.plan.timeout;
            self.turn(key);
        }
    }

    /// Fails the connections whose reply is overdue.
    fn expire(&mut self, now: Instant) {
        while let Some(&Reverse((due, key, number))) = self.timers.peek() {
            if due > now {
                return;
            }
            self.timers.pop();
            let Some(connection) = self.connections.get(key).filter(|it| it.number == number)
            else {
                continue;
            };
            let stage = connection.dialog.stage;
            if stage == Stage::Hold {
                self.timers.push(Reverse((now + self.plan.timeout, key, number)));
            } else if connection.deadline > now {
                self.timers.push(Reverse((connection.deadline, key, number)));
            } else {
                self.fail(key, format!("timeout at {}", stage.name()));
            }
        }
    }
}

impl Connection {
    /// Reads and writes what the socket gives and takes; the `Err` is the kind of failure.
    fn turn(&mut self, plan: &Plan, tally: &mut Tally, buffer: &mut [u8]) -> Result<Turn, String> {
        if self.dialog.stage == Stage::Connect {
            match self.stream.take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return Err(describe(&error, Stage::Connect)),
            }
            if self.stream.peer_addr().is_err() {
                return Ok(Turn::Wait);
            }
            self.dialog.stage = Stage::Greeting;
        }
        loop {
            let more = self.write(plan, tally)?;
            match self.stream.read(buffer) {
                Ok(0) if self.dialog.stage == Stage::Close => return Ok(Turn::Done),
                Ok(0) => return Err(format!("closed at {}", self.dialog.stage.name())),
                Ok(read) => self.take(&buffer[..read], plan, tally)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(if more { Turn::Again } else { Turn::Wait });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(describe(&error, self.dialog.stage)),
            }
        }
    }

    /// Writes; whether it stopped only to let others have their turn.
    fn write(&mut self, plan: &Plan, tally: &mut Tally) -> Result<bool, String> {
        let mut calls = 0;
        while !self.out.is_empty() {
            if calls == WRITES_IN_A_ROW {
                return Ok(true);
            }
            calls += 1;
            match self.out.write_once(&mut self.stream, &plan.body) {
                Ok(written) => {
                    if self.dialog.stage == Stage::Content {
                        let written = written as u64;
                        tally.octets += written;
                        plan.live.octets.fetch_add(written, Ordering::Relaxed);
                    }
                    self.deadline = Instant::now() + plan.timeout;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(describe(&error, self.dialog.stage)),
            }
        }
        Ok(false)
    }

    fn take(&mut self, mut octets: &[u8], plan: &Plan, tally: &mut Tally) -> Result<(), String> {
        let now = Instant::now();
        while !octets.is_empty() {
            let (used, reply) = self
                .replies
                .feed(octets)
                .map_err(|why| format!("{why} at {}", self.dialog.stage.name()))?;
            octets = &octets[used..];
            if let Some(reply) = reply {
                let kind = self.dialog.reply(&reply, plan, tally, &mut self.out, now);
                if let Err(kind) = &kind
                    && !tally.errors.contains_key(kind)
                {
                    log::warn!("{kind}, the first of its kind: {}", reply.text);
                }
                kind?;
                self.deadline = now + plan.timeout;
            }
        }
        Ok(())
    }
}

/// The kind of failure an I/O error is.
fn describe(error: &io::Error, stage: Stage) -> String {
    const WORDS: [(io::ErrorKind, &str); 4] = [
        (io::ErrorKind::ConnectionReset, "reset"),
        (io::ErrorKind::BrokenPipe, "reset"),
        (io::ErrorKind::ConnectionRefused, "refused"),
        (io::ErrorKind::TimedOut, "timeout"),
    ];
    let known = WORDS.iter().find(|(kind, _)| *kind == error.kind());
    let what = known.map_or_else(|| error.to_string(), |(_, word)| (*word).to_owned());
    format!("{what} at {}", stage.name())
}

/// Begins a connection; whether it succeeds an event tells.
fn connect(plan: &Plan, registry: &Registry, token: Token) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(plan.target), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Commands are small and waited for: RFC 1122 4.2.3.4 lets Nagle's algorithm be off.
    socket.set_tcp_nodelay(true)?;
    if let Some(bind) = plan.bind {
        socket.bind(&SockAddr::from(SocketAddr::new(bind, 0)))?;
    }
    if let Err(error) = socket.connect(&SockAddr::from(plan.target))
        && error.raw_os_error() != Some(libc::EINPROGRESS)
    {
        return Err(error);
    }
    let mut stream = TcpStream::from_std(socket.into());
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}
