//! Who comes in: each operator gets a thread that was there before the jail closed, or a polite refusal.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::attempts::Attempts;
use super::connection::{Patience, Talk, serve};
use super::protocol::{Json, Say};
use super::session::Session;
use super::socket::{listen_at, listen_on};
use super::telnet::{TOO_MANY_ATTEMPTS, Telnet};
use crate::jail::{Cell, Warden};
use crate::limits::{CONSOLES_MAX, TELNET_CONSOLES_MAX, TURNED_AWAY_MAX};

/// When the process has no descriptor left, or nothing else can be accepted: so long until the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are accepted before those that leave have their turn.
const ACCEPTED_MAX: usize = 64;

/// What makes the sessions of a transport.
pub type Factory = Arc<dyn Fn() -> Box<dyn Session> + Send + Sync>;

/// Sockets that listen, and nobody is served yet. Open them before the jail closes.
#[derive(Debug)]
pub struct Listeners {
    local: Option<mio::net::UnixListener>,
    remote: Option<mio::net::TcpListener>,
    patience: Patience,
}

impl Listeners {
    /// Listens at a Unix socket for the owner alone, and for telnet.
    ///
    /// # Errors
    ///
    /// One line: a socket is in use, or cannot be made.
    pub fn open(socket: Option<&Path>, telnet: Option<SocketAddr>) -> Result<Self, String> {
        Ok(Self {
            local: socket.map(listen_at).transpose()?,
            remote: telnet.map(listen_on).transpose()?,
            patience: Patience::default(),
        })
    }

    /// Listens at a Unix socket, too.
    pub(super) fn add_socket(&mut self, socket: &Path) -> Result<(), String> {
        self.local = Some(listen_at(socket)?);
        Ok(())
    }

    /// Waits for operators as long as `patience` says.
    #[must_use]
    pub fn patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Where telnet listens.
    #[must_use]
    pub fn telnet(&self) -> Option<SocketAddr> {
        self.remote.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Starts the threads that serve, until the process ends; `local` makes the sessions of those who
    /// come by the Unix socket, and `remote` of those who come by telnet, which should ask for a password
    /// first. `warden` has the threads lock themselves up.
    ///
    /// # Errors
    ///
    /// The process has no thread left.
    pub fn start(self, local: &Factory, remote: &Factory, warden: &mut Warden) -> io::Result<()> {
        let mut doors = Vec::new();
        let attempts = Arc::new(Mutex::new(Attempts::new(self.patience.pause)));
        if let Some(listener) = self.local {
            let desk =
                Desk::start("console", CONSOLES_MAX, local, self.patience, &attempts, warden)?;
            doors.push(Door { listener: Listener::Local(listener), desk });
        }
        if let Some(listener) = self.remote {
            let desk = Desk::start(
                "telnet",
                TELNET_CONSOLES_MAX,
                remote,
                self.patience,
                &attempts,
                warden,
            )?;
            doors.push(Door { listener: Listener::Remote(listener), desk });
        }
        if !doors.is_empty() {
            let mut porter =
                Porter { doors, attempts, leaving: VecDeque::new(), linger: self.patience.linger };
            let settle = warden.settle(Cell::Console);
            thread::Builder::new().name("porter".into()).spawn(move || {
                settle();
                loop {
                    porter.round();
                }
            })?;
        }
        Ok(())
    }
}

#[derive(Debug)]
enum Listener {
    Local(mio::net::UnixListener),
    Remote(mio::net::TcpListener),
}

impl Listener {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Local(listener) => listener.as_fd(),
            Self::Remote(listener) => listener.as_fd(),
        }
    }

    /// The next one, whose socket does not block.
    fn accept(&self) -> io::Result<Caller> {
        Ok(match self {
            Self::Local(listener) => {
                Caller { socket: OwnedFd::from(listener.accept()?.0).into(), from: None }
            }
            Self::Remote(listener) => {
                let (stream, from) = listener.accept()?;
                Caller { socket: OwnedFd::from(stream).into(), from: Some(from.ip()) }
            }
        })
    }
}

/// Who has come. Reading and writing a file is all that his socket needs, and all that the jail allows.
#[derive(Debug)]
struct Caller {
    socket: File,
    from: Option<IpAddr>,
}

impl Caller {
    fn talk(&self, attempts: &Arc<Mutex<Attempts>>) -> Box<dyn Talk> {
        match self.from {
            None => Box::new(Json::default()),
            Some(from) => Box::new(Telnet::new(from, Arc::clone(attempts))),
        }
    }
}

/// The places of one transport.
#[derive(Debug)]
struct Desk {
    places: usize,
    taken: Arc<AtomicUsize>,
    /// Somebody was turned away: who is idle may give his place away.
    wanted: Arc<AtomicBool>,
    queue: Sender<Caller>,
}

impl Desk {
    fn start(
        name: &str,
        places: usize,
        factory: &Factory,
        patience: Patience,
        attempts: &Arc<Mutex<Attempts>>,
        warden: &mut Warden,
    ) -> io::Result<Self> {
        // Whoever has a place has room in the queue.
        let (queue, callers) = bounded(places);
        let (taken, wanted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for place in 0..places {
            let hand = Hand {
                callers: callers.clone(),
                factory: Arc::clone(factory),
                taken: Arc::clone(&taken),
                wanted: Arc::clone(&wanted),
                attempts: Arc::clone(attempts),
                patience,
            };
            let settle = warden.settle(Cell::Console);
            thread::Builder::new().name(format!("{name}-{place}")).spawn(move || {
                settle();
                hand.run();
            })?;
        }
        Ok(Self { places, taken, wanted, queue })
    }

    /// Gives `caller` a place, or him back if there is none.
    fn seat(&self, caller: Caller) -> Result<(), Caller> {
        // Nobody else adds to it.
        if self.taken.load(Ordering::Acquire) >= self.places {
            self.wanted.store(true, Ordering::Relaxed);
            return Err(caller);
        }
        self.taken.fetch_add(1, Ordering::AcqRel);
        self.queue.try_send(caller).map_err(|refused| {
            self.taken.fetch_sub(1, Ordering::AcqRel);
            refused.into_inner()
        })
    }
}

/// A thread that serves one after the other.
struct Hand {
    callers: Receiver<Caller>,
    factory: Factory,
    taken: Arc<AtomicUsize>,
    wanted: Arc<AtomicBool>,
    attempts: Arc<Mutex<Attempts>>,
    patience: Patience,
}

impl Hand {
    fn run(&self) {
        while let Ok(caller) = self.callers.recv() {
            // What a session panics over must not cost the next one its place.
            let served = catch_unwind(AssertUnwindSafe(|| {
                let mut talk = caller.talk(&self.attempts);
                let mut session = (self.factory)();
                serve(caller.socket, &mut *talk, &mut *session, &self.patience, &self.wanted);
            }));
            if served.is_err() {
                log::error!("console: a session has failed, and was closed");
            }
            self.taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Where one transport comes in.
#[derive(Debug)]
struct Door {
    listener: Listener,
    desk: Desk,
}

/// Who opens, and shows out whom there is no place for.
#[derive(Debug)]
struct Porter {
    doors: Vec<Door>,
    attempts: Arc<Mutex<Attempts>>,
    leaving: VecDeque<(File, Instant)>,
    linger: Duration,
}

impl Porter {
    fn round(&mut self) {
        self.wait();
        let now = Instant::now();
        for door in 0..self.doors.len() {
            self.open(door, now);
        }
        self.leaving.retain_mut(|(socket, end)| *end > now && !has_left(socket));
    }

    fn wait(&self) {
        let sockets = self.leaving.iter().map(|(socket, _)| socket.as_fd());
        let all = self.doors.iter().map(|door| door.listener.fd()).chain(sockets);
        let mut fds: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let next = self.leaving.front().map(|(_, end)| {
            let wait = end.saturating_duration_since(Instant::now());
            // Not again and again in the last millisecond.
            PollTimeout::try_from(wait.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        if let Err(why) = poll(&mut fds, next.unwrap_or(PollTimeout::NONE)) {
            log::debug!("console: cannot wait: {why}");
            thread::sleep(ACCEPT_PAUSE);
        }
    }

    fn open(&mut self, door: usize, now: Instant) {
        for _ in 0..ACCEPTED_MAX {
            let door = &self.doors[door];
            let caller = match door.listener.accept() {
                Ok(caller) => caller,
                Err(why) if why.kind() == ErrorKind::WouldBlock => return,
                // Who has gone before he came in.
                Err(why)
                    if matches!(
                        why.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) =>
                {
                    continue;
                }
                Err(why) => {
                    log::debug!("console: cannot accept: {why}");
                    thread::sleep(ACCEPT_PAUSE);
                    return;
                }
            };
            let is_paused = caller.from.is_some_and(|from| self.attempts().is_paused(from, now));
            let turned_away = if is_paused {
                Err((caller, TOO_MANY_ATTEMPTS.to_owned()))
            } else {
                door.desk.seat(caller).map_err(|caller| {
                    let places = door.desk.places;
                    (caller, format!("All {places} consoles are taken: come again later."))
                })
            };
            if let Err((caller, why)) = turned_away {
                self.turn_away(caller, &why, now);
            }
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says why, and keeps the socket until that has been read, or for a while.
    fn turn_away(&mut self, mut caller: Caller, why: &str, now: Instant) {
        let line = if caller.from.is_some() {
            format!("% {why}\r\n").into_bytes()
        } else {
            let mut line = Vec::new();
            Say::Closed { why: why.into() }.write(&mut line);
            line
        };
        // A new socket has room for it.
        if caller.socket.write_all(&line).is_ok()
            && SockRef::from(&caller.socket).shutdown(Shutdown::Write).is_ok()
        {
            if self.leaving.len() >= TURNED_AWAY_MAX {
                self.leaving.pop_front();
            }
            self.leaving.push_back((caller.socket, now + self.linger));
        }
    }
}

/// Whether who was turned away has gone, or sends on and on.
fn has_left(socket: &mut File) -> bool {
    let mut room = [0; 4096];
    match socket.read(&mut room) {
        Ok(len) => len == 0 || len == room.len(),
        Err(why) => !matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}
