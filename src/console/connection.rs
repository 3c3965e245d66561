//! One operator's socket: octets in, octets out, and no waiting for him beyond his time.

#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::session::Session;
use super::text::printable;
use crate::limits::{
    CONSOLE_IDLE, CONSOLE_LINGER, CONSOLE_STALL, CONSOLE_TICK, CONSOLE_WAITING_OCTETS_MAX,
    LOGIN_PAUSE, LOGIN_TIMEOUT,
};

/// Octets that are read in one go.
const READ_OCTETS: usize = 4096;

/// How long the server waits for whom. The default is in [`crate::limits`], which has the reasons.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// With one that does not read.
    pub stall: Duration,
    /// With one that does nothing.
    pub idle: Duration,
    /// With one that is asked for a password by telnet.
    pub login: Duration,
    /// After too many wrong ones.
    pub pause: Duration,
    /// For the last of it to be read.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: CONSOLE_STALL,
            idle: CONSOLE_IDLE,
            login: LOGIN_TIMEOUT,
            pause: LOGIN_PAUSE,
            linger: CONSOLE_LINGER,
        }
    }
}

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something was done: there may be more to do.
    Done,
    /// All that has come is dealt with.
    Waits,
    /// The conversation is over.
    Ends,
}

/// A way to speak with an operator, between octets and a session.
pub(super) trait Talk {
    /// What is said before anything has come.
    fn begin(&mut self, session: &mut dyn Session, out: &mut Vec<u8>);

    /// Octets have come. Only called when the last step was [`Step::Waits`], so that what a talk keeps
    /// is bounded.
    fn push(&mut self, octets: &[u8]);

    /// Does the next thing: at most one line goes to the session.
    fn step(&mut self, session: &mut dyn Session, out: &mut Vec<u8>) -> Step;

    /// Whether lines that come by themselves can be shown now.
    fn takes_asides(&self) -> bool {
        true
    }

    /// Shows them.
    fn asides(&mut self, lines: &[String], session: &mut dyn Session, out: &mut Vec<u8>);

    /// Says why it ends.
    fn leave(&mut self, why: &str, out: &mut Vec<u8>);

    /// Whether who is idle loses his place even if nobody else wants it.
    fn is_remote(&self) -> bool {
        false
    }
}

/// Lines that came by themselves and could not be shown yet.
#[derive(Debug, Default)]
struct Asides {
    lines: Vec<String>,
    octets: usize,
    lost: u64,
}

impl Asides {
    fn add(&mut self, lines: Vec<String>) {
        for line in lines {
            if self.octets + line.len() >= CONSOLE_WAITING_OCTETS_MAX {
                self.lost += 1;
                continue;
            }
            // An empty line counts, too.
            self.octets += line.len() + 1;
            self.lines.push(printable(&line).replace('\n', " "));
        }
    }

    fn take(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        if self.lost > 0 {
            lines.push(format!("% {} more were lost: the console is too slow.", self.lost));
        }
        *self = Self::default();
        lines
    }
}

/// A socket that never blocks, and what waits for it.
#[derive(Debug)]
struct Wire {
    socket: File,
    out: Vec<u8>,
    /// When the socket last took something of what waits.
    moved: Instant,
}

/// The other end is gone.
#[derive(Debug)]
struct Gone;

impl Wire {
    fn has_room(&self) -> bool {
        self.out.len() < CONSOLE_WAITING_OCTETS_MAX
    }

    fn flush(&mut self, now: Instant) -> Result<(), Gone> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.socket.write(&self.out[sent..]) {
                Ok(0) => return Err(Gone),
                Ok(len) => sent += len,
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Err(Gone),
            }
        }
        self.out.drain(..sent);
        if sent > 0 || self.out.is_empty() {
            self.moved = now;
        }
        if self.out.is_empty() {
            // One long answer is no reason to keep its room.
            self.out.shrink_to(CONSOLE_WAITING_OCTETS_MAX);
        }
        Ok(())
    }

    /// Octets that have come: `None` if there are none now, and empty at their end.
    fn read<'a>(&mut self, room: &'a mut [u8]) -> Result<Option<&'a [u8]>, Gone> {
        match self.socket.read(room) {
            Ok(len) => Ok(Some(&room[..len])),
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(_) => Err(Gone),
        }
    }

    /// Sleeps until there is something to do, or the time is over.
    fn wait(&self, reads: bool, time: Duration) -> bool {
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, reads);
        events.set(PollFlags::POLLOUT, !self.out.is_empty());
        let mut fds = [PollFd::new(self.socket.as_fd(), events)];
        let millis = PollTimeout::try_from(time.as_millis()).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, millis) {
            Ok(_) => {}
            Err(Errno::EINTR) => return false,
            // ENOMEM: nothing is lost by asking again.
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
        let ready = fds[0].revents().unwrap_or_else(PollFlags::empty);
        ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR)
    }

    /// Sends what waits, says that this is the end, and waits a little for the other end's: a socket
    /// that is closed while octets are unread tells its peer to forget what it has not read.
    fn finish(mut self, patience: &Patience) {
        let mut end = Instant::now() + patience.stall;
        let mut is_shut = false;
        let mut room = [0; READ_OCTETS];
        loop {
            let now = Instant::now();
            if now >= end || self.flush(now).is_err() {
                return;
            }
            if self.out.is_empty() && !is_shut {
                is_shut = true;
                end = now + patience.linger;
                if SockRef::from(&self.socket).shutdown(Shutdown::Write).is_err() {
                    return;
                }
            }
            // One who sends without end has the same time.
            if !self.wait(true, end - now) {
                continue;
            }
            match self.read(&mut room) {
                // He has said all that he will, but may read on.
                Ok(Some([])) if !is_shut => _ = self.wait(false, end - now),
                Ok(Some([])) | Err(Gone) => return,
                Ok(_) => {}
            }
        }
    }
}

/// Speaks with one operator until one of both ends it.
pub(super) fn serve(
    socket: File,
    talk: &mut dyn Talk,
    session: &mut dyn Session,
    patience: &Patience,
    wanted: &AtomicBool,
) {
    let mut wire = Wire { socket, out: Vec::new(), moved: Instant::now() };
    if converse(&mut wire, talk, session, patience, wanted).is_ok() {
        wire.finish(patience);
    }
}

/// Ok when the socket is to be closed in order.
fn converse(
    wire: &mut Wire,
    talk: &mut dyn Talk,
    session: &mut dyn Session,
    patience: &Patience,
    wanted: &AtomicBool,
) -> Result<(), Gone> {
    let mut asides = Asides::default();
    let mut room = [0; READ_OCTETS];
    let mut used = Instant::now();
    talk.begin(session, &mut wire.out);
    loop {
        let mut step = Step::Done;
        while step == Step::Done && wire.has_room() {
            step = talk.step(session, &mut wire.out);
            if step == Step::Ends {
                return Ok(());
            }
            let now = Instant::now();
            if step == Step::Done {
                used = now;
            }
            wire.flush(now)?;
        }
        asides.add(session.asides());
        if wire.has_room() && talk.takes_asides() {
            let lines = asides.take();
            if !lines.is_empty() {
                talk.asides(&lines, session, &mut wire.out);
            }
        }
        let now = Instant::now();
        wire.flush(now)?;
        if now - wire.moved > patience.stall {
            return Err(Gone);
        }
        let must_go = talk.is_remote() && session.is_secret() && now - used > patience.login;
        let is_idle = now - used > patience.idle;
        if must_go || is_idle && talk.is_remote() {
            talk.leave("Nothing was typed for a while.", &mut wire.out);
            return Ok(());
        }
        if is_idle && wanted.swap(false, Ordering::Relaxed) {
            talk.leave(
                "Nothing was typed for a while, and another needs the place.",
                &mut wire.out,
            );
            return Ok(());
        }
        let reads = step == Step::Waits && wire.has_room();
        if !wire.wait(reads, CONSOLE_TICK) {
            continue;
        }
        if reads {
            match wire.read(&mut room)? {
                Some([]) => return Ok(()),
                Some(octets) => talk.push(octets),
                None => {}
            }
        } else {
            // Something is wrong with a socket that nobody wanted to read: the next write says what. If it is
            // only closed in one direction, do not ask again at once.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::super::fake::Fake;
    use super::super::protocol::Json;
    use super::*;

    #[test]
    fn asides_that_nobody_reads_are_counted_and_not_kept() {
        let mut asides = Asides::default();
        for _ in 0..100 {
            asides.add(vec![String::new(), "x".repeat(1000), "one\ntwo\x1b".into()]);
        }
        let lines = asides.take();
        let octets: usize = lines.iter().map(String::len).sum();
        assert!(octets < CONSOLE_WAITING_OCTETS_MAX + 100);
        assert_eq!(lines[2], "one two?");
        let lost = 300 - (lines.len() - 1);
        let last = format!("% {lost} more were lost: the console is too slow.");
        assert_eq!(lines.last(), Some(&last));
        assert_eq!(asides.take(), Vec::<String>::new());
        let mut empty = Asides::default();
        for _ in 0..10 {
            empty.add(vec![String::new(); CONSOLE_WAITING_OCTETS_MAX]);
        }
        assert!(empty.lines.len() <= CONSOLE_WAITING_OCTETS_MAX);
    }

    /// The far end of a served socket, and the thread that serves it.
    fn served(patience: Patience) -> (UnixStream, thread::JoinHandle<()>) {
        let (near, far) = UnixStream::pair().expect("sockets");
        near.set_nonblocking(true).expect("a socket");
        far.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let hand = thread::spawn(move || {
            let (mut talk, mut session) = (Json::default(), Fake::default());
            let socket = OwnedFd::from(near).into();
            serve(socket, &mut talk, &mut session, &patience, &AtomicBool::new(false));
        });
        (far, hand)
    }

    #[test]
    fn who_stays_after_the_end_does_not_keep_the_place() {
        let linger = Duration::from_millis(50);
        let (mut far, hand) = served(Patience { linger, ..Patience::default() });
        far.write_all(b"{\"ask\":\"line\",\"line\":\"exit\"}\n").expect("a server");
        // It neither closes nor is silent.
        hand.join().expect("no panic");
        let mut all = String::new();
        far.read_to_string(&mut all).expect("an end");
        assert!(all.contains("Goodbye."), "{all}");
    }

    #[test]
    fn who_does_not_read_the_last_of_it_does_not_keep_the_place() {
        let stall = Duration::from_millis(50);
        let (mut far, hand) = served(Patience { stall, ..Patience::default() });
        far.write_all(b"{\"ask\":\"line\",\"line\":\"show 100000\"}\n").expect("a server");
        far.shutdown(Shutdown::Write).expect("a socket");
        hand.join().expect("no panic");
        let mut all = Vec::new();
        far.read_to_end(&mut all).expect("an end");
        assert!(!all.is_empty() && !all.ends_with(b"\n"), "it is cut off");
    }
}
